"""Runs sessions until time is up, shrinks each failure, confirms it, and writes a scenario that shows it."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis.errors import Flaky

from relaykit.conformance.fuzz.hunt import Limits
from relaykit.conformance.replay import Outcome
from relaykit.conformance.sessions import machine, model, writing
from relaykit.conformance.sessions.driver import Session
from relaykit.conformance.sessions.frames import all_sent
from relaykit.conformance.sessions.keeping import keep, polished
from relaykit.conformance.sessions.lab import Lab, Played
from relaykit.conformance.sessions.problems import Problem, SessionOver
from relaykit.conformance.sessions.state import State, Step
from relaykit.errors import UnreachableError

_BATCH = 20
"""Sessions of one Hypothesis run: short enough for progress, long enough for it to learn."""
_SHRINK_S, _POLISH_S = 6.0, 24.0
"""What shrinking one failure may take: by Hypothesis, which knows how the steps were chosen; and then by
leaving steps out and saying them plainer, which gets further."""
_REPLIES = 3
"""How many times as long as a reply may take, a session after which the target hangs is made shorter."""
_REASONS = 20
"""Reasons why sessions were cut short that are told apart."""
EXTRA_S = 15.0
"""What all shrinking may take beyond the time that was given."""


class ModelBroken(Exception):
    """The target did what the model does not permit; each kind of problem has a class of its own."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem, and what it leaves.

    Attributes:
        seed: with which the machine finds it first of all.
        program: the shortest session that shows it.
        actions: its steps, those left out with which everybody connects.
        file: the scenario; None: none was written.
        replayed: what `replay` says of it here and now; empty: Ctrl-C came before that.
        steady: whether it occurred again when the session was played once more.
        expected: why the target file expects it; None: it does not.
        at_s: seconds after the start, when it was seen first.
    """

    problem: Problem
    seed: str
    program: tuple[Step, ...]
    actions: int
    file: Path | None
    replayed: str
    steady: bool
    expected: str | None = None
    at_s: float = 0.0


@dataclass(slots=True)
class Tally:
    """What has been done until now.

    Attributes:
        step_s: when the last step began, in seconds after the start.
        shrinking: what is being made shorter.
        cut: why sessions were cut short, and how many.
    """

    sessions: int = 0
    steps: int = 0
    frames: int = 0
    step_s: float = 0.0
    shrinking: str = ""
    cut: Counter[str] = field(default_factory=Counter)
    moves: Counter[str] = field(default_factory=Counter)
    transitions: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def rate(self) -> float:
        """Steps per second."""
        return self.steps / max(self.seconds, 1e-9)

    def note(self, step: Step) -> None:
        """Count a step, and the frames that it sends."""
        self.steps, self.step_s = self.steps + 1, self.seconds
        if step.move not in (*model.CONTROLS, *model.ARRIVALS):
            self.frames += len(all_sent(step))

    def over_limit(self, limits: Limits) -> bool:
        """Whether time is up, or enough frames were sent."""
        return self.seconds >= limits.seconds or (limits.frames is not None and self.frames >= limits.frames)

    def cut_short(self, reason: SessionOver) -> None:
        """A session ended early, and nothing can be said of it."""
        said = str(reason).splitlines()[0]
        self.cut[said if said in self.cut or len(self.cut) < _REASONS else "…"] += 1

    def add(self, state: State) -> None:
        self.transitions.update(state.transitions)


def seeds(first: str) -> Iterator[str]:
    """The seeds of a run, beginning with this one: `q1`, `q1+1`, `q1+2` …"""
    base, _, number = first.partition("+")
    for count in itertools.count(int(number) if number.isdigit() else 0):
        yield f"{base}+{count}" if count else base


@dataclass(slots=True)
class Hunt:
    """A search for failures with one target.

    Attributes:
        limits: after these no session begins, shrinking takes `EXTRA_S` more at most; expected findings do
            not count.
        folder: where scenarios are written.
        told: called now and then with the tally.
        ended: why it ended before its time, if it did.
    """

    lab: Lab
    seed: str
    limits: Limits
    folder: Path
    steps: int = 30
    told: Callable[[Tally], None] = lambda _: None
    tally: Tally = field(default_factory=Tally)
    findings: list[Finding] = field(default_factory=list)
    ended: str = ""
    _known: set[str] = field(default_factory=set)
    _shortest: dict[str, Played] = field(default_factory=dict)
    _seed: str = ""
    _at_s: float = 0.0
    _hangs: bool = False
    _end: float = math.inf
    _sought: str = ""
    _suspected: str = ""
    _until: float = 0.0

    def run(self) -> None:
        """Hunt until time is up, or enough was found. What was found so far stays, also after Ctrl-C.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            UnreachableError: the target cannot be started again.
        """
        for seed in seeds(self.seed):
            if self._over or self.unexpected >= self.limits.most:
                break
            self._batch(seed)

    @property
    def unexpected(self) -> int:
        """How many findings the target file does not expect."""
        return sum(finding.expected is None for finding in self.findings)

    @property
    def _over(self) -> bool:
        return self.tally.over_limit(self.limits) or bool(self.ended)

    # One batch.

    def _batch(self, seed: str) -> None:
        self._seed, self._sought, self._until = seed, "", 0.0
        self._shortest.clear()
        # Flaky: what does not come every time, be it a failure (judged below, with patience) or a choice of
        # the target's; and that sessions do not begin any more when time is up.
        try:
            with contextlib.suppress(ModelBroken, Flaky):
                self._search(seed)
            if self._sought:
                self._conclude(seed)
        except KeyboardInterrupt:
            if self._sought:
                self._found(seed, self._shortest[self._sought], steady=False, replay=False)
            raise
        except UnreachableError as error:
            if self._sought:
                self._found(seed, self._shortest[self._sought], steady=False, replay=False)
            if not self.findings:
                raise
            self.ended = str(error).splitlines()[0]
        finally:
            self.tally.shrinking = ""
        self.lab.be_patient()

    def _search(self, seed: str) -> None:
        try:
            machine.search(lambda: _Run(self), seed, _BATCH, self.steps)
        except IndexError:
            # Of the shrinker of Hypothesis: a try ended before the one that it was made from, as targets may
            # do what they like. What is the shortest by then is known here.
            if not self._sought:
                raise

    def failed(self, played: Played) -> None:
        """A session failed.

        Raises:
            ModelBroken: unless it is known, or another problem than the one that is being shrunk.
        """
        problem = played.problem
        if problem is None or problem.name in self._known:
            return
        expected, at = self.lab.excuse(problem), self.tally.step_s
        if expected is not None:
            self._known.add(problem.name)
            steps = writing.actions(played.program)
            seen = Finding(problem, self.seed, played.program, steps, None, "", True, expected, at)
            self.findings.append(seen)
            return
        self._at_s = self._at_s if self._sought else at
        hangs = self.lab.hangs
        lost = self.lab.comes_back() if problem.died else None
        if lost is not None:
            self.ended = lost
            for key in dict.fromkeys(filter(None, (self._sought, problem.key))):
                self._found(self._seed, self._shortest.get(key, played), steady=False, replay=False)
            return
        if not self._sought:
            self._sought, self._hangs = problem.key, hangs
            self._end = self.tally.started + self.limits.seconds + EXTRA_S
            if hangs:  # each try takes as long as no answer comes: leave out as much as possible in each
                self._end = min(self._end, time.monotonic() + _REPLIES * self.lab.env.waits.reply)
            self._until = self._by(0 if hangs else _SHRINK_S)
            self._suspected = problem.name
            self.lab.hurry()
        elif problem.key != self._sought:
            return
        best = self._shortest.get(problem.key)
        if best is None or len(played.program) < len(best.program):
            self._shorter(played)
        raise _kind_of(problem.key)(problem)

    @property
    def idle(self) -> bool:
        """Whether the next session need not begin: time is up, or the failure has been shrunk enough."""
        if self._sought:
            best = self._shortest.get(self._sought)
            return time.monotonic() > self._until or (best is not None and writing.actions(best.program) <= 1)
        return self._over

    # One finding.

    def _by(self, seconds: float) -> float:
        """So many seconds from now, but no later than the extra time lasts."""
        return min(time.monotonic() + seconds, self._end)

    def _shorter(self, played: Played) -> None:
        """A shorter session shows what is being shrunk."""
        assert played.problem is not None
        self._shortest[self._sought] = played
        count = writing.actions(played.program)
        self.tally.shrinking = f"{played.problem.req[0]}, {count} step{'s' * (count != 1)} left"
        self.told(self.tally)

    def _conclude(self, seed: str) -> None:
        key = self._sought
        until = self._by(_POLISH_S)
        best = polished(
            self.lab.play, self._shortest[key], lambda tried: _is(tried, key), until, self._shorter
        )
        self.lab.be_patient()
        # With all patience: what was only slow is no failure. Where it hangs, replaying it tells that.
        steady, confirmed = False, best
        for _ in range(0 if self._hangs else 2):
            confirmed = self.lab.play(best.program)
            steady = _is(confirmed, key)
            if steady or time.monotonic() > self._by(math.inf):
                break
        self._found(seed, confirmed if steady else best, steady=steady, replay=True)

    def _found(self, seed: str, shown: Played, *, steady: bool, replay: bool) -> None:
        assert shown.problem is not None
        self._sought = ""
        known = shown.problem.name in self._known
        # Where another cause came to light, the one that was suspected is not looked at again.
        self._known |= {self._suspected, shown.problem.name}
        if known:
            return
        said = f"relaykit fuzz --sessions --seed {seed} found this against {self.lab.aimed.target.name}:"
        file, outcome = keep(self.lab, self.folder, "sessions", shown, said, replay=replay)
        steady = steady or (self._hangs and outcome == Outcome.REPRODUCED)
        if replay and not steady and file is not None and outcome != Outcome.REPRODUCED:
            outcome = "passing"
        actions = writing.actions(shown.program)
        found = Finding(shown.problem, seed, shown.program, actions, file, outcome, steady, None, self._at_s)
        self.findings.append(found)


def _is(played: Played, key: str) -> bool:
    return played.problem is not None and played.problem.key == key


class _Run:
    """One session for the machine."""

    def __init__(self, hunt: Hunt) -> None:
        self._hunt = hunt
        self.over = hunt.idle
        self._counts = not hunt._sought
        self._session: Session | None = None if self.over else hunt.lab.begin()
        self.state = self._session.state if self._session else State(hunt.lab.rules)

    def perform(self, step: Step) -> None:
        hunt, session = self._hunt, self._session
        assert session is not None
        if not hunt._sought:
            hunt.tally.note(step)
        try:
            problem = hunt.lab.perform(session, step)
        except SessionOver as reason:
            hunt.tally.cut_short(reason)
            self.over = True
            return
        if problem is None:
            return
        self.over = True
        before = tuple(done for done in session.log if done.step is not step)
        hunt.failed(Played(problem, before, step))

    def count(self, move: str) -> None:
        if not self._hunt._sought:
            self._hunt.tally.moves[move] += 1

    def end(self, *, failed: bool) -> None:
        hunt, session = self._hunt, self._session
        if session is None:
            return
        self._session = None
        problem = hunt.lab.end(session, judge=not failed and not self.over)
        if self._counts:
            hunt.tally.sessions += 1
            hunt.tally.add(session.state)
        hunt.told(hunt.tally)
        if not failed:
            hunt.failed(Played(problem, tuple(session.log), None))


_KINDS: dict[str, type[ModelBroken]] = {}


def _kind_of(key: str) -> type[ModelBroken]:
    """An exception class for each kind of problem, so that shrinking does not slip from one to another."""
    return _KINDS.setdefault(key, type("ModelBroken", (ModelBroken,), {}))


def describe(steps: Sequence[Step]) -> list[str]:
    """The steps of a session in words."""
    return [str(step) for step in steps]
