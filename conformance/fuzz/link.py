"""A connection that costs little: frames go out in batches, what comes is counted and looked at once.

The handshake is the suite's own (`wire`); then this takes over the open connection. It reads unfragmented
and fragmented text, answers pings, and leaves everything else that RFC 6455 has to the suite's cases.
"""

from __future__ import annotations

import asyncio
import math
import os
import struct
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from websockets.frames import Close, Frame, Opcode

try:
    from websockets.speedups import apply_mask
except ImportError:
    from websockets.utils import apply_mask

from relaykit.conformance.codes import RATE_LIMITED, code_of
from relaykit.conformance.fuzz.generator import FORBIDDEN, Who
from relaykit.conformance.fuzz.oracle import Duty
from relaykit.schemas import FrameError
from relaykit.schemas.strict_json import decode

_MARKS = FORBIDDEN.encode(), FORBIDDEN.upper().encode()
"""A target may spell identifiers in upper case."""
_CLOSELY, _SAMPLE = 8, 32
"""So many frames of a type are looked at for what a fast reader takes, such as keys that stand twice; then
one of so many: it costs as much as all the rest."""
_HEARTBEAT = b'{"type":"heartbeat"}'
_MOST = 64 * 2**20
_KEPT = 64
"""Unwanted frames that are kept of one connection; more say nothing new."""
_FLOOD = 5000
"""More frames than this without an answer to a heartbeat are a flood: nobody waits for its end."""
Check = Callable[[Any], bool]


@dataclass(slots=True, eq=False)
class Sent:
    """One message that was sent.

    Attributes:
        exact: whether it is valid and about what exists, so that it must be served.
        kind: the type, of valid ones.
        fault: why it is no frame at all; empty where it is one, be it valid or not.
    """

    data: bytes
    duty: Duty
    exact: bool
    kind: str
    fault: str = ""


@dataclass(slots=True, eq=False)
class Batch:
    """Messages that went out together, with a heartbeat behind them.

    Attributes:
        least, most: errors that may come for them.
        beats: heartbeat acks that end it, its own included.
    """

    sent: Sequence[Sent]
    least: int
    most: int
    beats: int
    errors: int = 0


@dataclass(slots=True, eq=False)
class Room:
    """For how many more messages there is room, before those that wait are acknowledged; a cell shares it."""

    left: float = math.inf


@dataclass(slots=True, eq=False)
class Interval:
    """What went out and came in since the last time that everybody stood still.

    Attributes:
        batches: those that went out.
        came: types of frames from others → how many.
        acks: messages that must still be acknowledged.
        kept: how many were.
        turned: those that an error was about, instead → how many were kept before.
        got: messages that came; all are acknowledged at its end.
        twice: those that came again.
        forbidden: frames with the mark of what must be refused.
        misshapen: frames that their schema does not permit.
    """

    batches: list[Batch] = field(default_factory=list)
    came: Counter[str] = field(default_factory=Counter)
    acks: set[str] = field(default_factory=set)
    kept: int = 0
    turned: dict[str, int] = field(default_factory=dict)
    got: dict[str, None] = field(default_factory=dict)
    twice: list[str] = field(default_factory=list)
    forbidden: list[Any] = field(default_factory=list)
    misshapen: list[Any] = field(default_factory=list)


def _is_strict(data: bytes) -> bool:
    try:
        decode(data)
    except FrameError:
        return False
    return True


