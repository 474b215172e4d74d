"""The opening handshake: path, origin, and the token in one of its three carriers (source: Authentication).

Everything here looks at the request only. A refusal is an HTTP status; its text never repeats what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from urllib.parse import parse_qsl

from websockets.datastructures import Headers
from websockets.exceptions import HeaderLineTooLong, RequestLineTooLong, TooManyHeaders
from websockets.http11 import Request

from relaykit.errors import UsageError
from relaykit.reference_server.auth import AuthError, Identity, Verifier

REASONS = {
    400: "The WebSocket handshake is malformed.",
    405: "A WebSocket is asked for with GET.",
    426: "A WebSocket client is required.",
    431: "Request header fields too large",
    505: "HTTP/1.1 is required.",
}
_VERSION = "13"
ANSWER_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": "Bearer"},
    405: {"Allow": "GET"},
    426: {"Upgrade": "websocket", "Sec-WebSocket-Version": _VERSION},
}
"""What HTTP wants to stand beside a status (RFC 9110)."""
_TOKEN_PARAMETER = "token"  # noqa: S105  (a name)
_LEGACY_PARAMETER = "frames"
_MAX_PARAMETERS = 32
# As requests to a proxy begin; taken, too (RFC 9112, 3.2.2).
_ABSOLUTE = re.compile(r"\A(?:http|ws)s?://[^/?]*", re.IGNORECASE)
_ORIGIN = re.compile(r"[a-z*][a-z0-9+.*-]*://[^/?#\s]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Refusal(Exception):
    """The HTTP answer to a handshake that is refused."""

    status: int
    text: str


def malformed(status: int, headers: Headers) -> Refusal:
    """Why a handshake is refused that the library does not accept, with this status."""
    if status == 400 and headers.get_all("Sec-WebSocket-Version") != [_VERSION]:
        return Refusal(426, f"WebSocket version {_VERSION} is required.")  # RFC 6455, 4.2.2
    return Refusal(status, REASONS.get(status, REASONS[400]))


def unreadable(error: Exception) -> Refusal:
    """Why a request that the library gave up reading is refused."""
    if isinstance(error, RequestLineTooLong):
        return Refusal(414, "The request line is too long.")
    if isinstance(error, (HeaderLineTooLong, TooManyHeaders)):
        return Refusal(431, REASONS[431])
    return Refusal(400, "This is no HTTP/1.1 request for a WebSocket.")


@dataclass(frozen=True, slots=True)
class Admission:
    """A handshake to go on: whose it is, what subprotocol to select, whether it asks for legacy frames."""

    identity: Identity
    subprotocol: str | None
    legacy: bool


@dataclass(frozen=True, slots=True)
class Door:
    """What is checked at the door.

    Attributes:
        path: the endpoint's path.
        subprotocol: the subprotocol that announces a token.
        origins: patterns of permitted origins, see `origin_pattern`; None: all are permitted.
        require_origin: refuse requests without an origin, as non-browsers send them.
    """

    path: str
    subprotocol: str
    verifier: Verifier
    origins: tuple[re.Pattern[str], ...] | None
    require_origin: bool

    def admitting(self, *origins: str) -> Door:
        """The same, with further origins permitted, as `origin_pattern` takes them."""
        if self.origins is None:
            return self
        return replace(self, origins=(*self.origins, *map(origin_pattern, origins)))

    def examine(self, request: Request) -> Admission:
        """Whom the request comes from.

        Raises:
            Refusal: with the status to answer.
        """
        path, _, query = _ABSOLUTE.sub("", request.path).partition("?")
        if path != self.path:
            raise Refusal(404, f"There is nothing here; the endpoint is {self.path}.")
        if len(request.headers.get_all("Host")) != 1:
            raise Refusal(400, "Exactly one Host is required.")  # RFC 9112, 3.2
        self._check_origin(request.headers)
        try:
            parameters = parse_qsl(query, keep_blank_values=True, max_num_fields=_MAX_PARAMETERS)
        except ValueError:
            raise Refusal(400, "The query has too many parameters.") from None
        token, announced = self._token(request.headers, parameters)
        try:
            identity = self.verifier.verify(token)
        except AuthError as error:
            raise Refusal(401, f"Authentication failed: {error}.") from error
        legacy = any(name == _LEGACY_PARAMETER and value == "1" for name, value in parameters)
        return Admission(identity, self.subprotocol if announced else None, legacy)

    def _check_origin(self, headers: Headers) -> None:
        origins = headers.get_all("Origin")
        if not origins:
            if self.require_origin:
                raise Refusal(403, "An Origin is required.")
            return
        if len(origins) > 1:
            raise Refusal(403, "More than one Origin was given.")
        if self.origins is not None and not any(pattern.fullmatch(origins[0]) for pattern in self.origins):
            raise Refusal(403, "This Origin is not permitted.")

    def _token(self, headers: Headers, parameters: Sequence[tuple[str, str]]) -> tuple[str, bool]:
        """The token, and whether the subprotocol was offered (it is then selected, as browsers require)."""
        offered = [
            item.strip() for value in headers.get_all("Sec-WebSocket-Protocol") for item in value.split(",")
        ]
        announced = self.subprotocol in offered
        found = [
            *(value for name, value in parameters if name == _TOKEN_PARAMETER),
            *(_bearer(value) for value in headers.get_all("Authorization")),
            *(following for item, following in pairwise(offered) if item == self.subprotocol),
        ]
        carriers = (
            sum(name == _TOKEN_PARAMETER for name, _ in parameters),
            len(headers.get_all("Authorization")),
            offered.count(self.subprotocol),
        )
        if max(carriers) > 1 or len(set(found)) > 1:
            raise Refusal(401, "Authentication failed: more than one token was given, or one twice.")
        if not found or not found[0]:
            raise Refusal(401, "Authentication failed: a token is required.")
        return found[0], announced


def origin_pattern(text: str) -> re.Pattern[str]:
    """An origin in which `*` stands for a port (`http://localhost:*`) or for some of a host's name
    (`https://*.example.org`), and never for more, so that no other host fits; `*` alone is any origin.

    Raises:
        UsageError: no browser sends such an origin.
    """
    if text == "*":
        return re.compile(".*")
    if text != "null" and not _ORIGIN.fullmatch(text):
        raise UsageError(
            f"origin {text!r}: browsers send none like that",
            hint="an origin is a scheme and a host without a path, such as https://app.example or"
            " http://localhost:*; * is any, null that of pages opened from a file",
        )
    first, *others = text.split("*")
    return re.compile(
        re.escape(first) + "".join(_star(before, after) for before, after in pairwise((first, *others))),
        re.IGNORECASE,
    )


def _star(before: str, after: str) -> str:
    return ("[0-9]+" if before.endswith(":") else r"[^/:@?#\\\s]*") + re.escape(after)


def _bearer(value: str) -> str:
    scheme, _, token = value.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise Refusal(401, "Authentication failed: the Authorization header must be of the scheme Bearer.")
    return token.strip()
