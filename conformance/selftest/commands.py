"""`relaykit selftest`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import secrets
import shlex
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from relaykit.conformance import terminal
from relaykit.conformance.cases import load_cases
from relaykit.conformance.launch import end_on_sigterm
from relaykit.conformance.reports.formats import writable
from relaykit.conformance.selftest import matrix, show
from relaykit.conformance.selftest.judging import Outcome, Verdicts, rows
from relaykit.conformance.selftest.nursery import nursery
from relaykit.conformance.selftest.running import Plan, run_all, run_sound
from relaykit.conformance.selftest.seeded import PROGRAM, Listing, Seeded, choose, list_defects, some_of
from relaykit.errors import ExitCode, UsageError
from relaykit.schemas import Catalogue, load_catalogue

_PATH: Any = click.Path(path_type=Path)


@dataclass(slots=True)
class _Found:
    """What there is so far, also when the run is interrupted."""

    listing: Listing
    chosen: tuple[Seeded, ...]
    verdicts: list[Verdicts] = field(default_factory=list)
    sound: list[str] = field(default_factory=list)
    interrupted: bool = False


@click.command()
@click.option(
    "--run",
    "run_",
    multiple=True,
    metavar="PATTERN",
    help="Only defects that fit: a glob of IDs, or area:, requirement:, setup: and a glob.",
)
@click.option(
    "--sample",
    type=click.IntRange(1),
    metavar="N",
    help="Only so many, of different areas, chosen by --seed.",
)
@click.option("--seed", metavar="TEXT", help="Any text; chooses the same sample again.  [random]")
@click.option("--full", is_flag=True, help="Run every case against each defect: slow.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 64),
    default=lambda: min(64, 4 * (os.cpu_count() or 2)),
    help="Servers at the same time; most of them wait for answers.  [four times the cores]",
)
@click.option(
    "--timeout-factor",
    type=click.FloatRange(0.05, 1000),
    default=1.0,
    show_default=True,
    help="Wait longer: for slow machines.",
)
@click.option(
    "--report", "reports", multiple=True, metavar="json=FILE", help="Write all that was found, as JSON."
)
@click.option(
    "--matrix",
    "matrix_file",
    type=_PATH,
    help="Write the matrix, as it is committed for the documentation; or renew in it what runs.",
)
@click.option(
    "--defects",
    "program",
    metavar="CMD",
    help="The program that starts defective servers.  [the reference server's]",
)
@click.option("--list", "list_", is_flag=True, help="List the defects, and stop.")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="Of the list.")
@click.option("-v", "--verbose", is_flag=True, help="Name every step that kills, with its message.")
def selftest(
    run_: tuple[str, ...],
    sample: int | None,
    seed: str | None,
    full: bool,
    jobs: int,
    timeout_factor: float,
    reports: tuple[str, ...],
    matrix_file: Path | None,
    program: str | None,
    list_: bool,
    format_: str,
    verbose: bool,
) -> int:
    """Prove that the suite finds what is wrong, on servers that are wrong on purpose.

    \b
    relaykit selftest                              every seeded defect
    relaykit selftest --sample 12 --seed TEXT      some of them, as CI does
    relaykit selftest --run ack-before-commit -v   one, with every step that finds it
    relaykit selftest --run 'requirement:MSG-3*'

    Each defect breaks a requirement. Against a server with it run the cases that claim the requirement, and a
    smoke test. It is killed if a step that names the requirement fails; it is misnamed if only others do, and
    has survived if none does: then the suite has a gap. The cases that found something run against a server
    without a defect as well, which must pass them.

    \b
    Exit codes: 0 all were killed; 1 one was not, or the sound server fails; 2 usage; 4 nothing was run;
    5 a defect of the kit.
    """
    files = [_json_file(spec) for spec in reports]
    for path in (*files, *([matrix_file] if matrix_file is not None else ())):
        writable(path)  # before the run, that nobody waits in vain
    catalogue = load_catalogue()
    words = tuple(shlex.split(program)) if program else PROGRAM
    listing = asyncio.run(list_defects(words, catalogue.requirements))
    chosen = choose(listing, run_)
    seed = seed or secrets.token_hex(4)
    if sample is not None:
        chosen = some_of(chosen, sample, seed)
    if list_:
        click.echo(_as_json(chosen) if format_ == "json" else show.listing(chosen))
        return ExitCode.OK
    if matrix_file is not None and matrix_file.exists() and len(chosen) < len(listing.defects):
        matrix.read(matrix_file)  # what stays of it is needed at the end: no run for nothing
    console, started = terminal.console(), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="relaykit-selftest-") as folder:
        cases = load_cases(catalogue)
        plan = Plan(catalogue, listing, cases, full, jobs, timeout_factor, Path(folder), seed)
        found = _Found(listing, chosen)
        with show.Live(Console(stderr=True), len(chosen)) as live:
            asyncio.run(_run(plan, found, live))
    options = {
        "run": list(run_),
        "sample": sample,
        "seed": seed,
        "full": full,
        "jobs": jobs,
        "timeout_factor": timeout_factor,
        "program": shlex.join(words),
    }
    spent = show.Spent(round(time.perf_counter() - started, 1), round(_cpu_s(), 1))
    return _conclude(catalogue, found, console, options, spent, files, matrix_file, verbose=verbose)


def _cpu_s() -> float:
    """Seconds of CPU time until now: our own, and the servers'."""
    own, servers = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime + servers.ru_utime + servers.ru_stime


