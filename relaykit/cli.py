"""The root command. Commands come from the packages through entry points: none imports another for a menu."""

from __future__ import annotations

import errno
import os
import signal
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import click

from relaykit import __version__
from relaykit.errors import ExitCode, RelaykitError

# The order of a newcomer's day; commands it does not name come last.
_ORDER = (
    *("validate", "serve", "token", "test", "fuzz", "replay", "list"),
    *("explain", "doctor", "init", "docs", "export", "report", "selftest"),
)

_UNWRITABLE = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class _Commands(click.Group):
    """Loads a command when it is asked for, so that `relaykit validate` never imports the server."""

    def _found(self) -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group="relaykit.commands")}

    def list_commands(self, ctx: click.Context) -> list[str]:
        rank = {name: place for place, name in enumerate(_ORDER)}
        return sorted(self._found(), key=lambda name: (rank.get(name, len(rank)), name))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._found().get(cmd_name)
        if entry is None:
            return None
        command: click.Command = entry.load()
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except OSError as error:
            # click would end a broken pipe with 1, which here means that something is invalid.
            if error.errno in _UNWRITABLE:
                raise _OutputEnded(error) from error
            raise


class _OutputEnded(Exception):
    """Output could not be written any further."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(cause.strerror)
        self.cause = cause


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, "-V", "--version", prog_name="relaykit")
def root() -> None:
    """Specification and conformance test kit for a JSON-over-WebSocket messaging protocol.

    \b
    Check recorded frames     relaykit validate capture.ndjson
    Run a faithful server     relaykit serve
    Judge your own server     relaykit test --url ws://127.0.0.1:8787/ws
    Look something up         relaykit explain MSG-01

    \b
    Exit codes: 0 no unexpected failure; 1 unexpected failure (an invalid payload, a broken rule) or a
    stale expectation; 2 usage or configuration; 3 target unreachable or not provisionable; 4 nothing
    was executed; 5 a defect of the kit itself; 130 interrupted.
    """


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit. A user's mistake ends in one clear message, never in a traceback."""
    try:
        code = root.main(args=argv, prog_name="relaykit", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else ExitCode.OK)
    except click.ClickException as error:
        error.show()
        sys.exit(ExitCode.USAGE)
    except RelaykitError as error:
        click.echo(f"relaykit: {error}", err=True)
        if error.hint:
            click.echo(f"  → {error.hint}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        click.echo("relaykit: interrupted", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    except _OutputEnded as ended:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # no noise at interpreter exit
        if ended.cause.errno == errno.EPIPE:  # the reader (head, less) has seen enough
            sys.exit(128 + signal.SIGPIPE)
        click.echo(f"relaykit: the output cannot be written: {ended}", err=True)
        sys.exit(ExitCode.USAGE)
    except Exception as error:
        _defect(error)


def _defect(error: BaseException) -> Any:
    """An unforeseen exception is the kit's own fault: say so, with what a report of it needs."""
    import traceback

    from relaykit.redaction import Redactor

    trace = "".join(traceback.format_exception(error))
    click.echo(Redactor().text(trace), err=True)
    click.echo(
        f"relaykit {__version__}: a defect of the kit, not of your input; please report the lines above",
        err=True,
    )
    sys.exit(ExitCode.KIT_DEFECT)
