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
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import get_default_algorithms

from relaykit.errors import UsageError
from relaykit.reference_server.clock import LAST, Clock
from relaykit.reference_server.ids import canonical_uuid
from relaykit.schemas.wording import kind_of, shorten

_MIN_RSA_BITS = 2048
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_ALGORITHMS = get_default_algorithms()
# What the libraries raise for what is no key that they know.
_NO_KEY = (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, KeyError, AttributeError)


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
    except _NO_KEY as error:
        raise UsageError(f"not a key for {algorithm}: {_in_short(error)}") from error


def keys_of_set(text: str, algorithms: Sequence[str]) -> list[Key]:
    """The keys of a JWKS (RFC 7517) for signatures, each with the algorithm it states or that fits its kind.

    What the set holds for others is passed over: unknown kinds, other algorithms, other uses.

    Raises:
        UsageError: not a JWKS, or it holds no key for the permitted algorithms. The text shows nothing of
            an entry but its number, `kty` and `alg`.
    """
    found: list[Key] = []
    reasons: list[str] = []
    for number, entry in enumerate(_entries(text)):
        try:
            key = _key_of(entry, algorithms)
        except _Unfit as error:
            said = [f"{name} {shorten(entry[name], 20)}" for name in ("kty", "alg") if name in entry]
            about = f" ({', '.join(said)})" if said else ""
            reasons.append(f"/keys/{number}{about}: {error}")
        else:
            if not isinstance(entry.get("kid"), str | None):
                raise UsageError(f"not a JWKS: /keys/{number}/kid must be a string")
            found.append(key)
    if not found:
        why = f" ({'; '.join(reasons[:3])})" if reasons else ""
        raise UsageError(f"the JWKS holds no key for {', '.join(algorithms)}{why}")
    return found


def _entries(text: str) -> list[dict[str, Any]]:
    try:
        value = json.loads(text)
    except RecursionError:
        raise UsageError("not a JWKS: nested too deeply") from None
    except json.JSONDecodeError as error:
        raise UsageError(
            f"not a JWKS: no JSON on line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except ValueError:  # an integer of thousands of digits
        raise UsageError("not a JWKS: a number is too large") from None
    entries = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(entries, list):
        raise UsageError('not a JWKS: it is a JSON object with an array "keys"')
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise UsageError(f"not a JWKS: /keys/{number} must be an object, not {kind_of(entry)}")
    return entries


class _Unfit(ValueError):
    """A key that is not used, with the reason in words that show nothing of it."""


def _key_of(entry: dict[str, Any], algorithms: Sequence[str]) -> Key:
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list):
        raise _Unfit("key_ops must be an array")
    if entry.get("use", "sig") != "sig" or not ("verify" in operations or "sign" in operations):
        raise _Unfit("it is not for signatures")
    if entry.get("alg") is not None and entry["alg"] not in algorithms:
        raise _Unfit("it is for another algorithm")
    try:
        key = jwt.PyJWK(entry)
        if key.algorithm_name not in algorithms:
            raise _Unfit("it is for another algorithm")
        return Key(key.algorithm_name, _material(key.key), key.key_id)
    except _Unfit:
        raise
    except _NO_KEY:  # PyJWT's text may show the whole entry
        raise _Unfit("it is not a whole key of a known kind") from None


def _material(key: Any) -> Any:
    """What verifies: a secret, or the public half of a key that is strong enough (RFC 7518, 3.3)."""
    public = key.public_key() if hasattr(key, "public_key") else key
    if isinstance(public, RSAPublicKey) and public.key_size < _MIN_RSA_BITS:
        raise _Unfit(f"an RSA key has at least {_MIN_RSA_BITS} bits")
    if isinstance(public, Ed448PublicKey):
        raise _Unfit("only Ed25519 is supported")  # the library takes either for EdDSA
    if not public:
        raise _Unfit("the secret is empty")
    return public


def _in_short(error: Exception) -> str:
    text = str(error).partition("\n")[0][:120] or type(error).__name__
    # PyJWT shows an object of Python there.
    return "it is a key of another kind" if text.startswith("Expected one of") else text
