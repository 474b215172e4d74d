"""Synchronisation between the devices of one user: what the relay's own tests (test_relay) do not show."""

from __future__ import annotations

from typing import Any

import pytest
from support.server import frame, in_loop, running_server

KINDS = ("sync_request", "sync_data", "sync_ack")


def sync(kind: str, device: str, data: str = "QR==") -> dict[str, Any]:
    more = {"encrypted_data": data} if kind == "sync_data" else {}
    return frame(kind, {"target_device_id": device, **more})


@pytest.mark.parametrize("kind", KINDS)
@in_loop
async def test_it_reaches_the_device_it_names_on_all_its_connections_and_no_other(kind: str) -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        laptop, tablet = await server.connect(alice.user), await server.connect(alice.user)
        again = await server.connect(alice.user, laptop.device)
        sent = sync(kind, laptop.device.upper(), "q83v_-8")
        await alice.send(sent)
        for connection in (laptop, again):
            got = await connection.expect(kind, sender_id=alice.user, device_id=alice.device)
            assert got["payload"] == sent["payload"]
        for peer in (alice, tablet, bob):
            await peer.silent(alice)


@pytest.mark.parametrize("kind", KINDS)
@in_loop
async def test_it_does_not_wait_for_a_device_that_is_away(kind: str) -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        laptop, tablet = await server.connect(alice.user), await server.connect(alice.user)
        await laptop.close()
        await alice.send(sync(kind, laptop.device))
        await alice.silent()
        laptop = await server.connect(alice.user, laptop.device)
        for peer in (laptop, tablet, bob):
            await peer.silent(alice)


@pytest.mark.parametrize("kind", KINDS)
@in_loop
async def test_a_device_that_two_users_have_is_two_devices(kind: str) -> None:
    """Devices are identified by user and device together."""
    async with running_server() as server:
        alice = await server.connect()
        laptop = await server.connect(alice.user)
        bob = await server.connect(device=laptop.device)
        bob2 = await server.connect(bob.user)
        await alice.send(sync(kind, laptop.device))
        await laptop.expect(kind)
        await bob2.send(sync(kind, laptop.device))
        await bob.expect(kind, sender_id=bob.user)
        await laptop.silent(bob2)
        await bob2.silent()
