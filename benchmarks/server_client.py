"""A load client that costs little: raw frames prepared before the run, answers counted, not parsed.

Its masks are zero, so that masking is no work; what a server does with a mask is the same for every mask.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import psutil

from relaykit.tokens import mint

SECRET = "the signing key of the benchmarks, long enough"
HERE = Path(__file__).parent
# Nobody acknowledges what is delivered: all of it is one sender's.
UNBOUNDED = {"RELAYKIT_SERVE_MAX_WAITING_BYTES_PER_SENDER": str(1 << 30)}
UNLIMITED = ("burst=100000000", "frames_per_second=100000000", "waiting_per_user=100000000")


@dataclass
class Target:
    """A server under load."""

    url: str
    process: psutil.Process

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].split("/")[0])

    def cpu(self) -> float:
        """CPU seconds used so far: by the scheduler's count where there is one, which is exact to the
        nanosecond, else in steps of 10 ms."""
        with suppress(OSError):
            used = int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[0])
            if used:
                return used / 1e9
        times = self.process.cpu_times()
        return times.user + times.system

    def rss(self) -> int:
        """Resident bytes."""
        return int(self.process.memory_info().rss)


@contextmanager
def started(*command: str) -> Iterator[Target]:
    """Run a server that prints its URL."""
    environment = {**os.environ, "RELAYKIT_SECRET": SECRET, **UNBOUNDED}
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=sys.stderr if os.environ.get("VERBOSE") else subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield Target(process.stdout.readline().strip(), psutil.Process(process.pid))
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()


def stock(kind: str) -> tuple[str, ...]:
    """A stock server's command."""
    return (sys.executable, str(HERE / "server_stock.py"), kind)


def reference(store: str, *more: str) -> tuple[str, ...]:
    """The reference server's command."""
    limits = [part for limit in UNLIMITED for part in ("--limits", limit)]
    start = (sys.executable, "-c", "from relaykit.cli import main; main()", "serve", "--port", "0")
    return (*start, "--store", store, *limits, *more)


@contextmanager
def new_store() -> Iterator[str]:
    """A path for a store on the disk, gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield str(Path(folder) / "store.db")


def masked(data: bytes) -> bytes:
    """A text frame with a mask of zeros."""
    size = (
        struct.pack("!BBH", 0x81, 0x80 | 126, len(data))
        if len(data) > 125
        else bytes((0x81, 0x80 | len(data)))
    )
    return size + bytes(4) + data


def send_frames(receiver: str, count: int) -> list[bytes]:
    """`count` frames of type send, of 414 bytes."""
    payload = {"receiver_id": receiver, "ciphertext": "q83v" * 58, "message_type": "text"}
    frames = []
    for _ in range(count):
        frame = {"type": "send", "message_id": str(uuid.uuid4()), "payload": payload}
        data = json.dumps(frame, separators=(",", ":")).encode()
        frames.append(masked(data))
    return frames


class Client(asyncio.Protocol):
    """One connection: writes prepared frames, a window at a time, and counts the frames that come."""

    def __init__(self) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.frames: Sequence[bytes] = ()
        self.next = 0
        self.got = 0
        self.goal = 0
        self.window = 0
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none of asyncio's classes

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at = 0
        if not self.opened.done():
            end = buffer.find(b"\r\n\r\n")
            if end < 0:
                self._buffer = buffer
                return
            if not buffer.startswith(b"HTTP/1.1 101"):
                self.opened.set_exception(ConnectionError(buffer[:60].decode()))
                return
            self.opened.set_result(None)
            at = end + 4
        got, size = 0, len(buffer)
        while size - at >= 2:
            length = buffer[at + 1]
            head = 2
            if length == 126:
                if size - at < 4:
                    break
                length, head = buffer[at + 2] << 8 | buffer[at + 3], 4
            if size - at < head + length:
                break
            at += head + length
            got += 1
        self._buffer = buffer[at:]
        if got:
            self.got += got
            if self.frames:
                self.write(got)
            if self.got >= self.goal > 0 and not self.finished.done():
                self.finished.set_result(None)

    def write(self, count: int) -> None:
        """Send the next `count` frames."""
        part = self.frames[self.next : self.next + count]
        if part:
            self.next += len(part)
            self.transport.write(b"".join(part))

    def begin(self, frames: Sequence[bytes], window: int, goal: int) -> None:
        """Send frames, a window of them unanswered; finished after `goal` answers."""
        self.frames, self.next, self.got, self.goal = frames, 0, 0, goal
        self.finished = asyncio.get_running_loop().create_future()
        self.write(window)

    def await_frames(self, goal: int) -> None:
        """Only receive."""
        self.begin((), 0, goal)


async def connect(target: Target, user: str | None = None, device: str | None = None) -> Client:
    """Open one connection."""
    token = mint(
        user_id=user or str(uuid.uuid4()),
        device_id=device or str(uuid.uuid4()),
        key=SECRET,
        lifetime_s=36_000,
    )
    _, client = await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", target.port)
    client.transport.write(
        f"GET /ws?token={token} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    await client.opened
    return client


@dataclass
class Run:
    """One measurement: messages per second, CPU per message (µs) of server and client, the client's load."""

    rate: float
    server_us: float
    client_us: float
    client_load: float


class Stopwatch:
    """Measures between its making and `stop`."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.wall, self.own, self.cpu = time.perf_counter(), time.process_time(), target.cpu()

    def stop(self, messages: int) -> Run:
        wall, own = time.perf_counter() - self.wall, time.process_time() - self.own
        cpu = self.target.cpu() - self.cpu
        return Run(messages / wall, cpu / messages * 1e6, own / messages * 1e6, own / wall)


async def echo(target: Target, pairs: int, window: int, count: int) -> Run:
    """Frames to an echo server and back."""
    clients = [await connect(target) for _ in range(pairs)]
    frames = [send_frames(str(uuid.uuid4()), count // pairs) for _ in clients]
    watch = Stopwatch(target)
    for client, mine in zip(clients, frames, strict=True):
        client.begin(mine, window, len(mine))
    await asyncio.gather(*(client.finished for client in clients))
    run = watch.stop(sum(map(len, frames)))
    for client in clients:
        client.transport.close()
    return run


async def route(target: Target, pairs: int, window: int, count: int) -> Run:
    """Messages from A to B for each pair: done when A has every ack and B every message."""
    receivers = [str(uuid.uuid4()) for _ in range(pairs)]
    to = [await connect(target, user) for user in receivers]
    of = [await connect(target) for _ in receivers]
    frames = [send_frames(user, count // pairs) for user in receivers]
    watch = Stopwatch(target)
    for sender, receiver, mine in zip(of, to, frames, strict=True):
        receiver.await_frames(len(mine))
        sender.begin(mine, window, len(mine))
    await asyncio.gather(*(client.finished for client in (*of, *to)))
    run = watch.stop(sum(map(len, frames)))
    for client in (*of, *to):
        client.transport.close()
    return run
