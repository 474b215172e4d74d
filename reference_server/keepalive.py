"""Heartbeats, pings, silence and expiry (source: Connection Management; decisions, section 3, Keep-alive)."""

from __future__ import annotations

from itertools import chain
from math import inf
from typing import TYPE_CHECKING, Any

from relaykit.reference_server import devices
from relaykit.reference_server.refused import AUTH_FAILED, CONNECTION_TIMEOUT
from relaykit.reference_server.session import Session

if TYPE_CHECKING:
    from relaykit.reference_server.app import App

_UNANSWERED = 60  # pings to one client while the clock is being moved, which leaves no time to answer them
_MAX_PERIOD_S = 1.0  # between two looks at all connections; timers of their own would cost memory on each


def heartbeat(app: App, session: Session, _frame: dict[str, Any]) -> None:
    """A client asks whether the line still holds."""
    app.turn.send(session, app.frames.make("heartbeat_ack"))


def pong(_app: App, _session: Session, _frame: dict[str, Any]) -> None:
    """A client answers a ping: that it was heard is noted already, as with any byte."""


def start(app: App) -> None:
    """Look after idle connections from now on, and after the store's files."""
    timing = app.settings.timing
    leeway = timing["clock_leeway_s"] or _MAX_PERIOD_S  # within it, expired tokens' connections are to end
    period = min(
        _MAX_PERIOD_S, timing["ping_interval_s"] / 4, timing["idle_timeout_s"] / 4, max(leeway / 4, 0.02)
    )
    app.clock.call_later(period, _round, app, period)


def session_end(app: App, expires: float) -> float:
    """When a session that begins now ends (Unix time): as its token expires, or with the leeway if the token
    was good only thanks to that."""
    return expires if app.clock.now() < expires else expires + app.settings.timing["clock_leeway_s"]


def _round(app: App, period: float) -> None:
    app.store.look()
    devices.look(app)
    _look_after_all(app)
    pause, goal = period, app.clock.goal
    if goal is not None:
        # Hours pass at once: on to the next moment at which anything is due. Nobody comes meanwhile.
        pause = max(period, min(_next_due(app), goal) - app.clock.monotonic())
    app.clock.call_later(pause, _round, app, period)


def _next_due(app: App) -> float:
    """Monotonic time of the next thing that a round would do if nothing is heard from any client."""
    ahead = app.clock.monotonic() - app.clock.now()
    idle, interval = app.settings.timing["idle_timeout_s"], app.settings.timing["ping_interval_s"]
    return min(
        (
            min(
                session.expires + ahead,
                session.link.heard + idle,
                _ping_due(app, session, interval),
            )
            for session in chain(app.hub, app.pending)
            if not session.closed
        ),
        default=inf,
    )


def _ping_due(app: App, session: Session, interval: float) -> float:
    """Monotonic time of the next ping if nothing is heard until then."""
    if app.clock.goal is not None and session.pinged - session.link.heard >= _UNANSWERED * interval:
        return inf
    return max(session.link.heard, session.pinged) + interval


def _look_after_all(app: App) -> None:
    now, wall = app.clock.monotonic(), app.clock.now()
    idle, interval = app.settings.timing["idle_timeout_s"], app.settings.timing["ping_interval_s"]
    for session in chain(app.hub, app.pending):
        if session.closed:
            continue
        if wall >= session.expires:
            _end(app, session, AUTH_FAILED, "the token has expired; connect with a new one")
        elif now - session.link.heard >= idle:
            _end(app, session, CONNECTION_TIMEOUT, "nothing was heard for too long")
        elif now >= _ping_due(app, session, interval):
            session.pinged = now
            app.turn.send(session, app.frames.make("ping"))


def _end(app: App, session: Session, code: str, text: str) -> None:
    app.turn.send(session, app.frames.error(code, text, reconnect=True))
    app.end(session, 1008, text)
