"""Which messages exist: from a message's id to what must be known of it.

Ids are random, so an index of them on the disk touches a page for each, and every page that was touched is
written at the commit. (Even when ids entered an index some thousands at a time, sorted, this was a third of
what a message cost with half a million remembered.) So they are held in memory, where they need no more than
25 bytes each, and read from the table of messages when the store is opened: 2 s for half a million.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from relaykit.reference_server.store import Store

_RECENT = 8192  # messages of which more than the id is held in memory; twice as many at most
_SHELVES = 1 << 14
_FILTER = 1 << 22  # places in the filter
_KEY, _SEQ = 16, 5  # bytes
_RECORD = _KEY + _SEQ
_AT_ONCE = 10_000  # rows that are read at a time


@dataclass(slots=True)
class Entry:
    """A message.

    Attributes:
        seq: its place in the order of all messages.
        target: the recipient, or the group.
        status: of a direct message, if it is known without looking it up.
    """

    seq: int
    sender: str
    target: str
    status: str | None


_Recent = dict[bytes, tuple[int, str, str, str | None]]  # tuples: the garbage collector passes them by


class Ledger:
    """Finds messages by the 16 bytes of their ids."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recent: _Recent = {}
        self._older: _Recent = {}
        self._stale = False  # whether a turn has failed, so that what it added must go
        self._emptied = False  # whether what is known was dropped since all of the table was read
        # 1 at the hash of each id that is known: most that are looked up are new, and need no further look.
        # A byte for each place: every message would pay for picking out a bit.
        self._filter = bytearray(_FILTER)
        # The older ones: a hash table that costs 25 bytes a message, where a dict would take 150. Id and seq
        # of each, in one string for all that share a hash.
        self._shelves = [b""] * _SHELVES
        self._gone: list[tuple[bytes, int]] = []  # forgotten in a turn of which the commit is to come
        self._gone_in = 0  # the number of that turn
        self._read_all()
        self._next = 1 + self._last()
        store.on_settle(lambda: None, self._forget)

    def find(self, key: bytes) -> Entry | None:
        """The message with this id, if there is one."""
        if self._stale:
            self._load()
        if not self._filter[hash(key) % _FILTER]:
            return None
        recent = self._recent.get(key) or self._older.get(key)
        if recent is not None:
            self._store.used = True  # it may be of this turn: what is answered depends on the commit
            return Entry(*recent)
        for seq in _seqs(self._shelves[hash(key) % _SHELVES], key):
            rows = self._store.read("SELECT sender, target FROM messages WHERE seq = ? AND id = ?", seq, key)
            if rows:
                ((sender, target),) = rows
                return Entry(seq, sender, target, None)
        return None

    def add(self, key: bytes, sender: str, target: str, status: str | None) -> int:
        """Remember a message that is being stored; its place in the order of all."""
        if self._stale:
            self._load()
        seq = self._next
        self._next = seq + 1
        self._recent[key] = (seq, sender, target, status)
        self._filter[hash(key) % _FILTER] = 1
        return seq

    def note_status(self, key: bytes, status: str) -> None:
        """Remember how far a direct message has come, as long as that needs no look-up."""
        for recents in (self._recent, self._older):
            if key in recents:
                recents[key] = (*recents[key][:3], status)

    def settle(self) -> int | None:
        """End a turn: the place of the last message each time some thousands have come, else None."""
        for key, seq in self._gone:  # in a turn before this one, which was committed
            self._drop(key, seq)
        self._gone = []
        if len(self._recent) < _RECENT:
            return None
        shelves = self._shelves
        for key, older in self._older.items():
            shelves[hash(key) % _SHELVES] += key + older[0].to_bytes(_SEQ)
        self._older, self._recent = self._recent, {}
        return self._next - 1

    def forget(self, rows: Iterable[tuple[bytes, int]]) -> None:
        """Forget messages, by id and place, whose rows are deleted in this turn, if it is committed."""
        self._gone += rows
        self._gone_in = self._store.turns

    def _drop(self, key: bytes, seq: int) -> None:
        for recents in (self._recent, self._older):
            if key in recents and recents[key][0] == seq:
                del recents[key]
        number = hash(key) % _SHELVES
        shelf = self._shelves[number]
        for at in _places(shelf, key + seq.to_bytes(_SEQ)):
            self._shelves[number] = shelf[:at] + shelf[at + _RECORD :]
            return

    # --- agreeing with the table ---

    def _forget(self) -> None:
        if self._gone_in == self._store.turns:  # otherwise that turn was committed, and a later one fails
            self._gone = []
        self._stale = True  # nothing is read here: a store that fails would fail again

    def _load(self) -> None:
        """Let go of what a failed turn has added, or of everything if the table has been emptied."""
        last = self._last()
        if self._emptied:  # that may be what has failed
            self._read_all()
        elif last == 0:
            self._shelves = [b""] * _SHELVES
            self._recent, self._older = {}, {}
        else:
            self._recent, self._older = _upto(last, self._recent), _upto(last, self._older)
        self._emptied = last == 0
        self._stale = False

    def _last(self) -> int:
        return int(self._store.read("SELECT COALESCE(MAX(seq), 0) FROM messages")[0][0])

    def _read_all(self) -> None:
        shelves = [b""] * _SHELVES
        seq = 0
        while rows := self._store.read(
            "SELECT seq, id FROM messages WHERE seq > ? ORDER BY seq LIMIT ?", seq, _AT_ONCE
        ):
            for seq, key in rows:
                number = hash(key)
                self._filter[number % _FILTER] = 1
                shelves[number % _SHELVES] += key + seq.to_bytes(_SEQ)
        self._shelves = shelves
        self._recent, self._older = {}, {}


def _upto(last: int, recents: _Recent) -> _Recent:
    """Those that are stored. What a failed turn has said of their status does not count."""
    return {
        key: (seq, sender, target, None) for key, (seq, sender, target, _) in recents.items() if seq <= last
    }


def _places(shelf: bytes, what: bytes) -> Iterator[int]:
    """Where records begin with these bytes."""
    at = shelf.find(what)
    while at >= 0:
        if at % _RECORD == 0:
            yield at
        at = shelf.find(what, at + 1)


def _seqs(shelf: bytes, key: bytes) -> Iterator[int]:
    for at in _places(shelf, key):
        yield int.from_bytes(shelf[at + _KEY : at + _RECORD])
