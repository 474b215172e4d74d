"""From a suspicion (too many errors, something missing, a connection gone) to a culprit, or to none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from relaykit.conformance.derived.violations import STOWAWAY
from relaykit.conformance.fuzz.cells import Cell, gaps
from relaykit.conformance.fuzz.crashes import TOGETHER, Crashes
from relaykit.conformance.fuzz.dossier import Dossier
from relaykit.conformance.fuzz.finding import Finding, kind_of, misshapen, type_in
from relaykit.conformance.fuzz.link import Link
from relaykit.conformance.fuzz.oracle import Duty
from relaykit.conformance.fuzz.room import Waiting
from relaykit.conformance.fuzz.shrinking import shrunk
from relaykit.conformance.fuzz.suspects import (
    Suspect,
    bringing,
    count_sent,
    forbidden,
    messages,
    received,
    smuggling,
    turned_away,
    unacknowledged,
)
from relaykit.conformance.fuzz.trial import Bench, Failure, Template, template_of, usable
from relaykit.conformance.fuzz.watching import TWICE, Watch

_SUSPECTS = 240
"""So many messages are tried for one suspicion at most."""


@dataclass(slots=True)
class Inquiry:
    """Looks into suspicions."""

    bench: Bench
    dossier: Dossier
    crashes: Crashes
    waiting: Waiting
    _crowded: bool = False
    _shapes: set[Any] = field(default_factory=set)
    _watched: set[Watch] = field(default_factory=set)
    _unexplained: dict[Any, Finding] = field(default_factory=dict)
    _closes: int = 0
    _cells: tuple[Cell, ...] = ()

    @property
    def full(self) -> bool:
        """Whether enough was found, or nothing more can be."""
        return self.dossier.full or self.crashes.hopeless

    @property
    def _closed(self) -> bool:
        """Whether nothing is noted any more. When the target has just gone, what it had sent is, untried."""
        return self.dossier.full or (self.crashes.hopeless and not self.crashes.gone)

    def begin(self, cells: Sequence[Cell]) -> None:
        """Another round of looking begins, at these."""
        self.crashes.seen, self._cells, self._crowded = False, tuple(cells), False

    async def look_at(self, cell: Cell) -> None:
        """Look at what an interval left in a cell."""
        if self._closed:
            return
        if self.bench.over:
            await self._look_late(cell)
            return
        if cell.limited:
            await self._look_for_death(cell)
            return
        before = len(self.dossier.findings)
        self._unexplained.clear()
        for name, link in cell.links.items():
            if link.ended is not None or link.inflight:
                await self._gone(name, link)
        if cell.usable or self.crashes.gone:
            await self._look_at_frames(cell)
        if await self._too_many_wait(cell):
            return  # what did not come was refused
        for name, link, batch in cell.doubtful():
            few = batch.errors < batch.least
            said = f"{batch.errors} errors came for {batch.least} frames that must be refused"
            # Too many errors: for what is valid, or several for one.
            likely = sorted(batch.sent, key=lambda sent: (sent.duty is Duty.REFUSE) != few)
            await self._find(said, [(name, link, s) for s in likely])
        if cell.usable:
            await self._look_at_numbers(cell)
        alone = len(self.dossier.findings) == before and not self.full
        if alone or self.crashes.gone:  # else it may be a consequence of what was found
            for finding in list(self._unexplained.values())[:1]:
                self.dossier.add(finding)
            self.dossier.known |= self._unexplained.keys()

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

    async def _too_many_wait(self, cell: Cell) -> bool:
        """Whether messages may have been refused only because others waited: alone, they are served."""
        turned = [] if self.waiting.stated or self.crashes.gone else turned_away(cell)
        alike = {self.dossier.like(each[2]): each for each in turned}
        if not alike or not alike.keys().isdisjoint(self.dossier.known):
            return False
        if not self._crowded:
            few = list(alike.values())[:TOGETHER]
            templates = [template_of(sent, link.who, name, received(link)) for name, link, sent in few]
            if await self._kept_one_of(templates) or self.bench.over or self.crashes.hopeless:
                return False
            self._crowded = self.waiting.learn(
                min(min(link.interval.turned.values()) for _, link, _ in turned)
            )
        return self._crowded

    async def _look_late(self, cell: Cell) -> None:
        """There is no time to try anything; that the target died is shown all the same."""
        how = None if cell.whole or self.crashes.seen else await self.crashes.died()
        if how is not None:
            await self.crashes.look_into(how, self._cells)
        elif cell.suspicious and not self.crashes.seen:
            self.dossier.unexamined += 1

    async def _look_for_death(self, cell: Cell) -> None:
        """A target may end connections that send too much; or it is gone."""
        for link in cell.links.values():
            if link.ended is not None and not self.crashes.seen:
                how = await self.crashes.died()
                if how is not None:
                    await self.crashes.look_into(how, self._cells)
                return

    async def _smuggled(self, cell: Cell, link: Link) -> None:
        """Properties that are not documented, and came all the same: who sent them?"""
        frame = next((each for each in link.interval.misshapen if STOWAWAY in str(each)), None)
        if frame is None or STOWAWAY in self.dossier.known:
            return
        self.dossier.known.add(STOWAWAY)
        suspects = smuggling(cell, frame)
        await self._find(f"a frame came that holds {STOWAWAY}", suspects, silent=True)

    async def _find(
        self, said: str, suspects: Sequence[Suspect], frame: Any = None, *, silent: bool = False
    ) -> None:
        """Try the suspects one by one, alone, until one shows what went wrong.

        Args:
            silent: it is no finding if none does.
        """
        if self._closed:
            return
        fresh = [each for each in suspects if self.dossier.like(each[2]) not in self.dossier.known]
        if not fresh and suspects:
            return  # known: messages like these were found already
        fresh = fresh[:_SUSPECTS]
        why = f"no message among {len(fresh)} shows it when it is sent alone"
        if self.crashes.gone:
            why = f"the target was gone before any of {len(fresh)} messages could be tried alone"
        else:
            templates = [template_of(sent, link.who, name, received(link)) for name, link, sent in fresh]
            if await self._kept_one_of(templates) or self.bench.over or self.crashes.hopeless:
                return
        key = ("unexplained", said.split(" ", 1)[-1])
        if not silent and key not in self.dossier.known:
            found = Finding("unexplained", f"{said}; {why}", frame=frame, suspects=messages(fresh))
            self._unexplained.setdefault(key, found)

    async def _kept_one_of(self, templates: Sequence[Template]) -> bool:
        """Try messages alone, and keep the first that fails; False: none does, or time is up."""
        for start in range(0, len(templates), TOGETHER):
            if self.bench.barren >= TOGETHER:
                await self.crashes.nobody_served(await usable(self.bench))
                return False
            if self.bench.over:
                self.dossier.unexamined += 1
                return False
            part = templates[start : start + TOGETHER]
            failures = await asyncio.gather(*(self.bench.trial(each) for each in part))
            found = next((failure for failure in failures if failure is not None), None)
            if found is not None:
                await self.keep(found)
                return True
        return False

    async def keep(self, failure: Failure) -> None:
        """Make what failed smaller, and note it: unless one like it has been noted."""
        how = await self.crashes.died()
        if how is not None:
            await self.crashes.keep(how, how, failure)
            return
        if self.dossier.excuse(failure) is not None:
            self.dossier.known.add(self.dossier.like_template(failure.template))
            kind, broken = kind_of(failure), failure.requirements
            if not any((each.kind, each.requirements) == (kind, broken) for each in self.dossier.findings):
                self.dossier.add(Finding(kind, failure.outcomes[0].message, broken, failure))
            return
        self.dossier.known.add(self.dossier.like_template(failure.template))
        best = failure

        def smaller(found: Failure) -> None:
            nonlocal best
            best = found
            self.dossier.shrinks(found)

        self.dossier.shrinks(failure)
        try:
            best = await shrunk(self.bench, failure, smaller)
        finally:  # Ctrl-C leaves what there is
            self.dossier.shrinking = ""
            self._note(best)
        how = await self.crashes.died()
        if how is not None:
            await self.crashes.revive(how, provoked=True)

    def _note(self, small: Failure) -> None:
        self.dossier.known.add(self.dossier.like_template(small.template))
        watched = small.template.watch is not None  # each of them is noted once anyway
        message = small.outcomes[0].message
        found = Finding(kind_of(small), message, small.requirements, small, type_in(small.data))
        (self.dossier.add if watched else self.dossier.add_once)(found)

    async def _shapes_of(self, cell: Cell, link: Link) -> None:
        """Frames that came and that their schema does not permit."""
        for found, watch in misshapen(self.bench.env.catalogue, link.interval.misshapen, self._shapes):
            smuggled = "VAL-09" in found.requirements
            known = smuggled and any("VAL-09" in f.requirements for f in self.dossier.findings)
            if not self._closed and not known:
                await self._brings(cell, found, watch)

    async def _brings(self, cell: Cell, found: Finding, watch: Watch) -> None:
        """Look for a message that brings what is watched for; it is a finding in any case."""
        self._watched.add(watch)
        likely = bringing(cell, found.frame, watch)
        if self.crashes.gone:
            found.suspects = messages(likely)
        elif found.requirements and not self.dossier.expects(found.requirements):
            templates = [
                replace(template_of(sent, link.who, name, received(link)), watch=watch)
                for name, link, sent in likely
            ]
            if await self._kept_one_of(templates):
                return
            found.tried = len(templates), count_sent(cell)
        self.dossier.add(found)

    async def _gone(self, name: str, link: Link) -> None:
        """A link ended, or does not answer: because of a single message, or of many?"""
        if self.full or self.crashes.seen:
            return  # all connections end when the target dies
        why = link.ended or "a connection does not answer"
        batch = next(iter(link.inflight), None)
        sent = [] if batch is None else list(batch.sent)
        how = await self.crashes.died()
        if how is not None:
            await self.crashes.look_into(how, self._cells)
            return
        self._closes += 1
        if self._closes > 12 or not sent:
            return  # a server may close after repeated violations; that one may not was looked at
        unserved = await usable(self.bench)
        if unserved is not None:  # then no message alone can show anything
            await self.crashes.nobody_served(unserved)
            return
        fresh = [each for each in sent if self.dossier.like(each) not in self.dossier.known]
        templates = [template_of(each, link.who, name, received(link)) for each in fresh]
        if await self._kept_one_of(templates) or self.bench.over or self.crashes.hopeless:
            return
        if link.ended is None and "silent" not in self.dossier.known:
            self.dossier.known.add("silent")
            said = f"{name}: {why}; no message alone does that"
            self.dossier.add(Finding("unexplained", said, suspects=messages((name, link, s) for s in sent)))
