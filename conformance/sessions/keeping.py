"""What is kept of a failure: its shortest session, and the scenario that shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from relaykit.conformance import launch, reproduce
from relaykit.conformance.cases import from_scenario
from relaykit.conformance.grammar import Scenario
from relaykit.conformance.judge import JUDGE_ALL, shape_cases
from relaykit.conformance.record import ShapeBook
from relaykit.conformance.replay import replayed
from relaykit.conformance.results import CaseResult
from relaykit.conformance.sessions import writing
from relaykit.conformance.sessions.lab import Lab, Played
from relaykit.conformance.sessions.state import Step
from relaykit.conformance.single import run_one
from relaykit.errors import UsageError

_COSTS = {
    "connect_again": 30,
    "restart": 60,
    "crowd": 40,
    "flood": 40,
    "write_old": 15,
    "burst": 20,
    "read": 11,
}
"""What is out of the ordinary costs more than the ordinary steps (10) that may do as well."""
_DEAR = 30
"""What costs so much takes long to play, too."""
_EXTRAS = ("claim", "poses", "abort", "soon")
"""What a step can do without."""


def polished(
    play: Callable[[Sequence[Step]], Played],
    played: Played,
    same: Callable[[Played], bool],
    until: float,
    found: Callable[[Played], None],
) -> Played:
    """Leave out single steps, or say them plainer, as long as the failure stays: some may not matter.

    Args:
        play: plays a session from its steps.
        played: the session that failed.
        same: whether another one failed in the same way.
        until: when to stop, by the monotonic clock.
        found: is told of each that is better.
    """
    best, again = played, True
    while again:
        again = False
        for program in _simpler(best.program):
            if time.monotonic() > until:
                return best
            tried = play(program)
            if same(tried) and _cost(tried.program) < _cost(best.program):
                best, again = tried, True
                found(best)
                break
    return best


def _simpler(program: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """Sessions without some of the steps, the dear ones and many at once first, or with a plainer one."""
    for index, step in enumerate(program):
        if _COSTS.get(step.move, 0) >= _DEAR:
            yield program[:index] + program[index + 1 :]
    size = len(program) // 2
    while size:
        for end in range(len(program), 0, -size):
            yield program[: max(0, end - size)] + program[end:]
        size //= 2
    for index, step in enumerate(program):
        for plainer in _plainer(step):
            yield (*program[:index], *plainer, *program[index + 1 :])
        if step.move == "write_old":
            yield tuple(_named_by_sender(each, step) for each in program)


def _named_by_sender(step: Step, old: Step) -> Step:
    """The same step where a message in the deprecated form is sent in the present one."""
    name = old.with_["m"]
    if step == old:
        return Step("send", old.who, {"to": old.with_["to"], "m": -name, "c": old.with_["c"]})
    with_ = {key: -value if key == "m" and value == name else value for key, value in step.with_.items()}
    if "ms" in with_:
        with_["ms"] = tuple(-number if number == name else number for number in with_["ms"])
    return replace(step, with_=with_)


def _plainer(step: Step) -> Iterator[tuple[Step, ...]]:
    who, with_ = step.who, step.with_
    for extra in _EXTRAS:
        if with_.get(extra):
            yield (replace(step, with_={name: value for name, value in with_.items() if name != extra}),)
    match step.move:
        case "connect_again":
            yield Step("drop", who), Step("connect", who)
        case "burst":
            for number in with_["ms"]:
                yield (Step("send", who, {"to": with_["to"], "m": number, "c": number}),)
        case "read":
            for number in with_["ms"]:
                yield (Step("ack", who, {"m": number}),)
                yield (Step("read", who, {"ms": (number,)}),)


def _cost(program: Sequence[Step]) -> int:
    return sum(
        _COSTS.get(step.move, 10)
        + sum(bool(step.with_.get(extra)) for extra in _EXTRAS)
        + len(step.with_.get("ms", ()))
        for step in program
    )


def keep(
    lab: Lab, folder: Path, name: str, played: Played, found: str, *, replay: bool = True
) -> tuple[Path | None, str]:
    """Write the scenario of a session that failed.

    Args:
        folder: for the scenario.
        name: what the scenario's ID begins with.
        found: a line that says how it was found.
        replay: whether to replay it at once; if not, nothing is said of that.

    Returns:
        the file, and what `replay` says of it here and now; None if it cannot be written: the lab notes why.
    """
    problem = played.problem
    assert problem is not None
    redact = lab.aimed.redactor.text
    notes = (found, redact(problem.message), *(f"  {step}" for step in played.program))
    made = writing.reproduction(lab.catalogue, name, played.log, played.last, problem, notes)
    try:
        path = reproduce.write(folder, made, lab.catalogue)
    except UsageError as error:
        lab.notes = (*lab.notes, str(error))
        return None, ""
    if not replay:
        return path, ""
    (scenario,) = reproduce.load(path, lab.catalogue)
    return path, str(replayed(*lab.call(_replay(lab, scenario))).outcome)


async def _replay(lab: Lab, scenario: Scenario) -> tuple[CaseResult, tuple[CaseResult, ...]]:
    """The result, and what is to be said of the shape of what came."""
    launch.current.set(lab.server)  # a task of its own: nobody else hears of it
    await lab.revive()
    lab.env.shapes = ShapeBook()
    result = await run_one(lab.env, from_scenario(lab.catalogue, scenario), JUDGE_ALL)
    return result, shape_cases(lab.catalogue, lab.env.shapes, JUDGE_ALL)
