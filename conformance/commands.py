"""`relaykit test`, `relaykit list` and `relaykit explain`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from relaykit.conformance import terminal
from relaykit.conformance.cases import PROFILES, load_cases, select
from relaykit.conformance.explain import explain as explain_text
from relaykit.conformance.judge import LEVELS, Rules, shape_ids
from relaykit.conformance.launch import free_port, launched
from relaykit.conformance.report import report
from relaykit.conformance.reports.formats import FORMATS, parse_report, write
from relaykit.conformance.reports.text import scrubbed
from relaykit.conformance.results import Case, RunResult, Verdict
from relaykit.conformance.run import Progress, Settings, exit_code, run
from relaykit.conformance.setup import Given, make_target
from relaykit.conformance.target import Target, check_expectations
from relaykit.errors import RelaykitError, UsageError
from relaykit.redaction import Redactor
from relaykit.schemas import Catalogue, load_catalogue

_PATTERNS = "Patterns are globs of case IDs, or area:, requirement:, frame:, kind:, level: and a glob."


def _selection(function: Any) -> Any:
    """The options that choose cases, the same for `test` and `list`."""
    for option in reversed(
        (
            click.option(
                "--run", "run_", multiple=True, metavar="PATTERN", help="Only cases that fit. " + _PATTERNS
            ),
            click.option("--skip", multiple=True, metavar="PATTERN", help="Not the cases that fit."),
            click.option(
                "--level",
                type=click.Choice(LEVELS, case_sensitive=False),
                help="Judge by requirements of this level and stronger ones only.",
            ),
            click.option(
                "--provenance",
                type=click.Choice(["documented", "all"]),
                default="all",
                help="documented: judge by what the source document says alone.",
            ),
            click.option(
                "--profile",
                type=click.Choice(PROFILES),
                default="default",
                help="smoke: none that must run alone; full: those that wait for seconds, too.",
            ),
            click.option(
                "--scenarios",
                "folders",
                multiple=True,
                type=click.Path(path_type=Path),
                help="A further folder (or file) of scenarios.",
            ),
        )
    ):
        function = option(function)
    return function


def _ports(launch: str | None) -> dict[str, int]:
    """Free ports for those that a command to launch speaks of."""
    return {name: free_port() for name in ("port", "control_port") if launch and f"{{{name}}}" in launch}


def _rules(level: str | None, provenance: str) -> Rules:
    levels = LEVELS if level is None else LEVELS[: LEVELS.index(level.upper()) + 1]
    return Rules(frozenset(levels), provenance == "documented")


@click.command()
@click.option("-t", "--target", "target_file", type=click.Path(path_type=Path), help="Target file (YAML).")
@click.option("--url", help="Address of the target, such as ws://127.0.0.1:8787/ws.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path),
    help="File with the key that signs tokens (HS256); else the environment variable RELAYKIT_SECRET.",
)
@click.option("--launch", metavar="CMD", help="Start the target with this command, and stop it afterwards.")
@click.option(
    "--capability",
    "capabilities",
    multiple=True,
    metavar="NAME",
    help="The target has it; `all` for every one.",
)
@_selection
@click.option("-j", "--jobs", type=click.IntRange(1, 1024), help="Cases at the same time.  [default: 32]")
@click.option(
    "--seed",
    help="Makes up the same users and texts as the run that printed it (on a server that forgot that run).",
)
@click.option(
    "--report",
    "reports",
    multiple=True,
    metavar="FORMAT=FILE",
    help=f"Write a report: {', '.join(FORMATS)} (badge=F.svg, or F.json for shields). May be repeated.",
)
@click.option(
    "--timeout-factor",
    type=click.FloatRange(0.05, 1000),
    default=1.0,
    help="Wait longer: for slow machines and debuggers.",
)
@click.option(
    "--fail-on",
    multiple=True,
    type=click.Choice(["warn", "untestable", "not-applicable"]),
    help="Exit with 1 on these verdicts, too.",
)
@click.option("-v", "--verbose", is_flag=True, help="List every case.")
def test(
    target_file: Path | None,
    url: str | None,
    secret_file: Path | None,
    launch: str | None,
    capabilities: tuple[str, ...],
    run_: tuple[str, ...],
    skip: tuple[str, ...],
    level: str | None,
    provenance: str,
    profile: str,
    folders: tuple[Path, ...],
    jobs: int | None,
    seed: str | None,
    reports: tuple[str, ...],
    timeout_factor: float,
    fail_on: tuple[str, ...],
    verbose: bool,
) -> int:
    """Judge a server by the protocol's requirements.

    \b
    A server that runs already, whose tokens are signed with RELAYKIT_SECRET (HS256):
        relaykit test --url ws://127.0.0.1:8787/ws
    One that the suite starts and stops (with a free port, and a random RELAYKIT_SECRET):
        relaykit test --launch 'my-server --port {port}'
    The same with a control interface, which gets {control_port} and a random RELAYKIT_CONTROL_TOKEN:
        relaykit test --launch 'relaykit serve --port {port} --control-port {control_port}' --capability all
    One with a target file, which can say all of it, and what the server can do:
        relaykit test -t target.yaml --report html=report.html --report json=report.json
    Just one case again, as it was:
        relaykit test -t target.yaml --run message-life --seed 8f14e45f

    Every case gets fresh users, so that nothing has to be cleared before or after.
    Verdicts: pass, fail (a MUST is broken), warn (a SHOULD is), not-applicable (the target does not
    declare the capability), untestable (the target offers no way to arrange it), error (the suite's fault).

    \b
    Exit codes: 0 no unexpected failure; 1 a failure, or a stale expectation; 2 usage or configuration;
    3 the target cannot be reached or takes no token; 4 nothing was executed; 5 a defect of the kit.
    """
    wanted = [parse_report(spec) for spec in reports]
    catalogue = load_catalogue()
    rules = _rules(level, provenance)
    cases = load_cases(catalogue, folders)
    chosen = select(catalogue, cases, run=run_, skip=skip, rules=rules, profile=profile)
    given = Given(target_file, url, secret_file, launch, capabilities, _ports(launch))
    target, environment = make_target(given, catalogue)
    ids = {case.id for case in cases} | shape_ids(catalogue)
    check_expectations(target, ids, catalogue.requirements)
    redactor = Redactor(*target.secrets)
    settings = Settings(seed or secrets.token_hex(4), rules, timeout_factor, jobs, redactor.add)
    console = terminal.console()
    with terminal.Live(Console(stderr=True)) as progress:
        command = given.command
        try:
            result = asyncio.run(_test(target, catalogue, chosen, settings, progress, command, environment))
        except RelaykitError as error:
            # What a target answers, or a launched one wrote, may hold a token.
            raise type(error)(
                redactor.text(str(error)), hint=redactor.text(error.hint or "") or None
            ) from None
    result.options = {
        "run": list(run_),
        "skip": list(skip),
        "level": level,
        "provenance": provenance,
        "profile": profile,
        "timeout_factor": timeout_factor,
        "target_file": str(target_file) if target_file else None,
        "url": url,
        "secret_file": str(secret_file) if secret_file else None,
        "launch": scrubbed(launch) if launch else None,
        "capabilities": list(capabilities),
        "scenarios": [str(folder) for folder in folders],
    }
    code = exit_code(result, frozenset(fail_on))
    data = report(result, target, catalogue, redactor, code)
    terminal.show(data, console, verbose=verbose)
    for kind, path in wanted:
        write(data, kind, path)
        console.print(f"{kind} report: {path}")
    return code


async def _test(
    target: Target,
    catalogue: Catalogue,
    cases: Sequence[Case],
    settings: Settings,
    progress: Progress,
    command: str | None,
    environment: dict[str, str],
) -> RunResult:
    task = asyncio.current_task()
    if task is not None:
        # A polite kill ends the run as Ctrl-C does: connections closed, a launched target stopped.
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if command is None:
        return await run(target, catalogue, cases, settings, progress)
    seconds = 15 * settings.timeout_factor
    async with launched(command, target.url, environment=environment, seconds=seconds) as server:
        try:
            result = await run(target, catalogue, cases, settings, progress)
        except RelaykitError as error:
            error.hint = f"{error.hint or ''}{server.said()}"
            raise
        if any(finding.blame == "environment" for case in result.cases for finding in case.findings):
            await server.settled(2.0)
        if server.ended is not None:
            result.notes = (*result.notes, f"the launched target {server.ended} during the run")
        if server.ended is not None or result.count(Verdict.FAIL) or result.count(Verdict.ERROR):
            result.server_log = tuple(server.tail)
        return result


@click.command("list")
@_selection
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text")
def list_(
    run_: tuple[str, ...],
    skip: tuple[str, ...],
    level: str | None,
    provenance: str,
    profile: str,
    folders: tuple[Path, ...],
    format_: str,
) -> int:
    """List the cases of the suite.

    \b
    relaykit list --run 'area:messages'
    relaykit list --run 'requirement:MSG-0*' --format json
    """
    catalogue = load_catalogue()
    cases = load_cases(catalogue, folders)
    rules = _rules(level, provenance)
    chosen = select(catalogue, cases, run=run_, skip=skip, rules=rules, profile=profile)
    if format_ == "json":
        click.echo(json.dumps([_listed(case) for case in chosen], indent=2, ensure_ascii=False))
        return 0
    for area in dict.fromkeys(case.area for case in chosen):
        click.secho(area, bold=True)
        for case in chosen:
            if case.area == area:
                needs = sorted((case.capabilities - {"core"}) | case.operations)
                more = f"  ({', '.join(needs)})" if needs else ""
                click.echo(f"  {case.id:<40} {case.level:<6} {case.title}{more}")
    proved = {name for case in chosen for name in case.requirements}
    click.echo(f"{len(chosen)} cases; they name {len(proved)} of {len(catalogue.requirements)} requirements")
    return 0


def _listed(case: Case) -> dict[str, Any]:
    return {
        "id": case.id,
        "title": case.title,
        "area": case.area,
        "kind": case.kind,
        "level": case.level,
        "requirements": list(case.requirements),
        "capabilities": sorted(case.capabilities),
        "control": sorted(case.operations),
        "slow": case.slow,
        "catches": case.catches,
        "source": case.source,
    }


@click.command()
@click.argument("name", metavar="ID")
@click.option(
    "--scenarios", "folders", multiple=True, type=click.Path(path_type=Path), help="Further scenarios."
)
def explain(name: str, folders: tuple[Path, ...]) -> int:
    """Explain a requirement or a case: its text, its source, and what happens.

    \b
    relaykit explain MSG-02
    relaykit explain message-life
    """
    catalogue = load_catalogue()
    cases = load_cases(catalogue, folders)
    click.echo(explain_text(catalogue, cases, name))
    return 0


__all__ = ["UsageError", "explain", "list_", "test"]
