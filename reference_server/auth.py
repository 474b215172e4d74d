"""Verification of tokens (source: Authentication, Message Authentication).

A token is good if a configured key signed it with the one algorithm that key is for, and its claims name a
user, a device and an expiry. Nothing in the token decides how it is verified: `alg` and `kid` only choose
among the configured keys.
"""

from __future__ import annotations

import json
import math
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import get_default_algorithms

from relaykit.errors import UsageError
from relaykit.reference_server.clock import LAST, Clock
from relaykit.reference_server.ids import canonical_uuid

_MIN_RSA_BITS = 2048
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_ALGORITHMS = get_default_algorithms()


class AuthError(Exception):
    """The token is refused. The text is for the server's log and for people who debug; it names no secret."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key and the only algorithm it may be used with; `kid` names it in tokens, if it has a name."""

    algorithm: str
    material: Any = field(repr=False)
    kid: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks for: user and device (UUIDs, lower case), and until when (Unix time)."""

    user: str
    device: str
    expires: float


class Verifier:
    """Checks tokens against the configured keys, by the injected clock."""

    def __init__(self, keys: Sequence[Key], clock: Clock, *, leeway_s: float) -> None:
        self._keys = tuple(keys)
        self._clock = clock
        self._leeway = leeway_s

    def verify(self, token: str) -> Identity:
        """The identity a token proves.

        Raises:
            AuthError: the token is refused, with the reason.
        """
        parts = _parts(token)
        algorithm, kid = parts.algorithm, parts.kid
        keys = [key for key in self._keys if key.algorithm == algorithm and _may_be(key, kid)]
        if not keys:
            raise AuthError(f"no key for algorithm {algorithm[:20]!r}{' and this kid' if kid else ''}")
        if not any(_signed(parts, key) for key in keys):
            raise AuthError("the signature is not by a key of this server")
        claims = _object(parts.payload)
        _refuse_twins(parts.payload)
        user, device = canonical_uuid(claims.get("sub")), canonical_uuid(claims.get("device_id"))
        if user is None or device is None:
            raise AuthError("the claims sub and device_id must both be UUIDs")
        expires = _moment(claims, "exp")
        if expires is None:
            raise AuthError("the claim exp is required")
        now = self._clock.now()
        if now >= expires + self._leeway:
            raise AuthError("the token has expired")
        _moment(claims, "iat")
        not_before = _moment(claims, "nbf")
        if not_before is not None and now < not_before - self._leeway:
            raise AuthError("the token is not valid yet")
        return Identity(user, device, expires)


@dataclass(frozen=True, slots=True)
class _Parts:
    """A token taken apart (RFC 7515, 7.1): nothing in it is believed yet."""

    algorithm: str
    kid: str | None
    payload: bytes
    signed: bytes
    signature: bytes


def _parts(token: str) -> _Parts:
    match = _COMPACT.fullmatch(token)
    if match is None:
        raise AuthError("not a token")
    header = _object(_decoded(match[1]))
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not isinstance(kid, str | None):
        raise AuthError("not a token")
    if "crit" in header or "b64" in header:
        raise AuthError("the token asks for extensions that are not known here")
    signed = token[: match.end(2)].encode()
    return _Parts(algorithm, kid, _decoded(match[2]), signed, _decoded(match[3]))


def _decoded(segment: str) -> bytes:
    """Base64url without padding; only the one spelling that an encoder writes."""
    data = urlsafe_b64decode(segment + "=" * (-len(segment) % 4)) if len(segment) % 4 != 1 else b""
    if urlsafe_b64encode(data).rstrip(b"=") != segment.encode():
        raise AuthError("not a token")
    return data


def _object(data: bytes) -> dict[str, Any]:
    try:
        # Not by orjson: anybody may send anything here; see `schemas.leaky`. And not bytes, of which json
        # guesses the encoding: it is UTF-8 (RFC 7519, 7.2).
        value = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise AuthError("not a token") from None
    if not isinstance(value, dict):
        raise AuthError("not a token")
    return value


def _refuse_twins(data: bytes) -> None:
    """A claim that stands twice is two claims: whoever else reads the token may believe the other one."""

    def check(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in pairs}) != len(pairs):
            raise AuthError("a claim stands twice")

    try:
        json.loads(data.decode("utf-8"), object_pairs_hook=check)
    except (ValueError, RecursionError):
        raise AuthError("not a token") from None


def _signed(parts: _Parts, key: Key) -> bool:
    """Whether the key signed the token. PyJWT's algorithms compare secrets in constant time."""
    try:
        return bool(_ALGORITHMS[key.algorithm].verify(parts.signed, key.material, parts.signature))
    except (jwt.PyJWTError, ValueError, TypeError):
        return False


