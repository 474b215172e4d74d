"""The order of a run: cases side by side, then those that must be alone, then failures once more.

A target that dies on the way is brought back, and the cases that may have done it run alone, one by one.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from relaykit.conformance.again import Reruns, worst
from relaykit.conformance.context import Environment
from relaykit.conformance.deaths import Deaths, convicted
from relaykit.conformance.expectations import in_force
from relaykit.conformance.isolating import Guilty, Isolation
from relaykit.conformance.judge import Rules, expected_reason
from relaykit.conformance.results import Case, CaseResult, Verdict
from relaykit.conformance.single import Pause, run_one
from relaykit.schemas.wording import counted

Done = Callable[[CaseResult], None]
_RECENT_S = 2.0
"""What a case did may kill a target a moment later: those that ended within this time are suspects, too."""
_MOST_RECENT = 1024
_NO_TIME = (
    "slow, and the {:g} s for running failures again were over, so that it is not known whether it is flaky "
    "(--retry-time 0 sets no bound)"
)


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


@dataclass(frozen=True, slots=True)
class How:
    """How cases run; see `Settings` of `relaykit.conformance.run`."""

    concurrency: int
    rules: Rules
    repeat: int = 1
    retries: int = 3
    retry_s: float | None = 30.0
    max_fail: int | None = None
    pause: Pause | None = None
    late_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Ended:
    """A case that has just ended."""

    at: float
    result: CaseResult


class Schedule:
    """The way of one run.

    Args:
        done: gets each case's result, once.
        settled: gets it again, where a later run of the case said more.
        note: gets a line when the run comes to something else.

    Attributes:
        stopped: why no further case is begun; None: nothing stops it.
        unexplained: deaths of the target that no case could be made to repeat: how, and the suspects.
    """

    def __init__(
        self, env: Environment, how: How, done: Done, settled: Done, note: Callable[[str], None]
    ) -> None:
        self._env = env
        self._how = how
        self._done = done
        self._settled = settled
        self._note = note
        self._attempts: Counter[str] = Counter()
        self._runs: dict[str, list[CaseResult]] = {}
        self._recent: deque[_Ended] = deque(maxlen=_MOST_RECENT)
        self._expected, _ = in_force(env.target.expected, datetime.now(UTC).date())
        self._failures: dict[str, CaseResult] = {}
        self._deadly: set[str] = set()
        self._reruns: Reruns | None = None
        self.deaths = Deaths(env)
        self.stopped: str | None = None
        self.unexplained: list[tuple[str, list[str]]] = []

    async def run(self, cases: Sequence[Case]) -> None:
        """Run all cases.

        When this is cancelled (Ctrl-C), connections are closed and the cases under way get no result.
        """
        todo, repeat = plan(cases), range(self._how.repeat)
        await self._together(deque(case for _ in repeat for case in todo.together))
        await self._late()
        for case in (case for _ in repeat for case in todo.alone):
            if self.stopped is not None:
                break
            begun, result = time.monotonic(), await self._one(case)
            how = await self.deaths.look()
            if how is None:
                self._ended(result)
            else:
                await self._isolate(how, [result], begun)
        if todo.alone:
            await self._late()
        await self._again()
        if self._how.late_s:
            await self._late(self._how.late_s)

    async def _one(self, case: Case) -> CaseResult:
        attempt = self._attempts[case.id]
        self._attempts[case.id] += 1
        pause = self._how.pause
        return await run_one(self._env, case, self._how.rules, attempt=attempt, pause=pause)

    async def _together(self, todo: deque[Case], sink: Done | None = None, *, stoppable: bool = True) -> None:
        """Run cases side by side, until there is none left, or the run is stopped.

        Args:
            sink: gets each result; None: they are those of the run.
            stoppable: whether it ends with the run, where that is stopped.
        """
        take = sink or self._ended
        flying: dict[asyncio.Task[CaseResult], Case] = {}
        death = asyncio.create_task(self.deaths.come())
        try:
            while flying or (todo and not (stoppable and self.stopped)):
                while todo and len(flying) < self._how.concurrency and not (stoppable and self.stopped):
                    case = todo.popleft()
                    flying[asyncio.create_task(self._one(case))] = case
                await asyncio.wait((*flying, death), return_when=asyncio.FIRST_COMPLETED)
                seen = time.monotonic()
                ended = [task for task in flying if task.done()]
                results = [task.result() for task in ended]
                for task in ended:
                    del flying[task]
                how = await self.deaths.look()
                if how is None:
                    for result in results:
                        take(result)
                    continue
                results += await self._landed(flying)
                await self._isolate(how, results, seen, keep=sink is not None)
                flying.clear()
                death.cancel()
                death = asyncio.create_task(self.deaths.come())
        finally:
            for task in flying:
                task.cancel()
            death.cancel()
            await asyncio.gather(*flying, death, return_exceptions=True)

    async def _landed(self, flying: dict[asyncio.Task[CaseResult], Case]) -> list[CaseResult]:
        """What the cases under way say, now that the target is dead: most notice that soon."""
        if not flying:
            return []
        done, late = await asyncio.wait(flying, timeout=self._env.waits.reply * 2)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return [
            *(task.result() for task in done),
            *(CaseResult(flying[task], Verdict.FAIL) for task in late),
        ]

    async def _late(self, patience_s: float = 0.0) -> None:
        """The target may die a moment after the last of several cases: look before others get the blame."""
        begun, how = time.monotonic(), await self.deaths.look(closely=True, patience_s=patience_s)
        if how is not None:
            await self._isolate(how, [], begun)

    async def _isolate(
        self, how: str, under_way: list[CaseResult], died: float, *, keep: bool = False
    ) -> None:
        """The target died while these ran: run them alone, and then those that ended shortly before.

        Args:
            died: when, by the monotonic clock, or somewhat before; whoever noticed it may have taken long.
            keep: there are results of them from before, which stand unless the target dies of them.
        """
        lines = self.deaths.last_lines()
        recent = [each.result for each in self._recent if died - each.at < _RECENT_S]
        self._recent.clear()
        suspects = [*under_way, *(result for result in recent if result.verdict is Verdict.FAIL)]
        names = [result.case.id for result in suspects]
        if not await self.deaths.revive(how):
            for result in () if keep else suspects:
                others = [name for name in names if name != result.case.id]
                self._ended(convicted(result, how, others, lines))
            return
        self._note(f"{how}; running {len(suspects)} suspects alone")
        guilty = await self._alone(suspects, keep=keep)
        if not guilty:
            # Of those that had ended well: their results stand.
            earlier = [result for result in recent if result.verdict is not Verdict.FAIL]
            if earlier:
                self._note(f"{how}; running {len(earlier)} that had ended shortly before alone")
            guilty = await self._alone(earlier, keep=True)
            names += [result.case.id for result in earlier]
        if not guilty:
            self.unexplained.append((how, names))

    async def _alone(self, suspects: Sequence[CaseResult], *, keep: bool = False) -> bool:
        """Run suspects alone. True: the target died of one of them.

        Args:
            keep: the results of those that are harmless stand; else those of the runs alone do.
        """
        cases = list({result.case.id: result.case for result in suspects}.values())
        found = await Isolation(self.deaths, self._one, _RECENT_S * self._env.factor).search(cases)
        for each in found.guilty:
            self._ended(self._guilty(each))
        for result in () if keep else suspects:
            name = result.case.id
            if name not in self._deadly:
                if name not in found.harmless:  # it ran while the target died, or the target is gone
                    found.harmless[name] = await self._one(result.case)
                self._ended(found.harmless[name])
        if found.guilty:
            self.unexplained += [(how, [case.id for case in cases]) for how in found.unexplained]
        return bool(found.guilty)

    def _guilty(self, each: Guilty) -> CaseResult:
        self._deadly.add(each.result.case.id)
        if self._reruns is not None:
            self._reruns.drop(each.result.case)
        self.deaths.notes.append(f"{each.how} in {each.result.case.id}, which ran alone")
        return convicted(each.result, each.how, [], each.lines)

    def _ended(self, result: CaseResult) -> None:
        """A run of a case is over; with its last one there is a result."""
        known = self._runs.setdefault(result.case.id, [])
        before = len(known) >= self._how.repeat
        if before:
            known[-1] = result
        else:
            known.append(result)
        if result.case.id not in self._deadly:
            self._recent.append(_Ended(time.monotonic(), result))
        if len(known) < self._how.repeat:
            return
        whole = worst(known)
        (self._settled if before else self._done)(whole)
        self._failures.pop(whole.case.id, None)
        if whole.verdict is Verdict.FAIL and expected_reason(whole, self._expected) is None:
            self._failures[whole.case.id] = whole
            if self._how.max_fail is not None and len(self._failures) >= self._how.max_fail:
                self.stopped = f"the run was stopped after {self._how.max_fail} failures (--max-fail)"

    async def _again(self) -> None:
        """Run failures again: alone, as often as there is time for; the rest once, side by side.

        With nothing beside it a case tells most. But on a bad server failures take long, and nobody is to
        wait for hours. Slow cases for which there is no time are said not to have been run again.
        """
        how = self._how
        failures = [result for result in self._failures.values() if result.case.id not in self._deadly]
        if not failures or not how.retries or how.repeat > 1 or how.pause or self._env.gone:
            return
        self._note(f"running {counted(len(failures), 'failure')} again, alone")
        self._reruns = reruns = Reruns(failures, self._settled)
        end = time.monotonic() + (how.retry_s or math.inf)
        for _ in range(how.retries):
            for case in reruns.open:
                if time.monotonic() < end:
                    await self._rerun(case, reruns)
        rest = [case for case in reruns.waiting if not case.slow]
        if rest:
            self._note(f"running {counted(len(rest), 'other failure')} again, side by side")
            await self._together(deque(plan(rest).together), self._ran_beside, stoppable=False)
            for case in [case for case in reruns.waiting if not case.slow]:
                await self._rerun(case, reruns)
        why = _NO_TIME.format(how.retry_s or 0)
        if left := reruns.leave(why):
            self.deaths.notes.append(f"{left} of {len(failures)} failures were not run again: {why}")

    def _ran_beside(self, rerun: CaseResult) -> None:
        self._recent.append(_Ended(time.monotonic(), rerun))
        if self._reruns is not None:
            self._reruns.ran_beside(rerun)

    async def _rerun(self, case: Case, reruns: Reruns) -> None:
        begun, rerun = time.monotonic(), await self._one(case)
        how = await self.deaths.look()
        if how is not None:
            await self._isolate(how, [rerun], begun, keep=True)
            reruns.drop(case, "" if case.id in self._deadly else f"{how} while it ran again")
            return
        self._recent.append(_Ended(time.monotonic(), rerun))
        reruns.ran_alone(rerun)
