"""Reads the catalogue's files. Whatever is wrong with one is a `UsageError` that names file and place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jsonschema_rs
import orjson

from relaykit.config import Document, load_yaml, parse_yaml, require_valid, suggest
from relaykit.errors import UsageError
from relaykit.pointers import at_pointer, pointer_of
from relaykit.schemas import strict_json
from relaykit.schemas.bundle import DIALECT, self_contained
from relaykit.schemas.frozen import freeze
from relaykit.schemas.model import (
    DIRECTIONS,
    Area,
    Capability,
    Carrier,
    CloseCode,
    Deprecated,
    Direction,
    ErrorCode,
    FrameSpec,
    Limit,
    Profile,
    Protocol,
    Reply,
    Requirement,
    Route,
    Vector,
)

HERE = Path(__file__).parent
"""The installed catalogue."""

_SUFFIX = ".schema.json"
_VECTORS: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "description": {"type": "string"},
            "tests": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "description": {"type": "string"},
                        "data": True,
                        "valid": {"type": "boolean"},
                        "violates": {"type": "string"},
                    },
                    "required": ["description", "data", "valid"],
                    "additionalProperties": False,
                },
            },
        },
        "required": ["description", "tests"],
        "additionalProperties": False,
    },
}


def files(root: Path) -> list[Path]:
    """All data files of a catalogue, in a fixed order."""
    patterns = ("*.yaml", "*.json", "frames/*/*.json", "requirements/*", "vectors/*/*.json")
    return sorted(path for pattern in patterns for path in root.glob(pattern) if path.is_file())


def digest(root: Path) -> str:
    """SHA-256 over the names and bytes of all data files, in hexadecimal."""
    total = hashlib.sha256()
    for path in files(root):
        data = _bytes(path)
        total.update(f"{path.relative_to(root).as_posix()}\n{len(data)}\n".encode() + data)
    return total.hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error


def read_json(path: Path) -> Any:
    """A JSON file, read strictly."""
    try:
        return strict_json.loads(_bytes(path))
    except strict_json.FrameError as error:
        raise UsageError(f"{path}:{error.line or 1}: {error}") from None


@cache
def shape(name: str) -> Any:
    """One of the JSON Schemas that the catalogue's own files keep to.

    Args:
        name: its file, such as `protocol.schema.json`.
    """
    return read_json(HERE / name)


def _require_shape(path: Path, data: Any, wanted: Mapping[str, Any]) -> None:
    """Raise a UsageError that lists what does not fit, each with its line (JSON is YAML to the line
    finder)."""
    if not jsonschema_rs.validator_for(dict(wanted), offline=True).is_valid(data):
        require_valid(Document(str(path), data, parse_yaml(path.read_text("utf-8"), str(path)).lines), wanted)


def read_protocol(root: Path) -> Protocol:
    """Read protocol.yaml."""
    path = root / "protocol.yaml"
    if not path.is_file():
        raise UsageError(
            f"{root}: no catalogue: it has no protocol.yaml", hint="a catalogue is laid out like schemas/"
        )
    document = load_yaml(path)
    require_valid(document, shape("protocol.schema.json"))
    data = document.data
    endpoint = data["endpoint"]
    return Protocol(
        name=data["name"],
        version=data["version"],
        path=endpoint["path"],
        subprotocol=endpoint["subprotocol"],
        algorithms=tuple(endpoint["algorithms"]),
        carriers=_named(Carrier, endpoint["carriers"]),
        areas=_named(Area, data["areas"]),
        capabilities=_named(Capability, data["capabilities"]),
        profiles=_profiles(document),
        error_codes=_named(ErrorCode, data["error_codes"]),
        close_codes=MappingProxyType(
            {int(c): CloseCode(int(c), **v) for c, v in data["close_codes"].items()}
        ),
        faults=MappingProxyType(
            {way: MappingProxyType(data.get("faults", {}).get(way, {})) for way in DIRECTIONS}
        ),
        limits=_named(Limit, data["limits"]),
        timing=_named(Limit, data["timing"]),
    )


def _profiles(document: Document) -> Mapping[str, Profile]:
    """The profiles, each with the capabilities of the one it extends, which stands before it."""
    profiles: dict[str, Profile] = {}

    def known(name: str, names: Mapping[str, Any], what: str, place: str) -> str:
        if name not in names:
            raise UsageError(f"{document.place(place)}: there is no {what} {name!r}{suggest(name, names)}")
        return name

    for name, entry in document.data.get("profiles", {}).items():
        own: dict[str, frozenset[str]] = {}
        for part in ("capabilities", "optional"):
            place = f"/profiles/{name}/{part}"
            own[part] = frozenset(
                known(each, document.data["capabilities"], "capability", place)
                for each in entry.get(part, ())
            )
        if "extends" in entry:
            place = f"/profiles/{name}/extends"
            base = profiles[known(entry["extends"], profiles, "profile before this one", place)]
            own = {
                "capabilities": own["capabilities"] | base.capabilities,
                "optional": own["optional"] | base.optional,
            }
        profiles[name] = Profile(name, entry["title"], own["capabilities"], own["optional"])
    return MappingProxyType(profiles)


def _named(make: Any, entries: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    return MappingProxyType({name: make(name=name, **values) for name, values in entries.items()})


def read_frames(root: Path, protocol: Protocol) -> Mapping[tuple[Direction, str], FrameSpec]:
    """Read every frame schema, checked against the catalogue's own meta.schema.json if it has one."""
    loaded: dict[Path, Any] = {}

    def load(path: Path) -> Any:
        if path not in loaded:
            loaded[path] = read_json(path)
        return loaded[path]

    meta_path = root / "meta.schema.json"
    meta: Any = read_json(meta_path) if meta_path.is_file() else None
    judge = jsonschema_rs.validator_for(meta, offline=True) if meta else None
    frames: dict[tuple[Direction, str], FrameSpec] = {}
    for direction in DIRECTIONS:
        for path in sorted((root / "frames" / direction).glob("*.json")):
            schema = load(path.resolve())
            if judge is not None and not judge.is_valid(schema):
                _require_shape(path, schema, meta)
            spec = _frame(path, direction, schema, load, protocol)
            frames[direction, spec.type] = spec
    if not frames:
        raise UsageError(
            f"{root}: no catalogue: it has no frames/c2s/*{_SUFFIX} and no frames/s2c/*{_SUFFIX}"
        )
    return MappingProxyType(frames)


