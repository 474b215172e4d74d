"""What all ways of fuzzing show alike: how they begin, and what they found."""

from __future__ import annotations

import json
import math
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.text import Text

import relaykit
from relaykit.conformance import terminal
from relaykit.conformance.aiming import Aim
from relaykit.conformance.fuzz.hunt import Limits
from relaykit.conformance.reports.text import scrubbed, visible
from relaykit.errors import ExitCode

_EVERY_S = 10.0
"""How often a line of progress is written where there is no terminal to draw on."""
UNTRIED = "not tried again: it was interrupted"
"""In place of what `replay` says of a file."""


def start_line(what: str, aimed: Aim, seed: str, limits: Limits) -> None:
    """Say what begins, and with which seed: whatever ends it, it can be begun again."""
    name, url = aimed.target.name, aimed.target.url
    target = visible(aimed.redactor.text(url if name == url else f"{name} at {url}"))
    until = [f"up to {limits.seconds:g} s"] if limits.seconds < math.inf else []
    until += [f"up to {limits.frames:,} frames"] if limits.frames is not None else []
    click.echo(f"fuzzing {what} · {target} · {', '.join(until)} · seed {seed}", err=True)


def once_more(aimed: Aim, seed: str, *options: str) -> str:
    """The command that makes the same choices once more, against the same target."""
    words = (scrubbed(word) if " " in word else word for word in aimed.words)
    return visible(shlex.join(("relaykit", "fuzz", *words, *options, "--seed", seed)))


class ProgressLine:
    """Says now and then how far it is: in one line of a terminal, elsewhere in a line every few seconds."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._next = time.monotonic()
        self._shrinks = False

    def say(self, line: Callable[[], str], *, shrinks: bool) -> None:
        """Say it if it is time to, or something begins to be made smaller."""
        begins, self._shrinks = shrinks and not self._shrinks, shrinks
        if time.monotonic() < self._next and not begins:
            return
        self._next = time.monotonic() + (0.25 if self._live else _EVERY_S)
        click.echo(f"\r\x1b[K{line()}" if self._live else line(), err=True, nl=not self._live)

    def end(self) -> None:
        """Leave a clean line."""
        if self._live:
            click.echo("\r\x1b[K", err=True, nl=False)


def opening(mode: str, seed: str, seconds: float, code: ExitCode) -> dict[str, Any]:
    """What all results begin with, as data."""
    return {
        "kit": {"name": "relaykit", "version": relaykit.__version__},
        "mode": mode,
        "seed": seed,
        "exit_code": int(code),
        "interrupted": code is ExitCode.INTERRUPTED,
        "duration_s": round(seconds, 3),
    }


def exit_code(*, interrupted: bool, found: bool, done: bool) -> ExitCode:
    """How fuzzing ends.

    Args:
        found: something that the target file does not expect.
        done: anything was sent.
    """
    if interrupted:
        return ExitCode.INTERRUPTED
    if found:
        return ExitCode.FAILED
    return ExitCode.OK if done else ExitCode.NOTHING


def put_out(data: Mapping[str, Any], format_: str, show: Callable[[Mapping[str, Any], Console], None]) -> int:
    """Print a result for programs or, with `show`, for readers; the exit code."""
    if format_ == "json":
        click.echo(json.dumps(data, indent=2, ensure_ascii=False))
    else:
        show(data, terminal.console())
    return int(data["exit_code"])


def show_memory(data: Mapping[str, Any], console: Console) -> None:
    """Print the memory of a launched target, where it is known."""
    if data["memory_mb"]:
        first, last = data["memory_mb"][0], data["memory_mb"][-1]
        said = f"memory of the launched target: {first} MB at first, {last} MB at last"
        console.print(Text(said, style="dim"))


def show_notes(data: Mapping[str, Any], console: Console) -> None:
    """Print what else a reader should know."""
    for note in data["notes"]:
        console.print(Text(f"note {visible(note)}", style="dim"))


def found_or_expected(finding: Mapping[str, Any]) -> tuple[str, str]:
    """What stands before a finding, and its style."""
    if finding["expected_failure"] is not None:
        return " EXPECTED ", "yellow reverse"
    return " FOUND ", "bold red reverse"


def found_in_all(findings: Sequence[Mapping[str, Any]]) -> str:
    """How many there are, in words."""
    count = sum(each["expected_failure"] is None for each in findings)
    expected = len(findings) - count
    said = f"{count} found" if count else "nothing found"
    return f"{said}, {expected} expected," if expected else said
