"""For every constraint at a place, a frame that violates it and is otherwise as it should be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from typing import Any

import jsonschema_rs

from relaykit.conformance.derived import patterns
from relaykit.conformance.derived.binding import GOT, is_bound, sample
from relaykit.conformance.derived.drafts import Draft
from relaykit.conformance.derived.edits import without
from relaykit.conformance.derived.places import Place, Rule, kind, with_here

STOWAWAY = "x_stowaway"
"""A property that no schema knows; what it carries must never arrive anywhere."""
MEMBER = "x_member"
"""Another one, for objects whose further members are permitted."""
CARGO = {"deep": ["cargo"]}
_WRONG: dict[str, tuple[tuple[str, Any], ...]] = {
    "string": (("number", 7), ("object", {}), ("array", []), ("boolean", True)),
    "boolean": (("text", "true"), ("number", 1)),
    "integer": (("text", "0"), ("boolean", True)),
    "number": (("text", "0"), ("boolean", True)),
    "object": (("text", "{}"), ("array", [])),
    "array": (("object", {}), ("text", "[]")),
}
"""Values of other JSON types, the likeliest confusion first. The first is tried everywhere."""
_DATES = {
    "no-such-day": "2026-02-29T09:30:00Z",
    "no-such-month": "2026-13-01T09:30:00Z",
    "no-such-hour": "2026-03-01T24:00:00Z",
    "no-such-minute": "2026-03-01T09:60:00Z",
}


def violations(place: Place, *, thorough: bool) -> Iterator[Draft]:
    """The frames, for one place; the rule about which values belong together is in `combinations`.

    Args:
        thorough: not only one frame for each constraint, but everything that is easily mistaken: once for
            each definition that places share.
    """
    if place.path:
        yield from _kinds(place, thorough)
        yield from _texts(place, thorough)
        yield from _numbers(place)
        yield from _arrays(place)
        yield from _choices(place)
    yield from _properties(place)


def _draft(place: Place, name: str, about: str, value: Any, *aims: Rule | None) -> Draft:
    pointers = tuple(rule.pointer for rule in aims if rule is not None)
    return Draft(place.name, name, about, False, with_here(place, value), aims=pointers)


def _kinds(place: Place, thorough: bool) -> Iterator[Draft]:
    rule = place.rule("type") or place.rule("enum") or place.rule("const")
    found = kind(place)
    outer = place.rule("anyOf")
    for number, (name, value) in enumerate(_WRONG[found]):
        # The likeliest confusion everywhere; every one where the schema says this first.
        if number == 0 or thorough:
            about = f"a JSON {name} in place of the {found}"
            label = "type" if number == 0 else f"type-{name}"
            yield _draft(place, label, about, value, rule, outer)
    if not place.nullable:
        yield _draft(place, "null", "null, where nothing is not permitted", None, rule)


def _choices(place: Place) -> Iterator[Draft]:
    rule = place.rule("enum")
    if rule is None:
        return
    other = str(rule.limit[0]).upper()
    yield _draft(place, "enum", "a value that is not listed", "x_unlisted", rule)
    yield _draft(place, "enum-case", "a listed value in other letter case", other, rule)


def _texts(place: Place, thorough: bool) -> Iterator[Draft]:
    if kind(place) != "string":
        return
    checks = {rule.keyword: _check(rule) for rule in place.rules if rule.keyword in _CHECKS}
    rules = {rule.keyword: rule for rule in place.rules if rule.keyword in checks}
    candidates = _candidates(place)
    broken = {
        text: frozenset(word for word, check in checks.items() if not check(_sampled(text)))
        for _, text in candidates
    }
    taken: set[str] = set()
    for word, rule in rules.items():
        fitting = [(name, text) for name, text in candidates if word in broken[text]]
        fitting.sort(key=lambda each: (each[1] in taken, len(broken[each[1]])))
        if fitting:
            name, text = fitting[0]
            taken.add(text)
            yield _draft(place, word, f"{_SAID[word]}: {name}", text, rule)
    if thorough:
        for name, text in candidates:
            if broken[text] and text not in taken:
                taken.add(text)
                aims = [rule for word, rule in rules.items() if word in broken[text]]
                label = name.replace(" ", "-")
                yield _draft(place, f"form-{label}", f"a text of another form: {name}", text, *aims)


_SAID = {
    "maxLength": "a text that is too long",
    "minLength": "a text that is too short",
    "pattern": "a text of another form",
    "format": "a text of another format",
    "not": "a text of a form that is excluded",
}
_CHECKS = frozenset(_SAID)


def _candidates(place: Place) -> list[tuple[str, str]]:
    """(name, text): texts that one constraint or another may not permit."""
    value = str(place.value)
    found = [
        ("one character more", f"{value}0"),
        ("a line feed after it", f"{value}\n"),
        ("a blank before it", f" {value}"),
        ("empty", ""),
    ]
    if is_bound(value):
        # As lenient readers of UUIDs take them.
        found += [("in braces", f"{{{value}}}"), ("as a URN", f"urn:uuid:{value}")]
    format_ = place.rule("format")
    if format_ is not None and format_.limit == "date-time":
        found += [(name.replace("-", " "), text) for name, text in _DATES.items()]
        found += [
            ("an offset in place of Z", "2026-03-01T10:30:00+01:00"),
            ("a lower case t and z", "2026-03-01t09:30:00z"),
            ("no zone", "2026-03-01T09:30:00"),
        ]
    rule = place.rule("pattern")
    if rule is not None and not is_bound(value):
        found += [(name.replace("-", " "), text) for name, text in patterns.beyond(rule.limit)]
    distinct = {text: name for name, text in reversed(found)}
    return [(name, text) for name, text in found if distinct[text] == name]


@cache
def _sampled(text: str) -> str:
    return str(sample().fill(text))


def _check(rule: Rule) -> Callable[[str], bool]:
    """Whether a text keeps one constraint, looked at by itself."""
    limit = rule.limit
    match rule.keyword:
        case "maxLength":
            return lambda text: len(text) <= limit
        case "minLength":
            return lambda text: len(text) >= limit
        case "pattern":
            return lambda text: patterns.matches(limit, text)
        case _:
            alone = _alone(rule.keyword, str(limit) if rule.keyword == "format" else limit["pattern"])
            return lambda text: bool(alone.is_valid(text))


@cache
def _alone(keyword: str, limit: str) -> Any:
    schema: dict[str, Any] = {keyword: limit} if keyword == "format" else {"not": {"pattern": limit}}
    return jsonschema_rs.Draft202012Validator(schema, validate_formats=True, offline=True)


def _numbers(place: Place) -> Iterator[Draft]:
    if kind(place) not in ("integer", "number"):
        return
    lowest, highest = place.rule("minimum"), place.rule("maximum")
    if lowest is not None:
        about = f"{lowest.limit - 1}, one below the lowest"
        yield _draft(place, "minimum", about, lowest.limit - 1, lowest)
    if highest is not None:
        about = f"{highest.limit + 1}, one above the highest"
        yield _draft(place, "maximum", about, highest.limit + 1, highest)
    if kind(place) == "integer":
        yield _draft(place, "type-fraction", "a fraction in place of the integer", 0.5, place.rule("type"))


def _arrays(place: Place) -> Iterator[Draft]:
    if kind(place) != "array":
        return
    fewest, most, unique = (place.rule(word) for word in ("minItems", "maxItems", "uniqueItems"))
    if fewest is not None:
        about = f"{fewest.limit - 1} items, one too few"
        yield _draft(place, "minItems", about, items(place, fewest.limit - 1), fewest)
    if most is not None:
        about = f"{most.limit + 1} items, one too many"
        yield _draft(place, "maxItems", about, items(place, most.limit + 1), most)
    if unique is not None and unique.limit:
        yield _draft(place, "uniqueItems", "the same item twice", items(place, 1) * 2, unique)


def items(place: Place, count: int) -> list[Any]:
    """So many different items of an array."""
    if is_bound(place.value[0]):
        return [f"${{{GOT}.{index}}}" for index in range(count)]
    return [place.value[index % len(place.value)] for index in range(count)]


def _properties(place: Place) -> Iterator[Draft]:
    if kind(place) != "object":
        return
    for rule in place.rules:
        if (
            rule.keyword == "required"
            and rule.limit in place.value
            and (*place.path, rule.limit) != ("type",)
        ):
            about = f"without {rule.limit!r}, which is required"
            frame = without(place.base, (*place.path, rule.limit))
            name = f"required-{rule.limit}"
            yield Draft(place.name, name, about, False, frame, aims=(rule.pointer,))
    closed = place.rule("additionalProperties")
    if closed is not None:
        for name, about, value in (
            (STOWAWAY, "with a property that is not documented", CARGO),
            *((name, f"with {name!r}, which clients never send", "cargo") for name in place.barred),
        ):
            more = {**place.value, name: value}
            frame = with_here(place, more) if place.path else more
            label = "unknown-property" if name == STOWAWAY else f"unknown-property-{name}"
            yield Draft(place.name, label, about, False, frame, aims=(closed.pointer,))


def combinations(place: Place, others: dict[str, Any]) -> Iterator[Draft]:
    """Every combination of absent, null and a value for properties that a `oneOf` speaks of together.

    Which of them are valid is for the catalogue to say: `valid` is False in all of these drafts.

    Args:
        others: for each property, a value it may have.
    """
    for rule in place.rules:
        if rule.keyword != "oneOf":
            continue
        names = sorted({name for branch in rule.limit for name in branch.get("properties", {})})
        base = {name: value for name, value in place.value.items() if name not in names}
        for states in product(("absent", "null", "given"), repeat=len(names)):
            chosen = {
                name: None if state == "null" else others[name]
                for name, state in zip(names, states, strict=True)
                if state != "absent"
            }
            said = ", ".join(f"{name} {state}" for name, state in zip(names, states, strict=True))
            label = "-".join(states)
            yield Draft(
                place.name,
                f"oneOf-{'-'.join(names)}-{label}",
                said,
                False,
                with_here(place, {**base, **chosen}),
                aims=(rule.pointer,),
            )
