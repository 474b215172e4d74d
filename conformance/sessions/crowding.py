"""As many connections of one user as the target permits, and one more."""

from __future__ import annotations

import asyncio
from typing import Any

from relaykit.conformance.codes import RATE_LIMITED, code_of
from relaykit.conformance.context import CaseStop, Context, Device, User
from relaykit.conformance.presenting import present
from relaykit.conformance.refusal import Refusal, attempt
from relaykit.conformance.sessions.problems import LimitMet, Problem, SessionOver
from relaykit.conformance.sessions.state import State, Step, user_of
from relaykit.conformance.target import Target
from relaykit.conformance.values import fresh_uuid
from relaykit.conformance.wire import DialError


def extra(number: int) -> str:
    """What a further device is called."""
    return f"x{number}"


async def crowd(context: Context, user: User, step: Step, patience_s: float) -> Problem | None:
    """Have further devices connect until there is no room, and try one more; then they go.

    Args:
        patience_s: how long the target may take to notice that earlier connections are gone.

    Raises:
        SessionOver: it cannot be reached.
    """
    *within, beyond = (_device(context, user, number) for number in range(1, step.with_["count"] + 2))
    problem = None
    try:
        for device in within:
            refused = await _let_in(context, device, patience_s)
            if refused is not None:
                said = f"{device.label} is within the stated limit of connections: {refused.said}"
                return Problem("refused", step.who, ("LIM-01",), said)
        outcome = await _try(context, beyond)
        if not outcome.refused:
            said = f"one connection more than the stated limit: {outcome.said}"
            problem = Problem("served", step.who, ("LIM-02",), said)
    finally:
        for device in within:
            if device.connection is not None:
                await device.connection.close(context.env.waits.reply)
                device.connection = None
    return problem


def see_limit(target: Target, state: State, device: str, actual: Any, *, cut: bool) -> None:
    """See whether a connection was refused for a limit of the user's connections that nobody stated.

    Args:
        actual: how it was refused: a status in words, or an error frame.
        cut: whether there was a connection of which the target may not have noticed yet that it is gone.

    Raises:
        LimitMet: it was.
    """
    limited = code_of(actual) == RATE_LIMITED or (isinstance(actual, str) and actual.startswith("HTTP 429"))
    count = state.connections(user_of(device))
    if limited and "connections_per_user" not in target.stated and (count or cut):
        raise LimitMet(max(1, count))


def _device(context: Context, user: User, number: int) -> Device:
    name = extra(number)
    if name not in user.devices:
        user.devices[name] = Device(context, user, name, fresh_uuid(context.rng))
    return user.devices[name]


async def _let_in(context: Context, device: Device, patience_s: float) -> Refusal | None:
    """Connect, once there is room; how it was refused if there is none before long."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + patience_s
    while True:
        known = len(context.outcomes)
        try:
            await device.connect()
        except CaseStop:
            said = context.outcomes[-1].message
            del context.outcomes[known:]
            if clock() > deadline:
                return Refusal("http", said)
            await context.wait(clock() + context.env.waits.quiet)
        else:
            return None


async def _try(context: Context, device: Device) -> Refusal:
    try:
        shown = present(context.env, await device.obtain(), context.env.carrier, legacy=device.user.legacy)
        return await attempt(context, shown, device.label)
    except (DialError, CaseStop) as error:
        raise SessionOver(str(error)) from None
