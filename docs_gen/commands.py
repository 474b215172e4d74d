"""`relaykit docs`: the documentation, rendered from schemas, requirements and scenarios."""

from __future__ import annotations

import gc
from pathlib import Path

import click

from relaykit.errors import ExitCode


@click.group()
def docs() -> None:
    """The protocol's documentation, rendered from the schemas."""


@docs.command()
@click.option(
    "--out",
    default=None,
    help="Folder for the site, or with --single-file the file: in a folder if it ends in / or is one, "
    "and - for standard output.  [default: site, or site.html]",
)
@click.option("--single-file", is_flag=True, help="Everything in one HTML file.")
@click.option(
    "--markdown",
    is_flag=True,
    help="Markdown of every page instead of HTML.  [default folder: docs]",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="JSON report of `relaykit test`: requirements and cases show their last result.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if what is there is out of date.")
@click.option(
    "--catalogue",
    type=click.Path(path_type=Path),
    help="Folder laid out like schemas/, in place of the kit's own.",
)
def build(
    out: str | None,
    single_file: bool,
    markdown: bool,
    report: Path | None,
    check: bool,
    catalogue: Path | None,
) -> int:
    """Render the documentation.

    \b
    A site of many pages        relaykit docs build --out site
    One file to pass on         relaykit docs build --single-file --out protocol.html
    The repository's own docs/  relaykit docs build --markdown --out docs
    Is docs/ up to date?        relaykit docs build --markdown --out docs --check
    """
    # Hundreds of thousands of small values are made and kept until the end: collecting would find nothing.
    gc.disable()
    from relaykit.docs_gen import build as building
    from relaykit.docs_gen.suite import read_report
    from relaykit.errors import UsageError
    from relaykit.schemas import load_catalogue

    if single_file and markdown:
        raise UsageError("--single-file and --markdown exclude each other")
    place = _place(out, "site.html" if single_file else "docs" if markdown else "site", single_file)
    if check and place is None:
        raise UsageError("--check compares with a file: --out - is none")
    protocol, results = load_catalogue(catalogue), read_report(report)
    another = results.of_another(protocol)
    if another:
        click.echo(f"warning: {report}: {another}", err=True)
    documentation = building.documentation(protocol, results)
    if place is None:
        click.echo(building.single_file(documentation), nl=False)
        return ExitCode.OK
    if single_file:
        files, folder = {place.name: building.single_file(documentation)}, place.parent
    else:
        made = building.markdown_files if markdown else building.site_files
        files, folder = dict(made(documentation)), place
    if check:
        found = building.stale(files, folder, exact=not single_file)
        for line in found[:20]:
            click.echo(line, err=True)
        if len(found) > 20:
            click.echo(f"… and {len(found) - 20} more", err=True)
        if found:
            click.echo("out of date: run the same command without --check", err=True)
        return ExitCode.FAILED if found else ExitCode.OK
    building.write(files, folder, exact=not single_file)
    size = sum(len(text.encode()) for text in files.values())
    click.echo(f"{place}: {len(files)} files, {size // 1024} KB")
    return ExitCode.OK


def _place(out: str | None, usual: str, single_file: bool) -> Path | None:
    """Where to write: a folder or the single file; None: standard output.

    Raises:
        UsageError: the name is none.
    """
    from relaykit.errors import UsageError

    if out is None:
        return Path(usual)
    if not out.strip():
        raise UsageError("--out names nothing", hint="for the current folder write --out .")
    if out == "-" and not single_file:
        raise UsageError("--out -: only --single-file can go to standard output", hint="name a folder")
    if out == "-":
        return None
    inside = single_file and (out.endswith("/") or Path(out).is_dir())
    return Path(out) / usual if inside else Path(out)


@docs.command()
@click.argument("old")
@click.argument("new", required=False)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Form.",
)
@click.option("--strict", is_flag=True, help="Exit 1 for what is unknown, too.")
def diff(old: str, new: str | None, format_: str, strict: bool) -> int:
    """Say what changed between two editions of the protocol, and whether it breaks.

    OLD and NEW are each a folder laid out like schemas/, a file written by `relaykit export bundle`, or a
    revision of the git repository you are in: git:v1.0, git:HEAD~3, git:v1.0:path/of/schemas. Without NEW,
    OLD is compared with the kit's own schemas.

    A change breaks if a client of the older edition no longer gets along with a server of the newer one: a
    frame that clients send must not permit less, one that servers send must not hold more than old clients
    are ready for (fields that are new to them they pass over). Where that cannot be decided it is said to
    be unknown.

    \b
    Before a release            relaykit docs diff git:v1.0
    In CI, for a pull request   relaykit docs diff git:origin/main schemas
    Two published bundles       relaykit docs diff 1.0.schema.json 1.1.schema.json --format json

    Exit codes: 0 nothing breaks; 1 something does; 2 usage, or an edition that cannot be read.
    """
    from relaykit.docs_gen.diff import writing
    from relaykit.docs_gen.diff.changes import changes
    from relaykit.docs_gen.diff.editions import kit_edition, read_edition

    before = read_edition(old)
    now = read_edition(new) if new is not None else kit_edition()
    found = changes(before, now)
    if format_ == "json":
        click.echo(writing.as_json(before, now, found), nl=False)
    else:
        for line in writing.as_text(before, now, found):
            click.echo(line)
    counts = writing.counts(found)
    failed = counts["breaks"] or (strict and counts["unknown"])
    return ExitCode.FAILED if failed else ExitCode.OK
