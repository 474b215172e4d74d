"""How large frames may be: as large as the target file says, or as the target shows that it takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from relaykit.conformance.fuzz.link import Batch, Link
from relaykit.conformance.fuzz.oracle import Duty
from relaykit.conformance.outgrown import CLOSED, LIMIT
from relaykit.conformance.target import Target
from relaykit.schemas import Catalogue


@dataclass(slots=True)
class Sizes:
    """What may be sent, in bytes.

    Attributes:
        most: the largest frame.
        least: no server may refuse a smaller one for its size.
        stated: whether the target file says what the target takes; if not, it is learnt.
    """

    most: int
    least: int
    stated: bool
    note: str = ""

    @classmethod
    def of(cls, target: Target, catalogue: Catalogue) -> Sizes:
        """As a target file has it."""
        least = int(catalogue.protocol.limits[LIMIT].minimum)
        return cls(int(target.limits[LIMIT]), least, LIMIT in target.stated)

    def learn(self, links: Iterable[Link]) -> None:
        """Where nobody stated a limit: what was turned away may have been too large, and is not expected."""
        if self.stated:
            return
        for link in links:
            closed = link.ended is not None and link.ended.startswith(CLOSED)
            for batch in (*(link.inflight if closed else ()), *link.suspicious):
                self._learn_from(link, batch, closed=closed)

    def _learn_from(self, link: Link, batch: Batch, *, closed: bool) -> None:
        large = [sent for sent in batch.sent if len(sent.data) > self.least]
        valid = [sent for sent in large if sent.duty is Duty.VALID]
        if not (large if closed else 0 < batch.errors - batch.most <= len(valid)):
            return
        for sent in valid:  # whether it was served nobody can tell
            sent.exact = False
            link.interval.acks.discard(_message_id(sent.data))
        if batch in link.suspicious:
            link.suspicious.remove(batch)
        largest = max(len(sent.data) for sent in (large if closed else valid))
        self.most = max(self.least, min(self.most, largest * 3 // 4))
        self.note = (
            f"the target seems to turn frames away for their size, and its target file states no "
            f"limits.{LIMIT}: frames have at most {self.most:,} bytes since"
        )


def _message_id(data: bytes) -> Any:
    return str(orjson.loads(data).get("message_id")).lower()
