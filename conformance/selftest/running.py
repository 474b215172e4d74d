"""Runs the cases against one defective server after the other, several at a time."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from relaykit.conformance.cases import select
from relaykit.conformance.grammar import Expect, walk
from relaykit.conformance.launch import Start, execute, launched
from relaykit.conformance.results import Case, RunResult
from relaykit.conformance.run import Settings, run_session
from relaykit.conformance.selftest import judging
from relaykit.conformance.selftest.judging import Outcome, Verdicts
from relaykit.conformance.selftest.seeded import SOUND, Listing, Seeded, prepare
from relaykit.conformance.setup import CONTROL_VARIABLE, SECRET_VARIABLE
from relaykit.conformance.shapes import shape_requirements
from relaykit.errors import RelaykitError, UnreachableError
from relaykit.redaction import Redactor
from relaykit.schemas import Catalogue

WAITS: Mapping[str, float] = {"reply_ms": 1500, "quiet_ms": 50, "connect_ms": 5000, "case_s": 30}
"""How long the suite waits for what a defective server may never say."""
_START_S = 30.0
_FIRST = 8
"""Cases that run in the first round, for each requirement that is broken."""
_SHOWING = 2
"""And for each type whose shape proves it, scenarios in which such frames come."""
_FEW_DERIVED = 40
"""Derived cases that run in the second round, where no more claim the requirement."""
_ATTEMPTS = 2
"""To start a server: somebody else may have taken the free port meanwhile."""


@dataclass(frozen=True, slots=True)
class Round:
    """Cases that run against one server; `concurrency`: so many at the same time, if not as usual."""

    cases: tuple[Case, ...]
    concurrency: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What runs.

    Attributes:
        cases: every case there is.
        full: run them all against each defect.
        jobs: servers at the same time.
        folder: for the servers' files.
        seed: of the cases' users and texts.
        start: how servers are started.
        ports: which were chosen for servers until now.
    """

    catalogue: Catalogue
    listing: Listing
    cases: tuple[Case, ...]
    full: bool
    jobs: int
    factor: float
    folder: Path
    seed: str
    secrets: Mapping[str, str] = field(
        default_factory=lambda: {
            SECRET_VARIABLE: secrets.token_hex(32),
            CONTROL_VARIABLE: secrets.token_urlsafe(32),
        }
    )
    start: Start = execute
    ports: set[int] = field(default_factory=set)

    def against(self, defect: Seeded) -> tuple[Round, ...]:
        """What runs against a defect, round by round until it is killed; a server of its own for each.

        First the cases that claim what it breaks and are about little else: where one of them kills, more
        would show nothing new. Then all that claim it, and a smoke test, which tells whether it was misnamed
        or has survived; then the derived cases that claim it, if they are many: there may be a thousand. Some
        defects disturb cases that run at the same time, so that these end before they come to the point: in
        the last round each case that people wrote has the server to itself.
        """
        if self.full:
            return (Round(self.cases),)
        claims = [case for case in self.cases if set(defect.breaks) & set(case.requirements)]
        written = [case for case in claims if case.kind != "derived"]
        derived = [case for case in claims if case.kind == "derived"]
        few, many = (derived, []) if len(derived) <= _FEW_DERIVED else ([], derived)
        first = {case.id for name in defect.breaks for case in self._narrowest(name)}
        if len(written) < _FIRST:
            first |= {case.id for case in few}
        rounds = [Round(tuple(case for case in self.cases if case.id in first))] if first else []
        second = {case.id for case in (*written, *few, *smoke(self.catalogue, self.cases))}
        rounds.append(Round(tuple(case for case in self.cases if case.id in second)))
        if many:
            rounds.append(Round(tuple(many)))
        if written:
            rounds.append(Round(tuple(written), concurrency=1))
        return tuple(rounds)

    def _narrowest(self, name: str) -> tuple[Case, ...]:
        """The cases about a requirement, and little else; where frames prove it by their shape, some in
        which such frames come as well."""

        def breadth(case: Case) -> tuple[bool, int, str]:
            return case.kind == "derived", len(case.requirements), case.id

        ordered = sorted(self.cases, key=breadth)
        shaped = [
            kind
            for (direction, kind), spec in self.catalogue.frames.items()
            if direction == "s2c" and name in shape_requirements(spec.bundled)
        ]
        showing = [case for kind in shaped for case in _expecting(kind, ordered)[:_SHOWING]]
        claiming = [case for case in ordered if name in case.requirements]
        return (*claiming[:_FIRST], *showing)


