"""Tokens that are minted: what they claim, and what is said of short secrets."""

from __future__ import annotations

import warnings

import jwt
import pytest

from relaykit.tokens import is_short, mint

KEY = "k" * 32
WHO = {"user_id": "the-user", "device_id": "the-device"}


def test_a_token_claims_whose_it_is_and_how_long_it_is_good() -> None:
    token = mint(**WHO, key=KEY, now=1000.9, lifetime_s=60, headers={"kid": "a"})
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT", "kid": "a"}
    claims = jwt.decode(token, KEY, algorithms=["HS256"], options={"verify_exp": False})
    assert claims == {"sub": "the-user", "device_id": "the-device", "iat": 1000, "exp": 1060}


def test_claims_may_be_added_changed_and_left_out() -> None:
    token = mint(**WHO, key=KEY, now=1000, claims={"exp": None, "sub": "another", "nbf": 5})
    claims = jwt.decode(token, KEY, algorithms=["HS256"])
    assert claims == {"sub": "another", "device_id": "the-device", "iat": 1000, "nbf": 5}


def test_a_short_secret_signs_without_a_word_and_can_be_told() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert mint(**WHO, key="short")
    assert is_short("k" * 31)
    assert not is_short("k" * 32)
    assert not is_short("ü" * 16), "bytes count"


def test_a_key_that_does_not_fit_its_algorithm_is_refused() -> None:
    with pytest.raises((jwt.PyJWTError, ValueError)):
        mint(**WHO, key=KEY, algorithm="ES256")
