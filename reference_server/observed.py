"""Connections that are looked at: counted, logged, and struck by faults. Servers that need none of it use
plain `Connection`s, so it costs them nothing.

All frames to a client pass `Observed.put`, in the order in which they are sent; all from one pass `_message`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson
from websockets.http11 import Response

from relaykit.reference_server.clock import Timer
from relaykit.reference_server.connection import Connection
from relaykit.reference_server.counters import Counters
from relaykit.reference_server.dispatch import Dispatcher
from relaykit.reference_server.faults import CUT, Fault, Names, changed, parse, parse_all
from relaykit.reference_server.handshake import Refusal
from relaykit.reference_server.session import Session
from relaykit.reference_server.settings import read_each
from relaykit.reference_server.traffic import Traffic

if TYPE_CHECKING:
    from relaykit.reference_server.app import App

log = logging.getLogger(__name__)

_TYPE_AT = len('{"type":"')  # every frame begins like that; see `Frames.make`

Chain = Sequence[Fault]
Action = Callable[[], None]
Onward = Callable[[bytes], None]


@dataclass(slots=True)
class Watch:
    """What is done with the frames of one server.

    Attributes:
        traffic: logs each frame, if there is such a log.
        faults: what strikes now; replaced as a whole.
    """

    app: App
    names: Names
    traffic: Traffic | None = None
    counters: Counters = field(default_factory=Counters)
    faults: Chain = ()

    def set_faults(self, texts: Sequence[str]) -> None:
        """Let these faults strike from now on, and no others. What `reorder` holds back is sent.

        Raises:
            UsageError: one of them is none; nothing is changed.
        """
        self.strike_with(parse_all(texts, self.app.catalogue, self.names))

    def strike_with(self, faults: Chain) -> None:
        """See `set_faults`."""
        # The line comes last, wherever it is named: what is slow is slow in order.
        self.faults = sorted(faults, key=lambda fault: fault.kind == "slow")
        for connection in list(self.app.connections):
            if isinstance(connection, Observed):
                connection.let_go()


def watch(app: App, names: Names) -> Watch | None:
    """What the settings ask to be watched, and the frames that clients send counted; None if it is nothing.

    Raises:
        UsageError: a fault is none.
    """
    settings = app.settings
    logged = settings.dev if settings.log_frames is None else settings.log_frames
    if not (
        logged or settings.faults or settings.control_port is not None or settings.metrics_port is not None
    ):
        return None
    found = Watch(app, names, Traffic(names) if logged else None)
    found.strike_with(read_each(settings, "faults", lambda text: parse(text, app.catalogue, names)))
    app.dispatcher = _Counting(app, found.counters)
    return found


class _Counting(Dispatcher):
    """Counts the valid frames of clients."""

    def __init__(self, app: App, counters: Counters) -> None:
        super().__init__(app)
        self._counters = counters

    def _handle(self, session: Session, frame: dict[str, Any]) -> None:
        self._counters.received[frame["type"]] += 1
        super()._handle(session, frame)


class Observed(Connection):
    """A connection whose frames are counted, logged and struck by faults."""

    __slots__ = ("_busy_until", "_cost", "_held", "_line", "_swapped", "_timers", "_watch", "_who")

    def __init__(self, app: App, watch: Watch) -> None:
        super().__init__(app)
        self._watch = watch
        self._who: Session | None = None  # as `session`, but kept when that ends
        self._held = 0  # bytes that faults hold back
        self._swapped: dict[int, Action] = {}  # by position of a fault: how the frame goes on that it holds
        self._timers: set[Timer] = set()  # of frames that wait for their time
        self._line: deque[bytes] = deque()  # frames on a slow line
        self._cost = 0.0  # seconds that the frame at hand takes on it
        self._busy_until = 0.0

    # --- from the client ---

    def _reader(self, session: Session) -> Callable[[bytes], None]:
        return self._message

    def _message(self, data: bytes | bytearray | memoryview, *, text: bool = True) -> None:
        if self.session is not None and self._watch.traffic is not None:
            self._watch.traffic.received(self.session, bytes(data), text=text)
        super()._message(data, text=text)

    def _note_refusal(self, refusal: Refusal) -> None:
        self._watch.counters.refused[refusal.status] += 1
        if self._watch.traffic is not None:
            self._watch.traffic.refused(refusal.status, refusal.text)
        else:
            super()._note_refusal(refusal)

    def drop(self) -> None:
        self._watch.counters.slow_readers += 1
        super().drop()

    def accept(self, response: Response) -> None:
        self._who = self.session
        super().accept(response)
        if self.session is not None and self._watch.traffic is not None:
            self._watch.traffic.connected(self.session)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._who is not None and self._watch.traffic is not None:
            self._watch.traffic.gone(self._who, *self._ended_by())
        self._who = None  # it knows this connection
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._swapped.clear()
        self._line.clear()
        self._held = 0

    def _ended_by(self) -> tuple[str | None, int | None, str]:
        """Who closed the connection first, with which code and reason; None: it was cut."""
        sent, came = self._protocol.close_sent, self._protocol.close_rcvd
        if came is not None and (sent is None or self._protocol.close_rcvd_then_sent):
            return "client", came.code, came.reason
        return ("server", sent.code, sent.reason) if sent is not None else (None, None, "")

    # --- to the client ---

    def put(self, data: bytes) -> None:
        if self._closing:
            return
        watch, kind = self._watch, _type_of(data)
        watch.counters.sent[kind] += 1
        if kind == "error":
            watch.counters.errors[orjson.loads(data)["payload"]["error_code"]] += 1
        if watch.faults or self._line:
            self._through(watch.faults, 0, data)
        else:
            self._out(data)

    def _out(self, data: bytes) -> None:
        """Let a frame leave, whatever is left of it."""
        if self._closing:
            return
        if self._watch.traffic is not None and self._who is not None:
            self._watch.traffic.sent(self._who, data)
        super().put(data)

    def _through(self, chain: Chain, position: int, data: bytes) -> None:
        """Let a frame pass the faults from `position` on; if there are others by now, it passes them all."""
        who = self._who
        if self._closing or who is None:
            return
        if position == len(chain) or chain is not self._watch.faults:
            self._on_the_line(data)
            return
        fault, onward = chain[position], partial(self._through, chain, position + 1)
        waiting = self._swapped.pop(position, None)
        if fault.strikes(_type_of(data), who.user, who.device, data, able=waiting is None):
            log.warning(
                "fault %s strikes %s no. %d to %s",
                *(fault.text, _type_of(data), fault.seen, self._watch.names.who(who.user, who.device)),
            )
            _DEEDS[fault.kind](self, position, fault, data, onward)
        else:
            onward(data)
        if waiting is not None:
            waiting()

    def _on_the_line(self, data: bytes) -> None:
        cost, self._cost = self._cost, 0.0
        if not cost and not self._line:
            self._out(data)
            return
        now = self._app.clock.monotonic()
        self._busy_until = max(self._busy_until, now) + cost
        self._line.append(data)
        self._hold(data)
        self._later(self._busy_until - now, self._off_the_line)

    def _off_the_line(self) -> None:
        data = self._line.popleft()  # the first, whichever frame's timer this is
        self._release(data)
        self._out(data)

    def _later(self, delay: float, action: Action) -> None:
        """Do something after some seconds, unless the connection is gone by then."""

        def due() -> None:
            self._timers.discard(timer)
            action()

        timer = self._app.clock.call_later(delay, due)
        self._timers.add(timer)

    def _hold(self, data: bytes) -> None:
        self._held += len(data)
        if self._held > self._app.settings.max_outgoing_bytes:
            self._drop_slow_reader()
        elif self._held > self._app.outgoing_high:
            self.pause_writing()

    def _release(self, data: bytes) -> None:
        self._app.turn.schedule()
        self._held -= len(data)
        if self.paused and self._transport.get_write_buffer_size() <= self._app.outgoing_high:
            self.resume_writing()

    def resume_writing(self) -> None:
        if self._held <= self._app.outgoing_high:
            super().resume_writing()

    def let_go(self) -> None:
        """Send what `reorder` holds back."""
        swapped, self._swapped = self._swapped, {}
        for go_on in swapped.values():
            go_on()

    # --- what faults do ---

    def _drop(self, _position: int, _fault: Fault, _data: bytes, _onward: Onward) -> None:
        pass

    def _duplicate(self, _position: int, _fault: Fault, data: bytes, onward: Onward) -> None:
        onward(data)
        onward(data)

    def _delay(self, _position: int, fault: Fault, data: bytes, onward: Onward) -> None:
        def late() -> None:
            self._release(data)
            onward(data)

        self._hold(data)
        self._later(fault.value, late)

    def _reorder(self, position: int, _fault: Fault, data: bytes, onward: Onward) -> None:
        def after_the_next() -> None:
            self._release(data)
            onward(data)

        self._hold(data)
        self._swapped[position] = after_the_next

    def _corrupt(self, _position: int, fault: Fault, data: bytes, onward: Onward) -> None:
        onward(changed(data, fault.value) or data)

    def _slow(self, _position: int, fault: Fault, data: bytes, onward: Onward) -> None:
        self._cost += len(data) / fault.value
        onward(data)

    def _end_it(self, _position: int, fault: Fault, _data: bytes, _onward: Onward) -> None:
        self._app.turn.schedule()  # for what the end of the session brings about
        if fault.value != CUT:
            self.close(fault.value, "a fault that was asked for")
            return
        self._app.turn.unwritten.append(self)  # what came before is still said
        self._ending = self._closing = True
        self._leave()


_DEEDS: Mapping[str, Callable[[Observed, int, Fault, bytes, Onward], None]] = {
    "drop": Observed._drop,
    "duplicate": Observed._duplicate,
    "delay": Observed._delay,
    "reorder": Observed._reorder,
    "corrupt": Observed._corrupt,
    "slow": Observed._slow,
    "close": Observed._end_it,
}


def _type_of(data: bytes) -> str:
    """The type of a frame, or what faults have left of it."""
    end = data.find(b'"', _TYPE_AT)
    return data[_TYPE_AT : end if end >= 0 else None].decode(errors="replace")
