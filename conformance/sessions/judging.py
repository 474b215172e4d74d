"""Compares what arrived with what a branch permits: nothing missing, nothing too much, all in order.

Pure: it gets frames, not sockets. Patterns are filled with real identifiers before they come here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relaykit.conformance.matching import compare
from relaykit.conformance.sessions.state import Branch, Expected

Fill = Callable[[Any], Any]
Frames = Mapping[str, Sequence[Any]]
"""Device → the frames that have come to it and are not explained yet, in order."""


@dataclass(frozen=True, slots=True)
class Item:
    """What may come to a device, with its forms filled."""

    expected: Expected
    forms: tuple[Any, ...]

    def fits(self, frame: Any) -> bool:
        return any(compare(form, frame) is None for form in self.forms)


@dataclass(slots=True)
class Match:
    """How what arrived fits a branch.

    Attributes:
        missing: what must have come and has not.
        late: what came only after something that it has to come before.
        strays: frames that nothing explains, each with its device.
        open_: what may still come, in place of the pool that was given.
        taken: frames explained.
    """

    branch: Branch
    missing: list[Expected] = field(default_factory=list)
    late: list[tuple[Expected, Any]] = field(default_factory=list)
    strays: list[tuple[str, Any]] = field(default_factory=list)
    open_: list[Item] = field(default_factory=list)
    taken: int = 0

    @property
    def complete(self) -> bool:
        return not self.missing

    @property
    def rank(self) -> tuple[bool, int, int, int]:
        """The smaller, the better it fits. What came tells the branch that was taken; more may still come."""
        amiss = len(self.late) + len(self.strays)
        return self.branch.whole and bool(self.missing), amiss, len(self.missing), -self.taken


def items(expected: Iterable[Expected], fill: Fill) -> list[Item]:
    """Expectations, ready to be compared."""
    return [Item(each, tuple(fill(form) for form in each.forms)) for each in expected]


def fit(branch: Branch, pool: Sequence[Item], arrived: Frames, fill: Fill) -> Match:
    """Explain the frames that arrived by a branch, and by what could still come from earlier steps."""
    match = Match(branch)
    needed = items(branch.must, fill)
    optional = [*pool, *items(branch.may, fill)]
    for device, came in arrived.items():
        mine = [item for item in needed if item.expected.to == device]
        spare = [item for item in optional if item.expected.to == device]
        for frame in came:
            if not _explain(match, mine, spare, frame):
                match.strays.append((device, frame))
        match.missing += [item.expected for item in mine]
        match.open_ += spare
    for item in needed:
        if item.expected.to not in arrived:
            match.missing.append(item.expected)
    match.open_ += [item for item in optional if item.expected.to not in arrived]
    return match


def _explain(match: Match, mine: list[Item], spare: list[Item], frame: Any) -> bool:
    """Take the expectation that a frame meets out of the lists; False: there is none."""
    for index, item in enumerate(mine):
        if item.fits(frame):
            line = item.expected.line
            if line and any(other.expected.line == line for other in mine[:index]):
                match.late.append((item.expected, frame))
            mine.remove(item)
            # What should have come before it down the same line may not come any more.
            spare[:] = [other for other in spare if not line or other.expected.line != line]
            match.taken += 1
            return True
    for index, item in enumerate(spare):
        if item.fits(frame):
            line = item.expected.line
            before = [other for other in spare[:index] if line and other.expected.line == line]
            spare.remove(item)
            spare[:] = [other for other in spare if other not in before]
            match.taken += 1
            return True
    return False


def best(branches: Sequence[Branch], pool: Sequence[Item], arrived: Frames, fill: Fill) -> Match:
    """How what arrived fits the branch that it fits best; of equals, the first."""
    return min((fit(branch, pool, arrived, fill) for branch in branches), key=lambda match: match.rank)
