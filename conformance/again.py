"""Failures are run again, alone: does a case fail each time, or now and then?"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from relaykit.conformance.results import Case, CaseResult, Stability, Verdict

_WORST = (
    Verdict.ERROR,
    Verdict.FAIL,
    Verdict.WARN,
    Verdict.UNTESTABLE,
    Verdict.NOT_APPLICABLE,
    Verdict.PASS,
)


def worst(results: Sequence[CaseResult]) -> CaseResult:
    """Of several runs of one case, the first with the worst verdict, with how many came to the same."""
    chosen = min(results, key=lambda result: _WORST.index(result.verdict))
    if len(results) == 1 or chosen.verdict is Verdict.NOT_APPLICABLE:
        return chosen
    same = sum(result.verdict is chosen.verdict for result in results)
    return replace(chosen, stability=Stability(len(results), same, alone=False))


async def again(
    failures: Sequence[CaseResult],
    run_alone: Callable[[Case], Awaitable[CaseResult | None]],
    settle: Callable[[CaseResult], None],
    *,
    times: int,
    seconds: float,
) -> int:
    """Run failures again, each up to so many times; every one has its first turn before one has its second.

    Args:
        run_alone: runs a case with nothing beside it; None: it came to nothing (the target died).
        settle: is given each result with what was found out so far.
        seconds: after which no further run begins, so that a target with many faults is not judged for hours.

    Returns:
        how many failures were not run again at all.
    """
    end = time.monotonic() + seconds
    counts = {result.case.id: (0, 0) for result in failures}
    todo = list(failures)
    for _ in range(times):
        for result in tuple(todo):
            if time.monotonic() > end:
                break
            rerun = await run_alone(result.case)
            if rerun is None:
                todo.remove(result)
                del counts[result.case.id]
                continue
            runs, same = counts[result.case.id]
            failed = rerun.verdict in (Verdict.FAIL, Verdict.ERROR)
            counts[result.case.id] = runs + 1, same + failed
            settle(replace(result, stability=Stability(runs + 1, same + failed, alone=True)))
    return sum(runs == 0 for runs, _ in counts.values())
