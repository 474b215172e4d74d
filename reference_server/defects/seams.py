"""Where defects are put in: changes to the server's modules and classes that can be taken back.

Every change names an attribute that is there and, where it wraps a function, the parameters that it has. So a
defect whose place has moved fails as soon as it is applied, not in that the server turns out to be sound.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

_NOTHING = object()


class SeamError(Exception):
    """The place where a defect is to be put in is not there, or no longer looks as the defect expects."""


class Seams:
    """Changes that were made, so that all of them can be taken back."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []

    @property
    def changes(self) -> int:
        """How many changes there are."""
        return len(self._undo)

    def put(self, owner: Any, name: str, value: Any) -> None:
        """Put a value in place of an attribute of a module, a class or an object.

        Raises:
            SeamError: there is no such attribute.
        """
        before = _own(owner, name)
        _set(owner, name, value)
        self._undo.append(lambda: _set(owner, name, before))

    def around(self, owner: Any, name: str, wrapper: Callable[..., Any]) -> None:
        """Let `wrapper(original, …)` run in place of a function or method, with the same arguments.

        Raises:
            SeamError: there is no such function, or its parameters have other names than the wrapper's.
        """
        original = _own(owner, name)
        if not callable(original):
            raise SeamError(f"{_named(owner)}.{name} is no function")
        _require_same(f"{_named(owner)}.{name}", original, wrapper)

        @functools.wraps(original)
        def changed(*words: Any, **named: Any) -> Any:
            return wrapper(original, *words, **named)

        self.put(owner, name, changed)

    def item(self, mapping: MutableMapping[Any, Any], key: Any, value: Any) -> None:
        """Put a value in place of another in a table.

        Raises:
            SeamError: the table has no such key.
        """
        if key not in mapping:
            raise SeamError(f"there is no entry {key!r}")
        before = mapping[key]
        mapping[key] = value
        self._undo.append(lambda: mapping.__setitem__(key, before))

    def undo(self) -> None:
        """Take all changes back, the last first."""
        while self._undo:
            self._undo.pop()()


@contextlib.contextmanager
def swapped(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Another value in place of an object's attribute, or method, for as long as the block runs."""
    if not hasattr(owner, name):
        raise SeamError(f"{_named(type(owner))} has no {name}")
    # What has no dict has slots, which always hold a value of their own.
    before = vars(owner).get(name, _NOTHING) if hasattr(owner, "__dict__") else getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is _NOTHING:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


def _own(owner: Any, name: str) -> Any:
    found = vars(owner).get(name, _NOTHING)
    if found is _NOTHING:
        raise SeamError(f"{_named(owner)} has no {name} of its own")
    return found


def _set(owner: Any, name: str, value: Any) -> None:
    if isinstance(owner, type) or inspect.ismodule(owner):
        setattr(owner, name, value)
    else:
        object.__setattr__(owner, name, value)  # also where a dataclass is frozen


def _require_same(place: str, original: Callable[..., Any], wrapper: Callable[..., Any]) -> None:
    given = list(inspect.signature(wrapper).parameters.values())[1:]
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in given):
        return
    wanted = [parameter.name.lstrip("_") for parameter in inspect.signature(original).parameters.values()]
    names = [parameter.name.lstrip("_") for parameter in given]
    if names != wanted:
        raise SeamError(f"{place} takes ({', '.join(wanted)}), the defect expects ({', '.join(names)})")


def _named(owner: Any) -> str:
    return getattr(owner, "__qualname__", None) or getattr(owner, "__name__", None) or type(owner).__name__
