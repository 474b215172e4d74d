"""Where a target file says the tokens of the suite's users come from: minted, fetched, or fixed ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import uuid4

import jwt

from relaykit.config import Document
from relaykit.conformance.control_spec import secret_at
from relaykit.conformance.header_spec import hidden, read_headers
from relaykit.conformance.templates import CLAIM_NAMES, FETCH_NAMES, check_names, filled
from relaykit.errors import UsageError
from relaykit.tokens import mint


@dataclass(frozen=True, slots=True)
class Minting:
    """The suite signs tokens itself. `key` is a secret or a private key in PEM.

    Attributes:
        claims: further ones, with names of users and devices still in them (see `claims_of`).
        headers: further header fields.
    """

    algorithm: str
    key: str
    lifetime_s: float
    claims: Mapping[str, Any]
    headers: Mapping[str, Any]

    def claims_of(self, user_id: str, device_id: str, now: float) -> dict[str, Any]:
        """The further claims of one token."""
        names = {"user_id": user_id, "device_id": device_id, "now": int(now), "random_uuid": str(uuid4())}
        return {name: filled(value, names) for name, value in self.claims.items()}


@dataclass(frozen=True, slots=True)
class HttpTokens:
    """A request for each user and device; in all its texts `{user_id}` and `{device_id}` stand for them, and
    `{lifetime_s}` for how many seconds the token is to be valid.

    Attributes:
        bearer: sent as `Authorization: Bearer`.
        body: sent as JSON, if there is one.
        pointer: where in the JSON of the answer the token is; None: the answer is the token.
    """

    url: str
    method: str
    headers: Mapping[str, str]
    bearer: str | None
    body: Any
    pointer: str | None


@dataclass(frozen=True, slots=True)
class CommandTokens:
    """A command that prints the token; in its words names stand for the same as in `HttpTokens`."""

    words: tuple[str, ...]
    folder: Path


@dataclass(frozen=True, slots=True)
class Identity:
    """A user that the target knows: device ID → its token, in order."""

    user_id: str
    devices: Mapping[str, str]


DEFAULT_LIFETIME_S = 3600
"""Seconds that a token is valid, where nothing else is said."""
TokenSource = Minting | HttpTokens | CommandTokens | tuple[Identity, ...]


def read_tokens(document: Document, base: Path) -> TokenSource:
    """What a target file, whose shape is right, says of tokens.

    Raises:
        UsageError: a secret cannot be read, or does not fit the algorithm.
    """
    tokens = document.data["tokens"]
    if "mint" in tokens:
        return read_minting(document, base, "mint")
    if "identities" in tokens:
        return _identities(document, base)
    ((form, spec),) = tokens["fetch"].items()
    check_names(document, f"/tokens/fetch/{form}", spec, FETCH_NAMES)
    if form == "command":
        return CommandTokens(tuple(spec["run"]), base)
    bearer = None
    if "bearer" in spec:
        bearer = secret_at(spec["bearer"], base, document.place("/tokens/fetch/http/bearer"))
    return HttpTokens(
        url=spec["url"],
        method=spec.get("method", "POST"),
        headers=read_headers(document, "/tokens/fetch/http/headers", spec.get("headers", {}), base),
        bearer=bearer,
        body=spec.get("body"),
        pointer=spec.get("pointer"),
    )


def read_minting(document: Document, base: Path, name: str) -> Minting:
    """How `tokens.<name>` says that tokens are signed.

    Raises:
        UsageError: the key cannot be read, or is not of the algorithm's kind.
    """
    given = document.data["tokens"][name]
    algorithm = given.get("algorithm", "HS256")
    kind = "secret" if "secret" in given else "key"
    place = document.place(f"/tokens/{name}/{kind}")
    if (kind == "secret") != algorithm.startswith("HS"):
        need = "secret" if algorithm.startswith("HS") else "key"
        raise UsageError(f"{place}: {algorithm} needs a `{need}`, not a `{kind}`")
    check_names(document, f"/tokens/{name}/claims", given.get("claims", {}), CLAIM_NAMES)
    key = secret_at(given[kind], base, place)
    _must_sign(key, algorithm, given.get("headers", {}), place)
    return Minting(
        algorithm=algorithm,
        key=key,
        lifetime_s=given.get("lifetime_s", DEFAULT_LIFETIME_S),
        claims=MappingProxyType(given.get("claims", {})),
        headers=MappingProxyType(given.get("headers", {})),
    )


def _must_sign(key: str, algorithm: str, headers: Mapping[str, Any], place: str) -> None:
    """Try the key, so that one that does not fit is the target file's mistake and nobody else's.

    Raises:
        UsageError: it cannot sign.
    """
    try:
        mint(user_id="", device_id="", key=key, algorithm=algorithm, headers=headers)
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        # What the library says may quote the key.
        what = "a private key in PEM, without a password, of that algorithm"
        need = f"{algorithm} needs {what}" if not algorithm.startswith("HS") else f"{algorithm} cannot use it"
        raise UsageError(f"{place}: the key cannot sign tokens ({type(error).__name__}): {need}") from None


def _identities(document: Document, base: Path) -> tuple[Identity, ...]:
    found: list[Identity] = []
    for number, user in enumerate(document.data["tokens"]["identities"]):
        pointer = f"/tokens/identities/{number}"
        if any(user["user_id"].lower() == other.user_id.lower() for other in found):
            raise UsageError(f"{document.place(pointer)}: this user is listed twice; give it more devices")
        devices = {
            device["device_id"]: secret_at(
                device["token"], base, document.place(f"{pointer}/devices/{index}/token")
            )
            for index, device in enumerate(user["devices"])
        }
        found.append(Identity(user["user_id"], MappingProxyType(devices)))
    return tuple(found)


def token_secrets(source: TokenSource) -> tuple[str, ...]:
    """What of a source must never be shown."""
    match source:
        case Minting():
            return (source.key,)
        case HttpTokens():
            return (*((source.bearer,) if source.bearer else ()), *hidden((source.headers,)))
        case CommandTokens():
            return ()
        case _:
            return tuple(token for identity in source for token in identity.devices.values())
