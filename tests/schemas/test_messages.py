"""What a violated keyword expected, in words."""

from __future__ import annotations

from typing import Any

import pytest

from relaykit.schemas.messages import expectation, suggest, undocumented


@pytest.mark.parametrize(
    ("keyword", "limit", "value", "said"),
    [
        ("type", "string", 1, "must be a string, not a number"),
        ("type", ["integer", "null"], [], "must be an integer or null, not an array"),
        ("const", "typing", "x", 'must be "typing"'),
        ("enum", ["sent", "read"], "lost", 'must be one of "sent", "read"'),
        ("enum", [0] * 12, 1, f"must be one of {', '.join('0' * 12)}"),
        ("enum", [0] * 13, 1, f"must be one of {', '.join('0' * 12)}, …"),
        ("enum", ["online"], "onlin", "must be one of \"online\" (did you mean 'online'?)"),
        ("minLength", 1, "", "must not be empty"),
        ("minLength", 2, "x", "must have at least 2 characters, not 1"),
        ("maxLength", 1, "xy", "must have at most 1 character, not 2"),
        ("maxLength", 2000, "x" * 3000, "must have at most 2,000 characters, not 3,000"),
        ("minItems", 1, [], "must not be empty"),
        ("maxItems", 256, [0] * 257, "must have at most 256 items, not 257"),
        ("minProperties", 1, {}, "must not be empty"),
        ("maxProperties", 1, {"a": 1, "b": 1}, "must have at most 1 property, not 2"),
        ("uniqueItems", True, [1, 2, 1], "items must be distinct; 0 and 2 are the same"),
        ("minimum", 0, -1, "must be at least 0"),
        ("maximum", 9, 10, "must be at most 9"),
        ("not", {"pattern": "\n"}, "\n", 'must not match "\\n"'),
        ("pattern", "^a$", "b", "must match ^a$"),
        ("format", "uuid", "b", "is not a valid uuid"),
        ("oneOf", [{"title": "A"}, {"title": "B"}], 1, 'must fit exactly one of 2 forms: "A", "B"'),
        ("anyOf", [{"title": "A"}, True], 1, "must fit one of 2 forms"),
        ("dependentSchemas", {}, 1, "violates dependentSchemas"),
    ],
)  # fmt: skip
def test_a_keyword_says_what_it_expected(keyword: str, limit: Any, value: Any, said: str) -> None:
    assert expectation(keyword, limit, {}, value) == said


def test_the_title_of_a_type_says_what_a_form_is_of() -> None:
    assert expectation("pattern", "^a$", {"title": "Word"}, "b") == "Word expected: must match ^a$"
    assert expectation("format", "uuid", {"title": "ID"}, "b") == "ID expected: is not a valid uuid"


@pytest.mark.parametrize(
    ("word", "near"),
    [
        ("ciphertxt", "ciphertext"),
        ("cipherrtext", "ciphertext"),
        ("cyphertext", "ciphertext"),
        ("tpye", "type"),
        ("nothing_like_it", None),
        ("ciphertext" + "x" * 100, None),
        ("x" * 64, None),
    ],
)
def test_the_nearest_known_word_is_named(word: str, near: str | None) -> None:
    known = frozenset(("type", "ciphertext", "payload"))
    assert suggest(word, known) == (f" (did you mean {near!r}?)" if near else "")


def test_names_of_any_length_are_shown_shortened() -> None:
    said = undocumented("x" * 10_000, frozenset(("type",)))
    assert said.endswith('…" is not documented')
    assert len(said) < 100
