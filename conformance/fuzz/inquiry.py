"""From a suspicion (too many errors, something missing, a connection gone) to a culprit, or to none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from relaykit.conformance.deaths import Deaths
from relaykit.conformance.derived.violations import STOWAWAY
from relaykit.conformance.expectations import Expectation, excuse, in_force
from relaykit.conformance.fuzz.cells import Cell, gaps
from relaykit.conformance.fuzz.finding import Finding, kind_of, misshapen, type_in
from relaykit.conformance.fuzz.link import Link, Sent
from relaykit.conformance.fuzz.oracle import Duty
from relaykit.conformance.fuzz.shrinking import shrunk
from relaykit.conformance.fuzz.suspects import (
    Suspect,
    bringing,
    forbidden,
    in_flight,
    received,
    signature,
    smuggling,
    unacknowledged,
)
from relaykit.conformance.fuzz.trial import Bench, Failure, Template, death, sample_of, template_of, usable
from relaykit.conformance.fuzz.watching import TWICE, Watch
from relaykit.conformance.results import Outcome

_TOGETHER = 8
_SUSPECTS = 240
"""So many messages are tried for one suspicion at most."""
_DEATHS = 6
"""Of how many deaths a deadly message is made smaller; the target is started again after each."""


@dataclass(slots=True)
class Inquiry:
    """Looks into suspicions.

    Attributes:
        findings: each of its kind once.
        most: findings that are not expected; then it stops looking.
        lapsed: what the target file expected until a day that has passed.
        hopeless: the target is gone and cannot be brought back.
        unexamined: how many suspicions there was no more time for.
        shrinking: what is being made smaller, in words; `told` hears of each change.
    """

    bench: Bench
    deaths: Deaths
    most: int
    findings: list[Finding] = field(default_factory=list)
    hopeless: bool = False
    unexamined: int = 0
    shrinking: str = ""
    told: Callable[[], None] = lambda: None
    lapsed: tuple[str, ...] = ()
    _expected: tuple[Expectation, ...] = ()
    _signatures: set[Any] = field(default_factory=set)
    _shapes: set[Any] = field(default_factory=set)
    _watched: set[Watch] = field(default_factory=set)
    _unexplained: dict[Any, Finding] = field(default_factory=dict)
    _closes: int = 0
    _crashed: bool = False
    _cells: tuple[Cell, ...] = ()

    def __post_init__(self) -> None:
        self._expected, self.lapsed = in_force(self.bench.env.target.expected, datetime.now(UTC).date())

    @property
    def unexpected(self) -> int:
        """How many findings the target file does not expect."""
        return sum(finding.expected is None for finding in self.findings)

    @property
    def full(self) -> bool:
        return self.unexpected >= self.most or self.hopeless

    def begin(self, cells: Sequence[Cell]) -> None:
        """Another round of looking begins, at these."""
        self._crashed, self._cells = False, tuple(cells)

    async def look_at(self, cell: Cell) -> None:
        """Look at what an interval left in a cell."""
        if self.full:
            return
        if self.bench.over:
            died = not cell.whole and await self.died() is not None
            self.unexamined += died or cell.suspicious
            return
        if cell.limited:
            await self._look_for_death(cell)
            return
        before = len(self.findings)
        self._unexplained.clear()
        for name, link in cell.links.items():
            if link.ended is not None or link.inflight:
                await self._gone(name, link)
        if cell.usable:
            await self._look_at_frames(cell)
        for name, link, batch in cell.doubtful():
            few = batch.errors < batch.least
            said = f"{batch.errors} errors came for {batch.least} frames that must be refused"
            # Too many errors: for what is valid, or several for one.
            likely = sorted(batch.sent, key=lambda sent: (sent.duty is Duty.REFUSE) != few)
            await self._find(said, [(name, link, s) for s in likely])
        if cell.usable:
            await self._look_at_numbers(cell)
        if len(self.findings) == before and not self.full:  # else it may be a consequence of what was found
            self.findings += list(self._unexplained.values())[:1]
            self._signatures |= self._unexplained.keys()

    async def _look_at_frames(self, cell: Cell) -> None:
        """What came and must not: that tells most of what is wrong."""
        for name, link in cell.links.items():
            if link.interval.twice and TWICE not in self._watched:
                said = f"{name} got a message twice on one connection"
                found = Finding("twice", said, (TWICE.requirement,), frame=link.interval.twice[0])
                await self._brings(cell, found, TWICE)
            if link.interval.forbidden:
                frame = link.interval.forbidden[0]
                said = f"{name} got a {frame.get('type')} that holds what must be refused"
                await self._find(said, forbidden(cell, frame), frame=frame)
            await self._smuggled(cell, link)
            await self._shapes_of(cell, link)

    async def _look_at_numbers(self, cell: Cell) -> None:
        """What came too often, or not often enough."""
        names = {id(link): name for name, link in cell.links.items()}
        for gap in gaps(cell):
            right = f"{gap.least} to {gap.most} were right"
            said = f"{gap.came} frames of type {gap.kind} came to {gap.who}, {right}"
            await self._find(said, [(names[id(link)], link, s) for link, s in gap.suspects])
        for name, link in cell.links.items():
            suspects = unacknowledged(name, link)
            if suspects:  # else it was made, and not sent before the interval ended
                await self._find(f"{len(suspects)} messages were not acknowledged", suspects)

    async def _look_for_death(self, cell: Cell) -> None:
        """A target may end connections that send too much; or it is gone."""
        for link in cell.links.values():
            if link.ended is not None and not self._crashed:
                how = await self.died()
                if how is not None:
                    await self._crash(how)
                return

    async def _smuggled(self, cell: Cell, link: Link) -> None:
        """Properties that are not documented, and came all the same: who sent them?"""
        frame = next((each for each in link.interval.misshapen if STOWAWAY in str(each)), None)
        if frame is None or STOWAWAY in self._signatures:
            return
        self._signatures.add(STOWAWAY)
        suspects = smuggling(cell, frame)
        await self._find(f"a frame came that holds {STOWAWAY}", suspects, silent=True)

    async def _find(
        self, said: str, suspects: Sequence[Suspect], frame: Any = None, *, silent: bool = False
    ) -> None:
        """Try the suspects one by one, alone, until one shows what went wrong.

        Args:
            silent: it is no finding if none does.
        """
        if self.full:
            return
        fresh = [each for each in suspects if self._signature(each[2]) not in self._signatures]
        if not fresh and suspects:
            return  # known: messages like these were found already
        templates = [
            template_of(sent, link.who, name, received(link)) for name, link, sent in fresh[:_SUSPECTS]
        ]
        if await self._kept_one_of(templates) or self.bench.over or self.hopeless:
            return
        key = ("unexplained", said.split(" ", 1)[-1])
        if not silent and key not in self._signatures:
            message = f"{said}; no message among {len(templates)} shows it when it is sent alone"
            self._unexplained.setdefault(key, Finding("unexplained", message, frame=frame))

    async def _kept_one_of(self, templates: Sequence[Template]) -> bool:
        """Try messages alone, and keep the first that fails; False: none does, or time is up."""
        for start in range(0, len(templates), _TOGETHER):
            if self.bench.barren >= _TOGETHER:
                await self.nobody_served(await usable(self.bench))
                return False
            if self.bench.over:
                self.unexamined += 1
                return False
            part = templates[start : start + _TOGETHER]
            failures = await asyncio.gather(*(self.bench.trial(each) for each in part))
            found = next((failure for failure in failures if failure is not None), None)
            if found is not None:
                await self.keep(found)
                return True
        return False

    async def keep(self, failure: Failure) -> None:
        """Make what failed smaller, and note it: unless one like it has been noted."""
        how = await self.died()
        if how is not None:
            await self._keep_crash(how, how, failure)
            return
        if self._excuse(failure) is not None:
            self._signatures.add(self._template_signature(failure.template))
            kind, broken = kind_of(failure), failure.requirements
            if not any((each.kind, each.requirements) == (kind, broken) for each in self.findings):
                self._add(Finding(kind, failure.outcomes[0].message, broken, failure))
            return
        self._signatures.add(self._template_signature(failure.template))
        best = failure

        def smaller(found: Failure) -> None:
            nonlocal best
            best = found
            self._shrinks(found)

        self._shrinks(failure)
        try:
            best = await shrunk(self.bench, failure, smaller)
        finally:  # Ctrl-C leaves what there is
            self.shrinking = ""
            self._note(best)
        how = await self.died()
        if how is not None:
            await self._revive(how, provoked=True)

    def _shrinks(self, failure: Failure) -> None:
        rule = next(iter(failure.requirements), "what stops it")
        self.shrinking = f"{rule}, {len(failure.data):,} bytes left"
        self.told()

    def _note(self, small: Failure) -> None:
        self._signatures.add(self._template_signature(small.template))
        watched = small.template.watch is not None  # each of them is noted once anyway
        message = small.outcomes[0].message
        found = Finding(kind_of(small), message, small.requirements, small, type_in(small.data))
        if watched or not any(found.is_like(each) for each in self.findings):
            self._add(found)

    def _add(self, finding: Finding) -> None:
        failure = finding.failure
        finding.expected = self._excuse(failure) if failure else excuse(self._expected, finding.requirements)
        self.findings.append(finding)

    def _excuse(self, failure: Failure) -> str | None:
        """Why the target file expects this; each failed check must be expected by what it breaks first."""
        return excuse(self._expected, (next(iter(o.requirements), "") for o in failure.outcomes))

    def _signature(self, sent: Sent) -> Any:
        return signature(self.bench.env.catalogue, sent.data, sent.duty)

    def _template_signature(self, template: Template) -> Any:
        alike = signature(self.bench.env.catalogue, sample_of(template), template.duty)
        return (*alike, template.watch) if template.watch else alike

    async def _shapes_of(self, cell: Cell, link: Link) -> None:
        """Frames that came and that their schema does not permit."""
        for found, watch in misshapen(self.bench.env.catalogue, link.interval.misshapen, self._shapes):
            smuggled = "VAL-09" in found.requirements
            if not self.full and not (smuggled and any("VAL-09" in f.requirements for f in self.findings)):
                await self._brings(cell, found, watch)

    async def _brings(self, cell: Cell, found: Finding, watch: Watch) -> None:
        """Look for a message that brings what is watched for; it is a finding in any case."""
        self._watched.add(watch)
        if excuse(self._expected, found.requirements) is None and found.requirements:
            templates = [
                replace(template_of(sent, link.who, name, received(link)), watch=watch)
                for name, link, sent in bringing(cell, found.frame, watch)
            ]
            if await self._kept_one_of(templates):
                return
        self._add(found)

    async def _gone(self, name: str, link: Link) -> None:
        """A link ended, or does not answer: because of a single message, or of many?"""
        if self.full or self._crashed:
            return  # all connections end when the target dies
        why = link.ended or "a connection does not answer"
        batch = next(iter(link.inflight), None)
        sent = [] if batch is None else list(batch.sent)
        how = await self.died()
        if how is not None:
            await self._crash(how)
            return
        self._closes += 1
        if self._closes > 12 or not sent:
            return  # a server may close after repeated violations; that one may not was looked at
        unserved = await usable(self.bench)
        if unserved is not None:  # then no message alone can show anything
            await self.nobody_served(unserved)
            return
        fresh = [each for each in sent if self._signature(each) not in self._signatures]
        templates = [template_of(each, link.who, name, received(link)) for each in fresh]
        if await self._kept_one_of(templates) or self.bench.over or self.hopeless:
            return
        if link.ended is None and "silent" not in self._signatures:
            self._signatures.add("silent")
            self.findings.append(Finding("unexplained", f"{name}: {why}; no message alone does that"))

    async def _crash(self, message: str) -> None:
        """The target is gone: which of all messages that were in flight did it?"""
        self._crashed = True
        every = in_flight(self._cells)
        if not await self._revive(message):
            self.findings.append(Finding("crash", f"{message}, with {len(every)} messages in flight"))
            return
        fresh = [each for each in every if self._signature(each[2]) not in self._signatures]
        templates = [template_of(sent, link.who, name, received(link)) for name, link, sent in fresh]
        for start in range(0, len(templates), _TOGETHER):
            if self.bench.over:
                self.unexamined += 1
                break
            if await self._deadly(message, templates[start : start + _TOGETHER]):
                return
            if self.hopeless:
                break
        if not any(finding.kind == "crash" for finding in self.findings):
            why = "it did not come up again while they were tried" if self.hopeless else "none alone does it"
            said = f"{message}, with {len(every)} messages in flight; {why}"
            self.findings.append(Finding("crash", said))

    async def _deadly(self, message: str, templates: Sequence[Template]) -> bool:
        """Whether the target dies of one of these, which is kept then: all at once first, since few do it."""
        failures = await asyncio.gather(*(self.bench.trial(each) for each in templates))
        if not any(failures) and not self.bench.barren:
            return False
        how = await self.died()
        if how is None or not await self._revive(how, provoked=True):
            return False
        self.bench.barren = 0
        for template in templates:
            failure = await self.bench.trial(template)
            how = await self.died()
            if how is not None:
                self._signatures.add(self._template_signature(template))
                if failure is not None:
                    await self._keep_crash(message, how, failure)
                    return True
                if not await self._revive(how, provoked=True):
                    return False
        return False

    async def _keep_crash(self, message: str, how: str, failure: Failure) -> None:
        """Keep a message of which the target has just died, made as small as a few deaths allow."""
        self._signatures.add(self._template_signature(failure.template))
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
            return tried if await self._revive(died, provoked=True) else None

        def smaller(found: Failure) -> None:
            nonlocal failure
            failure = found
            self._shrinks(found)

        try:
            if await self._revive(how, provoked=True):
                self._shrinks(failure)
                failure = await shrunk(self.bench, failure, smaller, deadly)
        finally:  # Ctrl-C leaves what there is
            self.shrinking = ""
            self._signatures.add(self._template_signature(failure.template))
            found = Finding("crash", message, failure.requirements, failure, type_in(failure.data))
            if not any(found.is_like(each) for each in self.findings):  # no requirement excuses a crash
                self.findings.append(found)

    async def died(self) -> str | None:
        """How the target died, in words; None if it lives."""
        return await death(self.bench, self.deaths)

    async def _revive(self, how: str, *, provoked: bool = False) -> bool:
        """Start a launched target again, or wait a while for somebody else to do that."""
        self.hopeless = self.hopeless or not await self.deaths.revive(how, provoked=provoked)
        return not self.hopeless

    async def nobody_served(self, outcome: Outcome | None) -> None:
        """No cell can be arranged any more."""
        how = await self.died()
        if how is not None and await self._revive(how):
            return
        if outcome is None:
            self.bench.barren = 0
            return
        self.hopeless = True
        self.findings.append(Finding("connection", f"the target serves nobody any more: {outcome.message}"))
