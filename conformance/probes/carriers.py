"""The three ways to present a token, and what happens when they disagree (source: Authentication)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from relaykit.conformance.context import Context, Device, Presentation, present
from relaykit.conformance.matching import message_id_of
from relaykit.conformance.refusal import FORM, judge_refused, tried
from relaykit.conformance.registry import probe
from relaykit.conformance.talk import deliver_to, expect_frame
from relaykit.conformance.wire import Connection, DialError
from relaykit.pointers import at_pointer


async def _served(context: Context, carrier: str, requirement: str) -> tuple[Connection | None, str]:
    """Connect by one carrier; the connection if it is served, and the token."""
    device = context.device("alice")
    token = await device.obtain()
    context.step = carrier
    try:
        connection = await device.dial(carrier, token)
    except DialError as error:
        # 403 is about the origin, of which there is none.
        no_origin = ("CONN-16",) if error.status == 403 and not _states_origin(context) else ()
        context.fail_dial(error, (requirement, *no_origin), device.label)
        if any(token in value for _, value in error.headers):
            _judge_echo(context, error.headers, token)
        return None, token
    if context.env.fences and not await connection.beat(context.env.waits.reply):
        said = connection.ended or "its heartbeat was not answered"
        context.fail(
            (requirement,),
            f"a valid token as {carrier} opens the socket, but {said}",
            expected={"type": "heartbeat_ack"},
            actual=said,
            actor=device.label,
        )
        return None, token
    context.prove((requirement,), device.label)
    _judge_echo(context, connection.headers, token)
    return connection, token


def _states_origin(context: Context) -> bool:
    return any(name.lower() == "origin" for name in context.env.target.headers)


def _judge_echo(context: Context, headers: Iterable[tuple[str, str]], token: str) -> None:
    echoed = [name for name, value in headers if token in value]
    if echoed:
        context.fail(
            ("CONN-06",),
            f"the handshake answer repeats the token in {', '.join(echoed)}",
            expected="no header with the token",
            actual=f"the token in {', '.join(echoed)}",
        )
    else:
        context.prove(("CONN-06",))


@probe(
    "carrier-query",
    title="A token in the query parameter opens a session",
    area="connection",
    requirements=("CONN-02", "CONN-06", "CONN-16", "AUTH-14"),
    catches="A server that browsers cannot reach, because it takes tokens from headers only.",
)
async def carrier_query(context: Context) -> None:
    if (await _served(context, "query", "CONN-02"))[0] is not None:
        context.prove(("AUTH-14",))


@probe(
    "carrier-header",
    title="A token in the Authorization header opens a session, without any Origin",
    area="connection",
    requirements=("CONN-03", "CONN-06", "CONN-16"),
    catches="A server that takes tokens from the URL only, where logs keep them, or that demands an Origin.",
)
async def carrier_header(context: Context) -> None:
    if (await _served(context, "header", "CONN-03"))[0] is not None:
        context.prove(("CONN-16",))


@probe(
    "carrier-subprotocol",
    title="A token as the second subprotocol opens a session, and Bearer is selected",
    area="connection",
    requirements=("CONN-04", "CONN-05", "CONN-06", "CONN-16"),
    catches="A server that selects no subprotocol (browsers then close), or the token itself.",
)
async def carrier_subprotocol(context: Context) -> None:
    connection, token = await _served(context, "subprotocol", "CONN-04")
    if connection is None:
        return
    wanted = context.env.catalogue.protocol.subprotocol
    if connection.subprotocol == wanted:
        context.prove(("CONN-05",))
        return
    chosen = "the token" if connection.subprotocol == token else repr(connection.subprotocol)
    context.fail(
        ("CONN-05",),
        f"the handshake answer selects {chosen} instead of {wanted}",
        expected=f"Sec-WebSocket-Protocol: {wanted}",
        actual=f"Sec-WebSocket-Protocol: {chosen}" if connection.subprotocol else "no subprotocol",
    )


def _both(context: Context, one: Device, other: Device) -> Presentation:
    """A handshake with two valid tokens: one in the query, another in the header."""
    query = present(context.env, one.token(), "query")
    header = present(context.env, other.token(), "header")
    return Presentation(query.url, header.headers, ())


@probe(
    "carriers-disagree",
    title="Two tokens in one handshake are refused, or the session is wholly that of one of them",
    area="connection",
    requirements=("CONN-07", *FORM),
    catches="A server that takes the user from one token and the device from the other.",
    forges=True,
    frames=("send", "deliver"),
)
async def carriers_disagree(context: Context) -> None:
    alice, bob, carol = context.device("alice"), context.device("bob"), context.device("carol")
    for device in (alice, bob):  # both are known, so that messages wait for them
        await (await device.connect()).close(context.env.waits.reply)
    await carol.connect()
    outcome = await tried(context, _both(context, alice, bob), "alice+bob", req=("CONN-07",))
    if outcome.form != "session":
        judge_refused(context, outcome, "two tokens", "CONN-07")
        return
    mixed = context.connections[-1]
    owners = {await deliver_to(context, carol, device.user.id): device for device in (alice, bob)}
    pattern = {"type": "deliver", "sender_id": carol.user.id}
    got = await expect_frame(context, mixed, pattern, ("CONN-07",))
    name = str(at_pointer(got, "/message_id")).lower()
    taken = owners.get(name)
    if taken is None:
        context.fail(("CONN-07",), "an unknown message came", expected=list(owners), actual=got)
        return
    await _acknowledge(context, mixed, name)
    # Acknowledged by the user's own device, the message must not come again; by a mixture, it does.
    again = await taken.connect()
    repeated = await _again(context, again, name)
    if repeated and await _comes_anyway(context, carol, taken, again):
        context.recorder.transcript.event(
            taken.label, "s2c", "what is acknowledged comes again in any session"
        )
    elif repeated:
        context.fail(
            ("CONN-07",),
            f"the session acted as the user of {taken.label}'s token, but not as its device",
            expected="the user and the device of one token",
            actual=repeated[0],
            actor=taken.label,
        )
    else:
        context.prove(("CONN-07",))


async def _acknowledge(context: Context, connection: Connection, name: str) -> None:
    connection.send({"type": "delivery_ack", "message_id": name})
    await connection.beat(context.env.waits.reply)
    await connection.close(context.env.waits.reply)


async def _again(context: Context, connection: Connection, name: str) -> list[dict[str, Any]]:
    await connection.beat(context.env.waits.reply)
    return [frame for frame in connection.frames if message_id_of(frame) == name]


async def _comes_anyway(context: Context, sender: Device, device: Device, honest: Connection) -> bool:
    """Whether the target repeats what was acknowledged even where nothing is mixed: then it says nothing."""
    name = await deliver_to(context, sender, device.user.id)
    await expect_frame(context, honest, {"type": "deliver", "message_id": name}, (), skip=True)
    await _acknowledge(context, honest, name)
    return bool(await _again(context, await device.connect(), name))


@probe(
    "devices-by-user",
    title="The same device id under two users is two devices",
    area="authentication",
    requirements=("AUTH-20",),
    catches="A server that keys connections or waiting messages by the device id alone.",
    forges=True,
    frames=("send", "deliver", "delivery_ack"),
)
async def devices_by_user(context: Context) -> None:
    alice, bob, carol = context.device("alice"), context.device("bob"), context.device("carol")
    bob.id = alice.id
    for device in (alice, bob, carol):
        await device.connect()
    mine = await deliver_to(context, carol, alice.user.id)
    await expect_frame(context, alice.live, {"type": "deliver", "message_id": mine}, ("AUTH-20",))
    # The other user's device, of the same id, acknowledges: alice's message must wait all the same.
    bob.live.send({"type": "delivery_ack", "message_id": mine})
    await bob.live.beat(context.env.waits.reply)
    strangers = [frame for frame in bob.live.frames if frame.get("type") == "deliver"]
    if strangers:
        context.fail(
            ("AUTH-20",), "the other user's device got the message", actual=strangers[0], actor="bob"
        )
        return
    await alice.live.close(context.env.waits.reply)
    again = await alice.connect()
    await expect_frame(context, again, {"type": "deliver", "message_id": mine}, ("AUTH-20",))
    context.prove(("AUTH-20",))
