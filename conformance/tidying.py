"""Between cases that share the target file's users: what waits for them is fetched and acknowledged.

Otherwise the messages that one case (or an earlier run) left behind would arrive in the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from itertools import islice
from typing import Any

from relaykit.conformance.context import Environment, present
from relaykit.conformance.dialect import Interpreter, Peer
from relaykit.conformance.dialing import dial
from relaykit.conformance.fence import quiet
from relaykit.conformance.presenting import dressed
from relaykit.conformance.record import Recorder, ShapeBook
from relaykit.conformance.restraint import permitted_pace
from relaykit.conformance.results import Case
from relaykit.conformance.token_spec import Identity
from relaykit.conformance.wire import Connection, ConnectionEnded, DialError

_ROUNDS = 20
"""What is acknowledged may be followed by more; but not for ever."""


async def tidy(env: Environment, identities: Iterable[Identity], *, after: Case | None = None) -> None:
    """Take in what waits for every device of these users. What fails here fails in the next case, too.

    Args:
        after: the case that they were in: who was in a call is out of it only after the stated grace.
    """
    if after is not None and any(kind.startswith("call_") for kind in after.frames):
        await quiet(env, least_s=env.target.timing["call_grace_s"] + env.waits.quiet)
    people = tuple(identities)
    most = int(env.target.limits["connections_per_user"])
    rounds = range(0, max((len(who.devices) for who in people), default=0), most)
    batches = [
        [(who.user_id, *each) for who in people for each in islice(who.devices.items(), first, first + most)]
        for first in rounds
    ]
    # What some acknowledge is told to others, who were there before them.
    for batch in batches if len(batches) < 2 else (*batches, *batches):
        await _take_in(env, batch)


async def strangers_again(env: Environment, case: Case) -> None:
    """Before a case about presence: who has just left is offline only after the stated grace."""
    if "presence" in case.capabilities:
        await quiet(env, least_s=env.target.timing["presence_grace_s"] + env.waits.quiet)


async def _take_in(env: Environment, devices: Iterable[tuple[str, str, str]]) -> None:
    """Connect devices (user, device, token), and acknowledge what they get, until there is nothing more."""
    found = await asyncio.gather(*(_connected(env, *device) for device in devices))
    connections = [connection for connection in found if connection is not None]
    try:
        for _ in range(_ROUNDS):
            await asyncio.gather(*(connection.beat(env.waits.reply) for connection in connections))
            await quiet(env)  # what waits may come later than the answer to a heartbeat
            if not sum(_acknowledge(connection) for connection in connections):
                break
        closing = (each.close(env.waits.reply) for each in connections if each.alive)
        await asyncio.gather(*closing)
    finally:
        for connection in connections:
            connection.leave()


def _acknowledge(connection: Connection) -> int:
    """Acknowledge what has come; how many messages that were."""
    names = [name for name in map(_waiting, connection.frames) if name is not None]
    connection.inbox.clear()
    with contextlib.suppress(ConnectionEnded):
        for name in names:
            connection.send({"type": "delivery_ack", "message_id": name})
    return len(names) if connection.alive else 0


async def _connected(env: Environment, user_id: str, device_id: str, token: str) -> Connection | None:
    """A connection of one device; None if there is none to be had."""
    shown = present(env, token, env.carrier)
    recorder = Recorder(env.catalogue, ShapeBook(), "tidying")

    def made(connection: Connection) -> None:
        connection.pace = permitted_pace(env.target)
        if env.dialect is not None:
            peer = Peer(user_id, device_id, token)
            connection.dialect = Interpreter(env.dialect, peer, recorder, "tidying")

    await env.pace.turn()
    try:
        return await dial(
            shown.url,
            recorder,
            "tidying",
            headers=dressed(shown.headers, token, user_id, device_id),
            subprotocols=shown.subprotocols,
            tls=env.tls,
            seconds=env.waits.connect,
            made=made,
        )
    except DialError:
        return None


def _waiting(frame: dict[str, Any]) -> str | None:
    """The message that a frame delivers, if it is one that waits to be acknowledged."""
    place = {"deliver": frame, "group_message": frame.get("payload")}.get(str(frame.get("type")))
    name = place.get("message_id") if isinstance(place, dict) else None
    return name if isinstance(name, str) else None
