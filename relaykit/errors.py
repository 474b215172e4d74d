"""Errors that end a command, each with its exit code, so that every command ends the same way."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command. Tools rely on them: never renumber."""

    OK = 0
    """No unexpected failure."""
    FAILED = 1
    """An unexpected failure: an invalid payload, a broken rule, a breaking change, a stale expectation."""
    USAGE = 2
    """The command line or a configuration file is wrong."""
    UNREACHABLE = 3
    """The target cannot be reached, or users cannot be arranged on it."""
    NOTHING = 4
    """Nothing was executed or checked."""
    KIT_DEFECT = 5
    """A defect of the kit itself."""
    INTERRUPTED = 130
    """Ctrl-C: the summary covers what was done until then."""


class RelaykitError(Exception):
    """An error to be shown to the user without a traceback.

    Args:
        message: what is wrong, naming the place (file, line, JSON pointer).
        hint: the way out, shown on a line of its own.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(RelaykitError):
    """The command line, a configuration file or a data file is wrong (exit 2)."""

    exit_code = ExitCode.USAGE


class UnreachableError(RelaykitError):
    """The target cannot be reached or provisioned (exit 3)."""

    exit_code = ExitCode.UNREACHABLE


class NothingToDo(RelaykitError):
    """Nothing was executed or found to check (exit 4)."""

    exit_code = ExitCode.NOTHING


class KitDefect(RelaykitError):
    """The kit itself is wrong (exit 5)."""

    exit_code = ExitCode.KIT_DEFECT
