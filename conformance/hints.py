"""What most of a run's failures may come from: said first, before whoever reads goes through each of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

from relaykit.conformance.codes import RATE_LIMITED, code_of
from relaykit.conformance.record import Entry
from relaykit.conformance.restraint import RATE
from relaykit.conformance.results import CaseResult, Verdict
from relaykit.conformance.target import Target
from relaykit.schemas.wording import counted

CONTROL_FAILED = "the control interface could not"
"""How the finding begins of a case for which nothing could be arranged."""
_NAMED = 3
_MANY = 4
"""Fewer cases that fail now and then are each an affair of its own."""


def hints(
    results: Iterable[CaseResult], target: Target, *, fences: bool, nothing: int = 0
) -> tuple[str, ...]:
    """A line for each such cause.

    Args:
        fences: whether the target answers heartbeats.
        nothing: for how many messages the dialect's `incoming` returned nothing at all.
    """
    known = tuple(results)
    found = []
    if nothing:
        found.append(
            f"the dialect's `incoming` returned None for {counted(nothing, 'message')}, which nobody got: "
            "does it lack a `return`? (A list without frames drops a message on purpose)"
        )
    if not fences:
        suffering = sum(each.verdict in (Verdict.FAIL, Verdict.UNTESTABLE) and each.ran for each in known)
        found.append(
            "the target answers no `heartbeat` (KEEP-03), by which the suite knows what is served and what "
            f"did not come: that alone may be why {_cases(suffering)} untestable. Serve it first; "
            "a slow answer needs a longer timing.reply_ms"
        )
    limited = [each.case.id for each in known if each.verdict is Verdict.FAIL and is_limited(each, target)]
    if limited:
        names = ", ".join(limited[:_NAMED]) + (", …" if len(limited) > _NAMED else "")
        found.append(
            f"`rate_limited` came in {counted(len(limited), 'failing case')} about something else ({names}): "
            f"{ADVICE}"
        )
    failing = [each for each in known if each.verdict is Verdict.FAIL and _by_control(each)]
    if len(failing) >= _MANY:
        said = failing[0].findings[0].message.partition("\n")[0]
        found.append(
            f"the control interface failed in {len(failing)} cases, which say nothing of the target then: "
            f"{said}. `relaykit doctor` tries each of its operations"
        )
    passing = [each.case.id for each in known if _passes_alone(each)]
    if len(passing) >= _MANY:
        names = ", ".join(passing[:_NAMED]) + ", …"
        found.append(
            f"{len(passing)} cases failed at first, and none of them when it ran again, alone ({names}): the "
            f"target bears few at once, or it stood still for a while{_busy()}. Fewer cases at the same time "
            "(-j 8) or longer waits (--timeout-factor 3) tell which"
        )
    return tuple(found)


def _by_control(result: CaseResult) -> bool:
    return any(finding.message.startswith(CONTROL_FAILED) for finding in result.findings[:1])


def _passes_alone(result: CaseResult) -> bool:
    seen = result.stability
    return result.verdict is Verdict.FAIL and seen is not None and seen.alone and seen.same == 0


def _busy() -> str:
    """That this machine has more to do than it can, where it tells."""
    try:
        load, cores = os.getloadavg()[0], os.cpu_count() or 1
    except OSError:
        return ""
    return f", as this machine may have (load {load:.1f}, {cores} cores)" if load > cores else ""


def _cases(count: int) -> str:
    return f"{count:,} cases fail or are" if count != 1 else "1 case fails or is"


ADVICE = (
    "if the target limits frames, state limits.frames_per_second and limits.burst (or "
    "pacing.frames_per_second) in the target file, and the suite keeps below"
)


def with_advice(result: CaseResult, target: Target) -> CaseResult:
    """A failure, and at its first finding what to state, if a rate that nobody stated may be why."""
    if result.verdict is not Verdict.FAIL or not result.findings or not is_limited(result, target):
        return result
    first, *others = result.findings
    said = f"{first.message} (`rate_limited` came: {ADVICE})"
    return replace(result, findings=(replace(first, message=said), *others))


def is_limited(result: CaseResult, target: Target) -> bool:
    """Whether a case met a limit of frames that the target file does not state."""
    if result.case.limits & RATE or target.stated & RATE or target.frames_per_second is not None:
        return False
    return came(result.transcript)


def came(transcript: Sequence[Entry]) -> bool:
    """Whether the target said `rate_limited`."""
    return any(line.direction == "s2c" and code_of(line.frame) == RATE_LIMITED for line in transcript)
