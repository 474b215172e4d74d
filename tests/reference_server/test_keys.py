"""Keys: four algorithms from a secret, a PEM or a JWKS; rotation; no key is used for what it is not for."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from support.keys import (
    ALGORITHMS,
    OTHER,
    SECRET,
    admits,
    admits_token,
    forge,
    hs256,
    jwk,
    pem,
    private,
    public,
)
from support.server import in_loop, new_id, running_server

from relaykit.errors import UsageError
from relaykit.reference_server.auth import make_key

# --- four algorithms, each from what it can come from ---


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@in_loop
async def test_a_token_of_the_configured_key_is_accepted_and_no_other(algorithm: str) -> None:
    async with running_server(keys=[public(algorithm)]) as server:
        assert await admits(server, algorithm, private(algorithm))
        assert await admits(server, algorithm, private(algorithm), kid="any")
        assert not await admits(server, algorithm, private(algorithm, 1))
        for other in ALGORITHMS:
            if other != algorithm:
                assert not await admits(server, other, private(other)), other


# --- key confusion ---


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@in_loop
async def test_a_public_key_is_never_a_shared_secret(algorithm: str) -> None:
    public_pem = pem(private(algorithm))
    raw = private(algorithm).public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    text = json.dumps(jwk(algorithm, private(algorithm)))
    async with running_server(keys=[public(algorithm, kid="a"), public("HS256")]) as server:
        for secret in (public_pem, public_pem.strip(), raw, text):
            for header in ({"alg": "HS256"}, {"alg": "HS256", "kid": "a"}, {"alg": algorithm}):
                assert not await admits_token(server, forge(header, hs256(secret)))
        assert await admits_token(server, forge({"alg": "HS256"}, hs256(SECRET)))


@in_loop
async def test_nothing_in_a_token_brings_its_own_key() -> None:
    mine = private("RS256", 1)
    async with running_server(keys=[public("RS256"), public("HS256")]) as server:
        for headers in (
            {"jwk": jwk("RS256", mine)},
            {"jku": "http://127.0.0.1:9/keys"},
            {"x5u": "http://127.0.0.1:9/chain"},
            {"x5c": [base64.b64encode(pem(mine).encode()).decode()]},
            {"kid": "../../../dev/null"},
            {"kid": "' OR 1=1 --"},
        ):
            assert not await admits(server, "RS256", mine, headers=headers), headers
        for secret in ("", "\0"):
            assert not await admits_token(server, forge({"alg": "HS256", "kid": "/dev/null"}, hs256(secret)))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"}, {"alg": "None"}, {"alg": "NONE"}, {"alg": ""}, {"alg": None}, {"alg": ["HS256"]},
        {}, {"alg": "hs256"}, {"alg": "HS384"}, {"alg": "HS512"}, {"alg": "HS256", "crit": ["exp"]},
        {"alg": "HS256", "b64": False, "crit": ["b64"]}, {"alg": "HS256", "kid": 7}, {"alg": "HS256 "},
    ],
)  # fmt: skip
@in_loop
async def test_no_header_talks_the_server_into_anything(header: dict[str, Any]) -> None:
    async with running_server(keys=[public("HS256")]) as server:
        assert not await admits_token(server, forge(header, hs256(SECRET)))
        assert not await admits_token(server, forge(header, lambda _: b""))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
@in_loop
async def test_an_algorithm_that_is_not_configured_is_refused_however_good_the_signature(
    algorithm: str,
) -> None:
    async with running_server(keys=[public("HS256")]) as server:
        key = SECRET * 2
        assert not await admits(server, algorithm, key)


def signed(claims: bytes, header: bytes = b'{"alg":"HS256"}') -> str:
    """A token of the bytes, whatever they say."""
    token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (header, claims))
    return f"{token}." + base64.urlsafe_b64encode(hs256(SECRET)(token.encode())).decode().rstrip("=")


@pytest.mark.parametrize("twin", ["sub", "device_id", "exp", "more"])
@in_loop
async def test_a_claim_that_stands_twice_is_refused(twin: str) -> None:
    async with running_server(keys=[public("HS256")]) as server:
        claims = {"sub": new_id(), "device_id": new_id(), "exp": 4102444800, "more": 1}
        once = json.dumps(claims)
        twice = f"{once[:-1]}, {json.dumps({twin: claims[twin]})[1:]}"
        for body, served in ((once, True), (twice, False)):
            assert await admits_token(server, signed(body.encode())) is served


@pytest.mark.parametrize(
    ("claim", "number"),
    [("exp", "1" + "0" * 400), ("exp", "-1" + "0" * 400), ("nbf", "1" + "0" * 400), ("iat", "1" + "0" * 400),
     ("exp", "1" + "0" * 5000), ("exp", "1e400"), ("nbf", "-1e400"), ("nbf", "-Infinity"), ("exp", "NaN")],
)  # fmt: skip
@in_loop
async def test_a_time_that_no_clock_shows_is_refused(claim: str, number: str) -> None:
    async with running_server(keys=[public("HS256")]) as server:
        claims = {"sub": new_id(), "device_id": new_id(), "exp": 4102444800}
        claims.pop(claim, None)
        # With 401: whatever else ends the handshake raises here.
        assert not await admits_token(
            server, signed(f'{json.dumps(claims)[:-1]}, "{claim}": {number}}}'.encode())
        )


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
@in_loop
async def test_claims_and_header_are_in_utf_8(encoding: str) -> None:
    async with running_server(keys=[public("HS256")]) as server:
        claims = json.dumps({"sub": new_id(), "device_id": new_id(), "exp": 4102444800}).encode()
        assert await admits_token(server, signed(claims))
        assert not await admits_token(server, signed(claims.decode().encode(encoding)))
        assert not await admits_token(server, signed(claims, '{"alg":"HS256"}'.encode(encoding)))


# --- rotation ---


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@in_loop
async def test_the_previous_and_the_current_key_work_while_both_are_configured(algorithm: str) -> None:
    old, new = private(algorithm), private(algorithm, 1)
    async with running_server(keys=[public(algorithm), public(algorithm, 1)]) as server:
        for key in (old, new):
            assert await admits(server, algorithm, key)
            assert await admits(server, algorithm, key, kid="unknown")  # these keys have no names
    async with running_server(keys=[public(algorithm, 1)]) as server:
        assert not await admits(server, algorithm, old)
        assert await admits(server, algorithm, new)


@in_loop
async def test_named_keys_are_used_by_their_names() -> None:
    async with running_server(keys=[public("HS256", 0, "old"), public("HS256", 1, "new")]) as server:
        assert await admits(server, "HS256", SECRET, kid="old")
        assert await admits(server, "HS256", OTHER, kid="new")
        assert await admits(server, "HS256", SECRET)  # a token may well leave the name out
        assert await admits(server, "HS256", OTHER)
        assert not await admits(server, "HS256", OTHER, kid="old")
        assert not await admits(server, "HS256", SECRET, kid="new")
        assert not await admits(server, "HS256", SECRET, kid="older")


@in_loop
async def test_a_key_may_be_rotated_for_one_of_another_algorithm() -> None:
    async with running_server(keys=[public("HS256", kid="a"), public("ES256", kid="a")]) as server:
        assert await admits(server, "HS256", SECRET, kid="a")
        assert await admits(server, "ES256", private("ES256"), kid="a")
        assert not await admits(server, "RS256", private("RS256"), kid="a")


@in_loop
async def test_a_named_key_and_one_without_a_name() -> None:
    async with running_server(keys=[public("HS256"), public("HS256", 1, "new")]) as server:
        assert await admits(server, "HS256", SECRET, kid="whatever it was before names")
        assert await admits(server, "HS256", OTHER, kid="new")
        assert not await admits(server, "HS256", OTHER, kid="other")


@pytest.mark.parametrize(("kind", "algorithm"), [("RS256", "ES256"), ("ES256", "RS256"), ("EdDSA", "ES256")])
def test_a_key_of_another_kind_is_told_in_words(kind: str, algorithm: str) -> None:
    with pytest.raises(UsageError, match=f"^not a key for {algorithm}: it is a key of another kind$"):
        make_key(algorithm, pem(private(kind)))
