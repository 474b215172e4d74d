"""The schemas as the pages' validator reads them: small, and only with keywords that it implements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relaykit.errors import KitDefect
from relaykit.schemas import DIRECTIONS, Catalogue

JUDGED = frozenset(
    [
        "$ref",
        "type",
        "const",
        "enum",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "minItems",
        "maxItems",
        "uniqueItems",
        "minLength",
        "maxLength",
        "pattern",
        "format",
        "minimum",
        "maximum",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "then",
        "else",
    ]
)
"""Keywords that `static/validator.js` judges."""
SILENT = frozenset(["$schema", "$comment", "$defs", "title", "description", "deprecated", "examples"])
"""Keywords without a say in the verdict. Those that begin with `x-` have none either."""
FORMATS = frozenset({"uuid", "date-time", "ipv4", "ipv6"})
"""Formats that `static/validator.js` judges."""
_NAMED, _MANY, _ONE = (
    ("properties",),
    ("allOf", "anyOf", "oneOf"),
    ("items", "additionalProperties", "not", "if", "then", "else"),
)


def slim(schema: Any, where: str, *, titled: bool = False) -> Any:
    """A schema without what the verdict does not need. Requirements stay, and titles that messages use.

    Raises:
        KitDefect: it uses a keyword or format that the pages' validator does not implement: the page would
            judge differently from `relaykit validate`.
    """
    if not isinstance(schema, Mapping):
        return schema
    small: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "x-requirements":
            small["x"] = value[0]
        elif key == "title" and (
            titled or any(word in schema for word in ("pattern", "format", "anyOf", "oneOf"))
        ):
            small[key] = value
        elif key in SILENT or key.startswith("x-"):
            continue
        elif key not in JUDGED:
            raise KitDefect(f"{where}: the validator in the page does not implement {key!r}")
        elif key in _NAMED:
            small[key] = {name: slim(sub, f"{where}/{key}/{name}") for name, sub in value.items()}
        elif key in _MANY:
            small[key] = [
                slim(sub, f"{where}/{key}/{place}", titled=key != "allOf") for place, sub in enumerate(value)
            ]
        elif key in _ONE:
            small[key] = slim(value, f"{where}/{key}")
        else:
            if key == "format" and value not in FORMATS:
                raise KitDefect(f"{where}: the validator in the page does not implement format {value!r}")
            small[key] = value
    return small


def script_schemas(catalogue: Catalogue) -> dict[str, Any]:
    """What the validator's script needs: schemas, shared definitions, examples, rules, error codes.

    Raises:
        KitDefect: see `slim`; or two frames use one name for different definitions.
    """
    shared: dict[str, Any] = {}
    frames: dict[str, dict[str, Any]] = {direction: {} for direction in DIRECTIONS}
    examples: dict[str, dict[str, Any]] = {direction: {} for direction in DIRECTIONS}
    for (direction, name), spec in sorted(catalogue.frames.items()):
        where = f"{direction} {name}"
        frames[direction][name] = slim(spec.bundled, where)
        examples[direction][name] = spec.examples[0]
        for key, sub in spec.bundled.get("$defs", {}).items():
            small = slim(sub, f"{where}/$defs/{key}")
            if shared.setdefault(key, small) != small:
                raise KitDefect(f"{where}: the definition {key!r} differs from another frame's")
    return {
        "frames": frames,
        "defs": shared,
        "examples": examples,
        "faults": {direction: dict(rules) for direction, rules in catalogue.protocol.faults.items()},
        "areas": {prefix: area.file for prefix, area in catalogue.protocol.areas.items()},
        "depth": int(catalogue.protocol.limits["max_depth"].default),
        "subprotocol": catalogue.protocol.subprotocol,
    }
