"""Connections that end amid a message: what a client has not said whole, it has not said (source: Connection
Management)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from relaykit.conformance.context import Context, Device
from relaykit.conformance.fence import fence
from relaykit.conformance.matching import message_id_of
from relaykit.conformance.probes.transport import CONT, TEXT, raw_frame
from relaykit.conformance.registry import probe
from relaykit.conformance.talk import expect_frame, may_send, message

_MISSING = 40
"""Bytes that a frame announces beyond what is sent: spaces, so that what is sent is a whole JSON text."""


def _halves(frame: Any) -> Iterator[tuple[str, tuple[bytes, ...]]]:
    """Beginnings of a message, each in a few writes."""
    data = json.dumps(frame).encode()
    announced = raw_frame(TEXT, data + b" " * _MISSING)
    yield "a send whose WebSocket frame announces more bytes than come", (announced[:-_MISSING],)
    yield "a send as a first fragment, without the last one", (raw_frame(TEXT, data, fin=False),)
    yield (
        "a send in two fragments, without the last one",
        (raw_frame(TEXT, data[:9], fin=False), raw_frame(CONT, data[9:], fin=False)),
    )
    yield "one byte of a frame's header", (announced[:1],)


@probe(
    "cut-amid-a-message",
    title="A message of which only a part came when the connection was cut has no effect, and harms nobody",
    area="transport",
    requirements=("TRAN-15",),
    catches="A server that handles what its buffer holds when a connection ends, or falls over it.",
    frames=("send", "deliver"),
)
async def cut_amid(context: Context) -> None:
    bob = context.device("bob")
    await bob.connect()
    half = message(context, bob.user.id)
    for number, (what, pieces) in enumerate(_halves(half), 1):
        context.step = what
        alice = context.device(f"alice{number}")
        connection = await alice.connect()
        await may_send(connection, b"".join(pieces))
        for piece in pieces:
            connection.write(piece, f"{what} ({len(piece)} bytes)")
        connection.abort()
        await _goes_on(context, alice, bob)
        if _reached(context, bob, half["message_id"], what):
            return
    context.prove(("TRAN-15",))


async def _goes_on(context: Context, alice: Device, bob: Device) -> None:
    """The user comes back, and is served: what the target makes of the end has happened by then.

    Raises:
        CaseStop: the target does not serve; that is said as an outcome.
    """
    await alice.connect(req=("TRAN-15",))
    whole = message(context, bob.user.id)
    alice.live.send(whole)
    for device, kind in ((alice, "sent_ack"), (bob, "deliver")):
        wanted = {"type": kind, "message_id": whole["message_id"]}
        await expect_frame(context, device.live, wanted, (), skip=True)
    await fence(context, [bob])


def _reached(context: Context, bob: Device, name: str, what: str) -> bool:
    """Whether the half message came to its receiver; that is said as an outcome."""
    for line in context.recorder.transcript.entries:
        if line.actor == bob.label and line.direction == "s2c" and message_id_of(line.frame) == name:
            said = f"{what}, and then the connection was cut: the message was delivered"
            context.fail(("TRAN-15",), said, expected="nothing", actual=line.frame, actor=bob.label)
            return True
    return False
