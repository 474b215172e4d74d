"""Which messages exist: from a message's id to what must be known of it.

An index of random ids touches a page per message, and every touched page is written at the commit. So ids
enter the index a few thousand at a time and sorted; those that are not in it yet are held in memory, and read
again from the table of messages when the store is opened.
"""

from __future__ import annotations

from dataclasses import dataclass

from relaykit.reference_server.store import Store

_RECENT = 4096  # ids held in memory before they enter the index
_FILTER_BITS = 1 << 23
_FILTER_MASK = _FILTER_BITS - 1


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


def _by_key(item: tuple[bytes, Entry]) -> bytes:
    return item[0]


class Ledger:
    """Finds messages by the 16 bytes of their ids."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recent: dict[bytes, Entry] = {}
        self._stale = False  # whether _recent is to be read again
        # One bit per hash of an id in the index: most ids that are looked up are new, and need no query.
        self._filter = bytearray(_FILTER_BITS // 8)
        self._load()
        for (key,) in store.read("SELECT id FROM ids"):
            self._note(key)
        self.next = 1 + int(store.read("SELECT COALESCE(MAX(seq), 0) FROM messages")[0][0])
        """The place of the next message."""
        store.on_settle(self._settle, self._forget)

    def find(self, key: bytes) -> Entry | None:
        """The message with this id, if there is one."""
        if self._stale:
            self._load()
        entry = self._recent.get(key)
        if entry is not None:
            self._store.used = True  # it may be of this turn: what is answered depends on the commit
            return entry
        place = hash(key) & _FILTER_MASK
        if not self._filter[place >> 3] & 1 << (place & 7):
            return None
        rows = self._store.read(
            "SELECT seq, sender, target FROM ids JOIN messages ON seq = message WHERE ids.id = ?", key
        )
        if not rows:
            return None
        seq, sender, target = rows[0]
        return Entry(seq, sender, target, None)

    def add(self, key: bytes, entry: Entry) -> None:
        """Remember a message that is being stored."""
        self._recent[key] = entry

    def _note(self, key: bytes) -> None:
        place = hash(key) & _FILTER_MASK
        self._filter[place >> 3] |= 1 << (place & 7)

    def _settle(self) -> None:
        if len(self._recent) < _RECENT:
            return
        rows = [(bytearray(key), entry.seq) for key, entry in sorted(self._recent.items(), key=_by_key)]
        self._store.insert("ids", rows)
        self._store.write("UPDATE indexed SET upto = ?", max(entry.seq for entry in self._recent.values()))
        for key in self._recent:
            self._note(key)
        self._recent = {}

    def _forget(self) -> None:
        self._recent = {}
        self._stale = True  # not read here: a store that fails would fail again

    def _load(self) -> None:
        """Read the messages that are not in the index yet."""
        rows = self._store.read(
            "SELECT id, seq, sender, target FROM messages WHERE seq > COALESCE((SELECT upto FROM indexed), 0)"
        )
        self._recent = {key: Entry(seq, sender, target, None) for key, seq, sender, target in rows}
        self._stale = False
