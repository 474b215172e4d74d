"""How many frames a connection may send (source: Security Considerations, Rate Limiting)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto


class Ruling(Enum):
    """What becomes of a frame."""

    ACCEPT = auto()
    REFUSE = auto()
    """Refused, and the client is to be told."""
    IGNORE = auto()
    """Refused; the error already sent stands for this frame too."""
    CLOSE = auto()
    """Refused, and the flood has lasted too long for the connection to live."""


_ACCEPT = Ruling.ACCEPT


@dataclass(frozen=True, slots=True)
class Rate:
    """Frames per second, frames in one burst, and refused frames in a row that end the connection."""

    per_second: float
    burst: int
    refusals_before_close: int


class Bucket:
    """A token bucket. One per connection; `now` is always the injected clock's monotonic time."""

    __slots__ = ("_rate", "_refused", "_tokens", "_told_until", "_updated")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = float(rate.burst)
        self._updated = now
        self._refused = 0
        self._told_until = 0.0

    def take(self, now: float) -> Ruling:
        """Count one frame."""
        if now == self._updated and self._tokens >= 1.0:  # one more of those that came together
            self._tokens -= 1.0
            return _ACCEPT
        rate = self._rate
        tokens = self._tokens + (now - self._updated) * rate.per_second
        self._updated = now
        if tokens >= rate.burst:
            tokens = rate.burst
            self._refused = 0  # a full bucket: the client has calmed down
        if tokens >= 1.0:
            self._tokens = tokens - 1.0
            return _ACCEPT
        self._tokens = tokens
        self._refused += 1
        if self._refused > rate.refusals_before_close:
            return Ruling.CLOSE
        if now < self._told_until:
            return Ruling.IGNORE
        self._told_until = now + self.retry_after()
        return Ruling.REFUSE

    def retry_after(self) -> int:
        """Whole seconds after which a frame will be accepted again, at least 1."""
        return max(1, math.ceil((1.0 - self._tokens) / self._rate.per_second))
