"""One case, from its first connection to its verdict. Whatever happens in it, it ends in time."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace

from relaykit.conformance.applicable import applicable
from relaykit.conformance.context import CaseStop, Context, Environment, NotApplicableError, UntestableError
from relaykit.conformance.hints import with_advice
from relaykit.conformance.judge import Rules, judge
from relaykit.conformance.restraint import Restraint
from relaykit.conformance.results import OPEN_CONNECTION, Case, CaseResult, Verdict
from relaykit.conformance.tidying import strangers_again, tidy
from relaykit.conformance.unstated import excused
from relaykit.conformance.wire import ABNORMAL, ConnectionEnded

Pause = Callable[[CaseResult], Awaitable[None]]


async def run_one(
    env: Environment, case: Case, rules: Rules, *, attempt: int = 0, pause: Pause | None = None
) -> CaseResult:
    """Run one case and judge it. Raises nothing but `CancelledError`.

    Args:
        attempt: how often it ran before in this run: each time it gets fresh users.
        pause: is waited for where it failed, while its connections are still open.
    """
    early = applicable(env, case)
    if early is not None:
        return early
    if env.issuer.fixed:
        await strangers_again(env, case)
    context = Context(env, case, attempt)
    context.restraint = Restraint(env.target, case)
    started = time.perf_counter()
    try:
        result = excused(context, await _guarded(context, rules), rules)
        result = replace(
            result,
            duration_ms=round((time.perf_counter() - started) * 1000, 2),
            transcript=tuple(context.recorder.transcript.entries),
        )
        result = with_advice(result, env.target)
        if pause is not None and result.verdict is Verdict.FAIL:
            await pause(result)
    finally:
        shared = tuple(context.leased)
        context.leave()
    if shared:
        await tidy(env, shared, after=case)
    cut = any(connection.close_code == ABNORMAL for connection in context.connections)
    if context.doubts or cut or result.verdict is Verdict.FAIL:
        env.doubts += 1
    return result


async def _guarded(context: Context, rules: Rules) -> CaseResult:
    env, case = context.env, context.case
    try:
        async with asyncio.timeout(env.waits.case) as deadline:
            context.deadline = deadline
            await case.run(context)
    except CaseStop:
        pass
    except UntestableError as reason:
        found = judge(env.catalogue, case, context.outcomes, rules)
        # What it needs more does not undo what it has shown.
        return found if found.findings else CaseResult(case, Verdict.UNTESTABLE, reason=str(reason))
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
        context.fail((), said, expected=OPEN_CONNECTION, actual=str(ended))
    except Exception:
        _defect(context)
    return judge(env.catalogue, case, context.outcomes, rules)


def _defect(context: Context) -> None:
    """An exception that no target may cause: the suite's own fault, said as such."""
    trace = traceback.format_exc(limit=-6)
    last = trace.strip().splitlines()[-1]
    context.fail((), f"the suite itself failed: {last}", actual=trace, blame="kit")
