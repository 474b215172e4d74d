"""Outcomes → findings → verdicts, and what all of them together say about each requirement.

Pure functions: no wire, no clock. A case fails by a broken MUST (or by a step that names no requirement,
which had to work for the case to mean anything) and warns by a broken SHOULD.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from relaykit.conformance.expectations import Expectation
from relaykit.conformance.gathered import shape_of
from relaykit.conformance.matching import short
from relaykit.conformance.record import UNREADABLE, ShapeBook, Violation
from relaykit.conformance.resting import rests_on
from relaykit.conformance.results import (
    UNTESTED,
    Blame,
    Case,
    CaseResult,
    Finding,
    Outcome,
    RequirementResult,
    Verdict,
)
from relaykit.conformance.shapes import shape_requirements
from relaykit.pointers import at_pointer
from relaykit.schemas import Catalogue
from relaykit.schemas.wording import times

LEVELS = ("MUST", "SHOULD", "MAY")


@dataclass(frozen=True, slots=True)
class Rules:
    """What the run judges by: requirements of these levels, and documented ones only, if so asked."""

    levels: frozenset[str] = frozenset(LEVELS)
    documented_only: bool = False


JUDGE_ALL = Rules()


def strength(level: str) -> str:
    """MUST, SHOULD or MAY: a level without its NOT."""
    return level.split(" ")[0]


def strongest(levels: Iterable[str]) -> str:
    """The strongest of several levels; MUST where there is none."""
    found = {strength(level) for level in levels}
    return next((level for level in LEVELS if level in found), "MUST")


def judged(catalogue: Catalogue, requirement: str, rules: Rules) -> bool:
    """Whether the run judges by this requirement."""
    known = catalogue.requirements[requirement]
    if rules.documented_only and known.provenance != "documented":
        return False
    return strength(known.level) in rules.levels


def findings(catalogue: Catalogue, outcomes: Iterable[Outcome], rules: Rules) -> tuple[Finding, ...]:
    """Findings of all failed outcomes: one for each requirement of a step; the same one only once."""
    found = [finding for outcome in outcomes if not outcome.ok for finding in _of(catalogue, outcome, rules)]
    # Not by equality: what was expected and what came need not be hashable.
    distinct = {(each.requirement, each.message, each.step, each.actor): each for each in reversed(found)}
    alone = tuple(reversed(distinct.values()))
    return tuple(replace(each, rests_on=rests_on(catalogue, each, alone)) for each in alone)


def _of(catalogue: Catalogue, outcome: Outcome, rules: Rules) -> Iterable[Finding]:
    if not outcome.requirements:
        yield _finding(outcome, None, "MUST", None, outcome.blame or "target")
    for name in outcome.requirements:
        if not judged(catalogue, name, rules):
            continue
        known = catalogue.requirements[name]
        if strength(known.level) == "MAY":
            continue  # nobody can break what is merely permitted
        presumed: Blame = "unspecified" if known.provenance == "inferred" else "target"
        yield _finding(outcome, name, known.level, known.provenance, outcome.blame or presumed)


def _finding(
    outcome: Outcome, requirement: str | None, level: str, provenance: str | None, blame: Blame
) -> Finding:
    return Finding(
        requirement=requirement,
        level=level,
        provenance=provenance,
        severity="warn" if outcome.soft else severity_of(level),
        blame=blame,
        message=outcome.message,
        expected=outcome.expected,
        actual=outcome.actual,
        step=outcome.step,
        actor=outcome.actor,
        t_ms=outcome.t_ms,
    )


def severity_of(level: str) -> Literal["fail", "warn"]:
    """How much it weighs that a requirement of this level was not kept."""
    return "fail" if strength(level) == "MUST" else "warn"


def verdict_of(found: Sequence[Finding]) -> Verdict:
    """The verdict on a case that was carried out, by its findings."""
    if any(finding.blame == "kit" for finding in found):
        return Verdict.ERROR
    if any(finding.severity == "fail" for finding in found):
        return Verdict.FAIL
    return Verdict.WARN if found else Verdict.PASS


def judge(catalogue: Catalogue, case: Case, outcomes: Sequence[Outcome], rules: Rules) -> CaseResult:
    """The verdict on a case that ran to its end, or to the step that stopped it."""
    found = findings(catalogue, outcomes, rules)
    broken = {name for outcome in outcomes if not outcome.ok for name in outcome.requirements}
    proven = {name for outcome in outcomes if outcome.ok for name in outcome.requirements} - broken
    return CaseResult(case, verdict_of(found), found, proven=frozenset(proven), broken=frozenset(broken))


def expect_failures(
    results: Iterable[CaseResult], expected: Sequence[Expectation]
) -> tuple[tuple[CaseResult, ...], tuple[str, ...]]:
    """Mark failures that the target file expects.

    Returns:
        the results, and a line for each expectation that is stale: what it names ran and did not fail.
    """
    marked: list[CaseResult] = []
    for result in results:
        reason = expected_reason(result, expected)
        marked.append(replace(result, expected_failure=reason) if reason else result)
    stale = (
        f"{entry.place}: {entry.subject} is expected to fail ({entry.reason}), but passes: remove the entry"
        for entry in stale_entries(marked, expected)
    )
    return tuple(marked), tuple(stale)


def stale_entries(results: Sequence[CaseResult], expected: Iterable[Expectation]) -> tuple[Expectation, ...]:
    """The expectations that are stale: what they name ran and did not fail."""
    ran = {r.case.id for r in results if r.verdict in (Verdict.PASS, Verdict.WARN)}
    broken = {f.requirement for r in results for f in r.findings}
    proven = {name for r in results for name in r.proven}
    return tuple(
        entry
        for entry in expected
        if (entry.case in ran if entry.case else entry.requirement in proven - broken)
    )


def expected_reason(result: CaseResult, expected: Sequence[Expectation]) -> str | None:
    """Why the target file expects this failure; None if it does not, or there is none."""
    if result.verdict is not Verdict.FAIL:
        return None
    own = next((entry for entry in expected if entry.case == result.case.id), None)
    if own is not None:
        return own.reason
    reasons = {entry.requirement: entry.reason for entry in expected if entry.requirement}
    severe = [finding for finding in result.findings if finding.severity == "fail"]
    # All of its failures must be expected: an expectation never hides another fault.
    excused = [reason for each in severe if (reason := _excused(each, reasons)) is not None]
    return "; ".join(dict.fromkeys(excused)) if severe and len(excused) == len(severe) else None


def _excused(finding: Finding, reasons: Mapping[str, str]) -> str | None:
    """Why a finding is expected: itself, or as something on which it rests, be it blamed for that or not."""
    own = [reasons.get(name) for name in finding.instead_of]
    if own and None not in own:
        return "; ".join(dict.fromkeys(filter(None, own)))
    names = (finding.requirement or "", *finding.rests_on)
    return next((reasons[name] for name in names if name in reasons), None)


def shape_cases(catalogue: Catalogue, shapes: ShapeBook, rules: Rules) -> tuple[CaseResult, ...]:
    """A result for each type that arrived: were all its frames as their schema says?

    A misshapen frame is reported here, once per distinct violation, however often and in whichever cases it
    came; the cases themselves are judged by behaviour alone. What is no frame at all counts for `messages`.
    """
    if not shapes.arrived and not shapes.violations:
        return ()
    kinds = sorted({*shapes.arrived, *(v.type for v in shapes.violations.values())} - {UNREADABLE})
    every = tuple(shapes.violations.values())
    total = sum(shapes.arrived.values())
    return (
        _shape(catalogue, None, total, [v for v in every if v.type == UNREADABLE], rules),
        *(
            _shape(catalogue, kind, shapes.arrived.get(kind, 0), [v for v in every if v.type == kind], rules)
            for kind in kinds
        ),
    )


def _shape(
    catalogue: Catalogue, kind: str | None, count: int, violations: Sequence[Violation], rules: Rules
) -> CaseResult:
    faults = catalogue.protocol.faults["s2c"]
    # Judged in every frame, though no schema names it: which properties there are, and what a server adds.
    everywhere = [faults[reason] for reason in ("undocumented", "envelope") if reason in faults]
    spec = catalogue.frames.get(("s2c", kind)) if kind else None
    if spec:
        named = (*shape_requirements(spec.bundled), *everywhere)
    else:
        named = tuple(name for name in faults.values() if name not in everywhere)
    broken = [v.finding.requirement for v in violations if v.finding.requirement]
    requirements = tuple(dict.fromkeys((*named, *broken)))
    case = shape_of(kind).case(
        level=strongest(catalogue.requirements[name].level for name in requirements),
        requirements=requirements,
        frames=frozenset((kind,) if kind else ()),
        source=spec.source if spec else "",
    )
    found = tuple(_misshapen(catalogue, violation) for violation in violations)
    if rules.documented_only:
        found = tuple(f for f in found if f.provenance != "inferred")
    verdict = Verdict.PASS
    if any(finding.severity == "fail" for finding in found):
        verdict = Verdict.FAIL
    elif found:
        verdict = Verdict.WARN
    return CaseResult(case, verdict, found, f"{count} arrived", frozenset(requirements) - set(broken))


def _misshapen(catalogue: Catalogue, violation: Violation) -> Finding:
    inner = violation.finding
    known = catalogue.requirements.get(inner.requirement) if inner.requirement else None
    presumed: Blame = "unspecified" if known and known.provenance == "inferred" else "target"
    level = known.level if known else "MUST"
    severity: Literal["fail", "warn"] = (
        "fail" if inner.severity == "error" and strength(level) == "MUST" else "warn"
    )
    return Finding(
        requirement=inner.requirement,
        level=level if severity == "fail" else "SHOULD",
        provenance=known.provenance if known else None,
        severity=severity,
        blame=presumed,
        message=f"{_misshapen_at(inner.pointer, violation.frame)}: {inner.message}"
        f" ({times(violation.count)}, first in {violation.case})",
        expected=None,
        actual=violation.frame,
        step=inner.pointer,
        actor=violation.actor,
        t_ms=violation.t_ms,
        case=violation.case,
    )


def _misshapen_at(pointer: str, frame: object) -> str:
    """The place of a violation, with what stands there."""
    value = at_pointer(frame, pointer) if pointer else None
    return f"{pointer or '(the frame)'}{f' {short(value)}' if isinstance(value, (str, int, float)) else ''}"


def requirement_table(
    catalogue: Catalogue, results: Sequence[CaseResult], cases: Iterable[Case]
) -> tuple[RequirementResult, ...]:
    """What the run says about every requirement, in the catalogue's order."""
    naming: dict[str, dict[str, None]] = {}
    for case in cases:
        for name in case.requirements:
            naming.setdefault(name, {})[case.id] = None
    seen: dict[str, set[str]] = {}
    for result in results:
        broken: dict[str, str] = {}
        for finding in result.findings:
            if finding.requirement and broken.get(finding.requirement) != "fail":
                broken[finding.requirement] = finding.severity
        # A step may break a rule that the case is not about: it is broken all the same.
        for name in broken:
            naming.setdefault(name, {})[result.case.id] = None
        for name in dict.fromkeys((*result.case.requirements, *broken)):
            if name in broken:
                seen.setdefault(name, set()).add(broken[name])
            elif name in result.proven:
                seen.setdefault(name, set()).add("pass")
            elif result.verdict in (Verdict.NOT_APPLICABLE, Verdict.UNTESTABLE, Verdict.ERROR):
                seen.setdefault(name, set()).add(result.verdict.value)
    order = ("fail", "error", "warn", "pass", "untestable", "not-applicable")
    return tuple(
        RequirementResult(
            id=name,
            level=known.level,
            provenance=known.provenance,
            verdict=next((v for v in order if v in seen.get(name, ())), UNTESTED),
            cases=tuple(naming.get(name, ())),
        )
        for name, known in catalogue.requirements.items()
    )
