"""Where sessions run: an event loop in a thread of its own, since the machine is synchronous."""

from __future__ import annotations

import asyncio
import concurrent.futures
import secrets
import signal
import threading
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import FrameType
from typing import Any, TypeVar

from relaykit.conformance.aiming import Aim, standing
from relaykit.conformance.context import Environment
from relaykit.conformance.deaths import returned, unanswered
from relaykit.conformance.expectations import Expectation, excuse, in_force
from relaykit.conformance.launch import Launched, listens
from relaykit.conformance.preflight import preflight
from relaykit.conformance.run import Settings, environment
from relaykit.conformance.sessions import model
from relaykit.conformance.sessions.driver import Done, Session
from relaykit.conformance.sessions.problems import LimitMet, Problem, SessionOver
from relaykit.conformance.sessions.rules import rules_of
from relaykit.conformance.sessions.state import Rules, Step
from relaykit.conformance.target import Waits
from relaykit.errors import RelaykitError, UnreachableError, UsageError
from relaykit.schemas import Catalogue

T = TypeVar("T")
ENDS = frozenset({"closed", "hang", "refused"})
"""Problems after which the target may be gone: no requirement excuses them."""
_LAUNCHED = "the launched target"
_CRASH_S, _GONE_S = 0.2, 15.0
"""Seconds to wait for news of a launched target's end: at first, and where it takes no connections."""


@dataclass(frozen=True, slots=True)
class Played:
    """A session that was played from a list of steps.

    Attributes:
        log: the steps that went well; last: the one that failed, if one did.
        skipped: steps that could not be carried out, as others were missing.
    """

    problem: Problem | None
    log: tuple[Done, ...]
    last: Step | None
    over: str = ""
    skipped: int = 0

    @property
    def program(self) -> tuple[Step, ...]:
        """The steps that were carried out."""
        return (*(done.step for done in self.log), *((self.last,) if self.last else ()))


