"""Field tables: whatever a schema demands of a field, its row says."""

from __future__ import annotations

from typing import Any

import pytest

from relaykit.docs_gen.fields import frame_fields
from relaykit.docs_gen.model import Field
from relaykit.schemas.loading import spec_of


def rows(extra: dict[str, Any], defs: dict[str, Any] | None = None) -> dict[str, Field]:
    """The rows of a frame with the field `payload.extra`, by path."""
    payload = {"type": "object", "properties": {"extra": extra}, "additionalProperties": False}
    schema = {"type": "object", "properties": {"payload": payload}, "additionalProperties": False}
    found, _ = frame_fields(
        spec_of("thing", "c2s", schema, {**schema, "$defs": defs or {}}, "test", since="1.0")
    )
    return {row.path: row for row in found}


def said(extra: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    row = rows(extra)["payload.extra"]
    return row.type, row.constraints


@pytest.mark.parametrize(
    ("extra", "type_", "constraints"),
    [
        ({"const": False}, "boolean", ("always false",)),
        ({"const": 0}, "integer", ("always 0",)),
        ({"const": ""}, "string", ('always `""`',)),
        ({"const": None}, "null", ("always null",)),
        ({"const": []}, "array", ("always `[]`",)),
        ({"type": "string", "const": "x"}, "string", ("always `x`",)),
        ({"enum": ["a", None]}, "string or null", ("one of `a` or null",)),
        ({"enum": [0, False]}, "integer or boolean", ("one of 0 or false",)),
    ],
)
def test_fixed_values_are_said_even_if_they_count_as_false(
    extra: dict[str, Any], type_: str, constraints: tuple[str, ...]
) -> None:
    assert said(extra) == (type_, constraints)


@pytest.mark.parametrize(
    ("extra", "type_", "constraints"),
    [
        ({"type": "string", "pattern": "^[a-z]{3}$"}, "string", ("matches `^[a-z]{3}$`",)),
        ({"type": "string", "format": "uuid"}, "string", ("of the form `uuid`",)),
        ({"type": "string", "maxLength": 0}, "string", ("empty",)),
        ({"type": "string", "maxLength": 1}, "string", ("at most 1 character",)),
        ({"type": "array", "items": {"type": "string"}, "maxItems": 0}, "array of strings", ("empty",)),
        ({"type": "number", "exclusiveMinimum": 0}, "number", ("more than 0",)),
        ({"type": "integer", "multipleOf": 5}, "integer", ("a multiple of 5",)),
        ({"type": "integer", "minimum": 1, "exclusiveMaximum": 5}, "integer", ("1 or more", "less than 5")),
        (
            {"type": "object", "additionalProperties": False, "minProperties": 2},
            "object",
            ("at least 2 members",),
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 3}]},
            "string or integer",
            ("string or integer, 3 or more",),
        ),
        ({"anyOf": [{"type": "string"}, {"type": "boolean"}]}, "string or boolean", ()),
        (
            {"type": "array", "items": {"type": "string", "maxLength": 8}},
            "array of strings",
            ("each of the items: at most 8 characters",),
        ),
    ],
)
def test_every_limit_is_said(extra: dict[str, Any], type_: str, constraints: tuple[str, ...]) -> None:
    assert said(extra) == (type_, constraints)


def test_arrays_in_arrays_have_rows_for_what_is_inside() -> None:
    inner = {"type": "object", "properties": {"q": {"type": "integer"}}, "required": ["q"]}
    array = {"type": "array", "items": {"type": "array", "items": inner, "maxItems": 2}}
    found = rows(array)
    assert found["payload.extra"].type == "array of arrays of objects"
    assert found["payload.extra"].constraints == ("each of the items: at most 2 items",)
    assert found["payload.extra[][].q"].required


@pytest.mark.parametrize(
    ("more", "said"), [({}, None), ({"deprecated": True}, "Deprecated."), ({"deprecated": False}, None)]
)
def test_a_field_is_deprecated_without_a_note_too(more: dict[str, Any], said: str | None) -> None:
    assert rows({"type": "string", **more})["payload.extra"].deprecated == said


def test_what_a_shared_type_demands_stands_on_its_own_page() -> None:
    defs = {"code": {"title": "Code", "type": "string", "pattern": "^[0-9]+$", "maxLength": 8}}
    row = rows({"$ref": "#/$defs/code"}, defs)["payload.extra"]
    assert row.kind is not None
    assert row.constraints == ()
