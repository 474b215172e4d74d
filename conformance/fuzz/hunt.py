"""The hunt: many links send batches side by side; now and then all stand still, and accounts are settled."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import orjson

from relaykit.conformance.context import CaseStop, Environment, UntestableError
from relaykit.conformance.deaths import Deaths
from relaykit.conformance.fence import quiet
from relaykit.conformance.fuzz.cells import Cell, make_cell
from relaykit.conformance.fuzz.corpus import Corpus
from relaykit.conformance.fuzz.crashes import Crashes
from relaykit.conformance.fuzz.dossier import Dossier
from relaykit.conformance.fuzz.finding import Finding
from relaykit.conformance.fuzz.generator import Generator
from relaykit.conformance.fuzz.inquiry import Inquiry
from relaykit.conformance.fuzz.link import Batch, Check, Interval, Link, Sent
from relaykit.conformance.fuzz.making import Maker
from relaykit.conformance.fuzz.memory import Memory
from relaykit.conformance.fuzz.oracle import Duty, Oracle
from relaykit.conformance.fuzz.reach import Reach
from relaykit.conformance.fuzz.room import Waiting
from relaykit.conformance.fuzz.sizes import Sizes
from relaykit.conformance.fuzz.trial import Bench, Failure, template_of, usable
from relaykit.conformance.launch import Launched
from relaykit.conformance.pacing import Budget
from relaykit.conformance.results import Case
from relaykit.errors import UnreachableError

_BATCH, _WINDOW = 24, 3
_INTERVAL_S = 2.0
_INTERVAL_FRAMES = 60_000
_RECEIPTS = 200
_FIRST, _LOOKED_AT = 4000, 32
"""What is looked at for what it violates, where no corpus is kept: so many invalid frames at first, then one
of so many."""
_CLOSING = 4
"""So many messages that end their connection are sent in an interval, each alone: a connection costs more
than a hundred frames."""
EXTRA_S = 15.0
"""What looking into suspicions, and shrinking, may take beyond the time that was given."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When the hunt ends: after so many seconds, frames, or findings that the target file does not expect."""

    seconds: float
    frames: int | None
    most: int


@dataclass(slots=True)
class Tally:
    """How far it is.

    Attributes:
        frames: that were sent and answered.
        closing: those that had to end their connection, sent alone.
        pace: frames per second and connection that are sent at most; None: as many as are answered.
    """

    frames: int = 0
    refused: int = 0
    accepted: int = 0
    either: int = 0
    closing: int = 0
    seconds: float = 0.0
    pace: float | None = None
    closed: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.frames / self.seconds if self.seconds else 0.0


