"""Media keys: what the relay's own tests (test_relay) do not show."""

from __future__ import annotations

from typing import Any

from support.server import frame, in_loop, message, new_id, running_server


def key(recipient: str, **payload: Any) -> dict[str, Any]:
    content = {"media_id": f"media-{new_id()}", "recipient_id": recipient, "encrypted_key": "QR=="}
    return frame("media_key", {**content, "algorithm": "x / Ünï", **payload})


@in_loop
async def test_all_devices_of_the_recipient_get_the_key_unchanged_and_nobody_else() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        laptop, tablet = await server.connect(alice.user), await server.connect(bob.user)
        mallory = await server.connect()
        for encrypted in ("QR==", "q83v_-8", "A" * 4000):
            sent = key(bob.user.upper(), encrypted_key=encrypted, timestamp="2020-01-01T00:00:00Z")
            await alice.send(sent)
            for device in (bob, tablet):
                payload = (await device.expect("media_key"))["payload"]
                assert payload.pop("timestamp") > "2020-01-02"
                assert payload == {
                    name: value for name, value in sent["payload"].items() if name != "timestamp"
                }
        for peer in (alice, laptop, mallory, bob, tablet):
            await peer.silent(alice)


@in_loop
async def test_a_key_and_its_message_arrive_in_the_order_in_which_they_were_sent() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        frames = [each for _ in range(20) for each in (message(bob.user), key(bob.user))]
        await alice.send(*frames)
        for _ in range(20):
            await bob.expect("deliver")
            await bob.expect("media_key")


@in_loop
async def test_a_key_does_not_wait_for_a_recipient_who_is_away() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        mallory = await server.connect()
        await bob.close()
        await alice.send(key(bob.user))
        await alice.silent()
        bob = await server.connect(bob.user, bob.device)
        await bob.silent(alice)
        await mallory.silent()
