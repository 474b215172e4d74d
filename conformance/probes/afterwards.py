"""Some time after a frame was refused (source: 9. Error Message)."""

from __future__ import annotations

import asyncio

from relaykit.conformance.codes import INVALID_MESSAGE, an_error
from relaykit.conformance.context import Context
from relaykit.conformance.fence import quiet
from relaykit.conformance.registry import probe
from relaykit.conformance.results import OPEN_CONNECTION
from relaykit.conformance.talk import expect_frame

_A_WHILE_S = 0.6
"""Long enough for a close that a server puts off, and short enough to wait for."""


@probe(
    "refused-and-kept",
    title="A while after one refused frame, of whichever type, its connection still serves",
    area="validation",
    requirements=("VAL-13",),
    catches="A server that refuses rightly, and closes the connection for it a moment later.",
    frames=("error", "heartbeat", "heartbeat_ack"),
)
async def refused_and_kept(context: Context) -> None:
    """One refused frame for each connection: after repeated ones a server may close (VAL-14)."""
    catalogue = context.env.catalogue
    types = sorted(name for direction, name in catalogue.frames if direction == "c2s")
    devices = {name: context.device(f"alice{number}") for number, name in enumerate(types, start=1)}
    await asyncio.gather(*(device.connect() for device in devices.values()))
    for name, device in devices.items():
        device.live.send({"type": name, "payload": 7}, valid=False)
    for device in devices.values():
        await expect_frame(context, device.live, an_error(INVALID_MESSAGE), ("VAL-08",), skip=True)
    await quiet(context.env, least_s=_A_WHILE_S)
    answered = await asyncio.gather(
        *(device.live.beat(context.env.waits.reply) for device in devices.values())
    )
    lost = {
        name: device for (name, device), alive in zip(devices.items(), answered, strict=True) if not alive
    }
    if not lost:
        context.prove(("VAL-13",))
        return
    first = next(iter(lost.values()))
    said = f"one refused frame of {', '.join(lost)}, and up to {_A_WHILE_S:g} s later: "
    said += first.live.ended or "a heartbeat is not answered"
    context.fail(("VAL-13",), said, expected=OPEN_CONNECTION, actual=first.live.ended, actor=first.label)
