"""Defects in the forms of identifiers, times, tokens and texts, of clients and of the server."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import orjson

from relaykit.reference_server import auth, messages, relay
from relaykit.reference_server.app import App
from relaykit.reference_server.auth import Identity, Verifier
from relaykit.reference_server.calls_state import END, OFFER, REJECT, SIGNALS
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import (
    Frame,
    altering,
    decoding,
    handling,
    loosened,
    saying,
    tightened,
)
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.refused import Refused
from relaykit.reference_server.session import Session
from relaykit.schemas import Catalogue, FrameError

_UUID = ("/$defs/uuid/format", "/$defs/uuid/pattern", "/$defs/uuid/maxLength")
_SYNC = ("sync_request", "sync_data", "sync_ack")
_V4 = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-4[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}$"
_MESSAGE = "/$defs/messagePayload/properties"


def _with_type_as_text(rightly: Callable[[bytes], Frame], _catalogue: Catalogue, data: bytes) -> Frame:
    if b'"type":"' not in data:
        raise FrameError("object", "no type in it")
    return rightly(data)


REFUSED_THOUGH_VALID = (
    Defect(
        "receipts-off-by-one",
        "A read_receipt that names 256 messages is refused.",
        ("VAL-22",),
        tightened("read_receipt", "/properties/payload/properties/message_ids/maxItems", 255),
    ),
    Defect(
        "last-candidate-refused",
        "An ice_candidate whose candidate is empty, as the last one is, is refused.",
        ("VAL-22",),
        tightened("ice_candidate", "/$defs/text", {"type": "string", "minLength": 1}),
    ),
    Defect(
        "empty-payload-refused",
        "A heartbeat with an empty payload is refused.",
        ("VAL-22",),
        tightened("heartbeat", "/$defs/emptyPayload", {"type": "null"}),
    ),
    Defect(
        "only-random-uuids",
        "UUIDs of other versions than 4 are refused.",
        ("VAL-23",),
        tightened(("send", "heartbeat", "media_key", *SIGNALS, *_SYNC), "/$defs/uuid/pattern", _V4),
    ),
    Defect(
        "only-random-media-ids",
        "A media_id whose UUID is of another version than 4 is refused.",
        ("VAL-25",),
        tightened(("send", "media_key"), "/$defs/mediaId/pattern", f"^media-{_V4[1:]}"),
    ),
    Defect(
        "type-found-as-text",
        "A frame is refused unless its type is written without a blank or an escape.",
        ("VAL-22",),
        decoding(_with_type_as_text),
    ),
    Defect(
        "padding-demanded",
        "Opaque values without padding are refused.",
        ("VAL-27",),
        tightened(
            ("send", "media_key", "sync_data"),
            "/$defs/opaque/pattern",
            "^([A-Za-z0-9+/_-]{4})*([A-Za-z0-9+/_-]{2}==|[A-Za-z0-9+/_-]{3}=)?$",
        ),
    ),
    Defect(
        "only-standard-base64",
        "Opaque values in the URL-safe alphabet are refused.",
        ("VAL-27",),
        tightened(("send", "media_key", "sync_data"), "/$defs/opaque/pattern", "^[A-Za-z0-9+/]+={0,2}$"),
    ),
    Defect(
        "only-known-message-types",
        "A message_type that is not among the known values is refused.",
        ("VAL-29",),
        tightened("send", f"{_MESSAGE}/message_type", {"enum": ["text", "image", "file"]}),
    ),
    Defect(
        "only-known-reasons",
        "A reason that is not among the known values is refused.",
        ("VAL-29",),
        tightened((REJECT, END), "/$defs/callEndingPayload/properties/reason", {"const": "no_answer"}),
    ),
)

ACCEPTED_THOUGH_INVALID = (
    Defect(
        "any-text-is-a-uuid",
        "A target that is no UUID is taken, and reaches nobody.",
        ("VAL-23",),
        loosened(("media_key", *SIGNALS), *_UUID),
    ),
    Defect(
        "client-reason-in-words",
        "A call_reject whose reason is any text is passed on.",
        ("VAL-28",),
        loosened(REJECT, "/$defs/token/pattern"),
    ),
    Defect(
        "media-id-without-prefix",
        "A media_id without its prefix is taken.",
        ("VAL-25",),
        loosened("media_key", "/$defs/mediaId/pattern"),
    ),
    Defect(
        "client-time-with-an-offset",
        "A client's timestamp with an offset is taken.",
        ("VAL-26",),
        loosened(("typing", "send", "heartbeat"), "/$defs/timestamp/pattern"),
    ),
    Defect(
        "ciphertext-of-any-text",
        "A ciphertext that is no base64 is taken.",
        ("VAL-27",),
        loosened("send", "/$defs/opaque/pattern"),
    ),
    Defect(
        "tokens-of-any-case",
        "A message_type in capitals is taken.",
        ("VAL-28",),
        tightened("send", "/$defs/token/pattern", "^[A-Za-z][A-Za-z0-9_]*$"),
    ),
    Defect(
        "algorithm-may-be-empty",
        "A media_key with an empty algorithm is taken.",
        ("VAL-30",),
        loosened("media_key", "/$defs/nonEmptyString/minLength"),
    ),
    Defect(
        "sdp-may-be-empty",
        "A call_offer with an empty sdp is taken.",
        ("VAL-30",),
        loosened(OFFER, "/$defs/nonEmptyString/minLength"),
    ),
)

SENT = (
    Defect(
        "uuids-in-braces",
        "The sender_id of a message stands in braces.",
        ("VAL-23",),
        altering("deliver", "/sender_id", lambda name: f"{{{name}}}"),
    ),
    Defect(
        "groups-without-prefix",
        "The group_id of a group_message lacks its prefix.",
        ("VAL-25",),
        altering("group_message", "/payload/group_id", lambda name: name.removeprefix("group-")),
    ),
    Defect(
        "conversations-without-prefix",
        "The conversation_id of a typing lacks its prefix.",
        ("VAL-25",),
        altering("typing", "/payload/conversation_id", lambda name: name.removeprefix("conv-")),
    ),
    Defect(
        "time-with-an-offset",
        "Timestamps of messages have the offset +00:00.",
        ("VAL-26",),
        altering("deliver", "/timestamp", lambda at: at.replace("Z", "+00:00")),
    ),
    Defect(
        "time-in-lower-case",
        "Timestamps of acknowledgements have a lower-case t and z.",
        ("VAL-26",),
        altering("sent_ack", "/timestamp", str.lower),
    ),
    Defect(
        "time-as-a-number",
        "The timestamp of a status_update is a number.",
        ("VAL-26",),
        altering("status_update", "/timestamp", lambda _: 1_770_000_000),
    ),
    Defect(
        "reasons-in-words",
        "The reason of a call_end has blanks and a capital.",
        ("VAL-28",),
        altering(END, "/payload/reason", lambda reason: reason.replace("_", " ").capitalize()),
    ),
    Defect(
        "errors-without-words",
        "The message of an error is empty.",
        ("VAL-30",),
        saying("error", "/payload/message", ""),
    ),
    Defect(
        "server-without-a-name",
        "The server_id of a user_online is empty.",
        ("VAL-30",),
        saying("user_online", "/server_id", ""),
    ),
    Defect(
        "half-a-second-to-wait",
        "A retry_after has a fraction.",
        ("VAL-31",),
        altering("error", "/payload/retry_after", lambda seconds: seconds + 0.5),
    ),
    Defect(
        "wait-backwards",
        "A retry_after is negative.",
        ("VAL-31",),
        altering("error", "/payload/retry_after", lambda seconds: -seconds),
    ),
)


@defect("users-by-spelling", "A target in capitals is another user.", "VAL-24")
def users_by_spelling(seams: Seams) -> None:
    def to_user(app: App, _session: Session, value: str) -> Iterable[Session]:
        return app.hub.of_user(value)

    seams.item(relay._TARGETS, "user", to_user)


@defect("messages-by-spelling", "A message_id in capitals is that of another message.", "VAL-24")
def messages_by_spelling(seams: Seams) -> None:
    def key_of(original: Callable[[str], bytes], message_id: str) -> bytes:
        key = original(message_id)
        return key if message_id == message_id.lower() else key[::-1]

    seams.around(messages, "key_of", key_of)


@defect("receivers-by-spelling", "A message to a receiver in capitals is for another user.", "VAL-24")
def receivers_by_spelling(seams: Seams) -> None:
    def to_user(
        original: Callable[..., None],
        app: App,
        session: Session,
        key: bytes,
        message_id: str,
        payload: dict[str, Any],
        at: str,
    ) -> None:
        receiver = payload["receiver_id"]
        if receiver != receiver.lower():
            other = "1" if receiver[0] == "0" else "0"
            payload = {**payload, "receiver_id": other + receiver[1:]}
        original(app, session, key, message_id, payload, at)

    seams.around(messages, "_to_user", to_user)


def _spelt(route: str) -> Callable[[Seams], None]:
    """Targets of a route that are not in lower case do not exist."""

    def apply(seams: Seams) -> None:
        rightly = relay._TARGETS[route]

        def find(app: App, session: Session, value: str) -> Iterable[Session]:
            return rightly(app, session, value) if value == value.lower() else ()

        seams.item(relay._TARGETS, route, find)

    return apply


def _spelt_group(original: Any, app: App, session: Session, frame: dict[str, Any]) -> None:
    group = frame["payload"].get("group_id") or ""
    if group != group.lower():
        raise Refused("no such group, or you are not a member of it")
    original(app, session, frame)


SPELLINGS = (
    Defect(
        "own-devices-by-spelling",
        "A target_device_id in capitals is another device.",
        ("VAL-24",),
        _spelt("device"),
    ),
    Defect(
        "conversations-by-spelling",
        "A conversation_id in capitals is another conversation.",
        ("VAL-24",),
        _spelt("conversation"),
    ),
    Defect(
        "groups-by-spelling",
        "A group_id in capitals is another group.",
        ("VAL-24",),
        handling("send", _spelt_group),
    ),
)


@defect("tokens-by-spelling", "A token whose sub is in capitals is for another user.", "VAL-24")
def tokens_by_spelling(seams: Seams) -> None:
    def verify(original: Callable[..., Identity], self: Verifier, token: str) -> Identity:
        identity = original(self, token)
        sub = orjson.loads(auth._parts(token).payload)["sub"]
        if sub == sub.lower():
            return identity
        other = "1" if identity.user[0] == "0" else "0"
        return replace(identity, user=other + identity.user[1:])

    seams.around(Verifier, "verify", verify)
