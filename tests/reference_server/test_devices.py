"""Approval of devices: who is asked, who is told, what a device may do until then, and what lasts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.control import Bench, bench
from support.server import Peer, Running, frame, in_loop, message, new_id
from websockets.exceptions import InvalidStatus

LIFE_S = 40
"""Shorter than the silence after which connections end, so that the clock can be moved past it."""


async def ask(control: Bench, user: str, device: str, **more: Any) -> dict[str, Any]:
    return await control.do("request_device_approval", user_id=user, device_id=device, **more)


async def decide(control: Bench, asked: dict[str, Any], approved: bool) -> None:
    await control.do("decide_device_approval", request_id=asked["request_id"], approved=approved)


async def told(peer: Peer, kind: str, asked: dict[str, Any]) -> None:
    payload = (await peer.expect(kind))["payload"]
    assert payload["request_id"] == asked["request_id"]
    assert payload["message"]


async def turned_out(peer: Peer) -> None:
    got = await peer.expect_error("auth_failed")
    assert got["payload"]["reconnect"] is False
    assert (await peer.closed()).code == 1008


async def refused(server: Running, user: str, device: str) -> None:
    with pytest.raises(InvalidStatus) as failed:
        await server.connect(user, device)
    assert failed.value.response.status_code == 401


# --- the request ---


@in_loop
async def test_the_primary_device_alone_is_asked() -> None:
    async with bench() as control:
        phone = await control.server.connect()
        laptop = await control.server.connect(phone.user)
        other = await control.server.connect()
        device = new_id()
        details = {
            "device_name": "Work laptop",
            "device_type": "desktop",
            "ip_address": "2001:db8::17",
            "user_agent": "Example/1.0",
            "location": "",
        }
        asked = await ask(control, phone.user, device, expires_in=60, **details)
        shown = (await phone.expect("device_approval_request"))["payload"]
        assert shown == {**asked, **details}
        assert len(asked["code"]) == 6
        assert asked["expires_at"] == control.server.app.clock.stamp(
            control.server.app.devices.open_of(phone.user)[0].expires
        )
        pending = await control.server.connect(phone.user, device)
        for peer in (laptop, other, pending):
            await peer.silent(phone)


@in_loop
async def test_what_is_not_known_of_a_device_is_not_made_up() -> None:
    async with bench(timing={"approval_lifetime_s": 300}) as control:
        phone = await control.server.connect()
        now = control.server.app.clock.now()
        asked = await ask(control, phone.user, new_id())
        shown = (await phone.expect("device_approval_request"))["payload"]
        assert set(shown) == {"request_id", "device_name", "device_type", "code", "expires_at"}
        assert now + 299 <= control.server.app.devices.open_of(phone.user)[0].expires <= now + 301
        assert asked["request_id"] == shown["request_id"]


@in_loop
async def test_every_connection_of_the_primary_device_is_asked() -> None:
    async with bench() as control:
        phone = await control.server.connect()
        again = await control.server.connect(phone.user, phone.device)
        await ask(control, phone.user, new_id())
        for peer in (phone, again):
            await peer.expect("device_approval_request")


@in_loop
async def test_a_primary_device_that_was_away_is_asked_on_its_return_until_the_request_lapses() -> None:
    async with bench() as control:
        phone, late = new_id(), new_id()
        user = (await control.do("create_user", devices=[phone, new_id()]))["user_id"]
        first = await ask(control, user, late, expires_in=LIFE_S)
        second = await ask(control, user, new_id(), expires_in=LIFE_S / 2)
        secondary = await control.server.connect(user)
        await secondary.silent()
        peer = await control.server.connect(user, phone)
        for asked in (first, second):
            shown = (await peer.expect("device_approval_request"))["payload"]
            assert shown["request_id"] == asked["request_id"]
        await control.do("advance_clock", seconds=LIFE_S / 2)
        peer = await control.server.connect(user, phone)  # shown again, but for the one that has lapsed
        assert (await peer.expect("device_approval_request"))["payload"]["request_id"] == first["request_id"]
        await peer.silent()
        await control.do("advance_clock", seconds=LIFE_S / 2)
        peer = await control.server.connect(user, phone)
        await peer.silent()


@in_loop
async def test_a_first_device_is_asked_about_one_that_asked_before_it() -> None:
    async with bench() as control:
        user, device = new_id(), new_id()
        await ask(control, user, device)
        phone = await control.server.connect(user)
        await phone.expect("device_approval_request")
        assert (await control.do("create_user", user_id=user))["primary_device_id"] == phone.device


@in_loop
async def test_who_may_not_ask() -> None:
    async with bench() as control:
        phone = await control.server.connect()
        await control.refused(
            409, "request_device_approval", user_id=phone.user, device_id=phone.device.upper()
        )
        device = new_id()
        asked = await ask(control, phone.user, device)
        await control.refused(409, "request_device_approval", user_id=phone.user, device_id=device)
        await phone.expect("device_approval_request")
        await ask(control, new_id(), device)  # the same device_id of another user is another device
        await phone.silent()
        await decide(control, asked, approved=False)
        again = await ask(control, phone.user, device)  # denied: it may ask once more
        shown = await phone.expect("device_approval_request")
        assert shown["payload"]["request_id"] == again["request_id"] != asked["request_id"]


# --- pending ---


@in_loop
async def test_a_pending_device_is_served_with_keep_alives_and_nothing_else() -> None:
    async with bench(timing={"ping_interval_s": 30}) as control:
        phone, bob = await control.server.pair()
        device = new_id()
        asked = await ask(control, phone.user, device)
        await phone.expect("device_approval_request")
        await control.do("add_contact", user_id=phone.user, contact_id=bob.user)
        pending = await control.server.connect(phone.user, device)
        await pending.silent()  # its heartbeat is answered
        await pending.send(frame("pong"))
        sent = message(phone.user)
        await bob.send(sent, frame("presence", {"status": "away"}))
        await bob.expect("sent_ack")
        await phone.expect("deliver")
        await phone.expect("presence")
        call = {"target_id": phone.user, "call_type": "audio", "sdp": "v=0"}
        await bob.send(frame("call_offer", call))
        await phone.expect("call_offer")
        await phone.send(frame("sync_request", {"target_device_id": device}))
        await phone.expect("error")
        await pending.silent(bob, phone)
        await control.do("advance_clock", seconds=31)
        await pending.expect("ping")
        await pending.silent()
        assert asked["request_id"]


@in_loop
async def test_whatever_else_a_pending_device_sends_is_refused_and_has_no_effect() -> None:
    async with bench() as control:
        phone, bob = await control.server.pair()
        device = new_id()
        await control.do("add_contact", user_id=phone.user, contact_id=bob.user)
        conversation = await control.do("conversation", members=[phone.user, bob.user])
        await bob.send(sent := message(phone.user))
        await phone.expect("deliver")
        await bob.expect("sent_ack")
        await ask(control, phone.user, device)
        await phone.expect("device_approval_request")
        pending = await control.server.connect(phone.user, device)
        to_bob = {"target_id": bob.user}
        for one in (
            message(bob.user),
            frame("delivery_ack", message_id=sent["message_id"]),
            frame("read_receipt", {"message_ids": [sent["message_id"]]}, message_id=new_id()),
            frame("presence", {"status": "busy"}),
            frame("typing", {"conversation_id": conversation["conversation_id"], "is_typing": True}),
            frame("call_offer", {**to_bob, "call_type": "audio", "sdp": "v=0"}),
            frame("call_end", to_bob),
            frame("sync_request", {"target_device_id": phone.device}),
            frame("send", {"nonsense": True}, message_id=new_id()),
            frame("no_such_type", {}),
            frame("heartbeat", {"surplus": 1}),
        ):
            await pending.send(one)
            await pending.expect_error("auth_failed", about=one.get("message_id"))
        for raw in ("{", "[]", b"\x00"):
            await pending.send(raw)
            await pending.expect_error("auth_failed")
        await bob.silent(pending, phone)
        await phone.silent(pending, bob)
        await pending.silent()
        returned = await control.server.connect(phone.user, phone.device)
        await returned.expect("device_approval_request")
        await returned.expect("deliver", message_id=sent["message_id"])  # nobody has acknowledged it


@in_loop
async def test_contacts_hear_nothing_of_a_pending_device() -> None:
    async with bench() as control:
        bob = await control.server.connect()
        user, device = new_id(), new_id()
        await control.do("add_contact", user_id=user, contact_id=bob.user)
        asked = await ask(control, user, device)
        pending = await control.server.connect(user, device)
        await bob.silent(pending)
        await decide(control, asked, approved=True)
        await told(pending, "device_approved", asked)
        await bob.expect("user_online")
        await pending.close()
        await bob.expect("user_offline")


@in_loop
async def test_pending_connections_count_among_the_user_s() -> None:
    async with bench(limits={"connections_per_user": 2}) as control:
        phone = await control.server.connect()
        device = new_id()
        await ask(control, phone.user, device)
        pending = await control.server.connect(phone.user, device)
        with pytest.raises(InvalidStatus) as failed:
            await control.server.connect(phone.user, device)
        assert failed.value.response.status_code == 429
        await pending.close()
        await phone.expect("device_approval_request")
        await phone.silent()
        await control.server.connect(phone.user, device)


# --- the decision ---


@in_loop
async def test_an_approved_device_is_told_and_served_at_once_without_a_backlog() -> None:
    async with bench() as control:
        phone, bob = await control.server.pair()
        device = new_id()
        asked = await ask(control, phone.user, device)
        await phone.expect("device_approval_request")
        pending = await control.server.connect(phone.user, device)
        await bob.send(message(phone.user))
        await bob.expect("sent_ack")
        await phone.expect("deliver")
        await decide(control, asked, approved=True)
        await told(pending, "device_approved", asked)
        await pending.silent()
        await bob.send(sent := message(phone.user))
        await bob.expect("sent_ack")
        await pending.expect("deliver", message_id=sent["message_id"])
        carol = await control.server.connect()
        await pending.send(answer := message(carol.user))
        await pending.expect("sent_ack", message_id=answer["message_id"])
        await carol.expect("deliver", sender_id=phone.user)
        await phone.expect("deliver")
        await phone.silent()  # the primary device is not told
        listed = (await control.do("list_connections", user_id=phone.user))["connections"]
        assert [one["pending"] for one in listed] == [False, False]
        again = await control.server.connect(phone.user, device)
        await again.expect("deliver", message_id=sent["message_id"])
        await again.silent()  # nor is it told twice


@in_loop
async def test_an_approved_device_that_was_away_is_told_once() -> None:
    async with bench() as control:
        phone = await control.server.connect()
        device = new_id()
        asked = await ask(control, phone.user, device)
        await phone.expect("device_approval_request")
        await decide(control, asked, approved=True)
        await phone.silent()
        peer = await control.server.connect(phone.user, device)
        await told(peer, "device_approved", asked)
        again = await control.server.connect(phone.user, device)
        for one in (peer, again):
            await one.silent(phone)


@in_loop
async def test_of_several_connections_of_the_new_device_one_is_told_and_all_are_served() -> None:
    async with bench() as control:
        phone, bob = await control.server.pair()
        device = new_id()
        asked = await ask(control, phone.user, device)
        older = await control.server.connect(phone.user, device)
        newer = await control.server.connect(phone.user, device)
        await decide(control, asked, approved=True)
        await told(newer, "device_approved", asked)
        await older.silent(newer)
        await bob.send(message(phone.user))
        for peer in (older, newer):
            await peer.expect("deliver")


@in_loop
async def test_a_denied_device_is_told_closed_and_stays_refused() -> None:
    async with bench() as control:
        phone = await control.server.connect()
        device = new_id()
        asked = await ask(control, phone.user, device)
        await phone.expect("device_approval_request")
        pending = await control.server.connect(phone.user, device)
        await decide(control, asked, approved=False)
        await told(pending, "device_denied", asked)
        await turned_out(pending)
        await refused(control.server, phone.user, device)
        await phone.silent()


@in_loop
async def test_a_denied_device_that_was_away_is_told_once_and_then_refused() -> None:
    async with bench() as control:
        phone = await control.server.connect()
        device = new_id()
        asked = await ask(control, phone.user, device)
        await decide(control, asked, approved=False)
        peer = await control.server.connect(phone.user, device)
        await told(peer, "device_denied", asked)
        await turned_out(peer)
        await refused(control.server, phone.user, device)


@pytest.mark.parametrize("approved", [True, False])
@in_loop
async def test_a_second_decision_changes_nothing(approved: bool) -> None:
    async with bench() as control:
        phone = await control.server.connect()
        device = new_id()
        asked = await ask(control, phone.user, device)
        await decide(control, asked, approved=approved)
        for second in (True, False):
            await control.refused(
                409, "decide_device_approval", request_id=asked["request_id"], approved=second
            )
        peer = await control.server.connect(phone.user, device)
        await told(peer, "device_approved" if approved else "device_denied", asked)


@in_loop
async def test_nobody_decides_a_request_that_does_not_exist() -> None:
    async with bench() as control:
        for operation, more in (("decide_device_approval", {"approved": True}), ("expire_approval", {})):
            await control.refused(404, operation, request_id=f"req-{new_id()}", **more)


# --- expiry ---


@pytest.mark.parametrize("connected", [True, False])
@in_loop
async def test_a_request_that_lapses_counts_as_denied(connected: bool) -> None:
    async with bench() as control:
        phone = await control.server.connect()
        device = new_id()
        asked = await ask(control, phone.user, device, expires_in=LIFE_S)
        peer = await control.server.connect(phone.user, device) if connected else None
        await control.do("advance_clock", seconds=LIFE_S - 1)
        if peer:
            await peer.expect("ping")
            await peer.silent()
        await control.do("advance_clock", seconds=1)
        for approved in (True, False):
            error = await control.refused(
                409, "decide_device_approval", request_id=asked["request_id"], approved=approved
            )
            assert "denied" in error
        peer = peer or await control.server.connect(phone.user, device)
        await told(peer, "device_denied", asked)
        await turned_out(peer)
        await refused(control.server, phone.user, device)


@in_loop
async def test_a_request_can_be_let_lapse_at_once() -> None:
    async with bench() as control:
        phone = await control.server.connect()
        device = new_id()
        asked = await ask(control, phone.user, device)
        peer = await control.server.connect(phone.user, device)
        await control.do("expire_approval", request_id=asked["request_id"].upper().replace("REQ-", "req-"))
        await told(peer, "device_denied", asked)
        await turned_out(peer)
        await control.refused(409, "expire_approval", request_id=asked["request_id"])


@in_loop
async def test_requests_lapse_one_after_the_other() -> None:
    async with bench(timing={"ping_interval_s": 80}) as control:
        phone = await control.server.connect()
        peers = {}
        for life in (30, 10, 20):
            device = new_id()
            asked = await ask(control, phone.user, device, expires_in=life)
            peers[life] = (await control.server.connect(phone.user, device), asked)
        for life in (10, 20, 30):
            await control.do("advance_clock", seconds=10)
            peer, asked = peers.pop(life)
            await told(peer, "device_denied", asked)
            for waiting, _ in peers.values():
                await waiting.silent()


# --- what lasts ---


@in_loop
async def test_everything_about_devices_survives_a_restart(tmp_path: Path) -> None:
    store = str(tmp_path / "store.db")
    phone, opened, untold, denied, lapsing, revoked = (new_id() for _ in range(6))
    async with bench(store=store) as control:
        user = (await control.do("create_user", devices=[phone]))["user_id"]
        open_request = await ask(control, user, opened, expires_in=3600)
        approved = await ask(control, user, untold)
        await decide(control, approved, approved=True)
        no = await ask(control, user, denied)
        await decide(control, no, approved=False)
        short = await ask(control, user, lapsing, expires_in=0.001)
        await control.do("revoke_device", user_id=user, device_id=revoked)
    async with bench(store=store) as control:
        await refused(control.server, user, revoked)
        lapsed = await control.server.connect(user, lapsing)
        await told(lapsed, "device_denied", short)
        peer = await control.server.connect(user, untold)
        await told(peer, "device_approved", approved)
        peer = await control.server.connect(user, denied)
        await told(peer, "device_denied", no)
        primary = await control.server.connect(user, phone)
        shown = await primary.expect("device_approval_request")
        assert shown["payload"]["request_id"] == open_request["request_id"]
        await primary.silent()
        await control.refused(409, "decide_device_approval", request_id=no["request_id"], approved=True)
    async with bench(store=store) as control:
        await refused(control.server, user, denied)
        await refused(control.server, user, lapsing)
        peer = await control.server.connect(user, untold)
        await peer.silent()
        pending = await control.server.connect(user, opened)
        await pending.send(message(new_id()))
        await pending.expect("error")
        await decide(control, open_request, approved=True)
        await told(pending, "device_approved", open_request)


@pytest.mark.parametrize("operation", ["ask", "decide", "revoke"])
@in_loop
async def test_what_cannot_be_stored_changes_nothing(operation: str) -> None:
    async with bench() as control:
        phone = await control.server.connect()
        device = new_id()
        asked = await ask(control, phone.user, device)
        await phone.expect("device_approval_request")
        pending = await control.server.connect(phone.user, device)
        await control.do("inject_fault", count=1)
        match operation:
            case "ask":
                await control.refused(503, "request_device_approval", user_id=phone.user, device_id=new_id())
            case "decide":
                await control.refused(
                    503, "decide_device_approval", request_id=asked["request_id"], approved=False
                )
            case _:
                await control.refused(503, "revoke_device", user_id=phone.user, device_id=device)
        await pending.silent()
        await phone.silent()
        await decide(control, asked, approved=True)
        await told(pending, "device_approved", asked)


@in_loop
async def test_requests_lapse_on_time_after_a_restart(tmp_path: Path) -> None:
    store = str(tmp_path / "store.db")
    user, device = new_id(), new_id()
    async with bench(store=store) as control:
        asked = await ask(control, user, device, expires_in=LIFE_S)
    async with bench(store=store) as control:
        pending = await control.server.connect(user, device)
        await control.do("advance_clock", seconds=LIFE_S)
        await pending.expect("ping")
        await told(pending, "device_denied", asked)


@in_loop
async def test_what_has_lapsed_is_not_shown_even_if_that_could_not_be_stored_yet() -> None:
    async with bench() as control:
        phone = await control.server.connect()
        await ask(control, phone.user, new_id(), expires_in=10)
        await control.do("inject_fault", count=5)
        await control.do("advance_clock", seconds=10.01)
        returned = await control.server.connect(phone.user, phone.device)
        await returned.silent()


@in_loop
async def test_an_expiry_that_cannot_be_stored_is_tried_again() -> None:
    async with bench() as control:
        phone = await control.server.connect()
        device = new_id()
        asked = await ask(control, phone.user, device, expires_in=10)
        pending = await control.server.connect(phone.user, device)
        await control.do("inject_fault", count=1)
        await control.do("advance_clock", seconds=10.01)
        await pending.silent()
        await control.do("advance_clock", seconds=2)
        await told(pending, "device_denied", asked)


@in_loop
async def test_a_decision_that_could_not_be_told_for_lack_of_a_store_is_told_later() -> None:
    async with bench() as control:
        phone = await control.server.connect()
        device = new_id()
        asked = await ask(control, phone.user, device)
        await decide(control, asked, approved=True)
        await control.do("inject_fault", count=1)
        with pytest.raises(InvalidStatus) as failed:
            await control.server.connect(phone.user, device)
        assert failed.value.response.status_code == 503
        peer = await control.server.connect(phone.user, device)
        await told(peer, "device_approved", asked)
