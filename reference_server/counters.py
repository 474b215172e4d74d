"""What is counted while the server runs: plain integers, read when somebody asks for metrics."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Upper bounds of the classes of durations, in seconds; one more class takes the rest."""


class Durations:
    """How often something happened, and how long it took."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0

    def note(self, seconds: float) -> None:
        """Count one duration."""
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total_s += seconds


@dataclass(slots=True)
class Counters:
    """Counts since the start. Types are the catalogue's, so that nobody can make up new ones.

    Attributes:
        received: valid frames of clients, by type.
        sent: frames to clients, by type.
        errors: error frames among them, by code.
        refused: handshakes refused, by HTTP status.
        slow_readers: connections that were closed since they read too slowly.
    """

    received: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    refused: Counter[int] = field(default_factory=Counter)
    slow_readers: int = 0
