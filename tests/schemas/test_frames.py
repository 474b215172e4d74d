"""The frame schemas say what the project's reading of the source says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from support.catalogues import placed

from relaykit.schemas import Direction, FrameSpec, load_catalogue, thaw
from relaykit.schemas.subschemas import subschemas

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
    read = {type_ for type_, _, _ in _table(table)}
    assert len(read) == count
    assert read <= CATALOGUE.types(direction)  # the protocol may grow; what was read stays


def test_there_are_31_types_in_the_reading() -> None:
    assert len({type_ for table in (C2S, S2C) for type_, _, _ in _table(table)}) == 31


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
    assert set(schema["properties"]) == {"type"} | ENVELOPE[direction] | has_payload, placed(
        spec, "/properties"
    )
    assert set(schema["required"]) == {"type"} | envelope | needs_payload, placed(spec, "/required")
    if payload == "none":
        return
    inner = _payload(spec)
    place = placed(spec, "/properties/payload")
    assert inner["additionalProperties"] is False, place
    if payload == "empty":
        assert "properties" not in inner, place
        return
    required, _, optional = payload.partition("(")
    assert set(inner["required"]) == set(required.split()), f"{place}/required"
    fields = {field.rstrip("°"): "°" in field for field in optional.rstrip(")").split()}
    assert set(inner["properties"]) - set(inner["required"]) == set(fields), f"{place}/properties"
    for name, sub in inner["properties"].items():
        assert _form(spec, sub)[1] == fields.get(name, False), f"{place}/properties/{name}: nullable or not"


@pytest.mark.parametrize("spec", FRAMES)
def test_fields_have_the_forms_of_the_reading(spec: FrameSpec) -> None:
    where = [(spec.type, _payload(spec))] if "payload" in spec.bundled["properties"] else []
    where += [(name, spec.bundled["$defs"][name]) for name in ("envelope", "device", "attachment")
              if name in spec.bundled["$defs"]]  # fmt: skip
    for place, schema in where:
        for name, sub in schema.get("properties", {}).items():
            wanted = FORM_OF.get(f"{name} in {place}", FORM_OF.get(name))
            if wanted is not None and (place, name) != ("sent_ack", "status"):
                assert _form(spec, sub)[0] == wanted, placed(spec, f"{name} of {place}")


def test_every_field_with_a_form_exists() -> None:
    names: set[str] = set()
    for spec in CATALOGUE.frames.values():
        for _, sub in subschemas(thaw(spec.bundled)):
            names |= set(sub.get("properties", {}))
    assert {field.partition(" ")[0] for field in FORM_OF} <= names


@pytest.mark.parametrize("spec", FRAMES)
def test_client_frames_are_closed_but_for_metadata_and_candidates(spec: FrameSpec) -> None:
    open_ = r"envelope|iceCandidate$|metadata$|/oneOf/"  # the branches of a oneOf are conditions
    for pointer, schema in subschemas(thaw(spec.bundled)):
        if schema.get("type") == "object" and not re.search(open_, pointer):
            assert schema.get("additionalProperties") is False, placed(spec, pointer)


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


def test_nothing_else_of_the_reading_is_relayed() -> None:
    read = {type_ for type_, _, _ in _table(C2S)}
    assert sum(CATALOGUE.frame("c2s", type_).route is not None for type_ in read) == 12


@pytest.mark.parametrize("spec", [p for p in FRAMES if p.values[0].route])
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
        findings = CATALOGUE.validate(frame, "s2c", strict=True).findings
        assert findings == (), placed(spec, f"an example as recipients get it: {frame}")


@pytest.mark.parametrize("spec", FRAMES)
def test_a_frame_and_its_requirements_name_each_other(spec: FrameSpec) -> None:
    assert spec.requirements, placed(spec, "/x-requirements")
    for name in spec.requirements:
        assert spec.type in CATALOGUE.requirements[name].frames, placed(spec, f"/x-requirements: {name}")


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
