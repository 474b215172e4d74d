"""How many messages may come to wait for somebody: as the target file says, or as the target shows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from relaykit.conformance.fuzz.link import Room, Sent
from relaykit.conformance.fuzz.oracle import Duty
from relaykit.conformance.target import Target

LIMIT = "waiting_per_user"
_HELLO = 2
"""Messages by which the people of a cell got acquainted; nobody has acknowledged them."""
_WAITING = frozenset({"send", "message"})


@dataclass(slots=True)
class Waiting:
    """What may be sent to the people of one cell in an interval, at whose end all of it is acknowledged.

    A server may refuse messages while too many wait for somebody, and need not say so beforehand (LIM-20).

    Attributes:
        most: so many messages, by all of the cell: each may be for the same user.
        stated: whether the target file says what the target lets wait; if not, it is learnt.
    """

    most: float
    stated: bool
    note: str = ""

    @classmethod
    def of(cls, target: Target) -> Waiting:
        """As a target file has it."""
        if LIMIT not in target.stated:
            return cls(math.inf, stated=False)
        return cls(max(0, int(target.limits[LIMIT]) - _HELLO), stated=True)

    @property
    def bounded(self) -> bool:
        return self.most < math.inf

    def learn(self, kept: int) -> bool:
        """Messages were refused that are served when they are sent alone; whether less than that is left.

        Args:
            kept: messages of that connection that were acknowledged before.
        """
        if self.stated or self.most <= 1:
            return False
        self.most = max(1, min(kept, self.most // 2))
        self.note = (
            "the target refuses messages that it serves when they are sent alone, as it may while too many "
            f"wait for somebody, and its target file states no limits.{LIMIT}: at most {self.most:g} wait "
            "since"
        )
        return True


def takes(room: Room, sent: Sent) -> bool:
    """Whether there is room for what is about to be sent; if so, it is taken."""
    if not waits(sent):
        return True
    room.left -= 1
    return room.left >= 0


def waits(sent: Sent) -> bool:
    """Whether a message may come to wait for somebody by this."""
    return sent.kind in _WAITING and sent.duty is not Duty.REFUSE


def held(kept: Iterable[Sent]) -> int:
    """How many of what was made and not sent yet may come to wait."""
    return sum(map(waits, kept))
