"""The vectors: each is what it says, and together they touch every constraint and every optional part."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from support.catalogues import named
from support.constraints import innermost, options, options_taken, violations

from relaykit.schemas import DIRECTIONS, Direction, FrameSpec, Vector, load_catalogue, thaw
from relaykit.schemas.constraints import constraints
from relaykit.schemas.faults import fast, slow

CATALOGUE = load_catalogue()
FRAMES = [pytest.param(spec, id=f"{spec.direction}-{spec.type}") for spec in CATALOGUE.frames.values()]

UNREACHABLE: Mapping[Direction, Mapping[str, str]] = {
    "c2s": {"/$defs/envelope/properties/server_id": "c2s frames permit no server_id, whatever its form"},
    "s2c": {},
}
"""Where a constraint stands that no frame can be told to violate for its own sake, and why."""

DIFFERENCES = [
    pytest.param(
        {"/timestamp": "2016-12-31T23:59:60Z"},
        (True, False),
        id="leap second: the reference validator's calendar has none, and the protocol does not judge them",
    ),
    pytest.param(
        {"/timestamp": "0000-01-01T00:00:00Z"},
        (True, False),
        id="year zero: the reference validator's calendar begins with year one",
    ),
]
"""Where jsonschema-rs and jsonschema are known to disagree (their verdicts in this order), and why."""


@cache
def _bundled(direction: Direction, type_: str) -> dict[str, Any]:
    schema: dict[str, Any] = thaw(CATALOGUE.frame(direction, type_).bundled)
    return schema


@cache
def _vectors() -> Mapping[tuple[Direction, str], list[Vector]]:
    found: dict[tuple[Direction, str], list[Vector]] = {}
    for vector in CATALOGUE.vectors():
        found.setdefault((vector.direction, vector.type), []).append(vector)
    return found


def _of(spec: FrameSpec) -> list[Vector]:
    return _vectors().get((spec.direction, spec.type), [])


def test_there_are_vectors_for_every_frame_and_for_nothing_else() -> None:
    assert _vectors().keys() == CATALOGUE.frames.keys()


@pytest.mark.parametrize("spec", FRAMES)
def test_both_validators_judge_each_vector_and_example_as_stated(spec: FrameSpec) -> None:
    schema = _bundled(spec.direction, spec.type)
    judges = fast(schema), slow(schema)
    cases = [(named(vector), vector.data, vector.valid) for vector in _of(spec)]
    cases += [(f"example {index}", thaw(example), True) for index, example in enumerate(spec.examples)]
    wrong = [
        f"{name}: meant to be {'valid' if valid else 'invalid'}, but jsonschema-rs says "
        f"{judges[0].is_valid(data)} and jsonschema {judges[1].is_valid(data)}"
        for name, data, valid in cases
        if any(judge.is_valid(data) != valid for judge in judges)
    ]
    assert not wrong


@pytest.mark.parametrize("spec", FRAMES)
def test_the_catalogue_judges_each_vector_as_stated(spec: FrameSpec) -> None:
    # as on the wire; engine "both" also compares what the two validators complain of
    wrong = [
        named(vector)
        for vector in _of(spec)
        if CATALOGUE.validate(json.dumps(vector.data), spec.direction, engine="both", strict=True).valid
        != vector.valid
    ]
    assert not wrong


@pytest.mark.parametrize("spec", FRAMES)
def test_each_invalid_vector_violates_what_it_says_and_has_one_fault_only(spec: FrameSpec) -> None:
    schema = _bundled(spec.direction, spec.type)
    for vector in _of(spec):
        if vector.valid:
            assert vector.violates is None, named(vector)
            continue
        assert vector.violates in violations(schema, vector.data), named(vector)
        places = innermost(schema, vector.data)
        assert len(places) == 1, f"{named(vector)}: {places}"


@pytest.mark.parametrize("spec", FRAMES)
def test_every_constraint_is_violated_by_a_vector(spec: FrameSpec) -> None:
    schema = _bundled(spec.direction, spec.type)
    violated = frozenset[str]().union(*(violations(schema, v.data) for v in _of(spec) if not v.valid))
    assert not sorted(constraints(schema, without=UNREACHABLE[spec.direction]) - violated)


@pytest.mark.parametrize("spec", FRAMES)
def test_every_optional_part_is_in_a_valid_vector_and_missing_from_another(spec: FrameSpec) -> None:
    schema = _bundled(spec.direction, spec.type)
    taken = frozenset[str]().union(*(options_taken(schema, v.data) for v in _of(spec) if v.valid))
    assert not sorted(options(schema) - taken)


@pytest.mark.parametrize("spec", FRAMES)
def test_vectors_can_be_told_apart_by_their_descriptions(spec: FrameSpec) -> None:
    assert not [name for name, count in Counter(map(named, _of(spec))).items() if count > 1]


@pytest.mark.parametrize("spec", FRAMES)
def test_vectors_that_name_another_type_name_one_that_exists_nowhere(spec: FrameSpec) -> None:
    """Else the catalogue, which goes by the type, would judge them by another frame's schema."""
    known = frozenset[str]().union(*(CATALOGUE.types(direction) for direction in DIRECTIONS))
    for vector in _of(spec):
        type_ = vector.data.get("type") if isinstance(vector.data, dict) else None
        assert not isinstance(type_, str) or type_ == spec.type or type_ not in known, named(vector)


