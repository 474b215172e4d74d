"""Defects in the form of all frames, and in what the fields around a payload say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode

from relaykit.reference_server.app import App
from relaykit.reference_server.calls_state import SIGNALS
from relaykit.reference_server.connection import Connection
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import (
    Frame,
    Handler,
    handling,
    loosened,
    on_enter,
    saying,
    sending,
)
from relaykit.reference_server.defects.seams import Seams, swapped
from relaykit.reference_server.session import Session
from relaykit.schemas import load_catalogue

Put = Callable[[Connection, bytes], None]
_SYNC = ("sync_request", "sync_data", "sync_ack")


def _all_types(change: Callable[[list[str]], Callable[[Seams], None]]) -> Callable[[Seams], None]:
    return lambda seams: change(sorted(load_catalogue().types("c2s")))(seams)


@defect("binary-messages", "Messages are delivered as binary WebSocket messages.", "ENV-01")
def binary_messages(seams: Seams) -> None:
    def put(original: Put, self: Connection, data: bytes) -> None:
        if not data.startswith(b'{"type":"deliver"'):
            original(self, data)
        elif not self._closing:
            if not self._chunks:
                self._app.turn.unwritten.append(self)
            self._chunks.append(
                WireFrame(Opcode.BINARY, data).serialize(mask=False, extensions=self._protocol.extensions)
            )

    seams.around(Connection, "put", put)


@defect("frames-joined-by-lines", "Frames that are sent at once come joined by line breaks.", "ENV-03")
def frames_joined_by_lines(seams: Seams) -> None:
    held: dict[Connection, list[bytes]] = {}

    def put(_original: Put, self: Connection, data: bytes) -> None:
        if self not in held:
            self._app.turn.unwritten.append(self)
        held.setdefault(self, []).append(data)

    def write(original: Callable[[Connection], None], self: Connection) -> None:
        let_go(self)
        original(self)

    def let_go(connection: Connection) -> None:
        data = held.pop(connection, None)
        if data is not None:
            put_now(connection, b"\n".join(data))

    put_now = Connection.put
    seams.around(Connection, "put", put)
    seams.around(Connection, "_write_protocol", write)
    seams.around(Connection, "write_out", write)


FORMS = (
    Defect(
        "frames-with-a-comma",
        "A status_update ends with a comma too many.",
        ("ENV-02",),
        sending("status_update", lambda frame, *_: orjson.dumps(frame)[:-1] + b",}"),
    ),
    Defect(
        "frames-in-an-array",
        "Messages are delivered as arrays of frames.",
        ("ENV-03",),
        sending("deliver", lambda frame, *_: orjson.dumps([frame])),
    ),
    Defect(
        "welcome-frame",
        "A connection begins with a frame of the type `welcome`.",
        ("ENV-04",),
        on_enter(lambda _app, session: session.link.put(b'{"type":"welcome","payload":{}}')),
    ),
    Defect(
        "server-as-sender",
        "A heartbeat_ack has the sender_id `server`.",
        ("ENV-12",),
        saying("heartbeat_ack", "/sender_id", "server"),
    ),
    Defect(
        "numbered-acks",
        "A status_update has a number in device_id.",
        ("ENV-12",),
        saying("status_update", "/device_id", 7),
    ),
)

FIELDS = (
    Defect(
        "client-timestamp-refused",
        "A client's frame with a timestamp in the envelope is refused.",
        ("ENV-06",),
        _all_types(lambda kinds: loosened(kinds, "/properties/timestamp")),
    ),
    Defect(
        "client-message-id-refused",
        "A message_id is refused on types that carry no message.",
        ("ENV-06",),
        loosened(("typing", "presence", "media_key", *SIGNALS, *_SYNC), "/properties/message_id"),
    ),
    Defect(
        "client-sender-refused",
        "A client's frame with a sender_id is refused, the true one too.",
        ("ENV-07",),
        _all_types(lambda kinds: loosened(kinds, "/properties/sender_id")),
    ),
    Defect(
        "client-device-refused",
        "A client's frame with a device_id is refused, the true one too.",
        ("ENV-07",),
        _all_types(lambda kinds: loosened(kinds, "/properties/device_id")),
    ),
    Defect(
        "null-receiver-refused",
        "A send with a receiver_id of null is refused.",
        ("ENV-11",),
        loosened("send", "/$defs/messagePayload/properties/receiver_id/anyOf/1"),
    ),
    Defect(
        "null-media-refused",
        "A send with a media_id of null is refused.",
        ("ENV-11",),
        loosened("send", "/$defs/messagePayload/properties/media_id/anyOf/1"),
    ),
    Defect(
        "null-stream-refused",
        "An ice_candidate with a sdpMid of null is refused.",
        ("ENV-11",),
        loosened("ice_candidate", "/$defs/iceCandidate/properties/sdpMid/anyOf/1"),
    ),
)


def _stamped_with(argument: str, pick: Callable[[Frame], str | None]) -> Handler:
    """A stamp takes what the client's frame claims, where it claims anything."""

    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        claimed = pick(frame)
        if claimed is None:
            original(app, session, frame)
            return

        make, deliver = app.frames.make, app.frames.deliver

        def made(kind: str, payload: Frame | None = None, **more: Any) -> bytes:
            return make(kind, payload, **{**more, argument: claimed})

        def delivered(payload: str, message: str, user: str, at: str) -> bytes:
            stamps = {"user": user, "at": at, argument: claimed}
            return deliver(payload, message, stamps["user"], stamps["at"])

        with swapped(app.frames, "make", made), swapped(app.frames, "deliver", delivered):
            original(app, session, frame)

    return wrapper