def _frame(path: Path, direction: Direction, schema: Any, load: Any, protocol: Protocol) -> FrameSpec:
    if not isinstance(schema, dict):
        raise UsageError(f"{path}:1: a frame's schema is an object")
    name = path.name.removesuffix(_SUFFIX)
    stated = schema.get("x-direction")
    if stated != direction:
        raise UsageError(f"{path}: /x-direction: is {stated!r} in a file of {direction}")
    const = at_pointer(schema, "/properties/type/const")
    if const != name:
        raise UsageError(f"{path}: /properties/type/const: is {const!r}, the file is named {path.name!r}")
    bundled = self_contained(path, schema, load)
    try:
        jsonschema_rs.meta.validate({**bundled, "$schema": DIALECT})
    except jsonschema_rs.ValidationError as error:
        place = pointer_of(tuple(error.instance_path))
        raise UsageError(f"{path}: {place}: not a JSON Schema: {error.message}") from None
    return spec_of(name, direction, schema, bundled, str(path), since=protocol.version)


def spec_of(
    name: str,
    direction: Direction,
    schema: Mapping[str, Any],
    bundled: Mapping[str, Any],
    source: str,
    *,
    since: str,
) -> FrameSpec:
    """What a frame's schema says of it.

    Args:
        name: its type.
        schema, bundled: the schema as written, and self-contained; x- keywords that it lacks have defaults.
        source: where it was read.
        since: the version that brought it, where it does not say.
    """
    deprecated = schema.get("x-deprecated")
    route = schema.get("x-route")
    return FrameSpec(
        type=name,
        direction=direction,
        title=schema.get("title", name),
        description=schema.get("description", ""),
        capability=schema.get("x-capability", "core"),
        since=schema.get("x-since", since),
        deprecated=Deprecated(deprecated["replacement"], deprecated["note"]) if deprecated else None,
        route=Route(route["to"], route.get("by")) if route else None,
        stamps=MappingProxyType(dict(schema.get("x-stamps", {}))),
        replies=tuple(Reply(r["type"], r.get("code"), r["when"]) for r in schema.get("x-replies", ())),
        requirements=tuple(schema.get("x-requirements", ())),
        examples=tuple(freeze(schema.get("examples", []))),
        schema=freeze(schema),
        bundled=freeze(bundled),
        source=source,
    )


def read_requirements(root: Path, protocol: Protocol) -> Mapping[str, Requirement]:
    """Read requirements/*.yaml."""
    found: dict[str, Requirement] = {}
    places: dict[str, str] = {}
    for path in sorted((root / "requirements").glob("*.yaml")):
        document = load_yaml(path)
        require_valid(document, shape("requirement.schema.json"))
        for index, entry in enumerate(document.data):
            id_: str = entry["id"]
            place = document.place(f"/{index}/id")
            if id_ in found:
                raise UsageError(f"{place}: {id_} stands twice, first at {places[id_]}")
            area = id_.partition("-")[0]
            if area not in protocol.areas:
                raise UsageError(f"{place}: {id_}: protocol.yaml has no area {area}")
            places[id_] = place
            found[id_] = Requirement(
                id=id_,
                level=entry["level"],
                text=entry["text"],
                source=entry["source"],
                provenance=entry["provenance"],
                frames=tuple(entry["frames"]),
                error_codes=tuple(entry.get("error_codes", ())),
                capability=entry.get("capability"),
                presupposes=tuple(entry.get("presupposes", ())),
                untested=entry.get("untested"),
                area=area,
            )
    for requirement in found.values():
        for base in requirement.presupposes:
            place = f"{places[requirement.id]}: {requirement.id} presupposes {base}"
            if base not in found:
                raise UsageError(f"{place}, which is no requirement")
            if found[base].presupposes:
                raise UsageError(f"{place}, which presupposes others itself: name those")
    return MappingProxyType(found)


def read_vectors(root: Path) -> Iterator[Vector]:
    """Read vectors/{c2s,s2c}/<type>.json, one file at a time.

    They hold what frames must not hold as well (such as integers beyond 2^53), so they are read as plain
    JSON.
    """
    for direction in DIRECTIONS:
        for path in sorted((root / "vectors" / direction).glob("*.json")):
            try:
                groups = orjson.loads(_bytes(path))
            except orjson.JSONDecodeError:
                groups = read_json(path)  # names the place
            _require_shape(path, groups, _VECTORS)
            for group in groups:
                for test in group["tests"]:
                    yield Vector(
                        direction=direction,
                        type=path.stem,
                        group=group["description"],
                        description=test["description"],
                        data=test["data"],
                        valid=test["valid"],
                        violates=test.get("violates"),
                    )
