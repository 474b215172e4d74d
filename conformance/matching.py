"""Does a frame match what was expected, and if not, where does it differ first?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from relaykit.conformance.grammar import Absent, Match
from relaykit.pointers import escape
from relaykit.schemas import Catalogue

_UUID = re.compile(r"(?:[a-z]+-)?[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_TIMESTAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z")
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Difference:
    """The first place where a frame is not what was expected; `depth` counts what had fitted until there."""

    pointer: str
    message: str
    fitted: int

    def __str__(self) -> str:
        return f"{self.pointer or '(the frame)'}: {self.message}"


def message_id_of(frame: Any) -> str:
    """The message that a frame is about, in lower case, as ids compare so (VAL-24); "" if none."""
    name = frame.get("message_id") if isinstance(frame, dict) else None
    return name.lower() if isinstance(name, str) else ""


@cache
def ambient_types(catalogue: Catalogue) -> frozenset[str]:
    """Types that may come at any time, and that a scenario passes over unless it is about them."""
    presence = {
        kind
        for (direction, kind), spec in catalogue.frames.items()
        if direction == "s2c" and spec.capability == "presence"
    }
    return frozenset(presence | {"ping", "heartbeat_ack"})


def compare(pattern: Any, value: Any) -> Difference | None:
    """None if the value matches the pattern, else the first difference.

    Objects match as subsets, arrays exactly. UUIDs (prefixed ones too) are compared without case. A field
    called `timestamp` must hold text where text is expected; what it says is the server's affair. An
    expected null matches a missing field, since both mean the same in this protocol.
    """
    counter = [0]
    return _compare(pattern, value, "", "", counter)


def _compare(pattern: Any, value: Any, pointer: str, key: str, fitted: list[int]) -> Difference | None:
    if isinstance(pattern, Absent) or pattern is None:
        if value is _MISSING or value is None:
            fitted[0] += 1
            return None
        return Difference(pointer, f"expected to be absent, but is {short(value)}", fitted[0])
    if value is _MISSING:
        return Difference(pointer, f"is missing, expected {short(pattern)}", fitted[0])
    if isinstance(pattern, Match):
        if isinstance(value, str) and re.search(pattern.pattern, value):
            fitted[0] += 1
            return None
        return Difference(pointer, f"is {short(value)}, expected to match {pattern.pattern!r}", fitted[0])
    if isinstance(pattern, Mapping):
        if not isinstance(value, Mapping):
            return Difference(pointer, f"is {short(value)}, expected an object", fitted[0])
        return _object(pattern, value, pointer, fitted)
    if isinstance(pattern, (list, tuple)):
        return _array(pattern, value, pointer, fitted)
    if not _equal(pattern, value, key):
        return Difference(pointer, f"is {short(value)}, expected {short(pattern)}", fitted[0])
    fitted[0] += 1
    return None


def _object(
    pattern: Mapping[str, Any], value: Mapping[str, Any], pointer: str, fitted: list[int]
) -> Difference | None:
    # The type first: a frame of another type is far from matching, whatever else they share.
    for name in sorted(pattern, key=lambda name: name != "type"):
        child = f"{pointer}/{escape(name)}"
        found = _compare(pattern[name], value.get(name, _MISSING), child, name, fitted)
        if found is not None:
            return found
    return None


def _array(pattern: Iterable[Any], value: Any, pointer: str, fitted: list[int]) -> Difference | None:
    items = list(pattern)
    if not isinstance(value, list):
        return Difference(pointer, f"is {short(value)}, expected an array", fitted[0])
    if len(value) != len(items):
        return Difference(pointer, f"has {len(value)} items, expected {len(items)}", fitted[0])
    for index, item in enumerate(items):
        found = _compare(item, value[index], f"{pointer}/{index}", "", fitted)
        if found is not None:
            return found
    return None


def _equal(pattern: Any, value: Any, key: str) -> bool:
    if isinstance(pattern, bool) or isinstance(value, bool):
        return pattern is value
    if isinstance(pattern, str) and isinstance(value, str):
        if pattern == value:
            return True
        if key == "timestamp" and _TIMESTAMP.fullmatch(pattern):
            return True
        return bool(_UUID.fullmatch(pattern)) and pattern.lower() == value.lower()
    return bool(pattern == value)


def nearest(pattern: Mapping[str, Any], frames: Iterable[Any]) -> tuple[Any, Difference] | None:
    """Of several frames that do not match, the one that comes nearest, and where it differs first."""
    best: tuple[Any, Difference] | None = None
    for frame in frames:
        found = compare(pattern, frame)
        if found is not None and (best is None or found.fitted > best[1].fitted):
            best = (frame, found)
    return best


def plain(pattern: Any) -> Any:
    """A pattern as JSON can hold it, for messages and reports."""
    if isinstance(pattern, Absent):
        return "(absent)"
    if isinstance(pattern, Match):
        return f"(matches {pattern.pattern})"
    if isinstance(pattern, Mapping):
        return {key: plain(value) for key, value in pattern.items()}
    return [plain(item) for item in pattern] if isinstance(pattern, (list, tuple)) else pattern


def short(value: Any, width: int = 80) -> str:
    """A value as compact JSON, cut where it gets long."""
    text = json.dumps(plain(value), ensure_ascii=False, default=str)
    text = text.encode("utf-8", "backslashreplace").decode()  # lone surrogates can be shown nowhere
    return text if len(text) <= width else f"{text[: width - 1]}…"
