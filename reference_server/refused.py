"""How a handler refuses a frame."""

from __future__ import annotations

AUTH_FAILED = "auth_failed"
CONNECTION_TIMEOUT = "connection_timeout"
INVALID = "invalid_message"
RATE_LIMITED = "rate_limited"
SERVER_ERROR = "server_error"


class Refused(Exception):
    """The frame is valid but cannot be served: it has no effect, and the client gets an `error`.

    Args:
        text: why, for people; never internals.
        code: one of the protocol's error codes.
    """

    def __init__(self, text: str, code: str = INVALID) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
