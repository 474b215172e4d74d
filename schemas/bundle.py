"""References: schemas as written point into other files; bundled ones point only into their own `$defs`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relaykit.config import suggest
from relaykit.errors import UsageError
from relaykit.pointers import at_pointer
from relaykit.schemas.frozen import thaw
from relaykit.schemas.model import DIRECTIONS, Direction, FrameSpec
from relaykit.schemas.subschemas import map_schemas, references

if TYPE_CHECKING:
    from relaykit.schemas.catalogue import Catalogue

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Load = Callable[[Path], Any]
"""Reads a schema file; raises UsageError."""


def self_contained(path: Path, schema: Mapping[str, Any], load: Load) -> dict[str, Any]:
    """The schema of file `path` with every reference rewritten to its own `$defs`, which hold what is needed.

    Args:
        path: the schema's file; references are relative to it.
        schema: the schema as written.
        load: reads the files that are referred to.

    Raises:
        UsageError: a reference to a file or place that does not exist; names file and reference.
    """
    names: dict[tuple[Path, str], str] = {}
    definitions: dict[str, Any] = {}
    waiting: list[tuple[Path, str, str]] = []

    def name_of(file: Path, pointer: str) -> str:
        known = names.get((file, pointer))
        if known:
            return known
        base = pointer.rpartition("/")[2] or file.name.partition(".")[0]
        name = base
        while name in names.values():
            name = f"{file.name.partition('.')[0]}.{name}"
        names[file, pointer] = name
        waiting.append((file, pointer, name))
        return name

    def rewritten(file: Path, sub: Any) -> Any:
        def change(one: dict[str, Any]) -> dict[str, Any]:
            one.pop("$defs", None)
            if "$ref" in one:
                target, _, pointer = str(one["$ref"]).partition("#")
                place = (file.parent / target).resolve() if target else file
                _require_target(file, one["$ref"], place, pointer, load)
                one["$ref"] = f"#/$defs/{name_of(place, pointer)}"
            return one

        return map_schemas(sub, change)

    result: dict[str, Any] = rewritten(path.resolve(), schema)
    while waiting:
        file, pointer, name = waiting.pop(0)
        definitions[name] = rewritten(file, at_pointer(load(file), pointer))
    if definitions:
        result["$defs"] = dict(sorted(definitions.items()))
    return result


def _require_target(file: Path, reference: str, place: Path, pointer: str, load: Load) -> None:
    try:
        document = load(place)
    except UsageError as error:
        raise UsageError(f"{file}: $ref {reference!r}: {error}") from error
    if at_pointer(document, pointer) is None:
        known = document.get("$defs", {}) if isinstance(document, dict) else {}
        near = suggest(pointer.rpartition("/")[2], known)
        raise UsageError(f"{file}: $ref {reference!r}: there is no {pointer} in {place.name}{near}")


# --- bundles for others -------------------------------------------------------------------------------------


def without_extensions(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without `x-` keywords, for tools that refuse keywords they do not know."""
    stripped: dict[str, Any] = map_schemas(
        schema, lambda sub: {key: value for key, value in sub.items() if not key.startswith("x-")}
    )
    return stripped


def opened(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that permits undocumented properties everywhere, as a client must."""

    def change(sub: dict[str, Any]) -> dict[str, Any]:
        for keyword in ("additionalProperties", "unevaluatedProperties"):
            if sub.get(keyword) is False:
                del sub[keyword]
        return sub

    result: dict[str, Any] = map_schemas(schema, change)
    return result


def frame_bundle(spec: FrameSpec, *, extensions: bool = True, closed: bool = False) -> dict[str, Any]:
    """One frame's schema, self-contained, for any draft 2020-12 validator without network.

    Args:
        spec: the frame.
        extensions: whether to keep the `x-` keywords.
        closed: whether an s2c frame stays as written; otherwise it permits undocumented properties, as a
            client must. c2s frames are always closed.
    """
    schema = thaw(spec.bundled)
    if spec.direction == "s2c" and not closed:
        schema = opened(schema)
    if not extensions:
        schema = without_extensions(schema)
    return {"$schema": DIALECT, **{key: value for key, value in schema.items() if key != "$schema"}}


def bundle(catalogue: Catalogue, *, extensions: bool = True, closed: bool = False) -> dict[str, Any]:
    """All frames in one self-contained schema: valid is what fits a frame of either direction.

    `#/$defs/c2s` and `#/$defs/s2c` are the unions per direction, `#/$defs/c2s.send` one frame. Choose by
    `type` where speed or readable errors matter. For the arguments see `frame_bundle`.
    """
    definitions: dict[str, Any] = {}
    unions: dict[Direction, list[dict[str, str]]] = {"c2s": [], "s2c": []}
    for (direction, name), spec in sorted(catalogue.frames.items()):
        schema = frame_bundle(spec, extensions=extensions, closed=closed)
        del schema["$schema"]
        shared = schema.pop("$defs", {})
        rename = {} if closed or direction == "c2s" else _changed_by_opening(spec.bundled.get("$defs", {}))
        for key, sub in shared.items():
            definitions[rename.get(key, key)] = _renamed(sub, rename)
        definitions[f"{direction}.{name}"] = _renamed(schema, rename)
        unions[direction].append({"$ref": f"#/$defs/{direction}.{name}"})
    for direction in DIRECTIONS:
        who = "client to the server" if direction == "c2s" else "server to a client"
        definitions[direction] = {
            "title": f"Any frame from a {who}",
            "oneOf": unions[direction],
        }
    protocol = catalogue.protocol
    return {
        "$schema": DIALECT,
        "title": f"{protocol.name} {protocol.version}",
        "description": "Every frame of the protocol, in either direction.",
        "anyOf": [{"$ref": f"#/$defs/{direction}"} for direction in DIRECTIONS],
        "$defs": dict(sorted(definitions.items())),
    }


def _changed_by_opening(definitions: Mapping[str, Any]) -> dict[str, str]:
    """New names for the definitions that opening changes, themselves or through what they refer to."""
    uses = {name: {ref.rpartition("/")[2] for ref in references(sub)} for name, sub in definitions.items()}
    changed = {name for name, sub in definitions.items() if opened(sub) != sub}
    while True:
        more = {name for name, used in uses.items() if used & changed} - changed
        if not more:
            return {name: f"{name}.open" for name in changed}
        changed |= more


def _renamed(schema: Any, names: Mapping[str, str]) -> Any:
    def change(sub: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in sub:
            name = sub["$ref"].rpartition("/")[2]
            sub["$ref"] = f"#/$defs/{names.get(name, name)}"
        return sub

    return map_schemas(schema, change)
