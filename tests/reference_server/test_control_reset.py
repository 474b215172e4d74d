"""The control interface's reset: as if the server had been started anew."""

from __future__ import annotations

from support.control import bench
from support.server import CIPHERTEXT, frame, in_loop, message, new_id

from relaykit.reference_server import dev


@in_loop
async def test_the_people_of_dev_are_there_again_after_a_reset() -> None:
    async with bench(dev=True) as control:
        await control.do("remove_member", group_id=dev.GROUP, user_id=dev.USERS["bob"])
        await control.do("reset")
        members = (await control.do("conversation", group_id=dev.GROUP))["members"]
        assert sorted(members) == sorted(dev.USERS.values())
        alice = await control.server.connect(dev.USERS["alice"], dev.DEVICES["alice", "phone"])
        bob = await control.server.connect(dev.USERS["bob"], dev.DEVICES["bob", "phone"])
        assert (await alice.receive())["type"] == "user_online"  # they are contacts
        await alice.send(message(bob.user))
        await alice.expect("sent_ack")


@in_loop
async def test_a_reset_forgets_everything() -> None:
    async with bench() as control:
        alice, bob = await control.server.pair()
        made = await control.do("create_group", members=[alice.user, bob.user])
        await control.do("add_contact", user_id=alice.user, contact_id=bob.user)
        asked = await control.do("request_device_approval", user_id=bob.user, device_id=(late := new_id()))
        await bob.expect("device_approval_request")
        await control.do("revoke_device", user_id=alice.user, device_id=(revoked := new_id()))
        waiting = message(carol := new_id())
        await alice.send(waiting)
        await alice.expect("sent_ack")
        await control.do("reset")
        for peer in (alice, bob):
            assert (await peer.closed()).code == 1001
        await control.refused(404, "conversation", group_id=made["group_id"])
        await control.refused(404, "decide_device_approval", request_id=asked["request_id"], approved=True)
        watcher = await control.server.connect(alice.user, revoked)
        returned = await control.server.connect(bob.user, late)
        empty = await control.server.connect(carol)
        for peer in (watcher, returned, empty):
            await peer.silent()
        again = message(bob.user, waiting["message_id"], ciphertext=CIPHERTEXT)
        await watcher.send(again)
        await watcher.expect("sent_ack")
        await returned.expect("deliver", message_id=waiting["message_id"])


@in_loop
async def test_a_reset_forgets_calls_and_who_is_online_though_a_grace_runs() -> None:
    timing = {"call_grace_s": 30, "presence_grace_s": 30, "ping_interval_s": 900, "idle_timeout_s": 999}
    async with bench(timing=timing) as control:
        alice, bob = await control.server.pair()
        await control.do("add_contact", user_id=(user := new_id()), contact_id=bob.user)
        carol = await control.server.connect(user)
        await bob.expect("user_online")
        await carol.expect("presence")
        await carol.close()  # in a grace when the reset comes
        await control.server.until(lambda: user in control.server.app.presence.leaving)
        offer = {"call_type": "audio", "sdp": "v=0"}
        await alice.send(frame("call_offer", {"target_id": bob.user, **offer}))
        await bob.expect("call_offer")
        await control.do("advance_clock", seconds=40)  # it rings still
        await control.do("reset")
        for peer in (alice, bob):
            assert (await peer.closed()).code == 1001
        await control.do("add_contact", user_id=alice.user, contact_id=bob.user)
        await control.do("add_contact", user_id=carol.user, contact_id=bob.user)
        bob = await control.server.reconnect(bob)
        for contact in (alice, carol):
            contact = await control.server.reconnect(contact)
            await contact.expect("presence", sender_id=None)
            assert (await bob.expect("user_online"))["sender_id"] == contact.user
        alice = control.server.peers[-2]
        await alice.send(frame("call_offer", {"target_id": bob.user, **offer}))
        await bob.expect("call_offer")
        await control.do("advance_clock", seconds=40)
        await bob.silent()  # no grace of before ends now, and no ringing
        await alice.send(frame("call_end", {"target_id": bob.user}))
        await bob.expect("call_end")
        await contact.send(frame("call_offer", {"target_id": alice.user, **offer}))
        await contact.silent()  # alice is in no call
        assert len(control.server.app.calls.table) == 2
