"""Templates in a target file: `{user_id}`, `{random_ipv4}` and the like, in headers, claims and requests."""

from __future__ import annotations

import ipaddress
import random
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from relaykit.config import Document, suggest
from relaykit.errors import UsageError
from relaykit.pointers import escape

HEADER_NAMES = ("random_ipv4", "random_uuid", "user_id", "device_id")
"""What may stand in a handshake header: an address and an id, new for every connection; whose it is."""
CLAIM_NAMES = ("user_id", "device_id", "now", "random_uuid")
"""What may stand in claims; `{now}` alone is a number, the Unix time in seconds."""
LIFETIME = "lifetime_s"
FETCH_NAMES = ("user_id", "device_id", LIFETIME)
"""What may stand where tokens are fetched: whose token it is, and how many seconds it is to be valid."""
_NAME = re.compile(r"\{([a-z][a-z0-9_]*)\}")


def filled(value: Any, names: Mapping[str, Any]) -> Any:
    """The value with names replaced in its texts; where one is the whole text, its value keeps its type."""
    if isinstance(value, str):
        if "{" not in value:
            return value
        whole = _NAME.fullmatch(value)
        if whole and whole[1] in names:
            return names[whole[1]]
        return _NAME.sub(lambda found: str(names.get(found[1], found[0])), value)
    if isinstance(value, Mapping):
        return {key: filled(item, names) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(item, names) for item in value]
    return value


def names_in(value: Any) -> frozenset[str]:
    """The names that stand in a value's texts."""
    return frozenset(found[1] for _, text in _texts("", value) for found in _NAME.finditer(text))


def check_names(document: Document, pointer: str, value: Any, known: Collection[str]) -> None:
    """Refuse names that are nearly one of the known ones. Other braces are left alone: they may be meant.

    Raises:
        UsageError: with the place.
    """
    for where, text in _texts(pointer, value):
        for found in _NAME.finditer(text):
            near = "" if found[1] in known else suggest(found[1], known)
            if near:
                raise UsageError(f"{document.place(where)}: {where}: unknown name {found[0]}{near}")


def _texts(pointer: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield pointer, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(f"{pointer}/{escape(str(key))}", item)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(f"{pointer}/{index}", item)


def random_ipv4(rng: random.Random) -> str:
    """An address of the public internet, as a proxy would report it; nothing is ever sent there."""
    while True:
        address = ipaddress.IPv4Address(rng.getrandbits(32))
        if address.is_global and not address.is_multicast:
            return str(address)
