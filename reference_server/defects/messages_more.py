"""Defects where a message is sent again, under a foreign id, out of order, or to one seen as offline."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from relaykit.reference_server import messages
from relaykit.reference_server.app import App
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import Frame, Handler, altering, entry_of, handling
from relaykit.reference_server.defects.blocks_said import overtaken
from relaykit.reference_server.defects.messages_status import sender_of
from relaykit.reference_server.defects.seams import Seams, swapped
from relaykit.reference_server.ids import key_of
from relaykit.reference_server.mailbox import READ
from relaykit.reference_server.session import Session


def _if_repeated(what: Handler) -> Handler:
    """A handler of `send` that does something else with a message_id which the same user has used."""

    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        if sender_of(app.mailboxes, key_of(frame["message_id"])) == session.user:
            what(original, app, session, frame)
        else:
            original(app, session, frame)

    return wrapper


def _if_stolen(what: Handler) -> Handler:
    """A handler of `send` that does something else with a message_id which another user has used."""

    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        if sender_of(app.mailboxes, key_of(frame["message_id"])) in (None, session.user):
            original(app, session, frame)
        else:
            what(original, app, session, frame)

    return wrapper


def _stored_frame(app: App, session: Session, frame: Frame) -> bytes:
    return app.frames.make("deliver", dict(frame["payload"]), user=session.user, message=frame["message_id"])


def _replace(original: Handler, app: App, session: Session, frame: Frame) -> None:
    """Put the new content in the place of the old one."""
    data, boxes = _stored_frame(app, session, frame), app.mailboxes
    entry = entry_of(boxes, key_of(frame["message_id"]))
    boxes._settle()
    if entry is not None:
        app.store.write("UPDATE messages SET frame = ? WHERE seq = ?", bytearray(data), entry.seq)
    app.turn.send(session, app.frames.make("sent_ack", {"status": "sent"}, message=frame["message_id"]))


def _deliver_again(original: Handler, app: App, session: Session, frame: Frame) -> None:
    original(app, session, frame)
    receiver = (frame["payload"].get("receiver_id") or "").lower()
    messages._deliver(app, receiver, _stored_frame(app, session, frame))


def _take_over(original: Handler, app: App, session: Session, frame: Frame) -> None:
    """The message is the second sender's from now on: status updates go there."""
    key = key_of(frame["message_id"])
    ledger = app.mailboxes._ledger
    for recents in (ledger._recent, ledger._older):
        if key in recents:
            seq, _, target, status = recents[key]
            recents[key] = (seq, session.user, target, status)
    app.turn.send(session, app.frames.make("sent_ack", {"status": "sent"}, message=frame["message_id"]))


def _late(original: Handler, app: App, session: Session, frame: Frame) -> None:
    """Handle the frame a moment later than what came behind it."""

    def now() -> None:
        app.turn.schedule()
        if not session.closed:
            mark = app.turn.mark
            original(app, session, frame)
            app.turn.bind(mark, session.link, frame.get("message_id"))

    app.clock.call_later(0.03, now)


def _deliver_again_if_read(original: Handler, app: App, session: Session, frame: Frame) -> None:
    entry = entry_of(app.mailboxes, key_of(frame["message_id"]))
    if entry is not None and app.mailboxes._status(entry, entry.target) == READ:
        _deliver_again(original, app, session, frame)
    else:
        original(app, session, frame)


AGAIN = (
    Defect(
        "repeated-send-unanswered",
        "A message that is sent again is not acknowledged again.",
        ("MSG-33",),
        handling("send", _if_repeated(lambda *_: None)),
    ),
    Defect(
        "repeated-send-replaces",
        "A message that is sent again replaces the content of the first.",
        ("MSG-34",),
        handling("send", _if_repeated(_replace)),
    ),
    Defect(
        "repeated-send-delivered",
        "A message that is sent again is delivered again.",
        ("MSG-35",),
        handling("send", _if_repeated(_deliver_again)),
    ),
    Defect(
        "read-message-repeated-delivered",
        "A message that was read and is sent again is delivered again.",
        ("MSG-35",),
        handling("send", _if_repeated(_deliver_again_if_read)),
    ),
    Defect(
        "stolen-id-replaces",
        "A message under another sender's message_id replaces that one's content.",
        ("MSG-37",),
        handling("send", _if_stolen(_replace)),
    ),
    Defect(
        "stolen-id-takes-the-status",
        "A message under another sender's message_id takes over its status updates.",
        ("MSG-37",),
        handling("send", _if_stolen(_take_over)),
    ),
    Defect(
        "send-handled-late",
        "A send is handled after the frames that follow it.",
        ("MSG-40",),
        handling("send", _late),
    ),
)


SWAPPED = (
    Defect(
        "order-swapped",
        "Of two messages close on each other the second arrives first.",
        ("MSG-41",),
        overtaken(lambda data: orjson.loads(data)["type"] in ("deliver", "group_message"), 0.05),
    ),
)


def _as_if_accepted(_original: Handler, app: App, session: Session, frame: Frame) -> None:
    app.turn.send(session, app.frames.make("sent_ack", {"status": "sent"}, message=frame["message_id"]))


STOLEN = (
    Defect(
        "stolen-id-acknowledged",
        "A message under another sender's message_id is acknowledged, and dropped.",
        ("MSG-36",),
        handling("send", _if_stolen(_as_if_accepted)),
    ),
)


@defect("ids-forgotten-on-restart", "A message that is sent again after a restart is a new one.", "MSG-35")
def ids_forgotten_on_restart(seams: Seams) -> None:
    mine: set[bytes] = set()

    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        boxes, key = app.mailboxes, key_of(frame["message_id"])
        if key not in mine:
            with swapped(boxes, "find", lambda _key: None):
                original(app, session, frame)
        else:
            original(app, session, frame)
        mine.add(key)

    handling("send", wrapper)(seams)


@defect("direct-messages-overtaken", "Messages to a group overtake direct ones of the same sender.", "MSG-41")
def direct_messages_overtaken(seams: Seams) -> None:
    def deliver(original: Callable[..., None], app: App, user: str, data: bytes) -> None:
        def now() -> None:
            app.turn.schedule()
            original(app, user, data)

        if b'"group_message"' in data:
            original(app, user, data)
        else:
            app.clock.call_later(0.03, now)

    seams.around(messages, "_deliver", deliver)


_COLUMN = 16_384

CUT = (
    Defect(
        "long-ciphertext-cut",
        f"Of a ciphertext no more than {_COLUMN} characters arrive.",
        ("MSG-18",),
        altering("deliver", "/payload/ciphertext", lambda text: text[:_COLUMN]),
    ),
)


@defect("seen-as-offline-gets-nothing", "A user whose status is `offline` gets no message.", "MSG-17")
def seen_as_offline_gets_nothing(seams: Seams) -> None:
    def deliver(original: Callable[..., None], app: App, user: str, data: bytes) -> None:
        if app.presence.statuses.get(user) != "offline":
            original(app, user, data)

    seams.around(messages, "_deliver", deliver)
