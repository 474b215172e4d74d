"""Which messages may be the cause of something: the likeliest first."""

from __future__ import annotations

import json
import re
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
_TYPE = re.compile(rb'"type"\s*:\s*"([a-z_]+)"')
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
    names, values, few = names_in(frame), _offending(frame, watch.pointer), Counter[object]()
    kind = f'"{watch.type}"'.encode()
    first = min(cell.links.items(), key=lambda item: item[0])
    beat = Sent(b'{"type":"heartbeat"}', Duty.VALID, exact=True, kind="heartbeat")
    likely: list[Suspect] = [(*first, beat)] if watch.type == "heartbeat_ack" else []

    def rank(suspect: Suspect) -> tuple[bool, int, int, bool]:
        sent = suspect[2]
        unlikely = 1
        if sent.duty is Duty.REFUSE:  # is answered with an error, or was passed on all the same
            unlikely = 0 if watch.type == "error" or kind in sent.data else 2
        return (
            not any(value in sent.data for value in values) and sent.fault != (watch.keyword or None),
            -sum(name in sent.data.lower() for name in names),
            unlikely,
            not sent.exact,
        )

    for suspect in sorted(_sent(cell, {}, lambda _: True), key=rank):
        sent = suspect[2]
        alike = sent.duty, sent.kind or _type_in(sent.data), sent.fault, sent.exact
        few[alike] += 1
        if few[alike] <= _ALIKE:
            likely.append(suspect)
    return likely[:_BRINGING]


def count_sent(cell: Cell) -> int:
    """How many messages a cell has sent in the interval."""
    return sum(len(batch.sent) for link in cell.links.values() for batch in link.interval.batches)


def _type_in(data: bytes) -> bytes:
    """The type that a message seems to name."""
    found = _TYPE.search(data)
    return found[1] if found is not None else b""


def _offending(frame: Any, pointer: str) -> list[bytes]:
    """What stands in a frame where its schema forbids it, with the key, as most writers write it."""
    *holders, key = pointer.split("/")
    if not holders:
        return []
    for part in holders[1:]:
        frame = frame.get(part) if isinstance(frame, dict) else None
    if not isinstance(frame, dict) or key not in frame:
        return []
    name, value = json.dumps(key), frame[key]
    texts = {json.dumps(value, ensure_ascii=way, separators=(",", ":")) for way in (True, False)}
    return [f"{name}:{text}".encode("utf-8", "replace") for text in sorted(texts)]


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
