"""Waiting for what a scenario expects: one frame, several in any order, the end of a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relaykit.conformance import closing
from relaykit.conformance.codes import code_of
from relaykit.conformance.context import CaseStop, Context, Device
from relaykit.conformance.fence import devices
from relaykit.conformance.grammar import Expect, ExpectClose, Unordered
from relaykit.conformance.matching import compare, nearest, plain, short
from relaykit.conformance.wire import Arrived, Connection
from relaykit.pointers import at_pointer

if TYPE_CHECKING:
    from relaykit.conformance.steps import Play

_MOST_SAID = 120
"""Characters of an error's text that a message quotes."""
_NEAR = 2
"""A frame to somebody else is worth a word if beside its type something else is as expected."""


@dataclass(frozen=True, slots=True)
class Miss:
    """Why an expected frame was not taken: what came instead, and all of it in words."""

    message: str
    actual: Any


def until(context: Context, within_ms: int | None) -> float:
    """The time of the event loop at which waiting ends."""
    env = context.env
    seconds = env.waits.reply if within_ms is None else within_ms / 1000 * env.factor
    return asyncio.get_running_loop().time() + seconds + context.lag


def kind_of(frame: Any) -> str:
    """A frame in two words, for messages: its type, and for errors the code and the beginning of the text."""
    if not isinstance(frame, dict):
        return "an unreadable message"
    kind = frame.get("type")
    if kind == "error":
        payload, code = frame.get("payload"), code_of(frame)
        said = payload.get("message") if isinstance(payload, dict) else None
        return f"error {code} ({_line(said)})" if said else f"error {code}"
    return short(kind, 40) if not isinstance(kind, str) else kind


def _line(said: Any) -> str:
    """The first words of an error's text: it may be a whole trace."""
    text = " ".join(str(said).split())
    return text if len(text) <= _MOST_SAID else f"{text[: _MOST_SAID - 1]}…"


def named(pattern: Mapping[str, Any]) -> str:
    """An expected frame in two words: its type, and for errors the code."""
    code = code_of(pattern)
    return f"{pattern['type']} {code}" if code is not None else str(pattern["type"])


def elsewhere(context: Context, connection: Connection, pattern: Mapping[str, Any]) -> str:
    """A remark on a frame as it was expected that came to somebody else, or nearly so; or nothing."""
    others = [each for each in context.connections if each.label != connection.label]
    labels = {each.label for each in others}
    entries = context.recorder.transcript.entries
    got = [e for e in entries if e.direction == "s2c" and e.actor in labels and not e.kit]
    same = next((e.actor for e in got if compare(pattern, e.frame) is None), None)
    if same is not None:
        return f"; {same} got such a frame"
    near = nearest(pattern, (arrived.frame for each in others for arrived in each.inbox))
    if near is None or near[1].fitted < _NEAR:
        return ""
    who = next(each.label for each in others if any(a.frame is near[0] for a in each.inbox))
    return f"; nearest: {who} got {kind_of(near[0])}, whose {near[1]}"


def settle(connection: Connection) -> None:
    """Drop frames that come too late for something that only SHOULD come, and was given up."""
    if not connection.forgiven:
        return
    for pattern in list(connection.forgiven):
        for index, arrived in enumerate(connection.inbox):
            if compare(pattern, arrived.frame) is None:
                del connection.inbox[index]
                connection.forgiven.remove(pattern)
                break


async def take(
    context: Context,
    connection: Connection,
    pattern: Mapping[str, Any],
    deadline: float,
    *,
    skip: bool,
    began: float | None = None,
) -> Arrived | Miss:
    """Take the earliest frame not yet taken, if it matches; with `skip`, the earliest that matches.

    Args:
        began: when waiting for it began, a time of the event loop like `deadline`, where that was before now.
    """
    label, wanted = connection.label, named(pattern)
    began = asyncio.get_running_loop().time() if began is None else began
    passed: list[Any] = []
    while True:
        settle(connection)
        while connection.inbox:
            arrived = connection.inbox[0]
            difference = compare(pattern, arrived.frame)
            if difference is None:
                return connection.inbox.pop(0)
            if not skip:
                return await _other(context, connection, pattern, arrived, str(difference))
            passed.append(connection.inbox.pop(0).frame)
        if not connection.alive:
            return Miss(f"{label} expected {wanted}, but {connection.ended}", connection.ended)
        if not await context.wait(deadline) and not connection.inbox:
            break
    near, limit = nearest(pattern, passed), f"within {deadline - began:.1f} s"
    if near is None:
        return Miss(
            f"{label} expected {wanted}; nothing came {limit}{elsewhere(context, connection, pattern)}", None
        )
    return Miss(
        f"{label} expected {wanted}; it did not come {limit}. Nearest: {kind_of(near[0])}, {near[1]}", near[0]
    )


async def _other(
    context: Context, connection: Connection, pattern: Mapping[str, Any], first: Arrived, difference: str
) -> Miss:
    """Another frame came first: was the expected one merely late, or did it not come at all?"""
    quiet = asyncio.get_running_loop().time() + context.env.waits.quiet
    while not (late := any(compare(pattern, a.frame) is None for a in connection.inbox)):
        if not connection.alive or not await context.wait(quiet):
            break
    label, wanted = connection.label, named(pattern)
    came = f"{kind_of(first.frame)}{context.stray(first.frame)}"
    same = isinstance(first.frame, dict) and first.frame.get("type") == pattern["type"]
    where = f": {difference}" if same else ""
    if late:
        came = f"another {came}" if same else came
        return Miss(f"{label} expected {wanted} next, but got {came} before it{where}", first.frame)
    where = where or elsewhere(context, connection, pattern)
    return Miss(f"{label} expected {wanted}, but got {came}{where}", first.frame)


