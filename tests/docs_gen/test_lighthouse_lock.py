"""What benchmarks/docs.py installs stays the same: no version of it moves while the lock stands still."""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "benchmarks" / "lighthouse"


def test_no_dependency_moves_beneath_the_lock() -> None:
    wanted = json.loads((FOLDER / "package.json").read_text("utf-8"))
    text = (FOLDER / "package-lock.json").read_text("utf-8")
    pinned = wanted.get("overrides", {})
    moving = {
        name
        for package in json.loads(text)["packages"].values()
        for name, version in package.get("dependencies", {}).items()
        if version == "latest"  # npm ci compares a tag with what it means today
    }
    assert moving <= pinned.keys()
    assert '"resolved"' not in text
