"""How much of what the schemas say was reached: constraints that frames violated, types that were sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from relaykit.conformance.derived.places import ENVELOPE, places
from relaykit.schemas import Catalogue, Finding

_INDEX = re.compile(r"/[0-9]+(?=/|$)")
_FORM = frozenset({"minLength", "maxLength", "pattern", "format", "not"})
Point = tuple[str, str, str]
"""A type (or an empty text), a place in its frames, and the constraint there."""


class Reach:
    """The constraints that client frames can violate, and which of them were violated.

    Args:
        capabilities: only frames of these count.
    """

    def __init__(self, catalogue: Catalogue, capabilities: frozenset[str]) -> None:
        self.possible: set[Point] = set(_possible(catalogue, capabilities))
        self.reached: set[Point] = set()

    def note(self, kind: str | None, findings: Iterable[Finding]) -> bool:
        """Note what a frame violated; whether any of it is new."""
        points = {_point(kind, finding) for finding in findings} & self.possible
        new = points - self.reached
        self.reached |= new
        return bool(new)

    def note_fault(self, reason: str) -> bool:
        """Note that what was sent is no frame, and why; whether that is new."""
        point = "", "", reason
        new = point in self.possible and point not in self.reached
        if new:
            self.reached.add(point)
        return new

    @property
    def missing(self) -> list[str]:
        """What was not reached, in words."""
        return sorted(" ".join(part for part in point if part) for point in self.possible - self.reached)


def _point(kind: str | None, finding: Finding) -> Point:
    keyword = "form" if finding.keyword in _FORM else finding.keyword
    if kind is None:
        return "", "", keyword
    pointer = _INDEX.sub("/*", finding.pointer)
    if keyword == "additionalProperties":
        pointer = pointer.rpartition("/")[0]
    return kind, pointer, keyword


def _possible(catalogue: Catalogue, capabilities: frozenset[str]) -> Iterable[Point]:
    for (way, kind), spec in catalogue.frames.items():
        if way != "c2s" or spec.capability not in capabilities:
            continue
        for place in places(spec):
            pointer = "".join(f"/{'*' if isinstance(step, int) else step}" for step in place.path)
            for rule in place.rules:
                word = "form" if rule.keyword in _FORM else rule.keyword
                if word in ("anyOf", "const") or (place.name == ENVELOPE and word == "type"):
                    continue  # alternatives are told by what they hold; the type chooses the schema
                if pointer == "/type" or (not pointer and rule.limit == "type"):
                    continue
                yield kind, pointer, word
    for reason in (*catalogue.protocol.faults["c2s"], "type"):
        if reason not in ("schema", "undocumented") and not reason.startswith("type-"):
            yield "", "", reason


def summary(reach: Reach, made: Mapping[str, int]) -> str:
    """The reach in a few words."""
    return f"{len(reach.reached)} of {len(reach.possible)} constraints violated, {len(made)} types served"
