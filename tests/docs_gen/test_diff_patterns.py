"""`relaykit docs diff` reads regular expressions, and says whether one takes what the other does."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from relaykit.docs_gen.diff.changes import changes
from relaykit.docs_gen.diff.deciding import decide
from relaykit.docs_gen.diff.editions import kit_edition, read_edition
from relaykit.docs_gen.diff.languages import Compared, beyond
from relaykit.schemas import Direction

LONGER = "^conv-[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12,13}$"


@pytest.mark.parametrize(
    ("wider", "c2s", "s2c"),
    [(True, "no", "yes"), (False, "yes", "no")],
    ids=["widened", "narrowed"],
)
def test_a_shared_pattern_is_judged_in_both_directions(
    changed: Path, tmp_path: Path, wider: bool, c2s: str, s2c: str
) -> None:
    loose = tmp_path / "loose"
    shutil.copytree(changed, loose)
    for place, pattern in ((loose, LONGER), (changed, LONGER.replace("12,13", "12"))):
        path = place / "types.schema.json"
        types = json.loads(path.read_text("utf-8"))
        types["$defs"]["conversationId"].update(pattern=pattern, maxLength=42)
        path.write_text(json.dumps(types), "utf-8")
    tight_one, loose_one = read_edition(str(changed)), read_edition(str(loose))
    found = changes(tight_one, loose_one) if wider else changes(loose_one, tight_one)
    judged = {(change.place, change.field): change for change in found}
    for place, breaks in (("c2s typing", c2s), ("s2c typing", s2c), ("s2c message", s2c)):
        change = judged[place, "payload.conversation_id"]
        assert change.breaks == breaks, change
        if breaks == "yes":
            assert re.fullmatch(LONGER, change.witness)
            assert "{12,13}" in change.words
            assert len(change.witness) == 42


@pytest.mark.parametrize(
    ("inner", "outer", "texts", "whole"),
    [
        ("^[a-z]+$", "^[a-z0-9]+$", [], True),
        ("^[a-z0-9]+$", "^[a-z]+$", ["0"], True),
        ("^(a?)*b$", "^a*b$", [], True),
        ("^(ab)+c{0,40}$", "^(ab)*c*$", [], True),
        ("^(ab)*$", "^(ab)+$", [""], True),
        ("^a{3,5}$", "^a{4}$", ["aaa", "aaaaa"], True),
        (r"^\.[0-9]{2}$", "^.[0-9]{2}$", [], False),  # what else a dot means is not said
        (r"^[\d-]+$", "^[0-9-]+$", [], True),
        (r"^\d$", "^[0-8]$", ["9"], True),
        ("^[0-9]{2}$", "[0-9]{2}", [], True),
        ("^[ab]*a[ab]{40}$", "^[ab]*b[ab]{40}$", None, False),  # too many states: given up
        ("^((a{0,1000}){0,1000}){0,1000}$", "^(a{0,999}){0,999}$", None, False),
    ],
)
def test_two_patterns_are_compared(inner: str, outer: str, texts: list[str] | None, whole: bool) -> None:
    found = beyond(inner, outer)
    assert found.whole == whole
    assert texts is None or list(found.texts) == texts
    for text in found.texts:
        assert re.fullmatch(inner, text)
        assert not re.fullmatch(outer, text)


def test_of_a_pattern_that_cannot_be_read_samples_decide() -> None:
    old, new = ({"type": "string", "pattern": pattern} for pattern in ("^req-[0-9]$", "^(req|r)-[0-9]$"))
    found = decide("s2c", old, new)
    assert found.breaks == "yes"
    assert re.fullmatch("r-[0-9]", found.witness)
    assert decide("s2c", new, old).breaks == "unknown"
    assert decide("c2s", old, {"type": "string", "pattern": r"^\p{L}+$"}).breaks == "yes"


def test_lengths_bound_what_is_compared() -> None:
    assert beyond("^a{3,5}$", "^a{3}$", most=3) == Compared((), whole=True)
    assert beyond("^a{3,5}$", "^a{3}$", least=5).texts == ("aaaaa",)


@pytest.mark.parametrize("direction", ["c2s", "s2c"])
@pytest.mark.parametrize(
    "around",
    [
        lambda form: {"anyOf": [form, {"type": "null"}]},
        lambda form: {"allOf": [form]},
        lambda form: {"type": "array", "items": form},
    ],
    ids=["anyOf", "allOf", "items"],
)
def test_patterns_are_read_within_other_words(direction: Direction, around: Callable[[Any], Any]) -> None:
    tight, loose = (around({"type": "string", "pattern": pattern}) for pattern in ("^[a-f]+$", "^[a-z]+$"))
    narrowed, widened = ("yes", "no") if direction == "c2s" else ("no", "yes")
    assert decide(direction, loose, tight).breaks == narrowed
    assert decide(direction, tight, loose).breaks == widened


@pytest.mark.parametrize(
    ("pattern", "c2s", "s2c"),
    [
        (r"^[A-Za-z\d+/_-]+={0,2}$", {"no"}, {"no"}),
        ("[A-Za-z0-9+/_-]+={0,2}", {"no"}, {"yes"}),
    ],
    ids=["digits", "anywhere"],
)
def test_a_pattern_said_otherwise(changed: Path, pattern: str, c2s: set[str], s2c: set[str]) -> None:
    path = changed / "types.schema.json"
    types = json.loads(path.read_text("utf-8"))
    types["$defs"]["opaque"]["pattern"] = pattern
    path.write_text(json.dumps(types), "utf-8")
    found = changes(kit_edition(), read_edition(str(changed)))
    assert not any("not none" in change.words for change in found)
    for way, breaks in (("c2s", c2s), ("s2c", s2c)):
        assert {change.breaks for change in found if change.place.startswith(way)} == breaks, found


@pytest.mark.parametrize("direction", ["c2s", "s2c"])
def test_a_bound_alone_decides_where_no_sample_reaches_it(direction: Direction) -> None:
    def array(most: int, least: int = 0) -> dict[str, object]:
        form = {"type": "string", "format": "uuid"}
        return {"type": "array", "items": form, "uniqueItems": True, "maxItems": most, "minItems": least}

    narrowed, widened = ("yes", "no") if direction == "c2s" else ("no", "yes")
    for less, more in ((array(256), array(512)), (array(9, 2), array(9, 1))):
        assert decide(direction, more, less).breaks == narrowed
        assert decide(direction, less, more).breaks == widened


def test_a_bound_beside_a_pattern_that_cannot_be_read_decides_nothing() -> None:
    one, some = ({"type": "string", "pattern": rf"^\p{{L}}{mark}$"} for mark in ("", "+"))
    assert decide("c2s", {**one, "maxLength": 9}, {**some, "maxLength": 5}).breaks == "unknown"
