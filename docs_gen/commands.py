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
    type=click.Path(path_type=Path),
    default=None,
    help="Folder for the site, or with --single-file the file.  [default: site, or site.html]",
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
    out: Path | None,
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
    from relaykit.docs_gen import build as building
    from relaykit.docs_gen.suite import read_report
    from relaykit.errors import UsageError
    from relaykit.schemas import load_catalogue

    # Hundreds of thousands of small values are made and kept until the end: collecting would find nothing.
    gc.disable()
    if single_file and markdown:
        raise UsageError("--single-file and --markdown exclude each other")
    documentation = building.documentation(load_catalogue(catalogue), read_report(report))
    if single_file:
        place = out or Path("site.html")
        files, folder = {place.name: building.single_file(documentation)}, place.parent
    elif markdown:
        files, folder = dict(building.markdown_files(documentation)), out or Path("docs")
    else:
        files, folder = dict(building.site_files(documentation)), out or Path("site")
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
    click.echo(
        f"{folder if not single_file else folder / next(iter(files))}: {len(files)} files, {size // 1024} KB"
    )
    return ExitCode.OK
