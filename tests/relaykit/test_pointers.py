"""JSON pointers, both ways."""

from __future__ import annotations

import pytest

from relaykit.pointers import at_pointer, keys_of, pointer_of

VALUE = {"a": [{"b/c": 1, "~1": 2}], "n": None, "": {"": 3}}


@pytest.mark.parametrize(
    ("path", "pointer", "found"),
    [
        ((), "", VALUE),
        (("a", 0, "b/c"), "/a/0/b~1c", 1),
        (("a", 0, "~1"), "/a/0/~01", 2),
        (("", ""), "//", 3),
    ],
)
def test_a_pointer_leads_where_its_path_leads(
    path: tuple[str | int, ...], pointer: str, found: object
) -> None:
    assert pointer_of(path) == pointer
    assert keys_of(pointer) == [str(step) for step in path]
    assert at_pointer(VALUE, pointer) == found


@pytest.mark.parametrize("pointer", ["/a/1", "/a/-1", "/a/x", "/a/0/b", "/n", "/n/x", "/a/0/b~1c/0", "/b"])
def test_nothing_stands_elsewhere(pointer: str) -> None:
    assert at_pointer(VALUE, pointer) is None
