"""From bytes to a handler: rate, strict JSON, schema by type, and then what serves the type.

The catalogue says which types a client may send and what they look like. A type with a route is served by the
generic relay; the table below names the few that have behaviour of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from relaykit.errors import KitDefect
from relaykit.reference_server import calls, calls_state, devices, keepalive, messages, presence
from relaykit.reference_server.ids import message_id_of
from relaykit.reference_server.limits import Ruling
from relaykit.reference_server.refused import AUTH_FAILED, INVALID, RATE_LIMITED, SERVER_ERROR, Refused
from relaykit.reference_server.relay import Choice, make_relay
from relaykit.reference_server.session import Session
from relaykit.reference_server.store import StoreError
from relaykit.schemas import FrameError
from relaykit.schemas.leaky import HINTS, may_leak
from relaykit.schemas.strict_json import AS_FRAME, LONG

if TYPE_CHECKING:
    from relaykit.reference_server.app import App

log = logging.getLogger(__name__)

_parse, _write = orjson.loads, orjson.dumps
_ACCEPT = Ruling.ACCEPT
_LONGEST_PLACE = 200  # characters
_MOST_FAULTS = 20  # of a frame that are looked into: a few of them are told

Frame = dict[str, Any]
Handler = Callable[["App", Session, Frame], None]

HANDLERS: dict[str, Handler] = {
    "send": messages.send,
    "delivery_ack": messages.delivery_ack,
    "read_receipt": messages.read_receipt,
    "message": messages.legacy_message,
    "heartbeat": keepalive.heartbeat,
    "pong": keepalive.pong,
}

# Relayed types that mean something to the server itself, too.
CHOICES: dict[str, Choice] = {
    "presence": presence.note_status,
    **dict.fromkeys(calls_state.SIGNALS, calls.narrow),
}


class Dispatcher:
    """Receives the messages of all sessions."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._turn, self._store = app.turn, app.store
        self._handlers: dict[str, Handler] = {}
        self._wary = False  # whether frames are looked at before they are parsed; see `schemas.leaky`
        # Types whose schema bounds how deep they are: for these the check of a parsed frame says it all.
        self._checks = {
            kind: app.catalogue.quick_check(kind, "c2s")
            for kind in app.catalogue.types("c2s")
            if app.catalogue.deepest("c2s", kind) <= app.catalogue.max_depth
        }
        for kind in app.catalogue.types("c2s"):
            spec = app.catalogue.frame("c2s", kind)
            if kind in HANDLERS:
                self._handlers[kind] = HANDLERS[kind]
            elif spec.route is not None:
                self._handlers[kind] = make_relay(app, spec, CHOICES.get(kind))
            else:
                raise KitDefect(
                    f"{spec.source}: {kind!r} has no x-route, and the server has no handler for it"
                )

    def receive(self, session: Session, data: bytes, text: bool = True) -> None:
        """Handle one message of a client; `text`: not a binary one. It never raises: what goes wrong becomes
        an answer."""
        if session.closed:
            return
        ruling = session.bucket.take(session.link.heard)
        if ruling is not _ACCEPT:
            self._limit(session, ruling)
            return
        if not text:
            self._refuse(session, INVALID, "frames are text, not binary messages")
            return
        if self._wary and may_leak(data):
            self._look_closely(session, data)
            return
        # The usual frame: compact JSON that says the same when it is written again, and fits its schema.
        try:
            frame = _parse(data)
            usual = _write(frame, None, AS_FRAME) == data and self._checks[frame["type"]](frame)
        except (ValueError, TypeError, KeyError):
            usual = False
        if usual:
            self._handle(session, frame)
        else:
            self._look_closely(session, data)

    def _look_closely(self, session: Session, data: bytes) -> None:
        catalogue = self._app.catalogue
        try:
            frame = catalogue.decode(data, wary=self._wary)
        except FrameError as error:
            self._wary = self._wary or error.reason in HINTS or len(data) > LONG
            self._undecodable(session, data, error)
            return
        if catalogue.is_valid(frame, "c2s"):
            self._handle(session, frame)
        else:
            self._invalid(session, frame)

    def _handle(self, session: Session, frame: Frame) -> None:
        turn, store = self._turn, self._store
        mark = turn.mark
        store.used = False
        if session.pending and frame["type"] not in devices.KEEP_ALIVES:
            self._refuse(session, AUTH_FAILED, devices.NOT_YET, frame)
            return
        try:
            self._handlers[frame["type"]](self._app, session, frame)
        except Refused as refused:
            self._refuse(session, refused.code, refused.text, frame)
        except StoreError:
            pass  # the turn's commit fails for the same reason, and this frame is answered then
        except Exception:
            log.exception("a handler failed on a frame of type %s", frame["type"])
            turn.retract(mark)
            self._refuse(session, SERVER_ERROR, "the server failed on this frame", frame)
        if store.used:
            turn.bind(mark, session.link, frame.get("message_id"))

    # --- refusals ---

    def _undecodable(self, session: Session, data: bytes, error: FrameError) -> None:
        try:
            data.decode()
        except UnicodeDecodeError:
            session.closed = True
            session.link.fail(1007, "not UTF-8")
        else:
            self._refuse(session, INVALID, str(error))

    def _invalid(self, session: Session, frame: Frame) -> None:
        findings = self._app.catalogue.judge(frame, "c2s", most=_MOST_FAULTS).findings
        text = "; ".join(f"{_place(finding.pointer)}: {finding.message}" for finding in findings[:3])
        self._refuse(session, INVALID, text, frame)

    def _refuse(self, session: Session, code: str, text: str, frame: Frame | None = None) -> None:
        about = message_id_of(frame) if frame is not None else None
        if session.pending and code == INVALID:
            code, text = AUTH_FAILED, devices.NOT_YET
        self._app.turn.send(session, self._app.frames.error(code, text, about=about))

    def _limit(self, session: Session, ruling: Ruling) -> None:
        if ruling is Ruling.IGNORE:
            return
        error = self._app.frames.error(
            RATE_LIMITED, "too many frames; wait before the next", retry_after=session.bucket.retry_after()
        )
        self._app.turn.send(session, error)
        if ruling is Ruling.CLOSE:
            self._app.sparing.warn(log, "closing a connection that floods")
            self._app.end(session, 1008, "too many frames for too long")


def _place(pointer: str) -> str:
    """Where a fault stands, in no more than a line, whatever names a client makes up."""
    return (pointer if len(pointer) <= _LONGEST_PLACE else f"{pointer[:_LONGEST_PLACE]}…") or "frame"
