"""`--pause-on-fail`: the run waits at a failure, connections open, so that the server can be looked at."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import click

from relaykit.conformance.matching import short
from relaykit.conformance.reports.text import visible
from relaykit.conformance.results import CaseResult
from relaykit.conformance.single import Pause
from relaykit.errors import UsageError
from relaykit.redaction import Redactor

_LINES = 8
"""Of the transcript, before the failure."""


def needs_terminal() -> None:
    """Refuse to wait for Enter where nobody can press it.

    Raises:
        UsageError: standard input is no terminal.
    """
    if not sys.stdin.isatty():
        raise UsageError(
            "--pause-on-fail waits for Enter, but standard input is no terminal",
            hint="leave it out where nobody watches; --max-fail 1 ends the run at the first failure",
        )


def pausing(redactor: Redactor, around: Callable[[], AbstractContextManager[None]]) -> Pause:
    """What is waited for at each failure: it is shown, and Enter goes on, with connections kept alive.

    Args:
        around: entered for as long as the terminal is needed.
    """

    async def pause(result: CaseResult) -> None:
        with around():
            for line in _shown(result):
                click.echo(visible(redactor.text(line)), err=True)
            click.echo("Its connections are open. Enter goes on, Ctrl-C ends the run.", err=True)
            await _enter()

    return pause


def _shown(result: CaseResult) -> Iterator[str]:
    """A failure in some lines."""
    yield f"fail  {result.case.id}  {result.case.title}"
    for finding in result.findings:
        yield f"  {finding.requirement or '-'}: {finding.message}"
        if finding.expected is not None:
            yield f"    expected  {_line(finding.expected)}"
        yield f"    actual    {_line(finding.actual)}"
    for entry in result.transcript[-_LINES:]:
        arrow = "→" if entry.direction == "c2s" else "←"
        yield f"  {entry.t_ms:>9.1f} ms  {entry.actor:<12} {arrow} {_line(entry.event or entry.frame)}"


def _line(value: object) -> str:
    return (value if isinstance(value, str) else short(value, 300)).replace("\n", " ")


async def _enter() -> None:
    """Wait for a line on standard input, while the event loop goes on."""
    loop = asyncio.get_running_loop()
    entered: asyncio.Future[None] = loop.create_future()

    def read() -> None:
        sys.stdin.readline()
        if not entered.done():
            entered.set_result(None)

    loop.add_reader(sys.stdin.fileno(), read)
    try:
        await entered
    finally:
        loop.remove_reader(sys.stdin.fileno())
