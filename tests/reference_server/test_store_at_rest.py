"""A store that is damaged while no server runs is refused, and left as it is; what is no damage is not."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from support.server import in_loop, message, running_server

from relaykit.errors import UsageError
from relaykit.reference_server import devices, store_opening
from relaykit.reference_server.mailbox import Mailboxes
from relaykit.reference_server.store import Store, StoreError

_FRAME = 4096 + 24  # bytes of a page in the log
_FILES = ("store.db", "store.db-wal", "store.db-mark")


def _boxes(store: Store) -> Mailboxes:
    return Mailboxes(store, waiting_per_user=100_000, waiting_bytes=1 << 30)


def _fill(store: Store, turns: int, boxes: Mailboxes | None = None) -> Mailboxes:
    boxes = boxes or _boxes(store)
    for _ in range(turns):
        for _ in range(10):
            assert boxes.add(uuid.uuid4().bytes, "alice", "bob", os.urandom(500))
        store.commit()
    return boxes


@pytest.fixture(autouse=True)
def short_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here needs the megabytes of zeros that a log has at its end."""
    monkeypatch.setattr(store_opening, "_WAL_BYTES", 1 << 20)


def _crashed(folder: Path, *, run_before: bool = True) -> Path:
    """A store as a crash leaves it: with some in the file itself, if there was a run before, and some in the
    log."""
    live = folder / "live"
    live.mkdir()
    if run_before:
        store = Store(str(live / "store.db"))
        _fill(store, 30)
        store.close()
    store = Store(str(live / "store.db"))
    _fill(store, 30)
    for name in _FILES:
        shutil.copy(live / name, folder / name)
    store.close()
    return folder / "store.db"


def _refused(path: Path, *words: str) -> None:
    """It is, by name and with a way out, and nothing is changed."""
    files = [path.with_name(name) for name in _FILES]
    before = [each.read_bytes() if each.exists() else b"" for each in files]
    with pytest.raises(UsageError) as caught:
        Store(str(path))
    assert str(path) in str(caught.value)
    for word in words:
        assert word in str(caught.value)
    assert "put back a copy of the store" in (caught.value.hint or "")
    assert [each.read_bytes() if each.exists() else b"" for each in files] == before


def _zero(path: Path, start: int = 0, length: int | None = None) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(path.stat().st_size - start if length is None else length))


# --- damage ---

_LOG = {
    "zeroed": _zero,
    "zeroed from the middle on": lambda log: _zero(log, 32 + 20 * _FRAME),
    "zeroed in the middle": lambda log: _zero(log, 32 + 20 * _FRAME, 3 * _FRAME),
    "garbage": lambda log: log.write_bytes(os.urandom(log.stat().st_size)),
    "zeroed at its start": lambda log: _zero(log, 0, 32),
    "cut": lambda log: os.truncate(log, 32 + 20 * _FRAME + 100),
    "emptied": lambda log: os.truncate(log, 0),
    "deleted": Path.unlink,
}


@pytest.mark.parametrize("run_before", [True, False])
@pytest.mark.parametrize("damage", _LOG.values(), ids=_LOG)
def test_a_log_that_has_lost_what_was_acknowledged(
    tmp_path: Path, damage: Callable[[Path], None], run_before: bool
) -> None:
    path = _crashed(tmp_path, run_before=run_before)
    damage(tmp_path / "store.db-wal")
    _refused(path, "lacks what was acknowledged last", "store.db-wal", "store.db-mark")
    (tmp_path / "store.db-mark").unlink()  # as the hint says: the user knows, and goes on
    Store(str(path)).close()


