"""The server's only source of time: wall clock, monotonic clock and timers, which can all be moved together.

Nothing else in the server reads time or starts a timer, so a test bench (or the control interface) can
let hours pass at once: tokens expire, calls stop ringing, idle connections time out. (What bounds the cost of
a connection to the machine, in `http` and `tls_listener`, goes by the machine's own time.)
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Any

log = logging.getLogger(__name__)

_TO_SECONDS = len("2025-12-04T07:00:00")
_STALL_S = 0.1  # lateness at which the process may have stood still
_BREATH_S = 0.05  # within which the event loop reads what came meanwhile
_MOST_BREATHS = 5  # one after the other: a machine that is always late still comes to its timers
LAST = 253_402_300_799.0
"""Unix time of the last second of the year 9999."""


def ticks() -> float:
    """Seconds by the machine's own clock: to measure how long something took, and for nothing else."""
    return time.perf_counter()


class Timer:
    """A call that waits for its time; `cancel` withdraws it."""

    __slots__ = ("_args", "_callback", "_clock")

    def __init__(self, clock: Clock, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._clock: Clock | None = clock
        self._callback: Callable[..., object] | None = callback
        self._args = args

    def cancel(self) -> None:
        """Withdraw the call; it does no harm if it was made or withdrawn before."""
        if self._callback is not None:
            clock = self._clock
            self.drop()
            if clock is not None:
                clock.note_cancelled()

    def drop(self) -> None:
        """Forget the call without telling the clock."""
        self._callback, self._args, self._clock = None, (), None

    @property
    def active(self) -> bool:
        """Whether the call is still to come."""
        return self._callback is not None

    def fire(self) -> None:
        """Make the call now. A failing one is logged: the timers behind it still get their turn."""
        callback, args = self._callback, self._args
        self.drop()
        if callback is not None:
            try:
                callback(*args)
            except Exception:
                log.exception("a timer failed")


class Clock:
    """Wall and monotonic time in seconds, and timers on the running event loop."""

    def __init__(self) -> None:
        self._offset = 0.0
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = count()
        self._dead = 0  # cancelled timers still in the heap
        self._handle: asyncio.TimerHandle | None = None
        self._armed_for = 0.0  # real monotonic time of the handle
        self._planned = 0.0  # real monotonic time at which the handle is to call: later, behind a breath
        self._breaths = 0  # taken one after the other, for what came while the process stood still
        self.goal: float | None = None
        """While the clock is being moved: the monotonic time it will show then."""
        self.between: Callable[[], None] | None = None
        """While the clock is being moved, called behind each timer: what that one brings about has happened
        before the next. (Otherwise it happens when the event loop comes to it.)"""
        self._stamp_ms = -1
        self._stamp = ""
        self._second = (-1, "")

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time() + self._offset

    def monotonic(self) -> float:
        """Seconds that never run backwards, whatever is done to the wall clock."""
        return time.monotonic() + self._offset

    def stamp(self, at: float | None = None) -> str:
        """RFC 3339 text, UTC, milliseconds, of the Unix time `at` or of now; at most `LAST`, as years have
        four digits there."""
        ms = int((time.time() + self._offset if at is None else at) * 1000)
        if ms != self._stamp_ms:  # many frames share a millisecond
            self._stamp_ms = ms
            seconds, rest = divmod(min(ms, int(LAST) * 1000), 1000)
            if seconds != self._second[0]:
                self._second = seconds, datetime.fromtimestamp(seconds, UTC).isoformat()[:_TO_SECONDS]
            self._stamp = f"{self._second[1]}.{rest:03d}Z"
        return self._stamp

    def advance(self, seconds: float) -> None:
        """Move both clocks forward and run, in order, every timer that becomes due by that.

        Raises:
            ValueError: `seconds` is negative; time does not run backwards here.
        """
        if seconds < 0:
            raise ValueError("the clock moves forward only")
        self.goal = goal = self.monotonic() + seconds
        while self._heap and self._heap[0][0] <= goal:
            # Step by step, so that a timer started by a timer gets its turn at the right moment.
            self._offset += max(0.0, self._heap[0][0] - self.monotonic())
            if self._run_first() and self.between is not None:
                self.between()
        self._offset += max(0.0, goal - self.monotonic())
        self.goal = None
        self._arm()

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        """Call `callback(*args)` after `delay` seconds of this clock."""
        timer = Timer(self, callback, args)
        heapq.heappush(self._heap, (self.monotonic() + max(0.0, delay), next(self._order), timer))
        self._arm()
        return timer

    def close(self) -> None:
        """Withdraw all timers."""
        for _, _, timer in self._heap:
            timer.drop()
        self._heap.clear()
        self._dead = 0
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def note_cancelled(self) -> None:
        """Sweep the heap once most of it is cancelled timers (every handshake starts one)."""
        self._dead += 1
        if self._dead > 64 and self._dead * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].active]
            heapq.heapify(self._heap)
            self._dead = 0

    def _arm(self) -> None:
        if not self._heap:
            return
        real = self._heap[0][0] - self._offset
        if self._handle is not None:
            if self._armed_for == real:
                return
            self._handle.cancel()
        self._armed_for = self._planned = real
        self._breaths = 0
        loop = asyncio.get_running_loop()
        self._handle = loop.call_later(max(0.0, real - time.monotonic()), self._tick)

    def _tick(self) -> None:
        now = time.monotonic()
        if now - self._planned > _STALL_S and self._breaths < _MOST_BREATHS:
            # The process stood still (stopped, paused with its machine, held up): who said something in time
            # must not be taken for silent because timers come before what is to be read. If it stands still
            # again within the breath, that goes for the breath, too.
            self._breaths += 1
            self._planned = now + _BREATH_S
            self._handle = asyncio.get_running_loop().call_later(_BREATH_S, self._tick)
            return
        self._handle, self._breaths = None, 0
        self._run_due(self.monotonic())
        self._arm()

    def _run_due(self, until: float) -> None:
        while self._heap and self._heap[0][0] <= until:
            self._run_first()

    def _run_first(self) -> bool:
        """Run the first timer; whether it was still to run."""
        timer = heapq.heappop(self._heap)[2]
        if not timer.active:
            self._dead -= 1
            return False
        timer.fire()
        return True
