"""Calls over real sockets: who gets which frame of a call, and what the server says itself.

What the rules are is proved in test_calls_state; here, that frames, connections and the clock drive them.
"""

from __future__ import annotations

from typing import Any

import pytest
from support.server import Peer, Running, frame, in_loop, new_id, running_server

SDP = "v=0\r\no=- 1 0 IN IP4 127.0.0.1\r\n"
# No pings while the clock jumps.
QUIET = {"ping_interval_s": 900, "idle_timeout_s": 999}
CANDIDATE = {"candidate": "", "sdpMid": "0", "x": [1, None]}


def offer(target: str, sdp: str = SDP) -> dict[str, Any]:
    return frame("call_offer", {"target_id": target, "call_type": "video", "sdp": sdp})


def answer(target: str) -> dict[str, Any]:
    return frame("call_answer", {"target_id": target, "sdp": SDP})


def candidate(target: str) -> dict[str, Any]:
    return frame("ice_candidate", {"target_id": target, "candidate": CANDIDATE})


def ending(kind: str, target: str, **more: str) -> dict[str, Any]:
    return frame(kind, {"target_id": target, **more})


async def ring(caller: Peer, *callees: Peer) -> None:
    """Call all devices of a user."""
    await caller.send(offer(callees[0].user))
    for callee in callees:
        await callee.expect("call_offer", sender_id=caller.user)


async def talk(caller: Peer, callee: Peer) -> None:
    """Call a user with one device, who answers."""
    await ring(caller, callee)
    await callee.send(answer(caller.user))
    await caller.expect("call_answer", sender_id=callee.user)


async def expect_end(peer: Peer, about: str, reason: str) -> None:
    """The server's own call_end."""
    got = await peer.expect("call_end", sender_id=about)
    assert got["payload"] == {"target_id": peer.user, "reason": reason}


async def expect_busy(caller: Peer, target: str) -> None:
    """The server's own answer to an offer."""
    await caller.send(offer(target))
    got = await caller.expect("call_busy", sender_id=target)
    assert got["payload"] == {"target_id": target}


async def expect_free(caller: Peer, callee: Peer) -> None:
    """An offer gets through, and is taken back."""
    await ring(caller, callee)
    await caller.send(ending("call_end", callee.user))
    await callee.expect("call_end", sender_id=caller.user)


async def household(server: Running) -> tuple[Peer, Peer, Peer, Peer, Peer]:
    """Two users with two devices each, and a third user."""
    alice, bob = await server.pair()
    return (
        alice,
        await server.connect(alice.user),
        bob,
        await server.connect(bob.user),
        await server.connect(),
    )


@in_loop
async def test_a_call_from_offer_to_end_between_the_two_devices_that_make_it() -> None:
    async with running_server() as server:
        alice, alice2, bob, bob2, carol = await household(server)
        await ring(alice, bob, bob2)
        await alice.send(candidate(bob.user))
        for device in (bob, bob2):
            got = await device.expect("ice_candidate", sender_id=alice.user)
            assert got["payload"] == {"target_id": bob.user, "candidate": CANDIDATE}
        await bob2.send(answer(alice.user))
        got = await alice.expect("call_answer", sender_id=bob.user)
        assert got["payload"] == {"target_id": alice.user, "sdp": SDP}
        await expect_end(bob, alice.user, "answered_elsewhere")
        await alice.send(candidate(bob.user), offer(bob.user, "v=1"))
        await bob2.expect("ice_candidate", sender_id=alice.user)
        assert (await bob2.expect("call_offer", sender_id=alice.user))["payload"]["sdp"] == "v=1"
        await bob2.send(answer(alice.user), ending("call_end", alice.user, reason="hung_up"))
        await alice.expect("call_answer")
        got = await alice.expect("call_end", sender_id=bob.user)
        assert got["payload"] == {"target_id": alice.user, "reason": "hung_up"}
        for peer in (alice, alice2, bob, bob2, carol):
            await peer.silent(alice, bob2)


@in_loop
async def test_a_user_in_a_call_with_somebody_else_is_busy_on_either_side_from_the_offer_on() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        carol = await server.connect()
        for step in (ring, talk):
            await step(alice, bob)
            await expect_busy(carol, alice.user)
            await expect_busy(carol, bob.user)
            await bob.silent(carol)
            await alice.send(ending("call_end", bob.user))
            await bob.expect("call_end")
        await expect_free(carol, bob)
        await expect_free(carol, alice)


