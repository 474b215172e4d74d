"""The server that a command is about, launched where that is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from relaykit.conformance.launch import Launched, end_on_sigterm, launched
from relaykit.conformance.setup import Given, make_target
from relaykit.conformance.target import Target
from relaykit.redaction import Redactor
from relaykit.schemas import Catalogue

_LISTEN_S = 15.0


@dataclass(frozen=True, slots=True)
class Aim:
    """A target, and how to start it.

    Attributes:
        command: of `--launch`, with the ports in it; None: it runs already.
        environment: what a launched target gets beside our own.
        redactor: knows what must never be shown.
        factor: by which waits are stretched.
        words: the options that mean it.
    """

    target: Target
    command: str | None
    environment: Mapping[str, str]
    redactor: Redactor
    factor: float = 1.0
    words: tuple[str, ...] = ()


def aim(catalogue: Catalogue, given: Given, factor: float = 1.0) -> Aim:
    """The target that a command's options mean.

    Raises:
        UsageError: something is missing or wrong, and what to do about it.
    """
    target, environment = make_target(given, catalogue)
    words = (*given.words, *(("--timeout-factor", f"{factor:g}") if factor != 1 else ()))
    return Aim(target, given.command, environment, Redactor(*target.secrets), factor, words)


@contextlib.asynccontextmanager
async def standing(aimed: Aim) -> AsyncIterator[Launched | None]:
    """The target, ready to be connected to: launched and stopped again, if that is asked for.

    A polite kill of ours ends the current task as Ctrl-C does, so that a launched target ends with us.

    Raises:
        UsageError: the command cannot be run.
        UnreachableError: it ends, or does not listen.
    """
    end_on_sigterm()
    if aimed.command is None:
        yield None
        return
    async with launched(
        aimed.command,
        aimed.target.url,
        environment=aimed.environment,
        seconds=_LISTEN_S * aimed.factor,
    ) as server:
        yield server
