"""What a dialect has to change: each distinct change is a finding, so that a dialect hides no divergence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from relaykit.conformance.gathered import MESSAGES, dialect_of
from relaykit.conformance.results import CaseResult, Finding, Verdict
from relaykit.pointers import escape
from relaykit.schemas import Catalogue, Direction
from relaykit.schemas.wording import times

_INDEX = re.compile(r"/[0-9]+(?=/|$)")
_MOST = 500
_MOST_LEAVES = 2000


def changes(one: Any, other: Any) -> tuple[str, ...]:
    """In which ways two frames differ, each in words that do not depend on the values.

    A member that is gone and one that is new, with the same value, are one renamed.
    """
    if not isinstance(one, dict) or not isinstance(other, dict):
        return () if _same(one, other) else ("read in another form",)
    before, after = dict(_leaves(one, "")), dict(_leaves(other, ""))
    gone = {key: value for key, value in before.items() if key not in after}
    new = {key: value for key, value in after.items() if key not in before}
    found: list[str] = []
    for key, value in list(gone.items()):
        twin = next((name for name, there in new.items() if _same(there, value)), None)
        if twin is not None:
            found.append(f"{key} renamed to {twin}")
            del gone[key], new[twin]
    found += [f"{key} taken out" for key in gone]
    found += [f"{key} put in" for key in new]
    found += [f"{key} changed" for key in before if key in after and not _same(before[key], after[key])]
    return tuple(dict.fromkeys(_INDEX.sub("/*", line) for line in found))


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _leaves(value: Any, pointer: str) -> Iterator[tuple[str, Any]]:
    waiting = [(pointer, value)]
    count = 0
    while waiting and count < _MOST_LEAVES:
        here, inner = waiting.pop()
        count += 1
        if isinstance(inner, dict) and inner:
            waiting += [(f"{here}/{escape(str(key))}", item) for key, item in reversed(inner.items())]
        elif isinstance(inner, list) and inner:
            waiting += [(f"{here}/{index}", item) for index, item in reversed(list(enumerate(inner)))]
        elif here or not isinstance(inner, dict):
            yield here, inner


def values_in(text: str) -> list[Any] | None:
    """The JSON values that stand in a text one after the other; None: it holds anything else."""
    decoder, found, at = json.JSONDecoder(), [], 0
    try:
        while (at := _past_space(text, at)) < len(text):
            value, at = decoder.raw_decode(text, at)
            found.append(value)
    except (ValueError, RecursionError):
        return None
    return found


def _past_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


@dataclass(slots=True)
class Divergence:
    """One way in which a target's wire differs: where it was first seen, and how often."""

    direction: Direction
    type: str
    what: str
    requirement: str | None
    expected: Any
    actual: Any
    case: str
    actor: str
    t_ms: float
    count: int = 1


@dataclass(slots=True)
class DialectBook:
    """What a dialect did in a run.

    Attributes:
        seen: texts that it was given, in both directions.
        faults: what went wrong in it, in words → how often.
        nothing: for how many messages `incoming` returned nothing at all.
    """

    seen: int = 0
    nothing: int = 0
    divergences: dict[tuple[str, str, str, str | None], Divergence] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)

    def note(self, new: Divergence) -> None:
        key = (new.direction, new.type, new.what, new.requirement)
        known = self.divergences.get(key)
        if known is not None:
            known.count += 1
        elif len(self.divergences) < _MOST:
            self.divergences[key] = new

    def fault(self, said: str) -> None:
        if said in self.faults or len(self.faults) < _MOST:
            self.faults[said] = self.faults.get(said, 0) + 1


def dialect_cases(catalogue: Catalogue, book: DialectBook | None) -> tuple[CaseResult, ...]:
    """A result for each type of frame that the dialect had to change, and one for all that it left alone.

    None of these may pass for a dialect's sake: who follows the protocol cannot talk with such a target.
    """
    if book is None:
        return ()
    known = {*catalogue.types("c2s"), *catalogue.types("s2c")}
    by_type: dict[str, list[Divergence]] = {MESSAGES: []}
    for each in book.divergences.values():
        by_type.setdefault(each.type if each.type in known else MESSAGES, []).append(each)
    return tuple(_case(catalogue, book, kind, found) for kind, found in sorted(by_type.items()))


def _case(catalogue: Catalogue, book: DialectBook, kind: str, found: Sequence[Divergence]) -> CaseResult:
    specs = [spec for (_, name), spec in catalogue.frames.items() if name == kind]
    findings = [_finding(catalogue, each) for each in found]
    if kind == MESSAGES:
        findings += [_fault(said, count) for said, count in book.faults.items()]
    broken = tuple(dict.fromkeys(each.requirement for each in found if each.requirement))
    case = dialect_of(None if kind == MESSAGES else kind).case(
        requirements=broken,
        capabilities=frozenset(spec.capability for spec in specs),
        frames=frozenset((kind,) if specs else ()),
    )
    verdict = Verdict.FAIL if findings else Verdict.PASS
    return CaseResult(case, verdict, tuple(findings), f"{book.seen} messages went through the dialect")


def _finding(catalogue: Catalogue, each: Divergence) -> Finding:
    rule = catalogue.requirements.get(each.requirement) if each.requirement else None
    how = "received" if each.direction == "s2c" else "sent"
    return Finding(
        requirement=each.requirement,
        level=rule.level if rule else "MUST",
        provenance=rule.provenance if rule else None,
        severity="fail",
        blame="target",
        message=f"the dialect changes a {how} {each.type}: {each.what} "
        f"({times(each.count)}, first in {each.case})",
        expected=each.expected,
        actual=each.actual,
        actor=each.actor,
        t_ms=each.t_ms,
        case=each.case,
    )


def _fault(said: str, count: int) -> Finding:
    return Finding(
        requirement=None,
        level="MUST",
        provenance=None,
        severity="fail",
        blame="environment",
        message=f"the dialect failed ({times(count)}): {said}",
        expected="a dialect that takes every frame",
        actual=said,
    )


def frame_type(value: Any) -> str:
    """The type that a value has as a frame, or `message`."""
    kind = value.get("type") if isinstance(value, Mapping) else None
    return kind if isinstance(kind, str) else "message"
