"""Texts made from patterns: at their bounds they match, one step further they do not."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relaykit.conformance.derived.patterns import beyond, bounds, matches, parse, sampled, shortest
from relaykit.errors import KitDefect
from relaykit.schemas import load_catalogue


def _patterns(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["pattern"]} if isinstance(value.get("pattern"), str) else set()
        return own.union(*(_patterns(item) for item in value.values()))
    return set().union(*(_patterns(item) for item in value)) if isinstance(value, list | tuple) else set()


EVERY = sorted(
    {p for spec in load_catalogue().frames.values() for p in _patterns(spec.bundled)} - {"\n"}
    | {"^a?b+c{2,3}$", "^[a-c_-]{1,}$", r"^x\.(yz)*$", "^.$"}
)


@pytest.mark.parametrize("pattern", EVERY)
def test_bounds_match_and_what_is_beyond_is_said(pattern: str) -> None:
    assert re.fullmatch(pattern, shortest(pattern))
    for _, text in bounds(pattern):
        assert re.fullmatch(pattern, text)
        assert matches(pattern, text)
    names = [name for name, _ in (*bounds(pattern), *beyond(pattern))]
    assert len(names) == len(set(names))
    if re.search(r"[{+]|\[", pattern):
        assert any(not re.fullmatch(pattern, text) for _, text in beyond(pattern))


@given(st.integers(), st.sampled_from(EVERY))
def test_samples_match(seed: int, pattern: str) -> None:
    assert re.fullmatch(pattern, sampled(pattern, random.Random(seed)))


def test_the_end_is_the_end() -> None:
    assert matches("^a$", "a")
    assert not matches("^a$", "a\n")


@pytest.mark.parametrize(
    "pattern", ["a", "^a|b$", "^(a$", "^[^a]$", r"^\d$", "^a)$", "^[a$", "^*$", r"^[\w]$"]
)
def test_what_is_not_understood_is_refused(pattern: str) -> None:
    with pytest.raises(KitDefect):
        parse(pattern)
