"""One WebSocket connection of the suite: frames out and in, and what waits to be taken."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from websockets.client import ClientProtocol
from websockets.protocol import State

from relaykit.conformance.dial_error import DialError as DialError
from relaykit.conformance.dialect import Interpreter, on_the_wire
from relaykit.conformance.pacing import FramePace
from relaykit.conformance.record import Recorder, leniently
from relaykit.conformance.wire_protocol import ABNORMAL as ABNORMAL
from relaykit.conformance.wire_protocol import ConnectionEnded as ConnectionEnded
from relaykit.conformance.wire_protocol import Wire

_FLOOD = 20_000
"""More messages than this on one connection are a flood: nobody is served by keeping them."""
_FLOOD_BYTES = 64 * 1024 * 1024
"""And so are more bytes than this."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that came and was not taken yet; `frame` is an object if it can be read as one, else text."""

    t_ms: float
    frame: Any


class Connection(Wire):
    """A connection of one device; see `Wire` for what is below the frames.

    Attributes:
        inbox: frames that came, ambient ones left out, and that nobody has taken yet.
        accounted: whether the case expected that end.
        pace: makes text messages wait for their turn, for targets that limit how often one may send.
        dialect: translates frames both ways, for targets whose wire differs.
        asks: is told of each text message before it goes out (its bytes, and the frame if that is valid), and
            may object.
        forgiven: patterns of frames that came too late for what only SHOULD come; they are passed over.
    """

    def __init__(self, client: ClientProtocol, request: Any, recorder: Recorder, label: str) -> None:
        super().__init__(client, request, recorder, label)
        self._beats: deque[asyncio.Future[None] | None] = deque()
        self._acks = 0
        self._count = 0
        self._bytes = 0
        self._flooded = False
        self.pace: FramePace | None = None
        self._unsent = 0
        self.asks: Callable[[int, Mapping[str, Any] | None], None] = lambda _size, _frame: None
        self.dialect: Interpreter | None = None
        self.inbox: list[Arrived] = []
        self.passed_over: frozenset[str] = frozenset()
        self.answers_ping = True
        self.forgiven: list[Mapping[str, Any]] = []
        self.accounted = False

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

    # Inside.

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

    def _over(self) -> None:
        for owner in self._beats:
            if owner is not None and not owner.done():
                owner.set_result(None)
