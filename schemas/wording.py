"""JSON values in words: what kind they are, and what they hold, in a few of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any


def kind_of(value: Any) -> str:
    """What a value is, in JSON's words and with an article: `an array`, `null`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, Mapping):
        return "an object"
    return "an array" if isinstance(value, Sequence) else f"a {type(value).__name__}"


def counted(number: int, one: str, many: str = "") -> str:
    """`1 frame`, `2 frames`, `3 properties`."""
    plural = many or (f"{one[:-1]}ies" if one.endswith("y") else f"{one}s")
    return f"{number:,} {one if number == 1 else plural}"


def times(number: int) -> str:
    """`once`, `2 times`."""
    return "once" if number == 1 else f"{number:,} times"


def printable(text: str) -> str:
    """Text without characters that could steer a terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def shorten(value: Any, limit: int = 60) -> str:
    """A value on one line, not much longer than `limit` characters; of containers, only the size."""
    if isinstance(value, str):
        text = printable(encode_basestring(value[: limit + 1]))
        return text if len(value) <= limit else f'{text[:limit]}…"'
    if isinstance(value, Mapping):
        return f"object ({counted(len(value), 'property')})" if value else "{}"
    if isinstance(value, Sequence):
        return f"array ({counted(len(value), 'item')})" if value else "[]"
    if isinstance(value, int) and value.bit_length() > 200:
        return f"an integer of {value.bit_length()} bits"
    return json.dumps(value, default=lambda v: f"<{type(v).__name__}>")
