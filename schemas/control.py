"""The control interface, read from control.openapi.yaml: what test benches arrange that frames cannot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jsonschema_rs

from relaykit.config import Document, load_yaml, require_valid
from relaykit.errors import UsageError
from relaykit.pointers import at_pointer, escape
from relaykit.schemas.bundle import DIALECT, self_contained
from relaykit.schemas.frozen import freeze
from relaykit.schemas.loading import HERE, read_json

_FILE = "control.openapi.yaml"
_JSON = "application/json"

# What this reader relies on beyond OpenAPI itself: every operation is a POST, says the three x- words, and
# has one JSON request and one JSON response.
_SHAPE: dict[str, Any] = {
    "type": "object",
    "required": ["openapi", "info", "paths"],
    "properties": {
        "openapi": {"type": "string", "pattern": r"^3\.1\."},
        "paths": {
            "type": "object",
            "propertyNames": {"pattern": "^/[a-z_]+$"},
            "additionalProperties": {
                "type": "object",
                "required": ["post"],
                "additionalProperties": False,
                "properties": {
                    "post": {
                        "type": "object",
                        "required": [
                            *("operationId", "summary", "description", "requestBody", "responses"),
                            *("x-optional", "x-exclusive", "x-consumes"),
                        ],
                        "additionalProperties": False,
                        "properties": {
                            "operationId": {"type": "string"},
                            "summary": {"type": "string"},
                            "description": {"type": "string"},
                            "requestBody": {"type": "object"},
                            "responses": {"type": "object", "required": ["200", "400", "401"]},
                            "x-optional": {"type": "boolean"},
                            "x-exclusive": {"type": "boolean"},
                            "x-consumes": {"type": "boolean"},
                        },
                    }
                },
            },
        },
    },
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the control interface.

    Attributes:
        name: its name, which is also its path.
        title: in a few words.
        description: what it does.
        optional: whether a target may well lack it.
        exclusive: whether it touches every connection, so that nothing else may run beside it.
        consumes: whether what it is done to (a device; with the clock, every token) stays changed for good.
        request, response: the JSON Schemas (draft 2020-12, self-contained) of its bodies.
        statuses: the HTTP statuses it may answer with.
    """

    name: str
    title: str
    description: str
    optional: bool
    exclusive: bool
    consumes: bool
    request: Mapping[str, Any]
    response: Mapping[str, Any]
    statuses: tuple[int, ...]


@cache
def control_operations(root: Path = HERE) -> Mapping[str, Operation]:
    """Name → operation of the control interface, in the order of the document.

    Args:
        root: the folder of control.openapi.yaml and of the types that it refers to.

    Raises:
        UsageError: the document is broken, with file and place.
    """
    path = root / _FILE
    document = load_yaml(path)
    require_valid(document, _SHAPE)
    loaded: dict[Path, Any] = {path.resolve(): document.data}

    def load(file: Path) -> Any:
        if file not in loaded:
            loaded[file] = read_json(file)
        return loaded[file]

    operations: dict[str, Operation] = {}
    for route, item in document.data["paths"].items():
        name, post = route.removeprefix("/"), item["post"]
        place = document.place(f"/paths/{escape(route)}")
        if post["operationId"] != name:
            raise UsageError(f"{place}: operationId is {post['operationId']!r}, the path says {name!r}")
        operations[name] = Operation(
            name=name,
            title=post["summary"],
            description=post["description"],
            optional=post["x-optional"],
            exclusive=post["x-exclusive"],
            consumes=post["x-consumes"],
            request=_schema(document, place, post["requestBody"], load),
            response=_schema(document, place, post["responses"]["200"], load),
            statuses=tuple(sorted(int(status) for status in post["responses"])),
        )
    return MappingProxyType(operations)


def _schema(document: Document, place: str, body: Mapping[str, Any], load: Any) -> Mapping[str, Any]:
    """The schema of a body or response that is written out or referred to, self-contained."""
    path = Path(document.path)
    try:
        while "$ref" in body:
            body = at_pointer(document.data, body["$ref"][1:])
        schema = body["content"][_JSON]["schema"]
    except (KeyError, TypeError):
        raise UsageError(f"{place}: a body has no schema for {_JSON}") from None
    contained = {"$schema": DIALECT, **self_contained(path, schema, load)}
    try:
        jsonschema_rs.meta.validate(contained)
    except jsonschema_rs.ValidationError as error:
        raise UsageError(f"{place}: not a JSON Schema: {error.message}") from None
    frozen: Mapping[str, Any] = freeze(contained)
    return frozen
