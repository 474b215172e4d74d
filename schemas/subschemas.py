"""The schemas inside a schema: walked through, or copied with a change to each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from relaykit.pointers import escape
from relaykit.schemas.frozen import thaw

# Where a schema holds schemas. Everything else (examples, const, default …) is data and is left alone.
_ONE = (
    *(
        "items",
        "additionalProperties",
        "unevaluatedItems",
        "unevaluatedProperties",
        "contains",
        "propertyNames",
    ),
    *("not", "if", "then", "else", "contentSchema"),
)
_MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("properties", "patternProperties", "$defs", "dependentSchemas")


def subschemas(schema: Any, pointer: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A schema and all object schemas in it, each with its JSON pointer; references are not followed."""
    if not isinstance(schema, Mapping):
        return
    yield pointer, schema
    for key, value in schema.items():
        place = f"{pointer}/{escape(key)}"
        if key in _ONE:
            yield from subschemas(value, place)
        elif key in _MANY and isinstance(value, list):
            for index, item in enumerate(value):
                yield from subschemas(item, f"{place}/{index}")
        elif key in _NAMED and isinstance(value, Mapping):
            for name, item in value.items():
                yield from subschemas(item, f"{place}/{escape(name)}")


def map_schemas(schema: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    """A copy of a schema with `change` applied to every subschema, the innermost first."""
    if not isinstance(schema, Mapping):
        return schema
    copy: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _ONE:
            copy[key] = map_schemas(value, change)
        elif key in _MANY and isinstance(value, list):
            copy[key] = [map_schemas(item, change) for item in value]
        elif key in _NAMED and isinstance(value, Mapping):
            copy[key] = {name: map_schemas(item, change) for name, item in value.items()}
        else:
            copy[key] = thaw(value)
    return change(copy)


def references(schema: Any) -> Iterator[str]:
    """Every `$ref` of a schema."""
    for _, sub in subschemas(schema):
        if isinstance(sub.get("$ref"), str):
            yield sub["$ref"]
