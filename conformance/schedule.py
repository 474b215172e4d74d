"""Runs cases side by side. Whatever happens in one, it ends in time and with a verdict."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from relaykit.conformance.context import CaseStop, Context, Environment, NotApplicableError, UntestableError
from relaykit.conformance.judge import Rules, judge
from relaykit.conformance.results import Case, CaseResult, Verdict
from relaykit.conformance.tidying import tidy
from relaykit.conformance.wire import ConnectionEnded

Done = Callable[[CaseResult], None]
_PATIENCE = 5
"""Connections in a row that could not be opened before the target is looked at: is it still there?"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs, in which order: cases that bear company first, then those that must be alone."""

    together: tuple[Case, ...]
    alone: tuple[Case, ...]


def plan(cases: Sequence[Case]) -> Plan:
    """Split the cases into those that run side by side and those that run alone, in order."""
    return Plan(
        tuple(case for case in cases if not case.exclusive), tuple(case for case in cases if case.exclusive)
    )


def applicable(env: Environment, case: Case) -> CaseResult | None:
    """A result for a case that need not be run, because it does not apply or cannot be judged."""
    target = env.target
    missing = sorted(case.capabilities - target.capabilities)
    if missing:
        names = ", ".join(missing)
        return CaseResult(case, Verdict.NOT_APPLICABLE, reason=f"the target does not declare {names}")
    present = sorted(case.without & target.capabilities)
    if present:
        return CaseResult(case, Verdict.NOT_APPLICABLE, reason=f"the target declares {', '.join(present)}")
    if case.operations and target.control is None:
        names = ", ".join(sorted(case.operations))
        return CaseResult(
            case, Verdict.UNTESTABLE, reason=f"needs {names}: the target file states no control interface"
        )
    lacking = sorted(name for name in case.operations if not target.offers(name))
    if lacking:
        return CaseResult(
            case, Verdict.UNTESTABLE, reason=f"the target's control interface lacks {', '.join(lacking)}"
        )
    unstated = sorted(case.limits - target.stated)
    if unstated:
        return CaseResult(
            case,
            Verdict.UNTESTABLE,
            reason=f"the target file does not state limits.{', limits.'.join(unstated)}",
        )
    actors = case.scenario.actors.values() if case.scenario else ()
    if target.legacy is None and any(actor.legacy for actor in actors):
        reason = "the target file does not state how a connection asks for deprecated frames (`legacy`)"
        return CaseResult(case, Verdict.UNTESTABLE, reason=reason)
    if not env.fences and case.kind in ("probe", "derived"):
        reason = "the target answers no heartbeat, so that nothing tells a connection that is served"
        return CaseResult(case, Verdict.UNTESTABLE, reason=reason)
    if env.gone is not None:
        return CaseResult(case, Verdict.UNTESTABLE, reason=env.gone)
    return None


async def run_cases(
    env: Environment, cases: Sequence[Case], rules: Rules, concurrency: int, done: Done
) -> None:
    """Run all cases; `done` gets each result as it is there.

    When this is cancelled (Ctrl-C), connections are closed and the cases under way get no result.
    """
    todo = plan(cases)
    queue = deque(todo.together)

    async def worker() -> None:
        while queue:
            done(await run_one(env, queue.popleft(), rules))

    async with asyncio.TaskGroup() as group:
        for _ in range(min(concurrency, len(todo.together))):
            group.create_task(worker())
    for case in todo.alone:
        done(await run_one(env, case, rules))


async def run_one(env: Environment, case: Case, rules: Rules) -> CaseResult:
    """Run one case and judge it. Raises nothing but `CancelledError`."""
    early = applicable(env, case)
    if early is not None:
        return early
    context = Context(env, case)
    started = time.perf_counter()
    try:
        result = await _guarded(context, rules)
        if context.leased:
            await tidy(env, context.leased)
    finally:
        context.leave()
    if env.unreachable >= _PATIENCE and env.gone is None:
        await _look(env, case)
    return replace(
        result,
        duration_ms=round((time.perf_counter() - started) * 1000, 2),
        transcript=tuple(context.recorder.transcript.entries),
    )


async def _guarded(context: Context, rules: Rules) -> CaseResult:
    env, case = context.env, context.case
    try:
        async with asyncio.timeout(env.waits.case) as deadline:
            context.deadline = deadline
            await case.run(context)
    except CaseStop:
        pass
    except UntestableError as reason:
        return CaseResult(case, Verdict.UNTESTABLE, reason=str(reason))
    except NotApplicableError as reason:
        return CaseResult(case, Verdict.NOT_APPLICABLE, reason=str(reason))
    except TimeoutError:
        if not deadline.expired():
            _defect(context)
        context.fail(
            (),
            f"the case did not end within {env.waits.case:g} s",
            expected="an end",
            actual=f"still at {context.step or 'its first step'}",
        )
    except ConnectionEnded as ended:
        said = f"the connection is needed, but {ended}"
        context.fail((), said, expected="an open connection", actual=str(ended))
    except Exception:
        _defect(context)
    return judge(env.catalogue, case, context.outcomes, rules)


def _defect(context: Context) -> None:
    """An exception that no target may cause: the suite's own fault, said as such."""
    trace = traceback.format_exc(limit=-6)
    last = trace.strip().splitlines()[-1]
    context.fail((), f"the suite itself failed: {last}", actual=trace, blame="kit")


async def _look(env: Environment, case: Case) -> None:
    """Many connections failed one after the other: if the target is gone, the rest need not try."""
    parts = urlsplit(env.target.url)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    try:
        async with asyncio.timeout(1.0):
            _, writer = await asyncio.open_connection(parts.hostname, port)
        writer.close()
        env.unreachable = 0
    except (OSError, TimeoutError):
        env.gone = f"the target no longer accepts connections (noticed in {case.id})"
