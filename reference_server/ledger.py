"""Which messages exist: from a message's id to what must be known of it.

An index of random ids touches a page per message, and every touched page is written at the commit. So ids
enter the index some thousands at a time and sorted, which lets several share a page; those that are not in it
yet are held in memory, and read again from the table of messages when the store is opened.
"""

from __future__ import annotations

from dataclasses import dataclass

from relaykit.reference_server.store import Store

_RECENT = 16_384  # ids held in memory before they enter the index: some megabytes at most
_FILTER = 1 << 22  # places in the filter


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


class Ledger:
    """Finds messages by the 16 bytes of their ids."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._recent: dict[bytes, Entry] = {}
        self._stale = False  # whether _recent is to be read again
        # 1 at the hash of each id that is known: most that are looked up are new, and need no further look.
        # A byte for each place: every message would pay for picking out a bit.
        self._filter = bytearray(_FILTER)
        self._load()
        for (key,) in store.read("SELECT id FROM ids"):
            self._filter[hash(key) % _FILTER] = 1
        self._next = 1 + int(store.read("SELECT COALESCE(MAX(seq), 0) FROM messages")[0][0])
        store.on_settle(lambda: None, self._forget)

    def find(self, key: bytes) -> Entry | None:
        """The message with this id, if there is one."""
        if self._stale:
            self._load()
        if not self._filter[hash(key) % _FILTER]:
            return None
        entry = self._recent.get(key)
        if entry is not None:
            self._store.used = True  # it may be of this turn: what is answered depends on the commit
            return entry
        rows = self._store.read(
            "SELECT seq, sender, target FROM ids JOIN messages ON seq = message WHERE ids.id = ?", key
        )
        if not rows:
            return None
        seq, sender, target = rows[0]
        return Entry(seq, sender, target, None)

    def add(self, key: bytes, sender: str, target: str, status: str | None) -> int:
        """Remember a message that is being stored; its place in the order of all."""
        seq = self._next
        self._next = seq + 1
        self._recent[key] = Entry(seq, sender, target, status)
        self._filter[hash(key) % _FILTER] = 1
        return seq

    def settle(self) -> int | None:
        """Let ids enter the index if they are many by now; the place of the last one if so. All messages must
        be in their table."""
        if len(self._recent) < _RECENT:
            return None
        self._store.write(
            "INSERT INTO ids SELECT id, seq FROM messages WHERE seq > (SELECT upto FROM indexed) ORDER BY id"
        )
        self._store.write("UPDATE indexed SET upto = ?", self._next - 1)
        self._recent = {}
        return self._next - 1

    def _forget(self) -> None:
        self._recent = {}
        self._stale = True  # not read here: a store that fails would fail again

    def _load(self) -> None:
        """Read the messages that are not in the index yet."""
        rows = self._store.read(
            "SELECT id, seq, sender, target FROM messages WHERE seq > COALESCE((SELECT upto FROM indexed), 0)"
        )
        self._recent = {key: Entry(seq, sender, target, None) for key, seq, sender, target in rows}
        for key in self._recent:
            self._filter[hash(key) % _FILTER] = 1
        self._stale = False
