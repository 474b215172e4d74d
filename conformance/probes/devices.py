"""Approval and revocation where scenarios end: what may fail, what comes too late (source: 4, 5)."""

from __future__ import annotations

import contextlib

from relaykit.conformance.arranging import advance, control
from relaykit.conformance.context import Context, Device
from relaykit.conformance.fence import fence
from relaykit.conformance.matching import message_id_of
from relaykit.conformance.refusal import FORM, refused
from relaykit.conformance.registry import probe
from relaykit.conformance.talk import end_of, expect_frame, message
from relaykit.conformance.wire import ConnectionEnded, DialError

_APPROVAL = ("request_device_approval", "decide_device_approval")


async def _asked(context: Context, **more: float) -> tuple[Device, str]:
    """A user with a primary device, and a new device that asks for approval; that device, and the request."""
    phone, laptop = context.user("alice", ("phone", "laptop")).devices.values()
    await phone.connect()
    asked = await control(
        context, "request_device_approval", {"user_id": phone.user.id, "device_id": laptop.id, **more}
    )
    return laptop, str(asked["request_id"])


@probe(
    "device-denied-while-away",
    title="A device that was denied while it was away is told when it next connects",
    area="devices",
    requirements=("DEV-15", "DEV-28", *FORM),
    catches="A server that refuses a denied device before it could learn why.",
    capabilities=("devices",),
    operations=_APPROVAL,
    frames=("device_denied",),
)
async def denied_while_away(context: Context) -> None:
    laptop, request = await _asked(context)
    await control(context, "decide_device_approval", {"request_id": request, "approved": False})
    try:
        connection = await laptop.dial()
    except DialError as error:
        context.fail_dial(error, ("DEV-15",), laptop.label)
        return
    pattern = {"type": "device_denied", "payload": {"request_id": request}}
    await expect_frame(context, connection, pattern, ("DEV-15",), skip=True)
    context.prove(("DEV-15",), laptop.label)
    await connection.close(context.env.waits.reply)
    await refused(context, laptop, await laptop.obtain(), "the denied device comes back", "DEV-28")


@probe(
    "device-late-decision",
    title="A decision after the expiry changes nothing",
    area="devices",
    requirements=("DEV-19", *FORM),
    catches="A server that looks at the code when a request is decided, and not at the clock.",
    capabilities=("devices",),
    operations=(*_APPROVAL, "advance_clock"),
    exclusive=True,
    moves=("device-decided-late",),
)
async def late_decision(context: Context) -> None:
    laptop, request = await _asked(context, expires_in=20)
    # Pending and connected, so that it hears of the expiry now and not when it must be refused.
    await laptop.connect(req=("DEV-20",))
    await advance(context, 21)
    await fence(context, [laptop])
    # A server may well say that it is too late.
    late = {"request_id": request, "approved": True}
    await control(context, "decide_device_approval", late, may_refuse=True)
    await laptop.live.close(context.env.waits.reply)
    await refused(
        context, laptop, await laptop.obtain(), "the device comes back after the late decision", "DEV-19"
    )


@probe(
    "device-revoked-twice-connected",
    title="When a device is revoked, each of its connections is closed",
    area="devices",
    requirements=("DEV-29",),
    catches="A server that closes one connection of a revoked device and forgets the others.",
    capabilities=("devices",),
    operations=("revoke_device",),
)
async def revoked_twice(context: Context) -> None:
    alice = context.device("alice")
    first = await alice.connect()
    first.accounted = True  # a server may let the newest connection of a device win
    alice.connection = None  # it stays open beside the next one
    second = await alice.connect()
    second.accounted = True
    await control(context, "revoke_device", {"user_id": alice.user.id, "device_id": alice.id})
    for connection, which in ((first, "older"), (second, "newer")):
        if not await end_of(context, connection):
            said = f"the {which} of the revoked device's connections is still open"
            context.fail(("DEV-29",), said, expected="a close", actual="open", actor=alice.label)
            return
    context.prove(("DEV-29",))


@probe(
    "device-revoked-meanwhile",
    title="What a device sends after it was revoked has no effect",
    area="devices",
    requirements=("DEV-33",),
    catches="A server that closes the connection, but goes on serving it until the client agrees.",
    capabilities=("devices",),
    operations=("revoke_device",),
    frames=("send", "deliver"),
)
async def revoked_meanwhile(context: Context) -> None:
    alice, bob = context.device("alice"), context.device("bob")
    await alice.connect()
    await bob.connect()
    connection = alice.live
    connection.accounted = True
    await control(context, "revoke_device", {"user_id": alice.user.id, "device_id": alice.id})
    late = [message(context, bob.user.id) for _ in range(3)]
    with contextlib.suppress(ConnectionEnded):  # it may be over by now, which is as good
        for frame in late:
            connection.send(frame)
        await connection.beat(context.env.waits.reply)
    await fence(context, [bob])
    names = {message_id_of(frame) for frame in late}
    for frame in bob.live.frames:
        if message_id_of(frame) in names:
            context.fail(
                ("DEV-33",),
                "a message that was sent after the revocation was delivered",
                expected="nothing",
                actual=frame,
                actor=bob.label,
            )
            return
    context.prove(("DEV-33",))
