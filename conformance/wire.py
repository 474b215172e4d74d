"""One WebSocket connection of the suite: websockets' sans-I/O client inside an `asyncio.Protocol`.

Ours rather than a stock client, because a suite must see and send what a client library would hide (raw
bytes, response headers, how exactly a connection ended), and because it is several times faster.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State

from relaykit.conformance.dial_error import NO_ANSWER, refusal_of
from relaykit.conformance.dial_error import DialError as DialError
from relaykit.conformance.dialect import Interpreter, on_the_wire
from relaykit.conformance.pacing import FramePace
from relaykit.conformance.record import Recorder, leniently

ABNORMAL = 1006
"""Stands for a connection that ended without a close frame (RFC 6455)."""
_FLOOD = 20_000
"""More messages than this on one connection are a flood: nobody is served by keeping them."""
_FLOOD_BYTES = 64 * 1024 * 1024
"""And so are more bytes than this."""


class ConnectionEnded(Exception):  # noqa: N818 - not an error where it is expected
    """The connection is over, so nothing can be sent on it."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that came and was not taken yet; `frame` is an object if it can be read as one, else text."""

    t_ms: float
    frame: Any


class Connection(asyncio.Protocol):
    """A connection of one device.

    Attributes:
        inbox: frames that came, ambient ones left out, and that nobody has taken yet.
        ended: why the connection is over, or None while it is open.
        accounted: whether the case expected that end.
        close_code: the code with which the target closed it; 1006 where there was no close frame.
        headers: of the target's handshake answer.
        subprotocol: the one the target selected.
        pongs: what came in WebSocket pongs.
        pings: how many WebSocket pings came.
        mute: say nothing by ourselves, not even that a WebSocket ping was heard.
        pace: makes text messages wait for their turn, for targets that limit how often one may send.
        dialect: translates frames both ways, for targets whose wire differs.
        asks: is told of each text message before it goes out (its bytes, and the frame if that is valid), and
            may object.
        forgiven: patterns of frames that came too late for what only SHOULD come; they are passed over.
    """

    def __init__(self, client: ClientProtocol, request: Any, recorder: Recorder, label: str) -> None:
        self._client = client
        self._request = request
        self._recorder = recorder
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._binary = False
        self._beats: deque[asyncio.Future[None] | None] = deque()
        self._acks = 0
        self._count = 0
        self._bytes = 0
        self._flooded = False
        self._left = False
        self.pongs: list[bytes] = []
        self.pings = 0
        self.mute = False
        self.pace: FramePace | None = None
        self._unsent = 0
        self.asks: Callable[[int, Mapping[str, Any] | None], None] = lambda _size, _frame: None
        self.dialect: Interpreter | None = None
        self.label = label
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.inbox: list[Arrived] = []
        self.passed_over: frozenset[str] = frozenset()
        self.answers_ping = True
        self.forgiven: list[Mapping[str, Any]] = []
        self.ended: str | None = None
        self.accounted = False
        self.close_code: int | None = None
        self.headers: tuple[tuple[str, str], ...] = ()
        self.subprotocol: str | None = None
        self.gone = asyncio.Event()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of asyncio's
        self._client.send_request(self._request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        if self._left:
            return
        self._client.receive_data(data)
        self._events()
        self._flush()

    def eof_received(self) -> bool:
        if not self._left:
            self._client.receive_eof()
            self._events()
            self._flush()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, ssl.SSLError) and not self.opened.done():
            # A TLS 1.3 server refuses a client's certificate only after the client's own handshake is done.
            self.opened.set_exception(DialError("unreachable", f"SSL: {exc.reason or exc}"))
            self.opened.exception()
        if self._client.state is not State.CLOSED:
            self._client.receive_eof()
            self._events()
        self._end("the connection was cut" if self._client.close_rcvd is None else "closed")
        self.gone.set()

    # What the suite calls.

    @property
    def alive(self) -> bool:
        return self.ended is None

    @property
    def came(self) -> int:
        """How many messages came, the ambient ones and the suite's own included."""
        return self._count

    @property
    def frames(self) -> list[dict[str, Any]]:
        """The objects among what stands in the inbox."""
        return [arrived.frame for arrived in self.inbox if isinstance(arrived.frame, dict)]

    def send(self, frame: Any, *, valid: bool = True, kit: bool = False) -> None:
        """Send a frame, as compact JSON, or as the target's dialect has it."""
        self._must_be_open()
        beats = valid and isinstance(frame, dict) and frame.get("type") == "heartbeat"
        if not isinstance(frame, dict):
            self.send_text(json.dumps(frame).encode(), shown=frame, kit=kit)
            return
        texts = [orjson.dumps(frame)]
        if self.dialect is not None:
            plain, texts = texts[0], self.dialect.outgoing(frame, valid=valid)
            for text in texts:
                if text != plain:
                    self._recorder.transcript.event(self.label, "c2s", on_the_wire(text))
        self.asks(max(map(len, texts), default=0), frame if valid else None)
        for number, text in enumerate(texts):
            self.send_text(text, shown=frame if number == 0 else None, kit=kit)
        if beats and not kit:
            self._beats.append(None)

    def send_text(self, data: bytes, *, shown: Any = None, kit: bool = False) -> None:
        """Send a text message whose bytes need not be a frame, nor even UTF-8.

        Raises:
            ConnectionEnded: it is over.
        """
        self._must_be_open()
        if shown is None:
            shown = data.decode("utf-8", "replace")
        self.asks(len(data), None)
        away = self.pace.reserve() if self.pace is not None else 0.0
        if away > 0 or self._unsent:  # none overtakes another
            self._unsent += 1
            asyncio.get_running_loop().call_later(away, self._write_late, data, shown, kit)
        else:
            self._write_text(data, shown, kit)

    @property
    def lag(self) -> float:
        """Seconds until all is sent that waits for the pace that the target wants."""
        return self.pace.lag if self.pace is not None and self.alive else 0.0

    def _write_late(self, data: bytes, shown: Any, kit: bool) -> None:
        self._unsent -= 1
        self._write_text(data, shown, kit)

    def _write_text(self, data: bytes, shown: Any, kit: bool) -> None:
        if self.ended is not None or self._client.state is not State.OPEN:
            return  # it ended while this waited for its turn
        self._recorder.transcript.frame(self.label, "c2s", shown, kit=kit)
        self._client.send_text(data)
        self._flush()

    def unheard(self, heartbeats: int) -> None:
        """So many heartbeats were written raw: the next acks are theirs, not those of `beat`."""
        self._beats.extend([None] * heartbeats)

    def send_binary(self, data: bytes) -> None:
        """Send a binary message; see `send_text`."""
        self._must_be_open()
        self._recorder.transcript.event(self.label, "c2s", f"binary message of {len(data)} bytes")
        self._client.send_binary(data)
        self._flush()

    def write(self, data: bytes, note: str) -> None:
        """Write raw bytes, such as a frame that RFC 6455 forbids; `note` is for the transcript."""
        self._must_be_open()
        self._recorder.transcript.event(self.label, "c2s", note)
        assert self._transport is not None  # noqa: S101
        self._transport.write(data)

    async def beat(self, seconds: float) -> bool:
        """Send a heartbeat of the suite's own and wait for its ack, which no scenario sees.

        Returns:
            False if none came in time, or the connection ended.
        """
        if not self.alive:
            return False
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        before = self._acks
        try:
            self.send({"type": "heartbeat"}, kit=True)
        except ConnectionEnded:
            return False
        self._beats.append(future)
        try:
            done, _ = await asyncio.wait((future,), timeout=seconds + self.lag)
        finally:
            if future in self._beats:
                self._beats.remove(future)
        if done:
            return self.alive
        # Where an earlier heartbeat went unanswered, the ack that came was taken for that one's.
        return self.alive and self._acks > before

    def leave(self, code: int = 1000) -> None:
        """Close without waiting for the target's answer (the end of a case)."""
        self._say_goodbye(code)
        self._left = True
        self._end("closed by the suite")
        if self._transport is not None:
            self._transport.close()

    async def close(self, seconds: float, code: int = 1000) -> bool:
        """Close, and wait until the target has closed as well, but no longer than `seconds`.

        Returns:
            whether the target answered the close with one of its own.
        """
        if self.lag:
            await asyncio.sleep(self.lag)  # what was sent goes out first
        self._recorder.transcript.event(self.label, "c2s", f"closes ({code})")
        self._say_goodbye(code)
        try:
            async with asyncio.timeout(seconds):
                await self.gone.wait()
        except TimeoutError:
            self._recorder.transcript.event(self.label, "s2c", "did not close in turn")
        self.leave()
        return self._client.close_rcvd is not None

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        """Give the open connection to another protocol, along with the bytes that nobody has read yet."""
        assert self._transport is not None  # noqa: S101
        self._left = True
        self.ended = "handed over"
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        rest = bytes(self._client.reader.buffer)
        if rest:
            protocol.data_received(rest)

    def stop_reading(self) -> None:
        """Read nothing more, as a client does that hangs, with little room for what still comes."""
        self._recorder.transcript.event(self.label, "c2s", "reads nothing from now on")
        if self._transport is not None:
            found = self._transport.get_extra_info("socket")
            if found is not None:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            self._transport.pause_reading()

    def abort(self) -> None:
        """Cut the connection without a closing handshake."""
        if self.alive:
            self._recorder.transcript.event(self.label, "c2s", "cuts the connection")
        self._left = True
        self._end("cut by the suite")
        if self._transport is not None:
            self._transport.abort()

    # Inside.

    def _must_be_open(self) -> None:
        if self.ended is not None or self._client.state is not State.OPEN:
            raise ConnectionEnded(self.ended or "the connection is closing")

    def _say_goodbye(self, code: int) -> None:
        if self._client.state is State.OPEN and not self._left:
            self._client.send_close(code)
            self._flush()

    def _flush(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or self.mute:
            self._client.data_to_send()
            return
        for data in self._client.data_to_send():
            if data:
                transport.write(data)
            else:
                transport.close()

    def _events(self) -> None:
        for event in self._client.events_received():
            if isinstance(event, Response):
                self._answered(event)
            elif isinstance(event, Frame):
                self._frame(event)
        error = self._client.handshake_exc
        if error is not None and not self.opened.done():
            failed = refusal_of(error)
            failed.headers = self.headers
            self.opened.set_exception(failed)
            self.opened.exception()  # marked as seen: `dial` may have given up already
        broken = self._client.parser_exc
        if broken is not None and self.ended is None:
            if isinstance(broken, EOFError):
                self._end("the connection was cut")
            else:
                self._recorder.broken(self.label, "websocket", f"breaks RFC 6455: {broken}")
                self._end(f"the target broke the WebSocket protocol: {broken}")

    def _answered(self, response: Response) -> None:
        self.headers = tuple(response.headers.raw_items())
        # Not by the state: a close frame in the same read has changed that already.
        if self._client.handshake_exc is None and not self.opened.done():
            self.subprotocol = self._client.subprotocol
            self._recorder.transcript.event(self.label, "s2c", "connected")
            self.opened.set_result(None)

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self._end("closed")
        elif frame.opcode is Opcode.PONG:
            self.pongs.append(bytes(frame.data))
            self._recorder.transcript.event(self.label, "s2c", f"WebSocket pong {bytes(frame.data)!r}")
            self._recorder.bell.ring()
        elif frame.opcode is Opcode.PING:
            self.pings += 1
            self._recorder.transcript.event(self.label, "s2c", f"WebSocket ping {bytes(frame.data)!r}")
            self._recorder.bell.ring()
        elif frame.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            if frame.opcode is not Opcode.CONT:
                self._binary = frame.opcode is Opcode.BINARY
            self._parts.append(bytes(frame.data))
            if frame.fin:
                data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
                self._parts.clear()
                self._message(data)

    def _message(self, data: bytes) -> None:
        recorder = self._recorder
        self._count += 1
        self._bytes += len(data)
        if self._count > _FLOOD or self._bytes > _FLOOD_BYTES:
            if not self._flooded:
                self._flooded = True
                said = f"{self._count} messages of {self._bytes} bytes in all on one connection"
                recorder.broken(self.label, "flood", f"a flood: {said}")
                self._end("the suite cut the connection, which the target floods")
                self.abort()
            return
        if self._binary:
            recorder.broken(self.label, "binary", "a binary message; frames are text")
            recorder.transcript.event(self.label, "s2c", f"binary message of {len(data)} bytes")
            return
        parts = [data] if self.dialect is None else self.dialect.incoming(data)
        if parts != [data]:
            recorder.transcript.event(self.label, "s2c", on_the_wire(data))
        for part in parts:
            self._take(part)

    def _take(self, data: bytes) -> None:
        recorder = self._recorder
        frame = recorder.arrived(self.label, data).frame
        if frame is None:
            frame = leniently(data)
        kind = frame.get("type") if isinstance(frame, dict) else None
        if kind == "heartbeat_ack":
            self._acks += 1
            owner = self._beats.popleft() if self._beats else None
            if owner is not None:
                recorder.transcript.frame(self.label, "s2c", frame, kit=True)
                if not owner.done():
                    owner.set_result(None)
                return
        mark = recorder.fence_of(frame)
        recorder.transcript.frame(self.label, "s2c", frame, kit=mark is not None)
        if mark is not None:
            if kind == "deliver":
                recorder.reached.add((self.label, mark))
                if self.alive:
                    self.send({"type": "delivery_ack", "message_id": mark}, kit=True)
            recorder.bell.ring()
            return
        if kind == "ping" and self.answers_ping and self.alive:
            with contextlib.suppress(ConnectionEnded):  # we have said goodbye already
                self.send({"type": "pong"}, kit=True)
        if kind not in self.passed_over:
            self.inbox.append(Arrived(recorder.transcript.now_ms(), frame))
        recorder.bell.ring()

    def _end(self, reason: str) -> None:
        if self.ended is not None:
            return
        received = self._client.close_rcvd
        if not self._left:
            self.close_code = received.code if received is not None else ABNORMAL
            said = f" ({received.code}{' ' + received.reason if received.reason else ''})" if received else ""
            self.ended = f"{reason}{said}"
            if self.opened.done():
                self._recorder.transcript.event(self.label, "s2c", self.ended)
        else:
            self.ended = reason
        if not self.opened.done():
            self.opened.set_exception(DialError("closed", NO_ANSWER))
            self.opened.exception()
        for owner in self._beats:
            if owner is not None and not owner.done():
                owner.set_result(None)
        self._recorder.bell.ring()
