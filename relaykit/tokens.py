"""Tokens for clients of the protocol: minting only. Verification belongs to a server."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any

import jwt
from jwt.warnings import InsecureKeyLengthWarning

SHORT_SECRET = 32
"""Bytes below which a shared secret is shorter than the hash of HS256; RFC 7518 asks for no less."""


def is_short(secret: str) -> bool:
    """Whether a shared secret is too short to be safe; it works all the same."""
    return len(secret.encode()) < SHORT_SECRET


def mint(
    *,
    user_id: str,
    device_id: str,
    key: str | bytes | Any,
    algorithm: str = "HS256",
    lifetime_s: float = 3600,
    now: float | None = None,
    claims: Mapping[str, Any] | None = None,
    headers: Mapping[str, Any] | None = None,
) -> str:
    """Sign a token for one device of one user (source: Connection Establishment, Authentication).

    Args:
        user_id: UUID of the user, the claim `sub`.
        device_id: UUID of the device, the claim `device_id`.
        key: a shared secret, or a private key (PEM text or a `cryptography` key object).
        algorithm: `HS256`, `RS256`, `ES256` or `EdDSA`.
        lifetime_s: seconds from `now` to `exp`.
        now: Unix time in seconds; the current time if not given.
        claims: more claims, or other values for the usual ones; a claim given as None is left out.
        headers: more header fields, such as `kid`.

    Raises:
        jwt.PyJWTError, ValueError: the key does not fit the algorithm.
    """
    issued = time.time() if now is None else now
    body: dict[str, Any] = {
        "sub": user_id,
        "device_id": device_id,
        "iat": int(issued),
        "exp": int(issued + lifetime_s),
        **(claims or {}),
    }
    body = {name: value for name, value in body.items() if value is not None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureKeyLengthWarning)  # for callers to say, where it is news
        return jwt.encode(body, key, algorithm=algorithm, headers=dict(headers) if headers else None)
