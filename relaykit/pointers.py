"""JSON pointers (RFC 6901): from a path, and into a value."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any


def escape(key: str) -> str:
    """A key as a reference token of a JSON pointer."""
    return key.replace("~", "~0").replace("/", "~1")


def keys_of(pointer: str) -> list[str]:
    """The keys along a JSON pointer; those of items are their numbers."""
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def pointer_of(parts: tuple[str | int, ...]) -> str:
    """The JSON pointer of a path."""
    for part in parts:
        if type(part) is str and len(part) > 64:  # names as long as a frame are not to be remembered
            return _joined(parts)
    return _remembered(parts)


def _joined(parts: tuple[str | int, ...]) -> str:
    return "".join([f"/{escape(str(part))}" for part in parts])


_remembered = lru_cache(maxsize=4096)(_joined)


def at_pointer(value: Any, pointer: str) -> Any:
    """What a JSON pointer points to; None if there is nothing."""
    for key in keys_of(pointer):
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, (list, tuple)) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return None
    return value
