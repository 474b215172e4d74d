"""Between cases that share the target file's users: what waits for them is fetched and acknowledged.

Otherwise the messages that one case (or an earlier run) left behind would arrive in the next one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from relaykit.conformance.context import Environment, present
from relaykit.conformance.dialect import Interpreter, Peer
from relaykit.conformance.dialing import dial
from relaykit.conformance.fence import quiet
from relaykit.conformance.presenting import dressed
from relaykit.conformance.record import Recorder, ShapeBook
from relaykit.conformance.restraint import permitted_pace
from relaykit.conformance.token_spec import Identity
from relaykit.conformance.wire import Connection, DialError

_ROUNDS = 3
"""What is acknowledged is told to its senders, whom an earlier turn may have found with nothing waiting."""


async def tidy(env: Environment, identities: Iterable[Identity]) -> None:
    """Take in what waits for every device of these users. What fails here fails in the next case, too."""
    devices = [(who.user_id, device, token) for who in identities for device, token in who.devices.items()]
    for _ in range(_ROUNDS):
        acknowledged = [await _empty(env, *each) for each in devices]
        if not any(acknowledged):
            break


async def _empty(env: Environment, user_id: str, device_id: str, token: str) -> bool:
    """Connect one device, and acknowledge what it gets; whether that was anything."""
    shown = present(env, token, env.carrier)
    recorder = Recorder(env.catalogue, ShapeBook(), "tidying")

    def made(connection: Connection) -> None:
        connection.pace = permitted_pace(env.target)
        if env.dialect is not None:
            peer = Peer(user_id, device_id, token)
            connection.dialect = Interpreter(env.dialect, peer, recorder, "tidying")

    await env.pace.turn()
    try:
        connection = await dial(
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
        return False
    acknowledged = False
    try:
        served = await _all_came(env, connection)
        while served and connection.alive:
            names = [name for name in map(_waiting, connection.frames) if name is not None]
            connection.inbox.clear()
            if not names:
                break
            acknowledged = True
            for name in names:
                connection.send({"type": "delivery_ack", "message_id": name})
            served = await _all_came(env, connection)
        if connection.alive:
            await connection.close(env.waits.reply)
    finally:
        connection.leave()
    return acknowledged


async def _all_came(env: Environment, connection: Connection) -> bool:
    """Wait for what is under way to a connection; False: the target serves it no longer."""
    if env.fences:
        return await connection.beat(env.waits.reply)
    await quiet(env)
    return connection.alive


def _waiting(frame: dict[str, Any]) -> str | None:
    """The message that a frame delivers, if it is one that waits to be acknowledged."""
    place = {"deliver": frame, "group_message": frame.get("payload")}.get(str(frame.get("type")))
    name = place.get("message_id") if isinstance(place, dict) else None
    return name if isinstance(name, str) else None
