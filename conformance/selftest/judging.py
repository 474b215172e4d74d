"""From a run against a defective server to a verdict on the suite. Pure functions: no wire, no clock.

A defect is killed if, for each requirement that it breaks, a step that names this requirement has failed as
the requirement's level demands (a broken MUST by a failure, a warning is not enough).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from relaykit.conformance.judge import strength
from relaykit.conformance.results import CaseResult, Finding, RunResult, Verdict
from relaykit.conformance.selftest.seeded import Seeded
from relaykit.schemas import Requirement


class Outcome(StrEnum):
    """What became of a defect, or of one requirement that it breaks; the worst stands last."""

    KILLED = "killed"
    """A step that names the requirement has failed."""
    MISNAMED = "misnamed"
    """Something has failed, but no step that names the requirement."""
    SURVIVED = "survived"
    """Nothing has failed."""
    UNJUDGED = "unjudged"
    """No case that names the requirement could run against this server."""
    UNUSABLE = "unusable"
    """There was no server to judge: it did not start, or takes no connection at all."""
    ERROR = "error"
    """The suite itself failed."""


_ORDER = tuple(Outcome)


@dataclass(frozen=True, slots=True)
class Kill:
    """A step that failed and names the requirement: JSON pointer within the scenario; for shapes, within the
    frame; of a probe often empty."""

    case: str
    step: str
    message: str


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a run says of one defect.

    Attributes:
        outcome: the worst of its requirements'.
        requirements: for each that it breaks, what became of it.
        kills: for each that it breaks, by which steps it was killed, the most telling first.
        elsewhere: other requirements whose steps have failed.
        reason: why, where the outcome does not say it.
        witnesses: the cases that found anything, whatever it was.
    """

    defect: Seeded
    outcome: Outcome
    requirements: Mapping[str, Outcome]
    kills: Mapping[str, tuple[Kill, ...]]
    elsewhere: tuple[str, ...] = ()
    reason: str = ""
    cases: int = 0
    duration_s: float = 0.0
    witnesses: frozenset[str] = frozenset()


def judge(defect: Seeded, result: RunResult, known: Mapping[str, Requirement]) -> Verdicts:
    """The verdict on a defect by a run against its server."""
    failed = [each for each in result.cases if each.findings and each.verdict is not Verdict.ERROR]
    kills = {name: _kills(failed, name, known[name].level) for name in defect.breaks}
    others = {f.requirement for each in failed for f in each.findings if f.requirement} - set(defect.breaks)
    broken = next((each for each in result.cases if each.verdict is Verdict.ERROR), None)
    if broken is not None:
        said = broken.findings[0].message if broken.findings else "no reason given"
        outcomes = dict.fromkeys(defect.breaks, Outcome.ERROR)
        reason = f"the suite failed in {broken.case.id}: {said}"
    else:
        outcomes = {name: _outcome(name, kills[name], result) for name in defect.breaks}
        reason = _reason(defect, outcomes, result, failed)
    return Verdicts(
        defect,
        max(outcomes.values(), key=_ORDER.index),
        outcomes,
        kills,
        elsewhere=tuple(sorted(others)),
        reason=reason,
        cases=len(result.cases),
        duration_s=result.duration_s,
        # What a misshapen frame was noticed in is said by the finding.
        witnesses=frozenset(f.case or each.case.id for each in failed for f in each.findings),
    )


def unusable(defect: Seeded, reason: str, outcome: Outcome = Outcome.UNUSABLE) -> Verdicts:
    """The verdict on a defect whose server could not be judged."""
    none: dict[str, tuple[Kill, ...]] = dict.fromkeys(defect.breaks, ())
    return Verdicts(defect, outcome, dict.fromkeys(defect.breaks, outcome), none, reason=reason)


def together(rounds: Sequence[Verdicts]) -> Verdicts:
    """The verdict on a defect by several rounds: for each requirement, the best of them."""
    defect = rounds[0].defect
    outcomes = {
        name: min((each.requirements[name] for each in rounds), key=_ORDER.index) for name in defect.breaks
    }
    kills = {name: tuple(kill for each in rounds for kill in each.kills[name]) for name in defect.breaks}
    return replace(
        rounds[0],
        outcome=max(outcomes.values(), key=_ORDER.index),
        requirements=outcomes,
        kills=kills,
        elsewhere=tuple(sorted({name for each in rounds for name in each.elsewhere})),
        reason=next((each.reason for each in rounds if each.reason), ""),
        cases=sum(each.cases for each in rounds),
        witnesses=frozenset().union(*(each.witnesses for each in rounds)),
        duration_s=round(sum(each.duration_s for each in rounds), 3),
    )


