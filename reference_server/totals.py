"""What waits on the server in all. Counting it reads every row, so it is counted once and then kept up.

A turn that fails is taken back here, too: while the store fails they all do, and none is to read every row.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from relaykit.reference_server.store import Store

# LENGTH before anything else: content is large, and would be read for any other look at it.
_BY_SENDER = "SELECT sender, SUM(LENGTH(frame)) FROM messages WHERE LENGTH(frame) > 0 GROUP BY sender"


@dataclass(slots=True)
class Totals:
    """What waits in all: messages, once for each device that they wait for, and the bytes of their frames, in
    all and of each user who sent any."""

    waiting: int
    bytes: int
    by_sender: dict[str, int] = field(default_factory=dict)

    def add(self, waiting: int, sender: str, size: int) -> None:
        """Count some more; some less, if numbers are negative."""
        self.waiting += waiting
        if size:
            self.bytes += size
            of_sender = self.by_sender.get(sender, 0) + size
            if of_sender > 0:
                self.by_sender[sender] = of_sender
            else:
                self.by_sender.pop(sender, None)


class Tally:
    """The totals of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.known: Totals | None = None
        """The totals, if they were counted already."""
        self._added: (
            list[tuple[int, str, int]] | None
        ) = []  # in the turn `_turn`; None: it cannot be taken back
        self._turn = store.turns
        store.on_settle(lambda: None, self._forget)

    def count(self) -> Totals:
        """Count what is in the tables; all that waits must be there."""
        ((waiting,),) = self._store.read("SELECT COUNT(*) FROM waiting")
        by_sender = dict(self._store.read(_BY_SENDER))
        self._turn, self._added = self._store.turns, None if self._store.dirty else []
        self.known = Totals(waiting, sum(by_sender.values()), by_sender)
        return self.known

    def add(self, waiting: int, sender: str = "", size: int = 0) -> None:
        """Count what this turn adds; with negative numbers, what waits no longer.

        Args:
            waiting: messages, once for each device.
            size: bytes of what `sender` has sent.
        """
        if self.known is None:
            return
        if self._turn != self._store.turns:  # that one was committed
            self._turn, self._added = self._store.turns, []
        if self._added is not None:
            self._added.append((waiting, sender, size))
        self.known.add(waiting, sender, size)

    def _forget(self) -> None:
        added, self._added = self._added, []
        undone = self._turn == self._store.turns  # otherwise that turn was committed, and a later one fails
        if self._store.dirty or (undone and added is None):
            self.known = None  # all rows were deleted, or it was counted in the turn that fails
        elif undone and self.known is not None:
            for waiting, sender, size in reversed(added or ()):
                self.known.add(-waiting, sender, -size)
