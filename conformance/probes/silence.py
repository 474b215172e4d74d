"""Idle and silent connections, by a clock that the target lets us move or by waiting (source: Connection
Management)."""

from __future__ import annotations

import asyncio

from relaykit.conformance.arranging import advance
from relaykit.conformance.awaiting import until
from relaykit.conformance.codes import CONNECTION_TIMEOUT, an_error
from relaykit.conformance.context import CaseStop, Context, Device, NotApplicableError, UntestableError
from relaykit.conformance.probes.transport import PING, raw_frame
from relaykit.conformance.registry import probe
from relaykit.conformance.results import OPEN_CONNECTION
from relaykit.conformance.talk import deliver_to, end_of, expect_frame
from relaykit.conformance.wire import Connection, DialError

_MARGIN_S = 3
"""For servers that look at their connections every other second."""
_ROUNDS = 4


async def _connect(context: Context, device: Device) -> Connection:
    """Connect with a token that outlasts the case, and see that the session is served.

    Raises:
        CaseStop: it is not; that is said as an outcome.
    """
    context.about = frozenset({"ping"})
    lifetime = int(300 + 10 * context.env.target.timing["idle_timeout_s"])
    token = await device.lasting(lifetime)
    try:
        connection = await device.dial(token=token)
    except DialError as error:
        context.fail_dial(error, (), device.label)
        raise CaseStop from None
    if not await connection.beat(context.env.waits.reply):
        said = connection.ended or "its heartbeat was not answered"
        context.fail((), f"{device.label} connected, but {said}", actor=device.label)
        raise CaseStop
    return connection


@probe(
    "idle-is-pinged",
    title="A connection that is idle for the stated interval gets a ping",
    area="keepalive",
    requirements=("KEEP-05", "KEEP-02"),
    catches="A server that never looks whether its clients are still there.",
    operations=("advance_clock",),
    exclusive=True,
    frames=("ping",),
)
async def idle_is_pinged(context: Context) -> None:
    connection = await _connect(context, context.device("alice"))
    interval = context.env.target.timing["ping_interval_s"]
    for which in ("a ping", "another ping"):
        before = _pings(connection)
        await advance(context, interval + _MARGIN_S)
        deadline = until(context, None)
        while connection.alive and _pings(connection) == before and await context.wait(deadline):
            pass
        if _pings(connection) == before:
            said = f"idle for {interval:g} s: {connection.ended or f'{which} did not come'}"
            context.fail(("KEEP-05",), said, expected={"type": "ping"}, actual=connection.ended or "nothing")
            return
        context.prove(("KEEP-05",))
        connection.send({"type": "pong"})  # so that the connection is not one of somebody who is gone
        await connection.beat(context.env.waits.reply)
    full = [f for f in connection.frames if f.get("type") == "ping" and f.get("payload", {}) != {}]
    if full:
        context.fail(("KEEP-02",), "a ping has a payload", expected={"type": "ping"}, actual=full[0])
    else:
        context.prove(("KEEP-02",))


def _pings(connection: Connection) -> int:
    """How many pings have come, as frames or as WebSocket has them."""
    return connection.pings + len([frame for frame in connection.frames if frame.get("type") == "ping"])


@probe(
    "silence-times-out",
    title="A client that says nothing past the timeout gets connection_timeout, and the connection is closed",
    area="keepalive",
    requirements=("KEEP-07", "KEEP-08"),
    catches="A server that keeps dead connections, or drops them without a word.",
    operations=("advance_clock",),
    exclusive=True,
    frames=("error",),
)
async def silence_times_out(context: Context) -> None:
    connection = await _connect(context, context.device("alice"))
    connection.mute = True  # not even WebSocket pongs
    timing = context.env.target.timing
    first = min(timing["ping_interval_s"], timing["idle_timeout_s"] / 2)
    await advance(context, first)
    await advance(context, timing["idle_timeout_s"] - first + _MARGIN_S)
    await _judge_silent(context, connection)


async def _judge_silent(context: Context, connection: Connection) -> None:
    if await end_of(context, connection):
        context.prove(("KEEP-08",))
    else:
        context.fail(
            ("KEEP-08",),
            f"silent for {context.env.target.timing['idle_timeout_s']:g} s, and the connection is still open",
            expected="a close",
            actual=OPEN_CONNECTION,
        )
    pattern = an_error(CONNECTION_TIMEOUT, reconnect=True)
    await expect_frame(context, connection, pattern, ("KEEP-07",), skip=True)
    context.prove(("KEEP-07",))


