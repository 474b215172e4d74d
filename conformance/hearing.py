"""The positive control of absence: who got nothing can get something, and who had no effect can have one.

A target that routes nothing to somebody, or takes nothing from them, would keep by accident each rule about
what must not come of it. So where a scenario has seen nothing all along, at its end a message must come.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from relaykit.conformance.awaiting import until
from relaykit.conformance.context import Context, Device, UntestableError
from relaykit.conformance.fence import devices, send_mark
from relaykit.conformance.hints import came
from relaykit.conformance.results import OPEN_CONNECTION
from relaykit.conformance.wire import ConnectionEnded

if TYPE_CHECKING:
    from relaykit.conformance.steps import Play

_DELIVERED = ("MSG-17",)
_OWN_AFFAIR = frozenset({"heartbeat_ack", "ping"})
"""Types that come to a connection whatever else does."""


async def control_silence(this: Play) -> None:
    """Have a message come to each device that was to get nothing, and did not get anything; and one from each
    whose frames had no effect.

    Raises:
        CaseStop: somebody to send it cannot connect; that is said as an outcome.
    """
    context = this.context
    # Where limits or faults are tried, a message may be refused.
    if context.case.limits or "inject_fault" in context.case.operations:
        return
    able = [device for device in devices(context) if _able(this, device)]
    watched = {watch.device for watch in this.watches.values() if watch.connection is watch.device.connection}
    deaf = [each for each in able if each in watched and not _came(context, each, {*_OWN_AFFAIR, "error"})]
    mute = [each for each in able if each in this.said and not _came(context, each, _OWN_AFFAIR)]
    asked: list[tuple[Device, str, str]] = []
    with contextlib.suppress(ConnectionEnded, UntestableError):  # said elsewhere, or beyond a stated limit
        for device in deaf:
            sender = await _other(context, able, device)
            said = f"{device.label} got nothing, but nothing reaches it: nor did a message by {sender.label}"
            asked.append((device, send_mark(context, sender, device.user.id), said))
        for device in mute:
            receiver = await _other(context, able, device)
            said = f"nothing came of what {device.label} sent, but it is not heard: nor did a message arrive"
            asked.append((receiver, send_mark(context, device, receiver.user.id), said))
    reached, deadline = context.recorder.reached, until(context, None)
    while not {(each.label, name) for each, name, _ in asked} <= reached and await context.wait(deadline):
        pass
    if came(context.recorder.transcript.entries):
        return  # a rate that is not stated is no deafness
    _say_ended(context, able)
    for device, name, said in asked:
        expected = {"type": "deliver", "message_id": name}
        if (device.label, name) not in reached and device.connection is not None and device.connection.alive:
            context.fail(_DELIVERED, said, expected=expected, actor=device.label)


def _say_ended(context: Context, able: Iterable[Device]) -> None:
    """Say of each connection that ended meanwhile that it did: nothing came to it, and it is not deaf."""
    for device in able:
        if device.connection is not None and not device.connection.alive:
            ended = device.connection.ended
            said = f"{device.label}: {ended} when a message was to reach it at the end of the case"
            context.fail((), said, expected=OPEN_CONNECTION, actual=ended, actor=device.label)


def _able(this: Play, device: Device) -> bool:
    """Whether messages can go to and from a device: it is connected, and neither pending nor revoked."""
    connected = device.connection is not None and device.connection.alive
    return connected and not device.user.legacy and device.id not in this.arranged


def _came(context: Context, device: Device, but: Collection[str]) -> bool:
    """Whether a frame has come to it, but for those of these types."""
    return any(
        line.direction == "s2c"
        and line.actor == device.label
        and line.event is None
        and (line.frame.get("type") if isinstance(line.frame, dict) else None) not in but
        for line in context.recorder.transcript.entries
    )


async def _other(context: Context, able: Iterable[Device], device: Device) -> Device:
    """Somebody else to talk to: of the case, or else somebody new."""
    for each in able:
        if each.user is not device.user:
            return each
    if "envoy" not in context.users:
        await context.device("envoy").connect()
    return next(iter(context.users["envoy"].devices.values()))
