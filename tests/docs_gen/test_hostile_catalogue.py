"""Pages of a catalogue with what the kit's own does not have: deprecated fields, odd names and texts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from relaykit.docs_gen import build
from relaykit.schemas import load_catalogue

ROOT = Path(__file__).parents[2]
NOTE = {"note": "It lies.", "replacement": "user_id"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    folder = tmp_path_factory.mktemp("changed") / "schemas"
    shutil.copytree(ROOT / "schemas", folder, ignore=shutil.ignore_patterns("__pycache__", "*.py"))
    path = folder / "frames/c2s/typing.schema.json"
    schema = json.loads(path.read_text("utf-8"))
    schema["properties"]["payload"]["properties"] |= {
        "old": {
            "title": "Old",
            "description": "An old thing.",
            "type": "string",
            "deprecated": True,
            "x-deprecated": NOTE,
        },
    }
    path.write_text(json.dumps(schema), "utf-8")
    return build.site_files(build.documentation(load_catalogue(folder)))


def row(text: str, name: str) -> str:
    """The one row of a field table in Markdown."""
    return next(line for line in text.splitlines() if f"`payload.{name}`" in line and line.startswith("| "))


def test_a_deprecated_field_is_marked_with_its_note(files: Mapping[str, str]) -> None:
    shown = row(files["frames/c2s/typing.md"], "old")
    assert "**Deprecated: It lies. Use `user_id` instead.** An old thing." in shown
    page = files["frames/c2s/typing.html"]
    _, _, after = page.partition('id="field-payload.old"')
    assert '<span class="badge warn">Deprecated</span> It lies. Use ' in after.partition("</tr>")[0]
