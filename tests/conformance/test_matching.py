"""Matching frames: subsets, exact arrays, UUIDs without case, timestamps, near misses."""

from __future__ import annotations

from typing import Any

import pytest

from relaykit.conformance.grammar import Absent, Match
from relaykit.conformance.matching import ambient_types, compare, nearest
from relaykit.schemas import load_catalogue

ID = "0d9c2f0e-6b1c-4a8e-9d53-2f6f3c1b7a10"


@pytest.mark.parametrize(
    ("pattern", "frame"),
    [
        ({}, {"type": "deliver"}),
        ({"type": "deliver"}, {"type": "deliver", "message_id": ID}),
        ({"payload": {"status": "read"}}, {"payload": {"status": "read", "more": 1}}),
        ({"id": ID}, {"id": ID.upper()}),
        ({"id": f"group-{ID}"}, {"id": f"group-{ID.upper()}"}),
        ({"ids": ["a", {"b": 1}]}, {"ids": ["a", {"b": 1, "c": 2}]}),
        ({"x": Absent()}, {}),
        ({"x": Absent()}, {"x": None}),
        ({"x": None}, {}),
        ({"x": Match("^ab")}, {"x": "abc"}),
        ({"timestamp": "2025-12-04T07:00:00Z"}, {"timestamp": "2026-01-01T00:00:00.5Z"}),
        ({"n": 1}, {"n": 1.0}),
    ],
)
def test_these_match(pattern: Any, frame: Any) -> None:
    assert compare(pattern, frame) is None


@pytest.mark.parametrize(
    ("pattern", "frame", "pointer"),
    [
        ({"type": "deliver"}, {"type": "error"}, "/type"),
        ({"type": "deliver"}, {}, "/type"),
        ({"a": 1, "type": "x"}, {"a": 2, "type": "y"}, "/type"),
        ({"payload": {"status": "read"}}, {"payload": {"status": "delivered"}}, "/payload/status"),
        ({"payload": {"status": "read"}}, {"payload": "read"}, "/payload"),
        ({"ciphertext": "abcd"}, {"ciphertext": "ABCD"}, "/ciphertext"),
        ({"ids": ["a"]}, {"ids": ["a", "b"]}, "/ids"),
        ({"ids": ["a", "b"]}, {"ids": ["b", "a"]}, "/ids/0"),
        ({"x": Absent()}, {"x": 0}, "/x"),
        ({"x": None}, {"x": "a"}, "/x"),
        ({"x": Match("^b")}, {"x": "abc"}, "/x"),
        ({"x": Match("1")}, {"x": 1}, "/x"),
        ({"x": True}, {"x": 1}, "/x"),
        ({"x": 0}, {"x": False}, "/x"),
        ({"x": "1"}, {"x": 1}, "/x"),
        ({"a/b": {"c~d": 1}}, {"a/b": {"c~d": 2}}, "/a~1b/c~0d"),
        # Only what looks like a timestamp is left to the server: another value is compared.
        ({"timestamp": "soon"}, {"timestamp": "later"}, "/timestamp"),
        ({"type": "x"}, "text", ""),
    ],
)
def test_these_differ_and_where(pattern: Any, frame: Any, pointer: str) -> None:
    found = compare(pattern, frame)
    assert found is not None
    assert found.pointer == pointer


def test_the_nearest_miss_is_the_one_that_fits_furthest() -> None:
    pattern = {"type": "deliver", "message_id": ID, "payload": {"ciphertext": "x"}}
    frames = [
        {"type": "error"},
        {"type": "deliver", "message_id": ID, "payload": {"ciphertext": "y"}},
        {"type": "deliver", "message_id": "other"},
    ]
    near = nearest(pattern, frames)
    assert near is not None
    assert near[0] is frames[1]
    assert near[1].pointer == "/payload/ciphertext"
    assert nearest(pattern, []) is None


def test_ambient_types_come_from_the_catalogue() -> None:
    assert ambient_types(load_catalogue()) == {
        "ping",
        "heartbeat_ack",
        "presence",
        "user_online",
        "user_offline",
    }
