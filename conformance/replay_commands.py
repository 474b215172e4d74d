"""`relaykit replay`."""

from __future__ import annotations

import asyncio
import json
import secrets
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.text import Text

from relaykit.conformance import options, terminal
from relaykit.conformance import replay as replaying
from relaykit.conformance.aiming import aim
from relaykit.conformance.cases import from_scenario
from relaykit.conformance.loader import load_files
from relaykit.conformance.report import report
from relaykit.conformance.reports.text import visible
from relaykit.conformance.setup import Given
from relaykit.errors import UsageError
from relaykit.schemas import load_catalogue

_STYLES = {"reproduced": "bold red", "fixed": "green", "error": "magenta"}


@click.command()
@click.argument("files", metavar="FILE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.target
@options.timeout_factor
@click.option(
    "--times",
    type=click.IntRange(1, 100_000),
    default=1,
    help="Run each up to so many times, until it fails: for failures that come and go.",
)
@click.option("--seed", help="Makes up the same users and texts as the run that printed it.")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text")
def replay(
    files: tuple[Path, ...],
    given: Given,
    timeout_factor: float,
    times: int,
    seed: str | None,
    format_: str,
) -> int:
    """Does a failure still occur? Run scenario files, such as those that `relaykit fuzz` leaves.

    \b
    relaykit replay .relaykit/fuzz/sessions-8f14e45f.yaml -t target.yaml
    relaykit replay found/*.yaml --launch 'my-server --port {port}' --format json

    \b
    reproduced  the failure that the file states occurs: a step fails that names its requirement
    fixed       the scenario passes
    error       neither: the target lacks what it needs, it fails before it comes to the point, or the
                kit is at fault

    A failure that the target file expects (by the scenario's ID, or by what it breaks) is shown, and does
    not count.

    A file that is worth keeping becomes a regression test in a folder of your own:
    `relaykit test -t target.yaml --scenarios FOLDER` runs all that are in it.

    \b
    Exit codes: 0 fixed, or failing as expected; 1 reproduced, or failing otherwise; 2 usage or
    configuration; 3 the target cannot be reached or takes no token; 4 nothing could be executed; 5 a defect
    of the kit.
    """
    catalogue = load_catalogue()
    paths: list[Path] = []
    for path in files:
        paths.extend(sorted(path.glob("*.yaml")) if path.is_dir() else [path])
    if not paths:
        raise UsageError(f"{files[0]}: there is no scenario file (*.yaml) in it")
    distinct = {path.resolve(): path for path in reversed(paths)}.values()
    cases = [from_scenario(catalogue, scenario) for scenario in load_files(catalogue, [*reversed(distinct)])]
    aimed = aim(catalogue, given, timeout_factor)
    seed = seed or secrets.token_hex(4)
    result = asyncio.run(replaying.replay(aimed, catalogue, cases, seed, times))
    played = [case for case in result.cases if case.case.kind == "scenario"]
    done = [replaying.replayed(case, result.cases) for case in played]
    stale = replaying.stale(aimed.target, done, datetime.now(UTC).date())
    code = replaying.exit_code(done, stale, interrupted=result.interrupted)
    data = report(result, aimed.target, catalogue, aimed.redactor, code)
    listed = {case["id"]: case for case in data["cases"]}
    scenarios = [
        {
            "id": each.result.case.id,
            "file": each.result.case.source,
            "outcome": str(each.outcome),
            "reason": aimed.redactor.text(each.reason),
            "expected_failure": each.result.expected_failure,
            **{
                key: listed[each.result.case.id][key]
                for key in ("title", "verdict", "requirements", "findings", "transcript", "duration_ms")
            },
        }
        for each in done
    ]
    if format_ == "json":
        kept = ("kit", "target", "seed", "started", "duration_s", "notes", "server_log")
        whole = {
            **{key: data[key] for key in kept},
            "exit_code": int(code),
            "interrupted": result.interrupted,
            "stale_expectations": list(stale),
            "scenarios": scenarios,
        }
        click.echo(json.dumps(whole, indent=2, ensure_ascii=False))
        return code
    console = terminal.console()
    failed = [listed[s["id"]] for s in scenarios if s["verdict"] in ("fail", "warn", "error")]
    terminal.show_failures(failed, console)
    for note in (*data["notes"], *(f"  {line}" for line in data["server_log"])):
        console.print(Text(visible(note), style="dim"))
    for each in scenarios:
        outcome = str(each["outcome"])
        console.print(
            Text.assemble(
                (f"{outcome:<11}", _STYLES[outcome]), (str(each["id"]), "bold"), f"  {each['title']}"
            )
        )
        if each["reason"]:
            console.print(Text(f"{'':<11}{visible(str(each['reason']))}"))
        if each["expected_failure"]:
            console.print(
                Text(f"{'':<11}expected by the target file: {visible(str(each['expected_failure']))}")
            )
    for line in stale:
        console.print(Text(visible(line), style="bold red"))
    counts = {name: sum(str(each.outcome) == name for each in done) for name in _STYLES}
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    console.print(
        Text(f"{said or 'interrupted'} · {visible(data['target']['name'])} · seed {seed}", style="bold")
    )
    return code


__all__ = ["replay"]
