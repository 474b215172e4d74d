"""What the store remembers and what it lets go: ids, contents, messages that everybody has."""

from __future__ import annotations

import random
import sqlite3
import uuid
from pathlib import Path
from typing import Any

import pytest
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

from relaykit.reference_server import ledger
from relaykit.reference_server.mailbox import Mailboxes
from relaykit.reference_server.store import Store, StoreError
from relaykit.reference_server.totals import Totals


@in_loop
async def test_ids_are_known_while_they_are_recent_and_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_RECENT", 4)
    path = str(tmp_path / "store.db")
    bob_id, sent = new_id(), []
    async with running_server(store=path) as server:
        alice = await server.connect()
        for count in range(1, 11):
            sent.append(message(bob_id))
            if count == 6:
                server.app.store.inject_fault(1)
                await alice.send(sent[-1])
                await alice.expect_error("server_error", sent[-1]["message_id"])
            await alice.send(sent[-1])
            await alice.expect("sent_ack", message_id=sent[-1]["message_id"])
    async with running_server(store=path) as server:
        mallory, bob = await server.connect(), await server.connect(bob_id)
        for one in sent:
            await bob.expect("deliver", message_id=one["message_id"])
            await mallory.send(message(bob_id, one["message_id"]))
            await mallory.expect_error("invalid_message", one["message_id"])
            await bob.send(frame("read_receipt", {"message_ids": [one["message_id"]]}))
        alice = await server.connect(alice.user, alice.device)
        for one in sent:
            update = await alice.expect("status_update", message_id=one["message_id"])
            assert update["payload"]["status"] == "read"
        await alice.silent(bob)
        await bob.silent()


async def _delivered_once(server: Running, alice: Peer, bob: Peer) -> dict[str, Any]:
    """A message's way to its recipient; afterwards it waits for nobody."""
    sent = message(bob.user)
    await alice.send(sent)
    await alice.expect("sent_ack")
    await bob.expect("deliver", message_id=sent["message_id"])
    await bob.send(frame("delivery_ack", message_id=sent["message_id"]))
    assert (await alice.expect("status_update"))["payload"]["status"] == "delivered"
    assert server.app.mailboxes.totals() == Totals(0, 0)
    return sent


async def _known_still(alice: Peer, bob: Peer, sent: dict[str, Any]) -> None:
    """A message that is sent again is acknowledged, and delivered no more."""
    await alice.send(message(bob.user, sent["message_id"], ciphertext="AAAA"))
    await alice.expect("sent_ack", message_id=sent["message_id"])
    await bob.silent(alice)


