"""The suite from Python, without a command line: load cases, make a target, judge it, get results.

    from relaykit.conformance import api

    target = api.target("target.yaml")                      # or a mapping with the keys of a target file
    result = api.run(target, api.cases(run=["area:messages"]))
    for each in result.unexpected:
        print(each.case.id, [finding.message for finding in each.findings])
    data = api.as_report(result, target)                    # as `report.schema.json` has it

A server that the suite starts itself, with free ports and made-up secrets:

    prepared = api.prepare(launch="my-server --port {port}", capabilities=["groups"])
    result = api.run(prepared.target, api.cases(), launch=prepared.launch)

One case at a time, as a test framework wants it, within an event loop:

    async with api.session(target, api.Settings()) as session:
        for case in api.cases():
            outcome = await session.judge(case)
        result = session.conclude()

A control adapter in Python raises `api.ControlRefusedError` where the target cannot do what is asked.

These names are kept between versions; what else the package holds may move.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from relaykit.config import Document, load_yaml
from relaykit.conformance.cases import load_cases, select
from relaykit.conformance.control_spec import ControlRefusedError
from relaykit.conformance.expectations import check_expectations
from relaykit.conformance.gathered import gathered
from relaykit.conformance.judge import JUDGE_ALL, Rules
from relaykit.conformance.launch import Launched, end_on_sigterm, launched, ports_for
from relaykit.conformance.report import report
from relaykit.conformance.results import Case, CaseResult, Finding, RunResult, Verdict
from relaykit.conformance.run import Progress, Session, Settings, exit_code, open_session, run_session
from relaykit.conformance.setup import Given, make_target
from relaykit.conformance.target import Target, read_target
from relaykit.redaction import Redactor
from relaykit.schemas import Catalogue, load_catalogue

__all__ = [
    "Case",
    "CaseResult",
    "ControlRefusedError",
    "Finding",
    "Launch",
    "Prepared",
    "Progress",
    "Rules",
    "RunResult",
    "Session",
    "Settings",
    "Target",
    "Verdict",
    "as_report",
    "cases",
    "check",
    "judge",
    "load_cases",
    "prepare",
    "run",
    "session",
    "target",
]

_START_S = 15


@dataclass(frozen=True, slots=True)
class Launch:
    """A command that starts the target, and what is added to its environment."""

    command: str
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A target, and how to launch it, if it is to be launched."""

    target: Target
    launch: Launch | None


def cases(
    *,
    run: Sequence[str] = (),
    skip: Sequence[str] = (),
    profile: str = "default",
    rules: Rules = JUDGE_ALL,
    folders: Iterable[Path] = (),
    catalogue: Catalogue | None = None,
) -> tuple[Case, ...]:
    """The cases that patterns choose, as `relaykit list` does; see `relaykit.conformance.cases.select`.

    Args:
        folders: of further scenarios.

    Raises:
        UsageError: a pattern or a scenario is wrong.
    """
    known = catalogue or load_catalogue()
    every = load_cases(known, folders)
    return select(known, every, run=run, skip=skip, rules=rules, profile=profile)


def target(
    source: Path | str | Mapping[str, Any], *, base: Path | None = None, catalogue: Catalogue | None = None
) -> Target:
    """The target that a file describes, or a mapping with the keys of a target file.

    Args:
        base: the folder that paths are relative to; the file's own, or the current one.

    Raises:
        UsageError: something is missing or wrong.
    """
    if isinstance(source, Mapping):
        document = Document("(target)", dict(source), MappingProxyType({}))
    else:
        document, base = load_yaml(Path(source)), base or Path(source).parent
    return read_target(document, catalogue or load_catalogue(), base=base or Path.cwd())


