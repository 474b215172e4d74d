"""A device whose connections overlap, as after a lost one (source: Authentication, User Presence)."""

from __future__ import annotations

from relaykit.conformance.arranging import control
from relaykit.conformance.context import Context, Device
from relaykit.conformance.fence import fence, quiet
from relaykit.conformance.registry import probe
from relaykit.conformance.talk import expect_frame, message
from relaykit.conformance.wire import Connection

_LONGEST_GRACE_S = 3.0
"""A grace before user_offline that is worth waiting for."""


async def _another(context: Context, device: Device, req: tuple[str, ...] = ()) -> Connection:
    """Connect a device once more; what it had until then, which stays open if the target lets it."""
    older, device.connection = device.live, None
    older.accounted = True  # the newest may win
    await device.connect(req=req)
    return older


async def _end(context: Context, connection: Connection, *, cut: bool) -> None:
    if not cut:
        await connection.close(context.env.waits.reply)
    elif connection.alive:
        connection.abort()


async def _served(context: Context, sender: Device, device: Device, when: str) -> None:
    """A message must reach the newest connection of a device."""
    context.step = when
    sent = message(context, device.user.id)
    sender.live.send(sent)
    wanted = {"type": "deliver", "message_id": sent["message_id"]}
    await expect_frame(context, device.live, wanted, ("CONN-14",), skip=True, remark=when)
    context.prove(("CONN-14",), device.label)
    # None is left to wait, for targets that let few do so.
    device.live.send({"type": "delivery_ack", "message_id": sent["message_id"]})
    await device.live.beat(context.env.waits.reply)


@probe(
    "same-device-twice",
    title="A device that connects a second time is served, and goes on being served when the older one ends",
    area="connection",
    requirements=("CONN-13", "CONN-14"),
    catches="A server that refuses a client until its lost connection times out, or forgets it then.",
    frames=("send", "deliver", "delivery_ack"),
)
async def same_device_twice(context: Context) -> None:
    alice, bob = context.device("alice"), context.device("bob")
    await bob.connect()
    await alice.connect()
    for cut in (False, True):
        older = await _another(context, alice, ("CONN-13",))
        context.prove(("CONN-13",), alice.label)
        await _served(context, bob, alice, "beside an older connection")
        await _end(context, older, cut=cut)
        await fence(context, [alice])
        how = "was cut" if cut else "was closed"
        await _served(context, bob, alice, f"after the device's older connection {how}")


@probe(
    "presence-of-overlapping-connections",
    title="A device that connects anew before its older connection ends does not appear to be gone",
    area="presence",
    requirements=("PRES-08",),
    catches="A server that reports a user as offline when the connection that a client has left behind ends.",
    capabilities=("presence",),
    operations=("add_contact",),
    frames=("user_offline",),
)
async def presence_of_overlapping(context: Context) -> None:
    context.about = frozenset({"user_online", "user_offline"})
    alice, bob = context.device("alice"), context.device("bob")
    await bob.connect()
    await control(context, "add_contact", {"user_id": alice.user.id, "contact_id": bob.user.id})
    await alice.connect()
    grace = context.env.target.timing["presence_grace_s"]
    for cut in (False, True):
        context.step = "the older connection is cut" if cut else "the older connection is closed"
        await _end(context, await _another(context, alice), cut=cut)
        await fence(context, [alice])
        if grace <= _LONGEST_GRACE_S:
            await quiet(context.env, least_s=grace + context.env.waits.quiet)
        await fence(context, [bob])
        told = [frame for frame in bob.live.frames if frame["type"] in context.about]
        # Where the newest wins, the older one may go before it is there: what counts is the last.
        if told and told[-1]["type"] == "user_offline":
            context.fail(
                ("PRES-08",),
                f"{bob.label} was left with user_offline though {alice.label} is connected",
                expected="nothing, or user_online at last",
                actual=told[-1],
                actor=bob.label,
            )
            return
        context.prove(("PRES-08",), bob.label)
