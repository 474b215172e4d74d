"""How many connections one user may have (source: Message Authentication, Rate Limiting)."""

from __future__ import annotations

import asyncio

from relaykit.conformance.awaiting import until
from relaykit.conformance.codes import RATE_LIMITED, code_of
from relaykit.conformance.context import (
    Context,
    Device,
    NotApplicableError,
    UntestableError,
    present,
)
from relaykit.conformance.refusal import Refusal, tried
from relaykit.conformance.registry import probe
from relaykit.conformance.wire import Connection

_MOST = 256
"""Limits beyond this are not tried: the suite is no flood."""
_RATE_LIMITED = "HTTP 429, or an error rate_limited and a close"


def _devices(context: Context) -> tuple[list[Device], Device]:
    """As many devices of one user as may connect, and one more."""
    limit = int(context.env.target.limits["connections_per_user"])
    if limit > _MOST:
        raise UntestableError(f"limits.connections_per_user is {limit}, more than the suite tries ({_MOST})")
    user = context.user("alice", [f"device{number}" for number in range(1, limit + 2)])
    *within, beyond = user.devices.values()
    return within, beyond


async def _beyond(context: Context, device: Device) -> Refusal:
    """Try one connection more.

    Raises:
        CaseStop: the target cannot be reached; that is said as an outcome.
    """
    shown = present(context.env, await device.obtain(), context.env.carrier)
    return await tried(context, shown, device.label)


def _judge(context: Context, outcome: Refusal, label: str) -> None:
    said = f"one connection more than the stated limit: {outcome.said}"
    if not outcome.refused:
        context.fail(("LIM-02",), said, expected=_RATE_LIMITED, actual=outcome.said, actor=label)
        return
    context.prove(("LIM-02",), label)
    told = code_of(outcome.error) if outcome.form == "error" else None
    if outcome.status == 429 or told == RATE_LIMITED:
        context.prove(("LIM-03",), label)
    else:
        context.fail(("LIM-03",), said, expected=_RATE_LIMITED, actual=outcome.said, actor=label)


@probe(
    "connections-of-a-user",
    title="The stated number of connections of a user is served, one more is refused until one ends",
    area="limits",
    requirements=("LIM-01", "LIM-02", "LIM-03", "LIM-04", "LIM-05"),
    catches="A server without a limit, one that closes the oldest connection or never frees a place.",
    limits=("connections_per_user",),
    exclusive=True,
)
async def connections_of_a_user(context: Context) -> None:
    within, beyond = _devices(context)
    for device in within:
        await device.connect(req=("LIM-01",))
    context.prove(("LIM-01",))
    context.step = "one more"
    _judge(context, await _beyond(context, beyond), beyond.label)
    for device in within:
        if not await device.live.beat(context.env.waits.reply):
            context.fail(
                ("LIM-04",),
                f"{device.label} was served before one connection too many was tried, and no longer is",
                expected="its heartbeat is answered",
                actual=device.live.ended or "silence",
                actor=device.label,
            )
            return
    context.prove(("LIM-04",))
    context.step = "a free place"
    await within[0].live.close(context.env.waits.reply)
    if not await _has_room(context, beyond, "was closed"):
        return
    # The newcomer has stayed: the user is at the limit again.
    context.step = "another free place"
    last = within[-1].live if len(within) > 1 else context.connections[-1]
    last.abort()
    if await _has_room(context, within[0], "was cut"):
        context.prove(("LIM-05",))


async def _has_room(context: Context, beyond: Device, how: str) -> bool:
    """Judge that one more is served before long. (The target may notice a moment later than we do.)"""
    deadline = until(context, None)
    while (outcome := await _beyond(context, beyond)).form != "session":
        if asyncio.get_running_loop().time() > deadline:
            said = f"a connection of the user {how}, but a new one: {outcome.said}"
            context.fail(("LIM-05",), said, expected="a session", actual=outcome.said, actor=beyond.label)
            return False
        await context.wait(asyncio.get_running_loop().time() + context.env.waits.quiet)
    return True


@probe(
    "connections-of-a-device",
    title="The connections of one device count towards its user's limit",
    area="limits",
    requirements=("LIM-02", "LIM-03"),
    catches="A server that counts devices in place of connections.",
    limits=("connections_per_user",),
    exclusive=True,
)
async def connections_of_a_device(context: Context) -> None:
    within, _ = _devices(context)
    device = within[0]
    opened: list[Connection] = []
    for _ in within:
        device.connection = None  # those before stay open
        opened.append(await device.connect())
        opened[-1].accounted = True
    # Where the newest connection of a device wins, there is never more than one.
    alive = [await connection.beat(context.env.waits.reply) for connection in opened]
    if not all(alive):
        raise NotApplicableError("the target serves one connection of a device at a time")
    _judge(context, await _beyond(context, device), device.label)


@probe(
    "connections-of-others",
    title="A user is served while another one has as many connections as permitted",
    area="limits",
    requirements=("LIM-21",),
    catches="A server that counts connections by address, or all together.",
    limits=("connections_per_user",),
    exclusive=True,
)
async def connections_of_others(context: Context) -> None:
    within, _ = _devices(context)
    for device in within:
        await device.connect()
    bob = context.user("bob", ("phone", "laptop")[: len(within)])
    for device in bob.devices.values():
        await device.connect(req=("LIM-21",))
    context.prove(("LIM-21",))
