"""The rules that schema files keep beyond being JSON Schemas: they are kept, and breaking one is seen."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from relaykit.schemas import lint, load_catalogue, thaw

CATALOGUE = load_catalogue()


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
