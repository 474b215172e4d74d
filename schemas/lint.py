"""What the protocol's schema files must keep beyond being JSON Schemas.

`meta.schema.json` says as much of it as a schema can say: the closed set of keywords, the shapes of the `x-`
keywords, no `$ref` beside siblings, no `format` without `pattern`. The rest is here: every property is
described, and the files agree with each other. Pure functions over parsed files; nothing is read or raised.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import jsonschema_rs

from relaykit.config import suggest
from relaykit.pointers import at_pointer, escape, pointer_of
from relaykit.schemas.subschemas import subschemas

TYPES = "types.schema.json"
"""The file of the shared types, relative to the folder of the schemas."""

_Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in a schema file: the file, the JSON pointer into it, and what is wrong there."""

    file: str
    pointer: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.pointer or '(top level)'}: {self.message}"


@dataclass(frozen=True, slots=True)
class Names:
    """What the rest of the catalogue knows, for schemas to refer to.

    Attributes:
        requirements: None where they are not at hand; references to them are then not looked up.
    """

    capabilities: Collection[str]
    error_codes: Collection[str]
    requirements: Collection[str] | None = None


def file_of(direction: str, type_: str) -> str:
    """The file of a frame's schema, relative to the folder of the schemas."""
    return f"frames/{direction}/{type_}.schema.json"


def lint(
    meta: _Json, types: _Json, frames: Mapping[tuple[str, str], _Json], names: Names
) -> tuple[Fault, ...]:
    """Everything wrong with a set of schema files.

    Args:
        meta: `meta.schema.json`.
        types: `types.schema.json`.
        frames: (direction, type), as folder and file name state them → the schema.
        names: what the schemas may refer to.
    """
    faults = list(meta_faults(meta, TYPES, types)) + list(description_faults(TYPES, types))
    used: set[str] = set()
    for (direction, type_), schema in frames.items():
        file = file_of(direction, type_)
        misshapen = list(meta_faults(meta, file, schema))
        if schema.get("x-direction") != direction:  # by which the meta-schema knows what a frame must have
            misshapen.append(Fault(file, "/x-direction", f"is not {direction}, the folder it stands in"))
        faults += misshapen
        if not misshapen:  # the checks below take the shapes for granted
            faults += description_faults(file, schema)
            faults += _identity_faults(file, type_, schema)
            faults += _name_faults(file, schema, frames, names)
            faults += _pointer_faults(file, schema, types)
    if not faults:
        faults += _relay_faults(frames, types)
    for file, schema in [(TYPES, types), *((file_of(*key), frames[key]) for key in frames)]:
        faults += _reference_faults(file, schema, types, used)
        faults += _requirement_faults(file, schema, names.requirements)
    faults += [
        Fault(TYPES, f"/$defs/{escape(name)}", "used by no schema")
        for name in types.get("$defs", {})
        if name not in used
    ]
    return tuple(faults)


def meta_faults(meta: _Json, file: str, schema: _Json) -> Iterator[Fault]:
    """What the meta-schema finds wrong in one file."""
    known = at_pointer(meta, "/propertyNames/enum") or ()
    for error in jsonschema_rs.validator_for(dict(meta), offline=True).iter_errors(dict(schema)):
        pointer = pointer_of(tuple(error.instance_path))
        kind = error.kind
        if isinstance(kind, jsonschema_rs.ValidationErrorKind.PropertyNames):
            word = str(kind.error.instance)
            yield Fault(file, pointer, f"unknown keyword {word!r}{suggest(word, known)}")
        else:
            yield Fault(file, pointer, error.message)


def description_faults(file: str, schema: _Json, pointer: str = "") -> Iterator[Fault]:
    """Properties and shared types without title or description.

    Conditions (`if`, `then`, `oneOf` and the like) repeat properties described elsewhere, so they are not
    looked into.
    """
    for keyword in ("properties", "$defs"):
        for name, sub in schema.get(keyword, {}).items():
            place = f"{pointer}/{keyword}/{escape(name)}"
            if sub is True and keyword == "properties" and not pointer:
                continue  # an envelope field, described once in the envelope
            if not isinstance(sub, Mapping):
                yield Fault(file, place, "a property needs a schema with title and description")
                continue
            yield from (
                Fault(file, place, f"no {word}") for word in ("title", "description") if word not in sub
            )
            yield from description_faults(file, sub, place)
    if isinstance(schema.get("items"), Mapping):
        yield from description_faults(file, schema["items"], f"{pointer}/items")


def _identity_faults(file: str, type_: str, schema: _Json) -> Iterator[Fault]:
    if schema["properties"]["type"]["const"] != type_:
        yield Fault(file, "/properties/type/const", f"the file is named after {type_!r}")
    envelope = f"../../{TYPES}#/$defs/envelope"
    if {"$ref": envelope} not in schema["allOf"]:
        yield Fault(file, "/allOf", f"no reference to {envelope}")


