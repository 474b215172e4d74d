"""Which constraints a schema has, each with a name.

A constraint is named by its JSON pointer into a self-contained schema, such as `/$defs/uuid/pattern`; of
`required` every name counts by itself (`/required/1`). A `$ref` counts as violated when anything behind it
is, so that a property that refers to the wrong type cannot hide behind one that refers to the right one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from relaykit.pointers import at_pointer, escape

Json = Any

ASSERTIONS = frozenset(
    {"type", "const", "enum", "pattern", "format", "minLength", "maxLength", "minimum", "maximum"}
    | {"minItems", "maxItems", "uniqueItems", "not", "anyOf", "oneOf"}
)
"""Keywords that by themselves can be violated; `required` and `additionalProperties` are named in parts."""
_LISTS = ("allOf", "anyOf", "oneOf")


def constraints(schema: Mapping[str, Json], without: Collection[str] = ()) -> frozenset[str]:
    """All constraints of a self-contained schema that its root reaches, those behind `without` left out."""
    found: set[str] = set()
    waiting, seen = [""], set(without)
    while waiting:
        pointer = waiting.pop()
        sub = at_pointer(schema, pointer)
        if pointer in seen or not isinstance(sub, Mapping):
            continue
        seen.add(pointer)
        found.update(f"{pointer}/{keyword}" for keyword in sub if keyword in ASSERTIONS)
        found.update(f"{pointer}/required/{index}" for index, _ in enumerate(sub.get("required", ())))
        if sub.get("additionalProperties") is False:
            found.add(f"{pointer}/additionalProperties")
        if "$ref" in sub:
            found.add(f"{pointer}/$ref")
            waiting.append(sub["$ref"].removeprefix("#"))
        waiting += [f"{pointer}/properties/{escape(name)}" for name in sub.get("properties", {})]
        waiting += [f"{pointer}/{word}/{i}" for word in _LISTS for i, _ in enumerate(sub.get(word, ()))]
        waiting += [f"{pointer}/{word}" for word in ("items", "then", "else") if word in sub]
    return frozenset(found)
