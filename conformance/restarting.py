"""The target that this run launched, stopped and started again: for cases about what survives that."""

from __future__ import annotations

import asyncio

from relaykit.conformance.awaiting import until
from relaykit.conformance.context import CaseStop, Context, UntestableError
from relaykit.conformance.launch import Launched, current
from relaykit.errors import UnreachableError


def launched_target() -> Launched:
    """The target, as its process.

    Raises:
        UntestableError: this run did not launch it.
    """
    server = current.get()
    if server is None:
        raise UntestableError("the target was not launched by this run (--launch), so it cannot be restarted")
    return server


async def restart(context: Context, server: Launched, how: str) -> None:
    """Kill the target if it still runs, and start it again.

    Args:
        how: for the transcript.

    Raises:
        CaseStop: it does not come up again; that is said as an outcome.
    """
    context.recorder.transcript.event("target", "c2s", how)
    try:
        await server.restart()
    except UnreachableError as error:
        context.fail((), f"after the restart: {error}", expected="a target that listens", actual=str(error))
        raise CaseStop from None
    context.env.renewed()


def ask_to_stop(context: Context, server: Launched) -> None:
    """Send SIGTERM."""
    context.recorder.transcript.event("target", "c2s", "SIGTERM")
    server.ask_to_end()


async def settled(context: Context, server: Launched) -> None:
    """Let it end in its own time, up to the reply deadline."""
    await server.settled(max(0.0, until(context, None) - asyncio.get_running_loop().time()))
