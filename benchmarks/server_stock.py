"""Servers to compare with: the stock `websockets` server, doing as little as the comparison allows.

    python benchmarks/server_stock.py echo|route|accept

It prints its URL once it listens. `echo` sends back what it gets; `route` acknowledges a `send` and passes it
to its receiver, without validating or storing; `accept` verifies a token and then waits.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import defaultdict
from urllib.parse import parse_qs, urlsplit

import jwt
import orjson
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

SECRET = os.environ.get("RELAYKIT_SECRET", "")
connected: dict[str, set[ServerConnection]] = defaultdict(set)


def claims_of(request: Request) -> dict[str, str]:
    token = parse_qs(urlsplit(request.path).query)["token"][0]
    claims: dict[str, str] = jwt.decode(
        token, SECRET, algorithms=["HS256"], options={"require": ["sub", "exp", "device_id"]}
    )
    return claims


def check(_connection: ServerConnection, request: Request) -> Response | None:
    try:
        claims_of(request)
    except (jwt.PyJWTError, KeyError):
        return Response(401, "Unauthorized", Headers())
    return None


async def echo(connection: ServerConnection) -> None:
    async for data in connection:
        await connection.send(data)


async def route(connection: ServerConnection) -> None:
    assert connection.request is not None
    user = claims_of(connection.request)["sub"]
    connected[user].add(connection)
    try:
        async for data in connection:
            frame = orjson.loads(data)
            if frame["type"] != "send":
                continue
            ack = {"type": "sent_ack", "message_id": frame["message_id"], "payload": {"status": "sent"}}
            await connection.send(orjson.dumps(ack), text=True)
            deliver = {**frame, "type": "deliver", "sender_id": user}
            for other in connected[frame["payload"]["receiver_id"]]:
                await other.send(orjson.dumps(deliver), text=True)
    except ConnectionClosed:
        pass
    finally:
        connected[user].discard(connection)


async def idle(connection: ServerConnection) -> None:
    await connection.wait_closed()


async def main(kind: str) -> None:
    handler = {"echo": echo, "route": route, "accept": idle}[kind]
    # Comparable settings: no compression, no pings of its own.
    options = {
        "compression": None,
        "ping_interval": None,
        "process_request": None if kind == "echo" else check,
    }
    async with serve(handler, "127.0.0.1", 0, backlog=1024, **options) as server:
        print(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/ws", flush=True)
        await server.wait_closed()


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1]))
