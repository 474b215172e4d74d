"""Approval of devices: who is asked, who is told, what a device may do until then, and what lasts."""

from __future__ import annotations

import pytest
from support.approvals import LIFE_S, ask, asking, decide, refused, told, turned_out
from support.control import bench
from support.server import frame, in_loop, message, new_id
from websockets.exceptions import InvalidStatus

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
        phone, device, _ = await asking(control)
        pending = await control.server.connect(phone.user, device)
        with pytest.raises(InvalidStatus) as failed:
            await control.server.connect(phone.user, device)
        assert failed.value.response.status_code == 429
        await pending.close()
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
        phone, device, asked = await asking(control)
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
async def test_a_request_lapses_when_the_wall_clock_is_set_past_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its timer goes by the monotonic clock, which knows nothing of that."""
    async with bench(timing={"idle_timeout_s": 8}) as control:
        phone, device, asked = await asking(control, expires_in=600)
        pending = await control.server.connect(phone.user, device)
        clock = control.server.app.clock
        now = clock.now
        monkeypatch.setattr(clock, "now", lambda: now() + 700)
        await told(pending, "device_denied", asked)
        await turned_out(pending)


@in_loop
async def test_a_denied_device_is_told_closed_and_stays_refused() -> None:
    async with bench() as control:
        phone, device, asked = await asking(control)
        pending = await control.server.connect(phone.user, device)
        await decide(control, asked, approved=False)
        await told(pending, "device_denied", asked)
        await turned_out(pending)
        await refused(control.server, phone.user, device)
        await phone.silent()


@in_loop
async def test_a_denied_device_that_was_away_is_told_once_and_then_refused() -> None:
    async with bench() as control:
        phone, device, asked = await asking(control)
        await decide(control, asked, approved=False)
        peer = await control.server.connect(phone.user, device)
        await told(peer, "device_denied", asked)
        await turned_out(peer)
        await refused(control.server, phone.user, device)


@pytest.mark.parametrize("approved", [True, False])
@in_loop
async def test_a_second_decision_changes_nothing(approved: bool) -> None:
    async with bench() as control:
        phone, device, asked = await asking(control)
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