class Hunt:
    """Fuzzes frames against one target.

    Attributes:
        memory: of a launched target.
        findings: what was found, each once.
    """

    def __init__(
        self,
        env: Environment,
        case: Case,
        corpus: Corpus,
        limits: Limits,
        connections: int,
        server: Launched | None,
        progress: Callable[[Hunt], None],
    ) -> None:
        catalogue, target = env.catalogue, env.target
        self.env, self.case, self.corpus, self.limits = env, case, corpus, limits
        self.tally = Tally(pace=target.frames_per_second)
        if "frames_per_second" in target.stated:
            stated = target.limits["frames_per_second"]
            self.tally.pace = min(stated, self.tally.pace or stated)
        self.reach = Reach(catalogue, target.capabilities)
        self.memory = Memory()
        self.oracle = Oracle(catalogue)
        self.bench = Bench(env, case, self.oracle)
        self.dossier = Dossier(env, limits.most, told=lambda: progress(self))
        self.crashes = Crashes(self.bench, Deaths(env, env.waits.reply), self.dossier)
        self.waiting = Waiting.of(target)
        self.inquiry = Inquiry(self.bench, self.dossier, self.crashes, self.waiting)
        self.server = server
        self._progress = progress
        self._count = max(1, connections // 3)
        self._cells: list[Cell] = []
        self._made = self._links_made = 0
        self._makers: dict[Link, Maker] = {}
        self._budgets: dict[Link, Budget] = {}
        self._checks: dict[str, Check] = {
            kind: catalogue.quick_check(kind, "s2c") for kind in catalogue.types("s2c")
        }
        self._generator = Generator(catalogue, target.capabilities, env.seed)
        self._types = sorted(catalogue.types("c2s") | catalogue.types("s2c"))
        self.sizes = Sizes.of(target, catalogue)
        self._rng = random.Random(f"{env.seed}/look")
        self._looked = 0
        self._unclosed: list[Failure] = []
        self._first = deque(corpus.frames)
        for data in corpus.frames:
            self._note(data)
        self.served: dict[str, int] = {}

    @property
    def findings(self) -> list[Finding]:
        return self.dossier.findings

    async def run(self) -> None:
        """Fuzz until an end is reached. What was found stands in `findings`, even when this is cancelled.

        Raises:
            UnreachableError: the target lets nobody do what fuzzing needs.
        """
        started = time.perf_counter()
        self.bench.until = time.monotonic() + self.limits.seconds + EXTRA_S
        failed = await usable(self.bench)
        if failed is not None:
            died = await self.crashes.died()
            raise UnreachableError(
                f"two users cannot be arranged on the target: {died or failed.message}",
                hint="`relaykit doctor` tries what that needs, step by step",
            )
        try:
            while not self._over(started):
                await self._staff()
                await self._interval(started)
                await self._settle()
                self.tally.seconds = time.perf_counter() - started
                self._progress(self)
        finally:
            self.tally.seconds = time.perf_counter() - started
            for cell in self._cells:
                cell.leave()

    def _over(self, started: float) -> bool:
        limits = self.limits
        return (
            time.perf_counter() - started >= limits.seconds
            or (limits.frames is not None and self.tally.frames >= limits.frames)
            or self.inquiry.full
        )

    async def _staff(self) -> None:
        """Have as many cells as there should be."""
        for cell in [cell for cell in self._cells if not cell.usable]:
            self._cells.remove(cell)
            cell.leave()
            for link in cell.links.values():
                self._makers.pop(link, None)
                self._budgets.pop(link, None)
        missing = self._count - len(self._cells)
        for start in range(0, missing, 8):
            numbers = range(self._made, self._made + min(8, missing - start))
            self._made += len(numbers)
            tries = (make_cell(self.env, self.case, number, self._checks) for number in numbers)
            for found in await asyncio.gather(*tries, return_exceptions=True):
                if isinstance(found, Cell):
                    self._cells.append(found)
                elif not isinstance(found, CaseStop | UntestableError):
                    raise found
        if not self._cells:
            await self.crashes.nobody_served(await usable(self.bench))

    def _maker(self, link: Link) -> Maker:
        if link not in self._makers:
            self._links_made += 1
            seed = f"{self.env.seed}/{self._made}/{self._links_made}"
            maker = Maker(
                self._generator,
                self.oracle,
                self._types,
                seed,
                self.corpus.frames,
                self.sizes,
                self._first,
            )
            self._makers[link] = maker
        return self._makers[link]

    async def _interval(self, started: float) -> None:
        """Let all links send for a while, and wait until all of it is answered."""
        left = self.limits.seconds - (time.perf_counter() - started)
        until = time.perf_counter() + min(_INTERVAL_S, max(0.0, left))
        wanted = _INTERVAL_FRAMES
        if self.limits.frames is not None:
            wanted = min(wanted, self.limits.frames - self.tally.frames)
        for cell in self._cells:
            makers = [self._maker(link) for link in cell.links.values()]
            if sum(maker.held for maker in makers) > self.waiting.most:
                for maker in makers:
                    maker.drop_waiting()
            cell.room.left = self.waiting.most - sum(maker.held for maker in makers)
        links = self._links()
        each = max(1, -(-wanted // max(1, len(links))))
        await asyncio.gather(self._send_closing(), *(self._drive(link, until, each) for link in links))

    def _links(self) -> list[Link]:
        return [link for cell in self._cells for link in cell.links.values()]

    async def _drive(self, link: Link, until: float, most: int) -> None:
        maker, pace = self._maker(link), self.tally.pace
        size = _BATCH if pace is None else max(1, min(_BATCH, int(pace / 4)))
        first = link.count
        while time.perf_counter() < until and link.count - first < most:
            if not await self._room(link, _WINDOW if pace is None else 1):
                return
            batch = maker.batch(link, size)
            if pace is None:
                link.send(batch)
                await asyncio.sleep(0)
            else:
                await self._send_slowly(link, batch)
        await self._room(link, 1)

    async def _send_slowly(self, link: Link, batch: Batch) -> None:
        for data in link.begin(batch):
            if link.limited or link.ended is not None:
                return
            await self._spend(link)
            link.say(data)

    async def _spend(self, link: Link) -> None:
        """Wait until a link may send one more frame, where that is limited."""
        if self.tally.pace is not None:
            if link not in self._budgets:
                burst = self.env.target.limits["burst"] if "burst" in self.env.target.stated else 1.0
                self._budgets[link] = Budget(self.tally.pace, burst)
            await self._budgets[link].spend()

    async def _room(self, link: Link, window: int) -> bool:
        """Wait until fewer batches than this are unanswered; False if the link is of no use any more."""
        while len(link.inflight) >= window and link.ended is None and not link.limited:
            link.moved.clear()
            try:
                await asyncio.wait_for(link.moved.wait(), self.env.waits.reply * 2)
            except TimeoutError:
                return False
        return link.ended is None and not link.limited

    async def _settle(self) -> None:
        """Everybody stands still: what came must fit what was sent."""
        await asyncio.gather(*(self._say(link, b'{"type":"heartbeat"}') for link in self._links()))
        await quiet(self.env, least_s=0.02)
        if any(link.limited for link in self._links()):
            self._slow_down()
        self.sizes.learn(self._links())
        self.inquiry.begin(self._cells)
        for cell in list(self._cells):
            for link in cell.links.values():
                self._account(link)
            await self.inquiry.look_at(cell)
            self.tally.closed += sum(link.ended is not None for link in cell.links.values())
        if not self.tally.closing:
            await self._send_closing()  # none were there before the first interval
        for failure in self._unclosed:
            # Now that nothing else is sent: a server that is busy answers late.
            sure = None if self.inquiry.full else await self.bench.trial(failure.template)
            if sure is not None:
                await self.inquiry.keep(sure)
        self._unclosed.clear()
        kept = [cell for cell in self._cells if cell.usable]
        await asyncio.gather(*(self._forget(link) for cell in kept for link in cell.links.values()))
        if self.server is not None:
            self.memory.note(self.tally.frames, self.server.memory_bytes())

    async def _say(self, link: Link, data: bytes) -> None:
        if link.ended is None and not link.limited:
            await self._spend(link)
            link.say(data)

    def _slow_down(self) -> None:
        """The target limits how often one may send: send less, over connections that are not limited yet."""
        limits = self.env.target.limits
        pace = limits["frames_per_second"] if self.tally.pace is None else self.tally.pace / 2
        self.tally.pace = max(1.0, pace)
        self.tally.notes = [
            f"the target limits frames: each connection sends at most {self.tally.pace:g} per second; a test "
            "build with higher limits is fuzzed faster"
        ]

    def _account(self, link: Link) -> None:
        tally = self.tally
        for batch in link.interval.batches:
            tally.frames += len(batch.sent) + 1
            for sent in batch.sent:
                if sent.exact:
                    tally.accepted += 1
                    self.served[sent.kind] = self.served.get(sent.kind, 0) + 1
                    continue
                if sent.duty is Duty.REFUSE:
                    tally.refused += 1
                else:
                    tally.either += 1
                if sent.duty is not Duty.VALID:
                    self._look(sent)

    def _look(self, sent: Sent) -> None:
        """Note what it violates: the faults of each frame, and of some what its schema forbids in it."""
        if not sent.fault and self.corpus.folder is None:
            self._looked += 1
            if self._looked > _FIRST and self._rng.random() * _LOOKED_AT >= 1:
                return
        if self._note(sent.data, sent.fault):
            self.corpus.add(sent.data)

    def _note(self, data: bytes, fault: str | None = None) -> bool:
        """Note what a frame violates; whether any of it is new.

        Args:
            fault: why it is no frame at all; empty if it is one; None: that is not known.
        """
        if fault is None:
            frame = self.oracle.duty(data)[1]
            fault = frame if isinstance(frame, str) else ""
        if fault:
            return self.reach.note_fault(fault)
        verdict = self.env.catalogue.validate(data, "c2s")
        return self.reach.note(verdict.type, verdict.findings)

    async def _send_closing(self) -> None:
        """Send some messages that are no UTF-8, each on a connection of its own, which it ends."""
        links = [(name, link) for cell in self._cells for name, link in cell.links.items()]
        chosen: list[tuple[str, Link, bytes]] = []
        for name, link in links[self._made % max(1, len(links)) :] + links:
            maker = self._makers.get(link)
            if maker is not None and maker.closing and len(chosen) < _CLOSING:
                chosen.append((name, link, maker.closing.pop()))
        if self.inquiry.full or self.bench.over or not chosen:
            return
        sent = [(Sent(data, Duty.CLOSE, exact=False, kind=""), name, link) for name, link, data in chosen]
        templates = [template_of(each, link.who, name, set()) for each, name, link in sent]
        try:
            failures = await asyncio.gather(*(self.bench.trial(each) for each in templates))
        except UntestableError:
            return  # there are not enough users
        self.tally.closing += len(sent)
        self.tally.frames += len(sent)
        for each, _, _ in sent:
            if self._note(each.data):
                self.corpus.add(each.data)
        self._unclosed += [failure for failure in failures if failure is not None]

    async def _forget(self, link: Link) -> None:
        """Begin a new interval: acknowledge what came, so that the target need not keep it."""
        got, link.interval, link.suspicious = link.interval.got, Interval(), []
        link.who.got.clear()
        for part in _parts(got, _RECEIPTS):
            await self._say(link, orjson.dumps({"type": "read_receipt", "payload": {"message_ids": part}}))
        if self.waiting.bounded and link.ended is None:  # what is sent next needs the room
            await self._send_slowly(link, Batch((), 0, 0, 1))
            await self._room(link, 1)


def _parts(names: Iterable[str], size: int) -> Iterable[Sequence[str]]:
    distinct = list(dict.fromkeys(names))
    return (distinct[start : start + size] for start in range(0, len(distinct), size))
