"""Rates, clients that read too slowly, and clients that do not come to the end of a message."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import pytest
from support.raw import CLOSE, CONT, PING, PONG, TEXT, Raw, encode
from support.server import frame, in_loop, message, new_group, new_id, running_server

from relaykit.reference_server.limits import Bucket, Rate, Ruling
from relaykit.reference_server.mailbox import Mailboxes
from relaykit.reference_server.refused import Refused
from relaykit.reference_server.store import Store


def test_a_bucket_refuses_once_for_a_burst_and_recovers() -> None:
    bucket = Bucket(Rate(2, 3, 4), 0.0)
    assert [bucket.take(0.0) for _ in range(5)] == [*[Ruling.ACCEPT] * 3, Ruling.REFUSE, Ruling.IGNORE]
    assert bucket.retry_after() == 1
    assert bucket.take(0.4) is Ruling.IGNORE
    assert bucket.take(1.0) is Ruling.ACCEPT
    assert [bucket.take(1.0) for _ in range(3)] == [Ruling.ACCEPT, Ruling.REFUSE, Ruling.CLOSE]
    assert bucket.take(100.0) is Ruling.ACCEPT
    assert [bucket.take(100.0) for _ in range(3)] == [Ruling.ACCEPT, Ruling.ACCEPT, Ruling.REFUSE]


def test_a_slow_rate_says_how_long_to_wait() -> None:
    bucket = Bucket(Rate(0.1, 1, 4), 0.0)
    bucket.take(0.0)
    assert bucket.take(0.0) is Ruling.REFUSE
    assert bucket.retry_after() == 10
    assert bucket.take(bucket.retry_after()) is Ruling.ACCEPT


@in_loop
async def test_too_many_frames_get_one_error_have_no_effect_and_the_connection_recovers() -> None:
    async with running_server(limits={"frames_per_second": 1, "burst": 3}) as server:
        alice, bob = await server.pair()
        sent = [message(bob.user) for _ in range(6)]
        await alice.send(*sent)
        for one in sent[:3]:
            await alice.expect("sent_ack", message_id=one["message_id"])
        error = await alice.expect_error("rate_limited")
        assert error["payload"]["retry_after"] >= 1
        assert error["payload"]["reconnect"] is True
        server.app.clock.advance(error["payload"]["retry_after"])
        await alice.send(sent[5])
        await alice.expect("sent_ack", message_id=sent[5]["message_id"])
        for one in (*sent[:3], sent[5]):
            await bob.expect("deliver", message_id=one["message_id"])
        server.app.clock.advance(5)
        await bob.silent(alice)


@in_loop
async def test_invalid_frames_count_and_limits_are_per_connection() -> None:
    async with running_server(limits={"frames_per_second": 1, "burst": 3}) as server:
        alice, bob = await server.pair()
        await alice.send("x", "y", b"z", frame("heartbeat"))
        for _ in range(3):
            await alice.expect_error("invalid_message")
        await alice.expect_error("rate_limited")
        await bob.silent()


@in_loop
async def test_a_flood_without_end_is_closed() -> None:
    limits = {"frames_per_second": 1, "burst": 3}
    async with running_server(limits=limits, refusals_before_close=20) as server:
        alice = await server.connect()
        await alice.send(*[frame("heartbeat")] * 100)
        assert (await alice.closed()).code == 1008
        codes = [one["payload"]["error_code"] for one in alice.taken if one["type"] == "error"]
        assert set(codes) == {"rate_limited"}
        assert len(codes) <= 3


@in_loop
async def test_what_waits_for_all_users_together_is_bounded(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    async with running_server(store=path, max_waiting_bytes=65_536) as server:
        alice, bob = await server.pair()
        carol = new_id()
        waiting = [message(to, ciphertext="A" * 20_000) for to in (bob.user, carol, carol)]
        await alice.send(*waiting)
        for one in waiting:
            await alice.expect("sent_ack", message_id=one["message_id"])
        await bob.expect("deliver")
        refused = message(new_id(), ciphertext="A" * 20_000)
        await alice.send(refused)
        await alice.expect_error("server_error", refused["message_id"])
        await bob.close()
    async with running_server(store=path, max_waiting_bytes=65_536) as server:  # what waited is counted again
        alice = await server.connect(alice.user, alice.device)
        await alice.send(refused)
        await alice.expect_error("server_error", refused["message_id"])
        bob = await server.connect(bob.user, bob.device)
        await bob.expect("deliver")
        await bob.send(frame("delivery_ack", message_id=waiting[0]["message_id"]))
        await alice.expect("status_update")
        await alice.send(refused)  # there is room again
        await alice.expect("sent_ack", message_id=refused["message_id"])


@in_loop
@pytest.mark.parametrize("bound", ["max_waiting_bytes", "max_waiting_bytes_per_sender"])
async def test_a_message_that_exceeds_a_bound_by_itself_may_wait_alone(
    bound: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_server(limits={"max_frame_bytes": 300_000}, **{bound: 65_536}) as server:
        alice, bob = await server.pair()
        large, later, other = (message(bob.user, ciphertext="A" * 200_000) for _ in range(3))
        await alice.send(large, later)
        await alice.expect("sent_ack", message_id=large["message_id"])
        await alice.expect_error("server_error", later["message_id"])
        carol = await server.connect()
        await carol.send(other)
        if bound == "max_waiting_bytes":
            await carol.expect_error("server_error", other["message_id"])
            for user in (alice.user, carol.user):  # the log names the second one, too
                assert f"refusing a message of user {user}: too much waits" in caplog.text
        else:
            await carol.expect("sent_ack", message_id=other["message_id"])
        await bob.expect("deliver")
        await bob.send(frame("delivery_ack", message_id=large["message_id"]))
        await alice.expect("status_update")
        await alice.send(later)  # it was no lie that this is refused until later
        await alice.expect("sent_ack", message_id=later["message_id"])


@in_loop
async def test_one_sender_cannot_take_all_that_may_wait(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bounds = {"store": str(tmp_path / "store.db"), "max_waiting_bytes_per_sender": 65_536}
    async with running_server(**bounds) as server:
        mallory, bob = await server.pair()
        group = new_group()
        server.app.people.create_group(group, [mallory.user, bob.user, new_id(), new_id()])
        waiting = [message(to, ciphertext="A" * 20_000) for to in (bob.user, new_id())]
        waiting.append(message(None, group_id=group, ciphertext="A" * 20_000))  # counts once, for all members
        await mallory.send(*waiting)
        for one in waiting:
            await mallory.expect("sent_ack", message_id=one["message_id"])
        refused = message(new_id(), ciphertext="A" * 20_000)
        await mallory.send(refused, waiting[0])
        await mallory.expect_error("server_error", refused["message_id"])
        assert (
            f"refusing a message of user {mallory.user}: too much waits of what you have sent" in caplog.text
        )
        await mallory.expect("sent_ack", message_id=waiting[0]["message_id"])  # again: it waits already
        await mallory.send(small := message(new_id()))  # for this there is room
        await mallory.expect("sent_ack", message_id=small["message_id"])
        alice = await server.connect()
        await alice.send(other := {**refused, "message_id": new_id()})
        await alice.expect("sent_ack", message_id=other["message_id"])
        server.app.store.inject_fault(1)
        await mallory.send(message(new_id()))
        await mallory.expect("error")  # what is not stored is not counted
        counted = server.app.mailboxes.totals()
        assert counted.by_sender.keys() == {mallory.user, alice.user}
    async with running_server(**bounds) as server:
        assert server.app.mailboxes.totals() == counted
        mallory = await server.connect(mallory.user, mallory.device)
        await mallory.send(refused)
        await mallory.expect_error("server_error", refused["message_id"])
        bob = await server.connect(bob.user, bob.device)
        for _ in range(2):
            await bob.expect("deliver" if not bob.taken else "group_message")
        await bob.send(frame("delivery_ack", message_id=waiting[2]["message_id"]))  # others have it to come
        await mallory.expect("status_update")
        await mallory.send(refused)
        await mallory.expect_error("server_error", refused["message_id"])
        await bob.send(frame("delivery_ack", message_id=waiting[0]["message_id"]))
        await mallory.expect("status_update")
        await mallory.send(refused)
        await mallory.expect("sent_ack", message_id=refused["message_id"])


def test_a_senders_share_follows_from_what_may_wait_in_all() -> None:
    store = Store(":memory:")
    for whole, share in ((1 << 30, 1 << 26), (1 << 20, 65_536), (65_536, 65_536)):
        boxes = Mailboxes(store, waiting_per_user=10, waiting_bytes=whole)
        sender = new_id()
        assert boxes.add(uuid.uuid4().bytes, sender, new_id(), b"1")
        with pytest.raises(Refused):
            boxes.add(b"k" * 16, sender, new_id(), bytes(share))
        assert boxes.add(uuid.uuid4().bytes, sender, new_id(), bytes(share - 1))
        store.clear()
        store.commit()


@in_loop
async def test_a_client_that_does_not_read_is_dropped_and_its_messages_wait() -> None:
    limits = {"burst": 10_000, "frames_per_second": 10_000}
    async with running_server(limits=limits, max_outgoing_bytes=256 * 1024) as server:
        alice = await server.connect()
        bob, device = new_id(), new_id()
        raw = await Raw.open(server.port)
        assert (await raw.request(f"/ws?token={server.token(bob, device)}")).status == 101
        # Reads nothing from now on; its own socket buffers take the first few megabytes.
        raw.writer.transport.pause_reading()
        sent = 0
        while server.app.hub.of_user(bob):
            await alice.send(message(bob, ciphertext="A" * 60_000))
            await alice.expect("sent_ack")
            sent += 1
            assert sent < 1000
        held = max(c._transport.get_write_buffer_size() for c in server.app.connections)
        assert held < 1024 * 1024
        await raw.close()
        again = await server.connect(bob, device)
        for _ in range(sent):
            await again.expect("deliver")
        await again.silent()


@pytest.mark.parametrize("opcode", [PING, PONG])
@in_loop
async def test_a_flood_of_control_frames_is_closed(opcode: int) -> None:
    limits = {"frames_per_second": 1, "burst": 50}
    async with running_server(limits=limits, refusals_before_close=100) as server:
        raw = await Raw.open(server.port)
        assert (await raw.request(f"/ws?token={server.token(new_id(), new_id())}")).status == 101
        await raw.send(encode(opcode, b"x") * 140)  # many, and no flood
        await raw.send(encode(TEXT, json.dumps(frame("heartbeat")).encode()))
        while (got := await raw.receive()).opcode != TEXT:
            assert got.opcode == PONG
        await raw.send(encode(opcode, b"x") * 20_000)
        while (got := await raw.receive()).opcode != CLOSE:
            assert got.opcode == PONG
        assert got.code == 1008
        await raw.close()
        await server.until(lambda: not server.app.connections)


@in_loop
async def test_others_have_their_turn_before_more_is_read_from_a_busy_client() -> None:
    async with running_server(limits={"burst": 10_000_000}) as server:
        client = await server.connect()
        (connection,) = server.app.connections
        connection.data_received(encode(TEXT, b'{"type":"pong"}') * 5_000)
        assert not connection._transport.is_reading()
        await client.silent()
        assert connection._transport.is_reading()


@in_loop
async def test_what_waits_for_all_slow_readers_together_is_bounded() -> None:
    most = 1024 * 1024
    limits = {"burst": 100_000, "waiting_per_user": 100_000}
    async with running_server(limits=limits, max_outgoing_bytes=most, max_unread_bytes=most) as server:
        alice, group = await server.connect(), new_group()
        lazy = [(new_id(), new_id()) for _ in range(4)]
        server.app.people.create_group(group, [alice.user, *(user for user, _ in lazy)])
        raws = []
        for user, device in lazy:
            raws.append(await Raw.open(server.port))
            assert (await raws[-1].request(f"/ws?token={server.token(user, device)}")).status == 101
            raws[-1].writer.transport.pause_reading()
        for _ in range(1000):
            await alice.send(message(None, group_id=group, ciphertext="A" * 30_000))
            await alice.expect("sent_ack")
            held = sum(one._transport.get_write_buffer_size() for one in server.app.connections)
            assert held < most + 4 * 40_000
            if len(server.app.connections) < 4:  # two are closed, though for none of them too much waits
                break
        else:
            raise AssertionError("nobody was closed")
        await alice.silent()
        for raw in raws:
            await raw.close()
        await server.until(lambda: len(server.app.connections) == 1)
        assert server.app.unread == 0


@in_loop
async def test_what_one_turn_says_is_bounded_even_for_a_client_that_has_read_all() -> None:
    async with running_server(max_outgoing_bytes=256 * 1024) as server:
        alice, bob = await server.pair()
        (session,) = server.app.hub.of_user(bob.user)
        for _ in range(200):
            server.app.turn.send(session, b"x" * 10_000)
        assert (await bob.closed()).code == 1006
        assert bob.taken == []
        await alice.silent()


@pytest.mark.parametrize("what", [frame("heartbeat"), "ping"])
@in_loop
async def test_a_client_that_does_not_read_the_answers_to_its_own_frames_is_dropped(what: object) -> None:
    limits = {"burst": 10_000_000}
    async with running_server(limits=limits, max_outgoing_bytes=64 * 1024) as server:
        raw = await Raw.open(server.port)
        assert (await raw.request(f"/ws?token={server.token(new_id(), new_id())}")).status == 101
        raw.writer.transport.pause_reading()
        data = encode(9, b"x" * 125) if what == "ping" else encode(TEXT, b'{"type":"heartbeat"}')
        with pytest.raises(ConnectionError):
            for _ in range(10_000):
                await asyncio.wait_for(raw.send(data * 200), 5)
        await server.until(lambda: not server.app.connections)
        await raw.close()


def halves(what: str, size: int, rest: int) -> tuple[bytes, bytes]:
    """A message in two pieces: its first `size` bytes, and the others."""
    if what == "a frame":
        whole = encode(TEXT, b"x" * (size + rest))
        return whole[:-rest], whole[-rest:]
    begun = encode(TEXT, b"x" * (size - 1), fin=False) + encode(CONT, b"x", fin=False)
    return begun, encode(CONT, b"x" * rest)


@pytest.mark.parametrize("what", ["a frame", "fragments"])
@in_loop
async def test_what_has_come_of_messages_that_are_not_whole_is_bounded_in_all(what: str) -> None:
    async with running_server(max_partial_bytes=100_000) as server:
        alice, raws, rests, sent = await server.connect(), [], [], 0
        for size in (30_000, 40_000, 20_000):
            raws.append(await Raw.open(server.port))
            assert (await raws[-1].request(f"/ws?token={server.token(new_id(), new_id())}")).status == 101
            begun, rest = halves(what, size, 20_001)
            rests.append(rest)
            await raws[-1].send(begun)
            sent += size
            await server.until(lambda sent=sent: server.app.partial >= sent)
        # All but the end of it: more than may be in all.
        await raws[0].send(rests[0][:20_000] if what == "a frame" else encode(CONT, b"x" * 20_000, fin=False))
        # The one that has sent most of all is closed, and the others go on.
        error = (await raws[0].receive()).json["payload"]
        assert (error["error_code"], error["reconnect"]) == ("server_error", True)
        closed = await raws[0].receive()
        assert (closed.opcode, closed.code) == (CLOSE, 1011)
        assert server.app.partial < 70_000
        for raw, rest in zip(raws[1:], rests[1:], strict=True):
            await raw.send(rest)
            assert (await raw.receive()).json["payload"]["error_code"] == "invalid_message"
        await server.until(lambda: server.app.partial == 0)
        await alice.silent()
        for raw in raws:
            await raw.close()


@in_loop
async def test_a_connection_that_ends_within_a_message_counts_no_more() -> None:
    async with running_server() as server:
        raw = await Raw.open(server.port)
        assert (await raw.request(f"/ws?token={server.token(new_id(), new_id())}")).status == 101
        await raw.send(encode(TEXT, b"x" * 5000, fin=False), encode(CONT, b"x" * 70, length=100))
        await server.until(lambda: server.app.partial > 5070)
        await raw.close()
        await server.until(lambda: not server.app.connections)
        assert server.app.partial == 0
