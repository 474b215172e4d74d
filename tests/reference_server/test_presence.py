"""Presence: who hears that somebody came, left, or wishes to be seen otherwise, and when."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from support.raw import Raw, request
from support.server import Peer, Running, frame, in_loop, message, new_group, new_id, running_server
from websockets.exceptions import InvalidStatus

from relaykit.reference_server.presence import entered
from relaykit.reference_server.session import Session

GRACE = {"presence_grace_s": 10, "ping_interval_s": 900, "idle_timeout_s": 999}


def status(value: str) -> dict[str, Any]:
    return frame("presence", {"status": value})


def befriend(server: Running, user: str, *others: str) -> None:
    for other in others:
        server.app.people.befriend(user, other)


async def told(watcher: Peer, kind: str, user: str) -> dict[str, Any]:
    """That somebody came or left."""
    got = await watcher.expect(kind, sender_id=user, server_id="test")
    assert got["payload"]["user_id"] == user
    return got


async def seen(watcher: Peer, user: str, value: str) -> None:
    """How somebody wishes to be seen."""
    got = await watcher.expect("presence")
    assert got["payload"] == {"user_id": user, "status": value}


async def friends(server: Running) -> tuple[Peer, str, str]:
    """Bob, who is connected; alice and carol, who are not yet. He knows alice only."""
    bob, alice, carol = await server.connect(), new_id(), new_id()
    befriend(server, alice, bob.user)
    return bob, alice, carol


@in_loop
async def test_contacts_hear_of_the_first_connection_and_of_the_end_of_the_last_only() -> None:
    async with running_server() as server:
        bob, alice, _ = await friends(server)
        bob2, mallory = await server.connect(bob.user), await server.connect()
        phone = await server.connect(alice)
        for device in (bob, bob2):
            assert (await told(device, "user_online", alice))["payload"] == {"user_id": alice}
        laptop = await server.connect(alice)
        laptop2 = await server.connect(alice, laptop.device)
        await phone.close()
        await laptop.close()
        await bob.silent()
        at = server.app.clock.stamp()
        await laptop2.close()
        for device in (bob, bob2):
            got = await told(device, "user_offline", alice)
            assert at <= got["payload"]["last_seen"] <= got["timestamp"]
        phone = await server.connect(alice)
        await told(bob, "user_online", alice)
        await bob.silent()
        await mallory.silent()


@in_loop
async def test_a_connection_that_breaks_ends_like_one_that_is_closed() -> None:
    async with running_server() as server:
        bob, alice, _ = await friends(server)
        phone = await server.connect(alice)
        await told(bob, "user_online", alice)
        phone.socket.transport.abort()
        await told(bob, "user_offline", alice)


@in_loop
async def test_users_are_contacts_once_both_have_written() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        await alice.send(message(bob.user))
        await alice.expect("sent_ack")
        await bob.expect("deliver")
        await alice.close()
        alice = await server.connect(alice.user, alice.device)
        await alice.send(status("away"))
        await alice.silent()
        await bob.silent()
        await bob.send(message(alice.user))
        await bob.expect("sent_ack")
        await alice.expect("deliver")
        await alice.silent()
        await bob.silent()  # becoming contacts is no coming and going
        await alice.send(status("busy"))
        await seen(bob, alice.user, "busy")
        await alice.close()
        await told(bob, "user_offline", alice.user)
        await server.connect(alice.user, alice.device)
        await told(bob, "user_online", alice.user)


@in_loop
async def test_a_message_to_a_group_makes_nobody_a_contact() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        group = new_group()
        server.app.people.create_group(group, [alice.user, bob.user])
        for sender, receiver in ((alice, bob), (bob, alice)):
            await sender.send(message(None, group_id=group))
            await sender.expect("sent_ack")
            await receiver.expect("group_message")
        await alice.close()
        await bob.silent()


@in_loop
async def test_a_status_reaches_contacts_alone_with_the_true_user() -> None:
    async with running_server() as server:
        bob, alice, _ = await friends(server)
        bob2, mallory = await server.connect(bob.user), await server.connect()
        phone = await server.connect(alice)
        laptop = await server.connect(alice)
        await seen(phone, bob.user, "online")
        await seen(laptop, bob.user, "online")
        await phone.send({**status("away"), "sender_id": mallory.user, "device_id": new_id()})
        for device in (bob, bob2):
            await told(device, "user_online", alice)
            await seen(device, alice, "away")
        for peer in (phone, laptop, mallory, bob):
            await peer.silent(phone)
        assert all("device_id" not in got and "sender_id" not in got for got in bob.taken[-2:-1])


@in_loop
async def test_a_newcomer_sees_the_contacts_who_are_online_and_nobody_else() -> None:
    async with running_server() as server:
        bob, alice, carol = await friends(server)
        befriend(server, alice, carol)
        mallory = await server.connect()
        await bob.send(status("busy"))
        await mallory.send(status("away"))
        await bob.silent(mallory)
        phone = await server.connect(alice)
        await seen(phone, bob.user, "busy")
        await phone.silent()
        await bob.send(status("offline"))  # who wishes to be seen as offline is
        await seen(phone, bob.user, "offline")
        laptop = await server.connect(alice)
        await seen(laptop, bob.user, "offline")
        await laptop.silent()


@in_loop
async def test_a_status_holds_for_the_user_until_the_last_connection_ends() -> None:
    async with running_server() as server:
        bob, alice, _ = await friends(server)
        phone = await server.connect(alice)
        await told(bob, "user_online", alice)
        await phone.send(status("away"))
        await seen(bob, alice, "away")
        laptop = await server.connect(alice)
        await phone.close()
        bob = await server.connect(bob.user)
        await seen(bob, alice, "away")
        await laptop.close()
        await told(bob, "user_offline", alice)
        await server.connect(alice)
        await told(bob, "user_online", alice)
        bob = await server.connect(bob.user)
        await seen(bob, alice, "online")


@in_loop
async def test_waiting_messages_come_before_the_presence_of_contacts() -> None:
    async with running_server() as server:
        bob, alice, _ = await friends(server)
        await bob.send(message(alice))
        await bob.expect("sent_ack")
        phone = await server.connect(alice)
        await phone.expect("deliver")
        await seen(phone, bob.user, "online")


@in_loop
async def test_who_returns_within_the_grace_was_never_gone() -> None:
    async with running_server(timing=GRACE) as server:
        bob, alice, _ = await friends(server)
        phone = await server.connect(alice)
        await told(bob, "user_online", alice)
        await phone.close()
        server.app.clock.advance(9)
        phone = await server.connect(alice)
        server.app.clock.advance(9)
        await phone.close()
        server.app.clock.advance(9)
        await bob.silent()
        left = server.app.clock.now() - 9
        server.app.clock.advance(1)
        got = await told(bob, "user_offline", alice)
        assert got["payload"]["last_seen"] < server.app.clock.stamp(left + 5)
        assert server.app.presence.leaving == {}


@in_loop
async def test_a_status_does_not_outlast_the_last_connection_even_within_the_grace() -> None:
    async with running_server(timing=GRACE) as server:
        bob, alice, _ = await friends(server)
        phone = await server.connect(alice)
        await told(bob, "user_online", alice)
        await phone.send(status("away"))
        await seen(bob, alice, "away")
        await phone.close()
        bob2 = await server.connect(bob.user)
        await seen(bob2, alice, "online")  # that she is gone shows only after the grace
        phone = await server.connect(alice)
        await seen(bob, alice, "online")  # whoever was told of the status hears that it is over
        laptop = await server.connect(alice)
        await bob.silent()
        await phone.close()
        await laptop.send(status("away"))
        await seen(bob, alice, "away")
        await laptop.close()
        server.app.clock.advance(10)
        await told(bob, "user_offline", alice)
        assert server.app.presence.lapsed == set()
        await server.connect(alice)
        await told(bob, "user_online", alice)
        await bob.silent()


@in_loop
async def test_presence_survives_a_store_that_fails() -> None:
    async with running_server() as server:
        bob, alice, _ = await friends(server)
        phone = await server.connect(alice)
        await told(bob, "user_online", alice)
        await refused_for_the_store(server, alice)
        await phone.close()
        await told(bob, "user_offline", alice)
        await refused_for_the_store(server, alice)
        await bob.silent()
        phone = await server.connect(alice, phone.device)
        await told(bob, "user_online", alice)
        await refused_for_the_store(server, alice)
        # The connection ends in a turn whose writes fail.
        server.app.store.inject_fault(1)
        server.app.mailboxes.register(new_id(), new_id())
        server.app.leave(session_of(server, alice))
        await told(bob, "user_offline", alice)


async def refused_for_the_store(server: Running, user: str) -> None:
    """A new device connects, which cannot be stored."""
    server.app.store.inject_fault(1)
    with pytest.raises(InvalidStatus, match="503"):
        await server.connect(user)


# --- what the loop does when it reads the end of one connection and a handshake at once ---


def session_of(server: Running, user: str) -> Session:
    (session,) = server.app.hub.of_user(user)
    return session


def come(server: Running, session: Session) -> None:
    session.closed = False
    server.app.hub.add(session)
    entered(server.app, session)


@in_loop
async def test_who_leaves_and_returns_in_the_same_turn_has_been_away() -> None:
    async with running_server() as server:
        bob, alice, _ = await friends(server)
        phone = await server.connect(alice)
        await told(bob, "user_online", alice)
        await phone.send(status("away"))
        await seen(bob, alice, "away")
        session = session_of(server, alice)
        server.app.leave(session)
        come(server, session)
        await told(bob, "user_offline", alice)
        await told(bob, "user_online", alice)
        bob2 = await server.connect(bob.user)
        await seen(bob2, alice, "online")


@in_loop
async def test_who_comes_and_leaves_in_the_same_turn_was_never_there() -> None:
    async with running_server(timing=GRACE) as server:
        bob, alice, _ = await friends(server)
        phone = await server.connect(alice)
        await told(bob, "user_online", alice)
        session = session_of(server, alice)
        await phone.close()
        server.app.clock.advance(5)
        come(server, session)
        server.app.leave(session)
        await bob.silent()
        server.app.clock.advance(9)
        await bob.silent()
        server.app.clock.advance(1)
        await told(bob, "user_offline", alice)
        server.app.clock.advance(20)
        await bob.silent()


@in_loop
async def test_a_session_that_could_not_begin_keeps_nobody_online() -> None:
    async with running_server() as server:
        bob, alice, _ = await friends(server)
        await server.connect(alice)
        await told(bob, "user_online", alice)
        first = session_of(server, alice)
        second = Session(first.link, alice, new_id(), expires=first.expires, bucket=first.bucket)
        come(server, second)
        server.app.leave(first)
        second.closed = True  # its device could not be stored
        server.app.hub.remove(second)
        await told(bob, "user_offline", alice)


@in_loop
async def test_ten_thousand_contacts_are_no_reason_to_call_a_newcomer_slow() -> None:
    count = 12_000  # of 230 bytes each: more than one turn may say
    async with running_server(check_output=False) as server:
        alice = new_id()
        others = [new_id() for _ in range(count)]
        people, presence = server.app.people, server.app.presence
        server.app.durably(
            lambda: server.app.store.write_many(
                "INSERT INTO befriended VALUES (?, ?)", [(alice, other) for other in others]
            )
        )
        assert len(people.contacts(alice)) == count
        presence.online.update(others)
        peer = await server.connect(alice)
        first = await peer.expect("presence")
        gone = max(others)  # the last one to be shown
        presence.online.discard(gone)
        shown = {first["payload"]["user_id"]}
        for _ in range(count - 2):
            shown.add((await peer.expect("presence"))["payload"]["user_id"])
        await peer.silent()
        assert shown == set(others) - {gone}


@in_loop
async def test_contacts_are_shown_to_a_newcomer_at_the_pace_at_which_it_reads() -> None:
    async with running_server(check_output=False, max_outgoing_bytes=65_536) as server:
        alice, others = new_id(), [new_id() for _ in range(4_000)]
        server.app.durably(
            lambda: server.app.store.write_many(
                "INSERT INTO befriended VALUES (?, ?)", [(alice, other) for other in others]
            )
        )
        server.app.presence.online.update(others)
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        narrow.connect(("127.0.0.1", server.port))
        raw = Raw(*await asyncio.open_connection(sock=narrow))
        raw.writer.transport.pause_reading()
        await server.until(lambda: bool(server.app.connections))
        (connection,) = server.app.connections
        narrow = connection._transport.get_extra_info("socket")
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        await raw.send(request(f"/ws?token={server.token(alice, new_id())}"))
        await server.until(lambda: connection.paused)
        (session,) = server.app.hub
        assert session.unseen
        raw.writer.transport.resume_reading()
        assert (await raw.response()).status == 101
        shown = {(await raw.receive()).json["payload"]["user_id"] for _ in others}
        assert shown == set(others)
        await raw.close()
