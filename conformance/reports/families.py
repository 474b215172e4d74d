"""Derived cases in reports: there are many, so they stand together by frame, place and constraint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Data = Mapping[str, Any]
_SHOWN = 5
"""So many failures of derived cases are shown in full on a terminal; the others in a line for each place."""


@dataclass(frozen=True, slots=True)
class Family:
    """Cases of one frame: derived ones; or, without a name, all that are not derived."""

    name: str
    cases: tuple[Data, ...]


def is_derived(case: Data) -> bool:
    """Whether a case was made from the schemas."""
    return bool(case.get("kind") == "derived")


def families(cases: Iterable[Data]) -> list[Family]:
    """The cases that people wrote, then the derived ones by frame."""
    found: dict[str, list[Data]] = {"": []}
    for case in cases:
        frame = "/".join(case["id"].split("/")[:2]) if is_derived(case) else ""
        found.setdefault(frame, []).append(case)
    return [Family(name, tuple(members)) for name, members in found.items() if members]


def shown_in_full(cases: Iterable[Data]) -> list[Data]:
    """All but the derived cases after the first few."""
    made = [case["id"] for case in cases if is_derived(case)][_SHOWN:]
    return [case for case in cases if case["id"] not in made]


def in_short(cases: Sequence[Data]) -> list[tuple[str, list[str]]]:
    """The derived cases that `shown_in_full` leaves out: (frame and place, what was done there)."""
    full = {case["id"] for case in shown_in_full(cases)}
    places: dict[str, list[str]] = {}
    for case in cases:
        if case["id"] not in full:
            place, _, name = case["id"].rpartition("/")
            places.setdefault(place, []).append(name)
    return list(places.items())


def named(names: Sequence[str]) -> tuple[list[str], int]:
    """Names of cases as a list is readable: those that are not derived, and how many derived ones follow."""
    written = [name for name in names if not name.startswith("derived/")]
    return written, len(names) - len(written)
