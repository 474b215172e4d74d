"""A client that says exactly the bytes it is told to: for handshakes and frames no library would send."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

DEADLINE = 5.0
MASK = b"\x37\xfa\x21\x3d"
TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def encode(
    opcode: int,
    data: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length: int | None = None,
    padded: int = 0,
) -> bytes:
    """One WebSocket frame; `length` lies about its length, `padded` (2, 8) says it in more bytes."""
    size = len(data) if length is None else length
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    flag = 0x80 if masked else 0
    if size < 126 and padded == 0:
        head += bytes([flag | size])
    elif size < 65536 and padded <= 2:
        head += bytes([flag | 126]) + struct.pack("!H", size)
    else:
        head += bytes([flag | 127]) + struct.pack("!Q", size)
    if not masked:
        return head + data
    return head + MASK + bytes(byte ^ MASK[i % 4] for i, byte in enumerate(data))


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """A close frame."""
    return encode(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


@dataclass
class Frame:
    opcode: int
    data: bytes
    fin: bool
    rsv: int

    @property
    def code(self) -> int:
        return int(struct.unpack("!H", self.data[:2])[0])

    @property
    def json(self) -> Any:
        return json.loads(self.data)


@dataclass
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes


class Raw:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, *data: bytes) -> None:
        self.writer.write(b"".join(data))
        await self.writer.drain()

    async def request(
        self,
        path: str,
        headers: Iterable[tuple[str, str]] = (),
        *,
        without: Iterable[str] = (),
        method: str = "GET",
    ) -> Response:
        """A handshake: the usual headers, but for those named in `without`, and more."""
        await self.send(request(path, headers, without=without, method=method))
        return await self.response()

    async def response(self) -> Response:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), DEADLINE)
        status, *lines = head.decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Response(int(status.split()[1]), headers, body)

    async def receive(self) -> Frame:
        """The next frame of the server, which never masks and never fragments."""
        first, second = await asyncio.wait_for(self.reader.readexactly(2), DEADLINE)
        assert not second & 0x80, "a server does not mask"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        data = await asyncio.wait_for(self.reader.readexactly(size), DEADLINE)
        return Frame(first & 0x0F, data, bool(first & 0x80), first >> 4 & 7)

    async def until_close(self) -> int:
        """The code of the close frame the server sends, passing over what comes before it."""
        while True:
            frame = await self.receive()
            if frame.opcode == CLOSE:
                return frame.code if frame.data else 1005

    async def ended(self) -> bytes:
        """What still comes until the server ends TCP."""
        return await asyncio.wait_for(self.reader.read(), DEADLINE)

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()


def request(
    path: str, headers: Iterable[tuple[str, str]] = (), *, without: Iterable[str] = (), method: str = "GET"
) -> bytes:
    """The bytes of a handshake request."""
    usual = [
        ("Host", "localhost"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ]
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in usual if name not in without]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
