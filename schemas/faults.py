"""Both validators, and their errors in one form: where in a frame, and by which way through the schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jsonschema
import jsonschema_rs

from relaykit.schemas.frozen import thaw

Path = tuple[str | int, ...]


# A tuple rather than a dataclass: one is made for every error of every broken frame.


class Fault(NamedTuple):
    """An error of either validator: the place in the frame, and the way through the schema to the keyword.

    The way may name `$ref` steps or leave them out (the validators differ). `branches` are the faults of each
    alternative of an anyOf or oneOf that none of them fits.
    """

    path: Path
    way: Path
    branches: tuple[tuple[Fault, ...], ...] = ()


Faults = list[Fault]


def fast(schema: Mapping[str, Any]) -> Any:
    """jsonschema-rs for a schema. Its linear-time regular expressions keep hostile values harmless."""
    return jsonschema_rs.Draft202012Validator(
        thaw(schema),
        validate_formats=True,
        offline=True,
        ignore_unknown_formats=False,
        pattern_options=jsonschema_rs.RegexOptions(),
        mask="",  # its messages are not used: let it not write the frame into them
    )


def slow(schema: Mapping[str, Any]) -> jsonschema.Draft202012Validator:
    """jsonschema, the reference of the field, for a schema."""
    return jsonschema.Draft202012Validator(
        thaw(schema), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )


KNOWN_DIFFERENCES: tuple[tuple[Callable[[Any, str], bool], str], ...] = (
    (
        lambda value, _keyword: isinstance(value, str) and value.endswith("\n"),
        "Python's `$` matches before a final line feed, ECMA 262's and Rust's do not",
    ),
    (
        lambda value, keyword: (
            keyword == "format" and isinstance(value, str) and (value.startswith("0000-") or ":60" in value)
        ),
        "the calendar behind jsonschema has neither leap seconds nor a year zero",
    ),
)
"""Differences between the validators that are no defect: which value (and keyword) they touch, and why."""


_ALTERNATIVES = (jsonschema_rs.ValidationErrorKind.AnyOf, jsonschema_rs.ValidationErrorKind.OneOfNotValid)


def from_rust(errors: Iterable[Any]) -> Iterator[Fault]:
    """The errors of jsonschema-rs as faults."""
    for error in errors:
        kind = error.kind
        branches: tuple[tuple[Fault, ...], ...] = ()
        if type(kind) in _ALTERNATIVES:
            branches = tuple(tuple(from_rust(branch)) for branch in kind.context)
        yield Fault(tuple(error.instance_path), tuple(error.evaluation_path), branches)


def from_python(errors: Iterable[Any]) -> Iterator[Fault]:
    """The errors of jsonschema as faults."""
    for error in errors:
        branches: dict[Any, list[Fault]] = {}
        for inner, fault in zip(error.context or (), from_python(error.context or ()), strict=True):
            branches.setdefault(inner.schema_path[0], []).append(fault)
        yield Fault(
            tuple(error.absolute_path),
            tuple(error.absolute_schema_path),
            tuple(tuple(faults) for faults in branches.values()),
        )


def value_at(frame: Any, path: Path) -> Any:
    """What stands in a frame at the place of a fault."""
    for step in path:
        frame = frame[step]
    return frame


# --- frames that are wrong in thousands of places ---

_CONTAINERS = (list, dict)


def is_large(value: Any, most: int) -> bool:
    """Whether all arrays and objects in a value have more than `most` items and members together."""
    parts = [value]
    for part in parts:  # which grows meanwhile
        if type(part) is dict or type(part) is list:
            parts += part.values() if type(part) is dict else part
            if len(parts) > most:
                return True
    return False


def thinned(value: Any, names: frozenset[str], most: int, longest: int) -> Any:
    """A value without what says again what is said already: of properties that no schema names, `most` are
    left in an object, and of an array as many items as are too many."""
    if type(value) is list:
        left = value[: max(most, longest)]
        return [thinned(item, names, most, longest) if type(item) in _CONTAINERS else item for item in left]
    if type(value) is not dict:
        return value
    others = [name for name in value if name not in names]
    less = set(others[most:])
    return {
        name: thinned(inner, names, most, longest) if type(inner) in _CONTAINERS else inner
        for name, inner in value.items()
        if name not in less
    }


def first(validator: Any, frame: dict[str, Any]) -> Iterator[Fault]:
    """The first fault that jsonschema-rs finds, if there is one."""
    try:
        validator.validate(frame)
    except jsonschema_rs.ValidationError as error:
        yield from from_rust([error])
