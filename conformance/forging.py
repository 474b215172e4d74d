"""Tokens that no honest issuer makes: for the cases in which a server must refuse them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import jwt

from relaykit.conformance.context import Context, Device, UntestableError
from relaykit.conformance.token_spec import Minting


def encoded(data: bytes | str | Mapping[str, Any]) -> str:
    """base64url without padding, of JSON where a mapping is given."""
    if isinstance(data, Mapping):
        data = json.dumps(dict(data), separators=(",", ":"))
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(context: Context, device: Device, **changes: Any) -> dict[str, Any]:
    """The claims of an honest token for this device, changed; None leaves one out."""
    now = int(context.env.now())
    source = context.env.target.tokens
    honest: Mapping[str, Any]
    if isinstance(source, Minting):
        honest = {"sub": device.user.id, "device_id": device.id, "iat": now, "exp": now + 3600}
        honest = {**honest, **source.claims_of(device.user.id, device.id, now)}
    else:
        honest = _decoded(device.token())
    merged = {**honest, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def _decoded(token: str) -> Mapping[str, Any]:
    """The claims of a token, whoever signed it."""
    try:
        found = json.loads(_bytes(token.split(".")[1]))
    except (ValueError, IndexError):
        found = None
    if not isinstance(found, dict):
        raise UntestableError("needs claims to change, but the target's tokens are no JSON Web Tokens")
    return found


def _bytes(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def parts(token: str) -> tuple[str, str, str]:
    """Header, claims and signature, each as it is written.

    Raises:
        UntestableError: the token is no JSON Web Token, so that there is nothing to tamper with.
    """
    found = token.split(".")
    if len(found) != 3:
        raise UntestableError(
            "needs a signature to tamper with, but the target's tokens are no JSON Web Tokens"
        )
    head, payload, signature = found
    return head, payload, signature


def signed(context: Context, payload: str | Mapping[str, Any], **headers: Any) -> str:
    """A payload, whatever it says, signed with the true key."""
    minting = context.env.target.minting
    text = payload if isinstance(payload, str) else json.dumps(dict(payload))
    merged = {"typ": "JWT", **minting.headers, **headers}
    return jwt.PyJWS().encode(text.encode(), minting.key, algorithm=minting.algorithm, headers=merged)


def unsigned(header: Mapping[str, Any], payload: Mapping[str, Any], signature: str = "") -> str:
    """A token whose signature is whatever is given: none, by default."""
    return f"{encoded(header)}.{encoded(payload)}.{signature}"


def hmac_signed(header: Mapping[str, Any], payload: Mapping[str, Any], key: bytes, digest: str) -> str:
    """A token signed by HMAC with any key, an empty one as well; `digest` is a name of hashlib."""
    body = f"{encoded(header)}.{encoded(payload)}"
    return f"{body}.{encoded(hmac.new(key, body.encode(), getattr(hashlib, digest)).digest())}"


def resigned(token: str, signature: str) -> str:
    """The token with another signature."""
    head, payload, _ = parts(token)
    return f"{head}.{payload}.{signature}"


def flipped(token: str) -> str:
    """The token with one bit of its signature changed."""
    head, payload, signature = parts(token)
    raw = bytearray(_bytes(signature))
    raw[0] ^= 1
    return f"{head}.{payload}.{encoded(bytes(raw))}"
