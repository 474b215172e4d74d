"""Faults on demand: exact, repeatable, and absent unless they are asked for."""

from __future__ import annotations

import json
import logging
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from support.control import bench
from support.raw import TEXT, Raw, encode
from support.server import Peer, Running, frame, in_loop, message, new_id, running_server
from websockets.exceptions import ConnectionClosed

from relaykit.errors import UsageError
from relaykit.reference_server import dev
from relaykit.reference_server.connection import Connection
from relaykit.reference_server.faults import Names, parse
from relaykit.schemas import load_catalogue

HEARTBEAT = frame("heartbeat")


async def received(peer: Peer, count: int) -> list[dict[str, Any]]:
    return [await peer.receive() for _ in range(count)]


async def acks(peer: Peer, *sent: dict[str, Any]) -> None:
    for one in sent:
        await peer.expect("sent_ack", message_id=one["message_id"])


async def exchange(server: Running, count: int) -> tuple[list[str], Peer, Peer]:
    """Messages from one to another, all acknowledged: their ids, sender and recipient."""
    alice, bob = await server.pair()
    sent = [message(bob.user) for _ in range(count)]
    await alice.send(*sent)
    await acks(alice, *sent)
    return [one["message_id"] for one in sent], alice, bob


async def ids(peer: Peer, count: int) -> list[Any]:
    return [one.get("message_id") for one in await received(peer, count)]


@pytest.mark.parametrize(
    ("fault", "arrive"),
    [
        ("drop@deliver:3", [0, 1, 3, 4]),
        ("drop@deliver:2-4", [0, 4]),
        ("drop@deliver:4-", [0, 1, 2]),
        ("drop@deliver:*", []),
        ("drop@deliver", []),
        ("duplicate@deliver:2", [0, 1, 1, 2, 3, 4]),
        ("reorder@deliver:1", [1, 0, 2, 3, 4]),
        ("reorder@deliver:1-4", [1, 0, 3, 2, 4]),
        ("drop@status_update", [0, 1, 2, 3, 4]),
    ],
)
@in_loop
async def test_faults_strike_the_frames_they_name_and_no_others(fault: str, arrive: list[int]) -> None:
    async with running_server(faults=(fault,)) as server:
        sent, _, bob = await exchange(server, 5)
        assert await ids(bob, len(arrive)) == [sent[i] for i in arrive]
        await bob.silent()


@in_loop
async def test_what_a_fault_swallows_still_waits() -> None:
    async with running_server(faults=("drop@deliver:1",)) as server:
        sent, _, bob = await exchange(server, 2)
        assert await ids(bob, 1) == sent[1:]
        await bob.close()
        again = await server.connect(bob.user, bob.device)
        assert await ids(again, 2) == sent


@in_loop
async def test_faults_for_one_user_or_device() -> None:
    bob, phone, laptop = new_id(), new_id(), new_id()
    async with running_server(faults=(f"drop@deliver,user={bob.upper()},device={phone}:1",)) as server:
        alice = await server.connect()
        carol = await server.connect(device=phone)  # the same device id means nothing for another user
        one, two = await server.connect(bob, phone), await server.connect(bob, laptop)
        sent = [message(to) for to in (carol.user, bob, bob)]
        await alice.send(*sent)
        assert await ids(carol, 1) == [sent[0]["message_id"]]
        assert await ids(one, 1) == [sent[2]["message_id"]]
        assert await ids(two, 2) == [each["message_id"] for each in sent[1:]]


@in_loop
async def test_matching_frames_are_counted_over_all_connections() -> None:
    async with running_server(faults=("drop@heartbeat_ack:2",)) as server:
        alice, bob = await server.pair()
        await alice.send(HEARTBEAT)
        await alice.expect("heartbeat_ack")
        await bob.send(HEARTBEAT, HEARTBEAT, message(alice.user))
        assert [got["type"] for got in await received(bob, 2)] == ["heartbeat_ack", "sent_ack"]


