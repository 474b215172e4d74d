"""A user with many devices, to whom many write at once (source: Message Delivery, Multi-device)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence

from relaykit.conformance.awaiting import until
from relaykit.conformance.context import Context, Device
from relaykit.conformance.fence import fence
from relaykit.conformance.matching import message_id_of
from relaykit.conformance.registry import probe
from relaykit.conformance.talk import expect_frame, message

_MOST = 12
"""Devices that are connected at most: beyond, nothing new shows."""
_SENDERS = 3
_EACH = 12
"""Messages of each sender, all at once."""


@probe(
    "many-devices",
    title="Many devices of one user each get every message once, in each sender's order, and one ack counts",
    area="messages",
    requirements=("MSG-17", "MSG-20", "MSG-41", "MSG-21", "MSG-23"),
    catches="A server that serves the first few of a user's devices, or drops and reorders under load.",
    limits=("connections_per_user",),
    exclusive=True,
    frames=("send", "sent_ack", "deliver", "delivery_ack", "status_update"),
)
async def many_devices(context: Context) -> None:
    count = max(1, min(_MOST, int(context.env.target.limits["connections_per_user"])))
    bob = context.user("bob", [f"device{number}" for number in range(1, count + 1)])
    devices = list(bob.devices.values())
    for device in devices:
        await device.connect()
    senders = [context.device(f"sender{number}") for number in range(1, _SENDERS + 1)]
    await asyncio.gather(*(sender.connect() for sender in senders))
    each = max(1, min(_EACH, int(context.env.target.limits["burst"]) // 4))
    sent = {sender: [message(context, bob.id) for _ in range(each)] for sender in senders}
    for frames in zip(*sent.values(), strict=True):
        for sender, frame in zip(senders, frames, strict=True):
            sender.live.send(frame)
    names = {sender: [str(frame["message_id"]) for frame in frames] for sender, frames in sent.items()}
    await _gathered(context, devices, _SENDERS * each)
    await fence(context, [*devices, *senders])  # what comes twice may come later, and so may acks
    _judge(context, devices, list(names.values()))
    await _acknowledged_by_all(context, senders[0], devices, names[senders[0]][0])


async def _gathered(context: Context, devices: Sequence[Device], count: int) -> None:
    """Wait until each device has got so many messages, or the reply deadline has passed without one more."""
    came, deadline = -1, until(context, None)
    while (now := sum(len(_delivered(device)) for device in devices)) < count * len(devices):
        if now > came:
            came, deadline = now, until(context, None)
        if not await context.wait(deadline):
            break


def _delivered(device: Device) -> list[str]:
    frames = device.live.frames
    return [message_id_of(frame) for frame in frames if frame.get("type") == "deliver"]


def _judge(context: Context, devices: Sequence[Device], sent: Sequence[Sequence[str]]) -> None:
    """Compare what devices got with what was sent: all of it, once, and in the order of each sender.

    Devices that got it wrong in the same way are one finding.
    """
    wrong: dict[tuple[str, str], list[Device]] = {}
    for device in devices:
        for requirement, said in _faults(_delivered(device), sent):
            if said:
                wrong.setdefault((requirement, said), []).append(device)
            else:
                context.prove((requirement,), device.label)
    for (requirement, said), (first, *others) in wrong.items():
        who = f"{first.label} and {len(others)} more of {len(devices)} devices" if others else first.label
        context.fail(
            (requirement,),
            f"{who} got {said}",
            expected="each message once, in the order of its sender",
            actual=_delivered(first),
            actor=first.label,
        )


def _faults(got: Sequence[str], sent: Sequence[Sequence[str]]) -> Iterator[tuple[str, str]]:
    """For each requirement, what of it one device got otherwise; nothing if all is well."""
    whole = list(itertools.chain(*sent))
    missing, twice = sum(name not in got for name in whole), len(got) - len(set(got))
    swapped = any((came := [n for n in got if n in mine]) != sorted(came, key=mine.index) for mine in sent)
    yield "MSG-17", f"{len(whole) - missing} of {len(whole)} messages" if missing else ""
    yield "MSG-20", f"{twice} messages twice" if twice else ""
    yield "MSG-41", "what one sender sent in another order" if swapped else ""


async def _acknowledged_by_all(
    context: Context, sender: Device, devices: Sequence[Device], name: str
) -> None:
    """All devices acknowledge one message at once: its sender is told once."""
    reached = [device for device in devices if name in _delivered(device)]
    if not reached:
        return  # that is said already
    sender.live.inbox.clear()
    for device in reached:
        device.acted = True
        device.live.send({"type": "delivery_ack", "message_id": name})
    status = {"type": "status_update", "message_id": name, "payload": {"status": "delivered"}}
    await expect_frame(context, sender.live, status, ("MSG-21",), skip=True)
    context.prove(("MSG-21",), sender.label)
    await fence(context, [sender])
    again = [frame for frame in sender.live.frames if frame.get("type") == "status_update"]
    if again:
        said = (
            f"{len(reached)} devices acknowledged one message, and its sender was told {1 + len(again)} times"
        )
        context.fail(("MSG-23",), said, expected="told once", actual=again[0], actor=sender.label)
    else:
        context.prove(("MSG-23",), sender.label)
