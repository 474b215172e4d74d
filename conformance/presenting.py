"""How a token goes into a handshake: where it stands, and what else the target file puts there."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from relaykit.conformance.templates import filled, random_ipv4
from relaykit.conformance.values import fresh_uuid

if TYPE_CHECKING:
    from relaykit.conformance.environment import Environment


@dataclass(frozen=True, slots=True)
class Presentation:
    """A token on its way into a handshake, and that token where a case presents it as the protocol says."""

    url: str
    headers: Mapping[str, str]
    subprotocols: tuple[str, ...]
    token: str | None = None


def present(env: Environment, token: str | None, carrier: str, *, legacy: bool = False) -> Presentation:
    """How a handshake looks that presents this token in one of the three ways; None: not at all."""
    target = env.target
    url = target.url
    headers = dict(target.headers)
    if legacy and target.legacy is not None:
        url = _with_query(url, target.legacy.query)
        headers.update(target.legacy.headers)
    if token is None:
        return Presentation(url, headers, ())
    if carrier == "query":
        return Presentation(_with_query(url, f"token={quote(token, safe='')}"), headers, (), token)
    if carrier == "subprotocol":
        return Presentation(url, headers, (env.catalogue.protocol.subprotocol, token), token)
    return Presentation(url, {**headers, "Authorization": f"Bearer {token}"}, (), token)


def _with_query(url: str, query: str) -> str:
    if not query:
        return url
    return f"{url}{'&' if '?' in url else '?'}{query}"


def dressed(headers: Mapping[str, str], seed: str, user_id: str, device_id: str) -> Mapping[str, str]:
    """Handshake headers with what their names stand for in one connection; random ones follow the seed."""
    if not any("{" in value for value in headers.values()):
        return headers
    rng = random.Random(seed)
    names = {
        "random_ipv4": random_ipv4(rng),
        "random_uuid": fresh_uuid(rng),
        "user_id": user_id,
        "device_id": device_id,
    }
    return {name: str(filled(value, names)) for name, value in headers.items()}
