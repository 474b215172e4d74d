"""A bounded cache in front of the store."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Cache(dict[K, V]):
    """A dict that forgets its oldest entry when it is full. What it forgets is read from the store again."""

    def __init__(self, size: int = 20_000) -> None:
        super().__init__()
        self._size = size

    def keep(self, key: K, value: V) -> V:
        """Remember and return `value`."""
        if len(self) >= self._size and key not in self:
            del self[next(iter(self))]
        self[key] = value
        return value