@in_loop
async def test_a_delayed_frame_is_overtaken_and_comes_in_its_time() -> None:
    async with running_server(faults=("delay=2s@sent_ack",)) as server:
        alice, bob = await server.pair()
        first, second = message(bob.user), message(bob.user)
        await alice.send(first, second, HEARTBEAT)
        await alice.expect("heartbeat_ack")
        server.app.clock.advance(1.9)
        await alice.silent()
        server.app.clock.advance(0.2)
        await acks(alice, first, second)


@in_loop
async def test_a_delayed_frame_may_come_after_its_connection_is_gone() -> None:
    async with running_server(faults=("delay=2s@sent_ack", "reorder@sent_ack:1")) as server:
        alice, bob = await server.pair()
        await alice.send(message(bob.user))
        await bob.expect("deliver")
        await alice.close()
        server.app.clock.advance(3)
        await bob.silent()


@in_loop
async def test_what_was_delayed_comes_even_if_the_faults_are_others_by_then() -> None:
    async with running_server(faults=("delay=2s@sent_ack", "drop@sent_ack")) as server:
        alice, bob = await server.pair()
        sent = message(bob.user)
        await alice.send(sent)
        await bob.expect("deliver")
        assert server.app.watch is not None
        server.app.watch.set_faults([])
        await alice.silent()
        server.app.clock.advance(2)
        await acks(alice, sent)


@in_loop
async def test_faults_strike_one_after_the_other() -> None:
    async with running_server(faults=("duplicate@deliver:1", "drop@deliver:2")) as server:
        sent, _, bob = await exchange(server, 2)
        assert await ids(bob, 2) == sent  # the second copy was the second deliver
        await bob.silent()


@pytest.mark.parametrize("way", ["corrupt", "corrupt=json", "corrupt=utf8"])
@in_loop
async def test_corrupt_frames_are_no_json(way: str) -> None:
    async with running_server(faults=(f"{way}@heartbeat_ack:1",)) as server:
        raw = await Raw.open(server.port)
        await raw.request(f"/ws?token={server.token(new_id(), new_id())}")
        await raw.send(encode(TEXT, b'{"type":"heartbeat"}'), encode(TEXT, b'{"type":"heartbeat"}'))
        broken, right = await raw.receive(), await raw.receive()
        assert right.json["type"] == "heartbeat_ack"
        with pytest.raises(ValueError, match=r"decode|delimiter"):
            _ = broken.json
        assert (b"\xff" in broken.data) is (way == "corrupt=utf8")
        await raw.close()


@pytest.mark.parametrize("first", ["corrupt=json", "corrupt=utf8"])
@in_loop
async def test_a_broken_frame_has_no_value_to_change(first: str) -> None:
    faults = (f"{first}@sent_ack:1", "corrupt=/payload/status", "drop@deliver:1")
    async with running_server(faults=faults) as server:
        alice, bob = await server.pair()
        sent = [message(bob.user), message(bob.user)]
        raw = await Raw.open(server.port)
        await raw.request(f"/ws?token={server.token(alice.user, new_id())}")
        await raw.send(encode(TEXT, json.dumps(sent[0]).encode()), encode(TEXT, b'{"type":"heartbeat"}'))
        assert (await raw.receive()).data.startswith(b'{"type":"sent_ack"')
        assert (await raw.receive()).json["type"] == "heartbeat_ack"
        await alice.send(sent[1])
        assert (await alice.expect("sent_ack"))["payload"]["status"] == "0ent"
        await bob.expect("deliver", message_id=sent[1]["message_id"])
        await raw.close()


