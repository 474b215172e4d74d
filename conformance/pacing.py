"""No more connections and frames per second than the target permits: for servers that limit them.

Waiting for a turn is the suite's own politeness, and no part of what is judged: deadlines move along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_SHARE = 0.8
"""Of a limit that a target states: clocks differ, and what is sent together may be counted together."""


_BURST_SHARE = 0.7
"""Of a burst: the target may count what the suite does not, such as WebSocket control frames."""


class Pace:
    """Turns at an even distance. `per_second` None: at once."""

    def __init__(self, per_second: float | None) -> None:
        self._distance = 1 / per_second if per_second else 0.0
        self._next = 0.0

    def reserve(self) -> float:
        """Take the next turn; how many seconds it is away."""
        if not self._distance:
            return 0.0
        now = asyncio.get_running_loop().time()
        mine = max(now, self._next)
        self._next = mine + self._distance
        return mine - now

    async def turn(self) -> float:
        """Wait until it is this caller's turn; how many seconds that took."""
        away = self.reserve()
        if away > 0:
            await asyncio.sleep(away)
        return away


class FramePace(Pace):
    """The turns of one connection's frames.

    Args:
        more_time: is told of the seconds by which a case takes longer for it.
    """

    def __init__(self, per_second: float, more_time: Callable[[float], None]) -> None:
        super().__init__(per_second)
        self._more_time = more_time

    def reserve(self) -> float:
        away = super().reserve()
        if away > 0:
            self._more_time(min(away, self._distance))
        return away

    @property
    def lag(self) -> float:
        """Seconds until the last frame that was given to it goes out; 0 when all are out."""
        return max(0.0, self._next - self._distance - asyncio.get_running_loop().time())


class BurstPace(FramePace):
    """Turns under a limit of frames per second with bursts: at once as long as there is room for that.

    Args:
        rate: frames per second that the target accepts.
        burst: frames that it accepts at once.
        more_time: see `FramePace`.
    """

    def __init__(self, rate: float, burst: float, more_time: Callable[[float], None]) -> None:
        super().__init__(rate * _SHARE, more_time)
        self._most = max(1.0, burst * _BURST_SHARE)
        self._left, self._at, self._last = self._most, asyncio.get_running_loop().time(), 0.0

    def reserve(self) -> float:
        now = asyncio.get_running_loop().time()
        self._left = min(self._most, self._left + (now - self._at) / self._distance) - 1
        self._at = now
        away = max(0.0, -self._left * self._distance)
        self._last = now + away
        if away > 0:
            self._more_time(min(away, self._distance))
        return away

    @property
    def lag(self) -> float:
        return max(0.0, self._last - asyncio.get_running_loop().time())


class Budget:
    """What one connection may send under a limit of frames per second with bursts; fuzzers keep below it.

    Args:
        rate: frames per second that the target accepts.
        burst: frames that it accepts at once.
    """

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._most = rate * _SHARE, max(1.0, burst * _SHARE)
        self._left, self._at = self._most, asyncio.get_running_loop().time()

    async def spend(self) -> None:
        """Wait until one more frame may be sent, and count it."""
        now = asyncio.get_running_loop().time()
        self._left, self._at = min(self._most, self._left + (now - self._at) * self._rate) - 1, now
        if self._left < 0:
            # Whoever comes next waits behind this one.
            await asyncio.sleep(-self._left / self._rate)

    def exhaust(self, seconds: float) -> None:
        """Nothing may be sent for so long."""
        self._left, self._at = -seconds * self._rate, asyncio.get_running_loop().time()
