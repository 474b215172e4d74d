"""The store: durable, exclusive, and honest about failures."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from support.server import frame, in_loop, message, running_server

from relaykit.errors import UsageError
from relaykit.reference_server.ids import key_of
from relaykit.reference_server.store import Store, StoreError


@in_loop
async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    async with running_server(store=path) as server:
        alice, bob = await server.pair()
        read, waiting, unread = (message(bob.user) for _ in range(3))
        await alice.send(read, waiting, unread)
        for _ in range(3):
            await alice.expect("sent_ack")
            await bob.expect("deliver")
        await bob.send(frame("read_receipt", {"message_ids": [read["message_id"]]}))
        await alice.expect("status_update")
        await alice.close()
        await bob.send(frame("delivery_ack", message_id=unread["message_id"]))
        await bob.silent()
    async with running_server(store=path) as server:
        bob = await server.connect(bob.user, bob.device)
        await bob.expect("deliver", message_id=waiting["message_id"])
        await bob.silent()
        alice = await server.connect(alice.user, alice.device)
        update = await alice.expect("status_update", message_id=unread["message_id"])
        assert update["payload"]["status"] == "delivered"
        await alice.send(read)  # known still: acknowledged again, delivered no more
        await alice.expect("sent_ack")
        await bob.send(frame("delivery_ack", message_id=read["message_id"]))
        await bob.silent(alice)
        await alice.send(message(bob.user))
        await bob.expect("deliver")


# --- failures ---


@in_loop
async def test_a_failing_store_acknowledges_nothing_and_recovers() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        first, second = message(bob.user), message(bob.user)
        server.app.store.inject_fault(2)
        await alice.send(first)
        error = await alice.expect_error("server_error", first["message_id"])
        assert error["payload"]["reconnect"] is True
        assert server.app.store.failing
        await alice.send(second)
        await alice.expect_error("server_error", second["message_id"])
        await alice.send(frame("heartbeat"), first)
        await alice.expect("heartbeat_ack")
        await alice.expect("sent_ack", message_id=first["message_id"])
        assert not server.app.store.failing
        await bob.expect("deliver", message_id=first["message_id"])
        await bob.silent()


@in_loop
async def test_frames_that_need_no_store_are_served_in_the_turn_that_fails() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        sent = [message(bob.user) for _ in range(2)]
        server.app.store.inject_fault(1)
        # One segment of the client's: one turn of the server's.
        data = [frame("heartbeat"), sent[0], "x", sent[1], frame("heartbeat")]
        for one in data:
            alice.socket.protocol.send_text((one if isinstance(one, str) else json.dumps(one)).encode())
        alice.socket.transport.write(b"".join(alice.socket.protocol.data_to_send()))
        await alice.expect("heartbeat_ack")
        await alice.expect_error("server_error", sent[0]["message_id"])
        await alice.expect_error("invalid_message")
        await alice.expect_error("server_error", sent[1]["message_id"])
        await alice.expect("heartbeat_ack")
        await bob.silent(alice)


@in_loop
async def test_an_acknowledgement_that_cannot_be_stored_does_not_count() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        sent = message(bob.user)
        await alice.send(sent)
        await alice.expect("sent_ack")
        await bob.expect("deliver")
        server.app.store.inject_fault(1)
        await bob.send(frame("delivery_ack", message_id=sent["message_id"]))
        await bob.expect_error("server_error", sent["message_id"])
        await alice.silent(bob)
        await bob.close()
        bob = await server.connect(bob.user, bob.device)
        await bob.expect("deliver", message_id=sent["message_id"])
        await bob.send(frame("delivery_ack", message_id=sent["message_id"]))
        await alice.expect("status_update")


@in_loop
async def test_a_new_device_is_not_taken_in_by_a_failing_store() -> None:
    async with running_server() as server:
        alice = await server.connect()
        server.app.store.inject_fault(1)
        with pytest.raises(Exception, match="503"):
            await server.connect()
        assert len(server.app.hub) == 1
        await alice.silent()
        bob = await server.connect()
        await alice.send(message(bob.user))
        await alice.expect("sent_ack")
        await bob.expect("deliver")


@pytest.mark.parametrize("which", ["store.db", "store.db-wal"])
@pytest.mark.parametrize("how", ["moved", "replaced"])
@in_loop
async def test_a_file_that_is_no_longer_there_takes_nothing_and_is_noticed_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, which: str, how: str
) -> None:
    async with running_server(store=str(tmp_path / "store.db")) as server:
        alice, bob = await server.pair()
        path, aside = tmp_path / which, tmp_path / "aside"
        path.rename(aside)
        if how == "replaced":
            path.write_bytes(aside.read_bytes())
        one = message(bob.user)
        await alice.send(one)
        await alice.expect_error("server_error", one["message_id"])
        assert server.app.store.failing
        said = {"moved": "was deleted or moved away", "replaced": "was replaced by another file"}[how]
        assert f"{path} {said}" in caplog.text
        with pytest.raises(Exception, match="503"):
            await server.connect()
        aside.replace(path)
        server.app.clock.advance(2)  # looked after without any frame, too
        assert not server.app.store.failing
        assert caplog.text.count("the store fails") == caplog.text.count("the store works again") == 1
        await alice.send(one)
        await alice.expect("sent_ack", message_id=one["message_id"])
        await bob.expect("deliver", message_id=one["message_id"])
    async with running_server(store=str(tmp_path / "store.db")) as server:
        await server.connect(bob.user, bob.device)
        assert server.app.mailboxes.find(key_of(one["message_id"]))


@in_loop
async def test_a_deleted_store_is_noticed_by_a_server_that_nobody_uses(tmp_path: Path) -> None:
    async with running_server(store=str(tmp_path / "store.db")) as server:
        (tmp_path / "store.db").unlink()
        server.app.clock.advance(2)
        assert server.app.store.failing


@in_loop
async def test_a_full_disk(tmp_path: Path) -> None:
    async with running_server(store=str(tmp_path / "store.db"), limits={"burst": 1000}) as server:
        alice, bob = await server.pair()
        await bob.close()
        database = server.app.store.connection
        (pages,) = database.execute("PRAGMA page_count").fetchone()
        database.execute(f"PRAGMA max_page_count = {pages + 20}")  # SQLite's own way to have a full disk
        acknowledged, refused = [], None
        while refused is None:
            one = message(bob.user, ciphertext="A" * 20_000)
            await alice.send(one)
            got = await alice.receive()
            if got["type"] == "sent_ack":
                acknowledged.append(one["message_id"])
            else:
                assert got["payload"]["error_code"] == "server_error"
                assert got["message_id"] == one["message_id"]
                refused = one
            assert len(acknowledged) < 100
        await alice.silent()
        database.execute("PRAGMA max_page_count = 100000")
        await alice.send(refused)
        await alice.expect("sent_ack")
        bob = await server.connect(bob.user, bob.device)
        for message_id in (*acknowledged, refused["message_id"]):
            await bob.expect("deliver", message_id=message_id)
        await bob.silent()


@in_loop
async def test_a_store_in_memory_that_is_full_refuses_messages_and_recovers() -> None:
    limits = {"burst": 10_000, "frames_per_second": 10_000}
    async with running_server(limits=limits, max_memory_store_bytes=1 << 20) as server:
        alice, bob = await server.pair()
        sent = 0
        while True:
            refused = message(bob.user, ciphertext="A" * 40_000)
            await alice.send(refused)
            answer = await alice.receive()
            if answer["type"] != "sent_ack":
                break
            sent += 1
            assert sent < 100
        assert answer["payload"]["error_code"] == "server_error"
        assert answer["message_id"] == refused["message_id"]
        for _ in range(sent):
            got = await bob.expect("deliver")
            await bob.send(frame("delivery_ack", message_id=got["message_id"]))
        await bob.silent()
        for _ in range(sent):
            await alice.expect("status_update")
        await alice.send(refused)
        await alice.expect("sent_ack", message_id=refused["message_id"])
        await bob.expect("deliver", message_id=refused["message_id"])


@in_loop
async def test_a_damaged_store_fails_frames_not_the_server() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        server.app.store.connection.execute("DROP TABLE messages")
        for _ in range(2):
            sent = message(bob.user)
            await alice.send(sent, frame("heartbeat"))
            await alice.expect_error("server_error", sent["message_id"])
            await alice.expect("heartbeat_ack")
        await bob.silent()


def test_reads_after_a_failure_fail_until_the_turn_ends() -> None:
    store = Store(":memory:")
    with pytest.raises(StoreError):
        store.read("SELECT nonsense")
    with pytest.raises(StoreError):
        store.read("SELECT 1")
    with pytest.raises(StoreError):
        store.commit()
    assert store.read("SELECT 1") == [(1,)]
    store.commit()
    store.close()


# --- opening ---


def test_a_store_in_use_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    store = Store(path)
    with pytest.raises(UsageError, match="in use by another server"):
        Store(path)
    store.write("INSERT INTO befriended VALUES ('a', 'b')")
    store.commit()
    with pytest.raises(UsageError, match="in use by another server"):
        Store(path)
    store.close()
    Store(path).close()


def test_files_that_are_no_store_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder"):
        Store(str(tmp_path / "none" / "store.db"))
    with pytest.raises(UsageError, match="cannot be opened"):
        Store(str(tmp_path))
    text = tmp_path / "notes.txt"
    text.write_text("hello " * 1000)
    with pytest.raises(UsageError, match="not a relaykit store"):
        Store(str(text))
    assert text.read_text() == "hello " * 1000
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()
    with pytest.raises(UsageError, match="not a relaykit store"):
        Store(str(other))
    newer = tmp_path / "newer.db"
    Store(str(newer)).close()
    with sqlite3.connect(newer) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(UsageError, match="newer relaykit"):
        Store(str(newer))


def test_a_store_is_written_ahead_and_synced_at_each_commit(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))
    assert store.read("PRAGMA journal_mode") == [("wal",)]
    assert store.read("PRAGMA synchronous") == [(2,)]
    store.close()
