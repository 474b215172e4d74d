"""permessage-deflate with a bound: however little a client sends, it cannot make the server hold much."""

from __future__ import annotations

import asyncio
import tracemalloc
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.raw import CONT, TEXT, Raw, encode
from support.server import Running, in_loop, message, new_id, running_server

OFFER = ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
COMPRESSED = 4  # RSV1
LIMIT = 65536


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


@asynccontextmanager
async def deflating(server: Running) -> AsyncIterator[Raw]:
    raw = await Raw.open(server.port)
    answer = await raw.request(f"/ws?token={server.token(new_id(), new_id())}", [OFFER])
    assert "permessage-deflate" in answer.headers["sec-websocket-extensions"]
    yield raw
    await raw.close()


async def explode(raw: Raw, bomb: bytes, fragments: int) -> int:
    """The code with which the server closes."""
    size = len(bomb) // fragments + 1
    parts = [bomb[i : i + size] for i in range(0, len(bomb), size)]
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        await raw.send(encode(CONT if i else TEXT, part, rsv=0 if i else COMPRESSED, fin=last))
    return await raw.until_close()


@pytest.mark.parametrize("fragments", [1, 2, 30])
@in_loop
async def test_bombs_are_refused_and_their_content_is_never_held(fragments: int) -> None:
    bomb = deflated(b'{"type":"heartbeat","payload":{}}' + b" " * 60_000_000)
    assert len(bomb) < LIMIT
    async with running_server() as server, deflating(server) as raw:
        tracemalloc.start()
        try:
            assert await explode(raw, bomb, fragments) == 1009
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 20 * LIMIT, peak  # of 60 MB; the test's own bytes are counted, too
        assert server.app.frames.defects == []


@in_loop
async def test_many_bombs_at_once() -> None:
    bomb = deflated(b" " * 30_000_000)
    async with running_server() as server:
        alice = await server.connect()
        tracemalloc.start()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(20):
                    group.create_task(_one(server, bomb))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 20 * 20 * LIMIT, peak  # of 600 MB
        await alice.silent()


async def _one(server: Running, bomb: bytes) -> None:
    async with deflating(server) as raw:
        assert await explode(raw, bomb, 1) == 1009


@in_loop
async def test_the_bound_is_that_of_plain_messages() -> None:
    # A message that is exactly as large as permitted inflates; one byte more does not, whole or in fragments
    # of which the first has used up all the room.
    for surplus, fragments in ((0, 1), (0, 3), (1, 1), (1, 3)):
        async with running_server() as server, deflating(server) as raw:
            data = deflated(b'{"type":"heartbeat"}'.ljust(LIMIT + surplus))
            size = len(data) // fragments + 1
            parts = [data[i : i + size] for i in range(0, len(data), size)]
            for i, part in enumerate(parts):
                last = i == len(parts) - 1
                await raw.send(encode(CONT if i else TEXT, part, rsv=0 if i else COMPRESSED, fin=last))
            if surplus:
                assert await raw.until_close() == 1009
            else:
                assert (await raw.receive()).opcode == TEXT


@in_loop
async def test_room_that_is_used_up_is_not_room_without_bound() -> None:
    # zlib takes a bound of 0 for none at all.
    flushed = zlib.compressobj(9, wbits=-15)
    first = flushed.compress(b" " * (LIMIT + 125)) + flushed.flush(zlib.Z_SYNC_FLUSH)
    rest = (flushed.compress(b" " * 30_000_000) + flushed.flush(zlib.Z_SYNC_FLUSH))[:-4]
    async with running_server() as server, deflating(server) as raw:
        tracemalloc.start()
        try:
            await raw.send(encode(TEXT, first, rsv=COMPRESSED, fin=False), encode(CONT, rest))
            assert await raw.until_close() == 1009
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 20 * LIMIT, peak


@in_loop
async def test_large_messages_pass_between_compressing_clients() -> None:
    async with running_server() as server:
        alice, bob = await server.connect(compression="deflate"), await server.connect(compression="deflate")
        for _ in range(3):
            sent = message(bob.user, ciphertext="A" * 60_000)
            await alice.send(sent)
            await alice.expect("sent_ack")
            got = await bob.expect("deliver", message_id=sent["message_id"])
            assert got["payload"]["ciphertext"] == sent["payload"]["ciphertext"]
