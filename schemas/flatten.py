"""A schema that says the same with fewer words, for the one question whether a frame is valid.

Schemas are written for readers: shared types by reference, the envelope through allOf, titles everywhere. A
validator pays for each of these steps. Here references are replaced by what they point to and allOf is merged
into its parent wherever that provably changes nothing; where it might, it stays. What stands there for other
validators alone is left out. Errors are never taken from a flattened schema, only the verdict.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from relaykit.pointers import at_pointer

_ANNOTATIONS = {"$schema", "$comment", "$defs", "title", "description", "deprecated", "default", "examples"}
# Keywords whose meaning does not depend on their siblings: an allOf branch may hand them to its parent.
_INDEPENDENT = {
    *("type", "const", "enum", "required", "properties", "not", "anyOf", "oneOf"),
    *("pattern", "format", "minLength", "maxLength"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
}
# Keywords that this module understands. A schema with any other is left as it is.
_KNOWN = _INDEPENDENT | {"$ref", "allOf", "additionalProperties", "items", "if", "then", "else"}
_MAX_DEPTH = 64
# jsonschema-rs says of `format: uuid` what this pattern says, no more and no less, in a third of the time.
_UUID = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_UUID_LENGTH = 36
# Patterns of which it is plain that what fits them has no line feed: its `$` stands for the very end.
_ONE_LINE = re.compile(r"\^(?:\\\.|[A-Za-z0-9\[\]{}()+*?,/_=:-])*\$")
_NO_LINE_FEED = {"pattern": "\n"}


class _Unknown(Exception):
    """A keyword or a form of reference that might mean more than is understood here."""


def flattened(schema: Mapping[str, Any], *, whole: bool = False) -> dict[str, Any]:
    """An equivalent of a bundled schema that is judged faster; the schema itself where none is known.

    Args:
        whole: keep what only other readers than jsonschema-rs need, such as those who make values that fit.
    """
    try:
        flat = _flatten(schema, schema, 0, whole)
    except _Unknown:
        return dict(schema)
    return flat if isinstance(flat, dict) else dict(schema)


def _flatten(schema: Any, root: Mapping[str, Any], depth: int, whole: bool) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    if depth > _MAX_DEPTH:
        raise _Unknown  # a schema that contains itself
    if "$ref" in schema:
        return _flatten_reference(schema, root, depth, whole)
    flat: dict[str, Any] = {}
    branches: list[Any] = []
    for keyword, value in schema.items():
        if keyword in _ANNOTATIONS or keyword.startswith("x-"):
            continue
        if keyword not in _KNOWN:
            raise _Unknown
        if keyword == "properties":
            flat[keyword] = {name: _flatten(sub, root, depth + 1, whole) for name, sub in value.items()}
        elif keyword in ("anyOf", "oneOf"):
            flat[keyword] = [_flatten(sub, root, depth + 1, whole) for sub in value]
        elif keyword == "allOf":
            branches = [_flatten(sub, root, depth + 1, whole) for sub in value]
        elif keyword in ("not", "if", "then", "else", "items", "additionalProperties"):
            flat[keyword] = _flatten(value, root, depth + 1, whole)
        else:
            flat[keyword] = value
    rest = [branch for branch in branches if not _merge(branch, flat)]
    if rest:
        flat["allOf"] = rest
    if not whole:
        _leave_out(flat)
    return flat


def _leave_out(flat: dict[str, Any]) -> None:
    """Drop what jsonschema-rs says already, and what is there for validators that know less."""
    pattern = flat.get("pattern")
    if not isinstance(pattern, str):
        return
    if flat.get("not") == _NO_LINE_FEED and flat.get("type") == "string" and _ONE_LINE.fullmatch(pattern):
        del flat["not"]
    if pattern == _UUID and flat.get("format") == "uuid" and flat.get("type") == "string":
        del flat["pattern"]
        if flat.get("maxLength", 0) >= _UUID_LENGTH:
            del flat["maxLength"]


def _flatten_reference(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int, whole: bool) -> Any:
    target = at_pointer(root, schema["$ref"][1:]) if schema["$ref"].startswith("#/") else None
    if target is None or any(key != "$ref" and key not in _ANNOTATIONS for key in schema):
        raise _Unknown
    return _flatten(target, root, depth + 1, whole)


def _merge(branch: Any, into: dict[str, Any]) -> bool:
    """Hand what a branch of an allOf says to its parent; False if that might change the meaning."""
    if branch is True:
        return True
    if not isinstance(branch, dict):
        return False
    if not into:
        into.update(branch)
        return True
    if not branch.keys() <= _INDEPENDENT:
        return False
    merged = dict(into)
    for keyword, value in branch.items():
        if keyword == "properties":
            properties = _merge_properties(value, into)
            if properties is None:
                return False
            merged[keyword] = properties
        elif keyword == "required":
            merged[keyword] = list(dict.fromkeys([*into.get(keyword, ()), *value]))
        elif keyword not in into or _same(into[keyword], value):
            merged[keyword] = value
        else:
            return False
    into.update(merged)
    return True


def _merge_properties(named: Mapping[str, Any], into: Mapping[str, Any]) -> dict[str, Any] | None:
    """Properties of parent and branch in one; those that the parent forbids stay forbidden."""
    properties = dict(into.get("properties", {}))
    others = into.get("additionalProperties", True)
    for name, sub in named.items():
        if name not in properties:
            if others is True:
                properties[name] = sub
            elif others is not False:
                return None
            continue
        both: dict[str, Any] = {}
        if not all(_merge(part, both) for part in (properties[name], sub)):
            both = {"allOf": [properties[name], sub]}
        properties[name] = both or True
    return properties


def deepest(schema: Any) -> float:
    """How many levels of objects and arrays a value can have that fits a flattened schema."""
    if not isinstance(schema, Mapping):
        return math.inf if schema is True else 0
    bounds = [_own_depth(schema), *map(deepest, schema.get("allOf", ()))]
    bounds += [max(map(deepest, schema[keyword])) for keyword in ("anyOf", "oneOf") if schema.get(keyword)]
    return min(bounds)


def _own_depth(schema: Mapping[str, Any]) -> float:
    if "const" in schema or "enum" in schema:
        values = [schema["const"]] if "const" in schema else schema["enum"]
        return 0 if not any(isinstance(value, (Mapping, list)) for value in values) else math.inf
    kinds = schema.get("type", ["object", "array"])
    depth = 0.0
    if "object" in kinds:
        closed = schema.get("additionalProperties") is False
        inner = map(deepest, schema.get("properties", {}).values())
        depth = 1 + max(inner, default=0) if closed else math.inf
    if "array" in kinds:
        depth = max(depth, 1 + deepest(schema.get("items", True)))
    return depth


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON, where 1 and true differ."""
    return bool(one == other) and repr(one) == repr(other)
