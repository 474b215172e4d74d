"""Which messages are known: recent ones, older ones, and none that a failed turn has added or kept."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from relaykit.reference_server import ledger
from relaykit.reference_server.ledger import Ledger
from relaykit.reference_server.mailbox import DELIVERED, Mailboxes
from relaykit.reference_server.store import Store, StoreError

ALICE, BOB, PHONE = "alice", "bob", "phone"


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store(":memory:")
    yield store
    store.close()


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little is recent, and many share a place."""
    monkeypatch.setattr(ledger, "_RECENT", 10)
    monkeypatch.setattr(ledger, "_SHELVES", 3)


def new_boxes(store: Store, remembered: int = 1_000_000) -> Mailboxes:
    boxes = Mailboxes(store, waiting_per_user=10_000, waiting_bytes=1_000_000, remembered=remembered)
    boxes.register(BOB, PHONE)
    store.commit()
    return boxes


def deliver(store: Store, boxes: Mailboxes, count: int, *, fails: bool = False) -> list[bytes]:
    """New messages that nobody waits for any more, stored in one turn."""
    keys = [uuid.uuid4().bytes for _ in range(count)]
    for key in keys:
        assert boxes.find(key) is None
        assert boxes.add(key, ALICE, BOB, b"x")
        assert boxes.acknowledge(key, BOB, PHONE, DELIVERED) == ALICE
    if fails:
        store.inject_fault(1)
        with pytest.raises(StoreError):
            store.commit()
    else:
        store.commit()
    return keys


def test_of_failed_turns_nothing_is_known_whichever_they_are(store: Store) -> None:
    boxes, known, lost = new_boxes(store), [], []
    for number in range(40):
        (known, lost)[number % 3 == 1].extend(deliver(store, boxes, 4, fails=number % 3 == 1))
        assert not any(map(boxes.find, lost))
        places = [entry.seq for entry in map(boxes.find, known) if entry is not None]
        assert len(places) == len(known)
        assert places == sorted(places)
    for key in lost:  # they are sent again
        assert boxes.add(key, ALICE, BOB, b"x")
    store.commit()
    assert all(map(boxes.find, lost))
    again = Ledger(store)
    assert [again.find(key) is not None for key in known + lost] == [True] * len(known + lost)


def test_a_status_that_was_not_stored_is_not_known(store: Store) -> None:
    boxes = new_boxes(store)
    key = uuid.uuid4().bytes
    boxes.add(key, ALICE, BOB, b"x")
    store.commit()
    assert boxes.acknowledge(key, BOB, PHONE, DELIVERED) == ALICE
    store.inject_fault(1)
    with pytest.raises(StoreError):
        store.commit()
    assert boxes.acknowledge(key, BOB, PHONE, DELIVERED) == ALICE


@pytest.mark.parametrize("remembered", [30, 5])  # more or less than are recent
def test_what_was_not_forgotten_after_all_is_known(store: Store, remembered: int) -> None:
    boxes, keys = new_boxes(store, remembered), []
    for number in range(300):
        # Of the turns in which messages are forgotten, some fail at first.
        if number % 3:
            deliver(store, boxes, 4, fails=True)
        keys += deliver(store, boxes, 4)
        rows = {key for (key,) in store.read("SELECT id FROM messages")}
        assert rows >= set(keys[-(remembered // 2) :])  # failed turns count, too
        assert all(map(boxes.find, rows))
    assert sum(boxes.find(key) is not None for key in keys) < 60


def test_ids_whose_bytes_contain_each_other_are_told_apart(store: Store) -> None:
    boxes = new_boxes(store)
    keys = [bytes(16), *(bytes([0] * n + [1] * (16 - n)) for n in range(16)), bytes([1] * 16)[:15] + b"\0"]
    for key in keys:
        assert boxes.find(key) is None
        boxes.add(key, ALICE, BOB, b"x")
    store.commit()
    deliver(store, boxes, 10)
    deliver(store, boxes, 10)
    deliver(store, boxes, 10)
    assert [entry.seq for entry in map(boxes.find, keys) if entry] == list(range(1, len(keys) + 1))
    assert boxes.find(bytes([0] * 5 + [2] * 11)) is None
    assert boxes.find(bytes([1] * 12 + [0] * 4)) is None


def test_a_store_that_is_emptied_forgets_and_one_that_is_not_after_all_does_not(store: Store) -> None:
    boxes = new_boxes(store)
    keys = [key for _ in range(5) for key in deliver(store, boxes, 10)]
    store.clear()
    assert not any(map(boxes.find, keys))
    store.inject_fault(1)
    with pytest.raises(StoreError):
        store.commit()
    assert all(map(boxes.find, keys))
    store.clear()
    store.commit()
    assert not any(map(boxes.find, keys))
    new = [*deliver(store, boxes, 10), *deliver(store, boxes, 10)]
    deliver(store, boxes, 10, fails=True)
    assert all(map(boxes.find, new))
    assert not any(map(boxes.find, keys))


def test_a_status_is_known_of_older_messages_too(store: Store) -> None:
    boxes = new_boxes(store)
    boxes.register(BOB, "laptop")
    key = uuid.uuid4().bytes
    boxes.add(key, ALICE, BOB, b"x")
    store.commit()
    deliver(store, boxes, 15)  # it is among the older ones now
    assert boxes.acknowledge(key, BOB, PHONE, DELIVERED) == ALICE
    assert boxes.acknowledge(key, BOB, "laptop", DELIVERED) is None  # told once


def test_what_is_forgotten_or_was_never_stored_takes_no_memory(store: Store) -> None:
    boxes = new_boxes(store, remembered=30)
    waiting = uuid.uuid4().bytes
    boxes.add(waiting, ALICE, BOB, b"x")
    for number in range(60):
        deliver(store, boxes, 11)
        if number % 2:  # a turn that fails, early or late, and one that looks nothing up
            if number % 4 == 1:
                deliver(store, boxes, 11, fails=True)
            else:
                for _ in range(11):
                    boxes.add(uuid.uuid4().bytes, ALICE, BOB, b"x")
                for act in (lambda: store.read("nonsense"), store.commit):
                    with pytest.raises(StoreError):
                        act()
            store.write("DELETE FROM written")
            store.commit()
    known = boxes._ledger
    assert sum(map(len, known._shelves)) <= 21 * 60
    assert len(known._recent) + len(known._older) < 50


def test_an_id_is_not_found_across_two_others() -> None:
    shelf = bytes(range(100, 142))  # two records
    assert list(ledger._seqs(shelf, shelf[:16])) == [int.from_bytes(shelf[16:21])]
    assert list(ledger._seqs(shelf, shelf[21:37])) == [int.from_bytes(shelf[37:42])]
    assert list(ledger._seqs(shelf, shelf[7:23])) == []
