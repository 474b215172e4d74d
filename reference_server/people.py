"""Who knows whom: contacts, groups and conversations.

Contacts have written each other direct messages in both directions, or were made contacts out of band. A
conversation is that of a group, and then follows its membership, or of a fixed set of users.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection

from relaykit.reference_server.cache import Cache
from relaykit.reference_server.store import Store

# Conversations get the same id from the same people, in every store.
_NAMESPACE = uuid.UUID("6f6b6b1e-3d0a-5f0c-9a51-6c1d3c1e7d52")


class People:
    """The tables of contacts, groups and conversations."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._written: Cache[tuple[str, str], bool] = Cache()
        self._contacts: Cache[str, frozenset[str]] = Cache()
        self._members: Cache[str, frozenset[str]] = Cache()
        self._rooms: Cache[str, str] = Cache()
        store.on_settle(lambda: None, self._forget)

    # --- contacts ---

    def note_written(self, user: str, other: str) -> bool:
        """Note that `user` has written to `other` directly; whether this made them contacts."""
        if (user, other) in self._written:
            return False
        before = self.contacts(user)
        self._store.write("INSERT OR IGNORE INTO written VALUES (?, ?)", user, other)
        self._written.keep((user, other), True)
        self._contacts.pop(user, None)
        self._contacts.pop(other, None)
        return other in self.contacts(user) - before

    def contacts(self, user: str) -> frozenset[str]:
        """The user's contacts."""
        known = self._contacts.get(user)
        if known is not None:
            return known
        rows = self._store.read(
            "SELECT a.other FROM written a JOIN written b ON b.user = a.other AND b.other = a.user"
            " WHERE a.user = ?1 UNION SELECT other FROM befriended WHERE user = ?1",
            user,
        )
        return self._contacts.keep(user, frozenset(row[0] for row in rows) - {user})

    def befriend(self, user: str, other: str) -> None:
        """Make two users contacts of each other."""
        self._store.write_many(
            "INSERT OR IGNORE INTO befriended VALUES (?, ?)", [(user, other), (other, user)]
        )
        self._contacts.pop(user, None)
        self._contacts.pop(other, None)

    # --- groups: a group is a room with its members ---

    def create_group(self, group: str, members: Collection[str]) -> bool:
        """Create a group; False if it exists."""
        if self.members(group):
            return False
        self._store.write_many("INSERT OR IGNORE INTO members VALUES (?, ?)", [(group, m) for m in members])
        self._members.pop(group, None)
        return True

    def add_member(self, group: str, user: str) -> None:
        """Let a user join a group."""
        self._store.write("INSERT OR IGNORE INTO members VALUES (?, ?)", group, user)
        self._members.pop(group, None)

    def remove_member(self, group: str, user: str) -> None:
        """Let a user leave a group."""
        self._store.write("DELETE FROM members WHERE room = ? AND user = ?", group, user)
        self._members.pop(group, None)

    def members(self, room: str) -> frozenset[str]:
        """The current members of a group, or of a room of fixed users; empty if there is none."""
        known = self._members.get(room)
        if known is not None:
            return known
        rows = self._store.read("SELECT user FROM members WHERE room = ?", room)
        return self._members.keep(room, frozenset(row[0] for row in rows))

    # --- conversations ---

    def group_conversation(self, group: str) -> str:
        """The conversation of a group."""
        return self._conversation(group)

    def conversation_of(self, users: Collection[str]) -> str:
        """The conversation of these users."""
        room = "users:" + ",".join(sorted(users))
        if not self.members(room):
            self.create_group(room, users)
        return self._conversation(room)

    def conversation_members(self, conversation: str) -> frozenset[str]:
        """Who is in a conversation now; empty if there is no such conversation."""
        room = self._rooms.get(conversation)
        if room is None:
            rows = self._store.read("SELECT room FROM conversations WHERE id = ?", conversation)
            if not rows:
                return frozenset()
            room = self._rooms.keep(conversation, rows[0][0])
        return self.members(room)

    def _conversation(self, room: str) -> str:
        conversation = f"conv-{uuid.uuid5(_NAMESPACE, room)}"
        if conversation not in self._rooms:
            self._store.write("INSERT OR IGNORE INTO conversations VALUES (?, ?)", conversation, room)
            self._rooms.keep(conversation, room)
        return conversation

    def _forget(self) -> None:
        self._written.clear()
        self._contacts.clear()
        self._members.clear()
        self._rooms.clear()
