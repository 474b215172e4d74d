"""Defects in the life of a message."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from relaykit.reference_server import messages, store
from relaykit.reference_server.app import App
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import (
    Frame,
    Handler,
    altering,
    doubling,
    dropping,
    handling,
    lacking,
    loosened,
    reencoded,
    saying,
    sending,
)
from relaykit.reference_server.defects.seams import Seams, swapped
from relaykit.reference_server.mailbox import READ
from relaykit.reference_server.session import Session
from relaykit.reference_server.store import Store

_MEDIA = "/payload/media_type"
_SEND = "/$defs/messagePayload/required/message_type"
_PAYLOAD = "/properties/payload/allOf"

SHAPES = (
    *(
        Defect(f"deliver-without-{name}", f"A deliver lacks its {name}.", ("MSG-04",), lacking("deliver", at))
        for name, at in (
            ("message-id", "/message_id"),
            ("sender-id", "/sender_id"),
            ("timestamp", "/timestamp"),
            ("ciphertext", "/payload/ciphertext"),
            ("message-type", "/payload/message_type"),
        )
    ),
    Defect(
        "deliver-without-receiver",
        "A deliver names neither receiver nor group.",
        ("MSG-05",),
        lacking("deliver", "/payload/receiver_id"),
    ),
    Defect(
        "sent-ack-without-message-id",
        "A sent_ack does not say which message it is for.",
        ("MSG-06",),
        lacking("sent_ack", "/message_id"),
    ),
    Defect(
        "sent-ack-without-timestamp",
        "A sent_ack has no timestamp.",
        ("MSG-06",),
        lacking("sent_ack", "/timestamp"),
    ),
    Defect(
        "sent-ack-says-stored",
        "A sent_ack has the status `stored`.",
        ("MSG-06",),
        saying("sent_ack", "/payload/status", "stored"),
    ),
    Defect(
        "status-update-without-timestamp",
        "A status_update has no timestamp.",
        ("MSG-07",),
        lacking("status_update", "/timestamp"),
    ),
    Defect(
        "status-update-without-message-id",
        "A status_update does not say which message it is about.",
        ("MSG-07",),
        lacking("status_update", "/message_id"),
    ),
    Defect(
        "status-seen",
        "A message that was read has the status `seen`.",
        ("MSG-08",),
        saying("status_update", "/payload/status", lambda status: "seen" if status == READ else status),
    ),
)


def _untyped(original: Handler, app: App, session: Session, frame: Frame) -> None:
    frame["payload"].setdefault("message_type", "text")
    original(app, session, frame)


def _nameless(original: Handler, app: App, session: Session, frame: Frame) -> None:
    frame.setdefault("message_id", str(uuid.uuid4()))
    original(app, session, frame)


@defect("send-without-message-type", "A send without a message_type is taken as a text.", "MSG-01")
def send_without_message_type(seams: Seams) -> None:
    loosened("send", _SEND)(seams)
    handling("send", _untyped)(seams)


@defect("send-without-message-id", "A send without a message_id is given one.", "MSG-01")
def send_without_message_id(seams: Seams) -> None:
    loosened("send", "/required/message_id")(seams)
    handling("send", _nameless)(seams)


def _to_either(original: Handler, app: App, session: Session, frame: Frame) -> None:
    payload = frame["payload"]
    if payload.get("receiver_id") and payload.get("group_id"):
        payload["group_id"] = None
    original(app, session, frame)


@defect("send-to-user-and-group", "A send to a user and a group goes to the user.", "MSG-02")
def send_to_user_and_group(seams: Seams) -> None:
    loosened("send", f"{_PAYLOAD}/1")(seams)
    handling("send", _to_either)(seams)


def _to_nobody(original: Handler, app: App, session: Session, frame: Frame) -> None:
    payload = frame["payload"]
    if payload.get("receiver_id") or payload.get("group_id"):
        original(app, session, frame)
    else:
        app.turn.send(session, app.frames.make("sent_ack", {"status": "sent"}, message=frame["message_id"]))


@defect("send-to-nobody", "A send to nobody is acknowledged.", "MSG-02")
def send_to_nobody(seams: Seams) -> None:
    loosened("send", f"{_PAYLOAD}/1")(seams)
    handling("send", _to_nobody)(seams)


ACCEPTED = (
    Defect(
        "send-with-half-its-media",
        "A send with a media_id and no media_type is taken.",
        ("MSG-03",),
        loosened("send", f"{_PAYLOAD}/2"),
    ),
    Defect(
        "delivery-ack-with-payload",
        "A delivery_ack whose payload is no object is taken.",
        ("MSG-10",),
        loosened("delivery_ack", "/$defs/emptyPayload/type"),
    ),
    Defect(
        "read-receipt-for-nothing",
        "A read_receipt that names no message is taken.",
        ("MSG-11",),
        loosened("read_receipt", "/properties/payload/properties/message_ids/minItems"),
    ),
    Defect(
        "read-receipt-without-end",
        "A read_receipt that names more than 256 messages is taken.",
        ("MSG-11",),
        loosened("read_receipt", "/properties/payload/properties/message_ids/maxItems"),
    ),
    Defect(
        "read-receipt-with-twins",
        "A read_receipt that names a message twice is taken.",
        ("MSG-11",),
        loosened("read_receipt", "/properties/payload/properties/message_ids/uniqueItems"),
    ),
)


@defect("delivery-ack-for-no-message", "A delivery_ack without a message_id is taken silently.", "MSG-10")
def delivery_ack_for_no_message(seams: Seams) -> None:
    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        if "message_id" in frame:
            original(app, session, frame)

    loosened("delivery_ack", "/required/message_id")(seams)
    handling("delivery_ack", wrapper)(seams)


# --- acknowledging a send ---

ACKS = (Defect("no-sent-ack", "A send is not acknowledged.", ("MSG-12",), dropping("sent_ack")),)


@defect("sent-ack-to-all-devices", "All devices of the sender get the sent_ack.", "MSG-13")
def sent_ack_to_all_devices(seams: Seams) -> None:
    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        original(app, session, frame)
        data = app.frames.make("sent_ack", {"status": "sent"}, message=frame["message_id"])
        for other in app.hub.of_user(session.user):
            if other is not session:
                app.turn.send(other, data)

    handling("send", wrapper)(seams)


_LATE_S = 1.5


@defect("ack-before-commit", "A message is acknowledged well before it is stored.", "MSG-14")
def ack_before_commit(seams: Seams) -> None:
    """The store commits late, and everything is said at once."""
    import asyncio

    waiting: list[asyncio.TimerHandle] = []

    def commit(original: Callable[[Store], None], self: Store) -> None:
        def now() -> None:
            waiting.clear()
            original(self)

        if self.dirty and not waiting:
            waiting.append(asyncio.get_running_loop().call_later(_LATE_S, now))

    def close(original: Callable[[Store], None], self: Store) -> None:
        for handle in waiting:
            handle.cancel()
        commit_now(self)
        original(self)

    commit_now = Store.commit
    seams.around(Store, "commit", commit)
    seams.around(Store, "close", close)


@defect("forgets-on-restart", "What waits for devices is forgotten when the server starts.", "MSG-15")
def forgets_on_restart(seams: Seams) -> None:
    def opened(original: Callable[[str], Any], path: str) -> Any:
        db = original(path)
        db.execute("DELETE FROM waiting")
        return db

    seams.around(store, "opened", opened)


# --- delivering ---


def _other_id(frame: Frame, _to: Session, _app: App) -> Frame:
    frame["message_id"] = str(uuid.uuid5(uuid.NAMESPACE_OID, frame["message_id"]))
    return frame


def _first_four(original: Callable[..., None], app: App, user: str, data: bytes) -> None:
    with swapped(app.hub, "of_user", lambda user: type(app.hub).of_user(app.hub, user)[:4]):
        original(app, user, data)


def _first_only(original: Callable[..., None], app: App, user: str, data: bytes) -> None:
    with swapped(app.hub, "of_user", lambda user: type(app.hub).of_user(app.hub, user)[:1]):
        original(app, user, data)


DELIVERIES = (
    Defect("deliver-never-comes", "A direct message is never delivered.", ("MSG-16",), dropping("deliver")),
    Defect(
        "deliver-under-another-id",
        "A message is delivered under an id of the server's.",
        ("MSG-16",),
        sending("deliver", _other_id),
    ),
    Defect(
        "deliver-to-one-device",
        "Only one of the receiver's devices gets a message.",
        ("MSG-17",),
        lambda seams: seams.around(messages, "_deliver", _first_only),
    ),
    Defect(
        "deliver-to-four-devices",
        "Only the first four of the receiver's connected devices get a message.",
        ("MSG-17",),
        lambda seams: seams.around(messages, "_deliver", _first_four),
    ),
    Defect(
        "ciphertext-reencoded",
        "Ciphertexts are decoded and encoded again.",
        ("MSG-18",),
        altering("deliver", "/payload/ciphertext", reencoded),
    ),
    Defect(
        "message-type-flattened",
        "Every message arrives as a text.",
        ("MSG-19",),
        altering("deliver", "/payload/message_type", lambda _: "text"),
    ),
    Defect(
        "message-type-cut",
        "A message_type is cut to 16 characters.",
        ("MSG-19",),
        altering("deliver", "/payload/message_type", lambda value: value[:16]),
    ),
    Defect(
        "media-type-cut",
        "The parameters of a media_type are cut off, and its case is changed.",
        ("MSG-19",),
        altering("deliver", _MEDIA, lambda value: value.partition(";")[0].lower() + ";v=1"),
    ),
    Defect(
        "media-dropped",
        "Messages arrive without their media fields.",
        ("MSG-19",),
        sending("deliver", lambda frame, *_: _without_media(frame)),
    ),
    Defect("deliver-twice", "Every message is delivered twice.", ("MSG-20",), doubling("deliver")),
)


def _without_media(frame: Frame) -> Frame:
    for name in ("media_id", "media_type"):
        frame["payload"].pop(name, None)
    return frame
