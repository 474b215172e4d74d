"""`relaykit test`, `relaykit list` and `relaykit explain`."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from relaykit.conformance import api, coverage, options, terminal
from relaykit.conformance.cases import fits
from relaykit.conformance.derived.table import lines, table
from relaykit.conformance.expectations import in_force
from relaykit.conformance.explain import explain as explain_text
from relaykit.conformance.gathered import Gathered, gathered
from relaykit.conformance.judge import expected_reason
from relaykit.conformance.options import Running, Selection
from relaykit.conformance.pausing import pausing
from relaykit.conformance.report import report
from relaykit.conformance.reports.formats import writable, write
from relaykit.conformance.reports.text import scrubbed
from relaykit.conformance.results import Case, RunResult
from relaykit.conformance.run import exit_code
from relaykit.conformance.setup import Given, make_target
from relaykit.conformance.target import Target
from relaykit.conformance.unjudged import not_judged
from relaykit.conformance.updating import apply, update_of, updated
from relaykit.errors import ExitCode, RelaykitError, UnreachableError, UsageError
from relaykit.redaction import Redactor
from relaykit.schemas import Catalogue, load_catalogue
from relaykit.schemas.wording import counted


@click.command()
@options.target
@options.selection
@options.running
@options.reports
@click.option(
    "--update-expectations",
    "update",
    is_flag=True,
    help="Write what failed into `expected_failures` of the target file (or the file it names there), each "
    "with a reason for you to complete, and take out what passes now.",
)
@click.option("-v", "--verbose", is_flag=True, help="List every case.")
def test(
    given: Given,
    selection: Selection,
    running: Running,
    wanted: list[tuple[str, Path]],
    update: bool,
    verbose: bool,
) -> int:
    """Judge a server by the protocol's requirements.

    \b
    A server that runs already, whose tokens are signed with RELAYKIT_SECRET (HS256):
        relaykit test --url ws://127.0.0.1:8787/ws
    One that the suite starts and stops (with a free port, and a random RELAYKIT_SECRET):
        relaykit test --launch 'my-server --port {port}'
    The same with a control interface, which gets {control_port} and a random RELAYKIT_CONTROL_TOKEN, and with
    all capabilities (what neither --capability nor a target file names is tried, and judged if it is served):
        relaykit test --launch 'my-server --port {port} --control {control_port}' --capability all
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
    if update and given.file is None:
        raise UsageError("--update-expectations writes into a target file: give one with -t")
    for _, path in wanted:
        writable(path)  # before the run, that nobody waits in vain
    catalogue = load_catalogue()
    cases = selection.load(catalogue)
    chosen = selection.choose(catalogue, cases)
    target, environment = make_target(given, catalogue)
    api.check(target, catalogue, cases)
    if target.dialect is None and any(g.kind == "dialect" for g in selection.gathered(catalogue, cases)):
        named = " --run ".join(("", *selection.run)).strip()
        raise UsageError(f"{named}: without a `dialect` in the target file there is nothing to see")
    redactor = Redactor(*target.secrets)
    expected, _ = in_force(target.expected, datetime.now(UTC).date())
    live = terminal.Live(
        terminal.console(stderr=True),
        redactor.text,
        lambda failed: expected_reason(failed, expected) is not None,
    )
    settings = running.settings(selection.rules, redactor.add, pausing(redactor, live.away))
    settings = replace(settings, try_all=selection.shard is not None)
    settings = replace(settings, gathered=not selection.exact(chosen))
    launch = api.Launch(given.command, environment) if given.command is not None else None
    console = terminal.console()
    with live as progress:
        try:
            result = asyncio.run(api.judge(target, chosen, settings, progress=progress, launch=launch))
        except RelaykitError as error:
            if isinstance(error, UnreachableError):  # who reads reports is to see why there are no verdicts
                result = not_judged(catalogue, chosen, settings.seed, target.carrier, error)
                result.options = {**selection.said(), **running.said(), **_said(given)}
                _write(report(result, target, catalogue, redactor, ExitCode.UNREACHABLE), wanted, console)
            raise redactor.error(error) from None
    result.options = {**selection.said(), **running.said(), **_said(given)}
    said = _updated(given.file, result, target, redactor) if update and given.file else ""
    code = exit_code(result, frozenset(running.fail_on))
    data = report(result, target, catalogue, redactor, code)
    terminal.show(data, console, verbose=verbose)
    if said:
        console.print(said, markup=False)
    _write(data, wanted, console)
    return code


def _write(data: dict[str, Any], wanted: list[tuple[str, Path]], console: Console) -> None:
    for kind, path in wanted:
        write(data, kind, path)
        console.print(f"{kind} report: {path}")


def _updated(file: Path, result: RunResult, target: Target, redactor: Redactor) -> str:
    """Bring the expected failures up to date, and judge by them; what was done, in a line."""
    if result.interrupted:
        return "expectations: not updated, since the run was interrupted"
    change = update_of(result.cases, target.expected, datetime.now(UTC).date(), redactor.text)
    if not change.added and not change.removed:
        return f"expectations: nothing to change ({change})"
    path = apply(file, change)
    updated(result, target.expected, change)
    return f"expectations: {path}: {change}"


