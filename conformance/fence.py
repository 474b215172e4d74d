"""Judging absence (section 5 of the protocol decisions): a fence, a quiet window, and what comes late."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relaykit.conformance.context import Context, Device
from relaykit.conformance.matching import compare
from relaykit.conformance.wire import Arrived, Connection


@dataclass(frozen=True, slots=True)
class Watch:
    """From a `none` step to the end of the case: this device gets only what later steps expect."""

    device: Device
    connection: Connection
    allow: tuple[Mapping[str, Any], ...]
    requirements: tuple[str, ...]
    step: str


def devices(context: Context) -> tuple[Device, ...]:
    """Every device of the case."""
    return tuple(device for user in context.users.values() for device in user.devices.values())


async def fence(context: Context, observers: Iterable[Device]) -> None:
    """Wait until whatever was to come to the observers must have come.

    First whoever acted since the last fence gets a heartbeat answered, so that the target has handled what
    they sent; then the observers', so that what was queued for them before is here; then a quiet window,
    because a target may fan out later than it answers. This is the only place of the suite that sleeps.
    """
    env = context.env
    if env.fences:
        acted = [device for device in devices(context) if device.acted]
        await _beats(context, acted)
        await _beats(context, observers)
        for device in acted:
            device.acted = False
    await asyncio.sleep(env.waits.quiet if env.fences else max(env.waits.quiet, 0.25))


async def _beats(context: Context, asked: Iterable[Device]) -> None:
    alive = [d.connection for d in asked if d.connection is not None and d.connection.alive]
    if alive:
        await asyncio.gather(*(connection.beat(context.env.waits.reply) for connection in alive))


def unwanted(watch: Watch) -> list[Arrived]:
    """Frames in the inbox that may not be there; they are taken out, so that none is counted twice."""
    inbox = watch.connection.inbox
    found = [arrived for arrived in inbox if not any(compare(a, arrived.frame) is None for a in watch.allow)]
    inbox.clear()
    return found


def report(context: Context, watch: Watch, arrived: Iterable[Arrived], *, late: bool) -> None:
    """Put unwanted frames among the outcomes of the `none` step they break."""
    label = watch.device.label
    for each in arrived:
        kind = each.frame.get("type") if isinstance(each.frame, dict) else "unreadable"
        when = " (late: after the fence and the quiet window)" if late else ""
        context.step = watch.step
        context.fail(
            watch.requirements,
            f"{label} got a frame of type {kind!r} that must not reach it{when}{context.stray(each.frame)}",
            expected="nothing",
            actual=each.frame,
            actor=label,
        )
