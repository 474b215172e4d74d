"""Judging absence (section 5 of the protocol decisions): a fence, a quiet window, and what comes late."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relaykit.conformance.context import Context, Device, Environment
from relaykit.conformance.matching import compare, short
from relaykit.conformance.values import fresh_uuid
from relaykit.conformance.wire import Arrived, Connection
from relaykit.pointers import at_pointer

_REMARKS = 20
"""Of many unwanted frames, so many are looked at for whether they come again."""


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
    they sent; then the observers', so that what was queued for them before is here, or (`timing.fence:
    frame`) a later message from who acted; then a quiet window, because a target may fan out later than it
    answers.
    """
    env, observers = context.env, tuple(observers)
    acted = [device for device in devices(context) if device.acted]
    by_frame = env.target.fence == "frame"
    if env.fences:
        await _beats(context, acted)
    if by_frame:
        observers = tuple([each for each in observers if not await _marked(context, acted, each)])
    if env.fences:
        await _beats(context, observers)
    if env.fences or by_frame:
        for device in acted:
            device.acted = False
    await quiet(env)


async def quiet(env: Environment, *, least_s: float = 0.0) -> None:
    """The quiet window: what a target fans out later than it answers comes within it.

    This is the only place of the suite that sleeps.
    """
    await asyncio.sleep(max(env.waits.quiet, least_s, 0.0 if env.fences else 0.25))


async def _marked(context: Context, acted: Iterable[Device], observer: Device) -> bool:
    """Whether messages from who acted have come to the observer, behind all that went before."""
    recorder = context.recorder
    waiting: set[tuple[str, str]] = set()
    for device in acted:
        pair = (observer.user.name, device.user.name)
        connected = _alive(device) and _alive(observer)
        # Never back as well: who has written to each other is in contact from then on.
        if not connected or device.user is observer.user or pair in context.fenced:
            continue
        context.fenced.add((device.user.name, observer.user.name))
        waiting.add((observer.label, send_mark(context, device, observer.user.id)))
    deadline = asyncio.get_running_loop().time() + context.env.waits.reply + context.lag
    while not waiting <= recorder.reached and _alive(observer) and await context.wait(deadline):
        pass
    return bool(waiting) and waiting <= recorder.reached


def send_mark(context: Context, sender: Device, receiver: str) -> str:
    """Send a user a message of the suite's own, which no case sees; its id, which `Recorder.reached` gets.

    Raises:
        ConnectionEnded, UntestableError: it cannot be sent.
    """
    name = fresh_uuid(context.marks)
    context.recorder.fences.add(name)
    payload = {"receiver_id": receiver, "ciphertext": "cmVsYXlraXQ=", "message_type": "text"}
    sender.live.send({"type": "send", "message_id": name, "payload": payload}, kit=True)
    return name


def _alive(device: Device) -> bool:
    return device.connection is not None and device.connection.alive


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
    for number, each in enumerate(arrived):
        kind = each.frame.get("type") if isinstance(each.frame, dict) else "unreadable"
        when = " (late: after the fence and the quiet window)" if late else ""
        but = " but ".join(["nothing", *([" or ".join(map(_shown, watch.allow))] if watch.allow else [])])
        context.step = watch.step
        context.fail(
            watch.requirements,
            f"{label} got a frame of type {kind!r} that must not reach it{when}"
            f"{_again(context, label, each) if number < _REMARKS else ''}{context.stray(each.frame)}",
            expected=but,
            actual=each.frame,
            actor=label,
            t_ms=each.t_ms,
        )


def _shown(pattern: Mapping[str, Any]) -> str:
    return short(pattern, 200)


def _again(context: Context, label: str, unwanted: Arrived) -> str:
    """A remark on a frame about a message of which the device had heard the same before."""
    frame = unwanted.frame
    name = frame.get("message_id") if isinstance(frame, dict) else None
    if not isinstance(name, str):
        return ""
    alike = {"type": frame["type"], "message_id": name}
    if frame["type"] == "status_update":
        alike["payload"] = {"status": at_pointer(frame, "/payload/status")}
    for entry in context.recorder.transcript.entries:
        before = entry.direction == "s2c" and entry.actor == label and entry.t_ms < unwanted.t_ms
        if before and entry.frame is not frame and compare(alike, entry.frame) is None:
            return "; it had got one for this message before"
    return ""
