"""The life of a message (source: 6, 10 to 12; decisions, section 3: message life, offline, acks, groups)."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from relaykit.reference_server import legacy
from relaykit.reference_server.ids import key_of, text_of
from relaykit.reference_server.mailbox import DELIVERED, READ, SENT
from relaykit.reference_server.refused import SERVER_ERROR, Refused
from relaykit.reference_server.session import Session
from relaykit.reference_server.store import StoreError

if TYPE_CHECKING:
    from relaykit.reference_server.app import App

log = logging.getLogger(__name__)

Frame = dict[str, Any]

_write = orjson.dumps
_SENT = _write({"status": SENT}).decode()
_FULL = (
    "refusing messages to %s: %s of user %s has left %d unacknowledged (limits: waiting_per_user);"
    " if it is abandoned, revoke it, or take its user out of the group"
)
# How much of a backlog is read and queued at a time; the rest follows as the client reads.
_BATCH_MESSAGES = 64
_BATCH_BYTES = 256 * 1024
_BATCH_NOTICES = 256


def send(app: App, session: Session, frame: Frame) -> None:
    """Store a message, acknowledge it, deliver it."""
    message_id, payload, at = frame["message_id"], frame["payload"], app.turn.now()
    key = key_of(message_id)
    known = app.mailboxes.find(key)
    if known is None:
        try:
            if payload.get("group_id") is None:
                _to_user(app, session, key, message_id, payload, at)
            else:
                _to_group(app, session, key, message_id, payload, at)
        except Refused as refused:
            if refused.code == SERVER_ERROR:  # no fault of this frame: whoever runs the server is to know
                what = "refusing a message of user %s: %s"
                app.sparing.warn(log, what, session.user, refused.text, about=session.user)
            raise
    elif known.sender == session.user:
        # It was sent before, and the acknowledgement was lost: this is another, and the first content stays.
        _acknowledge(app, session, message_id, at)
    else:
        raise Refused("this message_id is taken")


def _acknowledge(app: App, session: Session, message_id: str, at: str) -> None:
    """Say that a message is stored: before it is delivered, lest its sender wait for a large group."""
    app.turn.send(session, app.frames.sent_ack(_SENT, message_id, at))


def _to_user(app: App, session: Session, key: bytes, message_id: str, payload: Frame, at: str) -> None:
    receiver = payload["receiver_id"].lower()
    data = app.frames.deliver(_write(payload).decode(), message_id, session.user, at)
    if not app.mailboxes.add(key, session.user, receiver, data):
        _warn_full(app, receiver, (receiver,))
        raise Refused("the recipient has too many waiting messages")
    app.people.note_written(session.user, receiver)
    _acknowledge(app, session, message_id, at)
    _deliver(app, receiver, data)


def _to_group(app: App, session: Session, key: bytes, message_id: str, payload: Frame, at: str) -> None:
    group = payload["group_id"].lower()
    members = app.people.members(group)
    if session.user not in members:
        raise Refused("no such group, or you are not a member of it")
    others = sorted(members - {session.user})
    content = {name: value for name, value in payload.items() if name not in ("ciphertext", "receiver_id")}
    content["encrypted_content"] = payload["ciphertext"]
    data = app.frames.make("group_message", content, user=session.user, message=message_id, at=at)
    if not app.mailboxes.add(key, session.user, group, data, members=others):
        _warn_full(app, group, others)
        raise Refused("a member of the group has too many waiting messages")
    _acknowledge(app, session, message_id, at)
    for member in others:
        _deliver(app, member, data)


def _warn_full(app: App, target: str, users: Iterable[str]) -> None:
    """Name the device that keeps others from sending, for whoever can do something about it.

    A group is held up by one of its members' devices: that device is to get whatever is acknowledged
    (GRP-02, GRP-03, LIM-20), and here it would lose some.
    """
    user, box = next(app.mailboxes.full(users))
    device = f"device {box.device}" if box.device else "the first device"
    app.sparing.warn(log, _FULL, target, device, user, box.waiting, about=box.id)


def _deliver(app: App, user: str, data: bytes) -> None:
    for session in app.hub.of_user(user):
        if session.cursor is None:  # the others get it in its turn, after what waited before it
            app.turn.send(session, legacy.rewritten(app, data) if session.legacy else data)


def legacy_message(app: App, session: Session, frame: Frame) -> None:
    """The deprecated way to send: the server names the message, whatever the client calls it."""
    if not app.settings.legacy_frames:
        raise Refused("frames of type message are deprecated and not served here; use send")
    send(app, session, legacy.as_send(frame, str(uuid.uuid4())))


# --- acknowledgements: from anyone but a recipient they change nothing, and nobody is told ---


def delivery_ack(app: App, session: Session, frame: Frame) -> None:
    """A device has a message."""
    _advance(app, session, frame["message_id"], DELIVERED)


def read_receipt(app: App, session: Session, frame: Frame) -> None:
    """A user has read messages; that implies that this device has them."""
    for message_id in frame["payload"]["message_ids"]:
        _advance(app, session, message_id, READ)


def _advance(app: App, session: Session, message_id: str, status: str) -> None:
    key = key_of(message_id)
    sender = app.mailboxes.acknowledge(key, session.user, session.device, status)
    if sender is None:
        return
    at = app.turn.now()
    sessions = app.hub.of_user(sender)
    if not sessions:
        app.mailboxes.leave_notice(sender, key, session.user, status, at)
        return
    if any(one.untold for one in sessions):  # an earlier status that still waits must not come after this
        app.mailboxes.drop_notice(sender, key, session.user)
    _tell_status(app, sessions, message_id, session.user, status, at)


def _tell_status(
    app: App, sessions: Iterable[Session], message_id: str, recipient: str, status: str, at: str
) -> None:
    forms: dict[bool, bytes] = {}
    for session in sessions:
        data = forms.get(session.legacy)
        if data is None:
            payload = {"status": status, "recipient_id": recipient}
            if session.legacy:
                data = app.frames.make("message_status", payload, user=recipient, message=message_id, at=at)
            else:
                data = app.frames.status_update(_write(payload).decode(), message_id, at)
            forms[session.legacy] = data
        app.turn.send(session, data)


# --- coming back ---


def entered(app: App, session: Session) -> None:
    """A session begins: it gets the status updates that waited for its user; if they are many, the first."""
    notices = app.mailboxes.take_notices(session.user, _BATCH_NOTICES)
    session.untold = len(notices) == _BATCH_NOTICES
    for notice in notices:
        message_id = text_of(notice.message)
        _tell_status(app, (session,), message_id, notice.recipient, notice.status, notice.at)


def _more_notices(app: App, session: Session) -> None:
    """Say the next ones, if they could be taken from the store."""
    mark = app.turn.mark
    with contextlib.suppress(StoreError):  # the commit will fail, too
        entered(app, session)
    app.turn.bind(mark, session.link, partial(_cannot_drain, app, session))
    app.resume(session)


def _cannot_drain(app: App, session: Session) -> None:
    app.turn.send(session, app.frames.error(SERVER_ERROR, "what has waited cannot be read"))
    app.end(session, 1011, "what has waited cannot be read")


def drain(app: App, session: Session) -> None:
    """Queue some of the messages that wait for a session's device. Runs between turns, on committed data."""
    if session.closed or session.cursor is None or session.link.paused:
        return  # if it is paused, it goes on when the client has read
    if session.untold:
        _more_notices(app, session)
        return
    try:
        box = app.mailboxes.box(session.user, session.device)
        rows = app.mailboxes.waiting(box, session.cursor, _BATCH_MESSAGES) if box else []
        if session.legacy:
            rows = [(seq, legacy.rewritten(app, data)) for seq, data in rows]
            app.turn.schedule()  # it may have written
    except StoreError:
        _cannot_drain(app, session)
        return
    size = 0
    for seq, data in rows:
        session.link.put(data)
        session.cursor = seq
        size += len(data)
        if size >= _BATCH_BYTES:
            break
    else:
        if len(rows) < _BATCH_MESSAGES:
            session.cursor = None  # from now on it gets new ones as they come
            return
    app.resume(session)
