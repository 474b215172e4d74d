"""`relaykit report`: other forms of a JSON report, differences between two, several as one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from relaykit.conformance.reports import diff as differences
from relaykit.conformance.reports.formats import FORMATS, parse_report, save, write
from relaykit.conformance.reports.merge import merge as merge_reports
from relaykit.conformance.reports.reading import read_report
from relaykit.errors import ExitCode, UsageError

_FILE = click.Path(path_type=Path, allow_dash=True)
_OUT = click.Path(path_type=Path)


@click.group()
def report() -> None:
    """Render, compare and merge reports.

    \b
    relaykit test -t target.yaml --report json=report.json
    relaykit report html report.json -o report.html
    relaykit report diff main.json report.json
    relaykit report merge shard-*.json -o report.json --report html=report.html

    Everything is made from JSON reports alone: no target, no network.
    """


def _rendering(kind: str) -> click.Command:
    @click.argument("source", metavar="REPORT.json", type=_FILE)
    @click.option("-o", "--output", type=_OUT, help="The file to write; standard output without it.")
    def render(source: Path, output: Path | None) -> int:
        data = read_report(source)
        if output is not None:
            write(data, kind, output)
            click.echo(f"{kind} report: {output}", err=True)
            return ExitCode.OK
        writers = FORMATS[kind].writers
        _out(next(iter(writers.values()))(data))
        return ExitCode.OK

    render.__doc__ = f"""Render a JSON report as {kind}: {FORMATS[kind].about}.

    A `-` in place of the file reads standard input.
    """
    return click.command(kind)(render)


for _kind in FORMATS:
    if _kind != "json":
        report.add_command(_rendering(_kind))


def _out(content: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


_DIFFERENCES: dict[str, Callable[[differences.Difference], str]] = {
    "text": lambda found: differences.as_text(found) + "\n",
    "json": differences.as_json,
    "markdown": differences.as_markdown,
}


@report.command()
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE)
@click.option("--format", "format_", type=click.Choice(list(_DIFFERENCES)), default="text")
@click.option("-o", "--output", type=_OUT, help="The file to write; standard output without it.")
def diff(old: Path, new: Path, format_: str, output: Path | None) -> int:
    """Say what got better and worse between two JSON reports.

    Cases and requirements are compared. Worse: passed and does not now, or warned and does not any longer
    show anything; a new case that fails counts, too. A failure that the target file expects does not, and
    one that merely vanished (not run, not applicable) is not called better.

    Exit codes: 0 nothing got worse; 1 something did; 2 usage.
    """
    if str(old) == str(new) == "-":
        raise UsageError("only one of the two reports can come from standard input")
    found = differences.compare(read_report(old), read_report(new))
    content = _DIFFERENCES[format_](found).encode("utf-8", "replace")
    if output is None:
        _out(content)
    else:
        save(content, output)
    return ExitCode.FAILED if found.worse else ExitCode.OK


@report.command()
@click.argument("files", metavar="REPORT.json…", nargs=-1, required=True, type=_FILE)
@click.option("-o", "--output", type=_OUT, help="The JSON file to write; standard output without any.")
@click.option(
    "--report",
    "reports",
    multiple=True,
    metavar="FORMAT=FILE",
    help=f"Further forms of the merged report: {', '.join(FORMATS)}.",
)
@click.option("--force", is_flag=True, help="Merge even reports of different targets or catalogues.")
def merge(files: tuple[Path, ...], output: Path | None, reports: tuple[str, ...], force: bool) -> int:
    """Make one report of several, such as those of the shards of a run.

    A case that is in more than one counts with its worst verdict, and a note names it if they disagree.
    The shapes of frames, which every shard judges, are put together.

    Exit codes: 0 merged, whatever the verdicts (the outcome in the report says what they amount to);
    2 usage, or reports that do not belong together.
    """
    wanted = [parse_report(spec) for spec in reports]
    merged = merge_reports([(str(path), read_report(path)) for path in files], force=force)
    if output is not None:
        wanted.insert(0, ("json", output))
    for kind, path in wanted:
        write(merged, kind, path)
    for note in merged["notes"]:
        if note.startswith(("not among the reports", "more than one report")):
            click.echo(f"note: {note}", err=True)
    if wanted:
        click.echo(f"{merged['outcome']['text']}: {', '.join(str(path) for _, path in wanted)}", err=True)
    else:
        _out(FORMATS["json"].writers[""](merged))
    return ExitCode.OK
