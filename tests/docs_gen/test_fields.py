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
