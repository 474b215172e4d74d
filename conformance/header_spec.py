"""Headers in a target file: texts, and secrets that come from the environment or from files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from relaykit.config import Document
from relaykit.conformance.control_spec import secret_at
from relaykit.errors import UsageError
from relaykit.pointers import escape

_UNFIT = re.compile(r"[^\x20-\x7e\t]")


class Hidden(str):
    """A header's value that must never be shown."""

    __slots__ = ()


def read_headers(document: Document, pointer: str, given: Mapping[str, Any], base: Path) -> Mapping[str, str]:
    """The headers that stand in a target file, whose shape is right, under a pointer.

    Raises:
        UsageError: a secret cannot be read, or no header can hold it; with the place.
    """
    found: dict[str, str] = {}
    for name, value in given.items():
        place = document.place(f"{pointer}/{escape(name)}")
        found[name] = value if isinstance(value, str) else _secret(value, base, place)
    return MappingProxyType(found)


def _secret(spec: Mapping[str, str], base: Path, place: str) -> Hidden:
    value = secret_at(spec, base, place)
    if _UNFIT.search(value):
        raise UsageError(f"{place}: no header can hold this secret: it has line breaks, or is not ASCII")
    return Hidden(value)


def hidden(headers: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """What of these headers must never be shown."""
    return tuple(str(value) for each in headers for value in each.values() if isinstance(value, Hidden))
