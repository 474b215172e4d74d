"""Memory: what ended connections leave behind, what one turn may hold, what a frame costs that waits."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter
from collections.abc import Iterator

import pytest
from support.raw import BINARY, TEXT, Raw, encode
from support.server import Running, frame, in_loop, new_id, running_server
from websockets.exceptions import InvalidStatus
from websockets.server import ServerProtocol

from relaykit.reference_server.connection import Connection
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
