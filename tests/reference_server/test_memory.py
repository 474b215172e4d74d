"""Memory: what ended connections leave behind, what one turn may hold, what a frame costs that waits."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest
from support.raw import BINARY, TEXT, Raw, encode
from support.server import Running, frame, in_loop, message, new_id, running_server
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request
from websockets.server import ServerProtocol

from relaykit.reference_server.connection import Connection
from relaykit.reference_server.observed import Observed
from relaykit.reference_server.session import Session

TINY = encode(TEXT, b"x")


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No garbage is collected within the test: what is gone is gone since nothing refers to it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def alive() -> Counter[str]:
    kinds = (Connection, Session, ServerProtocol)
    return Counter(kind.__name__ for one in gc.get_objects() for kind in kinds if issubclass(type(one), kind))


async def come_and_go(server: Running) -> None:
    """Connections of all kinds, which end in all kinds of ways."""
    for options in ({}, {"compression": "deflate"}):
        polite = await server.connect(**options)
        await polite.send(frame("heartbeat"), "nonsense")
        await polite.receive()
        await polite.receive()
        await polite.close()
        rude = await server.connect(**options)
        rude.socket.transport.abort()
    with pytest.raises(InvalidStatus):
        await server.connect_with("no token")
    for last in (encode(TEXT, b"x", masked=False), encode(BINARY, b"x" * 70_000), encode(TEXT, b"\xff"), b""):
        raw = await Raw.open(server.port)
        assert (await raw.request(f"/ws?token={server.token(new_id(), new_id())}")).status == 101
        await raw.send(last)
        await raw.close()
    raw = await Raw.open(server.port)
    await raw.send(b"nothing of HTTP\r\n\r\n")
    await raw.close()
    await server.until(lambda: not server.app.connections)
    server.peers.clear()


@pytest.mark.parametrize("observed", [False, True])
@in_loop
async def test_an_ended_connection_leaves_nothing_for_the_garbage_collector(
    uncollected: None, observed: bool
) -> None:
    faults = ("reorder@heartbeat_ack",) if observed else ()
    async with running_server(faults=faults, log_frames=observed) as server:
        await come_and_go(server)
        # The event loop may hold on to the last one that it had to do with.
        await server.until(lambda: max(alive().values(), default=0) <= 1)


@in_loop
async def test_an_open_connection_does_not_keep_its_request() -> None:
    async with running_server() as server:
        raw = await Raw.open(server.port)
        path = f"/ws?token={server.token(new_id(), new_id())}"
        assert (await raw.request(path)).status == 101
        requests = [one for one in gc.get_objects() if type(one) is Request]
        assert path not in [request.path for request in requests]
        await raw.send(encode(TEXT, b'{"type":"heartbeat"}'))
        assert (await raw.receive()).json["type"] == "heartbeat_ack"
        await raw.close()


@in_loop
async def test_reading_without_end_does_not_make_one_endless_turn() -> None:
    limits = {"burst": 10_000_000}
    async with running_server(limits=limits, check_output=False, max_outgoing_bytes=1 << 30) as server:
        client = await server.connect()
        (connection,) = server.app.connections
        turn, most = server.app.turn, 0
        for _ in range(4):
            # As uvloop does it for a client that writes faster than its frames are handled: read upon read,
            # before anything else has its turn.
            connection.data_received(TINY * 5_000)
            most = max(most, turn.mark)
        client.socket.transport.abort()
        assert most <= 15_000


LONG = "p" * 10_000
INVENTED = {
    "a type": lambda i: f'{{"type":"{LONG}{i}\U0001f600"}}',
    "a property": lambda i: f'{{"type":"heartbeat","{LONG}{i}\U0001f600":1}}',
    "a value": lambda i: f'{{"type":"presence","payload":{{"status":"{LONG}{i}\U0001f600"}}}}',
    "a key that stands twice": lambda i: f'{{"type":"heartbeat","{LONG}{i}":1,"{LONG}{i}":2}}',
    "a key that stands twice, behind another fault": lambda i: (
        f'{{"type":"heartbeat","x":{2**60},"{LONG}{i}":1,"{LONG}{i}":2}}'
    ),
    "a key that stands twice, deep down": lambda i: f'{"[" * 70}{{"{LONG}{i}":1,"{LONG}{i}":2}}{"]" * 70}',
    "a key with an escape": lambda i: f'{{"type":"heartbeat","{LONG}{i}\\t":1,"{LONG}{i}\\t":2}}',
}


@pytest.mark.parametrize("what", INVENTED)
@in_loop
async def test_nothing_that_clients_make_up_is_remembered(what: str) -> None:
    # Of each 10 KB, or 40 if a character takes four bytes; and orjson loses a long key that stands twice.
    process, texts = psutil.Process(), [INVENTED[what](i) for i in range(1500)]
    async with running_server(limits={"burst": 10_000_000}) as server:
        client = await server.connect()
        for number, text in enumerate(texts):
            if number == 100:
                before = process.memory_info().rss
            await client.send(text)
            await client.expect_error("invalid_message")
            client.taken.clear()
        assert process.memory_info().rss - before < 5_000_000


@in_loop
async def test_a_frame_that_waits_holds_no_more_than_its_bytes() -> None:
    async with running_server(check_output=False) as server:
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            frames = [server.app.frames.error("invalid_message", "x" * 100) for _ in range(500)]
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert after - before < 2 * sum(map(len, frames))


@pytest.mark.parametrize("fault", ["delay=1000000s@deliver", "slow=1B/s@deliver", "reorder@deliver:1"])
@in_loop
async def test_what_is_held_back_goes_with_its_connection(fault: str) -> None:
    async with running_server(faults=(fault,)) as server:
        alice, bob = await server.pair()
        (watched,) = (
            one
            for one in server.app.connections
            if isinstance(one, Observed) and one.session is not None and one.session.user == bob.user
        )
        active = sum(timer.active for _, _, timer in server.app.clock._heap)
        await alice.send(message(bob.user))
        await server.until(lambda: watched._held > 0)
        await bob.close()
        await server.until(lambda: watched not in server.app.connections)
        assert (watched._held, len(watched._line), len(watched._swapped)) == (0, 0, 0)
        await server.until(lambda: sum(timer.active for _, _, timer in server.app.clock._heap) <= active)
