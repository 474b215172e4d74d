"""One authenticated connection, as the handlers see it: who it is, and what it needs to be served."""

from __future__ import annotations

from typing import Protocol

from relaykit.reference_server.limits import Bucket


class Link(Protocol):
    """The connection beneath a session. Handlers never call it: they say everything through the turn."""

    heard: float
    """Monotonic time of the last byte from the client."""
    paused: bool
    """Whether the client reads more slowly than it is written to."""

    def put(self, data: bytes) -> None:
        """Queue one text message."""

    def close(self, code: int, reason: str = "") -> None:
        """Start the closing handshake."""

    def fail(self, code: int, reason: str = "") -> None:
        """Close at once: the client broke the rules of the transport."""

    def abort(self) -> None:
        """Drop the connection without another word."""

    def write_out(self) -> None:
        """Write all that is queued, in one piece."""


class Session:
    """A device of a user on one connection.

    Attributes:
        user, device: UUIDs in lower case, from the token and from nowhere else.
        expires: Unix time at which the token expires.
        pending: whether its device waits for its approval, and gets nothing but that.
        legacy: whether it is served with the deprecated frames.
        cursor: sequence number up to which its waiting messages have been sent; None once it has them all and
            is served with new ones as they come.
        unseen: contacts whose presence it is still to get, the next one last.
        untold: whether there may be more status updates that have waited for its user.
        pinged: monotonic time of the last ping.
        closed: whether it has ended, or is to end with this turn: nothing is taken from it any more.
    """

    __slots__ = (
        "bucket",
        "closed",
        "cursor",
        "device",
        "expires",
        "legacy",
        "link",
        "pending",
        "pinged",
        "unseen",
        "untold",
        "user",
    )

    def __init__(
        self,
        link: Link,
        user: str,
        device: str,
        *,
        expires: float,
        bucket: Bucket,
        legacy: bool = False,
        pending: bool = False,
    ) -> None:
        self.link = link
        self.user = user
        self.device = device
        self.expires = expires
        self.pending = pending
        self.legacy = legacy
        self.bucket = bucket
        self.cursor: int | None = 0
        self.unseen: list[str] | None = None
        self.untold = False
        self.pinged = 0.0
        self.closed = False
