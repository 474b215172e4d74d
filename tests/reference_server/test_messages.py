"""The life of a message: stored, acknowledged, delivered, read; offline; by nobody but the recipient."""

from __future__ import annotations

import pytest
from support.server import (
    CIPHERTEXT,
    Peer,
    frame,
    in_loop,
    message,
    new_group,
    new_id,
    running_server,
)


async def life(alice: Peer, bob: Peer, sent: dict) -> None:
    await alice.send(sent)
    await alice.expect("sent_ack", message_id=sent["message_id"])
    got = await bob.expect("deliver", message_id=sent["message_id"], sender_id=alice.user)
    assert got["payload"] == sent["payload"]
    await bob.send(frame("delivery_ack", message_id=sent["message_id"]))
    got = await alice.expect("status_update", message_id=sent["message_id"])
    assert got["payload"] == {"status": "delivered", "recipient_id": bob.user}
    await bob.send(frame("read_receipt", {"message_ids": [sent["message_id"]]}))
    got = await alice.expect("status_update", message_id=sent["message_id"])
    assert got["payload"] == {"status": "read", "recipient_id": bob.user}


@in_loop
async def test_a_message_travels_from_send_to_read() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        await life(alice, bob, message(bob.user))
        await alice.silent(bob)


@in_loop
async def test_the_payload_arrives_as_it_was_sent() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        media = {"media_id": f"media-{new_id()}", "media_type": "image/jpeg", "group_id": None}
        await life(alice, bob, message(bob.user, ciphertext="_-AZaz09+/==", **media))


@in_loop
async def test_every_device_gets_a_message_and_each_status_is_told_once_to_all_of_the_senders() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        phone = await server.connect(alice.user)
        laptop = await server.connect(bob.user)
        sent = message(bob.user)
        await alice.send(sent)
        await alice.expect("sent_ack")
        for device in (bob, laptop):
            await device.expect("deliver", message_id=sent["message_id"])
        for device in (bob, laptop):
            await device.send(frame("delivery_ack", message_id=sent["message_id"]))
            await device.silent()
        for device in (laptop, bob):
            await device.send(frame("read_receipt", {"message_ids": [sent["message_id"]]}))
            await device.silent()
        for device in (alice, phone):
            assert (await device.expect("status_update"))["payload"]["status"] == "delivered"
            assert (await device.expect("status_update"))["payload"]["status"] == "read"
            await device.silent()


@in_loop
async def test_a_read_receipt_implies_delivery_and_no_delivered_follows() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        sent = message(bob.user)
        await alice.send(sent)
        await alice.expect("sent_ack")
        await bob.expect("deliver")
        await bob.send(frame("read_receipt", {"message_ids": [sent["message_id"]]}))
        assert (await alice.expect("status_update"))["payload"]["status"] == "read"
        await bob.send(frame("delivery_ack", message_id=sent["message_id"]))
        await alice.silent(bob)
        again = await server.reconnect(bob)
        await again.silent()


@in_loop
async def test_messages_wait_for_a_device_until_it_acknowledges_them_and_keep_their_order() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        await bob.close()
        sent = [message(bob.user) for _ in range(5)]
        await alice.send(*sent)
        for one in sent:
            await alice.expect("sent_ack", message_id=one["message_id"])
        bob = await server.connect(bob.user, bob.device)
        for one in sent:
            await bob.expect("deliver", message_id=one["message_id"])
        await bob.send(frame("delivery_ack", message_id=sent[1]["message_id"]))
        await bob.silent()
        bob = await server.reconnect(bob)
        for one in (sent[0], *sent[2:]):
            await bob.expect("deliver", message_id=one["message_id"])
        await bob.silent()


@in_loop
async def test_a_backlog_larger_than_one_batch_comes_whole_before_new_messages() -> None:
    async with running_server(limits={"burst": 1000}) as server:
        alice, bob = await server.pair()
        await bob.close()
        sent = [message(bob.user, ciphertext="A" * 30_000) for _ in range(150)]
        await alice.send(*sent)
        for one in sent:
            await alice.expect("sent_ack", message_id=one["message_id"])
        bob = await server.connect(bob.user, bob.device, max_queue=1)
        late = message(bob.user)
        await alice.send(late)
        await alice.expect("sent_ack")
        for one in (*sent, late):
            await bob.expect("deliver", message_id=one["message_id"])
        await bob.silent()


@in_loop
async def test_the_first_device_gets_what_waited_and_a_later_one_no_backlog() -> None:
    async with running_server() as server:
        alice = await server.connect()
        bob_id = new_id()
        sent = message(bob_id)
        await alice.send(sent)
        await alice.expect("sent_ack")
        first = await server.connect(bob_id)
        await first.expect("deliver", message_id=sent["message_id"])
        second = await server.connect(bob_id)
        await second.silent(first)
        await alice.send(message(bob_id))
        for device in (first, second):
            await device.expect("deliver")


@in_loop
async def test_each_device_has_its_own_waiting_messages() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        laptop = await server.connect(bob.user)
        sent = message(bob.user)
        await alice.send(sent)
        await bob.expect("deliver")
        await laptop.expect("deliver")
        await bob.send(frame("delivery_ack", message_id=sent["message_id"]))
        await bob.silent()
        bob, laptop = await server.reconnect(bob), await server.reconnect(laptop)
        await bob.silent()
        await laptop.expect("deliver", message_id=sent["message_id"])


