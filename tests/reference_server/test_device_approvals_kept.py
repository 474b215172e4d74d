"""Approval of devices over time: requests lapse; the rest lasts, whether or not the store fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.approvals import LIFE_S, ask, asking, decide, refused, told, turned_out
from support.control import bench
from support.server import in_loop, message, new_id
from websockets.exceptions import InvalidStatus

# --- expiry ---


@pytest.mark.parametrize("connected", [True, False])
@in_loop
async def test_a_request_that_lapses_counts_as_denied(connected: bool) -> None:
    async with bench() as control:
        phone, device, asked = await asking(control, expires_in=LIFE_S)
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
        phone, device, asked = await asking(control)
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
        phone, device, asked = await asking(control)
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
        phone, device, asked = await asking(control, expires_in=10)
        pending = await control.server.connect(phone.user, device)
        await control.do("inject_fault", count=1)
        await control.do("advance_clock", seconds=10.01)
        await pending.silent()
        await control.do("advance_clock", seconds=2)
        await told(pending, "device_denied", asked)


@in_loop
async def test_a_decision_that_could_not_be_told_for_lack_of_a_store_is_told_later() -> None:
    async with bench() as control:
        phone, device, asked = await asking(control)
        await decide(control, asked, approved=True)
        await control.do("inject_fault", count=1)
        with pytest.raises(InvalidStatus) as failed:
            await control.server.connect(phone.user, device)
        assert failed.value.response.status_code == 503
        peer = await control.server.connect(phone.user, device)
        await told(peer, "device_approved", asked)
