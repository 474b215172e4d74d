"""Defects in what tokens may hold besides, and in sessions that outlive their token."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson

from relaykit.reference_server import auth, keepalive
from relaykit.reference_server.app import App
from relaykit.reference_server.auth import AuthError, Identity, Verifier
from relaykit.reference_server.clock import LAST
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import dropping
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.handshake import Refusal

_KNOWN = frozenset(("sub", "device_id", "exp", "iat", "nbf"))


@defect("twin-claims-accepted", "Of a claim that stands twice the last one counts.", "AUTH-15")
def twin_claims_accepted(seams: Seams) -> None:
    seams.around(auth, "_refuse_twins", lambda _original, data: None)


def _keeping_twins(name: str) -> Callable[[Seams], None]:
    """Of this claim alone the last one counts."""

    def apply(seams: Seams) -> None:
        def refuse(original: Callable[[bytes], None], data: bytes) -> None:
            pairs: list[tuple[str, Any]] = json.loads(data, object_pairs_hook=list)
            others = [key for key, _ in pairs if key != name]
            if len(set(others)) != len(others):
                original(data)

        seams.around(auth, "_refuse_twins", refuse)

    return apply


TWINS = (
    Defect(
        "twin-devices-accepted",
        "Of a `device_id` that stands twice in a token the last one counts.",
        ("AUTH-15",),
        _keeping_twins("device_id"),
    ),
    Defect(
        "twin-expiries-accepted",
        "Of an `exp` that stands twice in a token the last one counts.",
        ("AUTH-15",),
        _keeping_twins("exp"),
    ),
)


@defect("large-tokens-refused", "A token of more than 2,048 characters is refused.", "AUTH-16")
def large_tokens_refused(seams: Seams) -> None:
    def verify(original: Callable[..., Identity], self: Verifier, token: str) -> Identity:
        if len(token) > 2048:
            raise AuthError("the token is too long")
        return original(self, token)

    seams.around(Verifier, "verify", verify)


@defect(
    "far-expiry-is-a-server-error", "A token that expires beyond all calendars is answered by 500.", "CONN-08"
)
def far_expiry_is_a_server_error(seams: Seams) -> None:
    def moment(original: Callable[..., float | None], claims: dict[str, Any], name: str) -> float | None:
        value = claims.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value > LAST:
            raise Refusal(500, "Internal error.")
        return original(claims, name)

    seams.around(auth, "_moment", moment)


@defect(
    "huge-number-cuts-the-handshake",
    "A token whose time no floating-point number holds ends the connection without an answer.",
    "CONN-19",
)
def huge_number_cuts_the_handshake(seams: Seams) -> None:
    def moment(original: Callable[..., float | None], claims: dict[str, Any], name: str) -> float | None:
        value = claims.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            float(value)  # nobody expects the OverflowError
        return original(claims, name)

    seams.around(auth, "_moment", moment)


@defect("unknown-kid-is-a-server-error", "A token whose `kid` no key has is answered by 500.", "CONN-08")
def unknown_kid_is_a_server_error(seams: Seams) -> None:
    def verify(original: Callable[..., Identity], self: Verifier, token: str) -> Identity:
        kid = auth._parts(token).kid
        if kid is not None and all(key.kid != kid for key in self._keys):
            raise Refusal(500, "Internal error.")
        return original(self, token)

    seams.around(Verifier, "verify", verify)


@defect("unknown-claims-refused", "A token with a claim that the server does not know is refused.", "AUTH-16")
def unknown_claims_refused(seams: Seams) -> None:
    def verify(original: Callable[..., Identity], self: Verifier, token: str) -> Identity:
        identity = original(self, token)
        if set(orjson.loads(auth._parts(token).payload)) - _KNOWN:
            raise AuthError("the token has claims that are not known here")
        return identity

    seams.around(Verifier, "verify", verify)


@defect("session-outlives-its-token", "A session goes on when its token has expired.", "AUTH-21")
def session_outlives_its_token(seams: Seams) -> None:
    def session_end(original: Callable[..., float], app: App, expires: float) -> float:
        return original(app, expires) + 10 * 365 * 86400.0

    seams.around(keepalive, "session_end", session_end)


def _about_expiry(frame: dict[str, Any], *_: object) -> bool:
    return bool(frame["payload"]["error_code"] == "auth_failed" and frame["payload"]["reconnect"])


ENDS = (
    Defect(
        "expiry-not-told",
        "The connection of a token that has expired is closed without an error.",
        ("AUTH-22",),
        dropping("error", _about_expiry),
    ),
)


@defect("leeway-of-minutes", "Tokens are accepted for five times the clock leeway.", "AUTH-11", "AUTH-12")
def leeway_of_minutes(seams: Seams) -> None:
    def made(original: Callable[..., None], self: Verifier, keys: Any, clock: Any, leeway_s: float) -> None:
        original(self, keys, clock, leeway_s=5 * leeway_s)

    seams.around(Verifier, "__init__", made)
