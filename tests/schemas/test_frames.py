"""The frame schemas say what the project's reading of the source says, and keep the rules of the house."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from relaykit.schemas import Direction, FrameSpec, lint, load_catalogue, thaw

CATALOGUE = load_catalogue()
FRAMES = [pytest.param(spec, id=f"{spec.direction}-{spec.type}") for spec in CATALOGUE.frames.values()]

# The reading of the source, entered a second time and by hand, so that a slip in a schema shows.
# type | envelope: required (others of the direction are permitted) | payload: required (optional), ° nullable
C2S = """
send          | message_id | ciphertext message_type (receiver_id° group_id° media_id° media_type°)
delivery_ack  | message_id | empty
read_receipt  |            | message_ids
heartbeat     |            | empty
pong          |            | empty
presence      |            | status
typing        |            | conversation_id is_typing (user_id timestamp)
media_key     |            | media_id recipient_id encrypted_key algorithm (timestamp)
call_offer    |            | target_id call_type sdp
call_answer   |            | target_id sdp
call_reject   |            | target_id (reason)
call_end      |            | target_id (reason)
call_busy     |            | target_id (reason)
ice_candidate |            | target_id candidate
sync_request  |            | target_device_id
sync_ack      |            | target_device_id
sync_data     |            | target_device_id encrypted_data
message       |            | recipient_id encrypted_content message_type (timestamp)
"""
S2C = """
deliver       | message_id sender_id timestamp | ciphertext message_type \
                                                 (receiver_id° group_id° media_id° media_type°)
group_message |                                | message_id group_id sender_id encrypted_content timestamp \
                                                 message_type (media_id° media_type°)
sent_ack      | message_id timestamp           | status
status_update | message_id timestamp           | status (recipient_id)
user_online   | sender_id server_id timestamp  | user_id
user_offline  | sender_id server_id timestamp  | user_id (last_seen)
presence      |                                | user_id status (last_seen devices)
typing        |                                | conversation_id user_id is_typing timestamp
media_key     |                                | media_id recipient_id encrypted_key algorithm timestamp
call_offer    | sender_id timestamp            | target_id call_type sdp
call_answer   | sender_id timestamp            | target_id sdp
call_reject   | sender_id timestamp            | target_id (reason)
call_end      | sender_id timestamp            | target_id (reason)
call_busy     | timestamp                      | target_id (reason)
ice_candidate | sender_id timestamp            | target_id candidate
sync_request  | sender_id device_id timestamp  | target_device_id
sync_ack      | sender_id device_id timestamp  | target_device_id
sync_data     | sender_id device_id timestamp  | target_device_id encrypted_data
device_approval_request |                      | request_id device_name device_type code expires_at \
                                                 (ip_address user_agent location)
device_approved |                              | request_id message
device_denied |                                | request_id message
heartbeat_ack | timestamp                      | none
ping          |                                | empty
error         |                                | error_code message timestamp reconnect (retry_after)
message       |                                | message_id sender_id conversation_id encrypted_content \
                                                 timestamp message_type (metadata attachments)
message_status |                               | message_id status timestamp recipient_id
"""
ENVELOPE: Mapping[Direction, set[str]] = {
    "c2s": {"timestamp", "message_id", "sender_id", "device_id"},
    "s2c": {"timestamp", "message_id", "sender_id", "device_id", "server_id"},
}
FORMS = {
    "uuid": "message_id sender_id device_id receiver_id user_id recipient_id target_id target_device_id",
    "conversationId": "conversation_id",
    "groupId": "group_id",
    "mediaId": "media_id",
    "requestId": "request_id",
    "timestamp": "timestamp last_seen expires_at",
    "opaque": "ciphertext encrypted_content encrypted_key encrypted_data",
    "nonEmptyString": "server_id algorithm sdp device_name message media_type content_type",
    "text": "user_agent location",
    "messageType": "message_type",
    "deviceType": "device_type",
    "priority": "priority",
    "reason": "reason",
    "errorCode": "error_code",
    "callType": "call_type",
    "approvalCode": "code",
    "ipAddress": "ip_address",
    "count": "size retry_after",
    "boolean": "is_typing reconnect encrypted",
}
"""Shared type → the fields that have it, whatever the frame."""
FORM_OF = {field: form for form, fields in FORMS.items() for field in fields.split()} | {
    "status in presence": "presenceStatus",
    "status in status_update": "messageStatus",
    "status in message_status": "messageStatus",
    "status in device": "deviceStatus",
}


def _table(text: str) -> Iterator[tuple[str, set[str], str]]:
    for line in text.replace("\\\n", " ").strip().splitlines():
        type_, envelope, payload = (part.strip() for part in line.split("|"))
        yield type_, set(envelope.split()), payload


def _resolved(spec: FrameSpec, schema: Any) -> Any:
    while "$ref" in schema:
        schema = spec.bundled["$defs"][schema["$ref"].removeprefix("#/$defs/")]
    return schema


def _payload(spec: FrameSpec) -> Any:
    """The schema of the payload, or the shared one that it stands for."""
    schema = spec.bundled["properties"]["payload"]
    return schema if "type" in schema else _resolved(spec, schema["allOf"][0])


def _form(spec: FrameSpec, schema: Any) -> tuple[str, bool]:
    """A property's shared type, or JSON type, and whether it may be null."""
    if "anyOf" in schema and {"type": "null"} in [dict(branch) for branch in schema["anyOf"]]:
        return _form(spec, schema["anyOf"][0])[0], True
    for reference in ([schema], schema.get("allOf", ())):
        if reference and "$ref" in reference[0]:
            return reference[0]["$ref"].removeprefix("#/$defs/"), False
    return schema.get("type", "const" if "const" in schema else "?"), False