@pytest.mark.parametrize("reason", UNREACHABLE["c2s"].values())
def test_what_is_called_unreachable_is_so(reason: str) -> None:
    for spec in CATALOGUE.frames.values():
        assert ("server_id" in spec.schema["properties"]) == (spec.direction == "s2c"), reason


@pytest.mark.parametrize(("frame", "verdicts"), DIFFERENCES)
def test_known_differences_are_still_there(frame: dict[str, str], verdicts: tuple[bool, bool]) -> None:
    spec = CATALOGUE.frame("s2c", "heartbeat_ack")
    data = {"type": spec.type, "timestamp": frame["/timestamp"]}
    schema = _bundled(spec.direction, spec.type)
    assert (fast(schema).is_valid(data), slow(schema).is_valid(data)) == verdicts
    assert CATALOGUE.validate(data, "s2c", engine="both").valid == verdicts[0], "no defect of the kit"


# --- the yardstick itself -----------------------------------------------------------------------------------

_SAMPLE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["a", "b"]},
        "name": {"anyOf": [{"$ref": "#/$defs/name"}, {"type": "null"}]},
        "list": {"type": "array", "items": {"$ref": "#/$defs/name"}},
    },
    "required": ["kind"],
    "additionalProperties": False,
    "if": {"properties": {"kind": {"const": "b"}}},
    "then": {"required": ["name"]},
    "$defs": {"name": {"type": "string", "maxLength": 3}, "unused": {"type": "null"}},
}


def test_constraints_are_all_that_can_be_violated() -> None:
    assert constraints(_SAMPLE) == {
        "/type",
        "/required/0",
        "/additionalProperties",
        "/then/required/0",
        "/properties/kind/enum",
        "/properties/name/anyOf",
        "/properties/name/anyOf/0/$ref",
        "/properties/name/anyOf/1/type",
        "/properties/list/type",
        "/properties/list/items/$ref",
        "/$defs/name/type",
        "/$defs/name/maxLength",
    }
    assert "/properties/list/type" not in constraints(_SAMPLE, without=["/properties/list"])


@pytest.mark.parametrize(
    ("frame", "violated"),
    [
        ({"kind": "a"}, set()),
        ([], {"/type"}),
        ({}, {"/required/0", "/then/required/0"}),
        ({"kind": "c", "x": 1}, {"/properties/kind/enum", "/additionalProperties"}),
        ({"kind": "b"}, {"/then/required/0"}),
        ({"kind": "a", "list": ["long"]}, {"/properties/list/items/$ref", "/$defs/name/maxLength"}),
        (
            {"kind": "a", "name": "long"},
            {
                "/properties/name/anyOf",
                "/properties/name/anyOf/0/$ref",
                "/$defs/name/maxLength",
                "/properties/name/anyOf/1/type",
            },
        ),
    ],
)
def test_violations_are_found_where_they_stand(frame: Any, violated: set[str]) -> None:
    assert violations(_SAMPLE, frame) == violated


def test_optional_parts_are_found() -> None:
    everything = {"+/properties/name", "-/properties/name", "+/properties/list", "-/properties/list"}
    everything |= {"=/properties/kind/enum/0", "=/properties/kind/enum/1"}
    everything |= {"=/properties/name/anyOf/0", "=/properties/name/anyOf/1"}
    assert options(_SAMPLE) == everything
    assert options_taken(_SAMPLE, {"kind": "b", "name": None}) == {
        "=/properties/kind/enum/1",
        "+/properties/name",
        "=/properties/name/anyOf/1",
        "-/properties/list",
    }
