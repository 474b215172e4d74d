"""Defects in acknowledgements and status updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relaykit.reference_server import messages
from relaykit.reference_server.app import App
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import Frame, Handler, dropping, entry_of, handling
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.mailbox import DELIVERED, READ, Mailboxes
from relaykit.reference_server.session import Session


def _is_status(status: str) -> Callable[[Frame, Session, App], bool]:
    return lambda frame, _to, _app: frame["payload"]["status"] == status


STATUSES = (
    Defect(
        "no-delivered",
        "Nobody hears that a message was delivered.",
        ("MSG-21",),
        dropping("status_update", _is_status(DELIVERED)),
    ),
    Defect(
        "no-read",
        "Nobody hears that a message was read.",
        ("MSG-24",),
        dropping("status_update", _is_status(READ)),
    ),
)


def _tell_early(original: Handler, app: App, session: Session, frame: Frame) -> None:
    original(app, session, frame)
    receiver = (frame["payload"].get("receiver_id") or "").lower()
    if app.hub.of_user(receiver):
        told = {"status": DELIVERED, "recipient_id": receiver}
        app.turn.send(
            session, app.frames.make("status_update", told, user=receiver, message=frame["message_id"])
        )


def _status_to_one(original: Callable[..., None], *words: Any) -> None:
    app, sessions, *rest = words
    original(app, list(sessions)[:1], *rest)


def _first_of_many(original: Handler, app: App, session: Session, frame: Frame) -> None:
    frame["payload"]["message_ids"] = frame["payload"]["message_ids"][:1]
    original(app, session, frame)


MORE_STATUSES = (
    Defect(
        "delivered-when-written",
        "A message counts as delivered when it was written to a device.",
        ("MSG-22",),
        handling("send", _tell_early),
    ),
    Defect(
        "status-to-one-device",
        "Only one of the sender's devices gets a status_update.",
        ("MSG-27",),
        lambda seams: seams.around(messages, "_tell_status", _status_to_one),
    ),
    Defect(
        "read-receipt-counts-once",
        "A read_receipt counts for the first of its messages only.",
        ("MSG-26",),
        handling("read_receipt", _first_of_many),
    ),
)

Acknowledge = Callable[[Mailboxes, bytes, str, str, str], str | None]


def acknowledging(
    change: Callable[[Acknowledge, Mailboxes, bytes, str, str, str], str | None],
) -> Callable[[Seams], None]:
    def apply(seams: Seams) -> None:
        def acknowledge(
            original: Acknowledge, self: Mailboxes, key: bytes, user: str, device: str, status: str
        ) -> str | None:
            return change(original, self, key, user, device, status)

        seams.around(Mailboxes, "acknowledge", acknowledge)

    return apply


def sender_of(boxes: Mailboxes, key: bytes) -> str | None:
    """The sender of a message, if it exists."""
    entry = entry_of(boxes, key)
    return None if entry is None else entry.sender


def current_status(boxes: Mailboxes, key: bytes, user: str) -> str | None:
    """How far a message has come with a user; None if there is none for them."""
    entry = entry_of(boxes, key)
    return None if entry is None else boxes._status(entry, user)


def _tell_again(status: str, after: str) -> Callable[[Seams], None]:
    """An acknowledgement is told though one was before it."""

    def change(
        original: Acknowledge, boxes: Mailboxes, key: bytes, user: str, device: str, given: str
    ) -> str | None:
        before = current_status(boxes, key, user)
        told = original(boxes, key, user, device, given)
        return sender_of(boxes, key) if told is None and given == status and before == after else told

    return acknowledging(change)


def _as_the_receiver(status: str) -> Callable[[Seams], None]:
    """Anybody's acknowledgement counts as the receiver's, for all devices."""

    def change(
        original: Acknowledge, boxes: Mailboxes, key: bytes, user: str, device: str, given: str
    ) -> str | None:
        entry = entry_of(boxes, key)
        if entry is None or given != status or user == entry.target:
            return original(boxes, key, user, device, given)
        for box in list(boxes.boxes(entry.target)):
            original(boxes, key, entry.target, box.device, given)
        return None

    return acknowledging(change)


def _told_by_strangers(status: str) -> Callable[[Seams], None]:
    """Anybody's acknowledgement is told to the sender, and changes nothing."""

    def change(
        original: Acknowledge, boxes: Mailboxes, key: bytes, user: str, device: str, given: str
    ) -> str | None:
        told = original(boxes, key, user, device, given)
        if told is None and given == status and current_status(boxes, key, user) is None:
            return sender_of(boxes, key)
        return told

    return acknowledging(change)


def _read_is_no_ack(
    original: Acknowledge, boxes: Mailboxes, key: bytes, user: str, device: str, status: str
) -> str | None:
    box, entry = boxes.box(user, device), entry_of(boxes, key)
    waits = (
        box is not None
        and entry is not None
        and boxes._store.read("SELECT 1 FROM waiting WHERE box = ? AND message = ?", box.id, entry.seq)
    )
    told = original(boxes, key, user, device, status)
    if status == READ and waits and box is not None and entry is not None:
        boxes._store.write("INSERT OR IGNORE INTO waiting VALUES (?, ?)", box.id, entry.seq)
        box.waiting += 1
    return told


ACKNOWLEDGEMENTS = (
    Defect(
        "delivered-told-for-each-device",
        "Every device's delivery_ack is told.",
        ("MSG-23",),
        _tell_again(DELIVERED, DELIVERED),
    ),
    Defect("read-told-for-each-device", "Every read_receipt is told.", ("MSG-25",), _tell_again(READ, READ)),
    Defect(
        "delivered-after-read",
        "A delivery_ack is told though the message was read.",
        ("MSG-31",),
        _tell_again(DELIVERED, READ),
    ),
    Defect(
        "read-is-no-ack",
        "A message that a device has read is delivered to it again.",
        ("MSG-30",),
        acknowledging(_read_is_no_ack),
    ),
    Defect(
        "ack-from-a-stranger-counts",
        "Anybody's delivery_ack counts as the receiver's.",
        ("MSG-38",),
        _as_the_receiver(DELIVERED),
    ),
    Defect(
        "read-from-a-stranger-counts",
        "Anybody's read_receipt counts as the receiver's.",
        ("MSG-39",),
        _as_the_receiver(READ),
    ),
    Defect(
        "ack-from-a-stranger-told",
        "The sender hears of anybody's delivery_ack.",
        ("MSG-42",),
        _told_by_strangers(DELIVERED),
    ),
    Defect(
        "read-from-a-stranger-told",
        "The sender hears of anybody's read_receipt.",
        ("MSG-43",),
        _told_by_strangers(READ),
    ),
)


@defect(
    "status-for-the-present-only", "A sender who was absent does not hear what became of a message.", "MSG-28"
)
def status_for_the_present_only(seams: Seams) -> None:
    seams.around(Mailboxes, "leave_notice", lambda _original, self, *_: None)
