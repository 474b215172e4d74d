"""JSON pointers (RFC 6901): from a path, and into a value."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from relaykit.config import escape


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
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(key)] if isinstance(value, (list, tuple)) else value[key]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return value
