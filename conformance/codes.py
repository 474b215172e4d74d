"""The error and close codes that the suite itself speaks of; each must be one of the catalogue's.

Which there are, the catalogue says (`Protocol.error_codes`, `Protocol.close_codes`): no case is loaded where
it no longer knows one of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from relaykit.errors import KitDefect
from relaykit.schemas import Catalogue

AUTH_FAILED: Final = "auth_failed"
RATE_LIMITED: Final = "rate_limited"
INVALID_MESSAGE: Final = "invalid_message"
SERVER_ERROR: Final = "server_error"
CONNECTION_TIMEOUT: Final = "connection_timeout"
ERRORS: Final = (AUTH_FAILED, RATE_LIMITED, INVALID_MESSAGE, SERVER_ERROR, CONNECTION_TIMEOUT)

GOING_AWAY: Final = 1001
UNSUPPORTED: Final = 1003
NOT_UTF8: Final = 1007
POLICY: Final = 1008
TOO_BIG: Final = 1009
CLOSES: Final = (GOING_AWAY, UNSUPPORTED, NOT_UTF8, POLICY, TOO_BIG)


def check_codes(catalogue: Catalogue) -> None:
    """See that the catalogue knows them all.

    Raises:
        KitDefect: it does not.
    """
    protocol = catalogue.protocol
    gone = [*(set(ERRORS) - set(protocol.error_codes)), *(set(CLOSES) - set(protocol.close_codes))]
    if gone:
        said = ", ".join(sorted(map(str, gone)))
        raise KitDefect(f"{__file__}: the protocol has no error or close code {said}")


def an_error(code: str, **payload: Any) -> dict[str, Any]:
    """The pattern of an `error` frame with this code."""
    return {"type": "error", "payload": {"error_code": code, **payload}}


def code_of(frame: object) -> str | None:
    """The code of an `error` frame; None if it has none, or is another frame."""
    if not isinstance(frame, Mapping) or frame.get("type") != "error":
        return None
    payload = frame.get("payload")
    code = payload.get("error_code") if isinstance(payload, Mapping) else None
    return code if isinstance(code, str) else None