_MAIN = {
    "zeroed": _zero,
    "zeroed but for its start": lambda main: _zero(main, 4096),
    "a page zeroed": lambda main: _zero(main, 20 * 4096, 4096),  # one that the log does not hold anew
    "cut": lambda main: os.truncate(main, main.stat().st_size // 2 // 4096 * 4096),
    "emptied": lambda main: os.truncate(main, 0),
}


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("damage", _MAIN.values(), ids=_MAIN)
def test_a_file_that_is_damaged_beside_a_good_log_or_none(
    tmp_path: Path, damage: Callable[[Path], None], clean: bool
) -> None:
    path = _crashed(tmp_path)
    if clean:
        Store(str(path)).close()
    damage(path)
    _refused(path)


def test_a_file_that_is_gone_while_its_log_is_there(tmp_path: Path) -> None:
    path = _crashed(tmp_path)
    path.unlink()
    _refused(path, "is not there, but there is a log of writes to it")


def test_an_older_copy_is_taken_for_one_until_the_user_says_that_it_is_meant(tmp_path: Path) -> None:
    path, copy = tmp_path / "store.db", tmp_path / "copy"
    for _ in range(2):
        store = Store(str(path))
        _fill(store, 1)
        store.close()
        copy.exists() or shutil.copy(path, copy)
    shutil.copy(copy, path)
    _refused(path, "an older copy of the store")


@in_loop
async def test_what_is_arranged_besides_messages_counts_too(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with running_server(store=str(path)) as server:
        alice, bob = await server.pair()
        await alice.send(message(bob.user))
        await bob.expect("deliver")
    copy = path.read_bytes()
    async with running_server(store=str(path)) as server:
        devices.revoke(server.app, bob.user, bob.device)
    path.write_bytes(copy)
    _refused(path, "lacks what was acknowledged last")


@in_loop
async def test_a_device_that_is_known_by_its_first_connection_counts_too(tmp_path: Path) -> None:
    path, mark = tmp_path / "store.db", tmp_path / "store.db-mark"
    async with running_server(store=str(path)) as server:
        bob = await server.connect()
    copy, before = path.read_bytes(), mark.read_bytes()
    async with running_server(store=str(path)) as server:
        await server.connect(bob.user, bob.device)
        assert mark.read_bytes() == before  # known already
        await server.connect(bob.user)
    path.write_bytes(copy)
    _refused(path, "lacks what was acknowledged last")


def test_a_large_store_is_looked_through_for_some_time_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _crashed(tmp_path)
    monkeypatch.setattr(store_opening, "_CHECK_S", 0.0)
    store = Store(str(path))
    assert store.read("SELECT COUNT(*) FROM waiting") == [(600,)]
    store.close()


# --- no damage ---


def test_a_crash_is_none(tmp_path: Path) -> None:
    path = _crashed(tmp_path)
    for _ in range(2):
        store = Store(str(path))
        assert store.read("SELECT COUNT(*) FROM waiting") == [(600,)]
        store.close()


@pytest.mark.parametrize("mark", [None, b"", bytes(42), bytes(60), b"%020d %020d\n" % (0, 200)])
def test_a_mark_that_is_behind_as_after_a_failure_of_the_machine(tmp_path: Path, mark: bytes | None) -> None:
    path = _crashed(tmp_path)
    file = tmp_path / "store.db-mark"
    file.unlink()
    if mark is not None:
        file.write_bytes(mark)
    Store(str(path)).close()
    os.truncate(path, 0)
    _refused(path)  # the mark is right again


def test_whoever_has_looked_into_a_crashed_store_has_not_damaged_it(tmp_path: Path) -> None:
    path = _crashed(tmp_path)
    other = sqlite3.connect(path)
    assert other.execute("SELECT COUNT(*) FROM waiting").fetchall() == [(600,)]
    other.close()
    assert not (tmp_path / "store.db-wal").exists()  # it was copied into the file
    Store(str(path)).close()


def test_a_store_that_was_deleted_begins_anew(tmp_path: Path) -> None:
    path = _crashed(tmp_path)
    Store(str(path)).close()
    path.unlink()
    for _ in range(2):
        store = Store(str(path))
        assert store.read("SELECT * FROM waiting") == []
        store.close()


def test_what_was_never_stored_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store(str(path))
    boxes = _fill(store, 1)
    store.inject_fault(1)
    with pytest.raises(StoreError):
        _fill(store, 1, boxes)
    store.write("INSERT INTO befriended VALUES ('a', 'b')")
    store.note_change()
    store.inject_fault(1)
    with pytest.raises(StoreError):
        store.commit()
    store.write("INSERT INTO befriended VALUES ('a', 'b')")
    store.commit()
    store.close()
    Store(str(path)).close()


@in_loop
async def test_a_reset_takes_nothing_away_that_is_missed(tmp_path: Path) -> None:
    path, mark = tmp_path / "store.db", tmp_path / "store.db-mark"
    async with running_server(store=str(path)) as server:
        alice, bob = await server.pair()
        await alice.send(message(bob.user))
        await bob.expect("deliver")
        before = mark.read_bytes()
        server.app.durably(server.app.mailboxes.totals)  # only looks
        assert mark.read_bytes() == before
        server.app.durably(server.app.store.clear)
    Store(str(path)).close()
    mark.write_bytes(before)  # behind, as after a failure of the machine
    Store(str(path)).close()


def test_a_store_in_memory_leaves_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store(":memory:")
    _fill(store, 1)
    store.close()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_which_no_mark_can_be_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "store.db-mark").symlink_to("nowhere/mark")
    store = Store(str(tmp_path / "store.db"))
    _fill(store, 1)
    store.close()
    assert f"{tmp_path / 'store.db-mark'} cannot be written" in caplog.text


# --- what has the name of a mark, and is none ---


_OTHERS: dict[str, Callable[[Path], object]] = {
    "notes": lambda path: path.write_bytes(b"mark the date\n"),
    "one number": lambda path: path.write_bytes(b"1"),
    "long": lambda path: path.write_bytes(b"%020d %020d\n" % (0, 0) * 2),
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
}


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("make", _OTHERS.values(), ids=_OTHERS)
def test_what_is_no_mark_is_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], object], there: bool
) -> None:
    path, other = tmp_path / "store.db", tmp_path / "store.db-mark"
    if there:
        Store(str(path)).close()
        other.unlink()
    make(other)
    before = os.lstat(other), other.read_bytes() if other.is_file() else None
    with pytest.raises(UsageError, match=r"store\.db-mark is in the way") as caught:
        Store(str(path))
    assert caught.value.hint == "give another --store, or move that file away"
    after = os.lstat(other), other.read_bytes() if other.is_file() else None
    assert (after[0].st_ino, after[0].st_mtime_ns, after[1]) == (
        before[0].st_ino,
        before[0].st_mtime_ns,
        before[1],
    )
    assert path.exists() == there


def test_a_store_that_is_named_like_the_mark_of_another_goes_on(tmp_path: Path) -> None:
    live = Store(str(tmp_path / "store-mark"))
    boxes = _fill(live, 1)
    with pytest.raises(UsageError, match="store-mark is in the way"):
        Store(str(tmp_path / "store"))
    _fill(live, 1, boxes)
    look = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('PRAGMA user_version')"
    other = subprocess.run(
        [sys.executable, "-c", look, live.path], capture_output=True, text=True, check=False
    )
    assert "database is locked" in other.stderr  # as before: it is still for this process alone
    live.close()
    again = Store(str(tmp_path / "store-mark"))
    assert again.read("SELECT COUNT(*) FROM waiting") == [(20,)]
    again.close()
