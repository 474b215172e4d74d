"""Findings: what is said of a broken frame, that both validators say the same, and that it stays bounded."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from support.catalogues import frame, write_catalogue

from relaykit.errors import KitDefect
from relaykit.schemas import Catalogue, Direction, Engine, Finding, load_catalogue, validation
from relaykit.schemas.faults import thinned

UUID = "550e8400-e29b-41d4-a716-446655440000"
SEND: dict[str, Any] = {
    "type": "send",
    "message_id": UUID,
    "payload": {"receiver_id": UUID, "ciphertext": "aGk=", "message_type": "text"},
}
ENGINES: tuple[Engine, ...] = ("jsonschema-rs", "jsonschema", "both")


def findings(data: Any, direction: Direction = "c2s", **options: Any) -> list[Finding]:
    return list(load_catalogue().validate(data, direction, **options).findings)


def said(data: Any, direction: Direction = "c2s", **options: Any) -> list[tuple[str, str]]:
    return [(finding.pointer, finding.keyword) for finding in findings(data, direction, **options)]


def sent(**payload: Any) -> dict[str, Any]:
    """A `send` with a changed payload; a value given as ... is left out."""
    changed = {**SEND["payload"], **payload}
    return {**SEND, "payload": {key: value for key, value in changed.items() if value is not ...}}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("frame_", "expected"),
    [
        (SEND, []),
        (sent(ciphertext=...), [("/payload", "required")]),
        (sent(ciphertext=""), [("/payload/ciphertext", "pattern")]),
        (sent(ciphertext=5), [("/payload/ciphertext", "type")]),
        (sent(receiver_id="x"), [("/payload/receiver_id", "pattern")]),
        (sent(receiver_id=5), [("/payload/receiver_id", "type")]),
        (sent(receiver_id=...), [("/payload", "oneOf")]),
        (sent(group_id=f"group-{UUID}"), [("/payload", "oneOf")]),
        (sent(media_id=f"media-{UUID}"), [("/payload", "oneOf")]),
        (sent(**{"a/b~": 1}), [("/payload/a~1b~0", "additionalProperties")]),
        ({**SEND, "payload": "x"}, [("/payload", "type")]),
        ({**SEND, "payload": None}, [("/payload", "type")]),
        ({**SEND, "timestamp": "2025-02-30T00:00:00Z"}, [("/timestamp", "format")]),
        ({**SEND, "timestamp": "yesterday"}, [("/timestamp", "pattern")]),
        ({"type": "read_receipt", "payload": {"message_ids": []}}, [("/payload/message_ids", "minItems")]),
        (
            {"type": "read_receipt", "payload": {"message_ids": [UUID, UUID]}},
            [("/payload/message_ids", "uniqueItems")],
        ),
        ({"type": "presence", "payload": {"status": "onlin"}}, [("/payload/status", "enum")]),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, list) else "",
)
def test_one_finding_per_fault_and_the_same_from_each_engine(
    engine: Engine, frame_: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    assert said(frame_, engine=engine) == expected
    assert load_catalogue().validate(json.dumps(frame_), "c2s", engine=engine).valid == (not expected)


def test_both_engines_say_the_same_in_the_same_words_of_every_vector() -> None:
    compared = 0
    for vector in load_catalogue().vectors():
        if not isinstance(vector.data, dict):
            continue
        ours, theirs = (
            findings(vector.data, vector.direction, engine=engine)
            for engine in ("jsonschema-rs", "jsonschema")
        )
        assert not [finding for finding in ours if finding.severity == "error"] or not vector.valid, vector
        values = [finding.value for finding in ours + theirs]
        if not any(value.endswith('\\n"') or ":60" in value or "0000-" in value for value in values):
            assert ours == theirs, vector
            compared += 1
        findings(vector.data, vector.direction, engine="both")
    assert compared > 1000


@pytest.mark.parametrize(
    ("frame_", "direction", "message", "requirement"),
    [
        ({}, "c2s", 'has no "type"', "type-missing"),
        ({"type": ["x"]}, "c2s", "must be a string, not an array", "type-missing"),
        ({"type": "snd"}, "c2s", "unknown type \"snd\" (did you mean 'send'?)", "type-unknown"),
        ({"type": "deliverr"}, "s2c", "unknown type \"deliverr\" (did you mean 'deliver'?)", "type-unknown"),
        ({"type": "deliver"}, "c2s", '"deliver" is a type that only a server sends (s2c)', "type-direction"),
        ({"type": "send"}, "s2c", '"send" is a type that only a client sends (c2s)', "type-direction"),
        ({"type": "x" * 10_000}, "c2s", "unknown type", "type-unknown"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_the_type_is_judged_first(
    frame_: dict[str, Any], direction: Direction, message: str, requirement: str
) -> None:
    (finding,) = findings(frame_, direction)
    assert finding.keyword == "type"
    assert finding.message.startswith(message)
    assert finding.requirement == load_catalogue().protocol.faults[direction][requirement]
    assert len(finding.message) < 120


@pytest.mark.parametrize(
    ("frame_", "message"),
    [
        (sent(ciphertext=5), "must be a string, not a number"),
        (sent(receiver_id=[]), "must be a string or null, not an array"),
        (sent(ciphertext=...), '"ciphertext" is missing'),
        (sent(cipertext=1), "\"cipertext\" is not documented (did you mean 'ciphertext'?)"),
        (
            sent(receiver_id=...),
            'Exactly one recipient: must fit exactly one of 2 forms: "To a user", "To a group"',
        ),
        ({**SEND, "message_id": "x"}, "UUID expected: must match ^[0-9a-fA-F]{8}-"),
        (
            {"type": "presence", "payload": {"status": "busi"}},
            'must be one of "online", "offline", "away", "busy" (did you mean',
        ),
        (
            {"type": "read_receipt", "payload": {"message_ids": [UUID, "x", UUID]}},
            "items must be distinct; 0 and 2 are the same",
        ),
        ({"type": "read_receipt", "payload": {"message_ids": []}}, "must not be empty"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:30],
)
def test_messages_are_readable(frame_: dict[str, Any], message: str) -> None:
    assert any(finding.message.startswith(message) for finding in findings(frame_))


def test_undocumented_properties_of_servers_are_warnings_unless_strict() -> None:
    ping = {"type": "ping", "x": 1, "payload": {"y": 2}}
    lenient = load_catalogue().validate(ping, "s2c")
    assert lenient.valid
    assert {finding.severity for finding in lenient.findings} == {"warning"}
    assert said(ping, "s2c") == [("/payload/y", "additionalProperties"), ("/x", "additionalProperties")]
    assert not load_catalogue().validate(ping, "s2c", strict=True).valid
    assert load_catalogue().is_valid(ping, "s2c")
    assert not load_catalogue().is_valid({"type": "heartbeat", "x": 1}, "c2s")


def test_errors_come_before_warnings() -> None:
    ack = {"type": "heartbeat_ack", "a": 1}
    assert [finding.severity for finding in findings(ack, "s2c")] == ["error", "warning"]


@pytest.mark.parametrize("direction", ["c2s", "s2c"])
def test_quick_and_full_verdict_agree_on_every_vector(direction: Direction) -> None:
    catalogue = load_catalogue()
    for vector in catalogue.vectors():
        if vector.direction == direction and isinstance(vector.data, dict):
            verdict = catalogue.validate(vector.data, direction)
            assert catalogue.is_valid(vector.data, direction) == verdict.valid, vector


def test_faults_of_json_name_their_requirement_per_direction() -> None:
    faults = load_catalogue().protocol.faults
    for direction in ("c2s", "s2c"):
        (finding,) = findings(b'{"type":"ping","type":"ping"}', direction)
        assert (finding.keyword, finding.requirement) == ("duplicate-key", faults[direction]["duplicate-key"])


@pytest.mark.parametrize(
    "value", [float("nan"), "\ud800", 2**60, {1: 2}, object()], ids=lambda v: type(v).__name__
)
def test_values_that_json_cannot_say_are_findings_not_crashes(value: Any) -> None:
    frame_ = {"type": "message", "payload": {"metadata": value}}
    assert not load_catalogue().validate(frame_, "s2c").valid
    assert not load_catalogue().is_valid(frame_, "s2c")
    assert not load_catalogue().validate(value, "s2c").valid


def test_examples_of_the_catalogue_can_be_judged_as_they_are() -> None:
    for (direction, _), spec in load_catalogue().frames.items():
        for example in spec.examples:
            assert load_catalogue().validate(example, direction, strict=True, engine="both").valid
            assert load_catalogue().is_valid(dict(example), direction)


# --- on a small catalogue -----------------------------------------------------------------------------------


@pytest.fixture
def toy(tmp_path: Path) -> Catalogue:
    return load_catalogue(write_catalogue(tmp_path))


def toy_says(
    toy: Catalogue, frame_: Mapping[str, Any], direction: Direction = "c2s"
) -> list[tuple[str, str | None]]:
    return [(finding.keyword, finding.requirement) for finding in toy.validate(frame_, direction).findings]


def test_the_requirement_nearest_to_the_violated_keyword_is_named(toy: Catalogue) -> None:
    move = {"type": "move", "payload": {"x": 1}}
    assert toy_says(toy, {**move, "payload": {"x": 1, "of": "UPPER"}}) == [("pattern", "TOY-05")]
    assert toy_says(toy, {**move, "payload": {}}) == [("required", "TOY-04")]  # named by no schema
    assert toy_says(toy, {**move, "y": 1}) == [("additionalProperties", "TOY-02")]
    assert toy_says(toy, {"type": "tell", "payload": {"text": ""}}, "s2c") == [("minLength", "TOY-06")]
    assert toy_says(toy, {"type": "mov"}) == [("type", "TOY-03")]
    assert toy_says(toy, {"type": "move", "payload": {}}, "s2c") == [("required", None)]


def test_the_catalogue_decides_the_depth_limit(toy: Catalogue) -> None:
    assert [f.keyword for f in toy.validate('{"a":' * 9 + "1" + "}" * 9, "c2s").findings] == ["depth"]


def _judged(tmp_path: Path, payload: dict[str, Any], value: Any) -> list[tuple[str, str]]:
    folder = tmp_path / "one"
    folder.mkdir(exist_ok=True)
    write_catalogue(folder, frames={("c2s", "one"): frame("c2s", "one", payload)})
    catalogue = load_catalogue(folder)
    results = [
        [
            (finding.pointer.removeprefix("/payload"), finding.keyword)
            for finding in catalogue.validate(
                {"type": "one", "payload": value}, "c2s", engine=engine
            ).findings
        ]
        for engine in ENGINES
    ]
    assert results[0] == results[1] == results[2]
    return results[0]


@pytest.mark.parametrize(
    ("payload", "value", "expected"),
    [
        ({"type": "object", "allOf": [{"type": "object"}]}, 1, [("", "type")]),
        ({"allOf": [{"required": ["a"]}, {"required": ["a", "b"]}]}, {}, [("", "required")] * 2),
        ({"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]}, [], [("", "type")]),
        ({"anyOf": [{"type": "string", "minLength": 2}, {"maxLength": 0}]}, "x", [("", "anyOf")]),
        ({"anyOf": [{"anyOf": [{"pattern": "^a$"}]}, {"type": "null"}]}, "x", [("", "pattern")]),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1, "b": 1}, [("", "oneOf")]),
        ({"not": {"type": "string"}}, "x", [("", "not")]),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}, [("", "required")]),
        ({"dependentRequired": {"a": ["b", "c"]}}, {"a": 1, "b": 1}, [("", "dependentRequired")]),
        ({"propertyNames": {"pattern": "^a$"}}, {"b": 1}, [("", "pattern")]),
        ({"const": True}, 1, [("", "const")]),
        ({"multipleOf": 2}, 3, [("", "multipleOf")]),
        ({"minimum": 2, "maximum": 1}, 1.5, [("", "maximum"), ("", "minimum")]),
        ({"exclusiveMinimum": 2}, 2, [("", "exclusiveMinimum")]),
        ({"contains": {"type": "string"}}, [1], [("", "contains")]),
        ({"minProperties": 2}, {"a": 1}, [("", "minProperties")]),
        ({"prefixItems": [{"type": "string"}], "items": False}, ["a"], []),
        ({"prefixItems": [{"type": "string"}]}, [1], [("/0", "type")]),
        ({"type": "string", "minLength": 2, "pattern": "^b$"}, "a", [("", "minLength")]),
    ],
    ids=lambda value: json.dumps(value)[:50],
)
def test_every_keyword_is_explained_alike_by_both(
    tmp_path: Path, payload: dict[str, Any], value: Any, expected: list[tuple[str, str]]
) -> None:
    assert _judged(tmp_path, payload, value) == expected


def test_a_disagreement_of_the_validators_is_a_defect_of_the_kit(
    toy: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = {"type": "move", "payload": {"x": 1, "y": 2}}
    monkeypatch.setattr(validation.Judge, "reference", jsonschema.Draft202012Validator({}))
    with pytest.raises(KitDefect, match="/payload/y additionalProperties is reported only by jsonschema-rs"):
        toy.validate(move, "c2s", engine="both")


def test_a_trailing_line_feed_is_a_known_difference_and_invalid() -> None:
    assert said(sent(receiver_id=UUID + "\n"), engine="both") == [("/payload/receiver_id", "pattern")]


def test_findings_are_bounded_and_still_tell_valid_from_invalid() -> None:
    extras = {f"x{i}": i for i in range(20_000)}
    begun = time.process_time()
    many = load_catalogue().validate({"type": "ping", **extras}, "s2c")
    assert len(many.findings) <= validation.MAX_FINDINGS + 1
    assert many.valid
    assert not load_catalogue().validate({"type": "heartbeat", **extras}, "c2s").valid
    devices = [{"device_id": UUID, "device_type": "web", "status": "active", "x": 1}] * 3000
    payload = {"user_id": UUID, "status": "online", "devices": devices}
    presence: dict[str, Any] = {"type": "presence", "payload": payload}
    assert load_catalogue().validate(presence, "s2c").valid
    payload["devices"] = [*devices, {"device_id": 5}]
    verdict = load_catalogue().validate(presence, "s2c")
    assert not verdict.valid
    assert verdict.findings[0].severity == "error"
    assert verdict.findings[-1].keyword == "more"
    assert time.process_time() - begun < 60


def test_hostile_values_do_not_make_patterns_slow() -> None:
    begun = time.process_time()
    for value in ("a" * 1_000_000, "a" * 1_000_000 + "!", "conv-" + "0" * 1_000_000, "2025-" * 200_000):
        findings(sent(ciphertext=value, receiver_id=value))
        findings({"type": "typing", "timestamp": value, "payload": {"conversation_id": value}})
    assert time.process_time() - begun < 30


def test_who_tells_the_first_faults_only_need_not_wait_for_all() -> None:
    catalogue = load_catalogue()
    receipt = {"type": "read_receipt", "payload": {"message_ids": ["x"] * 15_000}}
    first = catalogue.judge(receipt, "c2s", most=20).findings
    assert len(first) == 1
    assert first[0].pointer == "/payload/message_ids"
    assert first[0] in catalogue.judge(receipt, "c2s").findings
    for payload in ({f"k{i}": i for i in range(6500)}, {"deep": [{f"k{i}": i} for i in range(3000)]}):
        # As many members of objects, which the validator looks at one by one as well.
        send = {"type": "send", "payload": payload}
        few = catalogue.judge(send, "c2s", most=20).findings
        assert len({(finding.pointer.count("/"), finding.keyword) for finding in few}) == 1
        assert len({finding.keyword for finding in catalogue.judge(send, "c2s").findings}) > 1
    odd = {"type": "heartbeat", **{f"x{number}": 1 for number in range(1000)}}
    found = catalogue.judge(odd, "c2s", most=20).findings
    assert len(found) == 21
    assert any("980 more" in finding.message for finding in found)
    assert catalogue.judge({"type": "heartbeat"}, "c2s", most=20).valid


def test_what_is_left_out_of_a_large_frame_changes_nothing_of_what_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    catalogue = load_catalogue()
    many = {f"k{i}": {"a": [i]} for i in range(400)}
    frames = []
    for vector in catalogue.vectors():
        data = vector.data
        if vector.direction == "c2s" and isinstance(data, dict) and isinstance(data.get("payload"), dict):
            frames.append({**many, **data})
            frames += [
                {**data, "payload": {**data["payload"], name: value}}
                for name in (*data["payload"], "more")
                for value in (many, [many], list(many))
            ]
    frames = random.Random(5).sample(frames, 1500)
    said_of = [catalogue.judge(one, "c2s", most=20).findings for one in frames]
    sizes = []
    monkeypatch.setattr(validation, "thinned", lambda value, *_: sizes.append(1) or value)
    assert said_of == [catalogue.judge(one, "c2s", most=20).findings for one in frames]
    assert len(sizes) > 1000
    monkeypatch.setattr(validation, "thinned", lambda *_: SEND)  # should all that is wrong be left out
    send = {**SEND, **many}
    assert catalogue.judge(send, "c2s", most=20).findings[0].keyword == "additionalProperties"


def test_what_is_left_of_a_large_value_is_what_schemas_speak_of_and_a_little_more() -> None:
    value = {**{f"k{i}": list(range(1000)) for i in range(100)}, "named": {"x": 1}}
    less = thinned(value, frozenset({"named"}), 3, 50)
    assert less == {"k0": list(range(50)), "k1": list(range(50)), "k2": list(range(50)), "named": {"x": 1}}
