"""The deprecated frames: taken as a `send`, given to the connections that ask for them, and never mixed."""

from __future__ import annotations

from typing import Any

from support.server import (
    CIPHERTEXT,
    Peer,
    Running,
    frame,
    in_loop,
    message,
    new_group,
    new_id,
    running_server,
)


def old(recipient: str, **envelope: Any) -> dict[str, Any]:
    content = {"recipient_id": recipient, "encrypted_content": CIPHERTEXT, "message_type": "text"}
    return frame("message", {**content, "timestamp": "2020-01-01T00:00:00Z"}, **envelope)


async def legacy(server: Running, user: str | None = None, device: str | None = None) -> Peer:
    return await server.connect(user, device, query="&frames=1")


async def accepted(peer: Peer, sent: dict[str, Any]) -> str:
    """Send, and return the name the message has got."""
    await peer.send(sent)
    got = await peer.expect("sent_ack")
    return str(got["message_id"])


async def expect_status(peer: Peer, message_id: str, recipient: str, status: str) -> None:
    got = await peer.expect("message_status", message_id=None)
    assert got["payload"].pop("timestamp")
    assert got["payload"] == {"message_id": message_id, "status": status, "recipient_id": recipient}


@in_loop
async def test_an_old_message_is_a_send_that_the_server_names() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        claim = new_id()
        names = [await accepted(alice, old(bob.user.upper(), message_id=claim)) for _ in range(2)]
        assert len({claim, *names}) == 3
        for name in names:
            got = await bob.expect("deliver", message_id=name, sender_id=alice.user)
            payload = {"receiver_id": bob.user.upper(), "ciphertext": CIPHERTEXT, "message_type": "text"}
            assert got["payload"] == payload
        await bob.send(frame("delivery_ack", message_id=names[0]))
        got = await alice.expect("status_update", message_id=names[0])
        assert got["payload"] == {"status": "delivered", "recipient_id": bob.user}


@in_loop
async def test_a_legacy_connection_gets_the_old_forms_alone() -> None:
    async with running_server() as server:
        alice, bob = await legacy(server), await legacy(server)
        laptop, tablet = await server.connect(alice.user), await server.connect(bob.user)
        media = {"media_id": f"media-{new_id()}", "media_type": "image/png"}
        sent = message(bob.user, ciphertext="_-AZaz09+/==", **media)
        name = await accepted(alice, sent)
        got = await bob.expect("message")
        await tablet.expect("deliver", message_id=name)
        payload = got["payload"]
        assert payload.pop("timestamp") == alice.taken[-1]["timestamp"]
        assert payload == {
            "message_id": name,
            "sender_id": alice.user,
            "conversation_id": server.app.people.conversation_of([alice.user, bob.user]),
            "encrypted_content": "_-AZaz09+/==",
            "message_type": "text",
            "metadata": {"content_type": "image/png", "media_id": media["media_id"]},
        }
        await bob.send(frame("delivery_ack", message_id=name))
        await expect_status(alice, name, bob.user, "delivered")
        await laptop.expect("status_update", message_id=name)
        await bob.send(frame("read_receipt", {"message_ids": [name]}))
        await expect_status(alice, name, bob.user, "read")
        await laptop.expect("status_update", message_id=name)
        for peer in (alice, laptop, bob, tablet):
            await peer.silent()


@in_loop
async def test_what_waited_comes_in_the_form_of_the_connection_it_comes_on() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        await bob.close()
        names = [await accepted(alice, message(bob.user)) for _ in range(3)]
        bob = await legacy(server, bob.user, bob.device)
        for name in names:
            assert (await bob.expect("message"))["payload"]["message_id"] == name
        names.append(await accepted(alice, message(bob.user)))
        assert (await bob.expect("message"))["payload"]["message_id"] == names[3]
        await bob.close()
        bob = await server.connect(bob.user, bob.device)
        for name in names:
            await bob.expect("deliver", message_id=name)
        await alice.close()
        await bob.send(frame("delivery_ack", message_id=names[0]))
        await bob.silent()
        alice = await legacy(server, alice.user, alice.device)
        await expect_status(alice, names[0], bob.user, "delivered")
        await alice.silent()


@in_loop
async def test_a_conversation_that_a_legacy_connection_is_told_of_can_be_written_in() -> None:
    async with running_server() as server:
        alice, bob = await server.connect(), await legacy(server)
        await accepted(alice, message(bob.user))
        conversation = (await bob.expect("message"))["payload"]["conversation_id"]
        await bob.send(frame("typing", {"conversation_id": conversation, "is_typing": True}))
        await alice.expect("typing")
        await bob.close()  # and one that it is told of by what waited
        carol = await server.connect()
        await accepted(carol, message(bob.user))
        bob = await legacy(server, bob.user, bob.device)
        assert (await bob.expect("message"))["payload"]["conversation_id"] == conversation
        conversation = (await bob.expect("message"))["payload"]["conversation_id"]
        await server.until(lambda: not server.app.store.dirty)  # it is stored though nothing else happens
        await bob.send(frame("typing", {"conversation_id": conversation, "is_typing": True}))
        await carol.expect("typing")
        await alice.silent(bob)


@in_loop
async def test_a_group_message_is_the_same_on_legacy_connections() -> None:
    async with running_server() as server:
        alice, bob = await server.connect(), await legacy(server)
        group = new_group()
        server.app.people.create_group(group, [alice.user, bob.user])
        name = await accepted(alice, message(None, group_id=group))
        assert (await bob.expect("group_message"))["payload"]["message_id"] == name
        await bob.close()
        bob = await legacy(server, bob.user, bob.device)
        assert (await bob.expect("group_message"))["payload"]["message_id"] == name
        await bob.silent()


@in_loop
async def test_without_the_capability_the_old_forms_are_refused_and_never_sent() -> None:
    async with running_server(legacy_frames=False) as server:
        alice, bob = await legacy(server), await legacy(server)
        claim = new_id()
        await alice.send(old(bob.user, message_id=claim))
        await alice.expect_error("invalid_message", claim)
        await bob.silent(alice)
        name = await accepted(alice, message(bob.user))
        await bob.expect("deliver", message_id=name)
        await bob.send(frame("delivery_ack", message_id=name))
        await alice.expect("status_update", message_id=name)


@in_loop
async def test_an_old_message_that_cannot_be_stored_is_refused_and_leaves_nothing() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        await accepted(alice, message(bob.user))
        await bob.expect("deliver")
        server.app.store.inject_fault(1)
        await alice.send(old(bob.user))
        await alice.expect_error("server_error")
        await bob.silent(alice)
        await accepted(alice, old(bob.user))
        await bob.expect("deliver")
