"""Whether the files of a store are still those that were opened, and as the server has left them.

A file that is deleted, moved away or replaced goes on taking writes for as long as it is open: they are lost
when the server ends, without any error. So does one that is emptied or written over in place, and what was in
it is lost besides. Here it is noticed, by what the path leads to. The server has SQLite's exclusive lock, so
what changes between two of its commits was changed by something else.

Times of files are coarse (milliseconds), and commits take some: what is written over at the moment of an own
commit shows by the length and the first bytes of the file only.
"""

from __future__ import annotations

import os
from typing import NamedTuple

_MAIN = b"SQLite format 3\0"
_LOG = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")  # for either order of bytes in checksums

# SQLite would play a log that is left over into the file that was put back; for the mark see `store_mark`.
LEFT_OVER = "put back a copy of the store; delete the -wal and the -mark beside it if the copy has none"
_WAY_OUT = f"stop the server and {LEFT_OVER}"


class _State(NamedTuple):
    device: int
    inode: int
    size: int  # bytes
    changed: int  # nanoseconds


class Files:
    """The file of a store, and the log of writes beside it."""

    def __init__(self, path: str, real: str) -> None:
        """Look at the files as they are now, when SQLite has just opened them.

        Args:
            path: as given: the next start will follow it, so a link that leads elsewhere is noticed, too.
            real: the file itself, beside which its log is.
        """
        self._path, self._log_path = path, f"{real}-wal"
        self._main, self._log = _state(path), _state(self._log_path)
        # Until SQLite has closed the file: a process that closes a file loses all its locks on it.
        self._open = _opened(path), _opened(self._log_path)
        self._log_begun = False
        self._damage: str | None = None

    def wrong(self, *, writing: bool) -> str | None:
        """What is wrong with them, in words for the log; None: nothing.

        Args:
            writing: whether a transaction is under way: much of it may be in the log already.
        """
        if self._damage is not None:
            return self._damage
        return _changed(self._path, self._main, _state(self._path)) or _changed(
            self._log_path, self._log, _state(self._log_path), writing=writing
        )

    def committed(self) -> str | None:
        """Take the files for the server's own work, as a commit has left them.

        Returns:
            What is wrong with them all the same, as by `wrong`. What was committed may be lost then.
        """
        main, log = _state(self._path), _state(self._log_path)
        found = _changed(self._path, self._main, main, writing=True) or _changed(
            self._log_path, self._log, log, writing=True
        )
        if found is None:
            found = self._overwritten()
        self._damage = found
        if found is None:
            self._main, self._log = main, log
        return found

    def _overwritten(self) -> str | None:
        main, log = self._open
        if main is not None and os.pread(main, len(_MAIN), 0) != _MAIN:
            return _by_others(self._path)
        begun = log is not None and os.pread(log, len(_LOG[0]), 0) in _LOG
        if self._log_begun and not begun:
            return _by_others(self._log_path)
        self._log_begun = begun  # a log that is new is empty until something is written
        return None

    def rolled_back(self) -> None:
        """Take what a commit that failed has left in the log for the server's own work."""
        if self.wrong(writing=True) is None:
            self._log = _state(self._log_path)

    def close(self) -> None:
        """Close what is open here; SQLite must have closed the file."""
        for file in self._open:
            if file is not None:
                os.close(file)
        self._open = None, None


def emptied(path: str) -> str | None:
    """What is wrong with the files of a store that is not open yet: SQLite would take an empty file for a new
    store and delete the log of writes beside it."""
    main, log = _state(path), _state(f"{path}-wal")
    if (main is None or main.size == 0) and log is not None and log.size > 0:
        what = "is not there" if main is None else "is empty"
        return f"{path} {what}, but there is a log of writes to it, {path}-wal"
    return None


def _changed(path: str, known: _State | None, found: _State | None, *, writing: bool = False) -> str | None:
    if known == found:
        return None
    if found is None:
        return f"{path} was deleted or moved away while in use; put it back, or stop the server"
    if known is None or known[:2] != found[:2]:
        return f"{path} was replaced by another file while in use; put it back, or stop the server"
    if writing and found.size >= known.size:
        return None
    return _by_others(path)


def _by_others(path: str) -> str:
    return f"{path} was changed by something else while in use; {_WAY_OUT}"


def _state(path: str) -> _State | None:
    try:
        found = os.stat(path)  # noqa: PTH116  (around every commit: a Path would take as long again)
    except OSError:
        return None
    return _State(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _opened(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