async def _run(plan: Plan, found: _Found, live: show.Live) -> None:
    end_on_sigterm()
    try:
        async with contextlib.AsyncExitStack() as stack:
            if plan.listing.forks:
                start = await stack.enter_async_context(nursery(plan.listing.program, plan.folder))
                plan = replace(plan, start=start)
            await _run_all(plan, found, live)
    except asyncio.CancelledError:
        found.interrupted = True
        if (task := asyncio.current_task()) is not None:
            task.uncancel()


async def _run_all(plan: Plan, found: _Found, live: show.Live) -> None:
    def done(verdict: Verdicts) -> None:
        found.verdicts.append(verdict)
        live.done(verdict)

    found.verdicts = list(await run_all(plan, found.chosen, done))
    live.sound()
    # What found something in a defective server must find nothing in one without a defect.
    witnesses: dict[str, set[str]] = {}
    for verdict in found.verdicts:
        if plan.listing.setups[verdict.defect.setup].sound:
            witnesses.setdefault(verdict.defect.setup, set()).update(verdict.witnesses)
    found.sound = await run_sound(plan, witnesses)


def _conclude(
    catalogue: Catalogue,
    found: _Found,
    console: Console,
    options: dict[str, Any],
    spent: show.Spent,
    files: list[Path],
    matrix_file: Path | None,
    *,
    verbose: bool,
) -> int:
    listing, verdicts = found.listing, found.verdicts
    table = rows(catalogue.requirements.values(), listing.defects, verdicts)
    show.matrix(console, verdicts, verbose=verbose)
    whole = len(found.chosen) == len(listing.defects)
    if whole:
        show.unproven(console, table)
    show.alive(console, verdicts)
    for line in found.sound:
        console.print(f"the server without a defect fails: {line}", style="bold red", markup=False)
    for path in files:
        matrix.write(
            path,
            matrix.as_data(catalogue, verdicts, table, sound=found.sound, options=options, spent=spent),
        )
        console.print(f"json report: {path}")
    if matrix_file is not None:
        _keep(catalogue, found, matrix_file, console)
    stale: list[str] = []
    if matrix_file is None and listing.program == PROGRAM and matrix.COMMITTED.exists():
        stale = matrix.drift(matrix.committed(), verdicts)
        for line in stale:
            console.print(f"stale matrix: {line}", style="yellow", markup=False)
        if stale:
            console.print(f"`relaykit selftest --matrix {matrix.COMMITTED}` writes it anew")
    if options["sample"]:
        console.print(f"the same sample again: --sample {options['sample']} --seed {options['seed']}")
    console.print(show.conclusion(verdicts, table, spent))
    if found.interrupted:
        return ExitCode.INTERRUPTED
    if not verdicts:
        return ExitCode.NOTHING
    if any(verdict.outcome in (Outcome.ERROR, Outcome.UNUSABLE) for verdict in verdicts):
        return ExitCode.KIT_DEFECT
    bad = found.sound or stale or any(verdict.outcome is not Outcome.KILLED for verdict in verdicts)
    return ExitCode.FAILED if bad else ExitCode.OK


def _keep(catalogue: Catalogue, found: _Found, path: Path, console: Console) -> None:
    """Write the matrix; of defects that did not run, or on which the suite failed, it goes on saying what it
    has said."""
    ran = {v.defect.id: v for v in found.verdicts if v.outcome is not Outcome.ERROR}
    others = [each for each in found.listing.defects if each.id not in ran]
    before = matrix.recorded(matrix.read(path), others) if others and path.exists() else ()
    known = ran | {verdict.defect.id: verdict for verdict in before}
    verdicts = [known[each.id] for each in found.listing.defects if each.id in known]
    table = rows(catalogue.requirements.values(), found.listing.defects, verdicts)
    matrix.write(path, matrix.as_data(catalogue, verdicts, table))
    missing = len(found.listing.defects) - len(verdicts)
    console.print(f"matrix: {path}" + (f" (without {missing} defects that have not run)" if missing else ""))


def _json_file(spec: str) -> Path:
    kind, equals, name = spec.partition("=")
    if kind != "json" or not equals or not name:
        raise UsageError(f"--report {spec}: json=FILE is all there is")
    return Path(name)


def _as_json(defects: tuple[Seeded, ...]) -> str:
    return json.dumps(
        [
            {
                "id": each.id,
                "title": each.title,
                "area": each.area,
                "breaks": list(each.breaks),
                "setup": each.setup,
            }
            for each in defects
        ],
        indent=2,
        ensure_ascii=False,
    )
