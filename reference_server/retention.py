"""How long messages are remembered for which no device waits any more.

A message that is sent again is known by its row, and a late status needs it, so rows stay when the content is
gone. They stay for a number of newer messages, not for ever: a store, and above all one in memory, then keeps
a size that follows from the settings.
"""

from __future__ import annotations

from collections.abc import Iterable

from relaykit.reference_server.store import Store

# Rows with content still have a device that waits for them.
_DONE = "seq > ?1 AND seq <= ?2 AND frame = x''"
_SELECT = f"SELECT id, seq FROM messages WHERE {_DONE}"  # noqa: S608
_STATEMENTS = (
    "DELETE FROM recipients WHERE message > ?1 AND message <= ?2"
    " AND NOT EXISTS (SELECT 1 FROM messages WHERE seq = message AND frame != x'')",
    f"DELETE FROM messages WHERE {_DONE}",  # noqa: S608
)


class Retention:
    """Forgets messages, the oldest first.

    Args:
        most: how many newer messages there are when one is forgotten, at least.
    """

    def __init__(self, store: Store, most: int) -> None:
        self._store = store
        self._most = most
        self._upto: int | None = None  # messages up to this one are forgotten, but for those that wait
        self._late: int | None = None  # the first of those for which nobody waits by now
        store.on_settle(lambda: None, self._forget)

    def purge(self, last: int) -> list[tuple[bytes, int]]:
        """Forget what is old enough.

        Args:
            last: place of the newest message; it and all before it must be in the tables.

        Returns:
            Id and place of each message that is forgotten.
        """
        floor = last - self._most
        if self._upto is None:
            ((oldest,),) = self._store.read("SELECT COALESCE(MIN(seq), 1) FROM messages")
            self._upto = oldest - 1
        floor = max(floor, self._upto)
        start = self._upto if self._late is None else self._late - 1
        gone: list[tuple[bytes, int]] = []
        if floor > start:
            gone = self._store.read(_SELECT, start, floor)
            for statement in _STATEMENTS:
                self._store.write(statement, start, floor)
        self._upto, self._late = floor, None
        return gone

    def note_done(self, seqs: Iterable[int]) -> None:
        """Note that no device waits for these any more: the others of their age may be forgotten by now."""
        first = min(seqs, default=None)
        if first is not None and self._upto is not None and first <= self._upto:
            self._late = first if self._late is None else min(first, self._late)

    def _forget(self) -> None:
        self._upto = None
        self._late = None
