"""Which constraints of a schema a frame violates (as `relaykit.schemas.constraints` names them), and which
optional parts it takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from relaykit.pointers import at_pointer, escape
from relaykit.schemas.constraints import Json
from relaykit.schemas.faults import slow


def violations(schema: Mapping[str, Json], frame: Json) -> frozenset[str]:
    """The constraints that a frame violates, also in the branches of an `anyOf` or `oneOf`."""
    found: set[str] = set()
    for error in leaves(slow(schema).iter_errors(frame)):
        pointer = ""
        for part in error.absolute_schema_path:
            # jsonschema passes over `$ref` in its paths.
            while "$ref" in (sub := at_pointer(schema, pointer)):
                found.add(f"{pointer}/$ref")
                pointer = sub["$ref"].removeprefix("#")
            pointer += f"/{escape(str(part))}"
        if error.validator == "required":
            wanted, found_there = cast(list[str], error.validator_value), cast(Json, error.instance)
            missing = [index for index, name in enumerate(wanted) if name not in found_there]
            found.update(f"{pointer}/{index}" for index in missing)
        else:
            found.add(pointer)
    return frozenset(found)


def innermost(schema: Mapping[str, Json], frame: Json) -> list[tuple[str | int, ...]]:
    """The places of a frame's faults, without those that only hold another one."""
    places = {tuple(error.absolute_path) for error in slow(schema).iter_errors(frame)}
    return [place for place in places if not any(q != place and q[: len(place)] == place for q in places)]


def leaves(errors: Iterable[ValidationError]) -> Iterator[ValidationError]:
    """Errors, and the errors in the branches they come from."""
    for error in errors:
        yield error
        yield from leaves(error.context or ())


def options(schema: Mapping[str, Json]) -> frozenset[str]:
    """All optional parts: `+P` property P is there, `-P` it is not; `=P` branch or listed value P."""
    return frozenset(_options(schema, "", slow(schema), None, everything=True))


def options_taken(schema: Mapping[str, Json], frame: Json) -> frozenset[str]:
    """The optional parts that a valid frame takes."""
    return frozenset(_options(schema, "", slow(schema), frame, everything=False))


def _options(
    root: Mapping[str, Json], pointer: str, validator: Draft202012Validator, value: Json, *, everything: bool
) -> Iterator[str]:
    sub = at_pointer(root, pointer)
    if not isinstance(sub, Mapping):
        return

    def inner(place: str, part: Json) -> Iterator[str]:
        return _options(root, place, validator, part, everything=everything)

    if "$ref" in sub:
        yield from inner(sub["$ref"].removeprefix("#"), value)
    for index, _ in enumerate(sub.get("allOf", ())):
        yield from inner(f"{pointer}/allOf/{index}", value)
    for index, choice in enumerate(sub.get("enum", ())):
        if everything or choice == value:
            yield f"={pointer}/enum/{index}"
    for word in ("anyOf", "oneOf"):
        for index, branch in enumerate(sub.get(word, ())):
            if everything or validator.evolve(schema=branch).is_valid(value):
                yield f"={pointer}/{word}/{index}"
                if word == "anyOf":  # the branches of oneOf are conditions on properties described elsewhere
                    yield from inner(f"{pointer}/{word}/{index}", value)
    if pointer != "/$defs/envelope":  # the frame itself says which of its fields it permits
        for name in sub.get("properties", {}):
            place = f"{pointer}/properties/{escape(name)}"
            there = everything or name in value
            if name not in sub.get("required", ()):
                yield from (
                    f"{sign}{place}"
                    for sign, is_so in (("+", there), ("-", not there or everything))
                    if is_so
                )
            if there:
                yield from inner(place, None if everything else value[name])
    if "items" in sub:
        for item in [None] if everything else value:
            yield from inner(f"{pointer}/items", item)
