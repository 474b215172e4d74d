"""Keys that a target does not know, made once per process, and the public half of the one it does."""

from __future__ import annotations

from functools import cache
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa


@cache
def foreign_key(algorithm: str) -> Any:
    """A key for this algorithm that no target has."""
    match algorithm:
        case "RS256":
            return rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return b"a secret that no target is set up with, long enough for any hash"


def public_pem(private: str) -> bytes:
    """The public key, in PEM, that belongs to a private one in PEM."""
    key = serialization.load_pem_private_key(private.encode(), password=None)
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
