"""A whole run: preflight, schedule, judge; from a target and cases to a `RunResult`."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from relaykit.conformance.context import Environment
from relaykit.conformance.control import open_control
from relaykit.conformance.issuing import Issuer
from relaykit.conformance.judge import JUDGE_ALL, Rules, expect_failures, requirement_table, shape_cases
from relaykit.conformance.pacing import Pace
from relaykit.conformance.preflight import preflight
from relaykit.conformance.results import Case, CaseResult, RunResult, Verdict
from relaykit.conformance.schedule import run_cases
from relaykit.conformance.target import Target
from relaykit.errors import ExitCode
from relaykit.schemas import Catalogue

DEFAULT_CONCURRENCY = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run, beside the target file.

    Attributes:
        seed: from which users, identifiers and texts follow.
        timeout_factor: by which all waits are stretched.
        concurrency: cases at the same time; None: the target file's, or the default.
        secret: is told what came up during the run and must never be shown.
    """

    seed: str
    rules: Rules = JUDGE_ALL
    timeout_factor: float = 1.0
    concurrency: int | None = None
    secret: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Progress:
    """Called while the run goes on: once when the target turned out to be there, then for each case."""

    ready: Callable[[int, str], None]
    done: Callable[[CaseResult], None]


def silent() -> Progress:
    """Progress that nobody watches."""
    return Progress(lambda _count, _carrier: None, lambda _result: None)


def environment(target: Target, catalogue: Catalogue, settings: Settings) -> Environment:
    """What all cases of a run share; within an event loop, and to be closed at the end.

    Raises:
        UsageError: TLS or a control adapter cannot be set up.
    """
    waits = target.waits.scaled(settings.timeout_factor)
    return Environment(
        target=target,
        catalogue=catalogue,
        waits=waits,
        seed=settings.seed,
        tls=target.tls(),
        control=open_control(target.control, waits.reply * 5),
        issuer=Issuer(target.tokens, waits.reply * 5, settings.secret),
        factor=settings.timeout_factor,
        pace=Pace(target.connections_per_second),
    )


def _concurrency(env: Environment, settings: Settings) -> int:
    """How many cases run at the same time."""
    if env.issuer.fixed:
        return 1  # fixed users are shared by all cases: two at once would see each other's frames
    target = env.target
    if target.connections_per_second is not None:
        # More would wait for their turn within the time that a case has.
        default = min(DEFAULT_CONCURRENCY, math.ceil(target.connections_per_second))
    else:
        default = DEFAULT_CONCURRENCY
    return settings.concurrency or target.concurrency or default


async def run(
    target: Target,
    catalogue: Catalogue,
    cases: Sequence[Case],
    settings: Settings,
    progress: Progress | None = None,
) -> RunResult:
    """Run the cases against the target.

    Returns:
        all verdicts; `interrupted` is set if the run was cancelled, and cases that did not run are then
        untestable, with that as the reason.

    Raises:
        UnreachableError: there is no target to judge.
    """
    watch = progress or silent()
    env = environment(target, catalogue, settings)
    started, clock = datetime.now(UTC), time.perf_counter()
    results: dict[str, CaseResult] = {}

    def done(result: CaseResult) -> None:
        results[result.case.id] = result
        watch.done(result)

    interrupted = False
    try:
        ready = await preflight(env)
        env.carrier, env.fences = ready.carrier, ready.fences
        watch.ready(len(cases), ready.carrier)
        concurrency = _concurrency(env, settings)
        try:
            await run_cases(env, cases, settings.rules, concurrency, done)
        except asyncio.CancelledError:
            interrupted = True
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
    finally:
        await env.close()
    reason = "the run was interrupted before it came to a verdict"
    ordered = [results.get(case.id) or CaseResult(case, Verdict.UNTESTABLE, reason=reason) for case in cases]
    result = conclude(
        env,
        ordered,
        settings,
        started=started,
        duration_s=time.perf_counter() - clock,
        notes=ready.notes,
        interrupted=interrupted,
    )
    result.clock_skew_s = ready.skew_s
    return result


def conclude(
    env: Environment,
    results: Sequence[CaseResult],
    settings: Settings,
    *,
    started: datetime,
    duration_s: float,
    notes: Sequence[str],
    interrupted: bool,
) -> RunResult:
    """Add what follows from all cases together: shapes, expectations, the table of requirements."""
    shapes = shape_cases(env.catalogue, env.shapes, settings.rules)
    marked, stale = expect_failures((*results, *shapes), env.target.expected)
    more = [env.gone] if env.gone else []
    return RunResult(
        cases=marked,
        requirements=requirement_table(env.catalogue, marked, [result.case for result in marked]),
        started=started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        duration_s=round(duration_s, 3),
        seed=settings.seed,
        carrier=env.carrier,
        stale=stale,
        notes=(*notes, *more),
        interrupted=interrupted,
    )


def exit_code(result: RunResult, fail_on: frozenset[str]) -> int:
    """The exit code of `relaykit test`: see `ExitCode`.

    Args:
        fail_on: further verdicts, beside `fail`, that fail the run: `warn`, `untestable`, `not-applicable`.
    """
    if result.interrupted:
        return ExitCode.INTERRUPTED
    if result.count(Verdict.ERROR):
        return ExitCode.KIT_DEFECT
    executed = (Verdict.PASS, Verdict.FAIL, Verdict.WARN)
    if not any(case.verdict in executed and case.case.kind != "shape" for case in result.cases):
        return ExitCode.NOTHING
    if result.unexpected or result.stale:
        return ExitCode.FAILED
    if any(case.verdict.value in fail_on for case in result.cases if case.expected_failure is None):
        return ExitCode.FAILED
    return ExitCode.OK
