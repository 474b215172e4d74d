"""Reads a bundled frame schema: which fields a frame can have, which requirements its shape proves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from relaykit.pointers import at_pointer


def known_fields(bundle: Mapping[str, Any], pattern: Any) -> list[tuple[str, str, list[str]]]:
    """Fields that a pattern names and its schema does not have.

    Returns:
        (JSON pointer of the object, the unknown key, the keys that are known there) for each.
    """
    return list(_unknown(bundle, [bundle], pattern, ""))


def _unknown(
    bundle: Mapping[str, Any], schemas: list[Any], pattern: Any, pointer: str
) -> Iterator[tuple[str, str, list[str]]]:
    if not isinstance(pattern, Mapping):
        return
    parts = [part for schema in schemas for part in _parts(bundle, schema)]
    known: dict[str, list[Any]] = {}
    for part in parts:
        for key, schema in part.get("properties", {}).items():
            known.setdefault(key, []).append(schema)
    closed = any(part.get("additionalProperties") is False for part in parts)
    for key, value in pattern.items():
        if key in known:
            yield from _unknown(bundle, known[key], value, f"{pointer}/{key}")
        elif closed:
            yield (pointer or "(the frame)", key, sorted(known))


def _parts(bundle: Mapping[str, Any], schema: Any) -> Iterator[Mapping[str, Any]]:
    """The schema with everything it refers to or is composed of."""
    if not isinstance(schema, Mapping):
        return
    yield schema
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        yield from _parts(bundle, at_pointer(bundle, reference[1:]))
    for keyword in ("allOf", "anyOf", "oneOf"):
        for branch in schema.get(keyword, ()):
            yield from _parts(bundle, branch)
    for keyword in ("if", "then", "else"):
        if keyword in schema:
            yield from _parts(bundle, schema[keyword])


def shape_requirements(bundle: Any) -> tuple[str, ...]:
    """The requirements that a frame of this schema proves by its shape: all that the schema names."""
    found: dict[str, None] = {}
    waiting: list[Any] = [bundle]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            named = value.get("x-requirements")
            if isinstance(named, (list, tuple)):
                found.update(dict.fromkeys(named))
            # Examples are data, which may look like anything.
            waiting.extend(item for key, item in value.items() if key not in ("examples", "x-requirements"))
        elif isinstance(value, (list, tuple)):
            waiting.extend(value)
    return tuple(sorted(found))
