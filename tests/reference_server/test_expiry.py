"""Tokens that expire while their connection is open: it ends after `exp`, before the leeway is over."""

from __future__ import annotations

import json

import pytest
from support.control import bench
from support.server import Peer, Running, frame, in_loop, message, new_id
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus


async def with_token(server: Running, lifetime_s: float, *, user: str | None = None) -> Peer:
    user, device = user or new_id(), new_id()
    token = server.token(user, device, lifetime_s=lifetime_s)
    socket = await connect(f"{server.url}?token={token}", compression=None, proxy=None, ping_interval=None)
    peer = Peer(user, device, socket)
    server.peers.append(peer)
    return peer


async def ended(peer: Peer) -> None:
    got = await peer.expect_error("auth_failed")
    assert got["payload"]["reconnect"] is True
    assert (await peer.closed()).code == 1008


@in_loop
async def test_a_connection_ends_once_its_token_has_expired_and_not_before() -> None:
    async with bench(timing={"ping_interval_s": 85}) as control:
        short, long = await with_token(control.server, 40), await with_token(control.server, 80)
        await control.do("advance_clock", seconds=38)
        await short.silent(long)
        await control.do("advance_clock", seconds=4)
        await ended(short)
        await long.send(frame("heartbeat"))
        await long.expect("heartbeat_ack")
        await control.do("advance_clock", seconds=40)
        await ended(long)


@in_loop
async def test_it_ends_within_the_leeway_even_if_the_leeway_is_short() -> None:
    async with bench(timing={"clock_leeway_s": 0.2}) as control:
        clock = control.server.app.clock
        peer = await with_token(control.server, 20)
        session = control.server.app.hub.of_user(peer.user)[0]
        clock.advance(session.expires - clock.now() - 0.01)
        assert not session.closed
        clock.advance(session.expires - clock.now() + 0.15)
        assert session.closed
        await ended(peer)


@in_loop
async def test_a_token_that_is_good_thanks_to_the_leeway_serves_until_the_leeway_is_over() -> None:
    async with bench(timing={"clock_leeway_s": 20, "ping_interval_s": 60}) as control:
        peer = await with_token(control.server, -5)
        await control.do("advance_clock", seconds=10)
        await peer.silent()
        await control.do("advance_clock", seconds=10)
        await ended(peer)
        with pytest.raises(InvalidStatus) as failed:
            await with_token(control.server, -25)
        assert failed.value.response.status_code == 401


@in_loop
async def test_what_was_said_before_the_expiry_stands_and_the_user_s_other_connections_go_on() -> None:
    async with bench(timing={"ping_interval_s": 60}) as control:
        bob = await control.server.connect()
        peer = await with_token(control.server, 30)
        other = await with_token(control.server, 3600, user=peer.user)
        await peer.send(sent := message(bob.user))
        await peer.expect("sent_ack")
        await bob.expect("deliver", message_id=sent["message_id"])
        await control.do("advance_clock", seconds=32)
        await ended(peer)
        await other.silent(bob)
        await bob.send(message(peer.user))
        await bob.expect("sent_ack")
        await other.expect("deliver")
        renewed = await control.server.connect(peer.user, peer.device)
        await renewed.expect("deliver")


@in_loop
async def test_nothing_is_taken_from_a_connection_that_has_ended() -> None:
    async with bench() as control:
        peer = await with_token(control.server, 30)
        bob = await control.server.connect()
        app = control.server.app
        session = app.hub.of_user(peer.user)[0]
        app.clock.advance(32)
        # Straight into the dispatcher, before the loop runs again: the connection is not even closed yet.
        app.dispatcher.receive(session, json.dumps(message(bob.user)).encode(), True)
        await ended(peer)
        await bob.expect("ping")
        await bob.silent()


@in_loop
async def test_a_pending_device_s_token_expires_too() -> None:
    async with bench(timing={"ping_interval_s": 60}) as control:
        user = new_id()
        server = control.server
        device = new_id()
        await control.do("request_device_approval", user_id=user, device_id=device)
        token = server.token(user, device, lifetime_s=30)
        socket = await connect(f"{server.url}?token={token}", compression=None, proxy=None)
        peer = Peer(user, device, socket)
        server.peers.append(peer)
        await control.do("advance_clock", seconds=32)
        await ended(peer)


@in_loop
async def test_a_long_jump_ends_a_connection_once() -> None:
    async with bench() as control:
        peer = await with_token(control.server, 30)
        control.server.app.clock.advance(4000)
        assert control.server.app.turn.mark <= 4  # at most two pings, the error and the closing
        await ended(peer)
        assert [one["type"] for one in peer.taken].count("error") == 1