def complaints(result: RunResult) -> list[str]:
    """What a run against a server without a defect finds, which must be nothing."""
    return [
        f"{each.case.id}: {finding.requirement or 'a step without a requirement'}: {finding.message}"
        for each in result.cases
        for finding in each.findings
    ]


def _kills(failed: Sequence[CaseResult], name: str, level: str) -> tuple[Kill, ...]:
    found = [
        (len(each.case.requirements), Kill(each.case.id, _step(each, finding), finding.message))
        for each in failed
        for finding in each.findings
        if finding.requirement == name and _counts(finding, level)
    ]
    # The cases that are about little else say best what is wrong. (Two findings of one step are one kill.)
    ordered = sorted(found, key=lambda item: (item[0], item[1].case, item[1].step, item[1].message))
    return tuple({(kill.case, kill.step): kill for _, kill in reversed(ordered)}.values())[::-1]


def _step(result: CaseResult, finding: Finding) -> str:
    """The step within its case: where the scenario stands in its file changes too often."""
    if result.case.kind != "scenario":
        return finding.step
    rest = finding.step.split("/", 2)[2:]
    return f"/{rest[0]}" if rest else finding.step


def _counts(finding: Finding, level: str) -> bool:
    return finding.severity == "fail" or strength(level) != "MUST"


def _outcome(name: str, kills: Sequence[Kill], result: RunResult) -> Outcome:
    if kills:
        return Outcome.KILLED
    if any(each.findings for each in result.cases):
        return Outcome.MISNAMED
    ran = (Verdict.PASS, Verdict.WARN, Verdict.FAIL)
    if any(name in each.case.requirements and each.verdict in ran for each in result.cases):
        return Outcome.SURVIVED
    return Outcome.UNJUDGED


def _reason(
    defect: Seeded, outcomes: Mapping[str, Outcome], result: RunResult, failed: Sequence[CaseResult]
) -> str:
    if Outcome.UNJUDGED in outcomes.values():
        names = [name for name, outcome in outcomes.items() if outcome is Outcome.UNJUDGED]
        claiming = [each for each in result.cases if set(names) & set(each.case.requirements)]
        reasons = dict.fromkeys(f"{each.case.id}: {each.reason}" for each in claiming)
        return "; ".join(reasons) or f"no case names {', '.join(names)}"
    if Outcome.MISNAMED in outcomes.values():
        return "; ".join(
            f"{each.case.id}: {finding.requirement or '(no requirement)'}: {finding.message}"
            for each in failed[:3]
            for finding in each.findings[:1]
        )
    return ""


@dataclass(frozen=True, slots=True)
class Row:
    """What all defects together say of one requirement.

    Attributes:
        verdict: `proven`: every defect that breaks it was killed; `open`: one was not; `unproven`: no defect
            breaks it; `untested`: none can, as the requirement itself says.
        reason: why none can, or which were not killed.
    """

    id: str
    level: str
    verdict: str
    defects: tuple[str, ...]
    reason: str = ""


def rows(
    requirements: Iterable[Requirement], defects: Sequence[Seeded], verdicts: Iterable[Verdicts]
) -> tuple[Row, ...]:
    """A row for each requirement that a server is bound by, and for others that a defect breaks.

    Args:
        defects: all that exist; those without a verdict did not run, and prove nothing.
    """
    by_id = {each.defect.id: each for each in verdicts}
    found: list[Row] = []
    for requirement in requirements:
        breaking = [each for each in defects if requirement.id in each.breaks]
        if not breaking and strength(requirement.level) != "MUST":
            continue
        ran = [by_id[each.id] for each in breaking if each.id in by_id]
        alive = [v.defect.id for v in ran if v.requirements[requirement.id] is not Outcome.KILLED]
        if not breaking:
            verdict, reason = ("untested", requirement.untested) if requirement.untested else ("unproven", "")
        elif alive:
            verdict, reason = "open", f"not killed: {', '.join(alive)}"
        else:
            verdict, reason = ("proven", "") if ran else ("not-run", "")
        names = tuple(each.id for each in breaking)
        found.append(Row(requirement.id, requirement.level, verdict, names, reason or ""))
    return tuple(found)