@pytest.mark.parametrize(("direction", "table", "count"), [("c2s", C2S, 18), ("s2c", S2C, 26)])
def test_the_frames_are_those_of_the_reading(direction: Direction, table: str, count: int) -> None:
    assert {type_ for type_, _, _ in _table(table)} == CATALOGUE.types(direction)
    assert len(CATALOGUE.types(direction)) == count


def test_there_are_31_types() -> None:
    assert len(CATALOGUE.types("c2s") | CATALOGUE.types("s2c")) == 31


@pytest.mark.parametrize(
    ("direction", "type_", "envelope", "payload"),
    [("c2s", *row) for row in _table(C2S)] + [("s2c", *row) for row in _table(S2C)],
)
def test_fields_are_those_of_the_reading(
    direction: Direction, type_: str, envelope: set[str], payload: str
) -> None:
    spec = CATALOGUE.frame(direction, type_)
    schema = spec.bundled
    has_payload = set() if payload == "none" else {"payload"}
    needs_payload = set() if payload == "empty" else has_payload
    assert set(schema["properties"]) == {"type"} | ENVELOPE[direction] | has_payload
    assert set(schema["required"]) == {"type"} | envelope | needs_payload
    if payload == "none":
        return
    inner = _payload(spec)
    assert inner["additionalProperties"] is False
    if payload == "empty":
        assert "properties" not in inner
        return
    required, _, optional = payload.partition("(")
    assert set(inner["required"]) == set(required.split())
    fields = {field.rstrip("°"): "°" in field for field in optional.rstrip(")").split()}
    assert set(inner["properties"]) - set(inner["required"]) == set(fields)
    for name, sub in inner["properties"].items():
        assert _form(spec, sub)[1] == fields.get(name, False), f"{name}: nullable or not"


@pytest.mark.parametrize("spec", FRAMES)
def test_fields_have_the_forms_of_the_reading(spec: FrameSpec) -> None:
    where = [(spec.type, _payload(spec))] if "payload" in spec.bundled["properties"] else []
    where += [(name, spec.bundled["$defs"][name]) for name in ("envelope", "device", "attachment")
              if name in spec.bundled["$defs"]]  # fmt: skip
    for place, schema in where:
        for name, sub in schema.get("properties", {}).items():
            wanted = FORM_OF.get(f"{name} in {place}", FORM_OF.get(name))
            if wanted is not None and (place, name) != ("sent_ack", "status"):
                assert _form(spec, sub)[0] == wanted, f"{name} of {place}"


def test_every_field_with_a_form_exists() -> None:
    names = {name for _, sub in lint.subschemas(_types()) for name in sub.get("properties", {})}
    names |= {
        name for f in _frames().values() for _, s in lint.subschemas(f) for name in s.get("properties", {})
    }
    assert {field.partition(" ")[0] for field in FORM_OF} <= names


@pytest.mark.parametrize("spec", FRAMES)
def test_client_frames_are_closed_but_for_metadata_and_candidates(spec: FrameSpec) -> None:
    for pointer, schema in lint.subschemas(thaw(spec.bundled)):
        if schema.get("type") == "object" and not re.search(r"envelope|iceCandidate$|metadata$", pointer):
            assert schema.get("additionalProperties") is False, pointer