@in_loop
async def test_somebody_without_a_connection_is_busy_and_hears_nothing_later() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        await bob.close()
        await expect_busy(alice, bob.user)
        await alice.send(candidate(bob.user), ending("call_end", bob.user), answer(bob.user))
        await alice.silent()
        bob = await server.connect(bob.user, bob.device)
        await bob.silent(alice)
        await expect_free(alice, bob)
        await expect_busy(alice, new_id())


@in_loop
async def test_of_two_offers_that_cross_the_first_stands() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        await ring(alice, bob)
        await expect_busy(bob, alice.user)
        await bob.send(answer(alice.user))
        await alice.expect("call_answer")


@pytest.mark.parametrize("kind", ["call_reject", "call_end", "call_busy"])
@in_loop
async def test_one_device_of_the_callee_refuses_for_all_and_frees_both(kind: str) -> None:
    async with running_server() as server:
        alice, alice2, bob, bob2, carol = await household(server)
        await ring(alice, bob, bob2)
        await bob.send(ending(kind, alice.user, reason="not_now"))
        got = await alice.expect(kind, sender_id=bob.user)
        assert got["payload"] == {"target_id": alice.user, "reason": "not_now"}
        await expect_end(bob2, alice.user, "rejected_elsewhere")
        for peer in (alice, alice2, bob, bob2):
            await peer.silent(bob)
        await ring(carol, bob, bob2)
        await carol.send(ending("call_end", bob.user))
        await bob.expect("call_end")
        await ring(carol, alice, alice2)


@in_loop
async def test_a_caller_who_gives_up_stops_the_ringing_everywhere() -> None:
    async with running_server() as server:
        alice, _alice2, bob, bob2, carol = await household(server)
        await ring(alice, bob, bob2)
        await alice.send(ending("call_end", bob.user))
        for device in (bob, bob2):
            await device.expect("call_end", sender_id=alice.user)
        await ring(carol, bob, bob2)


@in_loop
async def test_what_other_devices_send_in_a_call_is_refused_and_ends_nothing() -> None:
    async with running_server() as server:
        alice, alice2, bob, bob2, carol = await household(server)
        await ring(alice, bob, bob2)
        await bob.send(answer(alice.user))
        await alice.expect("call_answer")
        await expect_end(bob2, alice.user, "answered_elsewhere")
        for late in (answer(alice.user), ending("call_reject", alice.user), ending("call_busy", alice.user)):
            await bob2.send(late)
            await bob2.expect_error("invalid_message")
        await alice2.send(ending("call_end", bob.user))
        await alice2.expect_error("invalid_message")
        await alice.silent(bob2)
        await bob.silent(alice2)
        await expect_busy(carol, bob.user)


@in_loop
async def test_who_is_in_a_call_cannot_begin_another() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        carol = await server.connect()
        await talk(alice, bob)
        await alice.send(offer(carol.user))
        await alice.expect_error("invalid_message")
        await carol.silent(alice)
        await bob.silent()


@in_loop
async def test_a_call_that_nobody_answers_ends_for_both_at_the_ring_timeout() -> None:
    async with running_server(timing={**QUIET, "ring_timeout_s": 45}) as server:
        alice, alice2, bob, bob2, carol = await household(server)
        await ring(alice, bob, bob2)
        server.app.clock.advance(44)
        for peer in (alice, bob, bob2):
            await peer.silent()
        server.app.clock.advance(1)
        await expect_end(alice, bob.user, "no_answer")
        for device in (bob, bob2):
            await expect_end(device, alice.user, "no_answer")
        await alice2.silent()
        await expect_free(carol, alice)
        assert server.app.calls.timers == {}
        await ring(carol, bob, bob2)


@in_loop
async def test_an_answered_call_outlives_the_ring_timeout_and_a_new_one_rings_its_full_time() -> None:
    async with running_server(timing={**QUIET, "ring_timeout_s": 45}) as server:
        alice, bob = await server.pair()
        await ring(alice, bob)
        server.app.clock.advance(30)
        await alice.send(ending("call_end", bob.user))
        await bob.expect("call_end")
        await ring(alice, bob)
        server.app.clock.advance(30)
        await alice.silent()
        await bob.send(answer(alice.user))
        await alice.expect("call_answer")
        server.app.clock.advance(100)
        await alice.silent()
        await bob.silent()


