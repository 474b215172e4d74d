"""Approval of devices, step by step: who asks, decides, is told, and is turned out."""

from __future__ import annotations

from typing import Any

import pytest
from support.control import Bench
from support.server import Peer, Running, new_id
from websockets.exceptions import InvalidStatus

LIFE_S = 40
"""Shorter than the silence after which connections end, so that the clock can be moved past it."""


async def ask(control: Bench, user: str, device: str, **more: Any) -> dict[str, Any]:
    return await control.do("request_device_approval", user_id=user, device_id=device, **more)


async def asking(control: Bench, **more: Any) -> tuple[Peer, str, dict[str, Any]]:
    """A user's first device, the ID of a second one, and the request that the first was asked about."""
    phone, device = await control.server.connect(), new_id()
    asked = await ask(control, phone.user, device, **more)
    await phone.expect("device_approval_request")
    return phone, device, asked


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