@probe(
    "data-keeps-alive",
    title="A client that sends frames does not time out, though it never answers a ping",
    area="keepalive",
    requirements=("KEEP-09",),
    catches="A server that takes heartbeats and pongs alone for signs of life.",
    operations=("advance_clock",),
    exclusive=True,
    frames=("send", "sent_ack"),
)
async def data_keeps_alive(context: Context) -> None:
    alice = context.device("alice")
    connection = await _connect(context, alice)
    bob = context.user("bob")
    for _ in range(_ROUNDS):
        await advance(context, context.env.target.timing["idle_timeout_s"] * 0.6)
        if not connection.alive:
            break
        await deliver_to(context, alice, bob.id)
    _judge_alive(context, connection, "KEEP-09", "data frames")


@probe(
    "control-frames-keep-alive",
    title="A client that sends WebSocket pings does not time out",
    area="keepalive",
    requirements=("KEEP-10",),
    catches="A server behind a library that hides control frames from its idle timer.",
    operations=("advance_clock",),
    exclusive=True,
)
async def control_frames_keep_alive(context: Context) -> None:
    connection = await _connect(context, context.device("alice"))
    for number in range(1, _ROUNDS + 1):
        await advance(context, context.env.target.timing["idle_timeout_s"] * 0.6)
        if not connection.alive:
            break
        connection.write(raw_frame(PING, b"alive"), "WebSocket ping b'alive'")
        deadline = until(context, None)
        while connection.alive and len(connection.pongs) < number and await context.wait(deadline):
            pass
    _judge_alive(context, connection, "KEEP-10", "WebSocket pings")


def _judge_alive(context: Context, connection: Connection, requirement: str, what: str) -> None:
    errors = [frame for frame in connection.frames if frame.get("type") == "error"]
    if connection.alive and not errors:
        context.prove((requirement,))
        return
    timeout = context.env.target.timing["idle_timeout_s"]
    context.fail(
        (requirement,),
        f"{what} every {timeout * 0.6:g} s, and yet: {connection.ended or 'an error'}",
        expected=OPEN_CONNECTION,
        actual=errors[0] if errors else connection.ended,
    )


@probe(
    "keep-alive-by-waiting",
    title="Idle clients are pinged, silent ones told and closed, and signs of life keep a connection open",
    area="keepalive",
    requirements=("KEEP-05", "KEEP-07", "KEEP-08", "KEEP-09", "KEEP-10"),
    catches="A server that never looks at its connections, or closes those that are alive.",
    slow=True,
    frames=("ping", "heartbeat", "error"),
)
async def by_waiting(context: Context) -> None:
    if _movable(context):
        raise NotApplicableError("the target's clock can be moved, so that nobody has to wait")
    timing = context.env.target.timing
    seconds = timing["idle_timeout_s"] + _MARGIN_S
    if seconds + context.env.waits.reply > context.env.waits.case * 0.9:
        raise UntestableError(f"it takes {seconds:g} s, and a case may take {context.env.waits.case:g} s")
    idle, silent, sending, pinging = [
        await _connect(context, context.device(name)) for name in ("idle", "silent", "sending", "pinging")
    ]
    silent.mute = True
    loop = asyncio.get_running_loop()
    began, pinged, signs = loop.time(), 0.0, 1
    while loop.time() < began + seconds:
        await context.wait(min(began + seconds, began + signs * timing["idle_timeout_s"] * 0.6))
        if not pinged and _pings(idle):
            pinged = loop.time() - began
        if loop.time() >= began + signs * timing["idle_timeout_s"] * 0.6:
            signs += 1
            if sending.alive:
                sending.send({"type": "heartbeat"})
            if pinging.alive:
                pinging.write(raw_frame(PING, b"alive"), "WebSocket ping b'alive'")
    if 0 < pinged <= timing["ping_interval_s"] + _MARGIN_S:
        context.prove(("KEEP-05",))
    else:
        said = f"the first ping came after {pinged:.1f} s" if pinged else idle.ended or "no ping came"
        expected = f"a ping after {timing['ping_interval_s']:g} s"
        context.fail(("KEEP-05",), said, expected=expected, actual=said, actor="idle")
    _judge_alive(context, sending, "KEEP-09", "data frames")
    _judge_alive(context, pinging, "KEEP-10", "WebSocket pings")
    await _judge_silent(context, silent)


def _movable(context: Context) -> bool:
    return context.env.target.offers("advance_clock")
