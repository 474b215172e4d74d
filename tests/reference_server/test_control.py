"""The control interface: it offers what is described, to whoever holds its token and to nobody else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.control import TOKEN, Bench, bench
from support.server import frame, in_loop, message, new_group, new_id, running_server

from relaykit.errors import UsageError
from relaykit.reference_server.server import Server

# --- who may use it ---


async def post(control: Bench, path: str, body: bytes = b"{}", method: str = "POST", **headers: str) -> Any:
    url = f"{control.server.server.control_url}{path}"
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, data=body, headers=headers) as answer,
    ):
        return answer.status, await answer.json(), answer.headers


@in_loop
async def test_without_its_token_nothing_is_served() -> None:
    async with bench() as control:
        user = control.server.token(new_id(), new_id())
        for path in ("/create_user", "/no_such", "/"):
            for wrong in (None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
                          f"Basic {TOKEN}", TOKEN, f"Bearer {user}", f"Bearer {TOKEN}, Bearer {TOKEN}",
                          "Bearer \N{SNOWMAN}"):  # fmt: skip
                headers = {} if wrong is None else {"Authorization": wrong}
                status, answer, more = await post(control, path, **headers)
                assert status == 401, (path, wrong)
                assert set(answer) == {"error"}
                assert TOKEN not in json.dumps(answer)
                assert more["WWW-Authenticate"] == "Bearer"
        status, _, _ = await post(control, "/create_user", Authorization=f"bearer {TOKEN}")
        assert status == 200
        url = f"{control.server.server.control_url}/create_user"
        twice = [("Authorization", f"Bearer {TOKEN}")] * 2
        async with aiohttp.ClientSession() as session, session.post(url, headers=twice) as answer:
            assert answer.status == 401


@in_loop
async def test_what_is_no_proper_request_is_refused() -> None:
    async with bench() as control:
        authorized = {"Authorization": f"Bearer {TOKEN}"}
        for path in ("/no_such", "/", "/create_user/", "/create_user/more", "/CREATE_USER"):
            status, answer, _ = await post(control, path, **authorized)
            assert status == 404
            assert "operation" in answer["error"]
        for method in ("GET", "PUT", "DELETE"):
            status, answer, headers = await post(control, "/create_user", method=method, **authorized)
            assert (status, headers["Allow"]) == (405, "POST")
        for body in (b"{", b"[]", b"null", b'{"user_id": NaN}', b'{"devices": [], "devices": []}', b"\xff"):
            status, answer, _ = await post(control, "/create_user", body, **authorized)
            assert (status, set(answer)) == (400, {"error"}), body
        status, answer, _ = await post(control, "/create_user", b" " * (1 << 20) + b"{}", **authorized)
        assert (status, set(answer)) == (413, {"error"})
        for encoding in ("gzip", "br", "deflate", "x"):
            named = {**authorized, "Content-Encoding": encoding}
            status, answer, _ = await post(control, "/create_user", b"{}", **named)
            assert (status, set(answer)) == (400, {"error"}), encoding
            assert encoding in answer["error"]
        status, answer, _ = await post(control, "/create_user", b"", **authorized)
        assert (status, set(answer)) == (200, {"user_id", "devices", "primary_device_id"})


@in_loop
async def test_there_is_no_control_interface_unless_it_is_asked_for() -> None:
    async with running_server() as server:
        assert server.server.control_url is None


@pytest.mark.parametrize("token", ["", None, "two words", "snow\N{SNOWMAN}man", "line\nfeed"])
@in_loop
async def test_it_does_not_start_without_a_token(token: str | None) -> None:
    with pytest.raises(UsageError, match="token"):
        async with running_server(control_port=0, control_token=token):
            pass


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
@in_loop
async def test_it_stays_on_loopback_unless_it_is_told_otherwise(host: str) -> None:
    with pytest.raises(UsageError, match="loopback"):
        async with running_server(control_port=0, control_token=TOKEN, control_host=host):
            pass


@in_loop
async def test_it_may_be_told_to_leave_loopback() -> None:
    async with bench(control_host="0.0.0.0", control_remote=True) as control:
        assert str(control.server.server.control_url).startswith("http://127.0.0.1:")


@in_loop
async def test_a_port_that_is_taken_is_a_mistake_of_the_user() -> None:
    async with bench() as control:
        port = int(str(control.server.server.control_url).rpartition(":")[2])
        with pytest.raises(UsageError, match="cannot listen"):
            async with running_server(control_port=port, control_token=TOKEN):
                pass


@in_loop
async def test_who_reaches_the_port_of_clients_finds_all_others_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached: list[Server] = []
    listen = Server._listen

    async def listening(server: Server) -> object:
        reached.append(server)
        assert server.control_url
        return await listen(server)

    monkeypatch.setattr(Server, "_listen", listening)
    async with bench() as control:
        port = int(str(control.server.server.control_url).rpartition(":")[2])
        with pytest.raises(UsageError, match="cannot listen"):
            async with running_server(control_port=port, control_token=TOKEN):
                pass
    assert reached == [control.server.server]  # and not the one that cannot serve


# --- users, groups, conversations ---


@in_loop
async def test_a_user_is_created_with_devices_in_order() -> None:
    async with bench() as control:
        phone, laptop, tablet = new_id(), new_id(), new_id()
        made = await control.do("create_user", devices=[phone.upper(), laptop])
        assert made["devices"] == [phone, laptop]
        assert made["primary_device_id"] == phone
        again = await control.do("create_user", user_id=made["user_id"].upper(), devices=[tablet, phone])
        assert again == {**made, "devices": [phone, laptop, tablet]}
        empty = await control.do("create_user", user_id=(user := new_id()))
        assert empty == {"user_id": user, "devices": [], "primary_device_id": None}


@in_loop
async def test_devices_that_were_created_get_what_comes_before_they_connect() -> None:
    async with bench() as control:
        phone, laptop = new_id(), new_id()
        bob = (await control.do("create_user", devices=[phone, laptop]))["user_id"]
        alice = await control.server.connect()
        sent = message(bob)
        await alice.send(sent)
        await alice.expect("sent_ack")
        for device in (laptop, phone):
            peer = await control.server.connect(bob, device)
            await peer.expect("deliver", message_id=sent["message_id"])


@in_loop
async def test_contacts_hear_of_each_other() -> None:
    async with bench() as control:
        alice = await control.server.connect()
        bob = new_id()
        await control.do("add_contact", user_id=alice.user.upper(), contact_id=bob)
        await control.do("add_contact", user_id=bob, contact_id=alice.user)
        await control.server.connect(bob)
        assert (await alice.expect("user_online"))["payload"]["user_id"] == bob
        await control.refused(409, "add_contact", user_id=bob, contact_id=bob.upper())


@in_loop
async def test_a_group_s_members_get_its_messages_as_long_as_they_are_members() -> None:
    async with bench() as control:
        alice, bob = await control.server.pair()
        carol = await control.server.connect()
        name = f"group-{new_id().upper()}"
        made = await control.do("create_group", members=[alice.user, bob.user.upper()], group_id=name)
        assert made == {"group_id": name.lower(), "members": sorted([alice.user, bob.user])}
        await control.refused(409, "create_group", members=[carol.user], group_id=name)

        async def reaches(*peers: Any) -> None:
            sent = message(None, group_id=made["group_id"], receiver_id=None)
            await alice.send(sent)
            await alice.expect("sent_ack")
            for peer in peers:
                got = await peer.expect("group_message")
                assert got["payload"]["message_id"] == sent["message_id"]
            for peer in (bob, carol):
                await peer.silent(alice)

        await reaches(bob)
        joined = await control.do("add_member", group_id=name, user_id=carol.user)
        assert joined["members"] == sorted([alice.user, bob.user, carol.user])
        await control.do("add_member", group_id=name, user_id=carol.user)
        await reaches(bob, carol)
        left = await control.do("remove_member", group_id=name, user_id=bob.user.upper())
        assert left["members"] == sorted([alice.user, carol.user])
        await control.do("remove_member", group_id=name, user_id=bob.user)
        await reaches(carol)
        for operation in ("add_member", "remove_member"):
            await control.refused(404, operation, group_id=new_group(), user_id=bob.user)


@in_loop
async def test_conversations_of_users_and_of_groups() -> None:
    async with bench() as control:
        alice, bob = await control.server.pair()
        carol = await control.server.connect()
        pair = [alice.user, bob.user]
        direct = await control.do("conversation", members=pair)
        assert direct["members"] == sorted(pair)
        assert await control.do("conversation", members=[one.upper() for one in reversed(pair)]) == direct
        made = await control.do("create_group", members=pair)
        of_group = await control.do("conversation", group_id=made["group_id"])
        assert of_group["conversation_id"] != direct["conversation_id"]
        await control.do("add_member", group_id=made["group_id"], user_id=carol.user)
        assert carol.user in (await control.do("conversation", group_id=made["group_id"]))["members"]
        for conversation, readers in ((direct, [bob]), (of_group, [bob, carol])):
            await alice.send(
                frame("typing", {"conversation_id": conversation["conversation_id"], "is_typing": True})
            )
            for reader in readers:
                assert (await reader.expect("typing"))["payload"]["user_id"] == alice.user
        await carol.silent(alice)
        await control.refused(404, "conversation", group_id=new_group())
        await control.refused(400, "conversation", group_id=made["group_id"], members=pair)
        await control.refused(400, "conversation")


@in_loop
async def test_what_was_arranged_survives_a_restart(tmp_path: Path) -> None:
    store = str(tmp_path / "store.db")
    phone, bob = new_id(), new_id()
    async with bench(store=store) as control:
        alice = (await control.do("create_user", devices=[phone]))["user_id"]
        made = await control.do("create_group", members=[alice, bob])
        conversation = await control.do("conversation", group_id=made["group_id"])
        await control.do("add_contact", user_id=alice, contact_id=bob)
    async with bench(store=store) as control:
        assert (await control.do("create_user", user_id=alice))["primary_device_id"] == phone
        await control.refused(409, "create_group", members=[bob], group_id=made["group_id"])
        assert await control.do("conversation", group_id=made["group_id"]) == conversation
        watcher = await control.server.connect(alice)
        await control.server.connect(bob)
        await watcher.expect("user_online")


# --- connections, time, faults ---


@in_loop
async def test_connections_are_listed_and_dropped() -> None:
    async with bench() as control:
        alice, bob = await control.server.pair()
        listed = (await control.do("list_connections"))["connections"]
        assert {(one["user_id"], one["device_id"]) for one in listed} == {
            (peer.user, peer.device) for peer in (alice, bob)
        }
        only = (await control.do("list_connections", user_id=bob.user.upper()))["connections"]
        assert [one["user_id"] for one in only] == [bob.user]
        await control.do("drop_connection", user_id=bob.user, device_id=bob.device)
        assert (await bob.closed()).code == 1006
        await alice.silent()
        await control.refused(404, "drop_connection", user_id=alice.user, device_id=bob.device)


@in_loop
async def test_the_clock_moves_and_time_passes_on_the_way() -> None:
    async with bench(timing={"ping_interval_s": 30, "idle_timeout_s": 90}) as control:
        alice = await control.server.connect()
        before = control.server.app.clock.now()
        await control.do("advance_clock", seconds=31.5)
        assert control.server.app.clock.now() - before >= 31.5
        await alice.expect("ping")
        await alice.send(frame("pong"))
        await alice.silent()
        await control.do("advance_clock", seconds=91)
        await alice.expect("ping")
        await alice.expect("ping")
        await alice.expect_error("connection_timeout")
        await alice.closed()
        for seconds in (-1, 604801, "1", None):
            await control.refused(400, "advance_clock", seconds=seconds)


@in_loop
async def test_faults_of_the_store_are_told_and_change_nothing() -> None:
    async with bench() as control:
        alice, bob = await control.server.pair()
        name = new_group()
        await control.do("inject_fault", count=2)
        await control.refused(503, "create_group", members=[alice.user, bob.user], group_id=name)
        sent = message(bob.user)
        await alice.send(sent)
        await alice.expect_error("server_error", about=sent["message_id"])
        await bob.silent(alice)
        assert (await control.do("create_group", members=[bob.user], group_id=name))["members"] == [bob.user]
        await control.do("inject_fault", count=5)
        await control.do("inject_fault", count=0)
        await control.do("create_group", members=[bob.user])


@in_loop
async def test_what_an_operation_says_is_under_way_when_it_answers() -> None:
    """A bench may look at once: no frame of an operation comes after those that follow its answer."""
    async with bench() as control:
        alice = await control.server.connect()
        for _ in range(5):
            asked = await control.do("request_device_approval", user_id=alice.user, device_id=new_id())
            await alice.send(frame("heartbeat"))
            got = await alice.expect("device_approval_request")
            assert got["payload"]["request_id"] == asked["request_id"]
            await alice.expect("heartbeat_ack")


@in_loop
async def test_operations_at_the_same_time_do_not_hurt_each_other() -> None:
    async with bench() as control:
        user = new_id()
        answers = await asyncio.gather(
            *(control.do("create_user", user_id=user, devices=[new_id()]) for _ in range(20))
        )
        last = await control.do("create_user", user_id=user)
        assert len(last["devices"]) == 20
        assert {answer["primary_device_id"] for answer in answers} == {last["primary_device_id"]}
