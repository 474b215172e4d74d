"""What can still be told of text that is no flawless JSON: whose frame it is, its type, and where it begins.

A fault of JSON is charged to whoever sent the frame, so even then it matters who did. What Python's own
reader takes (NaN, keys that stand twice, integers of any size) is read leniently, only to look at it.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from relaykit.schemas.catalogue import Catalogue
from relaykit.schemas.model import DIRECTIONS, Direction
from relaykit.schemas.strict_json import FrameError

_BLANK = re.compile(r"[ \t\n\r]*")
_READER = json.JSONDecoder()


class Broken(NamedTuple):
    """Text with a fault of JSON, or what stands in its place.

    Attributes:
        error: the fault.
        direction: as it was recorded beside the frame; None: it was not.
        type: what the frame says its type is, if that can be read.
    """

    error: FrameError
    direction: Direction | None = None
    type: str | None = None


def look_at(catalogue: Catalogue, data: bytes, error: FrameError, record: Sequence[str]) -> Broken:
    """What can be told of text that did not decode.

    Args:
        error: why it did not.
        record: the properties of a recorded frame: the name of its direction, and of the frame.
    """
    members: dict[str, tuple[Any, int, int]] = {}
    text = data.decode(errors="surrogateescape")  # bytes that are no text stay what they are
    with contextlib.suppress(ValueError, RecursionError):  # what came before the fault is known
        for name, value, start, end in _members(text):
            members[name] = (value, start, end)
    kind = _string(members, "type")
    direction_name, frame_name = record
    if "type" in members or frame_name not in members:
        return Broken(error, None, kind)
    frame, start, end = members[frame_name]
    said = _string(members, direction_name)
    direction = next((way for way in DIRECTIONS if way == said), None)
    if isinstance(frame, dict) and isinstance(frame.get("type"), str):
        kind = frame["type"]
    try:
        catalogue.decode(text[start:end].encode(errors="surrogateescape"))
    except FrameError as inner:  # with its place counted from the frame's own beginning
        return Broken(inner, direction, kind)
    return Broken(error)  # of the record, not of its frame


def _string(members: dict[str, tuple[Any, int, int]], name: str) -> str | None:
    value = members.get(name, (None,))[0]
    return value if isinstance(value, str) else None


def _members(text: str) -> Iterator[tuple[str, Any, int, int]]:
    """The members of an object: name, value, where the value begins and ends.

    Raises:
        ValueError: it is no object, or its JSON is broken.
        RecursionError: it is nested too deeply for Python.
    """
    at = _after(text, _blank(text, 0), "{")
    while True:
        name, at = _READER.raw_decode(text, _blank(text, at))
        start = _blank(text, _after(text, _blank(text, at), ":"))
        try:
            value, end = _READER.raw_decode(text, start)
        except ValueError:
            yield str(name), None, start, len(text)  # it begins here, wherever it was meant to end
            raise
        yield str(name), value, start, end
        at = _blank(text, end)
        if text[at : at + 1] == "}":
            return
        at = _after(text, at, ",")


def _blank(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    return found.end() if found else at


def _after(text: str, at: int, mark: str) -> int:
    if text[at : at + 1] != mark:
        raise ValueError(mark)
    return at + 1