def prepare(
    *,
    file: Path | None = None,
    url: str | None = None,
    secret_file: Path | None = None,
    launch: str | None = None,
    capabilities: Sequence[str] = (),
    catalogue: Catalogue | None = None,
) -> Prepared:
    """What the options of `relaykit test` with these names mean.

    `{port}` and `{control_port}` in `launch` stand for free ports, also in the target file's addresses.

    Raises:
        UsageError: something is missing or wrong.
    """
    ports = ports_for(launch)
    given = Given(file, url, secret_file, launch, tuple(capabilities), ports)
    made, environment = make_target(given, catalogue or load_catalogue())
    return Prepared(made, Launch(given.command, environment) if given.command is not None else None)


def check(target: Target, catalogue: Catalogue, cases: Iterable[Case]) -> None:
    """Refuse a target file whose expected failures name what does not exist among all cases.

    Raises:
        UsageError: with the place of each.
    """
    ids = {case.id for case in cases} | gathered(catalogue).keys()
    check_expectations(target.expected, ids, catalogue.requirements)


async def judge(
    target: Target,
    cases: Sequence[Case],
    settings: Settings | None = None,
    *,
    progress: Progress | None = None,
    launch: Launch | None = None,
    catalogue: Catalogue | None = None,
) -> RunResult:
    """Run the cases against the target, which is started and stopped if `launch` says how.

    Returns:
        all verdicts; `interrupted` is set if the run was cancelled (SIGTERM does that, too).

    Raises:
        UnreachableError: there is no target to judge; the hint holds what a launched one wrote.
        UsageError: the command to launch cannot be run.
    """
    settings = settings or Settings()
    known = catalogue or load_catalogue()
    end_on_sigterm()
    if launch is None:
        return await run_session(target, known, cases, settings, progress)
    async with _started(launch, target, settings) as server:
        result = await run_session(target, known, cases, settings, progress)
        if any(finding.blame == "environment" for case in result.cases for finding in case.findings):
            await server.settled(2.0)
        if server.ended is not None:
            result.notes = (*result.notes, f"the launched target {server.ended} during the run")
        if server.ended is not None or result.count(Verdict.FAIL) or result.count(Verdict.ERROR):
            result.server_log = tuple(server.tail)
        if server.crash_note is not None:
            result.notes = (*result.notes, server.crash_note)
            shown = [line for line in server.first_crash if line not in result.server_log]
            result.server_log = (*shown, *result.server_log)
        return result


def _started(
    launch: Launch, target: Target, settings: Settings
) -> contextlib.AbstractAsyncContextManager[Launched]:
    seconds = _START_S * settings.timeout_factor
    return launched(launch.command, target.url, environment=launch.environment, seconds=seconds)


def run(
    target: Target,
    cases: Sequence[Case],
    settings: Settings | None = None,
    *,
    progress: Progress | None = None,
    launch: Launch | None = None,
    catalogue: Catalogue | None = None,
) -> RunResult:
    """As `judge`, from where no event loop runs."""
    return asyncio.run(judge(target, cases, settings, progress=progress, launch=launch, catalogue=catalogue))


@contextlib.asynccontextmanager
async def session(
    target: Target,
    settings: Settings | None = None,
    *,
    launch: Launch | None = None,
    catalogue: Catalogue | None = None,
) -> AsyncIterator[Session]:
    """A target that was found to be there, for cases that come one by one.

    Raises:
        UnreachableError: there is no target to judge; the hint holds what a launched one wrote.
        UsageError: the command to launch cannot be run.
    """
    settings = settings or Settings()
    known = catalogue or load_catalogue()
    async with contextlib.AsyncExitStack() as stack:
        if launch is not None:
            await stack.enter_async_context(_started(launch, target, settings))
        yield await stack.enter_async_context(open_session(target, known, settings))


def as_report(
    result: RunResult,
    target: Target,
    *,
    fail_on: Iterable[str] = (),
    redactor: Redactor | None = None,
    catalogue: Catalogue | None = None,
) -> dict[str, Any]:
    """The report of `relaykit test --report json=…`, without any secret of the target file.

    Args:
        redactor: one that knows further secrets, such as tokens that were fetched (`Settings.secret`).
    """
    code = exit_code(result, frozenset(fail_on))
    return report(result, target, catalogue or load_catalogue(), redactor or Redactor(*target.secrets), code)