@pytest.mark.parametrize("broken", ["put", "write_out", "drain"])
@in_loop
async def test_what_fails_for_one_connection_costs_no_other(
    broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        (session,) = server.app.hub.of_user(bob.user)

        def fail(connection: Connection, *arguments: Any) -> None:
            if connection is session.link:
                raise RuntimeError("a defect")
            getattr(honest, broken)(connection, *arguments)

        honest = SimpleNamespace(put=Connection.put, write_out=Connection.write_out)
        if broken == "drain":
            server.app.turn.afterwards(partial(fail, session.link), session.link)
        else:
            monkeypatch.setattr(Connection, broken, fail)
        sent = message(bob.user)
        await alice.send(sent)
        await acks(alice, sent)
        assert (await bob.closed()).code == 1006
        assert "a defect" in caplog.text
        await alice.silent()


@in_loop
async def test_a_value_is_changed_for_another_of_its_kind() -> None:
    faults = (
        "corrupt=/payload/ciphertext@deliver:1",
        "corrupt=/payload/media_id",
        "corrupt=/payload/reconnect",
    )
    async with running_server(faults=faults) as server:
        alice, bob = await server.pair()
        await alice.send(message(bob.user, ciphertext="q83vASNFZ4k="))
        got = await bob.expect("deliver")
        assert got["payload"]["ciphertext"] == "083vASNFZ4k="
        await bob.send("{")
        assert (await bob.expect("error"))["payload"]["reconnect"] is True
        # What has no such value is left alone and not counted.
        assert server.app.watch is not None
        assert [fault.seen for fault in server.app.watch.faults] == [1, 0, 1]


@pytest.mark.parametrize(("fault", "code"), [("close", 1011), ("close=4001", 4001), ("close=1006", 1006)])
@in_loop
async def test_a_connection_is_closed_in_place_of_a_frame(fault: str, code: int) -> None:
    async with running_server(faults=(f"{fault}@sent_ack:2",)) as server:
        alice, bob = await server.pair()
        first, second, third = (message(bob.user) for _ in range(3))
        await alice.send(first, second, third)
        await acks(alice, first)
        with pytest.raises(ConnectionClosed):
            await alice.receive()
        assert alice.socket.close_code == code
        await bob.expect("deliver", message_id=first["message_id"])
        await bob.expect("deliver", message_id=second["message_id"])
        await server.until(lambda: not server.app.hub.of_user(alice.user))


@in_loop
async def test_a_slow_line_keeps_order_and_takes_its_time() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        assert server.app.watch is None  # nothing is watched for nothing
        assert all(type(one) is Connection for one in server.app.connections)
    async with running_server(faults=("slow=100B/s@deliver", "drop@status_update")) as server:
        alice, bob = await server.pair()
        sent = message(bob.user)
        await alice.send(sent)
        await acks(alice, sent)
        await bob.send(HEARTBEAT)
        await alice.send(HEARTBEAT)
        await alice.expect("heartbeat_ack")  # no line but bob's is slow
        await server.until(lambda: bool(server.app.hub.of_user(bob.user)[0].link._line))
        server.app.clock.advance(1)
        assert bob.taken == []
        server.app.clock.advance(5)
        assert [got["type"] for got in await received(bob, 2)] == ["deliver", "heartbeat_ack"]
        await bob.silent()


@in_loop
async def test_what_a_slow_line_holds_is_bounded() -> None:
    settings = {"max_outgoing_bytes": 65536, "limits": {"burst": 1000}}
    async with running_server(faults=("slow=1B/s@deliver",), **settings) as server:
        alice, bob = await server.pair()
        big = [message(bob.user, ciphertext="A" * 20_000) for _ in range(5)]
        await alice.send(*big)
        await acks(alice, *big)
        assert (await bob.closed()).code == 1006
        assert server.app.watch is not None
        assert server.app.watch.counters.slow_readers == 1
        server.app.watch.set_faults([])
        again = await server.connect(bob.user, bob.device)
        assert await ids(again, 5) == [one["message_id"] for one in big]


@in_loop
async def test_a_slow_line_does_not_load_a_whole_backlog() -> None:
    settings = {"max_outgoing_bytes": 300_000, "limits": {"burst": 1000}}
    async with running_server(faults=("slow=100kB/s@deliver",), **settings) as server:
        alice = await server.connect()
        bob, phone = new_id(), new_id()
        big = [message(bob, ciphertext="A" * 1000) for _ in range(300)]
        await alice.send(*big)
        await acks(alice, *big)
        peer = await server.connect(bob, phone)
        await server.until(lambda: server.app.hub.of_user(bob)[0].link.paused)
        got: list[Any] = []
        while len(got) < len(big):
            server.app.clock.advance(0.2)
            await peer.send(HEARTBEAT)  # it waits behind what is on the line
            while (one := await peer.receive())["type"] != "heartbeat_ack":
                got.append(one["message_id"])
                server.app.clock.advance(0.2)
        assert got == [one["message_id"] for one in big]


@in_loop
async def test_each_strike_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with running_server(faults=("drop@deliver:2", "drop@typing")) as server:
        await exchange(server, 3)
    assert [line for line in caplog.messages if line.startswith("fault")] == [
        line for line in caplog.messages if line.startswith("fault drop@deliver:2 strikes deliver no. 2 to ")
    ]
    assert sum(line.startswith("fault") for line in caplog.messages) == 1


@in_loop
async def test_faults_through_the_control_interface() -> None:
    async with bench() as control:
        server = control.server

        def seen() -> int:
            assert server.app.watch is not None
            return server.app.watch.faults[0].seen

        alice, bob = await server.pair()
        answer = await control.do("set_faults", faults=["reorder@heartbeat_ack", "drop@ping"])
        none = {"seen": 0, "struck": 0}
        assert answer["faults"] == [{"fault": f, **none} for f in ("reorder@heartbeat_ack", "drop@ping")]
        await alice.send(HEARTBEAT, message(bob.user))
        assert [got["type"] for got in await received(alice, 2)] == ["sent_ack", "heartbeat_ack"]
        await alice.send(HEARTBEAT)
        await server.until(lambda: seen() == 2)
        await bob.send(message(alice.user))  # lets the held one go
        assert [got["type"] for got in await received(alice, 2)] == ["deliver", "heartbeat_ack"]
        counted = (await control.do("list_faults"))["faults"][0]
        assert counted == {"fault": "reorder@heartbeat_ack", "seen": 2, "struck": 2}
        error = await control.refused(400, "set_faults", faults=["drop", "drip"])
        assert "did you mean 'drop'?" in error
        assert len((await control.do("list_faults"))["faults"]) == 2  # nothing was changed
        await alice.send(HEARTBEAT)
        await server.until(lambda: seen() == 3)
        assert (await control.do("set_faults", faults=[]))["faults"] == []
        await alice.expect("heartbeat_ack")  # what was held back is not lost
        await alice.silent()


# --- what is no fault ---


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is no fault ''"),
        ("dorp@deliver", "did you mean 'drop'?"),
        ("drop=1", "drop takes no value"),
        ("delay@deliver", "delay takes a time, such as delay=2s"),
        ("delay=2@deliver", "delay takes a time"),
        ("slow=100", "slow takes a rate, such as slow=100B/s"),
        ("slow=0B/s", "slow takes a rate"),
        ("close=1005", "close takes a close code"),
        ("close=99999", "close takes a close code"),
        ("corrupt=it", "corrupt takes json, utf8 or a JSON pointer"),
        ("drop@delivr", "@delivr: there is no such type (did you mean 'deliver'?)"),
        ("drop@send", "@send: clients send it, but faults strike what the server sends"),
        ("drop@deliver:0", ":0: it is a number from 1"),
        ("drop@deliver:5-2", "the range is empty"),
        ("drop@deliver:third", ":third: it is a number"),
        ("drop:3@deliver", ":3@deliver: it is a number"),
        ("drop,user=alice", "user=alice: not a UUID (names are known with --dev only)"),
        ("drop,usr=alice", ",usr=alice: it is either"),
        ("drop,user=", "it is either"),
        (f"drop,user={dev.USERS['bob']},user={dev.USERS['bob']}", "each once"),
        ("drop,device=tablet", "device=tablet"),
    ],
)
def test_what_is_no_fault_is_told_with_the_way_out(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, load_catalogue(), Names())
    assert words in str(caught.value)
    assert "drop@deliver:3" in (caught.value.hint or "")


def test_names_stand_for_ids_in_development() -> None:
    fault = parse("drop,user=bob,device=phone", load_catalogue(), dev.NAMES)
    assert fault.user == dev.USERS["bob"]
    assert dev.DEVICES["bob", "phone"] in (fault.devices or ())
    with pytest.raises(UsageError, match="neither a UUID nor one of alice, bob"):
        parse("drop,user=alise", load_catalogue(), dev.NAMES)
