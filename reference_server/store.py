"""The durable store: one SQLite file, one commit per loop turn, and nothing acknowledged before it.

This module owns the file and its transactions, `store_opening` its schema; what is read and written stands in
`mailbox` (messages and who still waits for them) and `people` (contacts, groups, conversations).
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

from relaykit.reference_server.clock import ticks
from relaykit.reference_server.counters import Durations
from relaykit.reference_server.store_files import Files
from relaykit.reference_server.store_mark import Mark, MarkFile
from relaykit.reference_server.store_opening import CHANGES, MEMORY, PAGE, mark_of, opened

log = logging.getLogger(__name__)

ROWS = 128
"""How many one statement inserts at most; a power of two, as are the smaller numbers that are left."""
_ROOM = 16  # one part in so many of a store in memory is kept to empty it: acknowledgements write, too


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
        self.turns = 0
        """How many were committed that wrote anything."""
        self._broken = False  # the current turn has failed: nothing of it may be kept
        self._writing = False  # a transaction is under way
        self._faults = 0
        self._settle: list[Callable[[], None]] = []
        self._forget: list[Callable[[], None]] = []
        # SQLite follows links, and has its log beside the file itself: so must be what is ours.
        real = path if path == MEMORY else os.path.realpath(path)
        self._db = opened(real)
        self._files = None if path == MEMORY else Files(path, real)
        self._marked = mark_of(self._db)
        self._mark_file = None if path == MEMORY else MarkFile(real, self._marked)
        self.newest = self._marked.message
        """Place of the newest message, written in this turn or before."""
        self._changes = self._marked.changes
        self._files_wrong: str | None = None
        self.full = False
        """Whether a store in memory is as large as it may be, but for some room to empty it."""
        self._most_pages = memory_bytes // PAGE if path == MEMORY else None
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

    def note_change(self) -> None:
        """Count what this turn has written, if anything, as a change that no frame asked for."""
        if self._writing:
            self._changes += self.write(f"UPDATE {CHANGES} SET count = count + 1")  # noqa: S608

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
        self.turns += 1
        self._note_mark()
        if self._most_pages is not None:
            self._measure(self._most_pages)
        self._works()

    def _note_mark(self) -> None:
        mark = Mark(self._changes, self.newest)
        if self._mark_file is not None and mark != self._marked:
            self._mark_file.note(mark)
        self._marked = mark

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
            if table != CHANGES:
                self.write(f"DELETE FROM {table}")  # noqa: S608  (our own tables)
        self.newest = 0
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
        if self._mark_file is not None:
            self._mark_file.close()

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
        self._changes, self.newest = self._marked
        for forget in self._forget:
            forget()


@cache
def _insertion(table: str, columns: int, rows: int) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {table} VALUES {', '.join((row,) * rows)}"  # noqa: S608  (names of our own)
