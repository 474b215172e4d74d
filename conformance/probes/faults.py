"""Faults of the server itself (source: 9. Error Message)."""

from __future__ import annotations

from relaykit.conformance.arranging import control
from relaykit.conformance.codes import SERVER_ERROR, an_error
from relaykit.conformance.context import Context
from relaykit.conformance.fence import fence
from relaykit.conformance.record import tells_internals
from relaykit.conformance.registry import probe
from relaykit.conformance.talk import deliver_to, expect_frame, message, nothing_reached

_UNTIL_TOLD = 1_000_000


@probe(
    "server-fault",
    title="A message that cannot be stored gets server_error, has no effect, and is taken when repeated",
    area="errors",
    requirements=("ERR-07", "ERR-08", "ERR-09", "ERR-10", "ERR-11"),
    catches="A server that acknowledges what it could not store, or never recovers from a full disk.",
    operations=("inject_fault",),
    frames=("send", "sent_ack", "deliver", "error"),
    moves=("message-failed",),
    destructive=True,
)
async def server_fault(context: Context) -> None:
    alice, bob = context.device("alice"), context.device("bob")
    await alice.connect()
    await bob.connect()
    frame = message(context, bob.user.id)
    name = frame["message_id"]
    await control(context, "inject_fault", {"count": _UNTIL_TOLD})
    try:
        alice.live.send(frame)
        error = await expect_frame(context, alice.live, an_error(SERVER_ERROR), ("ERR-07", "ERR-09"))
        context.prove(("ERR-07",))
        if tells_internals(error):
            said = "a server_error tells of the server's inside"
            context.fail(("ERR-08",), said, expected="a message without internals", actual=error)
        else:
            context.prove(("ERR-08",))
        await nothing_reached(context, bob, "a message that was answered with server_error", "ERR-09")
        if alice.live.alive:
            await alice.live.beat(context.env.waits.reply)
        acks = [f for f in alice.live.frames if f.get("type") == "sent_ack"]
        if acks:
            context.fail(("ERR-09",), "a sent_ack follows the server_error", actual=acks[0], actor="alice")
    finally:
        await control(context, "inject_fault", {"count": 0})
    context.step = "the fault is over"
    if not alice.live.alive:  # as it may be, after a fault; but then a new connection must be served
        await alice.connect(req=("ERR-10",))
    await deliver_to(context, alice, bob.user.id, ("ERR-10",))
    context.prove(("ERR-10",))
    alice.live.send(frame)
    wanted = {"type": "sent_ack", "message_id": name}
    await expect_frame(context, alice.live, wanted, ("ERR-11",), skip=True)
    await expect_frame(context, bob.live, {"type": "deliver", "message_id": name}, ("ERR-11",), skip=True)
    await fence(context, [bob])
    context.prove(("ERR-11",))
