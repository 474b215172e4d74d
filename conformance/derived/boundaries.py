"""For every constraint at a place, frames that keep it only just; and every optional part, there and not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from relaykit.conformance.derived import patterns
from relaykit.conformance.derived.binding import is_bound, upper
from relaykit.conformance.derived.drafts import Draft
from relaykit.conformance.derived.edits import without
from relaykit.conformance.derived.places import Place, kind, with_here
from relaykit.conformance.derived.violations import MEMBER, items

_DATES = {
    "leap-day": "2024-02-29T00:00:00Z",
    "last-moment": "2026-12-31T23:59:59.999999999Z",
    "short-fraction": "2026-03-01T09:30:00.5Z",
}
_LONG = 1000


def boundaries(place: Place) -> Iterator[Draft]:
    """The frames, for one place. Some may not be valid after all, since properties depend on each other:
    the catalogue decides."""
    if place.path:
        for name, about, value in _values(place):
            yield Draft(place.name, name, about, True, with_here(place, value), aims=_aims(place, name))
    yield from _parts(place)


def _aims(place: Place, name: str) -> tuple[str, ...]:
    word = {"at-minimum": "minimum", "at-maximum": "maximum", "at-minItems": "minItems"}.get(name)
    word = word or {"at-maxItems": "maxItems", "at-minLength": "minLength", "null": "anyOf"}.get(name)
    word = word or (
        "enum" if name.startswith("enum-") else "pattern" if name.startswith("pattern-") else None
    )
    rule = place.rule(word) if word else None
    return (rule.pointer,) if rule else ()


def _values(place: Place) -> Iterator[tuple[str, str, Any]]:
    if place.nullable:
        yield "null", "null, which means the same as nothing", None
    listed = place.rule("enum")
    if listed is not None:
        for choice in listed.limit:
            yield f"enum-{choice}", f"the listed value {choice!r}", choice
        return
    match kind(place):
        case "boolean":
            yield "true", "true", True
            yield "false", "false", False
        case "integer" | "number":
            for word, said in (("minimum", "lowest"), ("maximum", "highest")):
                rule = place.rule(word)
                if rule is not None:
                    yield f"at-{word}", f"{rule.limit}, the {said}", rule.limit
        case "array":
            for word, said in (("minItems", "fewest"), ("maxItems", "most")):
                rule = place.rule(word)
                if rule is not None:
                    yield f"at-{word}", f"{rule.limit} items, the {said}", items(place, rule.limit)
        case "string":
            yield from _texts(place)
        case _:
            return


def _texts(place: Place) -> Iterator[tuple[str, str, str]]:
    value = str(place.value)
    if is_bound(value):
        yield "upper-case", "the identifier in upper case", upper(value)
        return
    if place.path == ("type",):
        return
    if place.path[0] != "payload":
        # What all envelopes share is tried thoroughly in payloads that have it too.
        return
    pattern, shortest, format_ = (place.rule(word) for word in ("pattern", "minLength", "format"))
    if format_ is not None and format_.limit == "date-time":
        for name, text in _DATES.items():
            yield name, f"a moment of another look: {text}", text
    if pattern is not None:
        for name, text in patterns.bounds(pattern.limit):
            yield f"pattern-{name}", f"a text at a bound of its form ({name.replace('-', ' ')})", text
    elif shortest is not None:
        yield "at-minLength", f"{shortest.limit} character, the fewest", "x" * shortest.limit
        yield "long", f"{_LONG} characters", "x" * _LONG
    else:
        yield "empty", "empty, which is permitted", ""
        yield "long", f"{_LONG} characters", "x" * _LONG
    yield from _unusual(place)


def _unusual(place: Place) -> Iterator[tuple[str, str, str]]:
    if place.rule("pattern") is None:
        yield "any-script", "letters of other scripts and signs beyond the basic plane", "ß Ж 字 🙂 \u202e"


def _parts(place: Place) -> Iterator[Draft]:
    """Optional properties, and one more where an object is open."""
    if kind(place) != "object":
        return
    for name in place.optional:
        if name in place.value:
            about = f"with {name!r}, which is optional"
            yield Draft(place.name, f"with-{name}", about, True, place.base)
            lacking = without(place.base, (*place.path, name))
            yield Draft(place.name, f"without-{name}", f"without {name!r}, which is optional", True, lacking)
    if not place.closed and place.path:
        about = "with a member that is not listed, where others are permitted"
        more = {**place.value, MEMBER: {"deep": ["kept"]}}
        yield Draft(place.name, "open-member", about, True, with_here(place, more))
