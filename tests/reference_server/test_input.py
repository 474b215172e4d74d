"""What clients get wrong: each frame is refused with an error of its own, and the line stays usable."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.server import frame, in_loop, message, new_id, running_server

from relaykit.schemas import load_catalogue

ID = new_id()
RUBBISH: dict[str, str | bytes] = {
    "nothing": "",
    "text": "hello",
    "cut off": '{"type":"heartbeat"',
    "an array": '[{"type":"heartbeat"}]',
    "a string": '"heartbeat"',
    "null": "null",
    "two frames": '{"type":"heartbeat"}\n{"type":"heartbeat"}',
    "NaN": '{"type":"heartbeat","payload":NaN}',
    "infinity": '{"type":"heartbeat","payload":{"x":1e999}}',
    "byte-order mark": '\ufeff{"type":"heartbeat"}',
    "duplicate key": '{"type":"heartbeat","type":"heartbeat"}',
    "lone surrogate": '{"type":"heartbeat","x":"\\ud800"}',
    "large integer": '{"type":"heartbeat","x":99999999999999999999}',
    "deep": '{"type":"heartbeat","x":' + "[" * 100 + "]" * 100 + "}",
    "very deep": "[" * 30_000,
    "no type": "{}",
    "type is no string": '{"type":7}',
    "unknown type": '{"type":"teleport"}',
    "only servers send it": '{"type":"sent_ack"}',
    "undocumented": '{"type":"heartbeat","colour":"red"}',
    "binary": b'{"type":"heartbeat"}',
}


@pytest.mark.parametrize("what", RUBBISH)
@in_loop
async def test_rubbish_gets_an_error_and_the_connection_lives(what: str) -> None:
    async with running_server() as server:
        alice = await server.connect()
        await alice.send(RUBBISH[what])
        error = await alice.expect_error("invalid_message")
        assert error["payload"]["reconnect"] is False
        await alice.silent()


C2S_INVALID = [v for v in load_catalogue().vectors() if v.direction == "c2s" and not v.valid]


@in_loop
async def test_every_invalid_vector_is_refused_in_order() -> None:
    async with running_server(limits={"burst": 10_000}) as server:
        alice = await server.connect()
        for vector in C2S_INVALID:
            await alice.send(json.dumps(vector.data))
            got = await alice.receive()
            assert got["type"] == "error", (vector, got)
            assert got["payload"]["error_code"] == "invalid_message", (vector, got)
        await alice.silent()


WRONG: list[tuple[dict[str, Any], str | None]] = [
    (message("not a uuid", ID), ID),
    (message(new_id(), ID.upper(), colour="red"), ID.upper()),
    (frame("delivery_ack", message_id=ID, payload_=1), ID),
    (frame("delivery_ack", message_id="7"), None),
    (frame("typing", {}, message_id=ID), ID),
]


@pytest.mark.parametrize("case", WRONG, ids=range(len(WRONG)))
@in_loop
async def test_an_error_names_the_refused_frame(case: tuple[dict[str, Any], str | None]) -> None:
    async with running_server() as server:
        alice = await server.connect()
        await alice.send(case[0])
        await alice.expect_error("invalid_message", case[1])
        await alice.silent()


@in_loop
async def test_errors_come_in_order_and_refused_frames_have_no_effect() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        bad, good = message(bob.user, colour="red"), message(bob.user)
        await alice.send(bad, good, "x", frame("heartbeat"))
        await alice.expect_error("invalid_message", bad["message_id"])
        await alice.expect("sent_ack", message_id=good["message_id"])
        await alice.expect_error("invalid_message")
        await alice.expect("heartbeat_ack")
        await bob.expect("deliver", message_id=good["message_id"])
        await bob.silent()


@in_loop
async def test_a_handler_that_fails_is_a_server_error_without_internals() -> None:
    async with running_server() as server:
        alice = await server.connect()
        broken: Any = server.app.dispatcher

        def fail(*_: object) -> None:
            raise RuntimeError("secret detail")

        broken._handlers["heartbeat"] = fail
        await alice.send(frame("heartbeat", message_id=ID))
        error = await alice.expect_error("server_error", ID)
        assert "detail" not in str(error)
        assert error["payload"]["reconnect"] is True
        await alice.send("x")
        await alice.expect_error("invalid_message")
