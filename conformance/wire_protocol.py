"""The connection below the frames: websockets' sans-I/O client inside an `asyncio.Protocol`.

Ours rather than a stock client, because a suite must see and send what a client library would hide (raw
bytes, response headers, how exactly a connection ended), and because it is several times faster.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any, cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State

from relaykit.conformance.dial_error import NO_ANSWER, DialError, refusal_of
from relaykit.conformance.record import Recorder

ABNORMAL = 1006
"""Stands for a connection that ended without a close frame (RFC 6455)."""

CUT = "cut by the suite"
"""How a connection ended that the target may take for open, since nobody told it."""


class ConnectionEnded(Exception):
    """The connection is over, so nothing can be sent on it."""


class Wire(asyncio.Protocol):
    """The handshake, messages as bytes, control frames, and the end of a connection.

    Attributes:
        ended: why the connection is over, or None while it is open.
        close_code: the code with which the target closed it; 1006 where there was no close frame.
        headers: of the target's handshake answer.
        subprotocol: the one the target selected.
        pongs: what came in WebSocket pongs.
        pings: how many WebSocket pings came.
        mute: say nothing by ourselves, not even that a WebSocket ping was heard.
    """

    def __init__(self, client: ClientProtocol, request: Any, recorder: Recorder, label: str) -> None:
        self._client = client
        self._request = request
        self._recorder = recorder
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._binary = False
        self._left = False
        self.pongs: list[bytes] = []
        self.pings = 0
        self.mute = False
        self.label = label
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: str | None = None
        self.close_code: int | None = None
        self.headers: tuple[tuple[str, str], ...] = ()
        self.subprotocol: str | None = None
        self.gone = asyncio.Event()

    # What a connection adds.

    @property
    def lag(self) -> float:
        """Seconds until all is sent that waits for its turn."""
        return 0.0

    def _message(self, data: bytes) -> None:
        """A whole message has come, text unless `_binary`."""
        raise NotImplementedError

    def _over(self) -> None:
        """It has ended: whoever waits need not."""
        raise NotImplementedError

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
        assert self._transport is not None
        self._transport.write(data)

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
        assert self._transport is not None
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
        self._end(CUT)
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
        self._over()
        self._recorder.bell.ring()
