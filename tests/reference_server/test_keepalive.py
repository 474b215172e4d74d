"""Heartbeats, pings, silence and expiry, by a clock that the test moves."""

from __future__ import annotations

import time

import pytest
from support.server import Running, frame, in_loop, new_id, running_server

from relaykit.reference_server import keepalive


@in_loop
async def test_a_heartbeat_is_answered_on_the_same_connection() -> None:
    async with running_server() as server:
        alice = await server.connect()
        twin = await server.connect(alice.user, alice.device)
        await alice.send(frame("heartbeat"), frame("heartbeat", {}))
        await alice.expect("heartbeat_ack")
        await alice.expect("heartbeat_ack")
        await twin.silent()


@in_loop
async def test_an_idle_connection_is_pinged_and_a_pong_is_taken_silently() -> None:
    async with running_server() as server:
        alice = await server.connect()
        interval = server.app.settings.timing["ping_interval_s"]
        for _ in range(5):  # far beyond the timeout, but never silent for so long
            server.app.clock.advance(interval + 2)
            await alice.expect("ping")
            await alice.send(frame("pong"))
            await alice.silent()


@in_loop
async def test_silence_ends_the_connection() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        timing = server.app.settings.timing
        server.app.clock.advance(timing["idle_timeout_s"] - 2)
        while (await bob.receive())["type"] == "ping":
            await bob.send(frame("heartbeat"))
        while len(bob.taken) > 1 and bob.taken[-1]["type"] != "heartbeat_ack":
            await bob.receive()
        server.app.clock.advance(4)
        close = await alice.closed()
        assert close.code == 1008
        error = alice.taken[-1]
        assert error["payload"]["error_code"] == "connection_timeout"
        assert error["payload"]["reconnect"] is True
        assert [one["type"] for one in alice.taken[:-1]] == ["ping", "ping"]
        assert [session.user for session in server.app.hub] == [bob.user]


@in_loop
async def test_who_spoke_while_the_server_stood_still_was_not_silent() -> None:
    async with running_server(timing={"ping_interval_s": 0.8, "idle_timeout_s": 1}) as server:
        alice = await server.connect()
        await alice.send(frame("heartbeat"))
        await alice.expect("heartbeat_ack")
        for _ in range(2):
            alice.socket.transport.write(bytes((0x89, 0x80, 0, 0, 0, 0)))  # a ping, which nobody reads yet
            time.sleep(1.2)  # noqa: ASYNC251  (what a SIGSTOP does)
            # After a signal the event loop may come to its timers before it comes to what is to be read.
            server.app.clock._tick()
            await alice.send(frame("heartbeat"))
            while (got := await alice.receive())["type"] == "ping":
                pass
            assert got["type"] == "heartbeat_ack"


@in_loop
async def test_moving_the_clock_far_sends_a_bounded_number_of_pings() -> None:
    week = 7 * 24 * 3600
    async with running_server(timing={"ping_interval_s": 1, "idle_timeout_s": week}) as server:
        alice = await server.connect_with(server.token(new_id(), new_id(), lifetime_s=10 * week))
        server.app.clock.advance(500_000)
        await alice.send(frame("heartbeat"))
        while (await alice.receive())["type"] == "ping":
            pass
        kinds = [one["type"] for one in alice.taken]
        assert 50 <= kinds.count("ping") <= 70
        assert kinds[-1] == "heartbeat_ack"
        server.app.clock.advance(week)
        assert (await alice.closed()).code == 1008


@in_loop
async def test_control_frames_count_as_signs_of_life() -> None:
    async with running_server() as server:
        alice = await server.connect()
        for _ in range(4):
            server.app.clock.advance(server.app.settings.timing["idle_timeout_s"] * 0.6)
            await (await alice.socket.ping())
        await alice.send(frame("heartbeat"))
        while (got := await alice.receive())["type"] == "ping":
            pass
        assert got["type"] == "heartbeat_ack"


@in_loop
async def test_days_pass_at_once_even_with_the_shortest_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds = []
    look = keepalive._look_after_all
    monkeypatch.setattr(keepalive, "_look_after_all", lambda app: (rounds.append(1), look(app)))
    timing = {"ping_interval_s": 0.05, "idle_timeout_s": 3600}
    async with running_server(timing=timing) as server:
        alice = await server.connect()
        (session,) = server.app.hub.of_user(alice.user)
        session.link.heard = server.app.clock.monotonic()
        rounds.clear()
        server.app.clock.advance(1.0)
        pings = len(rounds)
        assert 15 <= pings <= 60  # each ping in its time
        server.app.clock.advance(3600)
        await alice.closed()
        assert [one["type"] for one in alice.taken].count("error") == 1
        rounds.clear()
        server.app.clock.advance(30 * 24 * 3600)
        assert len(rounds) < 5  # nobody is there any more


async def expiring(server: Running, seconds: float) -> None:
    """A session whose token expires ends between that and the leeway."""
    alice = await server.connect_with(server.token(new_id(), new_id(), lifetime_s=seconds))
    server.app.clock.advance(seconds - 5)  # `exp` is in whole seconds, and a busy machine is slow
    await alice.silent()
    server.app.clock.advance(7)
    assert (await alice.closed()).code == 1008
    payload = alice.taken[-1]["payload"]
    assert (payload["error_code"], payload["reconnect"]) == ("auth_failed", True)


@in_loop
async def test_a_session_ends_when_its_token_expires() -> None:
    async with running_server(timing={"ping_interval_s": 10_000, "idle_timeout_s": 10_000}) as server:
        await expiring(server, 30)
        await expiring(server, 3600)
