"""The transport, byte by byte (RFC 6455): masking, reserved bits, opcodes, fragments, UTF-8, closing."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.raw import BINARY, CLOSE, CONT, PING, PONG, TEXT, Raw, close, encode
from support.server import Running, in_loop, new_id, running_server

HEARTBEAT = b'{"type":"heartbeat"}'
SMALL = {"max_frame_bytes": 1024}


@asynccontextmanager
async def raw_client(server: Running, *headers: tuple[str, str]) -> AsyncIterator[Raw]:
    """A connection that is open, and about to misbehave."""
    raw = await Raw.open(server.port)
    response = await raw.request(f"/ws?token={server.token(new_id(), new_id())}", headers)
    assert response.status == 101
    try:
        yield raw
    finally:
        await raw.close()


async def answered(raw: Raw) -> None:
    """The connection is alive, and its next frame is the answer to a heartbeat."""
    await raw.send(encode(TEXT, HEARTBEAT))
    assert (await raw.receive()).json["type"] == "heartbeat_ack"


BROKEN = {
    "unmasked": (encode(TEXT, HEARTBEAT, masked=False), 1002),
    "rsv1 without an extension": (encode(TEXT, HEARTBEAT, rsv=4), 1002),
    "rsv2": (encode(TEXT, HEARTBEAT, rsv=2), 1002),
    "rsv3": (encode(TEXT, HEARTBEAT, rsv=1), 1002),
    "rsv on a ping": (encode(PING, rsv=4), 1002),
    **{f"opcode {code}": (encode(code), 1002) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "fragmented ping": (encode(PING, b"x", fin=False), 1002),
    "fragmented close": (encode(CLOSE, fin=False), 1002),
    "long ping": (encode(PING, b"x" * 126), 1002),
    "long close": (encode(CLOSE, b"\x03\xe8" + b"x" * 124), 1002),
    **{
        f"a length of {size} in {padded} bytes, opcode {code}": (
            encode(code, b" " * size, padded=padded),
            1002,
        )
        for code, size, padded in (
            *(
                (code, size, padded)
                for code in (TEXT, BINARY, PING)
                for size in (0, 125)
                for padded in (2, 8)
            ),
            *((code, 126, 8) for code in (TEXT, BINARY)),
        )
    },
    "a length of 65535 in 8 bytes, by the header alone": (encode(TEXT, length=65535, padded=8), 1002),
    "a padded continuation": (encode(TEXT, b"{", fin=False) + encode(CONT, b"}", padded=2), 1002),
    "a padded close": (encode(CLOSE, b"\x03\xe8", padded=2), 1002),
    "continuation of nothing": (encode(CONT, HEARTBEAT), 1002),
    "a message within a message": (encode(TEXT, b"{", fin=False) + encode(TEXT, HEARTBEAT), 1002),
    "close with one byte": (encode(CLOSE, b"\x03"), 1002),
    **{
        f"close {code}": (close(code), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
    },
    "close with a reason that is not UTF-8": (close(1000, b"\xff"), 1007),
    "close within a message": (encode(TEXT, b"{", fin=False) + close(1000), 1002),
    "invalid UTF-8": (encode(TEXT, b'"\xc3\x28"'), 1007),
    "UTF-8 cut off": (encode(TEXT, b'"\xe2\x82'), 1007),
    "a surrogate in UTF-8": (encode(TEXT, b'"\xed\xa0\x80"'), 1007),
    "invalid UTF-8 across fragments": (encode(TEXT, b'"\xe2', fin=False) + encode(CONT, b'\x28\xa1"'), 1007),
    "too large": (encode(TEXT, b"x" * 1025), 1009),
    "too large, by its header alone": (encode(TEXT, b"", length=1 << 40), 1009),
    "too large, negative length": (encode(TEXT, b"", length=1 << 63), 1009),
    "too large in pieces": (encode(TEXT, b"x" * 1000, fin=False) + encode(CONT, b"x" * 1000), 1009),
    "too large by little": (encode(TEXT, b"x" * 1000, fin=False) + encode(CONT, b"x" * 25), 1009),
    "too large as binary": (encode(BINARY, b"x" * 1025), 1009),
}


@pytest.mark.parametrize("how", BROKEN)
@in_loop
async def test_broken_frames_end_the_connection(how: str) -> None:
    data, code = BROKEN[how]
    async with running_server(limits=SMALL) as server, raw_client(server) as raw:
        await raw.send(data)
        assert await raw.until_close() == code
        # It is over: what still comes has no effect, and TCP ends.
        await raw.send(encode(TEXT, HEARTBEAT))
        assert await raw.ended() == b""
        assert len(server.app.hub) == 0


@pytest.mark.parametrize("how", [how for how in BROKEN if how.startswith("too large")])
@in_loop
async def test_a_close_for_size_names_the_limit_that_is_stated(how: str) -> None:
    data, _ = BROKEN[how]
    async with running_server(limits=SMALL) as server, raw_client(server) as raw:
        await raw.send(data)
        while (frame := await raw.receive()).opcode != CLOSE:
            pass
        assert frame.data[2:].decode() == f"more than {SMALL['max_frame_bytes']} bytes"


@in_loop
async def test_what_came_before_a_broken_frame_is_served() -> None:
    async with running_server() as server, raw_client(server) as raw:
        await raw.send(encode(TEXT, HEARTBEAT) + encode(3))
        assert (await raw.receive()).json["type"] == "heartbeat_ack"
        assert await raw.until_close() == 1002


@in_loop
async def test_what_came_before_a_close_is_served() -> None:
    async with running_server() as server, raw_client(server) as raw:
        await raw.send(encode(TEXT, HEARTBEAT) + close(1000, b"bye") + encode(TEXT, HEARTBEAT))
        assert (await raw.receive()).json["type"] == "heartbeat_ack"
        frame = await raw.receive()
        assert (frame.opcode, frame.data) == (CLOSE, b"\x03\xe8bye")
        assert await raw.ended() == b""


@pytest.mark.parametrize("code", [None, 1000, 1001, 1011, 3000, 4999])
@in_loop
async def test_a_close_is_answered_alike(code: int | None) -> None:
    async with running_server() as server, raw_client(server) as raw:
        await raw.send(close(code))
        frame = await raw.receive()
        assert (frame.opcode, frame.data) == (CLOSE, b"" if code is None else code.to_bytes(2))
        assert await raw.ended() == b""


@in_loop
async def test_fragments_are_put_together_with_control_frames_between() -> None:
    async with running_server() as server, raw_client(server) as raw:
        await raw.send(
            encode(TEXT, HEARTBEAT[:5], fin=False),
            encode(PING, b"1"),
            encode(CONT, b"", fin=False),
            encode(PONG, b"unasked"),
            encode(CONT, HEARTBEAT[5:], fin=False),
            encode(PING, b"2"),
            encode(CONT, b""),
        )
        got = [await raw.receive() for _ in range(3)]
        assert [frame.data for frame in got if frame.opcode == PONG] == [b"1", b"2"]
        assert [frame.json["type"] for frame in got if frame.opcode == TEXT] == ["heartbeat_ack"]
        await answered(raw)


@in_loop
async def test_characters_may_be_cut_across_fragments() -> None:
    async with running_server() as server, raw_client(server) as raw:
        text = '{"type":"heartbeat","wrong":"€😀"}'.encode()
        for at in range(len(text)):
            await raw.send(encode(TEXT, text[:at], fin=False), encode(CONT, text[at:]))
            assert (await raw.receive()).json["payload"]["error_code"] == "invalid_message"
        await answered(raw)


@in_loop
async def test_frames_may_come_byte_by_byte_or_many_at_once() -> None:
    async with running_server() as server, raw_client(server) as raw:
        for byte in encode(TEXT, HEARTBEAT):
            await raw.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await raw.receive()).json["type"] == "heartbeat_ack"
        await raw.send(encode(TEXT, HEARTBEAT) * 50)
        for _ in range(50):
            assert (await raw.receive()).json["type"] == "heartbeat_ack"


@pytest.mark.parametrize("size", [0, 1, 125])
@in_loop
async def test_a_ping_is_answered_with_its_content(size: int) -> None:
    async with running_server() as server, raw_client(server) as raw:
        await raw.send(encode(PING, b"p" * size))
        frame = await raw.receive()
        assert (frame.opcode, frame.data) == (PONG, b"p" * size)


@in_loop
async def test_a_ping_fits_between_fragments_of_the_largest_message() -> None:
    async with running_server(limits=SMALL) as server, raw_client(server) as raw:
        text = json.dumps({"type": "x" * (1024 - 12)}).encode()
        assert len(text) == 1024
        await raw.send(encode(TEXT, text[:-1], fin=False), encode(PING, b"p" * 125), encode(CONT, text[-1:]))
        assert {(await raw.receive()).opcode for _ in range(2)} == {PONG, TEXT}
        await answered(raw)


@in_loop
async def test_fragments_without_end_are_not_kept() -> None:
    async with running_server(limits=SMALL) as server, raw_client(server) as raw:
        await raw.send(encode(TEXT, b"", fin=False), encode(CONT, b"", fin=False) * 1025)
        assert await raw.until_close() == 1009


@in_loop
async def test_binary_messages_are_refused_whole_or_in_fragments() -> None:
    async with running_server() as server, raw_client(server) as raw:
        await raw.send(encode(BINARY, HEARTBEAT), encode(BINARY, b"\xff", fin=False), encode(CONT, b"\xff"))
        for _ in range(2):
            assert (await raw.receive()).json["payload"]["error_code"] == "invalid_message"
        await answered(raw)


@in_loop
async def test_a_client_that_does_not_answer_a_close_is_dropped_in_bounded_time() -> None:
    async with running_server(limits=SMALL) as server, raw_client(server) as raw:
        await raw.send(encode(TEXT, b"x" * 2000))
        assert await raw.until_close() == 1009
        assert server.app.connections
        server.app.clock.advance(server.app.settings.close_timeout_s + 1)
        await server.until(lambda: not server.app.connections)


@in_loop
async def test_a_connection_that_vanishes_is_forgotten() -> None:
    async with running_server() as server, raw_client(server) as raw:
        assert len(server.app.hub) == 1
        raw.writer.transport.abort()
        await server.until(lambda: not server.app.connections and not len(server.app.hub))


# --- compression (RFC 7692) ---

DEFLATE = ("Sec-WebSocket-Extensions", "permessage-deflate")


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


@in_loop
async def test_compressed_messages_are_understood() -> None:
    async with running_server() as server, raw_client(server, DEFLATE) as raw:
        data = deflated(HEARTBEAT)
        await raw.send(encode(TEXT, data, rsv=4))
        await raw.send(encode(TEXT, data[:3], rsv=4, fin=False), encode(PING), encode(CONT, data[3:]))
        await raw.send(encode(TEXT, HEARTBEAT))  # compression is optional, message by message
        for _ in range(4):
            frame = await raw.receive()
            if frame.opcode != PONG:
                assert frame.rsv == 4
                text = zlib.decompressobj(wbits=-15).decompress(frame.data + b"\x00\x00\xff\xff")
                assert json.loads(text)["type"] == "heartbeat_ack"


@pytest.mark.parametrize("fragments", [1, 3])
@in_loop
async def test_a_compression_bomb_is_refused(fragments: int) -> None:
    async with running_server() as server, raw_client(server, DEFLATE) as raw:
        bomb = deflated(b" " * 50_000_000)
        assert len(bomb) < 60_000
        size = len(bomb) // fragments + 1
        parts = [bomb[i : i + size] for i in range(0, len(bomb), size)]
        for i, part in enumerate(parts):
            await raw.send(encode(CONT if i else TEXT, part, rsv=0 if i else 4, fin=i == len(parts) - 1))
        assert await raw.until_close() == 1009


@in_loop
async def test_rubbish_instead_of_compressed_data_is_refused() -> None:
    async with running_server() as server, raw_client(server, DEFLATE) as raw:
        await raw.send(encode(TEXT, b"\xff\xff\xff\xff", rsv=4))
        assert await raw.until_close() == 1002


@pytest.mark.parametrize("given", [("8",), ("13", "8"), ()])
@in_loop
async def test_another_version_is_answered_with_the_one_that_is_spoken(given: tuple[str, ...]) -> None:
    async with running_server() as server:
        raw = await Raw.open(server.port)
        answer = await raw.request(
            f"/ws?token={server.token(new_id(), new_id())}",
            [("Sec-WebSocket-Version", version) for version in given],
            without=["Sec-WebSocket-Version"],
        )
        assert (answer.status, answer.headers["sec-websocket-version"]) == (426, "13")
        await raw.close()