@dataclass(slots=True)
class Lab:
    """A target, its environment, and the thread in which sessions with it run; a context manager.

    Attributes:
        restarts: whether sessions may kill and restart the target, which was launched.
    """

    aimed: Aim
    catalogue: Catalogue
    restarts: bool = False
    env: Environment = field(init=False)
    rules: Rules = field(init=False)
    notes: tuple[str, ...] = ()
    server: Launched | None = None
    patience_s: float = 0.0
    slowest_s: float = 0.0
    _nonce: str = field(default_factory=lambda: secrets.token_hex(6))
    _count: int = 0
    _expected: tuple[Expectation, ...] = ()
    _interrupted: bool = False
    _gone: str = ""
    _lost: UnreachableError | None = None
    _loop: asyncio.AbstractEventLoop = field(init=False)
    _thread: threading.Thread = field(init=False)
    _stop: asyncio.Event = field(init=False)
    _main: concurrent.futures.Future[None] = field(init=False)

    def __enter__(self) -> Lab:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sessions", daemon=True)
        self._thread.start()
        ready: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._main = asyncio.run_coroutine_threadsafe(self._stand(ready), self._loop)
        try:
            concurrent.futures.wait((ready, self._main), return_when=concurrent.futures.FIRST_COMPLETED)
            if self._main.done():
                self._main.result()
            ready.result()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self._main.done():
            self._loop.call_soon_threadsafe(self._stop.set)
            try:
                self._main.result(timeout=15)
            except (concurrent.futures.TimeoutError, RelaykitError):
                self._main.cancel()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        if not self._thread.is_alive():
            self._loop.close()

    async def _stand(self, ready: concurrent.futures.Future[None]) -> None:
        self._stop = asyncio.Event()
        settings = Settings(self._nonce, timeout_factor=self.aimed.factor, secret=self.aimed.redactor.add)
        try:
            async with standing(self.aimed) as server:
                self.server = server
                self.env = environment(self.aimed.target, self.catalogue, settings)
                if self.env.issuer.fixed:
                    raise UsageError(
                        "sessions need fresh users, but the target file lists fixed ones (tokens.identities)",
                        hint="let the suite sign tokens (tokens.mint) or fetch them (tokens.fetch)",
                    )
                try:
                    found = await preflight(self.env)
                    self.env.carrier, self.env.fences = found.carrier, found.fences
                    self._expected, lapsed = in_force(self.aimed.target.expected, datetime.now(UTC).date())
                    self.notes = (*found.notes, *lapsed)
                    self.rules = replace(rules_of(self.env), restarts=self.restarts)
                    self.patience_s = self.env.waits.reply
                    ready.set_result(None)
                    await self._stop.wait()
                finally:
                    await self.env.close()
        except RelaykitError as error:
            raise self.aimed.redactor.error(error) from None

    def interrupt(self, signum: int, frame: FrameType | None) -> None:
        """A handler of Ctrl-C, and of a polite kill.

        The exception may come up where it is swallowed, such as in a callback of the garbage collector. So it
        is raised once more when something is done next.
        """
        self._interrupted = True
        signal.default_int_handler(signum, frame)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the loop, and wait for it; Ctrl-C cancels it."""
        if self._interrupted:
            work.close()
            raise KeyboardInterrupt
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            raise

    def excuse(self, problem: Problem) -> str | None:
        """Why the target file expects this; None: it does not, or the target may be gone."""
        return None if problem.kind in ENDS else excuse(self._expected, problem.req[:1])

    # Sessions.

    def begin(self) -> Session:
        """A session with fresh users. A launched target that has ended, or hangs, is started anew.

        Raises:
            UnreachableError: it does not start again.
        """
        return self.call(self._begin())

    async def _begin(self) -> Session:
        await self.revive()
        self._count += 1
        restart = self.server.restart if self.server is not None else None
        return Session(self.env, self.rules, str(self._count), self.patience_s, restart)

    async def revive(self) -> None:
        """Start a launched target anew if it has ended, or hangs; wait a while for another one to come back.

        Raises:
            UnreachableError: it is gone for good.
        """
        if self._lost is not None:
            raise self._lost
        if not self._gone and (self.server is None or self.server.ended is None):
            return
        try:
            if self.server is not None:
                await self.server.restart()
            elif not await returned(self.env):
                raise UnreachableError(f"{self._gone}, and did not come back")
        except UnreachableError as error:
            self._lost = error
            raise
        self._gone = ""
        self.env.clock_offset_s = 0.0  # a clock that was moved is right again

    @property
    def hangs(self) -> bool:
        """Whether a launched target that was found gone runs on: then it answers nothing."""
        return bool(self._gone) and self.server is not None and self.server.ended is None

    def comes_back(self) -> str | None:
        """Why the target, which was gone, does not come back; None: it does."""
        try:
            self.call(self.revive())
        except UnreachableError as error:
            return str(error).splitlines()[0]
        return None

    def end(self, session: Session, *, judge: bool) -> Problem | None:
        """End a session; with `judge`, say what came late."""
        return self.call(self._end(session, judge=judge))

    async def _end(self, session: Session, *, judge: bool) -> Problem | None:
        try:
            return await session.finish() if judge else None
        finally:
            self.slowest_s = max(self.slowest_s, session.slowest_s)
            session.close()

    def perform(self, session: Session, step: Step) -> Problem | None:
        """Carry out one step.

        Raises:
            SessionOver: nothing can be said about it.
        """
        return self.call(self._perform(session, step))

    def start(self, session: Session, step: Step) -> concurrent.futures.Future[Problem | None]:
        """As `perform`, without waiting: its future."""
        return asyncio.run_coroutine_threadsafe(self._perform(session, step), self._loop)

    async def _perform(self, session: Session, step: Step) -> Problem | None:
        try:
            problem = await session.perform(step)
        except LimitMet as met:
            self.rules = replace(self.rules, connections=met.connections)  # no later session goes beyond it
            raise
        if problem is None:
            return None
        if problem.kind in ENDS:
            problem = await self._seen_to(problem)
        if problem.pardon and not problem.died:
            raise SessionOver(problem.pardon)
        return problem

    async def _seen_to(self, problem: Problem) -> Problem:
        """The problem, with what became of the target."""
        who, server = ("the target", self.server) if self.server is None else (_LAUNCHED, self.server)
        if server is not None:
            await server.settled(_CRASH_S)
        lives = await self._listens()
        if server is not None and server.ended is None and not lives:
            await server.settled(_GONE_S)
        if server is not None and server.ended is not None:
            self._gone, why = f"{who} {server.ended}", server.complaint
        elif not lives:
            self._gone, why = f"{who} accepts no connections any more", ""
        elif await self._is_silent():
            self._gone, why = f"{who} answers no handshake any more", ""
        else:
            return problem
        kind = problem.kind if problem.kind == "refused" or lives else "closed"
        said = f"{self._gone}: {problem.message}"
        return replace(problem, kind=kind, message=said, died=f"{self._gone} {why}".rstrip())

    def linger(self, session: Session) -> Problem | None:
        """What else comes of the last step; see `Session.linger`."""
        return self.call(session.linger())

    async def _listens(self) -> bool:
        """Whether the target takes connections: news of its end may come long after they do not."""
        try:
            return await asyncio.wait_for(listens(self.aimed.target.url), self.env.waits.connect)
        except TimeoutError:
            return False

    async def _is_silent(self) -> bool:
        """Whether the target takes connections, perhaps, but answers on none."""
        try:
            silent = unanswered(self.env, self.patience_s / 2)
            return await asyncio.wait_for(silent, 1.5 * self.patience_s) is not None
        except TimeoutError:
            return True

    def play(self, program: Sequence[Step]) -> Played:
        """Play a whole session from its steps; those that cannot be carried out are left out.

        Raises:
            UnreachableError: the target is gone.
        """
        return self.call(self._play(program))

    async def _play(self, program: Sequence[Step]) -> Played:
        session = await self._begin()
        skipped = 0
        try:
            for step in program:
                if not model.possible(session.state, step):
                    skipped += 1
                    continue
                problem = await self._perform(session, step)
                if problem is not None:
                    before = tuple(done for done in session.log if done.step is not step)
                    return Played(problem, before, step, skipped=skipped)
            problem = await session.finish()
            return Played(problem, tuple(session.log), None, skipped=skipped)
        except SessionOver as reason:
            return Played(None, tuple(session.log), None, str(reason), skipped)
        finally:
            session.close()

    def hurry(self) -> None:
        """Wait no longer than what was slow until now suggests: for shrinking, where much is missing."""
        waits: Waits = self.env.waits
        self.patience_s = min(waits.reply, max(4 * waits.quiet, 10 * self.slowest_s, 0.25))

    def be_patient(self) -> None:
        """Wait as the target file says."""
        self.patience_s = self.env.waits.reply
