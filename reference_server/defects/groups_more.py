"""Defects of groups in what direct messages do rightly (acks, statuses, repeats, ids), and who returns."""

from __future__ import annotations

from collections.abc import Callable

from relaykit.reference_server import messages
from relaykit.reference_server.app import App
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import Frame, Handler, dropping, entry_of, handling
from relaykit.reference_server.defects.messages_status import Acknowledge, acknowledging
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.ids import key_of
from relaykit.reference_server.mailbox import DELIVERED, READ, Mailboxes
from relaykit.reference_server.people import People
from relaykit.reference_server.refused import Refused
from relaykit.reference_server.session import Session


def _of_a_group(boxes: Mailboxes, message: str) -> bool:
    entry = entry_of(boxes, key_of(message))
    return entry is not None and entry.target.startswith("group-")


def _told_by(status: str, *, the_sender: bool) -> Callable[[Seams], None]:
    """An acknowledgement by somebody who is no receiver is told to the sender, who may be just that."""

    def change(
        original: Acknowledge, boxes: Mailboxes, key: bytes, user: str, device: str, given: str
    ) -> str | None:
        told, entry = original(boxes, key, user, device, given), entry_of(boxes, key)
        if told is not None or entry is None or given != status or not entry.target.startswith("group-"):
            return told
        others = boxes._status(entry, user) is None and (user == entry.sender) is the_sender
        return entry.sender if others else None

    return acknowledging(change)


STATUSES = (
    Defect(
        "group-ack-from-a-stranger-told",
        "The sender of a message to a group hears of a stranger's delivery_ack.",
        ("MSG-42",),
        _told_by(DELIVERED, the_sender=False),
    ),
    Defect(
        "group-ack-from-the-sender-told",
        "The sender of a message to a group hears of their own delivery_ack.",
        ("MSG-42",),
        _told_by(DELIVERED, the_sender=True),
    ),
    Defect(
        "group-read-from-a-stranger-told",
        "The sender of a message to a group hears of a stranger's read_receipt.",
        ("MSG-43",),
        _told_by(READ, the_sender=False),
    ),
    Defect(
        "group-read-not-told",
        "Nobody hears that a message to a group was read.",
        ("MSG-24",),
        dropping(
            "status_update",
            lambda frame, _to, app: (
                frame["payload"]["status"] == READ and _of_a_group(app.mailboxes, frame["message_id"])
            ),
        ),
    ),
)


def _any_ack_counts(
    original: Acknowledge, boxes: Mailboxes, key: bytes, user: str, device: str, status: str
) -> str | None:
    """Whoever acknowledges a message to a group takes it from all who still wait for it."""
    entry = entry_of(boxes, key)
    if entry is not None and entry.target.startswith("group-") and boxes._status(entry, user) is None:
        boxes._settle()
        boxes._store.write("DELETE FROM waiting WHERE message = ?", entry.seq)
    return original(boxes, key, user, device, status)


KEPT = (
    Defect(
        "group-ack-from-a-stranger-counts",
        "Anybody's acknowledgement of a message to a group counts for those who wait for it.",
        ("MSG-38", "MSG-39"),
        acknowledging(_any_ack_counts),
    ),
)


def _group_again(original: Handler, app: App, session: Session, frame: Frame) -> None:
    key = key_of(frame["message_id"])
    known = app.mailboxes.find(key) is not None and bool(frame["payload"].get("group_id"))
    original(app, session, frame)
    if known:
        payload = dict(frame["payload"])
        payload.pop("receiver_id", None)
        payload["encrypted_content"] = payload.pop("ciphertext")
        data = app.frames.make("group_message", payload, user=session.user, message=frame["message_id"])
        for member in app.people.members(payload["group_id"].lower()) - {session.user}:
            messages._deliver(app, member, data)


REPEATED = (
    Defect(
        "group-message-repeated-delivered",
        "A message to a group that is sent again is delivered again.",
        ("MSG-35",),
        handling("send", _group_again),
    ),
)


@defect("former-member-never-returns", "Adding a former member to a group has no effect.", "GRP-02", "GRP-13")
def former_member_never_returns(seams: Seams) -> None:
    gone: set[tuple[str, str]] = set()

    def remove(original: Callable[..., None], self: People, group: str, user: str) -> None:
        original(self, group, user)
        gone.add((group, user))

    def add(original: Callable[..., None], self: People, group: str, user: str) -> None:
        if (group, user) not in gone:
            original(self, group, user)

    seams.around(People, "remove_member", remove)
    seams.around(People, "add_member", add)


@defect("refused-group-message-takes-its-id", "A message that a group refuses takes its id.", "VAL-11")
def refused_group_message_takes_its_id(seams: Seams) -> None:
    takers: dict[str, str] = {}

    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        group, key = frame["payload"].get("group_id"), frame["message_id"].lower()
        if takers.get(key, session.user) != session.user:
            raise Refused("this message_id is taken")
        if group and session.user not in app.people.members(group.lower()):
            takers[key] = session.user
        original(app, session, frame)

    handling("send", wrapper)(seams)