def _expecting(kind: str, cases: Iterable[Case]) -> list[Case]:
    """The scenarios in which the target sends frames of a type."""
    return [
        case
        for case in cases
        if case.scenario is not None
        and any(isinstance(step, Expect) and step.frame["type"] == kind for step in walk(case.scenario.steps))
    ]


def smoke(catalogue: Catalogue, cases: Sequence[Case]) -> tuple[Case, ...]:
    """What runs against every defect: the scenarios that are quick and bear company."""
    return tuple(case for case in select(catalogue, cases, profile="smoke") if case.kind == "scenario")


async def run_all(
    plan: Plan, defects: Iterable[Seeded], done: Callable[[Verdicts], None]
) -> tuple[Verdicts, ...]:
    """Judge the defects; `done` gets each verdict as it is there.

    When this is cancelled (Ctrl-C), the servers are stopped; what was judged until then has been handed out.
    """
    queue = list(reversed(list(defects)))
    order = {each.id: place for place, each in enumerate(reversed(queue))}
    found: list[Verdicts] = []

    async def worker() -> None:
        while queue:
            verdict = await _one(plan, queue.pop())
            found.append(verdict)
            done(verdict)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(plan.jobs, len(queue))):
            group.create_task(worker())
    return tuple(sorted(found, key=lambda verdict: order[verdict.defect.id]))


async def run_sound(plan: Plan, setups: Mapping[str, Collection[str]]) -> list[str]:
    """Run the cases with these IDs against a server without a defect, in each setup.

    Cases that fail run once more, with fewer at a time and more patience: a busy machine is no defect of the
    suite.

    Returns:
        what they find, which must be nothing.
    """
    limit = asyncio.Semaphore(plan.jobs)

    async def one(setup: str, ids: Collection[str]) -> list[str]:
        cases = tuple(case for case in plan.cases if case.id in ids)
        if not cases:
            return []
        async with limit:
            try:
                result = await _against(plan, SOUND, setup, cases, plan.factor)
                bad = [each.case for each in result.cases if each.findings]
                if bad:
                    again = [case for case in bad if case.kind != "shape"] or cases
                    result = await _against(plan, SOUND, setup, again, plan.factor * 4, concurrency=2)
            except RelaykitError as error:
                return [f"{setup}: {error}"]
            clean = Redactor(*plan.secrets.values()).text
            return [clean(f"{setup}: {line}") for line in judging.complaints(result)]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(setup, ids)) for setup, ids in setups.items()]
    return [line for task in tasks for line in task.result()]


async def _one(plan: Plan, defect: Seeded) -> Verdicts:
    """The verdict on one defect, without any token: what a server echoes is quoted in findings."""
    verdict, clean = await _judged(plan, defect), Redactor(*plan.secrets.values()).text
    kills = {
        name: tuple(replace(kill, step=clean(kill.step), message=clean(kill.message)) for kill in found)
        for name, found in verdict.kills.items()
    }
    return replace(verdict, kills=kills, reason=clean(verdict.reason))


async def _judged(plan: Plan, defect: Seeded) -> Verdicts:
    found: list[Verdicts] = []
    try:
        for one in plan.against(defect):
            result = await _against(
                plan, defect.id, defect.setup, one.cases, plan.factor, concurrency=one.concurrency
            )
            found.append(judging.judge(defect, result, plan.catalogue.requirements))
            if found[-1].outcome is Outcome.ERROR:
                return found[-1]
            if judging.together(found).outcome is Outcome.KILLED:
                break
    except UnreachableError as error:
        return judging.unusable(defect, str(error))
    except RelaykitError as error:
        return judging.unusable(defect, str(error), Outcome.ERROR)
    return judging.together(found)


async def _against(
    plan: Plan,
    name: str,
    setup: str,
    cases: Sequence[Case],
    factor: float,
    concurrency: int | None = None,
) -> RunResult:
    """Start one server, run the cases against it, stop it.

    Raises:
        UnreachableError: there is nothing to judge.
    """
    settings = Settings(plan.seed, timeout_factor=factor, concurrency=concurrency)
    result: RunResult | None = None
    attempt = 0
    while result is None:
        attempt += 1
        folder = plan.folder / f"{name}-{setup}-{time.monotonic_ns()}"
        folder.mkdir()
        server = prepare(plan.listing, name, setup, folder, plan.secrets, WAITS, plan.ports)
        process = None
        try:
            async with launched(
                server.command,
                server.target.url,
                environment=plan.secrets,
                seconds=_START_S * factor,
                start=plan.start,
            ) as process:
                result = await run_session(server.target, plan.catalogue, cases, settings)
        except UnreachableError:
            if attempt == _ATTEMPTS or process is not None:
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    if result.interrupted:
        raise asyncio.CancelledError  # it was taken for the run's own
    return result
