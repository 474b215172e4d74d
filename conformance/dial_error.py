"""Why no WebSocket connection came about."""

from __future__ import annotations

from typing import Literal

from websockets.exceptions import InvalidStatus

NO_ANSWER = "the connection ended instead of a handshake answer"


class DialError(Exception):
    """No WebSocket connection came about.

    Attributes:
        kind: `unreachable` (no TCP connection or no TLS), `refused` (an HTTP answer other than 101),
            `rubbish` (no valid handshake answer), `closed` (the end instead of an answer) or `silent`.
        status: the HTTP status of a refusal.
        headers: those of the answer, where there was one.
    """

    def __init__(
        self,
        kind: Literal["unreachable", "refused", "rubbish", "closed", "silent"],
        message: str,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.headers: tuple[tuple[str, str], ...] = ()


def refusal_of(error: Exception) -> DialError:
    """What went wrong with a handshake, by what the client of `websockets` makes of it."""
    if isinstance(error, InvalidStatus):
        status = error.response.status_code
        return DialError("refused", f"HTTP {status} {error.response.reason_phrase}".rstrip(), status)
    cause = error.__cause__ or error
    if isinstance(cause, EOFError):
        return DialError("closed", NO_ANSWER)
    return DialError("rubbish", f"no valid WebSocket handshake: {error}")
