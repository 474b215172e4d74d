"""Status updates that wait for an absent sender: all of them, in order; of too many, the latest."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from support.server import Running, frame, in_loop, message, new_id, running_server

from relaykit.reference_server.connection import Connection
from relaykit.reference_server.mailbox import Notice


@in_loop
async def test_status_updates_wait_for_an_absent_sender_and_come_once() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        first, second = message(bob.user), message(bob.user)
        await alice.send(first, second)
        await alice.expect("sent_ack")
        await alice.expect("sent_ack")
        await alice.close()
        await bob.expect("deliver")
        await bob.expect("deliver")
        await bob.send(frame("delivery_ack", message_id=first["message_id"]))
        await bob.send(frame("delivery_ack", message_id=second["message_id"]))
        await bob.send(frame("read_receipt", {"message_ids": [first["message_id"]]}))
        await bob.silent()
        alice = await server.connect(alice.user, alice.device)
        told = [await alice.expect("status_update"), await alice.expect("status_update")]
        assert {one["message_id"]: one["payload"]["status"] for one in told} == {
            first["message_id"]: "read",
            second["message_id"]: "delivered",
        }
        await alice.silent()
        alice = await server.reconnect(alice)
        await alice.silent()


def leave_notices(server: Running, user: str, count: int) -> list[str]:
    """Let status updates wait for a user: the messages they are about, in order."""
    messages, at = [new_id() for _ in range(count)], server.app.clock.stamp()

    def leave() -> None:
        for one in messages:
            server.app.mailboxes.leave_notice(user, uuid.UUID(one).bytes, new_id(), "delivered", at)

    server.app.durably(leave)
    return messages


def after_notices(server: Running, count: int, then: Callable[[], None]) -> None:
    """Do something when waiting status updates have been taken from the store for this many times."""
    take, left = server.app.mailboxes.take_notices, [count]

    def taken(sender: str, limit: int) -> list[Notice]:
        found = take(sender, limit)
        left[0] -= 1
        if left[0] == 0:
            then()
        return found

    server.app.mailboxes.take_notices = taken


@in_loop
async def test_many_status_updates_come_in_order_and_a_part_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[int] = []  # what each turn wrote to a connection, and what was held for it already
    write_out = Connection.write_out

    def measured(link: Connection) -> None:
        said.append(sum(map(len, link._chunks)) + link._transport.get_write_buffer_size())
        write_out(link)

    monkeypatch.setattr(Connection, "write_out", measured)
    async with running_server(limits={"waiting_per_user": 100_000}) as server:
        alice, bob_id = await server.connect(), new_id()
        messages = leave_notices(server, bob_id, 20_000)
        await alice.send(waiting := message(bob_id))
        await alice.expect("sent_ack")
        bob = await server.connect(bob_id, max_queue=1)  # reads nothing until it is asked to
        await alice.silent()
        for one in messages:
            await bob.expect("status_update", message_id=one)
        await bob.expect("deliver", message_id=waiting["message_id"])
        await bob.silent(alice)
        assert max(said) < 512 * 1024
        assert server.app.store.read("SELECT COUNT(*) FROM notices") == [(0,)]


@in_loop
async def test_status_updates_of_which_a_later_one_was_told_already_come_no_more() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        sent = message(bob.user)
        await alice.send(sent)
        await alice.expect("sent_ack")
        await alice.close()
        await server.until(lambda: not server.app.hub.of_user(alice.user))
        before = leave_notices(server, alice.user, 2000)
        await bob.expect("deliver")
        await bob.send(frame("delivery_ack", message_id=sent["message_id"]))
        await bob.silent()

        def pause() -> None:  # as if she had read nothing yet of what came first
            (session,) = server.app.hub.of_user(alice.user)
            session.link.paused = True

        after_notices(server, 1, pause)
        alice = await server.connect(alice.user, alice.device)
        (session,) = server.app.hub.of_user(alice.user)
        assert session.untold
        await bob.send(frame("read_receipt", {"message_ids": [sent["message_id"]]}))
        await bob.silent()
        session.link.resume_writing()
        server.app.turn.schedule()
        got = [await alice.receive() for _ in range(len(before) + 1)]
        await alice.silent()
        mine = [one["payload"]["status"] for one in got if one["message_id"] == sent["message_id"]]
        assert mine == ["read"]


@in_loop
async def test_a_store_that_fails_amid_status_updates_keeps_the_rest() -> None:
    async with running_server() as server:
        bob_id, device = new_id(), new_id()
        messages = leave_notices(server, bob_id, 1000)
        after_notices(server, 2, lambda: server.app.store.inject_fault(1))
        bob = await server.connect(bob_id, device)
        closed = await bob.closed()
        assert closed.code == 1011
        told = [one["message_id"] for one in bob.taken if one["type"] == "status_update"]
        assert told == messages[: len(told)]
        assert 0 < len(told) < len(messages)
        bob = await server.connect(bob_id, device)
        for one in messages[len(told) :]:
            await bob.expect("status_update", message_id=one)
        await bob.silent()


@in_loop
async def test_of_too_many_status_updates_the_latest_are_kept() -> None:
    async with running_server(limits={"waiting_per_user": 32}) as server:
        bob_id = new_id()
        messages = leave_notices(server, bob_id, 33)
        bob = await server.connect(bob_id)
        for one in messages[-30:]:
            await bob.expect("status_update", message_id=one)
        await bob.silent()
