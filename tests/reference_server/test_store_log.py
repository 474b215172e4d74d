"""The store's log is as long from the start as it will be, and what is in it outlives the server."""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

import pytest

from relaykit.reference_server.mailbox import Mailboxes
from relaykit.reference_server.store import Store

ALICE, BOB = "alice", "bob"


def boxes_of(store: Store) -> Mailboxes:
    return Mailboxes(store, waiting_per_user=10_000, waiting_bytes=1 << 30)


def fill(store: Store, boxes: Mailboxes, turns: int, *, size: int) -> list[bytes]:
    """Committed messages, a turn of ten at a time: their keys."""
    keys = []
    for _ in range(turns):
        for _ in range(10):
            keys.append(uuid.uuid4().bytes)
            assert boxes.add(keys[-1], ALICE, BOB, b"x" * size)
        store.commit()
    return keys


@pytest.mark.parametrize("turns", [1, 40, 210])  # little, much, and more than the log holds
def test_what_was_committed_is_there_after_a_crash(tmp_path: Path, turns: int) -> None:
    path, copy = tmp_path / "store.db", tmp_path / "crashed.db"
    store = Store(str(path))
    log = Path(f"{path}-wal")
    before = log.stat().st_size
    boxes = boxes_of(store)
    boxes.register(BOB, "phone")
    store.commit()
    keys = fill(store, boxes, turns, size=8_000)
    assert boxes.add(uuid.uuid4().bytes, ALICE, BOB, b"not committed")
    assert log.stat().st_size == before  # written over, not lengthened
    for file in (path, log):  # as a crash leaves them
        shutil.copy(file, copy.with_name(file.name.replace(path.name, copy.name)))
    store.close()
    again = Store(str(copy))
    boxes = boxes_of(again)
    assert all(boxes.find(key) is not None for key in keys)
    box = boxes.box(BOB, "phone")
    assert box is not None
    assert box.waiting == len(keys)
    assert again.read("PRAGMA integrity_check") == [("ok",)]
    again.close()


def test_the_log_is_as_private_as_the_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    Store(str(path)).close()
    path.chmod(0o600)
    store = Store(str(path))
    assert Path(f"{path}-wal").stat().st_mode & 0o777 == 0o600
    store.close()
    assert not Path(f"{path}-wal").exists()


def test_without_room_for_a_long_log_it_grows_as_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", full)
    path = tmp_path / "store.db"
    store = Store(str(path))
    boxes = boxes_of(store)
    log = Path(f"{path}-wal")
    assert log.stat().st_size < 100_000
    (key, *_) = fill(store, boxes, 1, size=100)
    assert log.stat().st_size > 0
    store.close()
    again = Store(str(path))
    assert boxes_of(again).find(key) is not None
    again.close()
