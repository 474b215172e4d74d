"""Where keys come from: PEM, JWKS, secrets, the configuration; and what is no key."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from jwt.algorithms import get_default_algorithms
from support.keys import (
    ALGORITHMS,
    SECRET,
    admits,
    jwk,
    pem,
    private,
    private_pem,
)
from support.server import in_loop, running_server

from relaykit.config import parse_yaml
from relaykit.errors import UsageError
from relaykit.redaction import REDACTED, Redactor
from relaykit.reference_server import running, settings
from relaykit.reference_server.auth import Key, keys_of_set, make_key
from relaykit.schemas import load_catalogue

# --- what is a key ---


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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON on line 1, column 2"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", 'a JSON object with an array "keys"'),
        ('{"keys": [{"kty": "XYZ"}, null]}', "/keys/1 must be an object, not null"),
        ('{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": 5}]}', "/keys/0/kid must be a string"),
        (
            '{"keys": [{"kty": "oct", "alg": "none"}]}',
            r'/keys/0 \(kty "oct", alg "none"\): it is for another',
        ),
        ('{"keys": [{"kty": "RSA", "key_ops": 5}]}', "key_ops must be an array"),
        ('{"keys": [{"kty": "RSA", "n": 5, "e": []}]}', r'/keys/0 \(kty "RSA"\): it is not a whole key'),
        ('{"keys": [{"kty": "EC", "crv": {}, "kid": "a"}]}', "not a whole key of a known kind"),
    ],
)
def test_what_is_wrong_with_a_jwks_is_said_in_the_projects_words(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=f"JWKS.*{words}"):
        keys_of_set(text, ALGORITHMS)


@pytest.mark.parametrize(
    "more", [{"alg": "HS1"}, {"alg": "A128KW"}, {"alg": "none"}, {"kty": None}, {"kty": 5}]
)
def test_no_error_shows_the_secret_of_a_jwks(more: dict[str, Any]) -> None:
    entry = {"kty": "oct", "k": "c2VjcmV0LW9mLXRoZS10ZXN0LXdoaWNoLWlzLWxvbmc", **more}
    with pytest.raises(UsageError, match="JWKS") as refused:
        keys_of_set(json.dumps({"keys": [entry]}), ALGORITHMS)
    assert entry["k"] not in f"{refused.value}{refused.value.hint}"
    ours = {**entry, "kty": "oct", "alg": "HS256"}
    assert len(keys_of_set(json.dumps({"keys": [entry, ours]}), ALGORITHMS)) == 1


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


def configured(tmp_path: Path, *keys: dict[str, Any], redactor: Redactor | None = None) -> list[Key]:
    document = parse_yaml(json.dumps({"keys": keys}), str(tmp_path / "serve.yaml"))
    protocol = load_catalogue().protocol
    chosen = settings.load(protocol, file=document)
    return running._keys(chosen, protocol.algorithms, redactor or Redactor())[0]


@in_loop
async def test_keys_of_all_kinds_come_from_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rsa.pem").write_text(pem(private("RS256")))
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [jwk("ES256", private("ES256"), kid="e")]}))
    monkeypatch.setenv("TEST_KEYS_SECRET", SECRET)
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


def test_the_secrets_of_a_jwks_are_kept_out_of_logs_and_short_ones_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "c2VjcmV0LW9mLXRoZS1zZXQ"
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [{"kty": "oct", "k": secret}]}))
    redactor = Redactor()
    configured(tmp_path, {"jwks": {"file": "keys.json"}}, redactor=redactor)
    assert redactor.text(f"{secret} secret-of-the-set") == f"{REDACTED} {REDACTED}"
    assert "shorter than 32 bytes" in caplog.text


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