def _name_faults(
    file: str, schema: _Json, frames: Mapping[tuple[str, str], _Json], names: Names
) -> Iterator[Fault]:
    """References to names: capabilities, types, error codes."""
    direction = schema["x-direction"]

    def unknown(pointer: str, what: str, name: str, known: Iterable[str]) -> Iterator[Fault]:
        known = set(known)
        if name not in known:
            yield Fault(file, pointer, f"unknown {what} {name!r}{suggest(name, known)}")

    def types(wanted: str) -> set[str]:
        return {type_ for way, type_ in frames if way == wanted}

    yield from unknown("/x-capability", "capability", schema["x-capability"], names.capabilities)
    if "x-deprecated" in schema:
        replacement = schema["x-deprecated"]["replacement"]
        yield from unknown("/x-deprecated/replacement", f"{direction} type", replacement, types(direction))
    for index, reply in enumerate(schema.get("x-replies", ())):
        place = f"/x-replies/{index}"
        yield from unknown(f"{place}/type", "s2c type", reply["type"], types("s2c"))
        if "code" in reply:
            yield from unknown(f"{place}/code", "error code", reply["code"], names.error_codes)


def _pointer_faults(file: str, schema: _Json, types: _Json) -> Iterator[Fault]:
    """Routes and stamps that point to no field of the frame."""
    fields = _fields(schema, types)
    by = schema.get("x-route", {}).get("by")
    if by is not None and not fields.get(by, False):
        yield Fault(file, "/x-route/by", f"{by} is no required field of the frame")
    for pointer in schema.get("x-stamps", {}):
        if pointer not in fields:
            yield Fault(file, f"/x-stamps/{escape(pointer)}", f"{pointer} is no field of the frame")


def _relay_faults(frames: Mapping[tuple[str, str], _Json], types: _Json) -> Iterator[Fault]:
    """Relayed frames that could not be built: the client's payload and the stamps must make a whole frame."""
    for (direction, type_), schema in frames.items():
        if direction != "c2s" or "x-route" not in schema:
            continue
        file, twin = file_of(direction, type_), frames.get(("s2c", type_))
        if twin is None:
            yield Fault(file, "/x-route", f"no schema of what recipients get: {file_of('s2c', type_)}")
            continue
        sent, stamped = _fields(schema, types), twin.get("x-stamps", {})
        received = _fields(twin, types)
        for pointer, required in received.items():
            given = pointer in stamped or (pointer.startswith("/payload") and sent.get(pointer, False))
            if required and pointer != "/type" and not given:
                message = f"{pointer} is required, but neither the client nor a stamp provides it"
                yield Fault(file_of("s2c", type_), "/x-stamps", message)
        for pointer in sent:
            if pointer.startswith("/payload") and pointer not in received:
                yield Fault(file, "/x-route", f"{pointer} is passed on, but recipients' schema lacks it")


def _reference_faults(file: str, schema: _Json, types: _Json, used: set[str]) -> Iterator[Fault]:
    prefix = "" if file == TYPES else f"../../{TYPES}"
    known = types.get("$defs", {})
    for pointer, sub in subschemas(schema):
        reference = sub.get("$ref")
        if not isinstance(reference, str):
            continue
        target, _, name = reference.partition("#/$defs/")
        if target != prefix or name not in known:
            yield Fault(file, f"{pointer}/$ref", f"{reference} does not exist{suggest(name, known)}")
        used.add(name)


def _requirement_faults(file: str, schema: _Json, known: Collection[str] | None) -> Iterator[Fault]:
    if known is None:
        return
    for pointer, sub in subschemas(schema):
        for index, name in enumerate(sub.get("x-requirements", ())):
            if name not in known:
                place = f"{pointer}/x-requirements/{index}"
                yield Fault(file, place, f"unknown requirement {name!r}{suggest(name, known)}")


def _fields(schema: _Json, types: _Json) -> dict[str, bool]:
    """Pointers of a frame's own fields and those of its payload → whether always there."""
    required = set(schema["required"])
    fields = {f"/{escape(name)}": name in required for name in schema["properties"]}
    payload = _mapping(schema["properties"].get("payload"))
    for part in [payload, *payload.get("allOf", ())]:
        if "$ref" in part:
            part = _mapping(at_pointer(types, part["$ref"].partition("#")[2]))
        for name in part.get("properties", {}):
            pointer = f"/payload/{escape(name)}"
            fields[pointer] = "payload" in required and name in part.get("required", ())
    return fields


def _mapping(value: Any) -> _Json:
    return cast(_Json, value) if isinstance(value, Mapping) else {}
