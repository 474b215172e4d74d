"""The source document's own examples, kept as data: the schemas must take every one of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from relaykit.schemas import load_catalogue

CATALOGUE = load_catalogue()
SOURCE: dict[str, Any] = json.loads((CATALOGUE.root / "source_examples.json").read_text("utf-8"))
FRAMES = [
    pytest.param(entry["frame"], direction, id=f"line {entry['line']}-{entry['frame']['type']}-{direction}")
    for entry in SOURCE["frames"]
    for direction in entry["directions"]
]


@pytest.mark.parametrize(("frame", "direction"), FRAMES)
def test_every_example_of_the_source_is_valid(frame: dict[str, Any], direction: Any) -> None:
    for data in (frame, json.dumps(frame)):
        assert CATALOGUE.validate(data, direction, engine="both", strict=True).findings == ()


def test_all_examples_are_there() -> None:
    """Counted in the document by hand: 19 in JSON (two in one block), one in JavaScript, one sketch."""
    assert sum(entry["form"] == "json" for entry in SOURCE["frames"]) == 19
    assert sum(entry["form"] == "javascript" for entry in SOURCE["frames"]) == 1
    assert len(SOURCE["sketches"]) == 1


def test_examples_say_where_they_stand() -> None:
    lines = [entry["line"] for entry in SOURCE["frames"] + SOURCE["sketches"]]
    assert len(set(lines)) == len(lines)
    assert all(isinstance(line, int) and line > 0 for line in lines)
    assert all(entry["section"] for entry in SOURCE["frames"] + SOURCE["sketches"])


def test_what_is_called_a_sketch_is_no_frame() -> None:
    for sketch in SOURCE["sketches"]:
        assert sketch["why"]
        assert not any(CATALOGUE.validate(sketch["text"], direction).valid for direction in ("c2s", "s2c"))


def test_the_project_needs_no_file_of_the_source() -> None:
    assert not Path(SOURCE["source"]).is_absolute()
    assert not (CATALOGUE.root / SOURCE["source"]).exists()