def _said(given: Given) -> dict[str, Any]:
    """What the report says about where the target comes from."""
    return {
        "target_file": str(given.file) if given.file else None,
        "url": given.url,
        "secret_file": str(given.secret_file) if given.secret_file else None,
        "launch": scrubbed(given.launch) if given.launch else None,
        "capabilities": list(given.capabilities),
    }


@click.command("list")
@options.selection
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text")
@click.option(
    "--coverage",
    "covered",
    is_flag=True,
    help="Show what the cases cover instead: requirements, frames, error codes, transitions between states.",
)
@click.option(
    "--derived",
    is_flag=True,
    help="Show instead which constraint of which client's frame is tried by which derived cases.",
)
def list_(selection: Selection, format_: str, covered: bool, derived: bool) -> int:
    """List the cases of the suite, or with --coverage what they cover.

    \b
    relaykit list --run 'area:messages'
    relaykit list --run 'requirement:MSG-0*' --format json
    relaykit list --coverage                  of all cases, the slow ones too; or --profile default
    relaykit list --run derived/send        the derived cases of a frame, one by one
    relaykit list --derived                 constraint by constraint, for all frames
    relaykit list --run 'shape*'            what is gathered from whatever else runs
    """
    catalogue = load_catalogue()
    if derived:
        _table(catalogue, format_)
        return 0
    source = click.get_current_context().get_parameter_source("profile")
    if covered and source in (None, click.core.ParameterSource.DEFAULT):
        selection = replace(selection, profile="full")  # what slow cases prove is proved
    cases = selection.load(catalogue)
    standing = selection.gathered(catalogue, cases)
    chosen = selection.choose(catalogue, cases)
    if standing and not covered:
        own = tuple(pattern for pattern in selection.run if any(fits(case, pattern) for case in cases))
        chosen = replace(selection, run=own).choose(catalogue, cases) if own else ()
    if covered:
        tables = coverage.coverage(catalogue, chosen)
        if format_ == "json":
            click.echo(json.dumps(coverage.as_json(catalogue, tables), indent=2, ensure_ascii=False))
        else:
            click.echo(coverage.as_text(catalogue, tables))
        return 0
    if format_ == "json":
        rows = [*map(_listed, chosen), *map(_standing, standing)]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    for area in dict.fromkeys(case.area for case in chosen):
        click.secho(area, bold=True)
        for case in chosen:
            if case.area == area and (selection.run or case.kind != "derived"):
                needs = sorted((case.capabilities - {"core"}) | case.operations)
                more = f"  ({', '.join(needs)})" if needs else ""
                click.echo(f"  {case.id:<40} {case.level:<6} {case.title}{more}")
    made = [case for case in chosen if case.kind == "derived"]
    if made and not selection.run:
        click.secho("derived", bold=True)
        for frame, count in Counter(_family(case.id) for case in made).items():
            click.echo(f"  {frame:<40} {count:>4} cases, made from the schemas; --run {frame} lists them")
    if standing:
        click.secho("gathered from whatever else runs", bold=True)
        for each in standing:
            click.echo(f"  {each.id:<40} {'MUST':<6} {each.title}")
        if not chosen:
            return 0
    elif not selection.run:
        every = Counter(each.kind for each in gathered(catalogue).values())
        click.secho("gathered from whatever else runs", bold=True)
        click.echo(
            f"  {'shape-*':<40} {every['shape']:>4} types of frames that arrive; --run 'shape*' lists them"
        )
    proved = {name for case in chosen for name in case.requirements}
    of = f"{len(proved)} of {len(catalogue.requirements)} requirements"
    click.echo(f"{counted(len(chosen), 'case')}, naming {of}")
    return 0


def _family(name: str) -> str:
    """The pattern under which a derived case is counted: its frame's, or that of a fault of the type."""
    parts = name.split("/")
    return f"'derived/*/{parts[-1]}'" if parts[-1] == "server-only" else "/".join(parts[:2])


def _table(catalogue: Catalogue, format_: str) -> None:
    rows = table(catalogue)
    if format_ == "json":
        click.echo(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
        return
    for line in lines(rows):
        click.secho(line, bold=not line.startswith(" "))
    tried = sum(bool(row.refused) for row in rows)
    count = len({name for row in rows for name in (*row.refused, *row.served)})
    click.echo(f"{len(rows)} constraints, {tried} of them violated; {count} cases")


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


def _standing(each: Gathered) -> dict[str, Any]:
    none: list[str] = []
    return {
        "id": each.id,
        "title": each.title,
        "area": each.area,
        "kind": each.kind,
        "level": "MUST",
        "requirements": none,
        "capabilities": none,
        "control": none,
        "slow": False,
        "catches": each.about.replace("\n", " "),
        "source": "",
    }


@click.command()
@click.argument("name", metavar="ID")
@click.option(
    "--scenarios", "folders", multiple=True, type=click.Path(path_type=Path), help="Further scenarios."
)
def explain(name: str, folders: tuple[Path, ...]) -> int:
    """Explain a requirement, a case or a profile: its text, its source, what happens, what shows it.

    \b
    relaykit explain MSG-02
    relaykit explain message-life
    relaykit explain core
    relaykit explain shape-sent-ack         or any other ID that a report shows
    """
    catalogue = load_catalogue()
    cases = api.load_cases(catalogue, folders)
    click.echo(explain_text(catalogue, cases, name))
    return 0
