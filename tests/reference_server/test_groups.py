"""Messages to groups: to whom, when membership counts, and how their status is told."""

from __future__ import annotations

from typing import Any

import pytest
from support.server import Peer, Running, frame, in_loop, message, new_group, new_id, running_server

from relaykit.reference_server import devices
from relaykit.reference_server.totals import Totals


def group_of(server: Running, *members: str) -> str:
    group = new_group()
    server.app.people.create_group(group, members)
    return group


async def say(sender: Peer, group: str, **payload: Any) -> dict[str, Any]:
    sent = message(None, group_id=group, **payload)
    await sender.send(sent)
    await sender.expect("sent_ack", message_id=sent["message_id"])
    return sent


async def hear(member: Peer, sent: dict[str, Any]) -> dict[str, Any]:
    got = await member.expect("group_message")
    assert got["payload"]["message_id"] == sent["message_id"]
    payload: dict[str, Any] = got["payload"]
    return payload


@in_loop
async def test_every_device_of_every_other_member_gets_it_once_as_it_was_sent() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        laptop, tablet, carol = (
            await server.connect(alice.user),
            await server.connect(bob.user),
            await server.connect(),
        )
        mallory = await server.connect()
        group = group_of(server, alice.user, bob.user, carol.user)
        media = f"media-{new_id()}"
        sent = await say(
            alice, group.upper().replace("GROUP", "group"), ciphertext="QR==", message_type="image",
            media_id=media, media_type="image/png",
        )  # fmt: skip
        for member in (bob, tablet, carol):
            payload = await hear(member, sent)
            assert payload.pop("timestamp") == alice.taken[-1]["timestamp"]
            assert payload == {
                "message_id": sent["message_id"],
                "group_id": sent["payload"]["group_id"],
                "sender_id": alice.user,
                "encrypted_content": "QR==",
                "message_type": "image",
                "media_id": media,
                "media_type": "image/png",
            }
        for peer in (alice, laptop, bob, tablet, carol, mallory):
            await peer.silent(alice)


@in_loop
async def test_membership_counts_when_the_message_is_accepted() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        carol = await server.connect()
        people, group = server.app.people, group_of(server, alice.user, bob.user)
        early = await say(alice, group)
        await hear(bob, early)
        people.add_member(group, carol.user)
        both = await say(alice, group)
        await hear(bob, both)
        await hear(carol, both)
        people.remove_member(group, bob.user)
        late = await say(alice, group)
        await hear(carol, late)
        await bob.silent()
        sent = message(None, group_id=group)
        await bob.send(sent)
        await bob.expect_error("invalid_message", sent["message_id"])
        await carol.silent(bob)
        await alice.silent()
        # Coming back shows neither what was sent before joining nor after leaving.
        await carol.close()
        carol = await server.connect(carol.user, carol.device)
        await hear(carol, both)
        await hear(carol, late)
        await carol.silent()
        await bob.close()
        bob = await server.connect(bob.user, bob.device)
        await hear(bob, early)
        await hear(bob, both)
        await bob.silent()


@in_loop
async def test_it_waits_for_each_device_of_a_member_until_that_one_acknowledges() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        tablet = await server.connect(bob.user)
        group = group_of(server, alice.user, bob.user)
        await tablet.close()
        sent = [await say(alice, group) for _ in range(2)]
        await hear(bob, sent[0])
        await hear(bob, sent[1])
        await bob.send(frame("delivery_ack", message_id=sent[0]["message_id"]))
        await bob.silent()
        tablet = await server.connect(bob.user, tablet.device)
        await hear(tablet, sent[0])
        await hear(tablet, sent[1])
        await bob.close()
        bob = await server.connect(bob.user, bob.device)
        await hear(bob, sent[1])
        await bob.silent()


@in_loop
async def test_each_members_status_is_told_once_and_by_name() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        tablet, carol = await server.connect(bob.user), await server.connect()
        group = group_of(server, alice.user, bob.user, carol.user)
        name = (await say(alice, group))["message_id"]
        for device in (bob, tablet, carol, bob):
            await device.send(frame("delivery_ack", message_id=name))
            await device.send(frame("heartbeat"))
        for member in (bob, carol):
            got = await alice.expect("status_update", message_id=name)
            assert got["payload"] == {"status": "delivered", "recipient_id": member.user}
        for device in (carol, tablet, bob):
            await device.send(frame("read_receipt", {"message_ids": [name]}))
            await device.expect("group_message")
            await device.expect("heartbeat_ack")
        told = [(await alice.expect("status_update", message_id=name))["payload"] for _ in range(2)]
        assert {got["recipient_id"] for got in told} == {bob.user, carol.user}
        assert {got["status"] for got in told} == {"read"}
        await alice.silent(carol, tablet)


@in_loop
async def test_statuses_of_several_members_wait_for_an_absent_sender() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        carol = await server.connect()
        name = (await say(alice, group_of(server, alice.user, bob.user, carol.user)))["message_id"]
        await alice.close()
        for member in (bob, carol):
            await member.expect("group_message")
            await member.send(frame("delivery_ack", message_id=name))
            await member.silent()
        alice = await server.connect(alice.user, alice.device)
        for member in (bob, carol):
            got = await alice.expect("status_update", message_id=name)
            assert got["payload"] == {"status": "delivered", "recipient_id": member.user}


@in_loop
async def test_a_group_of_one_takes_messages_too() -> None:
    async with running_server() as server:
        alice = await server.connect()
        await say(alice, group_of(server, alice.user))
        await alice.silent()
        assert server.app.mailboxes.totals() == Totals(0, 0)  # nobody will ever get it


@in_loop
async def test_a_member_whose_mailbox_is_full_is_a_reason_to_refuse_before_the_ack() -> None:
    async with running_server(limits={"waiting_per_user": 1}) as server:
        alice, bob = await server.pair()
        carol = await server.connect()
        group = group_of(server, alice.user, bob.user, carol.user)
        sent = await say(alice, group)
        await hear(bob, sent)
        await hear(carol, sent)
        await bob.send(frame("delivery_ack", message_id=sent["message_id"]))
        await alice.expect("status_update")
        refused = message(None, group_id=group)
        await alice.send(refused)
        await alice.expect_error("invalid_message", refused["message_id"])
        await bob.silent(alice)
        await carol.send(frame("delivery_ack", message_id=sent["message_id"]))
        await alice.expect("status_update")
        await hear(bob, await say(alice, group))


@in_loop
async def test_an_abandoned_device_that_holds_up_a_group_is_named_in_the_log_and_can_be_revoked(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running_server(limits={"waiting_per_user": 2}) as server:
        alice, bob = await server.pair()
        tablet = await server.connect(bob.user)
        await tablet.close()
        group = group_of(server, alice.user, bob.user)
        for _ in range(2):
            await hear(bob, sent := await say(alice, group))
            await bob.send(frame("delivery_ack", message_id=sent["message_id"]))
            await alice.expect("status_update")
        assert not caplog.text
        refused = [message(None, group_id=group) for _ in range(3)]
        await alice.send(*refused)
        for one in refused:
            await alice.expect_error("invalid_message", one["message_id"])
        (said,) = [line for line in caplog.messages if line.startswith("refusing messages")]
        assert f"to {group}: device {tablet.device} of user {bob.user} has left 2 unacknowledged" in said
        devices.revoke(server.app, bob.user, tablet.device)
        await hear(bob, await say(alice, group))
