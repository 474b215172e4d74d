"""Which constraint is tried by which derived cases; what is left out stands there with its reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from relaykit.conformance.derived.family import Derived, family
from relaykit.conformance.derived.places import ENVELOPE, Place, Rule, places
from relaykit.conformance.matching import short
from relaykit.schemas import Catalogue, FrameSpec

_FAULT = "fault of JSON, bytes or type"
_TYPE = "the type chooses the schema: one of another value is another type (type-unknown, type-direction)"
_FRAME = "what is no object has no type, so that no schema is chosen (object)"
_NULL = "the branch for null is met by null; what is neither violates the other branch as well"


@dataclass(frozen=True, slots=True)
class Row:
    """One constraint at one place of a type's frames.

    Attributes:
        frame: the type.
        constraint: the keyword and what it says; for faults, the reason.
        pointers: where it stands in the type's bundled schema.
        refused: IDs of cases that violate it.
        served: IDs of cases that only just keep it.
        reason: why no case violates it.
    """

    frame: str
    place: str
    constraint: str
    pointers: tuple[str, ...]
    refused: tuple[str, ...]
    served: tuple[str, ...]
    reason: str = ""


def table(catalogue: Catalogue) -> tuple[Row, ...]:
    """All rows, by type and place."""
    cases: dict[str, list[Derived]] = {}
    for each in family(catalogue).values():
        cases.setdefault(each.frame, []).append(each)
    rows: list[Row] = []
    for frame, found in cases.items():
        spec = catalogue.frames.get(("c2s", frame))
        rows += _faults(frame, found)
        rows += _constraints(spec, found) if spec is not None else ()
    return tuple(rows)


def _faults(frame: str, cases: Iterable[Derived]) -> Iterator[Row]:
    reasons: dict[str, list[str]] = {}
    for each in cases:
        for aim in each.draft.aims:
            if not aim.startswith("/"):
                reasons.setdefault(aim, []).append(each.id)
    for reason, ids in reasons.items():
        yield Row(frame, ENVELOPE, reason, (), tuple(ids), ())


def _constraints(spec: FrameSpec, cases: list[Derived]) -> Iterator[Row]:
    for place in places(spec):
        here = [each for each in cases if each.draft.place == place.name]
        for label, rules in _alike(place).items():
            pointers = tuple(dict.fromkeys(rule.pointer for rule in rules))
            about = [each for each in here if set(each.draft.aims) & set(pointers)]
            refused = tuple(each.id for each in about if not each.draft.valid)
            served = tuple(each.id for each in about if each.draft.valid)
            reason = "" if refused else _reason(place, rules[0])
            yield Row(spec.type, place.name, label, pointers, refused, served, reason)


def _alike(place: Place) -> Mapping[str, list[Rule]]:
    """The constraints at a place; one that several subschemas say is one."""
    found: dict[str, list[Rule]] = {}
    for rule in place.rules:
        found.setdefault(_label(rule), []).append(rule)
    return found


def _label(rule: Rule) -> str:
    if rule.keyword == "oneOf":
        return f"oneOf {', '.join(_together(rule))}"
    return rule.keyword if rule.keyword == "anyOf" else f"{rule.keyword} {_said(rule.limit)}"


def _together(rule: Rule) -> list[str]:
    """The properties that the branches of a oneOf speak of."""
    return sorted({name for branch in rule.limit for name in branch.get("properties", {})})


def _said(limit: Any) -> str:
    return limit if isinstance(limit, str) else short(limit, 60)


def _reason(place: Place, rule: Rule) -> str:
    if place.path == ("type",) or (not place.path and rule.limit == "type"):
        return _TYPE
    if not place.path and rule.keyword == "type":
        return _FRAME
    return _NULL if rule.keyword == "anyOf" else ""


def lines(rows: Iterable[Row]) -> Iterator[str]:
    """The table in text: names are those of the last part of the IDs."""
    frame = ""
    for row in rows:
        if row.frame != frame:
            frame = row.frame
            yield f"{frame}"
        words = row.constraint if len(row.constraint) <= 44 else f"{row.constraint[:43]}…"
        said = _names(row.refused) or f"({row.reason})"
        served = f"   served: {_names(row.served)}" if row.served else ""
        yield f"  {row.place:<28} {words:<44} refused: {said}{served}"


def _names(ids: tuple[str, ...]) -> str:
    names = [name.rpartition("/")[2] for name in ids]
    more = f" and {len(names) - 3} more" if len(names) > 4 else ""
    return ", ".join(names[:3] if more else names) + more