def _claimed_sender(frame: Frame) -> str | None:
    return frame.get("sender_id")


def _claimed_time(frame: Frame) -> str | None:
    found = frame.get("timestamp", frame.get("payload", {}).get("timestamp"))
    return found if isinstance(found, str) else None


CLAIMS = (
    Defect(
        "message-sender-as-claimed",
        "A message names the sender that the client's frame claims.",
        ("ENV-08",),
        handling("send", _stamped_with("user", _claimed_sender)),
    ),
    Defect(
        "call-sender-as-claimed",
        "Signaling names the sender that the client's frame claims.",
        ("ENV-08",),
        handling(SIGNALS, _stamped_with("user", _claimed_sender)),
    ),
    Defect(
        "sync-device-as-claimed",
        "A sync frame names the device that the client's frame claims.",
        ("ENV-09",),
        handling(_SYNC, _stamped_with("device", lambda frame: frame.get("device_id"))),
    ),
    Defect(
        "message-time-as-claimed",
        "A message has the timestamp that the client's frame claims.",
        ("ENV-10",),
        handling("send", _stamped_with("at", _claimed_time)),
    ),
    Defect(
        "relayed-time-as-claimed",
        "What is relayed has the timestamp that the client's frame claims.",
        ("ENV-10",),
        handling(("typing", "media_key", *SIGNALS, *_SYNC), _stamped_with("at", _claimed_time)),
    ),
)


def _to_groups(what: Handler) -> Handler:
    """What is done with messages to groups alone."""

    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        if frame["payload"].get("group_id"):
            what(original, app, session, frame)
        else:
            original(app, session, frame)

    return wrapper


ONE_WAY_ONLY = (
    Defect(
        "group-sender-as-claimed",
        "A message to a group names the sender that the client's frame claims.",
        ("ENV-08",),
        handling("send", _to_groups(_stamped_with("user", _claimed_sender))),
    ),
    Defect(
        "group-time-as-claimed",
        "A message to a group has the timestamp that the client's frame claims.",
        ("ENV-10",),
        handling("send", _to_groups(_stamped_with("at", _claimed_time))),
    ),
    Defect(
        "message-from-a-device-of-nobody",
        "A message names a device that is nobody's.",
        ("ENV-09",),
        saying("deliver", "/device_id", "5d2b1f5e-6a0d-4c57-9d0e-3f5a3b1c7e90"),
    ),
    *(
        Defect(
            f"{kind.replace('_', '-')}-sender-as-claimed",
            f"A {kind} names the sender that the client's frame claims, other signaling the true one.",
            ("ENV-08",),
            handling(kind, _stamped_with("user", _claimed_sender)),
        )
        for kind in ("call_answer", "call_reject", "call_busy", "ice_candidate")
    ),
)


def _with_twins(frame: Frame, *_: object) -> bytes:
    return orjson.dumps(frame)[:-1] + b',"type":' + orjson.dumps(frame["type"]) + b"}"


MORE = (
    Defect(
        "acks-with-a-queue",
        "A sent_ack says in `queue` where the message waits, which is nowhere documented.",
        ("ENV-05",),
        saying("sent_ack", "/payload/queue", "q-7"),
    ),
    Defect(
        "deliver-names-its-type-twice",
        "A deliver has the key `type` twice.",
        ("ENV-13",),
        sending("deliver", _with_twins),
    ),
)
