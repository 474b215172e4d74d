"""Why no WebSocket connection came about."""

from __future__ import annotations

import os
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
        said = f"HTTP {status} {error.response.reason_phrase}".rstrip()
        elsewhere = error.response.headers.get_all("Location")
        if 300 <= status < 400 and elsewhere:
            said += f", to {elsewhere[0][:200]}"
        return DialError("refused", said, status)
    cause = error.__cause__ or error
    if isinstance(cause, EOFError):
        return DialError("closed", NO_ANSWER)
    return DialError("rubbish", f"no valid WebSocket handshake: {error}")


def os_words(error: OSError) -> str:
    """What the system says, without Python's own words around it."""
    inner = getattr(error, "exceptions", None)
    if inner:  # several addresses were tried
        return "; ".join(dict.fromkeys(os_words(each) for each in inner if isinstance(each, OSError)))
    text = error.strerror or str(error)
    if error.errno is not None and text.startswith(("Connect call failed", "Multiple exceptions")):
        return os.strerror(error.errno)
    return text or type(error).__name__