async def expect(this: Play, step: Expect) -> None:
    """The `expect` step."""
    context = this.context
    pattern = context.scope.fill(step.frame)
    began, deadline = asyncio.get_running_loop().time(), until(context, step.within_ms)
    missed = False
    for device in this.chosen(step.who):
        result = await take(context, device.live, pattern, deadline, skip=step.skip, began=began)
        while isinstance(result, Miss) and not device.live.inbox:
            if not await closing.go_on(this, *devices(context)):
                break
            began, deadline = asyncio.get_running_loop().time(), until(context, step.within_ms)
            result = await take(context, device.live, pattern, deadline, skip=step.skip, began=began)
        if isinstance(result, Miss):
            miss(context, device, step, pattern, result)
            missed = True
        else:
            took(context, device, step, result)
    if missed and context.binding(step.req):
        raise CaseStop


def took(context: Context, device: Device, step: Expect, arrived: Arrived) -> None:
    """Note what a frame that was expected has shown, and keep what is captured from it.

    Raises:
        CaseStop: a value to be captured is missing.
    """
    context.step = step.place.pointer
    for name, pointer in step.capture.items():
        value = at_pointer(arrived.frame, pointer)
        if value is None:
            context.fail(
                step.req,
                f"{device.label}: {kind_of(arrived.frame)} has no {pointer}, which the case needs",
                expected=f"a value at {pointer}",
                actual=arrived.frame,
                actor=device.label,
            )
            raise CaseStop
        context.scope.given[name] = value
    context.prove(step.req, device.label)


def miss(context: Context, device: Device, step: Expect, pattern: Mapping[str, Any], why: Miss) -> None:
    """Note that an expected frame was missed."""
    context.step = step.place.pointer
    context.fail(step.req, why.message, expected=plain(pattern), actual=why.actual, actor=device.label)
    if not context.binding(step.req):
        device.live.forgiven.append(pattern)


async def unordered(this: Play, step: Unordered) -> None:
    """The `unordered` step: each device takes frames as they come, the first expectation that fits."""
    context = this.context
    open_: dict[Device, list[tuple[Expect, Any, float]]] = {}
    for expected in step.expects:
        pattern = context.scope.fill(expected.frame)
        for device in this.chosen(expected.who):
            open_.setdefault(device, []).append((expected, pattern, until(context, expected.within_ms)))
    missed = False
    for device, wanted in open_.items():
        missed = await _drain(this, device, wanted) or missed
    if missed:
        raise CaseStop


async def _drain(this: Play, device: Device, wanted: list[tuple[Expect, Any, float]]) -> bool:
    """Meet one device's expectations in any order; True if one that must be met was not."""
    context, connection = this.context, device.live
    skip = any(expected.skip for expected, _, _ in wanted)
    passed: list[Any] = []
    stranger: Any = None
    while wanted and stranger is None:
        settle(connection)
        while wanted and connection.inbox:
            arrived = connection.inbox[0]
            fits = next((item for item in wanted if compare(item[1], arrived.frame) is None), None)
            if fits is not None:
                connection.inbox.pop(0)
                wanted.remove(fits)
                took(context, device, fits[0], arrived)
            elif skip:
                passed.append(connection.inbox.pop(0).frame)
            else:
                stranger = arrived.frame
                break
        if stranger is not None or not wanted:
            break
        if not connection.alive:
            if not await closing.go_on(this, device):
                break
            connection = device.live
            continue
        if not await context.wait(max(deadline for _, _, deadline in wanted)) and not connection.inbox:
            break
    missed = False
    for expected, pattern, _ in wanted:
        kind = named(pattern)
        near = nearest(pattern, [stranger] if stranger is not None else passed)
        if stranger is not None:
            came = f"{kind_of(stranger)}{context.stray(stranger)}"
            message = f"{device.label} expected {kind} (among others), but got {came}"
        elif not connection.alive:
            message = f"{device.label} expected {kind}, but {connection.ended}"
        else:
            message = f"{device.label} expected {kind} (among others); it did not come in time"
        if near is not None and near[1].fitted:
            message += f". Nearest: {kind_of(near[0])}, {near[1]}"
        else:
            message += elsewhere(context, connection, pattern)
        miss(context, device, expected, pattern, Miss(message, near[0] if near else connection.ended))
        missed = missed or context.binding(expected.req)
    return missed


async def expect_close(this: Play, step: ExpectClose) -> None:
    """The `expect_close` step. Frames before the close are passed over."""
    context = this.context
    deadline = until(context, step.within_ms)
    for device in this.chosen(step.who):
        connection = device.live
        while connection.alive and await context.wait(deadline):
            pass
        permitted = f"a close ({', '.join(map(str, step.codes))})" if step.codes else "a close"
        if connection.alive:
            message = f"{device.label} expected {permitted}; the connection is still open"
        elif step.codes and connection.close_code not in step.codes:
            message = f"{device.label} expected {permitted}, but {connection.ended}"
        else:
            connection.inbox.clear()
            connection.accounted = True
            context.prove(step.req, device.label)
            continue
        context.fail(step.req, message, expected=permitted, actual=connection.ended, actor=device.label)
        if context.binding(step.req):
            raise CaseStop
