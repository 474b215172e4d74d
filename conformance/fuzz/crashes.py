"""A target that dies while it is fuzzed: of which message? And how small can that be?"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from relaykit.conformance.deaths import Deaths
from relaykit.conformance.fuzz.cells import Cell
from relaykit.conformance.fuzz.dossier import Dossier
from relaykit.conformance.fuzz.finding import Finding, type_in
from relaykit.conformance.fuzz.shrinking import shrunk
from relaykit.conformance.fuzz.suspects import in_flight, messages, received
from relaykit.conformance.fuzz.trial import Bench, Failure, Template, death, template_of
from relaykit.conformance.results import Outcome

TOGETHER = 8
"""So many messages are tried at a time."""
_DEATHS = 6
"""Of how many deaths a deadly message is made smaller; the target is started again after each."""
_REPLIES = 3
"""How many times as long as a reply may take, what makes a target hang is looked for."""


@dataclass(slots=True)
class Crashes:
    """Looks into deaths.

    Attributes:
        hopeless: the target is gone and cannot be brought back.
        seen: whether it died in this round: all connections end with that, and that alone is no more news.
        gone: it died while it was fuzzed, and did not come back.
    """

    bench: Bench
    deaths: Deaths
    dossier: Dossier
    hopeless: bool = False
    seen: bool = False
    gone: bool = False
    _hurries: bool = False

    async def died(self) -> str | None:
        """How the target died, in words; None if it lives."""
        return await death(self.bench, self.deaths)

    async def revive(self, how: str, *, provoked: bool = False) -> bool:
        """Start a launched target again, or wait a while for somebody else to do that."""
        self.hopeless = self.hopeless or not await self.deaths.revive(how, provoked=provoked)
        return not self.hopeless

    @contextlib.contextmanager
    def _soon(self) -> Iterator[Bench]:
        """The bench, until the end of what there is time for. Each try of a target that hangs takes long."""
        if not self.deaths.hangs or self._hurries:
            yield self.bench
            return
        bench, until, patience = self.bench, self.bench.until, self.deaths.handshake_s
        bench.until = min(until, time.monotonic() + _REPLIES * bench.env.waits.reply)
        self.bench, self._hurries = bench.hurried, True
        self.deaths.handshake_s = self.bench.env.waits.reply / 2
        try:
            yield self.bench
        finally:
            bench.until, bench.count, self.deaths.handshake_s = until, self.bench.count, patience
            self.bench, self._hurries = bench, False

    async def look_into(self, how: str, cells: Sequence[Cell]) -> None:
        """The target is gone: which of all messages that were in flight did it?"""
        with self._soon():
            await self._look_into(how, cells)

    async def _look_into(self, how: str, cells: Sequence[Cell]) -> None:
        self.seen = True
        every = in_flight(cells)
        died = Finding(
            "crash", f"{how}, with {len(every)} messages in flight", died=self.deaths.likeness(how)
        )
        known = any(died.is_like(each) and each.failure for each in self.dossier.findings)
        self.gone = not await self.revive(how)
        if known or self.gone:
            died.suspects = messages(every)
            self.dossier.add_once(died)
            return
        fresh = [each for each in every if self.dossier.like(each[2]) not in self.dossier.known]
        templates = [template_of(sent, link.who, name, received(link)) for name, link, sent in fresh]
        why = "none alone does it"
        for start in range(0, len(templates), TOGETHER):
            if self.bench.over:
                why = "time was up before each was tried alone: more --seconds may tell"
                died.untried = True
                break
            if await self._deadly(how, templates[start : start + TOGETHER]):
                return
            if self.hopeless:
                why = "it did not come up again while they were tried"
                break
        died.message += f"; {why}"
        died.suspects = messages(every)
        self.dossier.add_once(died)

    async def _deadly(self, message: str, templates: Sequence[Template]) -> bool:
        """Whether the target dies of one of these, which is kept then: all at once first, since few do it."""
        failures = await asyncio.gather(*(self.bench.trial(each) for each in templates))
        if not any(failures) and not self.bench.barren:
            return False
        how = await self.died()
        if how is None or not await self.revive(how, provoked=True):
            return False
        self.bench.barren = 0
        for template in templates:
            failure = await self.bench.trial(template)
            how = await self.died()
            if how is not None:
                self.dossier.known.add(self.dossier.like_template(template))
                if failure is not None:
                    await self.keep(message, how, failure)
                    return True
                if not await self.revive(how, provoked=True):
                    return False
        return False

    async def keep(self, message: str, how: str, failure: Failure) -> None:
        """Keep a message of which the target has just died, made as small as a few deaths allow."""
        with self._soon():
            await self._keep(message, how, failure)

    async def _keep(self, message: str, how: str, failure: Failure) -> None:
        self.seen = True
        likeness = self.deaths.likeness(how)
        self.dossier.known.add(self.dossier.like_template(failure.template))
        deaths = 0

        async def deadly(template: Template) -> Failure | None:
            nonlocal deaths
            if deaths >= _DEATHS:
                return None
            tried = await self.bench.trial(template)
            died = await self.died()
            if died is None:
                return None
            deaths += 1
            alike = self.deaths.likeness(died) == likeness
            return tried if await self.revive(died, provoked=True) and alike else None

        def smaller(found: Failure) -> None:
            nonlocal failure
            failure = found
            self.dossier.shrinks(found)

        def found() -> Finding:
            return Finding(
                "crash", message, failure.requirements, failure, type_in(failure.data), died=likeness
            )

        known = any(found().is_like(each) and each.failure for each in self.dossier.findings)
        try:
            if await self.revive(how, provoked=True) and not known:
                self.dossier.shrinks(failure)
                failure = await shrunk(self.bench, failure, smaller, deadly)
        finally:  # Ctrl-C leaves what there is
            self.dossier.shrinking = ""
            self.dossier.known.add(self.dossier.like_template(failure.template))
            self.dossier.add_once(found())

    async def nobody_served(self, outcome: Outcome | None) -> None:
        """No cell can be arranged any more."""
        how = await self.died()
        if how is not None and await self.revive(how):
            return
        if outcome is None:
            self.bench.barren = 0
            return
        self.hopeless = True
        self.dossier.add(Finding("connection", f"the target serves nobody any more: {outcome.message}"))
