"""Which messages may be the cause of something: the likeliest first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from relaykit.conformance.derived.violations import STOWAWAY
from relaykit.conformance.fuzz.cells import Cell
from relaykit.conformance.fuzz.link import Link, Sent
from relaykit.conformance.fuzz.oracle import Duty

Suspect = tuple[str, Link, Sent]
"""Who sent it, on which link, and what."""


def forbidden(cell: Cell, frame: dict[str, Any]) -> list[Suspect]:
    """What was to be refused and may have been forwarded as this frame."""
    return _sent(cell, frame, lambda sent: sent.duty is Duty.REFUSE)


def smuggling(cell: Cell, frame: Any) -> list[Suspect]:
    """What may have been forwarded as this frame with a property that is not documented."""

    def holds(sent: Sent) -> bool:
        return sent.duty is Duty.EITHER and STOWAWAY.encode() in sent.data

    return _sent(cell, frame if isinstance(frame, dict) else {"type": ""}, holds)


def unacknowledged(name: str, link: Link) -> list[Suspect]:
    """Messages that a link sent and that were not acknowledged."""
    missing = list(link.interval.acks)[:4]
    return [
        (name, link, sent)
        for batch in link.interval.batches
        for sent in batch.sent
        if sent.exact and any(each.encode() in sent.data for each in missing)
    ]


def in_flight(cells: Sequence[Cell]) -> list[Suspect]:
    """What was sent and not answered, by anybody: the oldest first."""
    links = [(name, link) for cell in cells for name, link in cell.links.items()]
    deep = max((len(link.inflight) for _, link in links), default=0)
    return [
        (name, link, sent)
        for depth in range(deep)
        for name, link in links
        if depth < len(link.inflight)
        for sent in link.inflight[depth].sent
    ]


def received(link: Link) -> set[str]:
    """Messages that a link got in the interval."""
    return {name.lower() for name in link.interval.got}


def _sent(cell: Cell, frame: dict[str, Any], fits: Callable[[Sent], bool]) -> list[Suspect]:
    """What fits among all that was sent; what is of the frame's type first."""
    kind = str(frame.get("type")).encode()
    every = [
        (name, link, sent)
        for name, link in cell.links.items()
        for batch in link.interval.batches
        for sent in batch.sent
        if fits(sent)
    ]
    return sorted(every, key=lambda each: kind not in each[2].data)
