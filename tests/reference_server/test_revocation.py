"""Revocation: the device is out at once and for good, what it did before stands, others are not touched."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path

from support.approvals import refused, turned_out
from support.control import Bench, bench
from support.server import Peer, in_loop, message, new_id
from websockets.exceptions import ConnectionClosed


async def revoke(control: Bench, peer: Peer) -> None:
    await control.do("revoke_device", user_id=peer.user, device_id=peer.device)


@in_loop
async def test_all_connections_of_the_device_are_closed_and_its_tokens_refused() -> None:
    async with bench() as control:
        phone = await control.server.connect()
        again = await control.server.connect(phone.user, phone.device)
        laptop = await control.server.connect(phone.user)
        namesake = await control.server.connect(new_id(), phone.device)
        await control.do("revoke_device", user_id=phone.user.upper(), device_id=phone.device.upper())
        for peer in (phone, again):
            await turned_out(peer)
        await refused(control.server, phone.user, phone.device)
        for peer in (laptop, namesake):
            await peer.silent()
        await control.server.connect(namesake.user, namesake.device)
        await control.server.connect(phone.user, laptop.device)
        await revoke(control, phone)  # again: nothing more happens


@in_loop
async def test_a_device_can_be_revoked_before_it_was_ever_seen() -> None:
    async with bench() as control:
        user, device = new_id(), new_id()
        await control.do("revoke_device", user_id=user, device_id=device)
        await refused(control.server, user, device)
        first = await control.server.connect(user)
        assert (await control.do("create_user", user_id=user))["devices"] == [first.device]
        await control.refused(409, "create_user", user_id=user, devices=[device])


@in_loop
async def test_what_was_acknowledged_stands_and_what_comes_later_has_no_effect() -> None:
    async with bench() as control:
        phone, bob = await control.server.pair()
        first = message(bob.user)
        await phone.send(first)
        await phone.expect("sent_ack")

        async def flood() -> None:
            with contextlib.suppress(ConnectionClosed):
                for _ in range(100):
                    await phone.send(message(bob.user))
                    await asyncio.sleep(0)

        await asyncio.gather(flood(), revoke(control, phone))
        assert (await phone.closed()).code == 1008
        *acknowledged, error = [
            one["message_id"] if one["type"] == "sent_ack" else one for one in phone.taken
        ]
        assert error["payload"]["error_code"] == "auth_failed"
        assert first["message_id"] == acknowledged[0]
        for message_id in acknowledged:
            await bob.expect("deliver", message_id=message_id)
        await bob.silent()
        sessions = (await control.do("list_connections", user_id=phone.user))["connections"]
        assert sessions == []


@in_loop
async def test_frames_that_arrive_together_with_the_revocation_have_no_effect_once_it_is_answered() -> None:
    async with bench() as control:
        phone, bob = await control.server.pair()
        session = control.server.app.hub.of_device(phone.user, phone.device)[0]
        await revoke(control, phone)
        # Straight into the dispatcher, before the loop runs again: the connection is not even closed yet.
        data = json.dumps(message(bob.user)).encode()
        control.server.app.dispatcher.receive(session, data, True)
        await turned_out(phone)
        await bob.silent()


@in_loop
async def test_revoking_the_primary_device_promotes_the_oldest_of_the_others() -> None:
    async with bench() as control:
        phone = await control.server.connect()
        laptop = await control.server.connect(phone.user)
        asked = await control.do(
            "request_device_approval", user_id=phone.user, device_id=(device := new_id())
        )
        tablet = await control.server.connect(phone.user)
        await phone.expect("device_approval_request")
        await laptop.silent()
        await revoke(control, phone)
        await turned_out(phone)
        shown = await laptop.expect("device_approval_request")  # it is up to this one now
        assert shown["payload"]["request_id"] == asked["request_id"]
        await tablet.silent(laptop)
        await control.do("request_device_approval", user_id=phone.user, device_id=new_id())
        await laptop.expect("device_approval_request")
        await tablet.silent(laptop)
        await control.do("decide_device_approval", request_id=asked["request_id"], approved=True)
        devices = await control.do("create_user", user_id=phone.user)
        # The age of a device counts from its approval, so it does not overtake those that were there before.
        assert devices["devices"] == [laptop.device, tablet.device, device]
        assert devices["primary_device_id"] == laptop.device


@in_loop
async def test_revoking_another_device_promotes_nobody() -> None:
    async with bench() as control:
        phone = await control.server.connect()
        laptop = await control.server.connect(phone.user)
        await control.do("request_device_approval", user_id=phone.user, device_id=new_id())
        await phone.expect("device_approval_request")
        await revoke(control, laptop)
        await turned_out(laptop)
        await phone.silent()


@in_loop
async def test_the_user_goes_offline_with_the_last_device() -> None:
    async with bench() as control:
        phone, bob = await control.server.pair()
        laptop = await control.server.connect(phone.user)
        await control.do("add_contact", user_id=phone.user, contact_id=bob.user)
        await revoke(control, phone)
        await turned_out(phone)
        await bob.silent(laptop)
        await revoke(control, laptop)
        await turned_out(laptop)
        await bob.expect("user_offline")


@in_loop
async def test_a_pending_device_is_revoked_and_its_request_void() -> None:
    async with bench() as control:
        phone = await control.server.connect()
        device = new_id()
        asked = await control.do("request_device_approval", user_id=phone.user, device_id=device)
        await phone.expect("device_approval_request")
        pending = await control.server.connect(phone.user, device)
        await revoke(control, pending)
        await turned_out(pending)
        await refused(control.server, phone.user, device)
        error = await control.refused(
            409, "decide_device_approval", request_id=asked["request_id"], approved=True
        )
        assert "withdrawn" in error
        await refused(control.server, phone.user, device)
        assert control.server.app.devices.open_of(phone.user) == []


@in_loop
async def test_a_revoked_device_may_ask_again() -> None:
    async with bench() as control:
        phone = await control.server.connect()
        laptop = await control.server.connect(phone.user)
        await revoke(control, laptop)
        await turned_out(laptop)
        asked = await control.do("request_device_approval", user_id=phone.user, device_id=laptop.device)
        await phone.expect("device_approval_request")
        pending = await control.server.connect(phone.user, laptop.device)
        await control.do("decide_device_approval", request_id=asked["request_id"], approved=True)
        await pending.expect("device_approved")
        await pending.silent()


# --- messages that wait ---


@in_loop
async def test_what_waited_for_a_revoked_device_is_not_kept_for_it() -> None:
    async with bench() as control:
        bob = await control.server.connect()
        phone, laptop = new_id(), new_id()
        user = (await control.do("create_user", devices=[phone, laptop]))["user_id"]
        await bob.send(sent := message(user))
        await bob.expect("sent_ack")
        await control.do("revoke_device", user_id=user, device_id=laptop)
        asked = await control.do("request_device_approval", user_id=user, device_id=laptop)
        await control.do("decide_device_approval", request_id=asked["request_id"], approved=True)
        peer = await control.server.connect(user, laptop)
        await peer.expect("device_approved")
        await peer.silent()
        peer = await control.server.connect(user, phone)
        await peer.expect("deliver", message_id=sent["message_id"])
        await peer.silent()


@in_loop
async def test_what_waited_for_a_user_s_only_device_waits_for_the_next_one() -> None:
    async with bench() as control:
        phone = await control.server.connect()
        bob = await control.server.connect()
        await bob.send(sent := message(phone.user))
        await bob.expect("sent_ack")
        await phone.expect("deliver")
        await revoke(control, phone)
        await bob.send(later := message(phone.user))
        await bob.expect("sent_ack")
        laptop = await control.server.connect(phone.user)
        for one in (sent, later):
            await laptop.expect("deliver", message_id=one["message_id"])
        await laptop.silent()
        assert (await control.do("create_user", user_id=phone.user))["devices"] == [laptop.device]


@in_loop
async def test_a_revocation_survives_a_restart(tmp_path: Path) -> None:
    store = str(tmp_path / "store.db")
    async with bench(store=store) as control:
        phone = await control.server.connect()
        laptop = await control.server.connect(phone.user)
        await revoke(control, phone)
        await turned_out(phone)
    async with bench(store=store) as control:
        await refused(control.server, phone.user, phone.device)
        peer = await control.server.connect(phone.user, laptop.device)
        await control.do("request_device_approval", user_id=phone.user, device_id=new_id())
        await peer.expect("device_approval_request")
