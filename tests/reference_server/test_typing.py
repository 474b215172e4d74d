"""Typing indicators: what the relay's own tests (test_relay) do not show."""

from __future__ import annotations

from typing import Any

from support.server import frame, in_loop, new_group, running_server


def typing(conversation: str, value: bool = True) -> dict[str, Any]:
    return frame("typing", {"conversation_id": conversation, "is_typing": value})


@in_loop
async def test_all_devices_of_the_other_members_get_it_and_nobody_else() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        laptop, tablet = await server.connect(alice.user), await server.connect(bob.user)
        carol, mallory = await server.pair()
        conversation = server.app.people.conversation_of([alice.user, bob.user, carol.user])
        for value in (True, False):
            await alice.send(typing(conversation.upper().replace("CONV", "conv"), value))
            for member in (bob, tablet, carol):
                payload = (await member.expect("typing"))["payload"]
                assert payload["conversation_id"].lower() == conversation
                assert payload["is_typing"] is value
                assert payload["user_id"] == alice.user
        for peer in (alice, laptop, bob, tablet, carol, mallory):
            await peer.silent(alice)


@in_loop
async def test_it_does_not_wait_for_a_member_who_is_away() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        conversation = server.app.people.conversation_of([alice.user, bob.user])
        await bob.close()
        await alice.send(typing(conversation))
        await alice.silent()
        bob = await server.connect(bob.user, bob.device)
        await bob.silent(alice)


@in_loop
async def test_a_groups_conversation_is_its_current_members() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        carol = await server.connect()
        people, group = server.app.people, new_group()
        people.create_group(group, [alice.user, bob.user])
        conversation = people.group_conversation(group)
        assert people.group_conversation(group) == conversation
        await alice.send(typing(conversation))
        await bob.expect("typing")
        await carol.silent(alice)
        people.add_member(group, carol.user)
        people.remove_member(group, bob.user)
        await alice.send(typing(conversation))
        await carol.expect("typing")
        await bob.silent(alice)
        await carol.send(typing(conversation))
        await alice.expect("typing")
        await bob.send(typing(conversation))
        await bob.expect_error("invalid_message")


@in_loop
async def test_a_conversation_is_found_again_after_a_restart(tmp_path: Any) -> None:
    store = str(tmp_path / "store.db")
    async with running_server(store=store) as server:
        alice, bob = await server.pair()
        group = new_group()
        server.app.people.create_group(group, [alice.user, bob.user])
        conversations = (
            server.app.people.group_conversation(group),
            server.app.people.conversation_of([alice.user, bob.user]),
        )
        server.app.turn.schedule()
        await alice.silent(bob)
    async with running_server(store=store) as server:
        alice, bob = await server.connect(alice.user), await server.connect(bob.user)
        for conversation in conversations:
            await alice.send(typing(conversation))
            await bob.expect("typing")


@in_loop
async def test_a_conversation_whose_making_was_not_stored_is_made_again(tmp_path: Any) -> None:
    store = str(tmp_path / "store.db")
    async with running_server(store=store) as server:
        alice, bob = await server.pair()
        people = server.app.people
        server.app.store.inject_fault(1)
        conversation = people.conversation_of([alice.user, bob.user])
        server.app.turn.schedule()
        await server.until(lambda: server.app.store.failing)
        await alice.send(typing(conversation))
        await alice.expect_error("invalid_message")
        assert people.conversation_of([bob.user, alice.user]) == conversation
        server.app.turn.schedule()
        await alice.silent(bob)
    async with running_server(store=store) as server:
        alice, bob = await server.connect(alice.user), await server.connect(bob.user)
        await alice.send(typing(conversation))
        await bob.expect("typing")
