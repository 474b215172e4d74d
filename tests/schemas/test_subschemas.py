"""Schemas inside schemas: found wherever one may stand, and nowhere else."""

from __future__ import annotations

import copy
from typing import Any

from relaykit.schemas.bundle import opened, without_extensions
from relaykit.schemas.subschemas import map_schemas, references, subschemas

LOOKS_LIKE_ONE = {"$ref": "#/nowhere", "additionalProperties": False, "x-y": 1}
SCHEMA: dict[str, Any] = {
    "x-y": 1,
    "properties": {"a/b": {"$ref": "#/$defs/one", "x-y": 1}},
    "items": {"additionalProperties": False},
    "oneOf": [True, {"not": {"$ref": "#/$defs/two"}}],
    "$defs": {"one": {"then": {}}, "two": False},
    # Data, whatever it looks like.
    "const": LOOKS_LIKE_ONE,
    "enum": [LOOKS_LIKE_ONE],
    "examples": [LOOKS_LIKE_ONE],
    "default": LOOKS_LIKE_ONE,
}


def test_each_place_that_holds_a_schema_is_found_and_no_data() -> None:
    assert [pointer for pointer, _ in subschemas(SCHEMA)] == [
        *("", "/properties/a~1b", "/items", "/oneOf/1", "/oneOf/1/not", "/$defs/one", "/$defs/one/then"),
    ]
    assert sorted(references(SCHEMA)) == ["#/$defs/one", "#/$defs/two"]


def test_changes_reach_every_schema_and_leave_data_and_the_original_alone() -> None:
    before = copy.deepcopy(SCHEMA)
    seen: list[dict[str, Any]] = []
    map_schemas(SCHEMA, lambda sub: seen.append(sub) or {})
    assert len(seen) == len(list(subschemas(SCHEMA)))
    bare, loose = without_extensions(SCHEMA), opened(SCHEMA)
    assert "x-y" not in bare
    assert bare["properties"]["a/b"] == {"$ref": "#/$defs/one"}
    assert loose["items"] == {}
    for changed in (bare, loose):
        assert changed["const"] == changed["default"] == LOOKS_LIKE_ONE
        assert changed["enum"] == changed["examples"] == [LOOKS_LIKE_ONE]
    assert before == SCHEMA