@in_loop
async def test_a_side_that_vanishes_ends_the_call_for_the_other_and_frees_it() -> None:
    async with running_server() as server:
        for leaver in (0, 1):
            pair = await server.pair()
            carol = await server.connect()
            await talk(*pair)
            gone, left = pair[leaver], pair[1 - leaver]
            gone.socket.transport.abort()
            await expect_end(left, gone.user, "connection_lost")
            await left.silent()
            await expect_free(carol, left)


@in_loop
async def test_a_caller_who_vanishes_ends_the_ringing_on_all_devices() -> None:
    async with running_server() as server:
        alice, alice2, bob, bob2, _carol = await household(server)
        await ring(alice, bob, bob2)
        await alice.close()
        for device in (bob, bob2):
            await expect_end(device, alice.user, "connection_lost")
        await alice2.silent()


@in_loop
async def test_it_rings_on_while_a_device_that_rang_is_left() -> None:
    async with running_server() as server:
        alice, _alice2, bob, bob2, _carol = await household(server)
        await ring(alice, bob, bob2)
        await bob.close()
        await alice.silent(bob2)
        await alice.send(candidate(bob.user))
        await bob2.expect("ice_candidate")
        await bob2.close()
        await expect_end(alice, bob.user, "connection_lost")
        await alice.silent()


@in_loop
async def test_a_device_that_is_not_in_the_call_may_come_and_go() -> None:
    async with running_server() as server:
        alice, alice2, bob, bob2, _carol = await household(server)
        await ring(alice, bob, bob2)
        await bob.send(answer(alice.user))
        await alice.expect("call_answer")
        await alice2.close()
        await bob2.close()
        second = await server.connect(bob.user, bob.device)  # the same device once more
        await second.close()
        await alice.silent(bob)
        await alice.send(candidate(bob.user))
        await bob.expect("ice_candidate")


@in_loop
async def test_a_device_has_its_grace_to_come_back_to_its_call() -> None:
    async with running_server(timing={**QUIET, "call_grace_s": 10}) as server:
        alice, bob = await server.pair()
        await talk(alice, bob)
        await bob.close()
        server.app.clock.advance(9)
        await alice.silent()
        bob = await server.connect(bob.user, bob.device)
        server.app.clock.advance(9)
        await alice.send(candidate(bob.user))
        await bob.expect("ice_candidate")
        await bob.close()
        server.app.clock.advance(5)
        bob = await server.connect(bob.user, bob.device)
        server.app.clock.advance(4)
        await bob.close()  # a second before its first grace is over, which counts no more
        server.app.clock.advance(9)
        await alice.silent()
        server.app.clock.advance(1)
        await expect_end(alice, bob.user, "connection_lost")
        assert server.app.calls.timers == {}


@in_loop
async def test_signaling_between_users_in_no_call_is_relayed_all_the_same() -> None:
    async with running_server() as server:
        alice, alice2, bob, bob2, carol = await household(server)
        for sent in (
            answer(bob.user),
            candidate(bob.user),
            *(ending(kind, bob.user) for kind in ("call_reject", "call_end", "call_busy")),
        ):
            await alice.send(sent)
            for device in (bob, bob2):
                got = await device.expect(sent["type"], sender_id=alice.user)
                assert got["payload"] == sent["payload"]
        for peer in (alice, alice2, carol):
            await peer.silent(alice)


@in_loop
async def test_targets_are_compared_without_case() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        await alice.send(offer(bob.user.upper()))
        got = await bob.expect("call_offer")
        assert got["payload"]["target_id"] == bob.user.upper()
        await bob.send(answer(alice.user.upper()))
        await alice.expect("call_answer")
        await bob.send(ending("call_end", alice.user.upper()))
        await alice.expect("call_end")
        assert len(server.app.calls.table) == 0
        assert server.app.calls.timers == {}


@in_loop
async def test_calling_oneself_reaches_the_other_devices_and_is_no_call() -> None:
    async with running_server() as server:
        alice, alice2, bob, *_ = await household(server)
        await alice.send(offer(alice.user))
        await alice2.expect("call_offer")
        await alice.silent()
        await ring(bob, alice, alice2)
