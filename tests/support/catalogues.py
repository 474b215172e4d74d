"""Catalogues in folders: a small one, for tests that must not depend on the real protocol's content, and the
real one with one more type."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from relaykit.schemas import FrameSpec, Vector
from relaykit.schemas.loading import HERE

PROTOCOL = """\
name: Toy
version: "2.0"
endpoint: {path: /toy, subprotocol: Toy, carriers: {query: {title: Query, form: "?t="}}, algorithms: [HS256]}
areas: {TOY: {file: toys, title: Toys}}
capabilities: {core: {title: Core, description: All of it., required: true}}
error_codes: {broken: {title: Broken, description: It broke., provenance: documented, reconnect: false}}
close_codes: {1001: {title: Away, when: It goes.}}
faults: {c2s: {json: TOY-01, undocumented: TOY-02, type-unknown: TOY-03, schema: TOY-04}}
limits: {max_depth: {title: Depth, default: 8, minimum: 1, unit: levels}}
timing: {}
"""

TYPES: dict[str, Any] = {
    "$defs": {
        "id": {
            "title": "ID",
            "type": "string",
            "pattern": "^[a-z]+$",
            "maxLength": 8,
            "x-requirements": ["TOY-05"],
        },
        "point": {
            "title": "Point",
            "type": "object",
            "properties": {
                "x": {"type": "number"},
                "of": {"anyOf": [{"$ref": "#/$defs/id"}, {"type": "null"}]},
            },
            "required": ["x"],
            "additionalProperties": False,
        },
    }
}


def frame(direction: str, name: str, payload: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A frame's schema with the given schema of its payload."""
    return {
        "title": name,
        "description": f"A {name}.",
        "x-direction": direction,
        "type": "object",
        "properties": {"type": {"const": name}, "payload": payload},
        "required": ["type", "payload"],
        "additionalProperties": False,
        "examples": [],
        **more,
    }


FRAMES: dict[tuple[str, str], dict[str, Any]] = {
    ("c2s", "move"): frame("c2s", "move", {"allOf": [{"$ref": "../../types.schema.json#/$defs/point"}]}),
    ("s2c", "move"): frame("s2c", "move", {"allOf": [{"$ref": "../../types.schema.json#/$defs/point"}]}),
    ("s2c", "tell"): frame(
        "s2c",
        "tell",
        {"type": "object", "properties": {"text": {"type": "string", "minLength": 1}}, "required": ["text"]},
        **{"x-requirements": ["TOY-06"]},
    ),
}


def write_catalogue(
    folder: Path,
    *,
    protocol: str = PROTOCOL,
    types: Mapping[str, Any] = TYPES,
    frames: Mapping[tuple[str, str], Mapping[str, Any]] = FRAMES,
) -> Path:
    """Write a catalogue and give its folder."""
    (folder / "protocol.yaml").write_text(protocol)
    (folder / "types.schema.json").write_text(json.dumps(types))
    for (direction, name), schema in frames.items():
        path = folder / "frames" / direction / f"{name}.schema.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(schema))
    return folder


def copied(folder: Path, *, vectors: bool = False) -> Path:
    """A copy of the real catalogue, to be changed."""
    root, left_out = folder / "schemas", ("*.py", "__pycache__", *(() if vectors else ("vectors",)))
    shutil.copytree(HERE, root, ignore=shutil.ignore_patterns(*left_out))
    return root


def with_new_type(folder: Path, kind: str, *, route: dict[str, str] | None) -> Path:
    """A copy of the real catalogue with one more type in both directions, shaped like `media_key`."""
    root = copied(folder)
    (root / "vectors").mkdir()
    for direction in ("c2s", "s2c"):
        source = root / "frames" / direction / "media_key.schema.json"
        schema = json.loads(source.read_text().replace('"media_key"', f'"{kind}"'))
        if direction == "c2s":
            schema.pop("x-route")
            if route is not None:
                schema["x-route"] = route
        (root / "frames" / direction / f"{kind}.schema.json").write_text(json.dumps(schema))
    return root


def named(vector: Vector) -> str:
    """Where a vector stands, for a failure to say."""
    return f"vectors/{vector.direction}/{vector.type}.json: {vector.group}: {vector.description}"


def placed(spec: FrameSpec, pointer: str) -> str:
    """A place in a frame's schema, for a failure to say."""
    return f"{Path(spec.source).relative_to(HERE)}: {pointer}"
