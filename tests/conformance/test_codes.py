"""The codes that the suite speaks of are those of the catalogue, all of them, and stand in one place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relaykit import conformance
from relaykit.conformance import codes
from relaykit.conformance.cases import load_cases
from relaykit.errors import KitDefect
from relaykit.schemas import load_catalogue

PROTOCOL = load_catalogue().protocol


def without(known: Mapping[Any, Any], gone: object) -> dict[Any, Any]:
    return {code: each for code, each in known.items() if code != gone}


def test_they_are_those_of_the_catalogue() -> None:
    codes.check_codes(load_catalogue())
    assert set(codes.ERRORS) == set(PROTOCOL.error_codes)
    assert set(codes.CLOSES) <= set(PROTOCOL.close_codes)


@pytest.mark.parametrize(
    ("field", "known", "said"),
    [
        (
            "error_codes",
            {k: v for k, v in PROTOCOL.error_codes.items() if k != "rate_limited"},
            "rate_limited",
        ),
        ("close_codes", {k: v for k, v in PROTOCOL.close_codes.items() if k != 1009}, "1009"),
    ],
)
def test_cases_are_not_loaded_where_one_is_gone(field: str, known: dict[Any, Any], said: str) -> None:
    catalogue = load_catalogue()
    poorer = replace(catalogue, protocol=replace(PROTOCOL, **{field: known}))
    with pytest.raises(KitDefect, match=said):
        load_cases(poorer)


def test_no_module_writes_a_code_of_its_own() -> None:
    root = Path(conformance.__file__).parent
    written = re.compile("|".join(f'"{code}"' for code in PROTOCOL.error_codes))
    found = [path.name for path in root.rglob("*.py") if written.search(path.read_text())]
    assert found == ["codes.py"]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        (codes.an_error(codes.RATE_LIMITED, retry_after=1), "rate_limited"),
        ({"type": "error", "payload": {"error_code": 7}}, None),
        ({"type": "error", "payload": "rate_limited"}, None),
        ({"type": "error"}, None),
        ({"type": "ping", "payload": {"error_code": "rate_limited"}}, None),
        ("rate_limited", None),
    ],
)
def test_a_code_is_read_whatever_came(frame: object, code: str | None) -> None:
    assert codes.code_of(frame) == code
