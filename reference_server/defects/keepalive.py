"""Defects in heartbeats, pings and silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from relaykit.reference_server import keepalive
from relaykit.reference_server.app import App
from relaykit.reference_server.connection import Connection
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import (
    Frame,
    Handler,
    doubling,
    dropping,
    handling,
    lacking,
    loosened,
    saying,
    sending,
)
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.refused import CONNECTION_TIMEOUT
from relaykit.reference_server.session import Session

ACK = "heartbeat_ack"


def _to_siblings(original: Handler, app: App, session: Session, frame: Frame) -> None:
    original(app, session, frame)
    for other in app.hub.of_user(session.user):
        if other is not session:
            app.turn.send(other, app.frames.make(ACK))


def _to_another(original: Handler, app: App, session: Session, frame: Frame) -> None:
    others = [other for other in app.hub.of_user(session.user) if other is not session]
    original(app, others[0] if others else session, frame)


def _pong_answered(original: Handler, app: App, session: Session, frame: Frame) -> None:
    original(app, session, frame)
    app.turn.send(session, app.frames.make(ACK))


FRAMES = (
    Defect(
        "heartbeat-ack-without-timestamp",
        "A heartbeat_ack has no timestamp.",
        ("KEEP-01",),
        lacking(ACK, "/timestamp"),
    ),
    Defect(
        "heartbeat-ack-with-payload",
        "A heartbeat_ack has a payload.",
        ("KEEP-01",),
        saying(ACK, "/payload", {}),
    ),
    Defect(
        "ping-with-payload",
        "A ping has a payload with a number in it.",
        ("KEEP-02",),
        saying("ping", "/payload", {"number": 1}),
    ),
    Defect(
        "client-heartbeat-with-payload",
        "A client's heartbeat or pong whose payload is no object is taken.",
        ("KEEP-02",),
        loosened(("heartbeat", "pong"), "/$defs/emptyPayload/type"),
    ),
    Defect("heartbeat-answered-twice", "A heartbeat is answered twice.", ("KEEP-03",), doubling(ACK)),
    Defect(
        "heartbeat-answered-elsewhere",
        "Another connection of the user gets the answer to a heartbeat, if there is one.",
        ("KEEP-03",),
        handling("heartbeat", _to_another),
    ),
    Defect(
        "heartbeat-answered-everywhere",
        "All connections of the user get the answer to a heartbeat.",
        ("KEEP-04",),
        handling("heartbeat", _to_siblings),
    ),
    Defect("no-ping", "Idle connections get no ping.", ("KEEP-05",), dropping("ping")),
    Defect("pong-answered", "A pong is answered.", ("KEEP-06",), handling("pong", _pong_answered)),
    Defect(
        "no-reconnect-after-silence",
        "A connection_timeout says not to reconnect.",
        ("KEEP-07",),
        sending("error", lambda frame, *_: _forbidding(frame)),
    ),
)


@defect("one-ping-only", "A connection gets one ping in its life.", "KEEP-05")
def one_ping_only(seams: Seams) -> None:
    pinged: WeakSet[Session] = WeakSet()

    def change(frame: Frame, to: Session, _app: App) -> Frame | None:
        if to in pinged:
            return None
        pinged.add(to)
        return frame

    sending("ping", change)(seams)


def _forbidding(frame: Frame) -> Frame:
    if frame["payload"]["error_code"] == CONNECTION_TIMEOUT:
        frame["payload"]["reconnect"] = False
    return frame


def _ending(change: Callable[..., None]) -> Callable[[Seams], None]:
    """Something else is done with connections that have been silent for too long."""

    def apply(seams: Seams) -> None:
        def end(original: Callable[..., None], app: App, session: Session, code: str, text: str) -> None:
            if code == CONNECTION_TIMEOUT:
                change(original, app, session, code, text)
            else:
                original(app, session, code, text)

        seams.around(keepalive, "_end", end)

    return apply


def _closed_only(_original: Any, app: App, session: Session, _code: str, text: str) -> None:
    app.end(session, 1008, text)


def _told_only(_original: Any, app: App, session: Session, code: str, text: str) -> None:
    app.turn.send(session, app.frames.error(code, text, reconnect=True))
    session.link.heard = app.clock.monotonic()


SILENCE = (
    Defect(
        "silent-closed-without-a-word",
        "Silent connections are closed without an error.",
        ("KEEP-07",),
        _ending(_closed_only),
    ),
    Defect("silent-not-closed", "Silent connections are told, and stay.", ("KEEP-08",), _ending(_told_only)),
)


def _deaf_to(when: Callable[[bytes], bool]) -> Callable[[Seams], None]:
    """Some of what a client sends is no sign of life."""

    def apply(seams: Seams) -> None:
        def received(original: Callable[..., None], self: Connection, data: bytes) -> None:
            before = self.heard
            original(self, data)
            if before and self.session is not None and when(data):
                self.heard = before

        seams.around(Connection, "data_received", received)

    return apply


LIFE = (
    Defect(
        "data-is-no-life",
        "A connection times out though the client sends data frames.",
        ("KEEP-09",),
        _deaf_to(lambda data: data[0] & 15 < 8),
    ),
    Defect(
        "control-frames-are-no-life",
        "A connection times out though the client sends WebSocket control frames.",
        ("KEEP-10",),
        _deaf_to(lambda data: data[0] & 15 >= 8),
    ),
)


@defect(
    "control-frames-are-silence",
    "WebSocket control frames of a client are no sign of life.",
    "KEEP-10",
)
def control_frames_are_silence(seams: Seams) -> None:
    def to_library(original: Callable[..., bool], self: Connection, data: bytes) -> bool:
        if self.session is not None and data and data[0] & 8:
            self.heard = spoken.get(self, self.heard)
        return original(self, data)

    def message(original: Callable[..., None], self: Connection, data: Any, text: bool = True) -> None:
        spoken[self] = self.heard
        original(self, data, text=text)

    spoken: dict[Connection, float] = {}
    seams.around(Connection, "_to_library", to_library)
    seams.around(Connection, "_message", message)
