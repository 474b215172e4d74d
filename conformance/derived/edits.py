"""Frames with one thing changed: fresh copies, so that what they were made of stays as it was."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relaykit.schemas import thaw

Path = tuple[str | int, ...]


def with_value(frame: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """A copy of the frame with another value at the path."""
    if not path:
        raise ValueError("the frame itself is no place in it")
    copy: dict[str, Any] = thaw(frame)
    here: Any = copy
    for step in path[:-1]:
        here = here[step]
    here[path[-1]] = value
    return copy


def without(frame: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A copy of the frame without what stands at the path."""
    copy: dict[str, Any] = thaw(frame)
    here: Any = copy
    for step in path[:-1]:
        here = here[step]
    here.pop(path[-1], None)
    return copy


def value_at(frame: Any, path: Path) -> Any:
    """What stands at the path; None if there is nothing."""
    for step in path:
        try:
            frame = frame[step]
        except (KeyError, IndexError, TypeError):
            return None
    return frame
