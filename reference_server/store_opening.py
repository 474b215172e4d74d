"""Opening a store: its tables, older versions of them, and whether it holds what it should."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

from relaykit.errors import UsageError
from relaykit.reference_server import store_mark
from relaykit.reference_server.store_files import LEFT_OVER, emptied
from relaykit.reference_server.store_mark import NOTHING, Mark

log = logging.getLogger(__name__)

MEMORY = ":memory:"
PAGE = 4096
"""Bytes, as SQLite has them unless told otherwise."""
_APPLICATION_ID = 0x524C4B54  # "RLKT": tells a store from any other SQLite file
_VERSION = 3
_CACHE_KIB = 8192
_WAL_PAGES = 4000  # 16 MB: then all of it is copied into the file itself, and all wait for that
_WAL_BYTES = (_WAL_PAGES + 100) * (PAGE + 24)  # with each page's header, and some room for the last commit
_PIECE = 1 << 20
_CHECK_S = 5.0
"""How long a store is looked through for damage at most."""
_WRITABLE = "the file and its folder must be writable, and the disk must have room"
_RESTORE = f"{LEFT_OVER}; or give another --store"

# devices: in order of first use. device = '' is the box of a user who has none yet. state: active, or
#   pending, denied or revoked: these get no messages.
# approvals: requests for the approval of devices; told = 0: open, or the device has not heard the decision.
# messages: id is 16 bytes; frame is the frame as the recipients get it, empty once no device waits for it.
#   The row stays, so that a message sent again is known, until many newer ones have come (see retention). A
#   group's message has one row in recipients for each member it was for; a direct one gets a row there only
#   when its status changes (no row: sent).
# waiting: one row per message and device until that device's acknowledgement.
# notices: status updates for senders who are away.
# changes: how many were made by other means than frames; see store_mark. A reset leaves it.
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
CHANGES = "changes"
_COUNTED = f"""
CREATE TABLE {CHANGES} (count INTEGER NOT NULL);
INSERT INTO {CHANGES} VALUES (0)
"""  # noqa: S608

# Version 1 had an index of ids, which a reset could leave incomplete, so that an id that was sent again was
# stored again: the first message with an id is the one that counts.
_ONE_ID = """
DELETE FROM messages WHERE seq NOT IN (SELECT MIN(seq) FROM messages GROUP BY id);
DELETE FROM waiting WHERE message NOT IN (SELECT seq FROM messages);
DELETE FROM recipients WHERE message NOT IN (SELECT seq FROM messages);
DROP TABLE ids;
DROP TABLE indexed
"""
_FROM = {1: _ONE_ID, 2: _COUNTED}


def opened(path: str) -> sqlite3.Connection:
    """The database at `path`, made if there is none, for this process alone.

    Raises:
        UsageError: no such folder, not a store, a newer store, damaged, in use by another server, or
            something else stands where its mark is to be.
    """
    if path != MEMORY:
        _look_around(path)
    try:
        # The timeout is short: a store that is in use stays in use.
        db = sqlite3.connect(path, isolation_level=None, timeout=0.2, cached_statements=256)
    except sqlite3.Error as error:
        raise UsageError(f"{path}: the store cannot be opened: {error}") from error
    try:
        _prepare(db, path)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            db.close()
            raise UsageError(
                f"{path}: the store is in use by another server",
                hint="stop that one, or give another --store",
            ) from error
        _leave(db, path)
        raise UsageError(f"{path}: the store cannot be opened: {error}", hint=_WRITABLE) from error
    except sqlite3.DatabaseError as error:
        _leave(db, path)
        notadb = error.sqlite_errorcode == sqlite3.SQLITE_NOTADB
        what = "not a relaykit store, or a damaged one" if notadb else "a damaged store"
        raise UsageError(f"{path}: {what}: {error}", hint=_RESTORE) from error
    except UsageError:
        _leave(db, path)
        raise
    return db


def _look_around(path: str) -> None:
    """Refuse a place in which a store cannot be opened without damage, to it or to what stands there."""
    if not Path(path).absolute().parent.is_dir():
        raise UsageError(f"{path}: the folder of the store does not exist")
    if wrong := emptied(path):
        raise UsageError(wrong, hint=_RESTORE)
    store_mark.known(path)
    if not Path(path).exists():
        store_mark.forget(path)


def mark_of(db: sqlite3.Connection) -> Mark:
    """How far a store has come."""
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if "messages" not in tables:
        return NOTHING
    ((message,),) = db.execute("SELECT COALESCE(MAX(seq), 0) FROM messages")
    rows = db.execute(f"SELECT count FROM {CHANGES}").fetchall() if CHANGES in tables else ()  # noqa: S608
    changes = sum(count for (count,) in rows)
    return Mark(changes, message)


def _leave(db: sqlite3.Connection, path: str) -> None:
    """Close a store that is refused, and leave its files as they are: what is lost may be found in them."""
    log_file, kept = Path(f"{path}-wal"), Path(f"{path}-wal.kept")
    with contextlib.suppress(OSError):
        if log_file.stat().st_size:
            kept.hardlink_to(log_file)  # closing deletes a log in which SQLite finds nothing
    db.interrupt()  # or closing copies the log into the file
    db.close()
    with contextlib.suppress(OSError):
        kept.unlink() if log_file.exists() else kept.rename(log_file)


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
    if path != MEMORY:
        _examine(db, path)
    if empty:
        for statement in (_SCHEMA + _COUNTED).split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    elif version < _VERSION:
        for older, statements in _FROM.items():
            for statement in statements.split(";") if older >= version else ():
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


def _examine(db: sqlite3.Connection, path: str) -> None:
    """Refuse a store that was damaged while no server ran, before anything in it is changed."""
    if mark_of(db) < store_mark.known(path):
        raise UsageError(
            f"{path} lacks what was acknowledged last, as {store_mark.place(path)} shows:"
            f" {path}-wal was lost or damaged, or this is an older copy of the store",
            hint=f"{LEFT_OVER}: without the -mark the server starts with what there is",
        )
    if wrong := _damage(db, path):
        raise UsageError(f"{path}: a damaged store: {wrong}", hint=_RESTORE)


def _damage(db: sqlite3.Connection, path: str) -> str | None:
    """What SQLite finds wrong with the structure of the file, within some seconds."""
    enough = threading.Timer(_CHECK_S, db.interrupt)
    enough.start()
    try:
        ((found,),) = db.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise
        log.info("%s: large; some of it only was looked through for damage", path)
        return None
    finally:
        enough.cancel()
        enough.join()
    return None if found == "ok" else " ".join(str(found).split())


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
