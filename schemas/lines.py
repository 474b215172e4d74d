"""The control interface as lines of JSON, for a command: what it reads and what it writes.

Every operation's arguments and result are those of the HTTP interface; nothing is said twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from relaykit.errors import UsageError
from relaykit.schemas.bundle import DIALECT
from relaykit.schemas.control import Operation, control_operations
from relaykit.schemas.frozen import freeze, thaw
from relaykit.schemas.loading import HERE

REFUSED = {"id": 1, "error": "there is no such group", "refused": True}
MISSING = {"id": 1, "error": "this operation is not offered", "missing": True}


def line_examples(operation: Operation) -> tuple[dict[str, Any], dict[str, Any]]:
    """A request, and the answer to it if it is carried out.

    Raises:
        UsageError: something in the description has no example.
    """
    try:
        arguments, result = _sample(thaw(operation.request)), _sample(thaw(operation.response))
    except _NothingToShowError as error:
        raise UsageError(
            f"the control operation {operation.name} has no example of {error}",
            hint="give it `examples` in control.openapi.yaml",
        ) from None
    return {"id": 1, "operation": operation.name, "arguments": arguments}, {"id": 1, "result": result}


class _NothingToShowError(Exception):
    """A schema, as text, that neither has an example nor is made of parts that have."""


def _sample(schema: Mapping[str, Any], defs: Mapping[str, Any] | None = None) -> Any:
    """A value that a schema permits: its first example, or one made of those of its parts."""
    defs = schema.get("$defs", {}) if defs is None else defs
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return _sample(defs[schema["$ref"].rpartition("/")[2]], defs)
    for inner in (*schema.get("allOf", ()), *schema.get("anyOf", ())):
        return _sample(inner, defs)
    match schema.get("type"):
        case "object":
            members = schema.get("properties", {})
            needed = schema.get("required", ())
            shown = [name for name, inner in members.items() if name in needed or "examples" in inner]
            return {name: _sample(members[name], defs) for name in shown}
        case "array":
            return [_sample(schema["items"], defs)]
        case "boolean":
            return True
        case "integer" | "number":
            return 1
        case _:
            raise _NothingToShowError(json.dumps(schema, ensure_ascii=False)[:80])


@cache
def control_lines(root: Path = HERE) -> Mapping[str, Any]:
    """The JSON Schema of the control interface as lines of a command: one request or one answer.

    Every operation's arguments are those of its HTTP request; `$defs/<operation>_result` describes what the
    `result` of its answer holds.

    Raises:
        UsageError: the document is broken.
    """
    shared: dict[str, Any] = {}
    requests: list[Any] = []
    answers: list[Any] = []
    for operation in control_operations(root).values():
        for suffix, schema in (("arguments", operation.request), ("result", operation.response)):
            own = {key: value for key, value in schema.items() if key not in ("$schema", "$defs")}
            shared |= {**schema.get("$defs", {}), f"{operation.name}_{suffix}": own}
        request, result = line_examples(operation)
        answers.append(result)
        requests.append(
            {
                "title": operation.title,
                "examples": [request],
                "type": "object",
                "properties": {
                    "id": {"description": "Repeated in the answer.", "type": "integer"},
                    "operation": {"const": operation.name},
                    "arguments": {"$ref": f"#/$defs/{operation.name}_arguments"},
                },
                "required": ["id", "operation", "arguments"],
                "additionalProperties": False,
            }
        )
    answer = {
        "type": "object",
        "properties": {
            "id": {"description": "That of the request.", "type": "integer"},
            "result": {"description": "As `$defs/<operation>_result` says.", "type": "object"},
            "error": {"description": "Why it could not be done, for people.", "type": "string"},
            "refused": {
                "description": "true beside `error`: the server answered that it cannot do that; without it, "
                "the operation failed.",
                "type": "boolean",
            },
            "missing": {"description": "true beside `error`: not offered at all.", "type": "boolean"},
        },
        "required": ["id"],
        "dependentRequired": {"refused": ["error"], "missing": ["error"]},
        "oneOf": [{"required": ["result"]}, {"required": ["error"]}],
        "examples": [*answers, REFUSED, MISSING],
    }
    lines: Mapping[str, Any] = freeze(
        {
            "$schema": DIALECT,
            "title": "One line of the control interface of a command",
            "description": "A request, which the suite writes to the command's standard input, or an answer, "
            "which the command writes to its standard output; answers may come in any order.",
            "anyOf": [{"$ref": "#/$defs/request"}, {"$ref": "#/$defs/answer"}],
            "$defs": {**shared, "request": {"oneOf": requests}, "answer": answer},
        }
    )
    return lines
