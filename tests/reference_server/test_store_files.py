"""A store whose files are changed in place by something else, and all that must not be taken for it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from support.server import in_loop, message, running_server

from relaykit.errors import UsageError
from relaykit.reference_server.store import Store, StoreError


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _zero(path: Path) -> None:
    _overwrite(path, bytes(path.stat().st_size))


def _garbage(path: Path) -> None:
    _overwrite(path, os.urandom(path.stat().st_size))


def _overwrite(path: Path, data: bytes) -> None:
    with path.open("r+b") as file:
        file.write(data)


def put(store: Store, number: int, *, size: int = 1) -> None:
    store.write("INSERT INTO written VALUES (?, ?)", f"{number}", "x" * size)


def _written(path: Path, number: int) -> Store:
    """A store, open, with one more thing in it."""
    store = Store(str(path))
    put(store, number)
    store.commit()
    return store


@pytest.mark.parametrize("which", ["store.db", "store.db-wal"])
@pytest.mark.parametrize("damage", [_empty, _zero, _garbage])
@in_loop
async def test_a_file_that_is_changed_in_place_takes_nothing_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, which: str, damage: Callable[[Path], None]
) -> None:
    main = tmp_path / "store.db"
    async with running_server(store=str(main)) as server:
        alice, bob = await server.pair()
        await alice.send(message(bob.user))
        await alice.expect("sent_ack")
        await bob.expect("deliver")
        damage(tmp_path / which)
        left = main.read_bytes()
        for _ in range(3):
            one = message(bob.user)
            await alice.send(one)
            await alice.expect_error("server_error", one["message_id"])
        await bob.silent()
        server.app.clock.advance(5)
        assert server.app.store.failing
        assert (
            f"{tmp_path / which} was changed by something else while in use; stop the server" in caplog.text
        )
        assert caplog.text.count("the store fails") == 1
    assert main.read_bytes() == left  # closing has not made it worse: what the log is for may be lost


@pytest.mark.parametrize("damage", [_zero, _garbage])
@pytest.mark.parametrize("which", ["store.db", "store.db-wal"])
def test_what_is_written_over_in_the_moment_of_a_commit_shows(
    tmp_path: Path, damage: Callable[[Path], None], which: str
) -> None:
    path, other = tmp_path / "store.db", tmp_path / which
    store = _written(path, 1)
    before = other.stat()
    damage(other)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))  # as if no time had passed
    put(store, 2)
    with pytest.raises(StoreError):
        store.commit()
    for _ in range(2):
        with pytest.raises(StoreError):
            put(store, 3)
        with pytest.raises(StoreError):
            store.commit()
    store.close()


def test_a_log_that_is_cut_within_a_turn_shows(tmp_path: Path) -> None:
    path, log = tmp_path / "store.db", tmp_path / "store.db-wal"
    store = Store(str(path))
    put(store, 1)
    store.commit()
    put(store, 2)
    os.truncate(log, log.stat().st_size // 2)
    with pytest.raises(StoreError):
        store.commit()
    store.close()


def test_a_damaged_log_is_not_copied_into_the_file(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = _written(path, 1)
    store.close()
    store = _written(path, 2)
    _zero(tmp_path / "store.db-wal")
    store.close()
    store = Store(str(path))
    assert store.read("SELECT user FROM written") == [("1",)]
    store.close()


def test_an_empty_file_with_a_log_is_no_new_store(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = _written(path, 1)
    _empty(path)
    store.close()
    with pytest.raises(UsageError, match="is empty, but there is a log of writes to it"):
        Store(str(path))
    assert (tmp_path / "store.db-wal").stat().st_size > 0


# --- what is no damage ---


def test_the_servers_own_writes_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    size = 100_000
    for _ in range(2):
        store = Store(str(path))
        for turn in range(3):
            for number in range(150):  # more than the cache holds: SQLite writes before the commit
                put(store, turn * 1000 + number, size=size)
            assert store.look() is None
            store.commit()
            assert store.look() is None
        assert path.stat().st_size > 16 << 20  # the log was copied into the file
        for number in range(150):
            put(store, 5000 + number, size=size)
        store.inject_fault(1)
        with pytest.raises(StoreError):
            store.commit()
        assert store.look() is None
        put(store, 1_000_000)
        store.commit()
        store.write("DELETE FROM written WHERE user = 'nobody'")  # a commit that writes nothing
        store.commit()
        store.clear()
        store.commit()
        assert store.look() is None
        store.close()


def test_a_first_commit_that_writes_nothing_is_no_damage(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store.db"))
    for number in range(2):
        store.write("DELETE FROM written")
        store.commit()
        put(store, number)
        store.commit()
    assert store.look() is None
    store.close()


def test_looking_at_a_store_is_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = Store(str(path))
    for number in range(3):
        put(store, number)
        store.commit()
        for name in ("store.db", "store.db-wal"):
            shutil.copyfile(tmp_path / name, tmp_path / f"copy-{name}")
        path.chmod(0o600)
        for address in (f"file:{path}?mode=ro", f"file:{path}"):
            other = sqlite3.connect(address, uri=True, timeout=0)
            with contextlib.closing(other), pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("SELECT * FROM written").fetchall()
        assert store.look() is None
    store.close()
    assert not (tmp_path / "store.db-wal").exists()


# --- a store that is reached through a link ---


def _linked(folder: Path) -> tuple[Path, Path]:
    """A path that leads to a store, and the store's own."""
    (folder / "disk").mkdir()
    link, real = folder / "link.db", folder / "disk" / "store.db"
    link.symlink_to(real)
    return link, real


def _vanished(link: Path, real: Path) -> Path:
    log = real.with_name("store.db-wal")
    log.unlink()
    return log


def _led_elsewhere(link: Path, real: Path) -> Path:
    other = real.with_name("other.db")
    shutil.copy(real, other)
    link.unlink()
    link.symlink_to(other)
    return link


@pytest.mark.parametrize("spoil", [_vanished, _led_elsewhere])
def test_what_a_link_leads_to_is_watched_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path, Path], Path]
) -> None:
    link, real = _linked(tmp_path)
    store = _written(link, 1)
    wrong = spoil(link, real)
    with pytest.raises(StoreError):
        put(store, 2)
    assert f"{wrong} was " in caplog.text
    with pytest.raises(StoreError):
        store.commit()
    store.close()


@pytest.mark.parametrize("through", [0, 1])
def test_a_store_is_known_by_whatever_path(tmp_path: Path, through: int) -> None:
    paths = _linked(tmp_path)
    store = _written(paths[0], 1)
    put(store, 2)
    store.note_change()
    store.commit()
    real = paths[1]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["disk", "link.db"]
    for name in ("store.db", "store.db-mark"):
        shutil.copy(real.with_name(name), real.with_name(f"{name}.kept"))
    store.close()
    for name in ("store.db", "store.db-mark"):  # as after a crash that has lost the log
        real.with_name(f"{name}.kept").replace(real.with_name(name))
    with pytest.raises(UsageError, match="lacks what was acknowledged last"):
        Store(str(paths[through]))


def test_an_emptied_store_that_is_reached_through_a_link_keeps_its_log(tmp_path: Path) -> None:
    link, real = _linked(tmp_path)
    store = _written(link, 1)
    log = real.with_name("store.db-wal")
    kept = log.read_bytes()
    store.close()
    log.write_bytes(kept)
    _empty(real)
    with pytest.raises(UsageError, match="is empty, but there is a log of writes to it"):
        Store(str(link))
    assert log.read_bytes() == kept
