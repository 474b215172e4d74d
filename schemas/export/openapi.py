"""OpenAPI 3.1 of the control interface, self-contained: types that it shares with the frames are inside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from relaykit.config import load_yaml
from relaykit.schemas.loading import read_json

_FILE, _TYPES = "control.openapi.yaml", "types.schema.json"
_HERE, _THERE = "#/components/schemas/", f"{_TYPES}#/$defs/"


def control_openapi(root: Path) -> dict[str, Any]:
    """The document with every reference inside itself.

    Args:
        root: the folder of control.openapi.yaml.

    Raises:
        UsageError: a broken file, with its place.
    """
    shared = read_json(root / _TYPES)["$defs"]
    needed: dict[str, Any] = {}

    def inside(value: Any) -> Any:
        if isinstance(value, list):
            return [inside(item) for item in value]
        if not isinstance(value, dict):
            return value
        reference = value.get("$ref")
        for prefix in (_THERE, "#/$defs/"):
            if isinstance(reference, str) and reference.startswith(prefix):
                name = reference.removeprefix(prefix)
                if name not in needed:
                    needed[name] = None  # so that a type that refers to itself ends
                    needed[name] = inside(shared[name])
                return {"$ref": f"{_HERE}{name}"}
        return {key: inside(item) for key, item in value.items()}

    document: dict[str, Any] = inside(load_yaml(root / _FILE).data)
    schemas = document["components"]["schemas"]
    schemas |= {name: schema for name, schema in sorted(needed.items()) if name not in schemas}
    return document
