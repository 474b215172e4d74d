"""What a violated keyword expected, in one line of our own words: the same whichever validator found it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from relaykit import config
from relaykit.schemas.wording import counted, kind_of, shorten

_ARTICLES = {"null": "null", "integer": "an integer", "object": "an object", "array": "an array"}


_LONGEST = 64  # characters of a word that may be a slip of a shorter one


def suggest(word: str, known: frozenset[str]) -> str:
    """`config.suggest`, quick enough for recordings in which slips stand by the thousand.

    Most slips are one letter too many, too few or wrong: then word and known word are the same, or become the
    same when one letter is left out.
    """
    return _suggest(word[: _LONGEST + 1], known)  # cut: what is remembered is to be small, whatever was sent


@lru_cache(maxsize=4096)
def _suggest(word: str, known: frozenset[str]) -> str:
    slips = _slips(known)
    for form in _one_letter_less(word) if len(word) <= _LONGEST else ():
        if form in slips:
            return f" (did you mean {slips[form]!r}?)"
    word = word[:_LONGEST]
    letters = set(word)
    alike = [other for other in known if 2 * len(letters.intersection(other)) >= len(letters)]
    return config.suggest(word, alike) if alike else ""


@lru_cache(maxsize=256)
def _slips(known: frozenset[str]) -> dict[str, str]:
    return {form: word for word in sorted(known) for form in _one_letter_less(word)}


def _one_letter_less(word: str) -> list[str]:
    return [word, *(word[:i] + word[i + 1 :] for i in range(len(word)))]


def expectation(keyword: str, limit: Any, schema: Mapping[str, Any], value: Any) -> str:
    """Say what `keyword` expected of `value`.

    Args:
        keyword: the violated keyword.
        limit: what the schema says under it.
        schema: the subschema that holds it; its title names the kind of value.
        value: what the frame has there.
    """
    say = _SAY.get(keyword)
    if say is not None:
        return say(limit, value)
    title = schema.get("title", "")
    if keyword == "pattern":
        return f"must match {limit}" if not title else f"{title} expected: must match {limit}"
    if keyword == "format":
        return f"is not a valid {limit}" if not title else f"{title} expected: is not a valid {limit}"
    if keyword in ("anyOf", "oneOf"):
        choices = [c.get("title", "") if isinstance(c, Mapping) else "" for c in limit]
        named = f": {', '.join(map(shorten, choices))}" if all(choices) else ""
        which = "one" if keyword == "anyOf" else "exactly one"
        return f"{title + ': ' if title else ''}must fit {which} of {len(limit)} forms{named}"
    return f"{title}: violates {keyword}" if title else f"violates {keyword}"


@lru_cache(maxsize=1024)
def missing(name: str) -> str:
    """A required property is missing."""
    return f"{shorten(name)} is missing"


def undocumented(name: str, known: frozenset[str]) -> str:
    """A property that the schema does not know; names the nearest one that it does."""
    near = suggest(name, known)
    return f"{shorten(name)} is not documented{near}"


def kinds(expected: list[str], value: Any) -> str:
    """The value is of the wrong JSON type."""
    words = [_ARTICLES.get(name, f"a {name}") for name in dict.fromkeys(expected)]
    return f"must be {' or '.join(words)}, not {kind_of(value)}"


def _list(options: list[Any]) -> str:
    shown = ", ".join(shorten(option) for option in options[:12])
    return shown if len(options) <= 12 else f"{shown}, …"


def _enum(options: list[Any], value: Any) -> str:
    words = frozenset(option for option in options if isinstance(option, str))
    near = suggest(value, words) if isinstance(value, str) else ""
    return f"must be one of {_list(options)}{near}"


def _at_least(noun: str) -> Callable[[Any, Any], str]:
    def say(limit: Any, value: Any) -> str:
        return (
            "must not be empty"
            if limit == 1
            else f"must have at least {counted(limit, noun)}, not {len(value):,}"
        )

    return say


def _at_most(noun: str) -> Callable[[Any, Any], str]:
    return lambda limit, value: f"must have at most {counted(limit, noun)}, not {len(value):,}"


def _unique(_limit: Any, value: list[Any]) -> str:
    seen: dict[str, int] = {}
    for place, item in enumerate(value):
        first = seen.setdefault(repr(item), place)
        if first != place:
            return f"items must be distinct; {first} and {place} are the same"
    return "items must be distinct"


def _not(limit: Any, _value: Any) -> str:
    pattern = limit.get("pattern") if isinstance(limit, Mapping) else None
    return f"must not match {shorten(pattern)}" if pattern else "must not be a value of this kind"


_SAY: dict[str, Callable[[Any, Any], str]] = {
    "type": lambda limit, value: kinds([limit] if isinstance(limit, str) else limit, value),
    "const": lambda limit, _value: f"must be {shorten(limit)}",
    "enum": _enum,
    "minLength": _at_least("character"),
    "maxLength": _at_most("character"),
    "minItems": _at_least("item"),
    "maxItems": _at_most("item"),
    "minProperties": _at_least("property"),
    "maxProperties": _at_most("property"),
    "uniqueItems": _unique,
    "minimum": lambda limit, _value: f"must be at least {limit}",
    "maximum": lambda limit, _value: f"must be at most {limit}",
    "exclusiveMinimum": lambda limit, _value: f"must be greater than {limit}",
    "exclusiveMaximum": lambda limit, _value: f"must be less than {limit}",
    "multipleOf": lambda limit, _value: f"must be a multiple of {limit}",
    "not": _not,
    "contains": lambda _limit, _value: "has no item of the kind it must contain",
    "unevaluatedProperties": lambda _limit, _value: "has a property that is not documented",
}
