"""The same sessions against two targets, step by step, and where they differ.

Where the model calls one of them wrong, a requirement is broken. Where it permits both, the difference is
unspecified: something that clients will meet, and cannot rely on.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from relaykit.conformance.fuzz.hunt import Limits
from relaykit.conformance.sessions import model, moves
from relaykit.conformance.sessions.driver import Session
from relaykit.conformance.sessions.hunt import EXTRA_S, Tally, seeds
from relaykit.conformance.sessions.keeping import keep, polished
from relaykit.conformance.sessions.lab import Lab, Played
from relaykit.conformance.sessions.problems import Problem, SessionOver
from relaykit.conformance.sessions.state import DEVICES, USERS, Rules, Step
from relaykit.errors import UnreachableError

_POLISH_S = 15.0
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z")
_ID = re.compile(r"\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b")
_WORDS = {"message", "server_id", "code"}
"""Fields that every implementation fills as it likes, or by chance."""
_UPPER = "|upper}"
"""How a reference to an identifier ends that came in upper case."""
_CONTENT = {"type", "payload"}
"""What a frame says; all else on its envelope is a stamp."""


def normal(frame: Any) -> Any:
    """A frame without what is never the same twice: times, its identifiers, codes and words."""
    if isinstance(frame, Mapping):
        return {
            key: "…" if key in _WORDS and isinstance(value, str) else normal(value)
            for key, value in sorted(frame.items())
        }
    if isinstance(frame, list):
        return [normal(item) for item in frame]
    if isinstance(frame, str):
        return _ID.sub("‹id›", _TIME.sub("‹time›", frame))
    return frame


def said(frames: Sequence[Any]) -> Counter[str]:
    """Frames as they are compared: normal, and in whichever order."""

    return Counter(json.dumps(normal(frame), ensure_ascii=False, sort_keys=True) for frame in frames)


@dataclass(frozen=True, slots=True)
class Difference:
    """What two targets do differently.

    Attributes:
        signature: what makes it the same as another one.
        move: of the step it came of; device: who got something else.
        mine, other: frames that only the one got.
    """

    signature: str
    move: str
    device: str
    mine: tuple[str, ...]
    other: tuple[str, ...]


def differences(
    step: Step, mine: Mapping[str, Sequence[Any]], other: Mapping[str, Sequence[Any]]
) -> tuple[Difference, ...]:
    """What differs in what came of a step, by device.

    Where frames are the same but for the spelling of ids, members that are null, or what is stamped on their
    envelopes, that is one difference, whatever the step and the type.
    """
    found: list[Difference] = []
    for device in DEVICES:
        a, b = said(mine.get(device, ())), said(other.get(device, ()))
        only_a, only_b = sorted((a - b).elements()), sorted((b - a).elements())
        for one in tuple(only_a):
            two, signature = next(((each, how) for each in only_b if (how := _dressed(one, each))), ("", ""))
            if signature:
                only_a.remove(one)
                only_b.remove(two)
                found.append(Difference(signature, step.move, device, (one,), (two,)))
        if only_a or only_b:
            role = "the one who acts" if device == step.who else "somebody else"
            kinds = [step.move, str(step.with_.get("type") or step.with_.get("fault") or "")]
            kinds += ["falsely"] if step.with_.get("claim") or step.with_.get("poses") else []
            signature = " ".join((*kinds, role, _shape(only_a), _shape(only_b)))
            found.append(Difference(signature, step.move, device, tuple(only_a), tuple(only_b)))
    return tuple(found)


def _dressed(one: str, two: str) -> str:
    """The signature of two frames that differ in no more than that; empty: they say something else."""
    a, b = (_filled(json.loads(text.replace(_UPPER, "}"))) for text in (one, two))
    if not isinstance(a, dict) or not isinstance(b, dict):
        return ""
    added, left_out = sorted(a.keys() - b.keys()), sorted(b.keys() - a.keys())
    if _CONTENT & {*added, *left_out} or any(a[key] != b[key] for key in a.keys() & b.keys()):
        return ""
    return f"stamps {added} {left_out}"


def _filled(value: Any) -> Any:
    """What JSON can hold without members that are null: they say as much as those that are left out."""
    if isinstance(value, dict):
        return {key: _filled(item) for key, item in value.items() if item is not None}
    return [_filled(item) for item in value] if isinstance(value, list) else value


def _shape(frames: Sequence[str]) -> str:
    """Frames without the names in them, so that the same difference is not told for every user."""
    return "+".join(sorted(re.sub(r"\$\{[^}]*\}|[0-9]+", "_", frame) for frame in frames)) or "nothing"


@dataclass(slots=True)
class Unspecified:
    """A difference that the model permits, and a session that shows it."""

    difference: Difference
    seed: str
    program: tuple[Step, ...]
    count: int = 1


@dataclass(frozen=True, slots=True)
class Broken:
    """A requirement that one of the targets breaks in a session that both play.

    Attributes:
        by: `mine`, `other` or `both`.
        expected: why that target's file expects it; None: it does not.
    """

    by: str
    problem: Problem
    seed: str
    program: tuple[Step, ...]
    file: Path | None
    replayed: str
    expected: str | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """One session, played to both."""

    mine: Problem | None
    other: Problem | None
    difference: Difference | None
    logs: tuple[Played, Played]


@dataclass(slots=True)
class Differential:
    """Sessions against two targets until time is up.

    Attributes:
        folder: for scenarios of what is broken.
        limits: when it ends; broken requirements that a target file expects do not count.
    """

    mine: Lab
    other: Lab
    seed: str
    limits: Limits
    folder: Path
    steps: int = 30
    told: Callable[[Tally], None] = lambda _: None
    tally: Tally = field(default_factory=Tally)
    unspecified: dict[str, Unspecified] = field(default_factory=dict)
    broken: dict[str, Broken] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def run(self) -> None:
        """Play sessions until time is up. What was found so far stays, also after Ctrl-C.

        Raises:
            KeyboardInterrupt: Ctrl-C.
            UnreachableError: a target is gone for good, and nothing was found.
        """
        try:
            for seed in seeds(self.seed):
                if self.tally.over_limit(self.limits) or self.unexpected >= self.limits.most:
                    break
                # Anew each time: a limit that nobody stated may have been learnt of one of them.
                self.mine.rules = self.other.rules = common(self.mine.rules, self.other.rules)
                self._note(self._explore(random.Random(seed)), seed)
                self.tally.sessions += 1
                self.told(self.tally)
        except UnreachableError as error:
            if not self.broken:
                raise
            self.mine.notes = (*self.mine.notes, str(error).splitlines()[0])

    @property
    def unexpected(self) -> int:
        """How many broken requirements no target file expects."""
        return sum(each.expected is None for each in self.broken.values())

    # Playing.

    def _explore(self, rng: random.Random) -> Pair:
        """Play a session whose steps are chosen on the way."""
        start = [Step("connect", device) for device in DEVICES if rng.random() < 0.9]
        if self.mine.rules.legacy:
            start[:0] = [Step("make_legacy", "", {"user": user}) for user in USERS if rng.random() < 0.3]

        def steps(session: Session) -> Any:
            yield from start
            for _ in range(self.steps):
                name = rng.choice(moves.possible(session.state))
                self.tally.moves[name] += 1
                for step in moves.chosen(name, session.state, rng.choice):
                    self.tally.note(step)
                    yield step

        return self._play(steps)

    def replay(self, program: Sequence[Step], sought: str) -> Pair:
        """Play a session from its steps, up to the difference with this signature."""
        return self._play(lambda _: iter(program), sought)

    def _play(self, steps: Callable[[Session], Any], sought: str = "") -> Pair:
        """Play a session until a requirement is broken, or a difference shows that is new, or sought.

        What is known to differ ends it only where the model takes it that the targets have come apart.
        """
        labs = (self.mine, self.other)
        sessions = [lab.begin() for lab in labs]
        last: Step | None = None
        found: list[Problem | None] = [None, None]
        difference = None
        try:
            for step in steps(sessions[0]):
                sessions[1].state.fresh = sessions[0].state.fresh  # the numbers in steps are drawn from one
                if not all(model.possible(session.state, step) for session in sessions):
                    continue
                last = step
                works = [lab.start(session, step) for lab, session in zip(labs, sessions, strict=True)]
                found = [work.result() for work in works]
                if any(found):
                    break
                last = None
                differ = self._compare(step, sessions, found, sought)
                difference = next((each for each in differ if self._is_told(each, sought)), None)
                if difference is not None or any(found):
                    break
                for each in () if sought else differ:
                    self.unspecified[each.signature].count += 1
                if differ and sessions[0].state != sessions[1].state:
                    break
        except SessionOver as reason:
            self.tally.cut_short(reason)
            found = [None, None]
        finally:
            for lab, session in zip(labs, sessions, strict=True):
                lab.end(session, judge=False)
        self.tally.add(sessions[0].state)
        logs = tuple(
            Played(problem, tuple(done for done in session.log if done.step is not last), last)
            for problem, session in zip(found, sessions, strict=True)
        )
        return Pair(found[0], found[1], difference, (logs[0], logs[1]))

    def _is_told(self, difference: Difference, sought: str) -> bool:
        """Whether a difference is what a session is played for."""
        return difference.signature == sought or difference.signature not in self.unspecified

    def _compare(
        self, step: Step, sessions: Sequence[Session], found: list[Problem | None], sought: str
    ) -> tuple[Difference, ...]:
        """Where something new differs, look again a little later: one of the two may only be slower."""
        first = differences(step, sessions[0].log[-1].came, sessions[1].log[-1].came)
        if not any(self._is_told(each, sought) for each in first):
            return first
        found[:] = [
            lab.linger(session) for lab, session in zip((self.mine, self.other), sessions, strict=True)
        ]
        return differences(step, sessions[0].log[-1].came, sessions[1].log[-1].came)

    # Noting.

    def _note(self, pair: Pair, seed: str) -> None:
        if pair.mine is not None or pair.other is not None:
            self._note_broken(pair, seed)
        elif pair.difference is not None:
            self._note_difference(pair, pair.difference, seed)

    def _note_difference(self, pair: Pair, difference: Difference, seed: str) -> None:
        pairs: dict[int, Pair] = {}
        found = Unspecified(difference, seed, pair.logs[0].program)
        self.unspecified[difference.signature] = found  # as it is, if Ctrl-C comes while it is made shorter

        def play(program: Sequence[Step]) -> Played:
            tried = self.replay(program, difference.signature)
            pairs[id(tried.logs[0])] = tried
            return tried.logs[0]

        def same(played: Played) -> bool:
            difference_ = pairs[id(played)].difference
            return difference_ is not None and difference_.signature == difference.signature

        def shorter(played: Played) -> None:
            found.program = played.program
            self._shrinking(f"a difference in {difference.move}", played)

        try:
            polished(play, pair.logs[0], same, self._until(), shorter)
        finally:
            self.tally.shrinking = ""

    def _note_broken(self, pair: Pair, seed: str) -> None:
        names = {problem.name for problem in (pair.mine, pair.other) if problem is not None}
        by = "both" if pair.mine and pair.other and len(names) == 1 else "mine" if pair.mine else "other"
        lab, best = (self.other, pair.logs[1]) if by == "other" else (self.mine, pair.logs[0])
        problem = best.problem
        assert problem is not None
        if f"{by} {problem.name}" in self._seen:
            return
        self._seen.add(f"{by} {problem.name}")

        reasons = [each.excuse(problem) for each in ((self.mine, self.other) if by == "both" else (lab,))]
        if all(reason is not None for reason in reasons):
            said = "; ".join(dict.fromkeys(reason or "" for reason in reasons))
            self.broken[f"{by} {problem.name}"] = Broken(by, problem, seed, best.program, None, "", said)
            return

        def same(tried: Played) -> bool:
            return tried.problem is not None and tried.problem.key == problem.key

        def shorter(played: Played) -> None:
            nonlocal best
            best = played
            self._shrinking(problem.req[0], played)

        lab.hurry()
        try:
            polished(lab.play, best, same, self._until(), shorter)
            lab.be_patient()
            self._keep(lab, by, best, seed, replay=True)
        except (KeyboardInterrupt, UnreachableError):
            self._keep(lab, by, best, seed, replay=False)
            raise
        finally:
            self.tally.shrinking = ""

    def _keep(self, lab: Lab, by: str, best: Played, seed: str, *, replay: bool) -> None:
        """Note a broken requirement by its shortest session, and write the scenario."""
        assert best.problem is not None
        name = f"{by} {best.problem.name}"
        self._seen.add(name)
        if name in self.broken:
            return
        found = f"relaykit fuzz --against … --seed {seed} found this in {lab.aimed.target.name}:"
        file, outcome = keep(lab, self.folder, "sessions", best, found, replay=replay)
        self.broken[name] = Broken(by, best.problem, seed, best.program, file, outcome)

    def _until(self) -> float:
        """When shrinking ends: a while from now, but no later than the extra time lasts."""
        return min(time.monotonic() + _POLISH_S, self.tally.started + self.limits.seconds + EXTRA_S)

    def _shrinking(self, what: str, played: Played) -> None:
        self.tally.shrinking = f"{what}, {len(played.program)} steps left"
        self.told(self.tally)


def common(mine: Rules, other: Rules) -> Rules:
    """What both targets have."""
    return replace(
        mine,
        capabilities=mine.capabilities & other.capabilities,
        operations=mine.operations & other.operations,
        presence_is_prompt=mine.presence_is_prompt and other.presence_is_prompt,
        calls_end_promptly=mine.calls_end_promptly and other.calls_end_promptly,
        legacy=mine.legacy and other.legacy,
        restarts=mine.restarts and other.restarts,
        flood=mine.flood if mine.flood == other.flood else 0,
        connections=min(filter(None, (mine.connections, other.connections)), default=0),
        crowd=mine.crowd if mine.crowd == other.crowd else 0,
        waiting=min(filter(None, (mine.waiting, other.waiting)), default=0),
        expires=mine.expires and other.expires,
    )