@pytest.mark.parametrize(
    ("type_", "to", "by"),
    [
        ("typing", "conversation", "/payload/conversation_id"),
        ("media_key", "user", "/payload/recipient_id"),
        ("presence", "contacts", None),
        *((f"sync_{what}", "device", "/payload/target_device_id") for what in ("request", "data", "ack")),
        *(
            (f"call_{what}", "user", "/payload/target_id")
            for what in ("offer", "answer", "reject", "end", "busy")
        ),
        ("ice_candidate", "user", "/payload/target_id"),
    ],
)
def test_relays_go_where_the_reading_says(type_: str, to: str, by: str | None) -> None:
    route = CATALOGUE.frame("c2s", type_).route
    assert route is not None
    assert (route.to, route.by) == (to, by)


def test_nothing_else_is_relayed() -> None:
    assert sum(spec.route is not None for spec in CATALOGUE.frames.values()) == 12


@pytest.mark.parametrize("spec", [p for p in FRAMES if p.values[0].route])  # type: ignore[union-attr]
def test_a_relayed_example_with_its_stamps_is_what_recipients_get(spec: FrameSpec) -> None:
    """The generic relay: the client's payload, the stamps, nothing more."""
    values = {
        "user": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "device": "550e8400-e29b-41d4-a716-446655440001",
    }
    values |= {"now": "2026-03-01T09:30:00Z", "server": "server-1"}
    for example in spec.examples:
        frame = {"type": spec.type, "payload": thaw(example["payload"])}
        for pointer, source in CATALOGUE.frame("s2c", spec.type).stamps.items():
            *inward, last = pointer.split("/")[1:]
            (frame["payload"] if inward else frame)[last] = values[source]
        assert CATALOGUE.validate(frame, "s2c", strict=True).findings == ()


@pytest.mark.parametrize("spec", FRAMES)
def test_a_frame_and_its_requirements_name_each_other(spec: FrameSpec) -> None:
    assert spec.requirements
    for name in spec.requirements:
        assert spec.type in CATALOGUE.requirements[name].frames


@pytest.mark.parametrize(
    ("direction", "type_", "pointer", "value", "requirement"),
    [
        ("c2s", "send", "/payload/receiver_id", "42", "VAL-23"),
        ("c2s", "send", "/payload/receiver_id", 42, "VAL-23"),
        ("c2s", "send", "/payload/group_id", "group-c9bf9e57-1685-4c89-bafb-ff5af830be8a", "MSG-02"),
        ("c2s", "send", "/payload/media_type", "image/png", "MSG-03"),
        ("c2s", "send", "/payload/message_id", None, "VAL-10"),
        ("c2s", "send", "/payload", [], "MSG-01"),
        ("c2s", "send", "/timestamp", "2026-03-01", "VAL-26"),
        ("c2s", "typing", "/payload/conversation_id", "42", "VAL-25"),
        ("c2s", "presence", "/payload/status", "asleep", "PRES-04"),
        ("c2s", "ice_candidate", "/payload/candidate/sdpMLineIndex", -1, "CALL-05"),
        ("s2c", "deliver", "/payload/group_id", "group-c9bf9e57-1685-4c89-bafb-ff5af830be8a", "MSG-05"),
        ("s2c", "deliver", "/payload/ciphertext", "", "VAL-27"),
        ("s2c", "deliver", "/payload/message_type", "Text", "VAL-28"),
        ("s2c", "status_update", "/payload/status", "lost", "MSG-08"),
        ("s2c", "error", "/payload/error_code", "rate_limited", "LIM-08"),
        ("s2c", "error", "/payload/message", "", "VAL-30"),
        ("s2c", "error", "/payload/reconnect", "yes", "ERR-01"),
        ("s2c", "device_approval_request", "/payload/code", "1", "DEV-02"),
        ("s2c", "device_approval_request", "/payload/ip_address", "here", "DEV-03"),
        ("s2c", "presence", "/payload/devices", 0, "PRES-02"),
        ("s2c", "heartbeat_ack", "/timestamp", None, "VAL-26"),
    ],
)
def test_a_violation_leads_to_the_closest_requirement(
    direction: Direction, type_: str, pointer: str, value: Any, requirement: str
) -> None:
    frame = thaw(CATALOGUE.frame(direction, type_).examples[0])
    *inward, last = pointer.split("/")[1:]
    place = frame
    for part in inward:
        place = place[part]
    place[last] = value
    findings = CATALOGUE.validate(frame, direction).findings
    assert {finding.requirement for finding in findings} == {requirement}


