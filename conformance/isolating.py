"""Which of several cases does the target die of? They run alone, on a target that was started anew.

A target may die a moment after what killed it, while another case runs. So whoever ran when it died is not
believed to have done it, until the target dies of that case with nothing before it. If it does not, those
that ran before are tried by halves, each time with some patience behind them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from relaykit.conformance.deaths import Deaths
from relaykit.conformance.results import Case, CaseResult, Verdict


@dataclass(frozen=True, slots=True)
class Guilty:
    """A case of which the target died when it ran alone: how, and the last lines that it wrote."""

    result: CaseResult
    how: str
    lines: tuple[str, ...]


@dataclass(slots=True)
class Found:
    """What running suspects alone has shown.

    Attributes:
        guilty: those of which the target died.
        harmless: ID of a case → its last run that did the target no harm.
        unexplained: deaths that came while several ran one after the other, and not when each ran alone.
    """

    guilty: list[Guilty] = field(default_factory=list)
    harmless: dict[str, CaseResult] = field(default_factory=dict)
    unexplained: list[str] = field(default_factory=list)


class Isolation:
    """Runs suspects alone.

    Args:
        run: runs a case with nothing beside it.
        patience_s: how long after a case the target is watched for dying of it.
    """

    def __init__(
        self, deaths: Deaths, run: Callable[[Case], Awaitable[CaseResult]], patience_s: float
    ) -> None:
        self._deaths = deaths
        self._run = run
        self._patience_s = patience_s
        self._latest: CaseResult | None = None

    async def search(self, suspects: Sequence[Case]) -> Found:
        """Find those of which the target dies; it was started anew just now."""
        found = Found()
        since: list[Case] = []
        for case in suspects:
            since.append(case)
            how = await self._dies_of([case], found, patience_s=0.0)
            if how is not None:
                await self._pin(how, since, found)
                since = []
            if self._deaths.gone:
                return found
        if since and not found.guilty:
            how = await self._deaths.look(patience_s=self._patience_s)
            if how is not None:
                await self._pin(how, since, found)
        return found

    async def _dies_of(self, cases: Sequence[Case], found: Found, *, patience_s: float) -> str | None:
        """Run cases one after the other; how the target died meanwhile, or None if it lives."""
        for case in cases:
            self._latest = found.harmless[case.id] = result = await self._run(case)
            how = await self._deaths.look(closely=result.verdict is Verdict.FAIL)
            if how is not None:
                del found.harmless[case.id]  # whether by itself or not, it has gone wrong
                return how
        return await self._deaths.look(patience_s=patience_s) if patience_s else None

    async def _pin(self, how: str, since: Sequence[Case], found: Found) -> None:
        """The target died after these had run since it was started, the last of them just now."""
        *before, last = since
        if not before:
            await self._convict(how, found)
            return
        if not await self._deaths.revive(how, provoked=True):
            return
        if await self._dies_alone(last, found):
            return
        while len(before) > 1:
            middle = len(before) // 2
            dead = await self._dies_of(before[middle:], found, patience_s=self._patience_s)
            before = before[middle:] if dead else before[:middle]
            if dead and not await self._deaths.revive(dead, provoked=True):
                return
        if not await self._dies_alone(before[0], found):
            found.unexplained.append(how)

    async def _dies_alone(self, case: Case, found: Found) -> bool:
        how = await self._dies_of([case], found, patience_s=self._patience_s)
        if how is not None:
            await self._convict(how, found)
        return how is not None

    async def _convict(self, how: str, found: Found) -> None:
        """The target died of the case that ran last."""
        assert self._latest is not None  # or there would be nobody to convict
        found.harmless.pop(self._latest.case.id, None)
        found.guilty.append(Guilty(self._latest, how, tuple(self._deaths.last_lines())))
        await self._deaths.revive(how)