@in_loop
async def test_after_a_reset_messages_are_remembered_as_before(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    async with running_server(store=path) as server:
        await _delivered_once(server, *await server.pair())
        server.app.durably(server.app.store.clear)
    async with running_server(store=path) as server:
        alice, bob = await server.pair()
        acknowledged, waiting = await _delivered_once(server, alice, bob), message(bob.user)
        await alice.send(waiting)
        await alice.expect("sent_ack")
        await bob.expect("deliver")
        await _known_still(alice, bob, waiting)
    async with running_server(store=path) as server:
        alice = await server.connect(alice.user, alice.device)
        bob = await server.connect(bob.user, bob.device)
        got = await bob.expect("deliver", message_id=waiting["message_id"])
        assert got["payload"]["ciphertext"] == CIPHERTEXT
        for sent in (acknowledged, waiting):
            await _known_still(alice, bob, sent)
        await bob.send(frame("delivery_ack", message_id=waiting["message_id"]))
        await alice.expect("status_update", message_id=waiting["message_id"])
        assert server.app.mailboxes.totals() == Totals(0, 0)


@in_loop
async def test_the_content_of_a_message_is_kept_until_the_last_device_has_it() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        laptop, carol = await server.connect(bob.user), await server.connect()
        group = new_group()
        server.app.people.create_group(group, [alice.user, bob.user, carol.user])
        for sent, devices in (
            (message(bob.user), (bob, laptop)),
            (message(None, group_id=group), (bob, carol, laptop)),
            (message(None, group_id=group), (laptop, bob, carol)),
        ):
            key = uuid.UUID(sent["message_id"]).bytes
            await alice.send(sent)
            await alice.expect("sent_ack")
            for device in devices:
                assert server.app.store.read("SELECT frame != x'' FROM messages WHERE id = ?", key) == [(1,)]
                await device.receive()
                await device.send(frame("delivery_ack", message_id=sent["message_id"]))
                await device.silent()
            assert server.app.store.read("SELECT frame FROM messages WHERE id = ?", key) == [(b"",)]
            await alice.send(frame("heartbeat"))
            while (await alice.receive())["type"] != "heartbeat_ack":
                pass
            again = {**sent, "payload": {**sent["payload"], "ciphertext": "AAAA"}}
            await alice.send(again)
            await alice.expect("sent_ack", message_id=sent["message_id"])
            for device in devices:
                await device.silent(alice)


def test_the_room_that_the_content_took_is_used_again() -> None:
    store = Store(":memory:")
    boxes = Mailboxes(store, waiting_per_user=1000, waiting_bytes=1_000_000)
    alice, bob, device = new_id(), new_id(), new_id()
    boxes.register(bob, device)
    for _ in range(20):
        keys = [uuid.uuid4().bytes for _ in range(50)]
        for key in keys:
            assert boxes.add(key, alice, bob, b"x" * 1000)
        store.commit()
        for key in keys:
            assert boxes.acknowledge(key, bob, device, "delivered") == alice
        store.commit()
    ((pages,),), ((size,),) = store.read("PRAGMA page_count"), store.read("PRAGMA page_size")
    assert pages * size < 500_000  # of a million bytes of content
    store.close()


def test_messages_that_everybody_has_are_forgotten_by_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "_RECENT", 50)
    alice, bob, device = new_id(), new_id(), new_id()

    def opened() -> tuple[Store, Mailboxes]:
        store = Store(str(tmp_path / "store.db"))
        store.connection.execute("PRAGMA synchronous = OFF")  # for speed: this is not about crashes
        return store, Mailboxes(store, waiting_per_user=10_000, waiting_bytes=1_000_000, remembered=200)

    store, boxes = opened()
    boxes.register(bob, device)
    keys = [uuid.uuid4().bytes for _ in range(1200)]
    waits = keys[7]
    for number, key in enumerate(keys):
        assert boxes.find(key) is None
        assert boxes.add(key, alice, bob, b"x")
        if key is not waits:
            assert boxes.acknowledge(key, bob, device, "delivered") == alice
        store.commit()
        if number in (600, 1000):
            store.close()
            store, boxes = opened()
        if number == 800:  # nothing is forgotten, and nothing kept, since a commit fails
            store.inject_fault(1)
            boxes.add(uuid.uuid4().bytes, alice, bob, b"x")
            with pytest.raises(StoreError):
                store.commit()
    assert all(boxes.find(key) for key in (waits, *keys[-200:]))
    assert not any(boxes.find(key) for key in keys[:800] if key is not waits)
    for count in ("COUNT(*) FROM messages", "COUNT(*) FROM recipients"):
        assert store.read(f"SELECT {count}")[0][0] < 350, count
    # It is forgotten with the others of its age once the device has it.
    (box,) = boxes.boxes(bob)
    assert [data for _, data in boxes.waiting(box, 0, 10)] == [b"x"]
    assert boxes.acknowledge(waits, bob, device, "delivered") == alice
    for _ in range(200):
        boxes.add(uuid.uuid4().bytes, alice, bob, b"x")
    store.commit()
    assert boxes.find(waits) is None
    store.close()


@in_loop
async def test_the_content_that_a_dismissed_device_was_the_last_to_wait_for_is_dropped() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        laptop = await server.connect(bob.user)
        ours, first = message(bob.user), message(bob.user)
        await alice.send(ours, first)
        for one in (ours, first):
            await alice.expect("sent_ack", message_id=one["message_id"])
            await bob.expect("deliver")
        await bob.send(frame("delivery_ack", message_id=first["message_id"]))
        await bob.silent()
        server.app.durably(lambda: server.app.mailboxes.dismiss(laptop.user, laptop.device))
        rows = server.app.store.read("SELECT id FROM messages WHERE frame = x''")
        assert rows == [(uuid.UUID(first["message_id"]).bytes,)]


@in_loop
async def test_a_commit_that_fails_after_a_reset_forgets_no_message() -> None:
    async with running_server() as server:
        server.app.durably(server.app.store.clear)
        alice, bob = await server.pair()
        sent = await _delivered_once(server, alice, bob)
        lost = message(bob.user)
        server.app.store.inject_fault(1)
        await alice.send(lost)
        await alice.expect_error("server_error", lost["message_id"])
        await _known_still(alice, bob, sent)


