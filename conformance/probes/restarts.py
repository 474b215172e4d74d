"""What survives the end of the server, where the run launched it (source: Message Delivery)."""

from __future__ import annotations

from relaykit.conformance.arranging import control
from relaykit.conformance.codes import GOING_AWAY
from relaykit.conformance.context import Context, Device
from relaykit.conformance.fence import fence
from relaykit.conformance.matching import message_id_of
from relaykit.conformance.refusal import FORM, refused
from relaykit.conformance.registry import probe
from relaykit.conformance.restarting import ask_to_stop, launched_target, restart, settled
from relaykit.conformance.talk import deliver_to, end_of, expect_frame, message
from relaykit.conformance.wire import Connection

_MESSAGES = 20
_LOST = "acknowledged before the target ended; one with messages in memory needs a store on disk"


@probe(
    "survives-sigkill",
    title="What was acknowledged is delivered after the target was killed and started again",
    area="messages",
    requirements=("MSG-14", "MSG-15"),
    catches="A server that acknowledges what stands in its memory only.",
    frames=("send", "sent_ack", "deliver"),
    moves=("message-survived",),
    destructive=True,
)
async def survives_sigkill(context: Context) -> None:
    server = launched_target()
    alice, bob = context.device("alice"), context.device("bob")
    await (await bob.connect()).close(context.env.waits.reply)  # known, and away
    await alice.connect()
    sent = [await deliver_to(context, alice, bob.user.id) for _ in range(_MESSAGES)]
    # No quarter between the last ack and the kill: what is not safe by now never was.
    await restart(context, server, "SIGKILL, and a new start")
    connection = await bob.connect(req=("MSG-15",))
    for name in sent:
        wanted = {"type": "deliver", "message_id": name}
        await expect_frame(context, connection, wanted, ("MSG-14", "MSG-15"), skip=True, remark=_LOST)
    context.prove(("MSG-14", "MSG-15"))


@probe(
    "kept-across-a-restart",
    title="What was sent, and who has acknowledged it, is still known after the target was started again",
    area="messages",
    requirements=("OFF-04", "MSG-33", "MSG-35"),
    catches="A server that keeps messages on disk, and in memory alone who has them.",
    frames=("send", "sent_ack", "deliver", "delivery_ack", "status_update"),
    destructive=True,
)
async def kept(context: Context) -> None:
    server = launched_target()
    alice, bob = context.device("alice"), context.device("bob")
    await alice.connect()
    await bob.connect()
    frame = message(context, bob.user.id)
    name = frame["message_id"]
    alice.live.send(frame)
    await expect_frame(context, bob.live, {"type": "deliver", "message_id": name}, ("MSG-16",))
    bob.live.send({"type": "delivery_ack", "message_id": name})
    # Its sender has heard of it, so that the acknowledgement has come; a target that ends orderly keeps it.
    pattern = {"type": "status_update", "message_id": name}
    await expect_frame(context, alice.live, pattern, ("MSG-21",), skip=True)
    ask_to_stop(context, server)
    await settled(context, server)
    await restart(context, server, "a new start")
    for device in (bob, alice):
        device.connection = None
        await device.connect()
    await fence(context, [bob])
    if not _came(context, bob, name, "OFF-04", "a message that the device had acknowledged"):
        return
    context.step = "the same message again"
    alice.live.send(frame)
    await expect_frame(context, alice.live, {"type": "sent_ack", "message_id": name}, ("MSG-33",), skip=True)
    alice.acted = True
    await fence(context, [bob])
    if _came(context, bob, name, "MSG-35", "a message that was sent again"):
        context.prove(("OFF-04", "MSG-33", "MSG-35"))


def _came(context: Context, device: Device, name: str, requirement: str, what: str) -> bool:
    """Judge that a message did not come; whether it did not."""
    found = next((frame for frame in device.live.frames if message_id_of(frame) == name), None)
    if found is not None:
        said = f"{what} before the restart was delivered after it"
        context.fail((requirement,), said, expected="nothing", actual=found, actor=device.label)
    return found is None


@probe(
    "revoked-across-a-restart",
    title="A device that was revoked stays refused when the target was started again",
    area="devices",
    requirements=("DEV-31", *FORM),
    catches="A server that keeps its list of revoked devices in memory.",
    capabilities=("devices",),
    operations=("revoke_device",),
    destructive=True,
)
async def revoked(context: Context) -> None:
    server = launched_target()
    phone, laptop = context.user("alice", ("phone", "laptop")).devices.values()
    await phone.connect()
    await (await laptop.connect()).close(context.env.waits.reply)
    await control(context, "revoke_device", {"user_id": laptop.user.id, "device_id": laptop.id})
    phone.live.accounted = True
    await restart(context, server, "SIGKILL, and a new start")
    await refused(context, laptop, await laptop.obtain(), "the revoked device, after a restart", "DEV-31")


@probe(
    "shutdown",
    title="A target that shuts down closes its connections with 1001, and loses nothing",
    area="connection",
    requirements=("CONN-18", "MSG-15"),
    catches="A server whose clients must guess why the line went dead.",
    slow=True,
    frames=("send", "sent_ack", "deliver"),
    moves=("message-survived",),
    destructive=True,
)
async def shutdown(context: Context) -> None:
    server = launched_target()
    alice, bob = context.device("alice"), context.device("bob")
    await (await bob.connect()).close(context.env.waits.reply)
    connection = await alice.connect()
    name = await deliver_to(context, alice, bob.user.id)
    ask_to_stop(context, server)
    await _judge_end(context, connection)
    await settled(context, server)
    await restart(context, server, "a new start")
    connection = await bob.connect(req=("MSG-15",))
    wanted = {"type": "deliver", "message_id": name}
    await expect_frame(context, connection, wanted, ("MSG-15",), skip=True, remark=_LOST)
    context.prove(("MSG-15",))


async def _judge_end(context: Context, connection: Connection) -> None:
    ended = await end_of(context, connection)
    if ended and connection.close_code == GOING_AWAY:
        context.prove(("CONN-18",))
        return
    said = connection.ended or "the connection is still open"
    context.fail(("CONN-18",), f"SIGTERM: {said}", expected=f"a close with {GOING_AWAY}", actual=said)
