"""Keys of every algorithm, the forms they come in, and tokens signed with them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms
from support.server import Running, new_id
from websockets.exceptions import InvalidStatus

from relaykit.reference_server.auth import Key, make_key
from relaykit.schemas import load_catalogue
from relaykit.tokens import mint

ALGORITHMS = load_catalogue().protocol.algorithms


SECRET = "one shared secret, long enough for HS256"


OTHER = "another shared secret, just as long as it"


@cache
def _private(algorithm: str, number: int) -> Any:
    match algorithm:
        case "HS256":
            return (SECRET, OTHER)[number]
        case "RS256":
            return rsa.generate_private_key(65537, 2048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case _:
            return ed25519.Ed25519PrivateKey.generate()


def private(algorithm: str, number: int = 0) -> Any:
    """A signing key: a secret, or a private key."""
    return _private(algorithm, number)


def pem(key: Any) -> str:
    """What the server gets: the public key as PEM (a secret is itself)."""
    if isinstance(key, str):
        return key
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(key.public_key().public_bytes(serialization.Encoding.PEM, form).decode())


def private_pem(key: Any) -> str:
    encryption = serialization.NoEncryption()
    data = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    return str(data.decode())


def jwk(algorithm: str, key: Any, *, name_algorithm: bool = True, **more: Any) -> dict[str, Any]:
    """A public key as JWK."""
    public = key if isinstance(key, str) else key.public_key()
    entry = get_default_algorithms()[algorithm].to_jwk(public, as_dict=True)
    entry.pop("key_ops", None)
    return {**entry, **({"alg": algorithm} if name_algorithm else {}), **more}


def public(algorithm: str, number: int = 0, kid: str | None = None) -> Key:
    return make_key(algorithm, pem(private(algorithm, number)), kid)


async def admits(
    server: Running, algorithm: str, key: Any, *, kid: object = None, headers: dict[str, Any] | None = None
) -> bool:
    """Whether a token signed like that opens a session."""
    headers = {**(headers or {}), **({"kid": kid} if kid is not None else {})} or None
    token = mint(
        user_id=new_id(), device_id=new_id(), key=key, algorithm=algorithm, headers=headers,
        now=server.app.clock.now(),
    )  # fmt: skip
    return await admits_token(server, token)


async def admits_token(server: Running, token: str) -> bool:
    server.token = lambda *_, **__: token
    try:
        peer = await server.connect()
    except InvalidStatus as failed:
        assert failed.response.status_code == 401
        return False
    finally:
        del server.token
    await peer.silent()
    return True


def forge(header: dict[str, Any], sign: Callable[[bytes], bytes], **claims: Any) -> str:
    """A token with any header, signed by any function."""
    body = {"sub": new_id(), "device_id": new_id(), "exp": 4102444800, **claims}

    def part(value: Any) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    signed = part(header) + b"." + part(body)
    return (signed + b"." + base64.urlsafe_b64encode(sign(signed)).rstrip(b"=")).decode()


def hs256(secret: str | bytes) -> Callable[[bytes], bytes]:
    key = secret.encode() if isinstance(secret, str) else secret
    return lambda data: hmac.new(key, data, hashlib.sha256).digest()
