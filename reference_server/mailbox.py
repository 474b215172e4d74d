"""Messages, who still waits for them, and how far each has come (source: 10 to 12, Session Recovery).

Each approved device of a user has a box. A message waits in every box the recipients have at the time, and
leaves one when that device acknowledges it. A user without a device has one nameless box, which the first
device takes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from relaykit.reference_server.cache import Cache
from relaykit.reference_server.ledger import Entry, Ledger
from relaykit.reference_server.refused import SERVER_ERROR, Refused
from relaykit.reference_server.retention import Retention
from relaykit.reference_server.store import ROWS, Store
from relaykit.reference_server.totals import Tally, Totals

SENT, DELIVERED, READ = "sent", "delivered", "read"
_RANK = {SENT: 0, DELIVERED: 1, READ: 2}
_NOBODY = ""  # the device of a box that no device has taken yet
_MESSAGE, _SENDER = 5, 2  # columns of the table of messages, and which of them is the sender
_SHARES = 16  # so many users must each send all that they may before others cannot send
_LEAST_SHARE = 65_536  # bytes: as small as the bounds themselves can be set

# What nobody waits for needs no content any more. It is looked up by the recipients' boxes: for an index of
# `waiting` by message every new message would pay.
_NEEDLESS = """
SELECT seq, id, sender, target, x'', LENGTH(frame) FROM messages WHERE seq = ?
AND NOT EXISTS (
    SELECT 1 FROM devices CROSS JOIN waiting ON waiting.box = devices.box AND waiting.message = messages.seq
    WHERE devices.user = messages.target
) AND NOT EXISTS (
    SELECT 1 FROM recipients CROSS JOIN devices ON devices.user = recipients.user
    CROSS JOIN waiting ON waiting.box = devices.box AND waiting.message = messages.seq
    WHERE recipients.message = messages.seq
)
"""


@dataclass(slots=True)
class Box:
    """The waiting messages of one device; `waiting` counts them."""

    id: int
    device: str
    waiting: int


@dataclass(frozen=True, slots=True)
class Notice:
    """A status update that waited for its sender: message (key), whose status it is, which, since when."""

    message: bytes
    recipient: str
    status: str
    at: str


class Mailboxes:
    """The tables of messages. New rows are queued and written together when the turn settles."""

    def __init__(
        self,
        store: Store,
        *,
        waiting_per_user: int,
        waiting_bytes: int,
        bytes_per_sender: int | None = None,
        remembered: int = 1_000_000,
    ) -> None:
        """Open the tables.

        Args:
            waiting_per_user: messages that may wait for a device.
            waiting_bytes: size of all that wait together.
            bytes_per_sender: size of those together that one user has sent; None: a share of `waiting_bytes`.
            remembered: newer messages that there are when one is forgotten for which nobody waits.
        """
        self._store = store
        self._bound = waiting_per_user
        self._most_bytes = waiting_bytes
        self._most_of_sender = bytes_per_sender or max(waiting_bytes // _SHARES, _LEAST_SHARE)
        self._tally = Tally(store)
        self._boxes: Cache[str, list[Box]] = Cache()
        self._ledger = Ledger(store)
        self._retention = Retention(store, remembered)
        self.find = self._ledger.find
        self._notices: Cache[str, int] = Cache()  # how many a user has at most
        # Values of new rows, one row after the other.
        self._new_messages: list[int | str | bytearray] = []
        self._new_recipients: list[int | str] = []
        self._new_waiting: list[int] = []
        self._let_go: set[int] = set()  # messages for which a device waits no longer, and perhaps none does
        store.on_settle(self._end_turn, self._forget)

    # --- devices ---

    def boxes(self, user: str) -> list[Box]:
        """The boxes of a user, in order of the devices' first use."""
        known = self._boxes.get(user)
        if known is not None:
            return known
        self._settle()
        rows = self._store.read(
            "SELECT box, device, (SELECT COUNT(*) FROM waiting WHERE waiting.box = devices.box) FROM devices"
            " WHERE user = ? AND state = 'active' ORDER BY box",
            user,
        )
        return self._boxes.keep(user, [Box(*row) for row in rows])

    def box(self, user: str, device: str) -> Box | None:
        """The box of one device, if it has one."""
        for box in self.boxes(user):
            if box.device == device:
                return box
        return None

    def register(self, user: str, device: str) -> bool:
        """Make a device known; whether it was new. The user's first one gets all that has waited."""
        boxes = self.boxes(user)
        if any(box.device == device for box in boxes):
            return False
        if len(boxes) == 1 and boxes[0].device == _NOBODY:
            self._store.write("UPDATE devices SET device = ? WHERE box = ?", device, boxes[0].id)
            boxes[0].device = device
        else:
            self._open_box(user, device)
        return True

    def dismiss(self, user: str, device: str) -> None:
        """Close a device's box, if it has one. What waited in a user's only box waits for the next device."""
        self._settle()
        box = self.box(user, device)
        if box is None:
            return
        if len(self.boxes(user)) == 1:
            self._store.write("UPDATE devices SET device = ? WHERE box = ?", _NOBODY, box.id)
        else:
            rows = self._store.read("SELECT message FROM waiting WHERE box = ?", box.id)
            self._let_go.update(seq for (seq,) in rows)
            self._tally.add(-len(rows))
            self._store.write("DELETE FROM waiting WHERE box = ?", box.id)
            self._store.write("DELETE FROM devices WHERE box = ?", box.id)
        self._boxes.pop(user, None)

    def _open_box(self, user: str, device: str) -> None:
        self._store.write(
            "INSERT INTO devices (user, device, state) VALUES (?, ?, 'active')"
            " ON CONFLICT (user, device) DO UPDATE SET state = 'active'",
            user,
            device,
        )
        self._boxes.pop(user, None)

    # --- sending ---

    def add(
        self,
        key: bytes,
        sender: str,
        target: str,
        frame: bytes,
        members: Collection[str] | None = None,
    ) -> bool:
        """Store a message and let it wait for every device of its recipients.

        Args:
            key: the message's id, as 16 bytes.
            target: the recipient, or the group.
            frame: what the recipients get.
            members: the recipients, if the target is a group.

        Returns:
            Whether it was taken: not if as many as are permitted wait for one of these devices.

        Raises:
            Refused: as much as is permitted waits for all devices together, or of what this user has sent.
                What exceeds that by itself may wait alone: else it would be refused for ever.
        """
        if members is None:
            boxes = self._boxes.get(target) or self.boxes(target) or self._nameless_box(target)
        else:
            boxes = [box for member in members for box in self.boxes(member) or self._nameless_box(member)]
        for box in boxes:
            if box.waiting >= self._bound:
                return False
        if not boxes:
            frame = b""  # a group of one: nobody will ever get it
        if self._store.full:
            raise Refused("the store is full", SERVER_ERROR)
        totals = self._tally.known or self.totals()
        size = len(frame)
        before = totals.by_sender.get(sender, 0)
        if before and before + size > self._most_of_sender:
            raise Refused("too much waits of what you have sent; try again later", SERVER_ERROR)
        if totals.bytes and totals.bytes + size > self._most_bytes:
            raise Refused("too much waits on this server; try again later", SERVER_ERROR)
        self._store.begin()
        self._tally.add(len(boxes), sender, size)
        seq = self._ledger.add(key, sender, target, SENT if members is None else None)
        messages, waiting = self._new_messages, self._new_waiting
        messages += (seq, bytearray(key), sender, target, bytearray(frame))
        if members is not None:
            for member in members:
                self._new_recipients += (seq, member, SENT)
        for box in boxes:
            box.waiting += 1
            waiting += (box.id, seq)
        if len(messages) >= _MESSAGE * ROWS:
            self._settle()  # a turn may bring many: none of them is to wait long enough to leave the caches
        return True

    def full(self, users: Iterable[str]) -> Iterator[tuple[str, Box]]:
        """The boxes of these users, each with its user, for which no more messages may wait."""
        return ((user, box) for user in users for box in self.boxes(user) if box.waiting >= self._bound)

    def _nameless_box(self, user: str) -> list[Box]:
        self._open_box(user, _NOBODY)
        return self.boxes(user)

    # --- receiving ---

    def acknowledge(self, key: bytes, user: str, device: str, status: str) -> str | None:
        """Note that a device has a message, or that its user has read it.

        Returns:
            The sender to be told, or None: nothing new, no such message, or not this user's.
        """
        entry = self._ledger.find(key)
        current = self._status(entry, user) if entry is not None else None
        if entry is None or current is None:
            return None
        self._settle()
        box = self.box(user, device)
        if box is not None:
            had_it = self._store.write("DELETE FROM waiting WHERE box = ? AND message = ?", box.id, entry.seq)
            if had_it:
                box.waiting -= 1
                self._let_go.add(entry.seq)
                self._tally.add(-1)
        if _RANK[status] <= _RANK[current]:
            return None
        self._store.write("INSERT OR REPLACE INTO recipients VALUES (?, ?, ?)", entry.seq, user, status)
        if entry.target == user:
            self._ledger.note_status(key, status)
        return entry.sender

    def _status(self, entry: Entry, user: str) -> str | None:
        """How far a message has come with a user; None if it was not for them."""
        if entry.status is not None:
            return entry.status if entry.target == user else None
        self._settle()
        rows = self._store.read(
            "SELECT status FROM recipients WHERE message = ? AND user = ?", entry.seq, user
        )
        if rows:
            return str(rows[0][0])
        return SENT if entry.target == user else None

    def waiting(self, box: Box, after: int, limit: int) -> list[tuple[int, bytes]]:
        """Waiting messages of a box, oldest first: (sequence number, frame), from beyond `after`."""
        self._settle()
        return self._store.read(
            "SELECT seq, frame FROM waiting JOIN messages ON seq = message"
            " WHERE box = ? AND message > ? ORDER BY message LIMIT ?",
            box.id,
            after,
            limit,
        )

    def totals(self) -> Totals:
        """What waits in all. It is counted when the store is opened, and then kept up."""
        if self._tally.known is None:
            self._settle()
        return self._tally.known or self._tally.count()

    # --- status updates for senders who are away ---

    def leave_notice(self, sender: str, key: bytes, recipient: str, status: str, at: str) -> None:
        """Keep a status update until its sender comes back; a later one takes an earlier one's place.

        A user has at most as many as messages may wait for them; beyond that the oldest are dropped.
        """
        self._store.write(
            "INSERT OR REPLACE INTO notices VALUES (?, ?, ?, ?, ?)", sender, key, recipient, status, at
        )
        count = self._notices.get(sender)
        count = self._count_notices(sender) if count is None else count + 1  # at most: it may be a later one
        if count > self._bound:
            count = self._count_notices(sender)
        if count > self._bound:
            # Some more than needed, so that it is not needed again each time.
            kept = self._bound - self._bound // 16
            self._store.write(
                "DELETE FROM notices WHERE rowid IN"
                " (SELECT rowid FROM notices WHERE user = ? ORDER BY rowid DESC LIMIT -1 OFFSET ?)",
                sender,
                kept,
            )
            count = kept
        self._notices.keep(sender, count)

    def _count_notices(self, sender: str) -> int:
        return int(self._store.read("SELECT COUNT(*) FROM notices WHERE user = ?", sender)[0][0])

    def take_notices(self, sender: str, limit: int) -> list[Notice]:
        """Hand out the oldest of what was kept for a sender, once."""
        rows = self._store.read(
            "SELECT rowid, message, recipient, status, at FROM notices WHERE user = ? ORDER BY rowid LIMIT ?",
            sender,
            limit,
        )
        if rows:
            self._store.write("DELETE FROM notices WHERE user = ? AND rowid <= ?", sender, rows[-1][0])
            self._notices.pop(sender, None)
        return [Notice(*row[1:]) for row in rows]

    def drop_notice(self, sender: str, key: bytes, recipient: str) -> None:
        """Keep a status update no longer: its sender is told a later one."""
        self._store.write(
            "DELETE FROM notices WHERE user = ? AND message = ? AND recipient = ?", sender, key, recipient
        )

    # --- the turn ---

    def _settle(self) -> None:
        if not self._new_messages:
            return
        messages, self._new_messages = self._new_messages, []
        recipients, self._new_recipients = self._new_recipients, []
        waiting, self._new_waiting = self._new_waiting, []
        self._store.newest = int(messages[-_MESSAGE])
        self._store.insert("messages", _MESSAGE, messages)
        self._store.insert("recipients", 3, recipients)
        self._store.insert("waiting", 2, waiting)

    def _end_turn(self) -> None:
        self._settle()
        if self._let_go:
            let_go, self._let_go = self._let_go, set()
            rows = [row for seq in sorted(let_go) for row in self._store.read(_NEEDLESS, seq)]
            # Not an UPDATE: SQLite joins pages that have become empty only when rows are deleted.
            self._store.write_many("DELETE FROM messages WHERE seq = ?", ((row[0],) for row in rows))
            self._store.insert("messages", _MESSAGE, [value for row in rows for value in row[:_MESSAGE]])
            for row in rows:
                self._tally.add(0, row[_SENDER], -row[_MESSAGE])
            self._retention.note_done(row[0] for row in rows)
        last = self._ledger.settle()
        if last is not None:
            self._ledger.forget(self._retention.purge(last))

    def _forget(self) -> None:
        self._boxes.clear()
        self._let_go.clear()
        self._notices.clear()
        self._new_messages.clear()
        self._new_recipients.clear()
        self._new_waiting.clear()