# --- the rules of the house ---------------------------------------------------------------------------------


def _types() -> dict[str, Any]:
    types: dict[str, Any] = json.loads((CATALOGUE.root / lint.TYPES).read_text("utf-8"))
    return types


def _frames() -> dict[tuple[str, str], dict[str, Any]]:
    return {key: thaw(spec.schema) for key, spec in CATALOGUE.frames.items()}


def _lint(types: dict[str, Any], frames: Mapping[tuple[str, str], dict[str, Any]]) -> list[str]:
    meta = json.loads((CATALOGUE.root / "meta.schema.json").read_text("utf-8"))
    names = lint.Names(
        capabilities=CATALOGUE.protocol.capabilities,
        error_codes=CATALOGUE.protocol.error_codes,
        requirements=CATALOGUE.requirements,
    )
    return [str(fault) for fault in lint.lint(meta, types, frames, names)]


def test_the_schemas_keep_the_rules_of_the_house() -> None:
    assert _lint(_types(), _frames()) == []


GONE = object()
SPOILED: list[tuple[str, str, str, Any, str]] = [
    # what is wrong, in which file, where, the value there, what the fault says
    ("a misspelt keyword on a frame", "c2s/send", "/x-requirments", ["MSG-01"],
     "send.schema.json: (top level): unknown keyword 'x-requirments' (did you mean 'x-requirements'?)"),
    ("a misspelt keyword deep inside", "c2s/send", "/properties/payload/x-replys", [],
     "send.schema.json: /properties/payload: unknown keyword 'x-replys' (did you mean 'x-replies'?)"),
    ("a misspelt keyword among the types", "types", "/$defs/uuid/x-routes", {},
     "types.schema.json: /$defs/uuid: unknown keyword 'x-routes'"),
    ("a misspelt standard keyword", "c2s/send", "/additonalProperties", False,
     "did you mean 'additionalProperties'?"),
    ("a frame without a title", "c2s/send", "/title", GONE, '"title" is a required property'),
    ("a frame with an empty title", "c2s/send", "/title", "", "/title: "),
    ("a frame without a description", "c2s/send", "/description", GONE,
     '"description" is a required property'),
    ("a frame without examples", "c2s/send", "/examples", GONE, '"examples" is a required property'),
    ("a frame with an empty list of examples", "c2s/send", "/examples", [], "/examples: "),
    ("a frame without a direction", "c2s/send", "/x-direction", GONE,
     "/x-direction: is not c2s, the folder it stands in"),
    ("a frame that is open", "c2s/send", "/additionalProperties", GONE,
     '"additionalProperties" is a required property'),
    ("a frame without replies", "c2s/send", "/x-replies", GONE, '"x-replies" is a required property'),
    ("a property without a title", "c2s/typing", "/properties/payload/properties/is_typing/title", GONE,
     "typing.schema.json: /properties/payload/properties/is_typing: no title"),
    ("a property without a description", "types", "/$defs/iceCandidate/properties/sdpMid/description", GONE,
     "types.schema.json: /$defs/iceCandidate/properties/sdpMid: no description"),
    ("a property of an item without a title", "s2c/presence", "/properties/payload/properties/devices/items",
     {"type": "object", "properties": {"x": {"description": "X.", "type": "null"}}},
     "/properties/payload/properties/devices/items/properties/x: no title"),
    ("a shared type without a title", "types", "/$defs/uuid/title", GONE, "/$defs/uuid: no title"),
    ("a property that is merely true", "c2s/typing", "/properties/payload/properties/is_typing", True,
     "/properties/payload/properties/is_typing: a property needs a schema"),
    ("a reference with siblings", "c2s/send", "/allOf/0/title", "Envelope", "send.schema.json: /allOf/0: "),
    ("a reference into nowhere", "c2s/send", "/allOf/1", {"$ref": "../../types.schema.json#/$defs/uid"},
     "/allOf/1/$ref: ../../types.schema.json#/$defs/uid does not exist (did you mean 'uuid'?)"),
    ("a format without a pattern", "types", "/$defs/uuid/pattern", GONE,
     '/$defs/uuid: "pattern" is a required property'),
    ("a pattern that is not anchored", "types", "/$defs/token/pattern", "[a-z]+", "/$defs/token/pattern: "),
    ("a pattern with a class that engines read differently", "types", "/$defs/approvalCode/pattern",
     "^\\d{6}$", "/$defs/approvalCode/pattern: "),
    ("a shared type that nothing uses", "types", "/$defs/spare", {"title": "Spare", "description": "Spare."},
     "/$defs/spare: used by no schema"),
    ("a frame of the other direction", "c2s/send", "/x-direction", "s2c",
     "/x-direction: is not c2s, the folder it stands in"),
    ("a frame of another type", "c2s/send", "/properties/type/const", "post",
     "/properties/type/const: the file is named after 'send'"),
    ("a frame without the envelope", "c2s/send", "/allOf/0/$ref", "../../types.schema.json#/$defs/device",
     "/allOf: no reference to ../../types.schema.json#/$defs/envelope"),
    ("an unknown capability", "c2s/send", "/x-capability", "cores",
     "/x-capability: unknown capability 'cores' (did you mean 'core'?)"),
    ("a reply of an unknown type", "c2s/send", "/x-replies/0/type", "send_ack",
     "/x-replies/0/type: unknown s2c type 'send_ack' (did you mean 'sent_ack'?)"),
    ("an error without its code", "c2s/send", "/x-replies/2/code", GONE,
     '/x-replies/2: "code" is a required property'),
    ("an unknown error code", "c2s/send", "/x-replies/2/code", "invalid",
     "/x-replies/2/code: unknown error code 'invalid'"),
    ("an unknown requirement", "c2s/send", "/x-requirements", ["MSG-999"],
     "/x-requirements/0: unknown requirement 'MSG-999'"),
    ("a deprecation without the standard keyword", "c2s/message", "/deprecated", GONE,
     '"deprecated" is a required property'),
    ("a replacement that does not exist", "c2s/message", "/x-deprecated/replacement", "sent",
     "/x-deprecated/replacement: unknown c2s type 'sent' (did you mean 'send'?)"),
    ("a route without an addressee", "c2s/typing", "/x-route/by", GONE,
     '/x-route: "by" is a required property'),
    ("a route to no field", "c2s/typing", "/x-route/by", "/payload/room",
     "/x-route/by: /payload/room is no required field of the frame"),
    ("a route by an optional field", "c2s/typing", "/x-route/by", "/payload/user_id",
     "/x-route/by: /payload/user_id is no required field of the frame"),
    ("a route to an unknown kind of place", "c2s/typing", "/x-route/to", "room", "/x-route/to: "),
    ("a route from the server", "s2c/typing", "/x-route", {"to": "contacts"},
     "typing.schema.json: /x-route: "),
    ("a stamp on no field", "s2c/typing", "/x-stamps", {"/payload/room": "user"},
     "/payload/room is no field of the frame"),
    ("a stamp of an unknown kind", "s2c/typing", "/x-stamps", {"/payload/user_id": "sender"},
     "typing.schema.json: /x-stamps"),
    ("a stamp that is missing", "s2c/typing", "/x-stamps", {"/payload/timestamp": "now"},
     "/x-stamps: /payload/user_id is required, but neither the client nor a stamp provides it"),
    ("stamps from a client", "c2s/send", "/x-stamps", {"/sender_id": "user"},
     "send.schema.json: /x-stamps: "),
    ("a relayed field that recipients may not get", "c2s/typing", "/properties/payload/properties/mood",
     {"title": "Mood", "description": "A mood.", "type": "string"},
     "/x-route: /payload/mood is passed on, but recipients' schema lacks it"),
    ("a relay without recipients", "s2c/typing", "", GONE,
     "/x-route: no schema of what recipients get: frames/s2c/typing.schema.json"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "pointer", "value", "message"),
    [pytest.param(*spoiled[1:], id=spoiled[0]) for spoiled in SPOILED],
)
def test_a_spoiled_schema_is_reported(file: str, pointer: str, value: Any, message: str) -> None:
    types, frames = _types(), _frames()
    place: Any = {f"{direction}/{type_}": schema for (direction, type_), schema in frames.items()}
    place["types"] = types
    *inward, last = [file, *pointer.split("/")[1:]]
    for part in inward:
        place = place[int(part)] if isinstance(place, list) else place[part]
    if not pointer:
        del frames["s2c", "typing"]
    elif value is GONE:
        del place[last]
    elif isinstance(place, list) and int(last) == len(place):
        place.append(value)
    else:
        place[int(last) if isinstance(place, list) else last] = value
    faults = _lint(types, frames)
    assert any(message in fault for fault in faults), faults
