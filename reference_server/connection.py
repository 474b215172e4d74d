"""One TCP connection: websockets' protocol logic, which knows no I/O, inside our own asyncio.Protocol.

What the library leaves to us: answering the handshake, putting fragments together, checking sizes, writing in
one piece per turn of the loop, bounding what waits to be written, and ending TCP connections in bounded time.
Plain text messages do not pass through it at all; see `wire`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from websockets.datastructures import Headers
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State

from relaykit.reference_server.clock import Timer
from relaykit.reference_server.handshake import ANSWER_HEADERS, REASONS, Refusal, malformed, unreadable
from relaykit.reference_server.library import Protocol
from relaykit.reference_server.limits import Bucket, Ruling
from relaykit.reference_server.refused import SERVER_ERROR
from relaykit.reference_server.session import Session
from relaykit.reference_server.wire import HEADERS, SHORT, Cutter, text_header

if TYPE_CHECKING:
    from relaykit.reference_server.app import App

log = logging.getLogger(__name__)
_TEXT, _BINARY, _CONT = Opcode.TEXT, Opcode.BINARY, Opcode.CONT
_ONE_TURN = 1024 * 1024  # bytes that one turn may say to a client who has read all, above what may wait
_FAIR = 64 * 1024  # bytes that are read from one client before the others have their turn
_UNFINISHED = "too much has come of messages that are not whole; try again later"
_TLS = b"\x16"  # how a client begins that speaks TLS, and no line of HTTP


class Connection(asyncio.Protocol):
    """Reads and writes one connection. It is the `Link` beneath a session."""

    __slots__ = (
        "_app", "_chunks", "_closing", "_control", "_count", "_cutter", "_ending", "_eof", "_parts", "_plain",
        "_protocol", "_received", "_tail", "_text", "_timer", "_transport",
        "heard", "partial", "paused", "session", "unread",
    )  # fmt: skip

    def __init__(self, app: App) -> None:
        self._app = app
        self._transport: asyncio.Transport
        self._protocol = Protocol(app)  # messages are measured in `_message`
        self.session: Session | None = None
        self.heard = 0.0
        self.paused = False
        self.unread = 0  # bytes that wait for a client who reads too slowly
        self.partial = 0  # bytes of a message that is not whole yet
        self._received = 0  # bytes of the handshake
        self._tail = b""  # the last four of them
        self._cutter: Cutter | None = None  # from the end of the handshake on
        self._timer: Timer | None = None
        self._parts: bytearray | None = None  # a message of which fragments are still to come
        self._count = 0  # its fragments
        self._text = True
        self._control: Bucket | None = None
        self._plain = True  # no extension
        self._chunks: list[bytes] = []  # to be written at the end of the turn
        self._closing = False  # a close frame is among what was written: no frame may follow
        self._ending = False  # TCP is to be ended once all is written
        self._eof = False  # the client has ended its side, or the connection is gone

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # A cast, not a check: uvloop's transports are none of asyncio's classes.
        self._transport = transport = cast(asyncio.Transport, transport)
        transport.set_write_buffer_limits(high=self._app.outgoing_high)
        self._app.connections.add(self)
        if not self._app.may_open():
            self.abort()
            return
        self._timer = self._app.clock.call_later(self._app.settings.handshake_timeout_s, self._too_slow)

    def data_received(self, data: bytes) -> None:
        self.heard = self._app.clock.monotonic()
        self._app.turn.schedule()
        cutter = self._cutter
        if cutter is not None:
            cutter.feed(data)
            if cutter.rest is not None or self._parts is not None or self.partial:
                self._note_partial()
                self._app.bound_partial()
        elif self._may_receive(data):
            self._tail = (self._tail + data)[-4:]
            self._to_library(data)
        size = len(data)
        if size > _FAIR:  # others have their turn before more of it is read
            self._transport.pause_reading()
            self._app.turn.afterwards(self._read_on, self)
        self._app.turn.relieve(size)

    def _read_on(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _to_library(self, data: bytes) -> bool:
        """Let the library judge; whether the connection goes on."""
        protocol = self._protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Frame):
                self._frame(event)
            elif isinstance(event, Request):
                # The client waits for the answer (RFC 6455, 4.1), so the request is all there is.
                self._request(event, alone=self._tail == b"\r\n\r\n" and not protocol.eof_sent)
        if protocol.handshake_exc is not None and self.session is None and not self._ending:
            self._refuse(unreadable(protocol.handshake_exc))
        elif protocol.writes:
            # In order: what the frames before, say, a close frame asked for is said first.
            self._app.turn.do(self, self._write_protocol)
        return protocol.state is State.OPEN and not protocol.eof_sent

    def eof_received(self) -> bool:
        self._eof = True
        return False  # let the transport close itself once all is written

    def pause_writing(self) -> None:
        self.paused = True
        self._note_unread(self._transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self.paused = False
        self._note_unread(0)
        if self.session is not None:
            self._app.resume_all(self.session)

    def connection_lost(self, exc: Exception | None) -> None:
        self._eof = self._closing = True
        self._chunks.clear()
        self._parts = None
        if self._timer is not None:
            self._timer.cancel()
        self._note_unread(0)
        self._app.forget(self)
        self._leave()
        self._break_cycles()
        self._note_partial()

    def _break_cycles(self) -> None:
        """Let go of what holds on to this: the memory is free at once, not when garbage is collected.

        The library's parser is a generator of the protocol that it is part of, and errors know the frames of
        Python that they passed.
        """
        self._cutter = None
        protocol = self._protocol
        protocol.parser.close()
        protocol.parser_exc = protocol.handshake_exc = None

    def _leave(self) -> None:
        """The session ends when the connection begins to close, however long the client takes over it."""
        session, self.session = self.session, None
        if session is not None:
            self._app.leave(session)

    # --- the handshake ---

    def _may_receive(self, data: bytes) -> bool:
        """Bound the request, and refuse what comes before it is answered."""
        size = len(data)
        self._received += size
        if self._ending:
            return False
        if self._received == size and data[:1] == _TLS:
            self._refuse(Refusal(400, "TLS is not spoken here; the URL begins with ws://."))
            return False
        if self.session is not None:
            self.abort()  # the answer is on its way, and the client should have waited for it (RFC 6455, 4.1)
            return False
        if self._received > self._app.settings.max_handshake_bytes:
            self._refuse(Refusal(431, REASONS[431]))
            return False
        return True

    def _request(self, request: Request, *, alone: bool) -> None:
        try:
            if self._app.stopping:
                raise Refusal(503, "The server is shutting down.")
            admission = self._app.door.examine(request)
            response = self._protocol.accept(request)
            if response.status_code != 101:
                raise malformed(response.status_code, request.headers)
            if not alone:
                raise Refusal(400, "data came before the handshake was answered")
            if admission.subprotocol is not None:
                response.headers["Sec-WebSocket-Protocol"] = admission.subprotocol
            self._app.enter(self, admission, response)
        except Refusal as refusal:
            self._refuse(refusal)
        # The library keeps the request as long as the connection, which is 2 KB of each idle one.
        request.path, request.headers = "", Headers()

    def accept(self, response: Response) -> None:
        """Answer the handshake: the connection is open."""
        session = self.session
        if self._eof or self._ending or session is None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._protocol.send_response(response)
        self._protocol.handshake_exc = None
        self._plain = not self._protocol.extensions
        largest = self._app.max_frame_bytes
        reader = self._reader(session)
        self._cutter = Cutter(largest, text=reader, other=self._to_library, fail=self.fail)
        self._write_protocol()

    def refuse(self, refusal: Refusal) -> None:
        """Answer the handshake with an HTTP error, after all."""
        self.session = None
        self._refuse(refusal)

    def _refuse(self, refusal: Refusal) -> None:
        if self._protocol.state is not State.CONNECTING or self._ending:
            return
        self._note_refusal(refusal)
        self._protocol.data_to_send()  # what the library has to say of it, or would not say, stays unsaid
        response = self._protocol.reject(refusal.status, refusal.text + "\n")
        for name, value in ANSWER_HEADERS.get(refusal.status, {}).items():
            response.headers[name] = value
        if not self._chunks:
            self._app.turn.unwritten.append(self)
        self._chunks.append(response.serialize())
        self._ending = self._closing = True
        self._leave()

    def _note_refusal(self, refusal: Refusal) -> None:
        log.info("handshake refused with %d: %s", refusal.status, refusal.text)

    def _too_slow(self) -> None:
        self._app.turn.schedule()
        self._refuse(Refusal(408, "the handshake took too long"))

    # --- frames ---

    def _reader(self, session: Session) -> Callable[[bytes], None]:
        """What takes the plain text messages, which the cutter has measured."""
        receive = self._app.dispatcher.receive
        return lambda data: receive(session, data, True)  # called in less time than a partial

    def _frame(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode is _TEXT and frame.fin:
            self._message(frame.data)
        elif opcode is _TEXT or opcode is _BINARY:
            if frame.fin:
                self._message(frame.data, text=False)
            else:
                self._parts, self._count, self._text = bytearray(frame.data), 1, opcode is _TEXT
        elif opcode is _CONT and self._parts is not None:
            self._parts += frame.data
            self._count += 1
            if self._count > self._app.max_frame_bytes:
                self.fail(1009, "too many fragments")
            elif frame.fin:
                parts, self._parts = self._parts, None
                self._message(parts, text=self._text)
        elif opcode is Opcode.PING or opcode is Opcode.PONG:
            self._note_control()

    def _note_control(self) -> None:
        """Every ping is answered, until there are so many that other frames would be called a flood."""
        if self._control is None:
            self._control = Bucket(self._app.rate, self.heard)
        if self._control.take(self.heard) is Ruling.CLOSE:
            self._app.sparing.warn(log, "closing a connection that floods with control frames")
            self.fail(1008, "too many control frames for too long")

    def _message(self, data: bytes | bytearray | memoryview, *, text: bool = True) -> None:
        session, app = self.session, self._app
        if session is None:
            return
        if len(data) > app.max_frame_bytes:
            session.closed = True
            self.fail(1009, self._protocol.too_large)
        else:
            app.dispatcher.receive(session, data if type(data) is bytes else bytes(data), text)

    def _note_partial(self) -> None:
        """Note how much has come of a message that is not whole yet."""
        rest = self._cutter.rest if self._cutter is not None else None
        size = len(rest or b"") + len(self._parts or b"")
        self._app.partial += size - self.partial
        self.partial = size

    def give_up_partial(self) -> None:
        """Drop a message that is not whole yet, and close: memory is short."""
        if self.session is not None:
            self._app.turn.send(self.session, self._app.frames.error(SERVER_ERROR, _UNFINISHED))
        self.fail(1011, _UNFINISHED)
        if self._cutter is not None:
            self._cutter.give_up()
        self._note_partial()

    # --- Link: called at the end of a turn ---

    def put(self, data: bytes) -> None:
        if self._closing:
            return
        if not self._chunks:
            self._app.turn.unwritten.append(self)
        if self._plain:
            size = len(data)
            self._chunks += (HEADERS[size] if size < SHORT else text_header(size), data)
        else:
            frame = Frame(_TEXT, data)
            self._chunks.append(frame.serialize(mask=False, extensions=self._protocol.extensions))

    def write_out(self) -> None:
        chunks, self._chunks = self._chunks, []
        transport = self._transport
        if transport.is_closing():
            return
        data = b"".join(chunks)
        limit = self._app.settings.max_outgoing_bytes + (0 if self.paused else _ONE_TURN)
        if transport.get_write_buffer_size() + len(data) > limit:
            self._drop_slow_reader()
            return
        if data:
            transport.write(data)
        if self.paused:
            self._note_unread(transport.get_write_buffer_size())
            self._app.bound_unread()
        if self._ending:
            self._end()

    def _note_unread(self, size: int) -> None:
        """Note how much waits for the client, if it reads more slowly than it is written to."""
        self._app.unread += size - self.unread
        self.unread = size

    def _drop_slow_reader(self) -> None:
        self._app.sparing.warn(log, "closing a connection that reads too slowly; its messages wait")
        self.drop()

    def drop(self) -> None:
        """Give up what waits for the client, and the connection."""
        self._note_unread(0)
        self.abort()

    def close(self, code: int, reason: str = "") -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
            self._write_protocol()
            self._bound_ending()
        elif self._protocol.state is State.CONNECTING:
            self.abort()

    def fail(self, code: int, reason: str = "") -> None:
        self._parts = None
        if self._protocol.state in (State.OPEN, State.CLOSING) and not self._protocol.eof_sent:
            self._protocol.fail(code, reason)
            self._app.turn.do(self, self._write_protocol)

    def abort(self) -> None:
        self._closing = True
        self._transport.abort()

    # --- ending ---

    def _write_protocol(self) -> None:
        """Queue what the library has to say: the handshake's answer, pongs, close frames, the end of TCP."""
        if self._eof and self._transport.is_closing():
            return
        if not self._chunks:
            self._app.turn.unwritten.append(self)
        for data in self._protocol.data_to_send():
            if data:
                self._chunks.append(data)
            else:
                self._ending = True
        if self._protocol.close_sent is not None or self._ending:
            self._closing = True
            self._leave()

    def _end(self) -> None:
        """End our side of TCP; the rest in bounded time, so that our last words are not lost to a reset."""
        if self._eof or self._protocol.close_rcvd is not None or not self._transport.can_write_eof():
            self._transport.close()  # writes what is left first
        else:
            try:
                self._transport.write_eof()
            except OSError:  # uvloop: the client is gone already
                self._transport.abort()
        self._bound_ending()

    def _bound_ending(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._app.clock.call_later(self._app.settings.close_timeout_s, self.abort)
