"""The derived frames: each is what it is meant to be, and nothing that a schema says is left out unsaid."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.catalogues import with_new_type
from support.constraints import innermost, violations

from relaykit.conformance.cases import select
from relaykit.conformance.derived.binding import _MEANT, sample
from relaykit.conformance.derived.family import Derived, derived_cases, family
from relaykit.conformance.derived.places import places
from relaykit.conformance.derived.table import lines, table
from relaykit.conformance.derived.violations import STOWAWAY
from relaykit.errors import KitDefect
from relaykit.schemas import FrameError, load_catalogue, thaw
from relaykit.schemas.constraints import constraints
from relaykit.schemas.faults import slow

CATALOGUE = load_catalogue()
CLIENT = [spec for (way, _), spec in CATALOGUE.frames.items() if way == "c2s"]
TYPES = [pytest.param(spec, id=spec.type) for spec in CLIENT]
LEFT_OUT = {
    "/$defs/envelope/properties/server_id": "client frames permit no server_id, whatever its form",
    "/$defs/envelope/type": "what is no object has no type, so that no schema is chosen",
    "/type": "the same",
    "/properties/type/const": "another type has another schema, or none",
    "/$defs/envelope/properties/type/type": "a type that is no string has no schema",
    "/$defs/envelope/required/0": "a frame without a type has no schema",
    "/required/0": "the same: the first property that is required is the type",
}
"""What no derived frame violates in the schema of its own type, and why."""


@cache
def _of(kind: str) -> list[Derived]:
    return [each for each in family(CATALOGUE).values() if each.frame == kind]


def _parsed(each: Derived) -> Any:
    """The frame as the server gets it; None where strict JSON refuses it."""
    try:
        return CATALOGUE.decode(each.draft.filled(sample())[0])
    except FrameError:
        return None


@pytest.mark.parametrize("spec", TYPES)
def test_both_validators_judge_each_frame_as_it_is_meant(spec: Any) -> None:
    reference = slow(thaw(spec.bundled))
    for each in _of(spec.type):
        data, _ = each.draft.filled(sample())
        assert CATALOGUE.validate(data, "c2s", engine="both").valid == each.draft.valid, each.id
        frame = _parsed(each)
        if frame is not None and frame.get("type") == spec.type:
            assert reference.is_valid(frame) == each.draft.valid, each.id


@pytest.mark.parametrize("spec", TYPES)
def test_each_frame_violates_what_it_is_about_and_no_other_place(spec: Any) -> None:
    schema = thaw(spec.bundled)
    for each in _of(spec.type):
        frame = _parsed(each)
        aims = [aim for aim in each.draft.aims if aim.startswith("/")]
        if each.draft.valid or frame is None or not aims or "oneOf" in each.draft.name:
            continue
        found = violations(schema, frame)
        if "line-feed" not in each.draft.name:  # Python's `$` matches before a final line feed
            assert set(aims) <= found, each.id
        assert found, each.id
        assert len(innermost(schema, frame)) == 1, each.id


@pytest.mark.parametrize("spec", TYPES)
def test_every_constraint_is_violated_or_left_out_with_a_reason(spec: Any) -> None:
    schema = thaw(spec.bundled)
    frames = [_parsed(each) for each in _of(spec.type) if not each.draft.valid]
    violated = frozenset[str]().union(
        *(violations(schema, f) for f in frames if f is not None and f.get("type") == spec.type)
    )
    missing = constraints(schema, without=["/$defs/envelope/properties/server_id"]) - violated
    unreachable = {p for p in missing if "/anyOf/" in p and p.endswith("/type")}  # the branch for null
    assert not sorted(missing - LEFT_OUT.keys() - unreachable)
    assert spec.schema["required"][0] == "type"


@pytest.mark.parametrize("spec", TYPES)
def test_what_the_envelope_describes_but_clients_may_not_send_is_tried(spec: Any) -> None:
    described = thaw(spec.bundled)["$defs"]["envelope"]["properties"].keys()
    barred = described - spec.schema["properties"].keys()
    assert barred
    found = {each.id: each for each in _of(spec.type)}
    for name in barred:
        assert name in found[f"derived/{spec.type}/envelope/unknown-property-{name}"].draft.template


def test_the_table_shows_every_constraint_of_every_place() -> None:
    rows = table(CATALOGUE)
    assert not [row for row in rows if not row.refused and not row.served and not row.reason]
    shown = {(row.frame, row.place, pointer) for row in rows for pointer in row.pointers}
    for spec in CLIENT:
        for place in places(spec):
            for rule in place.rules:
                assert (spec.type, place.name, rule.pointer) in shown
    text = "\n".join(lines(rows))
    assert "payload.ciphertext" in text
    assert "uniqueItems" in text


def test_every_bound_is_met_from_both_sides() -> None:
    rows = [row for row in table(CATALOGUE) if row.pointers]
    bounded = ("minItems", "maxItems", "minLength", "minimum", "maximum", "enum")
    found = [row for row in rows if row.constraint.startswith(bounded)]
    assert found
    assert not [row for row in found if not (row.refused and row.served)]


def test_what_strict_json_bounds_is_met_from_both_sides() -> None:
    """The deepest frame is refused with one level more: there is none between the two."""
    by_name = {each.draft.name: each.draft for each in family(CATALOGUE).values() if each.draft.valid}
    # Of 2^53 itself not every reader knows that it is not 2^53 + 1.
    for name, last in (("greatest-integer", b":9007199254740991"), ("least-integer", b":-9007199254740991")):
        data, _ = by_name[name].filled(sample())
        assert last in data
        assert CATALOGUE.validate(data, "c2s").valid
    data, _ = by_name["deepest"].filled(sample())
    assert CATALOGUE.validate(data, "c2s").valid
    with pytest.raises(FrameError, match="deeper"):
        CATALOGUE.decode(data.replace(b"[]", b"[[]]"))


@pytest.mark.parametrize("spec", TYPES)
def test_every_optional_part_is_tried_present_and_absent(spec: Any) -> None:
    valid = [frame for each in _of(spec.type) if each.draft.valid and (frame := _parsed(each)) is not None]
    for place in places(spec):
        if any("oneOf" in rule.keyword for rule in place.rules):
            continue  # all combinations are tried
        for name in place.optional:
            here = [_value(frame, place.path) for frame in valid]
            there = {name in value for value in here if isinstance(value, dict)}
            assert there == {True, False}, (spec.type, place.name, name)


def _value(frame: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        if not isinstance(frame, dict | list):
            return None
        frame = frame.get(step) if isinstance(frame, dict) else frame[step]
    return frame


def test_every_identifier_of_a_client_frame_names_somebody_of_the_case() -> None:
    for spec in CLIENT:
        for place in places(spec):
            name = str(place.path[-1]) if place.path else ""
            if name.endswith("_id"):
                assert name in _MEANT or name == "media_id", (spec.type, name)  # any media will do


def test_every_fault_of_json_and_type_is_tried() -> None:
    tried = {aim for each in family(CATALOGUE).values() for aim in each.draft.aims}
    faults = set(CATALOGUE.protocol.faults["c2s"]) - {"schema", "undocumented"}
    assert faults <= tried
    only = CATALOGUE.types("s2c") - CATALOGUE.types("c2s")
    assert {each.frame for each in family(CATALOGUE).values() if each.draft.name == "server-only"} == only


def test_nothing_that_is_permitted_counts_as_smuggled() -> None:
    for each in family(CATALOGUE).values():
        data, _ = each.draft.filled(sample())
        if STOWAWAY.encode() in data and (frame := _parsed(each)) is not None:
            rules = {finding.keyword for finding in CATALOGUE.judge(frame, "c2s").findings}
            assert "additionalProperties" in rules, each.id
        open_object = each.frame == "ice_candidate" and "payload.candidate" in each.draft.place
        assert not (open_object and STOWAWAY.encode() in data), each.id
    assert STOWAWAY not in str(family(CATALOGUE)["derived/ice_candidate/envelope/huge-integer"].draft.text)


def test_ids_are_the_same_in_every_process() -> None:
    script = (
        "from relaykit.schemas import load_catalogue\n"
        "from relaykit.conformance.derived.family import family\n"
        "for each in family(load_catalogue()).values(): print(each.id, each.refusal, each.draft.template)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert outputs.pop().count("\n") == len(family(CATALOGUE)) > 1000


def test_ids_name_the_frame_the_place_and_the_constraint() -> None:
    ids = family(CATALOGUE)
    for name in (
        "derived/send/payload.ciphertext/pattern",
        "derived/send/envelope/duplicate-key",
        "derived/read_receipt/payload.message_ids/maxItems",
        "derived/read_receipt/payload.message_ids.0/format",
        "derived/ice_candidate/payload.candidate/open-member",
        "derived/presence/payload.status/enum-away",
        "derived/deliver/envelope/server-only",
    ):
        assert name in ids


def test_failures_name_the_rule_of_the_schema_and_the_rule_that_schemas_hold() -> None:
    found = family(CATALOGUE)
    assert found["derived/send/payload.ciphertext/pattern"].refusal == ("VAL-08", "VAL-27")
    assert found["derived/send/envelope/unknown-property"].refusal == ("VAL-10",)
    assert found["derived/send/envelope/batch-lines"].refusal == ("VAL-03", "VAL-01")
    assert found["derived/call_offer/payload.call_type/enum"].refusal == ("VAL-08", "CALL-06")
    cases = {case.id: case for case in derived_cases(CATALOGUE)}
    assert "VAL-09" in cases["derived/send/payload/unknown-property"].requirements
    assert cases["derived/send/envelope/unknown-property"].level == "SHOULD"
    for case in cases.values():
        assert set(case.requirements) <= set(CATALOGUE.requirements)


def test_a_folder_of_an_id_stands_for_all_below_it() -> None:
    cases = derived_cases(CATALOGUE)
    assert select(CATALOGUE, cases, run=["derived"]) == cases
    chosen = select(CATALOGUE, cases, run=["derived/typing"], skip=["derived/typing/envelope"])
    assert {case.id.split("/")[1] for case in chosen} == {"typing"}
    assert not [case for case in chosen if "/envelope/" in case.id]
    assert not select(CATALOGUE, cases, profile="smoke")
    assert select(CATALOGUE, cases, profile="default") == cases


def test_a_frame_that_is_not_what_it_is_meant_to_be_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relaykit.conformance.derived.violations._WRONG", {"string": (("text", "x"),) * 1})
    with pytest.raises((KitDefect, KeyError)):
        family.__wrapped__(CATALOGUE)


def test_a_new_relayed_type_is_data_alone(tmp_path: Path) -> None:
    catalogue = load_catalogue(
        with_new_type(tmp_path, "wave_key", route={"to": "user", "by": "/payload/recipient_id"})
    )
    cases = [case for case in derived_cases(catalogue) if case.id.startswith("derived/wave_key/")]
    model = {
        each.id.removeprefix("derived/media_key/")
        for each in _of("media_key")
        if each.draft.place != "payload"
    }
    assert model <= {case.id.removeprefix("derived/wave_key/") for case in cases}
    served = next(case for case in cases if case.id.endswith("/payload.algorithm/at-minLength"))
    assert set(catalogue.frame("s2c", "wave_key").requirements) <= set(served.requirements)
