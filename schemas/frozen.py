"""JSON values that never change: what the catalogue is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Never


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed by accident; every JSON writer and validator takes it as a dict."""

    def _refuse(self, *_args: Any, **_kwargs: Any) -> Never:
        raise TypeError("the catalogue does not change; take a copy with relaykit.schemas.thaw()")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __deepcopy__(self, _memo: Any) -> dict[str, Any]:
        return {key: thaw(value) for key, value in self.items()}


class FrozenList(list[Any]):
    """A list that cannot be changed by accident."""

    def _refuse(self, *_args: Any, **_kwargs: Any) -> Never:
        raise TypeError("the catalogue does not change; take a copy with relaykit.schemas.thaw()")

    __setitem__ = __delitem__ = append = extend = insert = clear = pop = _refuse
    remove = reverse = sort = __iadd__ = __imul__ = _refuse

    def __deepcopy__(self, _memo: Any) -> list[Any]:
        return [thaw(value) for value in self]


def freeze(value: Any) -> Any:
    """A JSON value that cannot be changed."""
    if isinstance(value, Mapping):
        return FrozenDict({key: freeze(item) for key, item in value.items()})
    return FrozenList(freeze(item) for item in value) if isinstance(value, (list, tuple)) else value


def thaw(value: Any) -> Any:
    """A fresh, plain copy of a frozen JSON value."""
    if isinstance(value, dict):
        return {key: thaw(item) for key, item in value.items()}
    return [thaw(item) for item in value] if isinstance(value, list) else value
