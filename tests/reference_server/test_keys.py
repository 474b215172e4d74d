"""Keys: four algorithms from a secret, a PEM or a JWKS; rotation; no key is used for what it is not for."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from jwt.algorithms import get_default_algorithms
from support.server import Running, in_loop, new_id, running_server
from websockets.exceptions import InvalidStatus

from relaykit.errors import UsageError
from relaykit.redaction import Redactor
from relaykit.reference_server import running, settings
from relaykit.reference_server.auth import Key, keys_of_set, make_key
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
    server.token = lambda *_, **__: token  # type: ignore[method-assign]
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


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("name_algorithm", [True, False])
@in_loop
async def test_a_key_comes_from_a_jwks(algorithm: str, name_algorithm: bool) -> None:
    key = private(algorithm)
    text = json.dumps({"keys": [jwk(algorithm, key, name_algorithm=name_algorithm, kid="a")]})
    async with running_server(keys=keys_of_set(text, ALGORITHMS)) as server:
        assert await admits(server, algorithm, key, kid="a")
        assert await admits(server, algorithm, key)
        assert not await admits(server, algorithm, key, kid="b")
        assert not await admits(server, algorithm, private(algorithm, 1), kid="a")


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@in_loop
async def test_a_private_key_serves_as_its_public_half(algorithm: str) -> None:
    key = private(algorithm)
    entry = get_default_algorithms()[algorithm].to_jwk(key, as_dict=True)
    for keys in (
        [make_key(algorithm, private_pem(key))],
        keys_of_set(json.dumps({"keys": [{**entry, "key_ops": ["sign"]}]}), ALGORITHMS),
    ):
        async with running_server(keys=keys) as server:
            assert await admits(server, algorithm, key)
            assert not await admits(server, algorithm, private(algorithm, 1))


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


@pytest.mark.parametrize("twin", ["sub", "device_id", "exp", "more"])
@in_loop
async def test_a_claim_that_stands_twice_is_refused(twin: str) -> None:
    async with running_server(keys=[public("HS256")]) as server:
        claims = {"sub": new_id(), "device_id": new_id(), "exp": 4102444800, "more": 1}
        once = json.dumps(claims)
        twice = f"{once[:-1]}, {json.dumps({twin: claims[twin]})[1:]}"
        for body, served in ((once, True), (twice, False)):
            token = "eyJhbGciOiJIUzI1NiJ9." + base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")
            signature = base64.urlsafe_b64encode(hs256(SECRET)(token.encode())).decode().rstrip("=")
            assert await admits_token(server, f"{token}.{signature}") is served


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


@in_loop
async def test_two_keys_of_a_jwks() -> None:
    entries = [jwk("ES256", private("ES256", number), kid=str(number)) for number in (0, 1)]
    keys = keys_of_set(json.dumps({"keys": entries}), ALGORITHMS)
    async with running_server(keys=keys) as server:
        for number in (0, 1):
            assert await admits(server, "ES256", private("ES256", number), kid=str(number))
            assert await admits(server, "ES256", private("ES256", number))
            assert not await admits(server, "ES256", private("ES256", number), kid=str(1 - number))


# --- what is no key ---


def test_a_jwks_may_hold_keys_that_are_none_of_ours() -> None:
    entries = [
        {"kty": "XYZ", "kid": "unknown kind"},
        {**jwk("RS256", private("RS256")), "use": "enc"},
        {**jwk("RS256", private("RS256")), "alg": "RS512"},
        {**jwk("RS256", private("RS256")), "alg": "RSA-OAEP"},
        get_default_algorithms()["ES384"].to_jwk(
            ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True
        ),
        jwk("EdDSA", private("EdDSA"), kid="ours"),
    ]
    keys = keys_of_set(json.dumps({"keys": entries}), ALGORITHMS)
    assert [(key.algorithm, key.kid) for key in keys] == [("EdDSA", "ours")]


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", '{"keys": {}}', '{"keys": []}', '{"keys": [1]}', '{"keys": [{"kty": "RSA"}]}',
     '{"keys": [{"kty": "oct"}]}', '{"keys": [{"kty": "oct", "k": ""}]}'],
)  # fmt: skip
def test_what_is_no_jwks_is_a_mistake_of_the_user(text: str) -> None:
    with pytest.raises(UsageError, match="JWKS"):
        keys_of_set(text, ALGORITHMS)


def weak_rsa() -> str:
    return pem(rsa.generate_private_key(65537, 1024))  # noqa: S505


@pytest.mark.parametrize(
    ("algorithm", "text"),
    [
        ("HS256", lambda: pem(private("RS256"))),
        ("HS256", lambda: private_pem(private("ES256"))),
        ("HS256", lambda: ""),
        ("RS256", lambda: SECRET),
        ("RS256", lambda: pem(private("ES256"))),
        ("RS256", lambda: pem(private("EdDSA"))),
        ("RS256", weak_rsa),
        ("ES256", lambda: pem(private("RS256"))),
        ("ES256", lambda: pem(private("EdDSA"))),
        ("ES256", lambda: pem(ec.generate_private_key(ec.SECP384R1()))),
        ("EdDSA", lambda: pem(private("ES256"))),
        ("EdDSA", lambda: pem(ed448.Ed448PrivateKey.generate())),
        ("EdDSA", lambda: "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
    ],
)
def test_what_is_no_key_for_its_algorithm_is_a_mistake_of_the_user(
    algorithm: str, text: Callable[[], str]
) -> None:
    with pytest.raises(UsageError, match=algorithm) as refused:
        make_key(algorithm, text())
    assert SECRET not in str(refused.value)


# --- from the configuration to the door ---


def configured(tmp_path: Path, *keys: dict[str, Any]) -> list[Key]:
    from relaykit.config import parse_yaml

    document = parse_yaml(json.dumps({"keys": keys}), str(tmp_path / "serve.yaml"))
    protocol = load_catalogue().protocol
    chosen = settings.load(protocol, file=document)
    return running._keys(chosen, protocol.algorithms, Redactor())[0]


@in_loop
async def test_keys_of_all_kinds_come_from_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "rsa.pem").write_text(pem(private("RS256")))
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [jwk("ES256", private("ES256"), kid="e")]}))
    os.environ["TEST_KEYS_SECRET"] = SECRET
    keys = configured(
        tmp_path,
        {"algorithm": "RS256", "pem": {"file": "rsa.pem"}, "kid": "r"},
        {"jwks": {"file": "keys.json"}},
        {"algorithm": "HS256", "secret": {"env": "TEST_KEYS_SECRET"}},
    )
    async with running_server(keys=keys) as server:
        assert await admits(server, "RS256", private("RS256"), kid="r")
        assert await admits(server, "ES256", private("ES256"), kid="e")
        assert await admits(server, "HS256", SECRET)
        assert not await admits(server, "EdDSA", private("EdDSA"))


def test_a_jwks_can_be_held_to_one_algorithm(tmp_path: Path) -> None:
    entries = [jwk(algorithm, private(algorithm)) for algorithm in ("RS256", "ES256")]
    (tmp_path / "keys.json").write_text(json.dumps({"keys": entries}))
    keys = configured(tmp_path, {"algorithm": "ES256", "jwks": {"file": "keys.json"}})
    assert [key.algorithm for key in keys] == ["ES256"]
    with pytest.raises(UsageError, match="EdDSA"):
        configured(tmp_path, {"algorithm": "EdDSA", "jwks": {"file": "keys.json"}})


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ({"algorithm": "RS256", "secret": {"env": "X"}}, "/keys/0/algorithm"),
        ({"algorithm": "HS256", "pem": {"env": "X"}}, "/keys/0/algorithm"),
        ({"algorithm": "HS512", "secret": {"env": "X"}}, "HS512"),
        ({"algorithm": "none", "secret": {"env": "X"}}, "none"),
        ({"secret": {"env": "X"}}, "algorithm"),
        ({"jwks": {"file": "x"}, "kid": "a"}, "kid"),
    ],
)
def test_a_key_that_makes_no_sense_is_a_mistake_of_the_user(
    tmp_path: Path, key: dict[str, Any], named: str
) -> None:
    with pytest.raises(UsageError, match=named) as refused:
        configured(tmp_path, key)
    assert "serve.yaml:1" in str(refused.value)


def test_the_library_knows_the_algorithms_of_the_protocol() -> None:
    assert set(ALGORITHMS) <= set(get_default_algorithms())
    assert jwt.algorithms.has_crypto
