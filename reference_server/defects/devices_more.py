"""Defects in what pending, approved, denied and revoked devices may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from relaykit.reference_server import devices, dispatch
from relaykit.reference_server.app import App
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import Apply, Frame, Handler, handling, sending
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.devices_store import ACTIVE, DENIED, REVOKED, Devices
from relaykit.reference_server.mailbox import Mailboxes
from relaykit.reference_server.refused import AUTH_FAILED
from relaykit.reference_server.session import Session


@defect("pending-device-gets-messages", "A pending device gets its user's messages.", "DEV-21")
def pending_device_gets_messages(seams: Seams) -> None:
    from relaykit.reference_server import messages

    def deliver(original: Callable[..., None], app: App, user: str, data: bytes) -> None:
        original(app, user, data)
        for session in app.pending.of_user(user):
            app.turn.send(session, data)

    seams.around(messages, "_deliver", deliver)


def refusing_pending(change: Callable[..., None]) -> Callable[[Seams], None]:
    """Something else becomes of what a pending device sends."""

    def apply(seams: Seams) -> None:
        def handle(original: Handler, self: dispatch.Dispatcher, session: Session, frame: Frame) -> None:
            if session.pending:
                change(original, self, session, frame)
            else:
                original(self, session, frame)

        seams.around(dispatch.Dispatcher, "_handle", handle)

    return apply


def _no_heartbeat(original: Handler, it: Any, session: Session, frame: Frame) -> None:
    if frame["type"] != "heartbeat":
        original(it, session, frame)


def _pong_refused(original: Handler, it: Any, session: Session, frame: Frame) -> None:
    if frame["type"] == "pong":
        it._refuse(session, AUTH_FAILED, devices.NOT_YET, frame)
    else:
        original(it, session, frame)


def _silently(original: Handler, it: Any, session: Session, frame: Frame) -> None:
    if frame["type"] in devices.KEEP_ALIVES:
        original(it, session, frame)


def in_effect(original: Handler, it: Any, session: Session, frame: Frame) -> None:
    """The frame is refused, and has its effect all the same."""
    app = it._app
    original(it, session, frame)
    if frame["type"] not in devices.KEEP_ALIVES:
        said = app.turn.mark
        it._handlers[frame["type"]](app, session, frame)
        mine = [item for item in app.turn._said[said:] if item[0] is not session.link]
        app.turn._said[said:] = mine


PENDING_ONES = (
    Defect(
        "pending-heartbeat-unanswered",
        "The heartbeat of a pending device is not answered.",
        ("DEV-22",),
        refusing_pending(_no_heartbeat),
    ),
    Defect(
        "pending-pong-refused",
        "The pong of a pending device is answered with an error.",
        ("DEV-23",),
        refusing_pending(_pong_refused),
    ),
    Defect(
        "pending-device-ignored",
        "What a pending device sends is dropped without a word.",
        ("DEV-24",),
        refusing_pending(_silently),
    ),
    Defect(
        "pending-device-has-effect",
        "What a pending device sends is refused, and has its effect all the same.",
        ("DEV-25",),
        refusing_pending(in_effect),
    ),
)


def _standing(change: Callable[[str], str]) -> Callable[[Seams], None]:
    """A device counts as something else."""

    def apply(seams: Seams) -> None:
        def standing(original: Callable[..., str], self: Devices, user: str, device: str) -> str:
            return change(original(self, user, device))

        seams.around(Devices, "standing", standing)

    return apply


AT_THE_DOOR = (
    Defect(
        "denied-device-returns",
        "A denied device that connects again is served.",
        ("DEV-28",),
        _standing(lambda standing: ACTIVE if standing == DENIED else standing),
    ),
    Defect(
        "revoked-device-returns",
        "The token of a revoked device is accepted.",
        ("DEV-31",),
        _standing(lambda standing: ACTIVE if standing == REVOKED else standing),
    ),
)


@defect("approved-device-not-served", "A device that was approved is still not served.", "DEV-26")
def approved_device_not_served(seams: Seams) -> None:
    approved: set[tuple[str, str]] = set()

    def close(original: Callable[..., None], self: Devices, request: Any, *_: Any, **named: bool) -> None:
        original(self, request, **named)
        if named["approved"]:
            approved.add((request.user, request.device))

    def handle(original: Handler, self: dispatch.Dispatcher, session: Session, frame: Frame) -> None:
        known = (session.user, session.device) in approved
        if known and frame["type"] not in devices.KEEP_ALIVES:
            self._refuse(session, AUTH_FAILED, devices.NOT_YET, frame)
        else:
            original(self, session, frame)

    seams.around(Devices, "close", close)
    seams.around(dispatch.Dispatcher, "_handle", handle)
    to_approved = lambda frame, to, _app: None if (to.user, to.device) in approved else frame  # noqa: E731
    sending(("deliver", "group_message"), to_approved)(seams)


@defect("approved-device-gets-the-past", "A device that was approved gets what was sent before.", "DEV-27")
def approved_device_gets_the_past(seams: Seams) -> None:
    def close(original: Callable[..., None], self: Devices, request: Any, *_: Any, **named: bool) -> None:
        original(self, request, **named)
        box = self._mailboxes.box(request.user, request.device)
        if named["approved"] and box is not None:
            self._store.write(
                "INSERT OR IGNORE INTO waiting SELECT ?, seq FROM messages WHERE target = ? AND frame != x''",
                box.id,
                request.user,
            )

    def end_turn(_original: Callable[[Mailboxes], None], self: Mailboxes) -> None:
        self._settle()
        self._let_go.clear()  # no content is ever dropped

    seams.around(Devices, "close", close)
    seams.around(Mailboxes, "_end_turn", end_turn)


# --- revocation ---


def _turning_out(change: Callable[..., None]) -> Callable[[Seams], None]:
    def apply(seams: Seams) -> None:
        def turn_out(original: Callable[..., None], app: App, sessions: Any, text: str) -> None:
            change(original, app, sessions, text)

        seams.around(devices, "_turn_out", turn_out)

    return apply


def _unless_revoked(original: Callable[..., None], app: App, sessions: Any, text: str) -> None:
    if "revoked" not in text:
        original(app, sessions, text)


def _without_a_word(_original: Callable[..., None], app: App, sessions: Any, text: str) -> None:
    for session in sessions:
        app.end(session, 1008, text)


def _come_again(_original: Callable[..., None], app: App, sessions: Any, text: str) -> None:
    for session in sessions:
        app.turn.send(session, app.frames.error(AUTH_FAILED, text, reconnect=True))
        app.end(session, 1008, text)


def _all_of_them(original: Callable[..., None], app: App, sessions: Any, text: str) -> None:
    every = {id(one): one for session in sessions for one in app.hub.of_user(session.user)}
    original(app, [*sessions, *(one for one in every.values() if one not in sessions)], text)


REVOKED_ONES = (
    Defect(
        "revoked-device-stays",
        "The connections of a revoked device stay, though what it sends has no effect.",
        ("DEV-29",),
        lambda seams: _deaf(seams),
    ),
    Defect(
        "revoked-without-a-word",
        "The connections of a revoked device are closed without an error.",
        ("DEV-30",),
        _turning_out(_without_a_word),
    ),
    Defect(
        "revoked-but-welcome",
        "A revoked device is told to reconnect.",
        ("DEV-30",),
        _turning_out(_come_again),
    ),
    Defect(
        "revoked-with-all-others",
        "Revoking a device closes the connections of the user's other devices, too.",
        ("DEV-34",),
        _turning_out(_all_of_them),
    ),
)


def _deaf(seams: Seams) -> None:
    """Connections of a revoked device are left open, and are heard no more."""
    revoked: set[tuple[str, str]] = set()

    def revoke(original: Callable[..., None], self: Devices, user: str, device: str) -> None:
        original(self, user, device)
        revoked.add((user, device))

    def handle(original: Handler, app: App, session: Session, frame: Frame) -> None:
        if (session.user, session.device) not in revoked:
            original(app, session, frame)

    seams.around(Devices, "revoke", revoke)
    _turning_out(_unless_revoked)(seams)
    handling("*", handle)(seams)


@defect("revoking-undoes", "Revoking a device undoes what it has sent and nobody has acknowledged.", "DEV-32")
def revoking_undoes(seams: Seams) -> None:
    def revoke(original: Callable[..., None], self: Devices, user: str, device: str) -> None:
        original(self, user, device)
        self._store.write(
            "DELETE FROM waiting WHERE message IN (SELECT seq FROM messages WHERE sender = ?)", user
        )

    seams.around(Devices, "revoke", revoke)


@defect("revoked-device-still-heard", "Until its connection has closed, a revoked device is heard.", "DEV-33")
def revoked_device_still_heard(seams: Seams) -> None:
    """The connection is closed a moment after the error, and frames are served until then."""

    def late(_original: Callable[..., None], app: App, sessions: Any, text: str) -> None:
        for session in sessions:
            app.turn.send(session, app.frames.error(AUTH_FAILED, text, reconnect=False))

            def close(session: Session = session) -> None:
                app.turn.schedule()
                app.end(session, 1008, text)

            app.clock.call_later(1.0, close)

    _turning_out(late)(seams)


def _succeeded_by(heir: Callable[[Devices, str], str | None]) -> Apply:
    """When the primary device is revoked, another one than the oldest becomes primary, or none."""

    def apply(seams: Seams) -> None:
        orphans: set[str] = set()

        def revoke(original: Callable[..., None], self: Devices, user: str, device: str) -> None:
            if self.primary(user) == device:
                orphans.add(user)
            original(self, user, device)

        def primary(original: Callable[..., str | None], self: Devices, user: str) -> str | None:
            return heir(self, user) if user in orphans else original(self, user)

        seams.around(Devices, "revoke", revoke)
        seams.around(Devices, "primary", primary)

    return apply


SUCCESSION = (
    Defect(
        "no-primary-after-revocation",
        "When the primary device is revoked, there is none.",
        ("DEV-35",),
        _succeeded_by(lambda _devices, _user: None),
    ),
    Defect(
        "newest-becomes-primary",
        "When the primary device is revoked, the newest becomes primary.",
        ("DEV-35",),
        _succeeded_by(lambda devices, user: next(reversed(devices.approved(user)), None)),
    ),
)


@defect("lapse-not-told", "A device whose request expires undecided hears nothing of it.", "DEV-18")
def lapse_not_told(seams: Seams) -> None:
    def tell(
        original: Callable[..., None],
        app: App,
        session: Session,
        request_id: str,
        *,
        approved: bool,
        text: str | None = None,
    ) -> None:
        if approved or text != devices._LAPSED:
            original(app, session, request_id, approved=approved, text=text)

    seams.around(devices, "_tell", tell)


@defect(
    "revocation-forgotten-on-restart",
    "Who was revoked is forgotten when the server ends.",
    "DEV-31",
)
def revocation_forgotten_on_restart(seams: Seams) -> None:
    revoked: set[tuple[str, str]] = set()

    def revoke(original: Callable[..., None], self: Devices, user: str, device: str) -> None:
        original(self, user, device)
        revoked.add((user, device))

    def standing(original: Callable[..., str], self: Devices, user: str, device: str) -> str:
        found = original(self, user, device)
        return ACTIVE if found == REVOKED and (user, device) not in revoked else found

    seams.around(Devices, "revoke", revoke)
    seams.around(Devices, "standing", standing)


@defect(
    "revocation-of-one-connection",
    "Of a revoked device one connection alone is closed.",
    "DEV-29",
)
def revocation_of_one_connection(seams: Seams) -> None:
    def turn_out(original: Callable[..., None], app: App, sessions: Any, text: str) -> None:
        original(app, list(sessions)[:1], text)

    seams.around(devices, "_turn_out", turn_out)
