"""Calls as the server serves them: the rules of `calls_state`, applied to sessions, the turn and the clock.

The relay finds the sessions to which the catalogue routes a signaling frame; this picks among them, and says
what the server itself has to say. None of it touches the store: a call does not outlive its connections.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from relaykit.reference_server import clock
from relaykit.reference_server.calls_state import (
    BUSY,
    CallTable,
    Effect,
    GraceTimer,
    PassOn,
    Refuse,
    RingTimer,
    Start,
    Stop,
    Tell,
    Timer,
)
from relaykit.reference_server.refused import Refused
from relaykit.reference_server.session import Session

if TYPE_CHECKING:
    from relaykit.reference_server.app import App


class Calls:
    """The calls of one server, and their timers."""

    def __init__(self) -> None:
        self.table = CallTable()
        self.timers: dict[Timer, clock.Timer] = {}

    def forget(self) -> None:
        """Be as new: no calls, and nothing that would come of them."""
        for timer in self.timers.values():
            timer.cancel()
        self.timers.clear()
        self.table = CallTable()


def narrow(
    app: App, session: Session, frame: dict[str, Any], target: str, sessions: Sequence[Session]
) -> Sequence[Session]:
    """Note what a signaling frame does to the calls; to which of its target's sessions it is passed on.

    Raises:
        Refused: it cannot be served.
    """
    connected = frozenset(other.device for other in sessions)
    effects = app.calls.table.signal(frame["type"], session.user, session.device, target.lower(), connected)
    chosen: Sequence[Session] = ()
    for effect in effects:
        if isinstance(effect, PassOn):
            chosen = _on(sessions, effect.devices)
        elif isinstance(effect, Refuse):
            raise Refused(effect.text)
    _apply(app, effects)
    return chosen


def left(app: App, session: Session) -> None:
    """A session has ended: its call is lost, unless the device has or gets another session in time."""
    _apply(app, app.calls.table.left(session.user, session.device))


def _apply(app: App, effects: Iterable[Effect]) -> None:
    for effect in effects:
        if isinstance(effect, Tell):
            _tell(app, effect)
        elif isinstance(effect, Start):
            _start(app, effect.timer)
        elif isinstance(effect, Stop):
            running = app.calls.timers.pop(effect.timer, None)
            if running is not None:
                running.cancel()


def _tell(app: App, effect: Tell) -> None:
    # A call_busy names who is busy, a call_end who gets it: see x-stamps and target_id of the two types.
    payload = {"target_id": effect.about if effect.kind == BUSY else effect.to}
    if effect.reason is not None:
        payload["reason"] = effect.reason
    data = app.frames.make(effect.kind, payload, user=effect.about)
    for session in _on(app.hub.of_user(effect.to), effect.devices):
        if session.device != effect.but:
            app.turn.send(session, data)


def _start(app: App, timer: Timer) -> None:
    running = app.calls.timers.pop(timer, None)
    if running is not None:
        running.cancel()
    name = "ring_timeout_s" if isinstance(timer, RingTimer) else "call_grace_s"
    seconds = app.settings.timing[name]
    if seconds > 0:
        app.calls.timers[timer] = app.clock.call_later(seconds, partial(_expired, app, timer))
    else:
        _expired(app, timer)


def _expired(app: App, timer: Timer) -> None:
    app.calls.timers.pop(timer, None)
    present = isinstance(timer, GraceTimer) and bool(app.hub.of_device(timer.user, timer.device))
    _apply(app, app.calls.table.expired(timer, present=present))


def _on(sessions: Sequence[Session], devices: frozenset[str] | None) -> Sequence[Session]:
    if devices is None:
        return sessions
    return [session for session in sessions if session.device in devices]
