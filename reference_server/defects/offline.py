"""Defects in what waits for devices that are away."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from relaykit.reference_server import messages
from relaykit.reference_server.app import App
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import Frame, Handler, entry_of, handling
from relaykit.reference_server.defects.messages_status import Acknowledge, acknowledging
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.ids import key_of
from relaykit.reference_server.mailbox import Box, Mailboxes
from relaykit.reference_server.session import Session

Rows = list[tuple[int, bytes]]
Drain = Callable[[App, Session], None]


def _reading(change: Callable[[Mailboxes, Box, Rows], Rows]) -> Callable[[Seams], None]:
    """What is read from a box for its device comes out changed."""

    def apply(seams: Seams) -> None:
        def waiting(original: Callable[..., Rows], self: Mailboxes, box: Box, after: int, limit: int) -> Rows:
            return change(self, box, original(self, box, after, limit))

        seams.around(Mailboxes, "waiting", waiting)

    return apply


def _delete_what_is_read(boxes: Mailboxes, box: Box, rows: Rows) -> Rows:
    for seq, _ in rows:
        boxes._store.write("DELETE FROM waiting WHERE box = ? AND message = ?", box.id, seq)
    box.waiting -= len(rows)
    return rows


def _written_anew(change: Callable[[Frame], None]) -> Callable[[Mailboxes, Box, Rows], Rows]:
    def changed(_boxes: Mailboxes, _box: Box, rows: Rows) -> Rows:
        made = []
        for seq, data in rows:
            frame = orjson.loads(data)
            change(frame)
            made.append((seq, orjson.dumps(frame)))
        return made

    return changed


def _forget_the_sender(frame: Frame) -> None:
    if frame["type"] == "deliver":
        frame["sender_id"] = frame["payload"]["receiver_id"]


def _forget_the_kind(frame: Frame) -> None:
    frame["payload"]["message_type"] = "text"


def _unanswered_if_away(original: Handler, app: App, session: Session, frame: Frame) -> None:
    receiver = (frame["payload"].get("receiver_id") or "").lower()
    mark = app.turn.mark
    original(app, session, frame)
    if receiver and not app.hub.of_user(receiver):
        app.turn.retract(mark)


def _keep(
    original: Acknowledge, boxes: Mailboxes, key: bytes, user: str, device: str, status: str
) -> str | None:
    """An acknowledgement is told, but the message goes on waiting."""
    box, entry = boxes.box(user, device), entry_of(boxes, key)
    told = original(boxes, key, user, device, status)
    if box is not None and entry is not None and boxes._status(entry, user) is not None:
        boxes._store.write("INSERT OR IGNORE INTO waiting VALUES (?, ?)", box.id, entry.seq)
    return told


def _take_from_all(
    original: Acknowledge, boxes: Mailboxes, key: bytes, user: str, device: str, status: str
) -> str | None:
    told = original(boxes, key, user, device, status)
    entry = entry_of(boxes, key)
    if entry is not None and boxes._status(entry, user) is not None:
        for box in boxes.boxes(user):
            boxes._store.write("DELETE FROM waiting WHERE box = ? AND message = ?", box.id, entry.seq)
    return told


def _live_is_enough(original: Callable[..., None], app: App, user: str, data: bytes) -> None:
    """What was written to a connected device waits for it no longer."""
    original(app, user, data)
    frame = orjson.loads(data)
    name = frame.get("message_id") or frame["payload"]["message_id"]
    entry = entry_of(app.mailboxes, key_of(name))
    app.mailboxes._settle()
    for session in app.hub.of_user(user):
        box = app.mailboxes.box(user, session.device)
        if box is not None and entry is not None and session.cursor is None:
            app.store.write("DELETE FROM waiting WHERE box = ? AND message = ?", box.id, entry.seq)


WAITING = (
    Defect(
        "nothing-waits",
        "What comes while a device is away is never delivered to it.",
        ("OFF-01",),
        _reading(lambda _boxes, _box, _rows: []),
    ),
    Defect(
        "absent-receiver-unacknowledged",
        "A message to a receiver who is away is stored, and not acknowledged.",
        ("OFF-02",),
        handling("send", _unanswered_if_away),
    ),
    Defect(
        "written-once-is-enough",
        "A message is delivered to a device that returns once, acknowledged or not.",
        ("OFF-03",),
        _reading(_delete_what_is_read),
    ),
    Defect(
        "written-live-is-enough",
        "A message that was written to a connected device does not wait for its acknowledgement.",
        ("OFF-03",),
        lambda seams: seams.around(messages, "_deliver", _live_is_enough),
    ),
    Defect(
        "redelivered-after-the-ack",
        "A message that a device has acknowledged is delivered to it at each reconnect.",
        ("OFF-04",),
        acknowledging(_keep),
    ),
    Defect(
        "one-ack-for-all-devices",
        "The acknowledgement of one device takes the message from all of the user's.",
        ("OFF-05",),
        acknowledging(_take_from_all),
    ),
    Defect(
        "late-message-from-another",
        "A message that waited names another sender.",
        ("OFF-06",),
        _reading(_written_anew(_forget_the_sender)),
    ),
    Defect(
        "late-message-is-text",
        "A message that waited has lost its message_type.",
        ("OFF-06",),
        _reading(_written_anew(_forget_the_kind)),
    ),
    Defect(
        "backlog-reversed",
        "Messages that waited arrive with the newest first.",
        ("OFF-10",),
        _reading(lambda _boxes, _box, rows: _reversed(rows)),
    ),
)


def _reversed(rows: Rows) -> Rows:
    places = [seq for seq, _ in rows]
    return list(zip(places, (data for _, data in reversed(rows)), strict=True))


def _registering(change: Callable[[Mailboxes, str, str], None]) -> Callable[[Seams], None]:
    """Something more is done with a device that is new."""

    def apply(seams: Seams) -> None:
        def register(original: Callable[..., bool], self: Mailboxes, user: str, device: str) -> bool:
            new = original(self, user, device)
            if new:
                self._settle()
                change(self, user, device)
                self._boxes.pop(user, None)
            return new

        seams.around(Mailboxes, "register", register)

    return apply


def _empty(boxes: Mailboxes, user: str, device: str) -> None:
    box = boxes.box(user, device)
    if box is not None:
        boxes._store.write("DELETE FROM waiting WHERE box = ?", box.id)


def _fill(boxes: Mailboxes, user: str, device: str) -> None:
    box = boxes.box(user, device)
    if box is not None:
        boxes._store.write(
            "INSERT OR IGNORE INTO waiting SELECT ?, seq FROM messages WHERE target = ? AND frame != x''",
            box.id,
            user,
        )


@defect("history-for-every-device", "A new device gets all messages that its user ever got.", "OFF-08")
def history_for_every_device(seams: Seams) -> None:
    def end_turn(_original: Callable[[Mailboxes], None], self: Mailboxes) -> None:
        self._settle()
        self._let_go.clear()  # no content is ever dropped

    _registering(_fill)(seams)
    seams.around(Mailboxes, "_end_turn", end_turn)


FIRST_DEVICE = (
    Defect(
        "no-backlog-for-the-first-device",
        "The first device of a user gets nothing of what waited for the user.",
        ("OFF-07",),
        _registering(_empty),
    ),
)


@defect("new-before-waiting", "New messages arrive before those that waited.", "OFF-09")
def new_before_waiting(seams: Seams) -> None:
    """What waits is sent a moment after the session began; what comes meanwhile is sent at once."""
    overtaken: dict[Session, set[bytes]] = {}

    def deliver(_original: Callable[..., None], app: App, user: str, data: bytes) -> None:
        for session in app.hub.of_user(user):
            if session.cursor is not None:
                overtaken.setdefault(session, set()).add(data)
            app.turn.send(session, data)

    def waiting(original: Callable[..., Rows], self: Mailboxes, box: Box, after: int, limit: int) -> Rows:
        sent = {data for known in overtaken.values() for data in known}
        return [row for row in original(self, box, after, limit) if row[1] not in sent]

    def resume(original: Callable[..., None], self: App, session: Session) -> None:
        if session.cursor == 0:
            self.clock.call_later(0.15, partial(_resume, original, self, session))
        else:
            original(self, session)

    def _resume(original: Callable[..., Any], app: App, session: Session) -> None:
        app.turn.schedule()
        original(app, session)

    seams.around(messages, "_deliver", deliver)
    seams.around(Mailboxes, "waiting", waiting)
    seams.around(App, "resume", resume)


@defect("acks-forgotten-on-restart", "Acknowledgements are forgotten when the server ends.", "OFF-04")
def acks_forgotten_on_restart(seams: Seams) -> None:
    """Acknowledgements are kept in memory alone; in the store the messages go on waiting."""
    acknowledged: set[tuple[int, int]] = set()

    def acknowledge(
        original: Acknowledge, self: Mailboxes, key: bytes, user: str, device: str, status: str
    ) -> str | None:
        told = _keep(original, self, key, user, device, status)
        box, entry = self.box(user, device), entry_of(self, key)
        if box is not None and entry is not None:
            acknowledged.add((box.id, entry.seq))
        return told

    def waiting(original: Callable[..., Rows], self: Mailboxes, box: Box, after: int, limit: int) -> Rows:
        return [row for row in original(self, box, after, limit) if (box.id, row[0]) not in acknowledged]

    def end_turn(_original: Callable[[Mailboxes], None], self: Mailboxes) -> None:
        self._settle()
        self._let_go.clear()

    seams.around(Mailboxes, "acknowledge", acknowledge)
    seams.around(Mailboxes, "waiting", waiting)
    seams.around(Mailboxes, "_end_turn", end_turn)


@defect(
    "backlog-cut",
    "Of what waits for a device, sixty-four messages alone come.",
    "OFF-01",
)
def backlog_cut(seams: Seams) -> None:
    def waiting(original: Callable[..., Rows], self: Mailboxes, box: Box, after: int, limit: int) -> Rows:
        return [] if after else original(self, box, after, limit)

    seams.around(Mailboxes, "waiting", waiting)


def _for_those_present(original: Handler, app: App, session: Session, frame: Frame) -> None:
    original(app, session, frame)
    receiver = (frame["payload"].get("receiver_id") or "").lower()
    entry = entry_of(app.mailboxes, key_of(frame["message_id"]))
    if entry is None or not app.hub.of_user(receiver):
        return
    app.mailboxes._settle()
    for box in app.mailboxes.boxes(receiver):
        if not app.hub.of_device(receiver, box.device):
            app.store.write("DELETE FROM waiting WHERE box = ? AND message = ?", box.id, entry.seq)


PRESENT = (
    Defect(
        "absent-device-passed-over",
        "A message waits for no device that is away while another one is connected.",
        ("OFF-01", "MSG-17"),
        handling("send", _for_those_present),
    ),
)
