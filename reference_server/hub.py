"""Who is connected. Several connections of one device are all served (section 2: newest wins, or both)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from relaykit.reference_server.session import Session


class Hub:
    """All sessions, by user and device."""

    def __init__(self) -> None:
        self._users: dict[str, list[Session]] = {}
        self._count = 0

    def add(self, session: Session) -> None:
        """A session begins."""
        self._users.setdefault(session.user, []).append(session)
        self._count += 1

    def remove(self, session: Session) -> None:
        """A session ends; it does no harm if it had ended before."""
        sessions = self._users.get(session.user)
        if sessions and session in sessions:
            sessions.remove(session)
            self._count -= 1
            if not sessions:
                del self._users[session.user]

    def of_user(self, user: str) -> Sequence[Session]:
        """The sessions of a user."""
        return self._users.get(user, ())

    def of_device(self, user: str, device: str) -> list[Session]:
        """The sessions of one device of a user."""
        return [session for session in self._users.get(user, ()) if session.device == device]

    def __iter__(self) -> Iterator[Session]:
        """All sessions, as they were when the iteration began."""
        return iter([session for sessions in self._users.values() for session in sessions])

    def __len__(self) -> int:
        return self._count
