"""The clock moved over more than one thing that falls due: each happens in its time, and before the next."""

from __future__ import annotations

from typing import Any

import pytest
from support.server import Peer, Running, frame, in_loop, new_id, running_server

from relaykit.reference_server.clock import Clock

LONG = {"ping_interval_s": 9_000, "idle_timeout_s": 10_000, "ring_timeout_s": 10_000}


async def watched(server: Running, lifetime_s: float) -> tuple[Peer, Peer, float]:
    """Bob, and his contact alice, whose token expires at the Unix time that comes with them."""
    bob, user = await server.connect(), new_id()
    server.app.people.befriend(user, bob.user)
    alice = await server.connect_with(server.token(user, new_id(), lifetime_s=lifetime_s), user)
    await bob.expect("user_online")
    await alice.expect("presence")
    (session,) = server.app.hub.of_user(user)
    return bob, alice, session.expires


def seconds_after(stamp: Any, start: float, server: Running) -> int:
    """The stamp as whole seconds after `start`, by trying: what takes longer than that is wrong anyway."""
    return next(n for n in range(-1, 200) if server.app.clock.stamp(start + n + 0.5) > stamp)


@pytest.mark.parametrize("grace", [0, 10])
@in_loop
async def test_what_the_end_of_a_session_brings_about_happens_on_the_way(grace: int) -> None:
    timing = {**LONG, "presence_grace_s": grace, "call_grace_s": grace}
    async with running_server(timing=timing) as server:
        bob, alice, expires = await watched(server, 30)
        offer = {"target_id": bob.user, "call_type": "audio", "sdp": "v=0"}
        await alice.send(frame("call_offer", offer))
        await bob.expect("call_offer")
        await bob.send(frame("call_answer", {"target_id": alice.user, "sdp": "v=0"}))
        await alice.expect("call_answer")
        server.app.clock.advance(70)
        ended = await bob.expect("call_end", sender_id=alice.user)
        offline = await bob.expect("user_offline", sender_id=alice.user)
        await bob.silent()
        for stamp in (ended["timestamp"], offline["timestamp"]):
            assert seconds_after(stamp, expires, server) in (grace, grace + 1)
        assert seconds_after(offline["payload"]["last_seen"], expires, server) in (0, 1)


@in_loop
async def test_who_is_told_later_on_the_way_is_told_before_being_closed() -> None:
    timing = {"ping_interval_s": 30, "idle_timeout_s": 90, "presence_grace_s": 10}
    async with running_server(timing=timing) as server:
        bob, alice, _ = await watched(server, 3600)
        await alice.close()
        await server.until(lambda: bool(server.app.presence.leaving))
        server.app.clock.advance(100)
        for kind in ("user_offline", "ping", "ping", "error"):
            await bob.expect(kind)
        assert (await bob.closed()).code == 1008


@in_loop
async def test_what_a_fault_delays_comes_in_its_place() -> None:
    timing = {"ping_interval_s": 30, "idle_timeout_s": 90}
    async with running_server(timing=timing, faults=("delay=40s@heartbeat_ack",)) as server:
        alice = await server.connect()
        await alice.send(frame("heartbeat"))
        await server.until(lambda: any(one._held for one in server.app.connections))
        server.app.clock.advance(80)
        for kind in ("ping", "heartbeat_ack", "ping"):
            await alice.expect(kind)


@in_loop
async def test_what_is_to_be_done_between_timers_is_done_after_each_that_runs() -> None:
    clock = Clock()
    seen: list[str] = []
    clock.between = lambda: seen.append("between")
    for name in ("a", "b"):
        clock.call_later(1, seen.append, name)
    clock.call_later(1, seen.append, "withdrawn").cancel()
    clock.call_later(2, lambda: 1 / 0)
    clock.advance(3)
    assert seen == ["a", "between", "b", "between", "between"]
    clock.close()
