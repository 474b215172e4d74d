"""Identifiers that differ in the case of letters alone, where scenarios cannot write them so."""

from __future__ import annotations

from relaykit.conformance.arranging import control
from relaykit.conformance.context import Context
from relaykit.conformance.registry import probe
from relaykit.conformance.talk import expect_frame, message
from relaykit.conformance.wire import DialError


@probe(
    "token-in-capitals",
    title="A token whose user and device are written in capitals is for the same user and device",
    area="validation",
    requirements=("VAL-24",),
    catches="A server that takes a token's claims as they are spelt, so that messages go to nobody.",
    frames=("send", "deliver"),
    forges=True,
)
async def token_in_capitals(context: Context) -> None:
    alice, bob = context.device("alice"), context.device("bob")
    await alice.connect()
    await (await bob.connect()).close(context.env.waits.reply)
    claims = {"sub": bob.user.id.upper(), "device_id": bob.id.upper()}
    try:
        connection = await bob.dial(token=bob.token(claims=claims))
    except DialError as error:
        context.fail_dial(error, ("VAL-24",), bob.label)
        return
    await connection.beat(context.env.waits.reply)
    frame = message(context, bob.user.id)
    alice.live.send(frame)
    wanted = {"type": "deliver", "message_id": frame["message_id"]}
    await expect_frame(context, connection, wanted, ("VAL-24",), skip=True)
    context.prove(("VAL-24",))


@probe(
    "conversation-in-capitals",
    title="A conversation whose UUID is written in capitals is the same conversation",
    area="validation",
    requirements=("VAL-24", "TYP-02"),
    catches="A server that looks up conversations by the spelling of their id.",
    capabilities=("typing",),
    operations=("conversation",),
    frames=("typing",),
)
async def conversation_in_capitals(context: Context) -> None:
    alice, bob = context.device("alice"), context.device("bob")
    await alice.connect()
    await bob.connect()
    made = await control(context, "conversation", {"members": [alice.user.id, bob.user.id]})
    prefix, dash, name = str(made["conversation_id"]).partition("-")
    for spelt in (name.lower(), name.upper()):
        capitals = spelt != name.lower()
        payload = {"conversation_id": f"{prefix}{dash}{spelt}", "is_typing": capitals}
        alice.live.send({"type": "typing", "payload": payload})
        wanted = {"type": "typing", "payload": {"is_typing": capitals}}
        await expect_frame(context, bob.live, wanted, ("VAL-24",) if capitals else ("TYP-02",))
    context.prove(("VAL-24", "TYP-02"))
