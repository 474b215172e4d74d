"""The durable store: one SQLite file, one commit per loop turn, and nothing acknowledged before it.

This module owns the file, its schema and its transactions; what is read and written stands in `mailbox`
(messages and who still waits for them) and `people` (contacts, groups, conversations).
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from relaykit.errors import UsageError
from relaykit.reference_server.clock import ticks
from relaykit.reference_server.counters import Durations
from relaykit.reference_server.store_files import LEFT_OVER, Files, emptied

log = logging.getLogger(__name__)

MEMORY = ":memory:"
_APPLICATION_ID = 0x524C4B54  # "RLKT": tells a store from any other SQLite file
_VERSION = 2
ROWS = 128
"""How many one statement inserts at most; a power of two, as are the smaller numbers that are left."""
_CACHE_KIB = 8192
_WAL_PAGES = 4000  # 16 MB: then all of it is copied into the file itself, and all wait for that
_WRITABLE = "the file and its folder must be writable, and the disk must have room"
_PAGE = 4096  # bytes, as SQLite has them unless told otherwise
_WAL_BYTES = (_WAL_PAGES + 100) * (_PAGE + 24)  # with each page's header, and some room for the last commit
_PIECE = 1 << 20
_ROOM = 16  # one part in so many of a store in memory is kept to empty it: acknowledgements write, too

# devices: in order of first use. device = '' is the box of a user who has none yet. state: active, or
#   pending, denied or revoked: these get no messages.
# approvals: requests for the approval of devices; told = 0: open, or the device has not heard the decision.
# messages: id is 16 bytes; frame is the frame as the recipients get it, empty once no device waits for it.
#   The row stays, so that a message sent again is known, until many newer ones have come (see retention). A
#   group's message has one row in recipients for each member it was for; a direct one gets a row there only
#   when its status changes (no row: sent).
# waiting: one row per message and device until that device's acknowledgement.
# notices: status updates for senders who are away.
# written: who has written to whom directly; both ways make a contact. befriended: contacts made out of band.
_SCHEMA = """
CREATE TABLE devices (
    box INTEGER PRIMARY KEY, user TEXT NOT NULL, device TEXT NOT NULL, state TEXT NOT NULL,
    UNIQUE (user, device)
);
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY, id BLOB NOT NULL, sender TEXT NOT NULL, target TEXT NOT NULL,
    frame BLOB NOT NULL
);
CREATE TABLE recipients (
    message INTEGER NOT NULL, user TEXT NOT NULL, status TEXT NOT NULL, PRIMARY KEY (message, user)
) WITHOUT ROWID;
CREATE TABLE waiting (
    box INTEGER NOT NULL, message INTEGER NOT NULL, PRIMARY KEY (box, message)
) WITHOUT ROWID;
CREATE TABLE notices (
    user TEXT NOT NULL, message BLOB NOT NULL, recipient TEXT NOT NULL, status TEXT NOT NULL,
    at TEXT NOT NULL, PRIMARY KEY (user, message, recipient)
);
CREATE TABLE approvals (
    id TEXT PRIMARY KEY, user TEXT NOT NULL, device TEXT NOT NULL, expires REAL NOT NULL, shown BLOB NOT NULL,
    state TEXT NOT NULL, told INTEGER NOT NULL
);
CREATE TABLE written (user TEXT NOT NULL, other TEXT NOT NULL, PRIMARY KEY (user, other)) WITHOUT ROWID;
CREATE TABLE befriended (user TEXT NOT NULL, other TEXT NOT NULL, PRIMARY KEY (user, other)) WITHOUT ROWID;
CREATE TABLE members (room TEXT NOT NULL, user TEXT NOT NULL, PRIMARY KEY (room, user)) WITHOUT ROWID;
CREATE TABLE conversations (id TEXT NOT NULL PRIMARY KEY, room TEXT NOT NULL) WITHOUT ROWID;
"""

# Version 1 had an index of ids, which a reset could leave incomplete, so that an id that was sent again was
# stored again: the first message with an id is the one that counts.
_FROM_1 = """
DELETE FROM messages WHERE seq NOT IN (SELECT MIN(seq) FROM messages GROUP BY id);
DELETE FROM waiting WHERE message NOT IN (SELECT seq FROM messages);
DELETE FROM recipients WHERE message NOT IN (SELECT seq FROM messages);
DROP TABLE ids;
DROP TABLE indexed
"""


class StoreError(Exception):
    """The store cannot do its work now: disk full, file locked or damaged, or a fault that was asked for."""


class Store:
    """One open store. Reads see what the current turn has written; `commit` makes it last."""

    def __init__(self, path: str, *, memory_bytes: int = 1 << 30) -> None:
        """Open or create the store at `path`, or one in memory for `:memory:`.

        Args:
            memory_bytes: how large one in memory may become; the disk bounds others.

        Raises:
            UsageError: no such folder, not a store, a newer store, damaged, or in use by another server.
        """
        self.path = path
        self.used = False
        """Whether anything was read or written; the dispatcher resets it before each frame."""
        self.dirty = False
        """Whether there is anything to commit."""
        self.failing = False
        """Whether the last commit failed; for health checks."""
        self.commits = Durations()
        """How long commits took, those that failed too."""
        self.failed_commits = 0
        self._broken = False  # the current turn has failed: nothing of it may be kept
        self._writing = False  # a transaction is under way
        self._faults = 0
        self._settle: list[Callable[[], None]] = []
        self._forget: list[Callable[[], None]] = []
        self._db = _open(path)
        self._files = None if path == MEMORY else Files(path)
        self._files_wrong: str | None = None
        self.full = False
        """Whether a store in memory is as large as it may be, but for some room to empty it."""
        self._most_pages = memory_bytes // _PAGE if path == MEMORY else None
        if self._most_pages is not None:
            self._db.execute(f"PRAGMA max_page_count = {self._most_pages}")

    def on_settle(self, settle: Callable[[], None], forget: Callable[[], None]) -> None:
        """Register tables: `settle` writes what is queued for them, `forget` drops caches on a rollback."""
        self._settle.append(settle)
        self._forget.append(forget)

    # --- reading and writing: every failure is a StoreError, and spoils the whole turn ---

    def read(self, sql: str, *values: Any) -> list[Any]:
        """All rows of a query."""
        self.used = True
        if self._broken:
            raise StoreError("this turn has failed already")
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._spoil(error) from error

    def write(self, sql: str, *values: Any) -> int:
        """Run one statement within the turn's transaction; the number of rows it changed."""
        self.begin()
        try:
            return self._db.execute(sql, values).rowcount
        except sqlite3.Error as error:
            raise self._spoil(error) from error

    def write_many(self, sql: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Run one statement for each row within the turn's transaction."""
        self.begin()
        try:
            self._db.executemany(sql, rows)
        except sqlite3.Error as error:
            raise self._spoil(error) from error

    def insert(self, table: str, columns: int, values: Sequence[Any]) -> None:
        """Insert rows into a table within the turn's transaction; many at a time cost half as much each.

        Bytes are best given as bytearrays: for `bytes` the sqlite3 module looks for an adapter, which takes
        longer than the insertion.

        Args:
            columns: how many values make a row.
            values: those of all rows, one row after the other.
        """
        if not values:
            return
        self.begin()
        at, left, rows = 0, len(values) // columns, ROWS
        try:
            while left:
                while rows > left:
                    rows //= 2
                end = at + rows * columns
                self._db.execute(_insertion(table, columns, rows), values[at:end])
                at, left = end, left - rows
        except sqlite3.Error as error:
            raise self._spoil(error) from error

    def begin(self) -> None:
        """Note that this turn writes; starts its transaction if there is none."""
        self.used = True
        if self._broken:
            raise StoreError("this turn has failed already")
        if not self.dirty:
            if wrong := self.look():
                raise self._spoil(wrong)
            self.dirty = True
            try:
                self._db.execute("BEGIN IMMEDIATE")
            except sqlite3.Error as error:
                raise self._spoil(error) from error
            self._writing = True

    def commit(self) -> None:
        """Make the turn's writes last: when this returns, they survive a crash.

        Raises:
            StoreError: nothing of the turn was kept.
        """
        if not self.dirty:
            return
        started = ticks()
        try:
            self._commit()
        except StoreError:
            self.failed_commits += 1
            raise
        finally:
            self.commits.note(ticks() - started)

    def _commit(self) -> None:
        try:
            for settle in self._settle:
                settle()
            if self._broken:
                raise StoreError("a write of this turn failed")
            if self._faults:
                self._faults -= 1
                raise self._spoil("a fault that was asked for")
            if wrong := self.look():
                raise self._spoil(wrong)
            self._db.execute("COMMIT")
            if self._files is not None and (wrong := self._files.committed()):
                raise self._spoil(wrong)
        except (sqlite3.Error, StoreError) as error:
            if isinstance(error, sqlite3.Error):
                self._spoil(error)
            self._rollback()
            raise StoreError("nothing of this turn was stored") from error
        self.dirty = self._writing = False
        if self._most_pages is not None:
            self._measure(self._most_pages)
        self._works()

    def look(self) -> str | None:
        """Notice, and log, that a file was deleted, replaced or changed, or is back; what is wrong."""
        if self._files is None:
            return None
        before = self._files_wrong
        self._files_wrong = wrong = self._files.wrong(writing=self._writing)
        if wrong is not None:
            self._fails(wrong)
        elif before is not None:
            self._works()
        return wrong

    def _measure(self, most: int) -> None:
        bound = most - most // _ROOM
        full = self._count("page_count") > bound
        full = full and self._count("page_count") - self._count("freelist_count") > bound
        if full and not self.full:
            log.error("the store in memory is full; messages are refused until some were acknowledged")
        self.full = full

    def _count(self, what: str) -> int:
        return int(self._db.execute(f"PRAGMA {what}").fetchone()[0])

    def clear(self) -> None:
        """Drop every row, and what was remembered of it."""
        for (table,) in self.read("SELECT name FROM sqlite_master WHERE type = 'table'"):
            self.write(f"DELETE FROM {table}")  # noqa: S608  (our own tables)
        for forget in self._forget:
            forget()

    def inject_fault(self, count: int) -> None:
        """Let the next `count` commits fail, as a full disk would make them."""
        self._faults = count

    def close(self) -> None:
        """Close the file; what was not committed is dropped."""
        if self.look():
            self._db.interrupt()  # or closing copies the log into the file, and one of them is damaged
        self._db.close()
        if self._files is not None:
            self._files.close()

    @property
    def connection(self) -> sqlite3.Connection:
        """SQLite's own connection, for tests that fill the disk and for tools."""
        return self._db

    def _spoil(self, error: object) -> StoreError:
        self._broken = True
        self.dirty = True  # even a failed read: the turn must end in a rollback
        self._fails(error)
        return StoreError(str(error))

    def _fails(self, error: object) -> None:
        if not self.failing:
            self.failing = True
            log.error("the store fails: %s; frames are refused until it works again", error)

    def _works(self) -> None:
        if self.failing:
            self.failing = False
            log.warning("the store works again")

    def _rollback(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._db.in_transaction:  # a full disk may have ended the transaction already
                self._db.execute("ROLLBACK")
        if self._files is not None and self._writing:
            self._files.rolled_back()
        self.dirty = self._broken = self._writing = False
        for forget in self._forget:
            forget()


@cache
def _insertion(table: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {table} VALUES {', '.join((row,) * rows)}"  # noqa: S608  (names of our own)


def _open(path: str) -> sqlite3.Connection:
    if path != MEMORY and not Path(path).absolute().parent.is_dir():
        raise UsageError(f"{path}: the folder of the store does not exist")
    if path != MEMORY and (wrong := emptied(path)):
        raise UsageError(wrong, hint=LEFT_OVER)
    try:
        # The timeout is short: a store that is in use stays in use.
        db = sqlite3.connect(path, isolation_level=None, timeout=0.2, cached_statements=256)
    except sqlite3.Error as error:
        raise UsageError(f"{path}: the store cannot be opened: {error}") from error
    try:
        _prepare(db, path)
    except sqlite3.OperationalError as error:
        db.close()
        if "locked" in str(error):
            raise UsageError(
                f"{path}: the store is in use by another server",
                hint="stop that one, or give another --store",
            ) from error
        raise UsageError(f"{path}: the store cannot be opened: {error}", hint=_WRITABLE) from error
    except sqlite3.DatabaseError as error:
        db.close()
        raise UsageError(f"{path}: not a relaykit store, or a damaged one: {error}") from error
    except UsageError:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: str) -> None:
    # Exclusive: the lock is held until the process ends, by whatever means, so no second server can start.
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    (application,), (version,) = db.execute("PRAGMA application_id").fetchone(), _version(db)
    empty = not db.execute("SELECT 1 FROM sqlite_master").fetchone()
    if not empty and application != _APPLICATION_ID:
        raise UsageError(f"{path}: an SQLite file, but not a relaykit store", hint="give another --store")
    if version > _VERSION:
        raise UsageError(
            f"{path}: written by a newer relaykit (store version {version}, this one reads {_VERSION})"
        )
    if empty:
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {_VERSION}")
    elif version < _VERSION:
        for statement in _FROM_1.split(";"):
            db.execute(statement)
        log.info("%s: a store of version %d, now of version %d", path, version, _VERSION)
        db.execute(f"PRAGMA user_version = {_VERSION}")
    db.execute("COMMIT")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
    _lengthen(db, path)
    # Small: what is read is what was written last, and the system caches the rest of the file.
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")


def _lengthen(db: sqlite3.Connection, path: str) -> None:
    """Give the log the size that it will have: a commit that writes over a file takes half as long as one
    that makes it grow. SQLite takes zeros behind what it has written for the end of the log."""
    if path == MEMORY:
        return
    db.execute("BEGIN IMMEDIATE")  # so that there is a log, made by SQLite with the store's permissions
    db.execute("ROLLBACK")
    with contextlib.suppress(OSError), Path(f"{path}-wal").open("r+b", buffering=0) as wal:
        size = wal.seek(0, os.SEEK_END)
        try:
            for start in range(size, _WAL_BYTES, _PIECE):
                wal.write(bytes(min(_PIECE, _WAL_BYTES - start)))
            os.fdatasync(wal.fileno())
        except OSError:
            wal.truncate(size)  # a disk that is almost full: what is left of it is for messages


def _version(db: sqlite3.Connection) -> Any:
    return db.execute("PRAGMA user_version").fetchone()