class Link(asyncio.Protocol):
    """One fuzzed connection of one device.

    Attributes:
        who: whom its frames are about.
        name: of the device, for messages.
        inflight: batches that are not answered yet, oldest first.
        suspicious: answered ones with too many or too few errors.
        room: for what it sends.
        limited: the target said that it sends too much.
        ended: why it is over, if it is.
        moved: is set whenever a batch was answered, or the connection ended.
    """

    def __init__(self, who: Who, name: str, checks: dict[str, Check]) -> None:
        self.who = who
        self.name = name
        self.inflight: deque[Batch] = deque()
        self.suspicious: list[Batch] = []
        self.interval = Interval()
        self.room = Room()
        self.limited = False
        self.ended: str | None = None
        self.moved = asyncio.Event()
        self.count = 0
        self._unbeaten = 0
        self._looked: dict[str, int] = {}
        self._checks = checks
        self._buffer = b""
        self._parts: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("the connection was cut")

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at, size = 0, len(buffer)
        while size - at >= 2:
            first, length = buffer[at], buffer[at + 1]
            head = 2
            if length == 126:
                if size - at < 4:
                    break
                length, head = buffer[at + 2] << 8 | buffer[at + 3], 4
            elif length == 127:
                if size - at < 10:
                    break
                length, head = struct.unpack_from("!Q", buffer, at + 2)[0], 10
            if length > _MOST:
                self._end(f"a message of {length} bytes came")
                return
            end = at + head + length
            if end > size:
                break
            payload = buffer[at + head : end]
            at = end
            if first == 0x81:
                self._text(payload)
            else:
                self._other(first, payload)
        self._buffer = buffer[at:]

    # What the fuzzer calls.

    def send(self, batch: Batch) -> None:
        """Send a batch and the heartbeat that ends it."""
        self._write(self.begin(batch))

    def begin(self, batch: Batch) -> list[bytes]:
        """Expect the answers to a batch; the messages that must be sent for that."""
        self.inflight.append(batch)
        self.interval.batches.append(batch)
        self.count += len(batch.sent) + 1
        return [*[sent.data for sent in batch.sent], _HEARTBEAT]

    def say(self, data: bytes) -> None:
        """Send one message that belongs to no batch."""
        self._write([data])

    def close(self) -> None:
        """Close politely, and wait for nothing."""
        if self.ended is None and self._transport is not None:
            self._transport.write(Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=True))
            self._transport.close()
        self._end("closed by the suite")

    # Inside.

    def _write(self, messages: Sequence[bytes]) -> None:
        if self.ended is not None or self._transport is None:
            return
        mask = os.urandom(4)
        parts: list[bytes] = []
        for data in messages:
            size = len(data)
            if size < 126:
                parts.append(bytes((0x81, 0x80 | size)))
            elif size < 65536:
                parts.append(struct.pack("!BBH", 0x81, 0xFE, size))
            else:
                parts.append(struct.pack("!BBQ", 0x81, 0xFF, size))
            parts.append(mask)
            parts.append(apply_mask(data, mask))
        self._transport.write(b"".join(parts))

    def _text(self, data: bytes) -> None:
        interval = self.interval
        self._unbeaten += 1
        if self._unbeaten > _FLOOD:
            self._end(f"a flood: {_FLOOD} frames, and no answer to a heartbeat")
            return
        try:
            frame = orjson.loads(data)
            kind = frame["type"]
            good = self._checks[kind](frame)
        except (ValueError, TypeError, KeyError):
            if len(interval.misshapen) < _KEPT:
                interval.misshapen.append(data.decode("utf-8", "replace"))
            return
        self._looked[kind] = count = self._looked.get(kind, 0) + 1
        if (count <= _CLOSELY or not count % _SAMPLE) and not _is_strict(data):
            interval.misshapen.append(data.decode("utf-8", "replace"))
        marked = _MARKS[0] in data or _MARKS[1] in data
        if not good and not marked and len(interval.misshapen) < _KEPT:
            interval.misshapen.append(frame)
        if kind == "heartbeat_ack":
            self._beat()
        elif kind == "error":
            self._error(frame)
        elif kind == "sent_ack":
            interval.acks.discard(str(frame.get("message_id")).lower())
            interval.kept += 1
        elif kind == "ping":
            self.say(b'{"type":"pong"}')
        else:
            interval.came[kind] += 1
            if kind == "deliver":
                self._got(frame.get("message_id"))
            elif kind == "group_message":
                self._got(frame["payload"].get("message_id") if good else None)
            if marked and len(interval.forbidden) < _KEPT:
                interval.forbidden.append(frame)

    def _got(self, name: Any) -> None:
        if not isinstance(name, str):
            return
        low = name.lower()
        if low in self.interval.got:
            self.interval.twice.append(name)
        else:
            self.who.got.append(name)
            self.interval.got[low] = None

    def _beat(self) -> None:
        self._unbeaten = 0
        if not self.inflight:
            return
        batch = self.inflight[0]
        batch.beats -= 1
        if batch.beats > 0:
            return
        self.inflight.popleft()
        if not batch.least <= batch.errors <= batch.most and not self.limited:
            self.suspicious.append(batch)
        self.moved.set()

    def _error(self, frame: dict[str, Any]) -> None:
        if code_of(frame) == RATE_LIMITED:
            self.limited = True
            self.moved.set()
        if self.inflight:
            self.inflight[0].errors += 1
        named, interval = frame.get("message_id"), self.interval
        if named is not None and (low := str(named).lower()) in interval.acks:
            interval.turned[low] = interval.kept

    def _other(self, first: int, payload: bytes) -> None:
        opcode = first & 0x0F
        if opcode == 0x9 and self._transport is not None:
            self._transport.write(Frame(Opcode.PONG, payload).serialize(mask=True))
        elif opcode == 0x8:
            code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
            self._end(f"closed ({code}{' ' + payload[2:].decode('utf-8', 'replace') if payload[2:] else ''})")
        elif opcode in (0x0, 0x1):
            self._parts.append(payload)
            if first & 0x80:
                whole = b"".join(self._parts)
                self._parts.clear()
                self._text(whole)

    def _end(self, why: str) -> None:
        if self.ended is None:
            self.ended = why
            if self._transport is not None:
                self._transport.close()
        self.moved.set()