@in_loop
async def test_a_store_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    async with running_server(store=path) as server:
        alice, bob = await server.pair()
        sent = message(bob.user)
        await alice.send(sent)
        await alice.expect("sent_ack")
        await bob.expect("deliver")
    with sqlite3.connect(path) as database:  # as a reset left some: a second message with the same id
        database.execute("PRAGMA user_version = 1")
        database.execute("DROP TABLE changes")
        database.execute("CREATE TABLE ids (id BLOB PRIMARY KEY, message INTEGER NOT NULL) WITHOUT ROWID")
        database.execute("CREATE TABLE indexed (upto INTEGER NOT NULL)")
        database.execute("INSERT INTO messages SELECT seq + 1, id, sender, target, x'00' FROM messages")
        database.execute("INSERT INTO waiting SELECT box, message + 1 FROM waiting")
    database.close()
    (tmp_path / "store.db-mark").unlink()  # there was none yet
    async with running_server(store=path) as server:
        alice = await server.connect(alice.user, alice.device)
        bob = await server.connect(bob.user, bob.device)
        await bob.expect("deliver", message_id=sent["message_id"])
        await _known_still(alice, bob, sent)
        await bob.send(frame("delivery_ack", message_id=sent["message_id"]))
        await alice.expect("status_update", message_id=sent["message_id"])
        assert server.app.mailboxes.totals() == Totals(0, 0)


def _counted(store: Store) -> Totals:
    ((waiting,),) = store.read("SELECT COUNT(*) FROM waiting")
    rows = store.read("SELECT sender, LENGTH(frame) FROM messages")
    by_sender = {
        sender: sum(size for other, size in rows if other == sender) for sender, size in rows if size
    }
    return Totals(waiting, sum(size for _, size in rows), by_sender)


def test_totals_are_right_whichever_turns_fail() -> None:
    store, lots, sent = Store(":memory:"), random.Random(7), list[tuple[bytes, str]]()
    boxes = Mailboxes(store, waiting_per_user=1000, waiting_bytes=1 << 30)
    people = [f"user {number}" for number in range(4)]

    def send() -> None:
        sender, target = lots.sample(people, 2)
        sent.append((uuid.uuid4().bytes, target))
        assert boxes.add(sent[-1][0], sender, target, bytes(lots.randrange(1, 200)))

    def acknowledge() -> None:
        for key, target in sent[-3:]:
            for device in "ab":
                boxes.acknowledge(key, target, device, "delivered")

    def look() -> None:
        boxes.totals()

    steps = [send, send, acknowledge, look]
    steps += [lambda: boxes.register(lots.choice(people), lots.choice("ab")) and None]
    steps += [lambda: boxes.dismiss(lots.choice(people), lots.choice("ab"))]
    reached: set[str] = set()
    for _ in range(400):
        for step in lots.choices(steps, k=lots.randrange(1, 6)):
            if lots.random() < 0.02:
                store.clear()
            step()
        if lots.random() < 0.4 and store.dirty:
            store.inject_fault(1)
            with pytest.raises(StoreError):
                store.commit()
            reached.add("failed, and known still" if boxes._tally.known else "failed, to be counted again")
        store.commit()
        assert boxes.totals() == _counted(store)
    assert len(reached) == 2
    store.close()


def test_a_store_that_fails_is_not_read_as_a_whole_each_time() -> None:
    store, statements = Store(":memory:"), list[str]()
    boxes = Mailboxes(store, waiting_per_user=1000, waiting_bytes=1 << 30)
    assert boxes.add(uuid.uuid4().bytes, "alice", "bob", b"frame")
    store.commit()
    assert boxes.totals() == Totals(1, 5, {"alice": 5})
    store.connection.set_trace_callback(statements.append)
    for _ in range(3):
        assert boxes.add(uuid.uuid4().bytes, "alice", "bob", b"frame")
        store.inject_fault(1)
        with pytest.raises(StoreError):
            store.commit()
    assert boxes.totals() == Totals(1, 5, {"alice": 5})
    assert len(statements) > 3
    assert [each for each in statements if "LENGTH" in each or each.endswith("FROM waiting")] == []
    store.close()
