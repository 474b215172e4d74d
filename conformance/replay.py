"""`relaykit replay`: does a failure that a scenario file states still occur?

A scenario's steps name the requirements that it is about. A failure by one of these is the one that the file
states; any other is not, and says nothing about it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from relaykit.conformance.aiming import Aim, standing
from relaykit.conformance.expectations import in_force
from relaykit.conformance.results import Case, CaseResult, RunResult, Verdict
from relaykit.conformance.run import Settings, run_session
from relaykit.conformance.target import Target
from relaykit.errors import ExitCode, RelaykitError
from relaykit.schemas import Catalogue


class Outcome(StrEnum):
    """What a replay says of one scenario."""

    REPRODUCED = "reproduced"
    FIXED = "fixed"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Replayed:
    """One scenario and what became of it; `reason` is empty for `fixed`.

    Where the target file expects its failure, that is no news: it counts as little as for `relaykit test`.
    """

    outcome: Outcome
    reason: str
    result: CaseResult


def replayed(result: CaseResult, shapes: Iterable[CaseResult] = ()) -> Replayed:
    """What the verdict on a scenario says about the failure that its file states.

    Args:
        shapes: what the run says of the shape of all frames that came: that is no scenario's affair, but it
            may be what a file states.
    """
    if result.verdict is Verdict.PASS:
        for shape in shapes:
            for finding in shape.findings:
                if shape.case.kind == "shape" and finding.requirement in result.case.requirements:
                    said = f"{finding.requirement}: {finding.message}"
                    marked = replace(result, expected_failure=shape.expected_failure)
                    return Replayed(Outcome.REPRODUCED, said, marked)
        return Replayed(Outcome.FIXED, "", result)
    stated = [finding for finding in result.findings if finding.requirement in result.case.requirements]
    if result.verdict in (Verdict.FAIL, Verdict.WARN) and stated:
        first = stated[0]
        return Replayed(Outcome.REPRODUCED, f"{first.requirement}: {first.message}", result)
    said = result.reason or (result.findings[0].message if result.findings else "")
    if result.verdict is Verdict.FAIL:
        said = f"it fails before it comes to what it is about: {said}"
    return Replayed(Outcome.ERROR, said, result)


async def replay(aimed: Aim, catalogue: Catalogue, cases: Sequence[Case], seed: str, times: int) -> RunResult:
    """Run scenarios against the target, each up to so many times, until it fails.

    Raises:
        UsageError, UnreachableError: there is no target to run them against.
    """
    settings = Settings(seed, timeout_factor=aimed.factor, concurrency=1, secret=aimed.redactor.add)
    try:
        async with standing(aimed) as server:
            result = await run_session(aimed.target, catalogue, cases, settings)
            for number in range(1, times):
                passed = [case.case for case in result.cases if _may_fail_yet(case, result.cases)]
                if not passed or result.interrupted:
                    break
                more = await run_session(
                    aimed.target, catalogue, passed, replace(settings, seed=f"{seed}-{number}")
                )
                latest = {case.case.id: case for case in more.cases}
                result.cases = tuple(latest.pop(case.case.id, case) for case in result.cases)
                result.cases += tuple(case for case in latest.values() if case.findings)
                result.interrupted = more.interrupted
            if server is not None and result.count(Verdict.FAIL):
                await server.settled(0.5)
                result.server_log = tuple(server.tail)
                if server.ended is not None:
                    result.notes = (*result.notes, f"the launched target {server.ended} during the replay")
            return result
    except RelaykitError as error:
        raise aimed.redactor.error(error) from None


def _may_fail_yet(result: CaseResult, every: Iterable[CaseResult]) -> bool:
    return result.case.kind == "scenario" and replayed(result, every).outcome is Outcome.FIXED


def exit_code(done: Iterable[Replayed], stale: Collection[str], *, interrupted: bool) -> ExitCode:
    """The exit code of `relaykit replay`, by the same table as every command's.

    Args:
        stale: lines about scenarios that the target file expects to fail, and that pass.
    """
    every = tuple(done)
    if interrupted:
        return ExitCode.INTERRUPTED
    if any(each.result.verdict is Verdict.ERROR for each in every):
        return ExitCode.KIT_DEFECT
    failed = [
        each
        for each in every
        if each.outcome is Outcome.REPRODUCED or each.result.verdict in (Verdict.FAIL, Verdict.WARN)
    ]
    if stale or any(each.result.expected_failure is None for each in failed):
        return ExitCode.FAILED
    return ExitCode.OK if failed or any(each.outcome is Outcome.FIXED for each in every) else ExitCode.NOTHING


def stale(target: Target, done: Iterable[Replayed], today: date) -> tuple[str, ...]:
    """A line for each scenario that the target file expects to fail by its ID, and that is fixed.

    An expectation that names a requirement is not stale for one scenario's sake.
    """
    fixed = {each.result.case.id for each in done if each.outcome is Outcome.FIXED}
    return tuple(
        f"{entry.place}: {entry.subject} is expected to fail ({entry.reason}), but passes: remove the entry"
        for entry in in_force(target.expected, today)[0]
        if entry.case in fixed
    )