@in_loop
async def test_two_connections_of_one_device_are_both_served() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        twin = await server.connect(bob.user, bob.device)
        await alice.send(message(bob.user))
        await bob.expect("deliver")
        await twin.expect("deliver")


@in_loop
async def test_the_same_message_again_is_acknowledged_again_and_delivered_once() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        sent = message(bob.user)
        again = message(bob.user, sent["message_id"].upper(), ciphertext="AAAA")
        await alice.send(sent, sent, again)
        for spelling in (sent["message_id"], sent["message_id"], again["message_id"]):
            await alice.expect("sent_ack", message_id=spelling)
        got = await bob.expect("deliver")
        assert got["payload"]["ciphertext"] == CIPHERTEXT
        await bob.silent()
        await alice.send(again)
        await alice.expect("sent_ack")
        bob = await server.reconnect(bob)
        assert (await bob.expect("deliver"))["payload"]["ciphertext"] == CIPHERTEXT
        await bob.silent()


@in_loop
async def test_another_senders_message_id_is_refused_and_the_original_stays() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        mallory = await server.connect()
        sent = message(bob.user)
        await alice.send(sent)
        await alice.expect("sent_ack")
        await mallory.send(message(bob.user, sent["message_id"], ciphertext="AAAA"))
        await mallory.expect_error("invalid_message", sent["message_id"])
        assert (await bob.expect("deliver"))["payload"]["ciphertext"] == CIPHERTEXT
        await bob.silent()


@pytest.mark.parametrize("status", ["delivery_ack", "read_receipt"])
@in_loop
async def test_acks_by_others_change_nothing_and_look_like_those_for_unknown_messages(
    status: str,
) -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        mallory = await server.connect()
        sent = message(bob.user)
        await alice.send(sent)
        await alice.expect("sent_ack")
        await bob.expect("deliver")
        for impostor in (mallory, alice):
            for message_id in (sent["message_id"], new_id()):
                if status == "delivery_ack":
                    await impostor.send(frame("delivery_ack", message_id=message_id))
                else:
                    await impostor.send(frame("read_receipt", {"message_ids": [message_id]}))
                await impostor.silent()
        await alice.silent()
        bob = await server.reconnect(bob)
        await bob.expect("deliver", message_id=sent["message_id"])


@in_loop
async def test_false_claims_of_identity_are_never_passed_on() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        await alice.send(
            {
                **message(bob.user),
                "sender_id": bob.user,
                "device_id": new_id(),
                "timestamp": "2020-01-01T00:00:00Z",
            }
        )
        await alice.expect("sent_ack")
        got = await bob.expect("deliver", sender_id=alice.user)
        assert not got["timestamp"].startswith("2020")
        assert "device_id" not in got


@in_loop
async def test_strangers_hear_nothing() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        mallory = await server.connect()
        await life(alice, bob, message(bob.user))
        await mallory.silent(alice, bob)


@in_loop
async def test_a_message_for_someone_with_too_many_waiting_is_refused_before_the_ack(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running_server(limits={"waiting_per_user": 2}) as server:
        alice, bob = await server.pair()
        sent = [message(bob.user) for _ in range(3)]
        await alice.send(*sent)
        await alice.expect("sent_ack", message_id=sent[0]["message_id"])
        await alice.expect("sent_ack", message_id=sent[1]["message_id"])
        await alice.expect_error("invalid_message", sent[2]["message_id"])
        assert f"refusing messages to {bob.user}: device {bob.device} of user {bob.user}" in caplog.text
        await bob.expect("deliver")
        await bob.expect("deliver")
        await bob.silent()
        await bob.send(frame("delivery_ack", message_id=sent[0]["message_id"]))
        await alice.expect("status_update")
        await alice.send(sent[2])
        await alice.expect("sent_ack", message_id=sent[2]["message_id"])


@in_loop
async def test_a_group_message_reaches_the_other_members_once_and_is_acknowledged_by_each() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        carol, mallory = await server.pair()
        group = new_group()
        server.app.people.create_group(group, [alice.user, bob.user, carol.user])
        sent = message(
            None,
            group_id=group.upper().replace("GROUP", "group"),
            media_id=f"media-{new_id()}",
            media_type="a/b",
        )
        await alice.send(sent)
        await alice.expect("sent_ack")
        for member in (bob, carol):
            got = (await member.expect("group_message"))["payload"]
            assert got["message_id"] == sent["message_id"]
            assert got["sender_id"] == alice.user
            assert got["encrypted_content"] == CIPHERTEXT
            assert got["media_type"] == "a/b"
            await member.send(frame("delivery_ack", message_id=sent["message_id"]))
            update = await alice.expect("status_update", message_id=sent["message_id"])
            assert update["payload"] == {"status": "delivered", "recipient_id": member.user}
        await mallory.send(frame("delivery_ack", message_id=sent["message_id"]))
        await alice.silent(mallory, bob, carol)


@in_loop
async def test_only_members_send_to_a_group() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        group = new_group()
        server.app.people.create_group(group, [bob.user])
        for target in (group, new_group()):
            sent = message(None, group_id=target)
            await alice.send(sent)
            error = await alice.expect_error("invalid_message", sent["message_id"])
            assert "no such group, or" in error["payload"]["message"]
        await bob.silent(alice)
