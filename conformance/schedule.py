"""The order of a run: cases side by side, then those that must be alone, then failures once more.

A target that dies on the way is brought back, and the cases that may have done it run alone, one by one.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from relaykit.conformance.again import again, worst
from relaykit.conformance.context import Environment
from relaykit.conformance.deaths import Deaths, convicted
from relaykit.conformance.expectations import in_force
from relaykit.conformance.judge import Rules, expected_reason
from relaykit.conformance.results import Case, CaseResult, Verdict
from relaykit.conformance.single import Pause, run_one

Done = Callable[[CaseResult], None]
_RECENT_S = 2.0
"""What a case did may kill a target a moment later: those that ended within this time are suspects, too."""
_MOST_RECENT = 64


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
    retry_s: float = 30.0
    max_fail: int | None = None
    pause: Pause | None = None


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
            result = await self._one(case)
            how = await self.deaths.look()
            if how is None:
                self._ended(result)
            else:
                await self._isolate(how, [result])
        if todo.alone:
            await self._late()
        await self._again()

    async def _one(self, case: Case) -> CaseResult:
        attempt = self._attempts[case.id]
        self._attempts[case.id] += 1
        pause = self._how.pause
        return await run_one(self._env, case, self._how.rules, attempt=attempt, pause=pause)

    async def _together(self, todo: deque[Case]) -> None:
        """Run cases side by side, until there is none left, or the run is stopped."""
        flying: dict[asyncio.Task[CaseResult], Case] = {}
        death = asyncio.create_task(self.deaths.come())
        try:
            while flying or (todo and self.stopped is None):
                while todo and len(flying) < self._how.concurrency and self.stopped is None:
                    case = todo.popleft()
                    flying[asyncio.create_task(self._one(case))] = case
                await asyncio.wait((*flying, death), return_when=asyncio.FIRST_COMPLETED)
                ended = [task for task in flying if task.done()]
                results = [task.result() for task in ended]
                for task in ended:
                    del flying[task]
                how = await self.deaths.look()
                if how is None:
                    for result in results:
                        self._ended(result)
                    continue
                await self._isolate(how, [*results, *await self._landed(flying)])
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

    async def _late(self) -> None:
        """The target may die a moment after the last of several cases: look before others get the blame."""
        how = await self.deaths.look(closely=True)
        if how is not None:
            await self._isolate(how, [])

    async def _guilty(self, result: CaseResult, how: str) -> CaseResult:
        self._deadly.add(result.case.id)
        found = convicted(result, how, [], self.deaths.last_lines())
        self.deaths.notes.append(f"{how} in {result.case.id}, which ran alone")
        await self.deaths.revive(how)
        return found

    async def _isolate(self, how: str, under_way: list[CaseResult]) -> None:
        """The target died while these ran: run them alone, and then those that ended shortly before."""
        now, lines = time.monotonic(), self.deaths.last_lines()
        recent = [each.result for each in self._recent if now - each.at < _RECENT_S]
        self._recent.clear()
        suspects = [*under_way, *(result for result in recent if result.verdict is Verdict.FAIL)]
        names = [result.case.id for result in suspects]
        if not await self.deaths.revive(how):
            for result in suspects:
                others = [name for name in names if name != result.case.id]
                self._ended(convicted(result, how, others, lines))
            return
        self._note(f"{how}; running {len(suspects)} suspects alone")
        guilty = [await self._suspect(result, keep=False) for result in suspects]
        if not any(guilty):
            earlier = [result for result in recent if result.verdict is not Verdict.FAIL]
            guilty = [await self._suspect(result, keep=True) for result in earlier]
            names += [result.case.id for result in earlier]
        if not any(guilty):
            self.unexplained.append((how, names))

    async def _suspect(self, result: CaseResult, *, keep: bool) -> bool:
        """Run a suspect alone. True: the target died of it.

        Args:
            keep: its result stands, if the target does not die of it.
        """
        rerun = await self._one(result.case)
        how = await self.deaths.look(closely=True)
        if how is None:
            if not keep:
                self._ended(rerun)
            return False
        self._ended(await self._guilty(rerun, how))
        return True

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
        """Run failures again, alone."""
        how = self._how
        failures = [result for result in self._failures.values() if result.case.id not in self._deadly]
        if not failures or not how.retries or how.repeat > 1 or how.pause or self._env.gone:
            return
        self._note(f"running {len(failures)} failures again, alone")
        left = await again(failures, self._rerun, self._settled, times=how.retries, seconds=how.retry_s)
        if left:
            self.deaths.notes.append(
                f"{left} of {len(failures)} failures were not run again, as the time for that "
                f"({how.retry_s:g} s) was over: whether they are flaky is not known"
            )

    async def _rerun(self, case: Case) -> CaseResult | None:
        rerun = await self._one(case)
        how = await self.deaths.look()
        if how is not None:
            self._settled(await self._guilty(rerun, how))
            return None
        return None if rerun.verdict in (Verdict.UNTESTABLE, Verdict.NOT_APPLICABLE) else rerun
