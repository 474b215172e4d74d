"""Which server a command is about: the options that say so, and the server, launched where asked for."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from relaykit.conformance.launch import Launched, free_port, launched
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
    """

    target: Target
    command: str | None
    environment: Mapping[str, str]
    redactor: Redactor
    factor: float = 1.0


def target_options(function: Callable[..., Any]) -> Any:
    """The options that say which server is meant, as `relaykit test` has them.

    The command gets `target_file`, `url`, `secret_file`, `launch`, `capabilities` and `timeout_factor`.
    """
    for option in reversed(
        (
            click.option(
                "-t", "--target", "target_file", type=click.Path(path_type=Path), help="Target file (YAML)."
            ),
            click.option("--url", help="Address of the target, such as ws://127.0.0.1:8787/ws."),
            click.option(
                "--secret-file",
                type=click.Path(path_type=Path),
                help="File with the key that signs tokens (HS256); else the environment variable "
                "RELAYKIT_SECRET.",
            ),
            click.option(
                "--launch", metavar="CMD", help="Start the target with this command, and stop it afterwards."
            ),
            click.option(
                "--capability",
                "capabilities",
                multiple=True,
                metavar="NAME",
                help="The target has it; `all` for every one.",
            ),
            click.option(
                "--timeout-factor",
                type=click.FloatRange(0.05, 1000),
                default=1.0,
                help="Wait longer: for slow machines and debuggers.",
            ),
        )
    ):
        function = option(function)
    return function


def aim(
    catalogue: Catalogue,
    *,
    target_file: Path | None,
    url: str | None,
    secret_file: Path | None,
    launch: str | None,
    capabilities: tuple[str, ...],
    timeout_factor: float = 1.0,
) -> Aim:
    """The target that the options mean.

    Raises:
        UsageError: something is missing or wrong, and what to do about it.
    """
    names = ("port", "control_port")
    ports = {name: free_port() for name in names if launch and f"{{{name}}}" in launch}
    given = Given(target_file, url, secret_file, launch, capabilities, ports)
    target, environment = make_target(given, catalogue)
    return Aim(target, given.command, environment, Redactor(*target.secrets), timeout_factor)


@contextlib.asynccontextmanager
async def standing(aimed: Aim) -> AsyncIterator[Launched | None]:
    """The target, ready to be connected to: launched and stopped again, if that is asked for.

    A polite kill of ours ends the current task as Ctrl-C does, so that a launched target ends with us.

    Raises:
        UsageError: the command cannot be run.
        UnreachableError: it ends, or does not listen.
    """
    task = asyncio.current_task()
    if task is not None:
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
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
