"""The command `relaykit validate`."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import click

from relaykit.errors import ExitCode, NothingToDo, UsageError
from relaykit.schemas.catalogue import load_catalogue
from relaykit.schemas.model import Engine
from relaykit.schemas.output import writer
from relaykit.schemas.validate import reports
from relaykit.schemas.validate.checking import Checker, Options, Way
from relaykit.schemas.validate.sources import Kind, Source, find
from relaykit.schemas.wording import printable

_KINDS = ("json", "ndjson", "har", "markdown")


def _warn(text: str) -> None:
    click.echo(f"relaykit: {printable(text)}", err=True)


@click.command(no_args_is_help=False)
@click.argument("inputs", nargs=-1, metavar="[FILE|FOLDER|PATTERN|-]...")
@click.option(
    "--direction",
    type=click.Choice(get_args(Way)),
    default="auto",
    show_default=True,
    help="Who sent the frames, where the file does not say; auto: judged by their type.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(reports.FORMATS)),
    default="text",
    show_default=True,
    help="Form of the report.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Write the report to this file.")
@click.option(
    "--engine",
    type=click.Choice(get_args(Engine)),
    default="jsonschema-rs",
    show_default=True,
    help="The validator; both: the two must agree (exit 5 if not), a check of the kit itself.",
)
@click.option("--strict", is_flag=True, help="Undocumented properties of server frames are errors.")
@click.option("--all", "all_", is_flag=True, help="Report valid frames as well.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first invalid frame.")
@click.option(
    "--input",
    "kind",
    type=click.Choice(_KINDS),
    help="What the files hold, where their names and beginnings mislead.",
)
def validate(
    inputs: tuple[str, ...],
    direction: Way,
    format_: str,
    output: Path | None,
    engine: Engine,
    strict: bool,
    all_: bool,
    fail_fast: bool,
    kind: Kind | None,
) -> int:
    """Check recorded frames against the protocol's schemas.

    \b
    Reads, from files, folders, patterns or standard input (-):
      JSON      one frame, several, or an array of frames
      NDJSON    a frame a line, bare or as {"direction": "c2s", "frame": {…}}
      HAR       the WebSocket messages a browser recorded (DevTools, "Save all as HAR")
      Markdown  the frames in fenced json blocks; comments in them are fine
    In folders: .json .ndjson .jsonl .har .md .markdown.

    A frame's type chooses its schema. Types that both sides send are valid if they fit either
    direction, unless the file or --direction says which. A property that the protocol does not
    document is an error in frames from clients, and a warning in frames from servers.

    \b
    Examples:
      relaykit validate capture.ndjson
      relaykit validate --direction s2c 'captures/**/*.json'
      relaykit validate docs/ --format github
      my-client --log-frames | relaykit validate - --fail-fast
      relaykit validate session.har --format json --output report.json

    Exit codes: 0 all valid; 1 some invalid; 2 usage, or all valid but a file that cannot be read; 4
    nothing found to check; 5 the validators disagree (--engine both). A name that no file or folder has
    is usage: then nothing is checked, whatever else is named.
    """
    if not inputs:
        raise UsageError("name at least one file, folder or pattern, or - for standard input", hint=_HINT)
    catalogue = load_catalogue()
    sources = find(inputs, _warn)
    _refuse_overwriting(output, sources)
    options = Options(direction, engine, strict, all_, fail_fast, kind)
    with _progress(sources) as progress, writer(output) as stream:
        checker = Checker(catalogue, options, progress.warn, progress.update)
        counts = checker.counts
        colour = stream.isatty() and not os.environ.get("NO_COLOR")
        report = reports.make(format_, stream.write, colour=colour)
        interrupted = False
        with _Interrupts() as interrupts:
            try:
                for outcome in checker.run(sources):
                    progress.clear()
                    with interrupts.held():
                        report.add(outcome)
            except KeyboardInterrupt:
                interrupted = True
            finally:
                progress.clear()
                with interrupts.held():
                    report.end(counts)
                    stream.flush()
    if output is not None or format_ != "text":
        click.echo(reports.summary(counts), err=True)
    if interrupted:
        raise KeyboardInterrupt
    if counts.invalid:
        return ExitCode.FAILED
    if counts.unreadable:
        return ExitCode.USAGE
    if not counts.checked:
        raise NothingToDo("found no frame to check", hint=_HINT)
    return ExitCode.OK


_HINT = "relaykit validate --help shows what is read, with examples"


class _Interrupts:
    """Holds Ctrl-C back while something is being written, so that a report is never cut in the middle.

    A second Ctrl-C is not held back: whoever reads the report may have stopped reading.
    """

    def __init__(self) -> None:
        self._holding = False
        self._pending = False
        self._before: Any = None

    def __enter__(self) -> _Interrupts:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, *_: object) -> None:
        if self._holding and not self._pending:
            self._pending = True
        else:
            raise KeyboardInterrupt

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold interrupts back until the end of the block."""
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt


def _refuse_overwriting(output: Path | None, sources: list[Source]) -> None:
    if output is None or not output.exists():
        return
    for source in sources:
        if source.path is not None and source.path.exists() and output.samefile(source.path):
            raise UsageError(f"{output}: the report would overwrite one of the files to check")


class _NoProgress:
    """Where there is no terminal to show progress on."""

    def update(self, name: str, checked: int, read: int) -> None:
        """Show nothing."""

    def clear(self) -> None:
        """Nothing is shown."""

    def warn(self, text: str) -> None:
        """Say it."""
        _warn(text)


class _Progress(_NoProgress):
    """A line on the terminal, redrawn ten times a second at most, and out of the way of the report."""

    def __init__(self, sizes: dict[str, int]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        self._drawn = 0.0
        self._started = time.monotonic()
        self._shown = False
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._bar.add_task("", total=sum(sizes.values()) or None)
        self._before: dict[str, int] = {}

    def update(self, name: str, checked: int, read: int) -> None:
        """Redraw, if it is time to."""
        self._before[name] = read
        now = time.monotonic()
        if now - self._drawn < 0.1 or now - self._started < 0.5:
            return
        self._drawn = now
        if not self._shown:
            self._bar.start()
            self._shown = True
        text = f"{checked:,} frames"
        self._bar.update(self._task, description=text, completed=sum(self._before.values()), refresh=True)

    def clear(self) -> None:
        """Take the line away, until the next update."""
        if self._shown:
            self._bar.stop()
            self._shown = False

    def warn(self, text: str) -> None:
        """Say it on a line of its own."""
        self.clear()
        _warn(text)


@contextmanager
def _progress(sources: list[Source]) -> Iterator[_NoProgress]:
    if not sys.stderr.isatty():
        yield _NoProgress()
        return
    sizes: dict[str, int] = {}
    for source in sources:
        if source.path is not None and source.path.is_file():
            sizes[source.name] = source.path.stat().st_size
    progress = _Progress(sizes)
    try:
        yield progress
    finally:
        progress.clear()
