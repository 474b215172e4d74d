"""What survives the end of the server, where the run launched it (source: Message Delivery)."""

from __future__ import annotations

import asyncio

from relaykit.conformance.awaiting import until
from relaykit.conformance.context import CaseStop, Context, UntestableError
from relaykit.conformance.launch import Launched, current
from relaykit.conformance.registry import probe
from relaykit.conformance.talk import deliver_to, end_of, expect_frame
from relaykit.conformance.wire import Connection
from relaykit.errors import UnreachableError

_MESSAGES = 20


def _server() -> Launched:
    server = current.get()
    if server is None:
        raise UntestableError("the target was not launched by this run (--launch), so it cannot be restarted")
    return server


async def _restart(context: Context, server: Launched, how: str) -> None:
    """Kill the target if it still runs, and start it again.

    Raises:
        CaseStop: it does not come up again; that is said as an outcome.
    """
    context.recorder.transcript.event("target", "c2s", how)
    try:
        await server.restart()
    except UnreachableError as error:
        context.fail((), f"after the restart: {error}", expected="a target that listens", actual=str(error))
        raise CaseStop from None
    context.env.unpark()
    context.env.clock_offset_s = 0.0  # a clock that was moved is right again


@probe(
    "survives-sigkill",
    title="What was acknowledged is delivered after the target was killed and started again",
    area="messages",
    requirements=("MSG-14", "MSG-15"),
    catches="A server that acknowledges what stands in its memory only.",
    exclusive=True,
    frames=("send", "sent_ack", "deliver"),
    moves=("message-survived",),
    destructive=True,
)
async def survives_sigkill(context: Context) -> None:
    server = _server()
    alice, bob = context.device("alice"), context.device("bob")
    await (await bob.connect()).close(context.env.waits.reply)  # known, and away
    await alice.connect()
    sent = [await deliver_to(context, alice, bob.user.id) for _ in range(_MESSAGES)]
    # No quarter between the last ack and the kill: what is not safe by now never was.
    await _restart(context, server, "SIGKILL, and a new start")
    connection = await bob.connect(req=("MSG-15",))
    for name in sent:
        wanted = {"type": "deliver", "message_id": name}
        await expect_frame(context, connection, wanted, ("MSG-14", "MSG-15"), skip=True)
    context.prove(("MSG-14", "MSG-15"))


@probe(
    "shutdown",
    title="A target that shuts down closes its connections with 1001, and loses nothing",
    area="connection",
    requirements=("CONN-18", "MSG-15"),
    catches="A server whose clients must guess why the line went dead.",
    exclusive=True,
    slow=True,
    frames=("send", "sent_ack", "deliver"),
    moves=("message-survived",),
    destructive=True,
)
async def shutdown(context: Context) -> None:
    server = _server()
    alice, bob = context.device("alice"), context.device("bob")
    await (await bob.connect()).close(context.env.waits.reply)
    connection = await alice.connect()
    name = await deliver_to(context, alice, bob.user.id)
    context.recorder.transcript.event("target", "c2s", "SIGTERM")
    server.ask_to_end()
    await _judge_end(context, connection)
    await _settled(context, server)
    await _restart(context, server, "a new start")
    connection = await bob.connect(req=("MSG-15",))
    wanted = {"type": "deliver", "message_id": name}
    await expect_frame(context, connection, wanted, ("MSG-15",), skip=True)
    context.prove(("MSG-15",))


async def _judge_end(context: Context, connection: Connection) -> None:
    ended = await end_of(context, connection)
    if ended and connection.close_code == 1001:
        context.prove(("CONN-18",))
        return
    said = connection.ended or "the connection is still open"
    context.fail(("CONN-18",), f"SIGTERM: {said}", expected="a close with 1001", actual=said)


async def _settled(context: Context, server: Launched) -> None:
    """Let it end in its own time, up to the reply deadline."""
    await server.settled(max(0.0, until(context, None) - asyncio.get_running_loop().time()))
