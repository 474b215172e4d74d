"""Which messages may be the cause of something: the likeliest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from relaykit.conformance.derived.violations import STOWAWAY
from relaykit.conformance.fuzz.cells import Cell
from relaykit.conformance.fuzz.link import Link, Sent
from relaykit.conformance.fuzz.oracle import Duty
from relaykit.conformance.fuzz.watching import Watch, names_in
from relaykit.schemas import Catalogue

_ALIKE, _BRINGING = 4, 64
"""Of what may have brought one frame, so many of a kind are tried, and in all."""
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


def turned_away(cell: Cell) -> list[Suspect]:
    """Valid messages that a target refused by name, where it must serve each of them alone."""
    return [
        (name, link, sent)
        for name, link in cell.links.items()
        if link.interval.turned
        for batch in link.interval.batches
        for sent in batch.sent
        if sent.exact
        and sent.kind == "send"
        and any(n.encode() in sent.data.lower() for n in link.interval.turned)
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


def signature(catalogue: Catalogue, data: bytes, duty: Duty) -> tuple[object, ...]:
    """What makes two messages alike: the type, and what is wrong with it, and where."""
    verdict = catalogue.validate(data, "c2s")
    wrong = tuple(sorted({(f.pointer, f.keyword) for f in verdict.findings}))[:1]
    return duty, verdict.type, wrong


def messages(suspects: Iterable[Suspect]) -> tuple[tuple[str, bytes], ...]:
    """What was sent, and by which device: for those that nobody can try, or that show nothing alone."""
    return tuple((name, sent.data) for name, _, sent in suspects)


def received(link: Link) -> set[str]:
    """Messages that a link got in the interval."""
    return {name.lower() for name in link.interval.got}


def bringing(cell: Cell, frame: Any, watch: Watch) -> list[Suspect]:
    """What may have brought a frame that is watched for: what shares most with it first; some of a kind."""
    names, few = names_in(frame), Counter[object]()
    first = min(cell.links.items(), key=lambda item: item[0])
    beat = Sent(b'{"type":"heartbeat"}', Duty.VALID, exact=True, kind="heartbeat")
    likely: list[Suspect] = [(*first, beat)] if watch.type == "heartbeat_ack" else []

    def rank(suspect: Suspect) -> tuple[int, bool, bool]:
        sent = suspect[2]
        refused = sent.duty is Duty.REFUSE
        return (
            -sum(name in sent.data.lower() for name in names),
            refused != (watch.type == "error"),
            not sent.exact,
        )

    for suspect in sorted(_sent(cell, {}, lambda _: True), key=rank):
        sent = suspect[2]
        alike = sent.duty, sent.kind, sent.fault, sent.exact
        few[alike] += 1
        if few[alike] <= _ALIKE:
            likely.append(suspect)
    return likely[:_BRINGING]


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
