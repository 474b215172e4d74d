"""What is kept of a failure: its shortest session, and the scenario that shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from relaykit.conformance import reproduce
from relaykit.conformance.cases import from_scenario
from relaykit.conformance.grammar import Scenario
from relaykit.conformance.judge import JUDGE_ALL
from relaykit.conformance.replay import replayed
from relaykit.conformance.results import CaseResult
from relaykit.conformance.sessions import writing
from relaykit.conformance.sessions.lab import Lab, Played
from relaykit.conformance.sessions.state import Step
from relaykit.conformance.single import run_one
from relaykit.errors import UsageError


def polished(
    play: Callable[[Sequence[Step]], Played], played: Played, same: Callable[[Played], bool], seconds: float
) -> Played:
    """Leave out single steps, as long as the failure stays: some may be left that do not matter.

    Args:
        play: plays a session from its steps.
        played: the session that failed.
        same: whether another one failed in the same way.
        seconds: to spend at most.
    """
    until, best, again = time.monotonic() + seconds, played, True
    while again and time.monotonic() < until:
        again = False
        for index in reversed(range(len(best.program))):
            if time.monotonic() > until:
                break
            tried = play(best.program[:index] + best.program[index + 1 :])
            if same(tried) and len(tried.program) < len(best.program):
                best, again = tried, True
                break
    return best


def keep(lab: Lab, folder: Path, name: str, played: Played, found: str) -> tuple[Path | None, str]:
    """Write the scenario of a session that failed.

    Args:
        folder: for the scenario.
        name: what the scenario's ID begins with.
        found: a line that says how it was found.

    Returns:
        the file, and what `replay` says of it here and now; None if it cannot be written: the lab notes why.
    """
    problem = played.problem
    assert problem is not None  # noqa: S101
    why = writing.unsayable(played.program)
    if why:
        lab.notes = (*lab.notes, f"{problem.req[0]} is left as its seed alone: {why}")
        return None, ""
    redact = lab.aimed.redactor.text
    notes = (found, redact(problem.message), *(f"  {step}" for step in played.program))
    made = writing.reproduction(lab.catalogue, name, played.log, played.last, problem, notes)
    try:
        path = reproduce.write(folder, made, lab.catalogue)
    except UsageError as error:
        lab.notes = (*lab.notes, str(error))
        return None, ""
    (scenario,) = reproduce.load(path, lab.catalogue)
    return path, str(replayed(lab.call(_replay(lab, scenario))).outcome)


async def _replay(lab: Lab, scenario: Scenario) -> CaseResult:
    if lab.server is not None and lab.server.ended is not None:
        await lab.server.restart()
    return await run_one(lab.env, from_scenario(lab.catalogue, scenario), JUDGE_ALL)
