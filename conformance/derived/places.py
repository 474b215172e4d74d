"""Where in a client's frame which constraints hold: the schema of a type, walked along valid frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from relaykit.conformance.derived.binding import bound
from relaykit.conformance.derived.edits import Path, with_value
from relaykit.pointers import at_pointer
from relaykit.schemas import FrameSpec, thaw
from relaykit.schemas.constraints import ASSERTIONS

ENVELOPE = "envelope"
"""How the frame itself is called where places have names; those within it go by their path, dots between."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One constraint: its JSON pointer into the type's bundled schema, the keyword, and what stands there."""

    pointer: str
    keyword: str
    limit: Any
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the frames of a type.

    Attributes:
        path: keys and indexes from the frame to here.
        base: a valid frame that has a value other than null here; identifiers are references.
        value: that value.
        rules: the constraints that hold here.
        nullable: whether null is permitted, and means that there is nothing.
        closed: whether an object here may have no property beyond the listed ones.
        optional: the listed properties that an object here need not have.
        barred: properties that are described for such objects, but that this one may not have.
    """

    path: Path
    base: Mapping[str, Any]
    value: Any
    rules: tuple[Rule, ...]
    nullable: bool
    closed: bool
    optional: tuple[str, ...]
    barred: tuple[str, ...]

    @property
    def name(self) -> str:
        return ".".join(map(str, self.path)) or ENVELOPE

    def rule(self, keyword: str) -> Rule | None:
        """The first constraint of a keyword here."""
        return next((rule for rule in self.rules if rule.keyword == keyword), None)


def bases(spec: FrameSpec) -> tuple[dict[str, Any], ...]:
    """The type's examples, with references in place of identifiers."""
    return tuple(bound(spec, thaw(example)) for example in spec.examples)


def places(spec: FrameSpec) -> tuple[Place, ...]:
    """Every place that a frame of the type can have, each with the first example that has it.

    Optional parts that no example shows are added to one, from the examples of their own schema.
    """
    found: dict[Path, Place] = {}
    for base in bases(spec):
        for place in _along(spec, base):
            found.setdefault(place.path, place)
    return tuple(found.values())


def _along(spec: FrameSpec, base: dict[str, Any]) -> Iterator[Place]:
    """The places of one frame."""
    waiting: list[tuple[Path, Any]] = [((), base)]
    pointers: dict[Path, list[str]] = {(): [""]}
    while waiting:
        path, value = waiting.pop(0)
        parts = [(p, s) for start in pointers[path] for p, s in _reached(spec.bundled, start, value)]
        if value is not None:
            yield _place(spec, path, base, value, parts)
        children: list[tuple[str | int, Any]] = list(value.items()) if isinstance(value, dict) else []
        if isinstance(value, list) and value:
            children = [(0, value[0])]  # all items are alike
        for key, child in children:
            below = [f"{p}/{step}" for p, s in parts for step in _steps(p, s, key)]
            if below:
                pointers[*path, key] = below
                waiting.append(((*path, key), child))


def _steps(pointer: str, schema: Mapping[str, Any], key: str | int) -> Iterator[str]:
    if isinstance(key, int):
        if "items" in schema:
            yield "items"
    elif key in schema.get("properties", {}):
        yield f"properties/{key}"


def _reached(root: Mapping[str, Any], pointer: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The subschemas that judge a value, from a pointer on: through references, allOf, and the branches of
    anyOf that are meant for a value of its kind."""
    schema = at_pointer(root, pointer)
    if not isinstance(schema, Mapping):
        return
    yield pointer, schema
    if "$ref" in schema:
        yield from _reached(root, schema["$ref"].removeprefix("#"), value)
    for index, _ in enumerate(schema.get("allOf", ())):
        yield from _reached(root, f"{pointer}/allOf/{index}", value)
    for index, branch in enumerate(schema.get("anyOf", ())):
        if (branch.get("type") == "null") == (value is None):
            yield from _reached(root, f"{pointer}/anyOf/{index}", value)


def _place(
    spec: FrameSpec,
    path: Path,
    base: dict[str, Any],
    value: Any,
    parts: list[tuple[str, Mapping[str, Any]]],
) -> Place:
    rules: list[Rule] = []
    listed: dict[str, None] = {}
    required: set[str] = set()
    permitted: set[str] | None = None
    nullable = False
    for pointer, schema in parts:
        rules += [
            Rule(f"{pointer}/{word}", word, schema[word], schema) for word in schema if word in ASSERTIONS
        ]
        for index, name in enumerate(schema.get("required", ())):
            rules.append(Rule(f"{pointer}/required/{index}", "required", name, schema))
            required.add(name)
        listed.update(dict.fromkeys(schema.get("properties", {})))
        if schema.get("additionalProperties") is False:
            rules.append(Rule(f"{pointer}/additionalProperties", "additionalProperties", False, schema))
            own = set(schema.get("properties", {}))
            permitted = own if permitted is None else permitted & own
        nullable = nullable or any(branch.get("type") == "null" for branch in schema.get("anyOf", ()))
    optional = [name for name in listed if name not in required]
    return Place(
        path=path,
        base=base,
        value=value,
        rules=tuple(rules),
        nullable=nullable,
        closed=permitted is not None,
        optional=tuple(name for name in optional if permitted is None or name in permitted),
        barred=tuple(name for name in listed if permitted is not None and name not in permitted),
    )


def kind(place: Place) -> str:
    """The JSON type that a value here has."""
    value = place.value
    for python, name in ((bool, "boolean"), (str, "string"), (dict, "object"), (list, "array")):
        if isinstance(value, python):
            return name
    return "integer" if isinstance(value, int) else "number"


def with_here(place: Place, value: Any) -> dict[str, Any]:
    """The place's base with another value here."""
    return with_value(place.base, place.path, value)