def _may_be(key: Key, kid: str | None) -> bool:
    """Whether a token with this kid may be signed by the key: a name must fit where both have one."""
    return kid is None or key.kid is None or key.kid == kid


def _moment(claims: dict[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    # An integer is asked of as one: there are some that no float holds.
    if isinstance(value, bool) or not (isinstance(value, int) or _is_finite(value)):
        raise AuthError(f"the claim {name} must be a number")
    if value > LAST:
        raise AuthError(f"the claim {name} is beyond the year 9999; it is seconds, not milliseconds")
    return float(max(value, -LAST))


def _is_finite(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def make_key(algorithm: str, text: str, kid: str | None = None) -> Key:
    """A key from a shared secret (HS256) or a PEM text; of a private key only its public half is used.

    Raises:
        UsageError: the text is no key for this algorithm.
    """
    try:
        return Key(algorithm, _material(_ALGORITHMS[algorithm].prepare_key(text)), kid)
    except (jwt.PyJWTError, ValueError, TypeError, KeyError) as error:
        raise UsageError(f"not a key for {algorithm}: {_in_short(error)}") from error


def keys_of_set(text: str, algorithms: Sequence[str]) -> list[Key]:
    """The keys of a JWKS (RFC 7517) for signatures, each with the algorithm it states or that fits its kind.

    What the set holds for others is passed over: unknown kinds, other algorithms, other uses.

    Raises:
        UsageError: not a JWKS, or it holds no key for the permitted algorithms.
    """
    try:
        entries = [entry for entry in json.loads(text)["keys"] if _for_signatures(entry)]
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"not a JWKS: {_in_short(error)}") from error
    found: list[Key] = []
    reasons: list[str] = []
    for entry in entries:
        try:
            key = jwt.PyJWK(entry)
            if key.algorithm_name in algorithms:
                found.append(Key(key.algorithm_name, _material(key.key), key.key_id))
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError) as error:
            reasons.append(_in_short(error))
    if not found:
        why = f" ({'; '.join(reasons[:3])})" if reasons else ""
        raise UsageError(f"the JWKS holds no key for {', '.join(algorithms)}{why}")
    return found


def _for_signatures(entry: dict[str, Any]) -> bool:
    operations = entry.get("key_ops", ["verify"])
    return entry.get("use", "sig") == "sig" and ("verify" in operations or "sign" in operations)


def _material(key: Any) -> Any:
    """What verifies: a secret, or the public half of a key that is strong enough (RFC 7518, 3.3)."""
    public = key.public_key() if hasattr(key, "public_key") else key
    if isinstance(public, RSAPublicKey) and public.key_size < _MIN_RSA_BITS:
        raise ValueError(f"an RSA key has at least {_MIN_RSA_BITS} bits")
    if isinstance(public, Ed448PublicKey):
        raise TypeError("only Ed25519 is supported")  # the library takes either for EdDSA
    if not public:
        raise ValueError("the secret is empty")
    return public


def _in_short(error: Exception) -> str:
    text = str(error).partition("\n")[0][:120] or type(error).__name__
    # PyJWT shows an object of Python there.
    return "it is a key of another kind" if text.startswith("Expected one of") else text
