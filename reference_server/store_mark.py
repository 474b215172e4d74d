"""What a store has promised to hold, in a small file beside it.

A log of writes that was lost, cut or zeroed between two runs looks to SQLite like one that ends there: it
opens, and what was acknowledged last is gone without a word. So numbers that only grow are written beside
the store after each commit, and a store that is behind them is not opened. They are not synced, which would
cost as much as the commit: after the machine has failed they may be behind, and never ahead. What no message
follows and no change, such as acknowledgements of devices, they do not tell.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from pathlib import Path
from typing import NamedTuple

from relaykit.errors import UsageError

log = logging.getLogger(__name__)

_LENGTH = 64  # bytes, of which two numbers are fewer
# After a failure of the machine there may be nothing, or zeros, where the numbers should be.
_OURS = re.compile(rb"(?:(\d{20}) (\d{20})\n)?\0*")


class Mark(NamedTuple):
    """How far a store has come. What comes later is greater.

    Attributes:
        changes: made by other means than frames: groups, contacts, devices, resets.
        message: place of the newest message.
    """

    changes: int
    message: int


NOTHING = Mark(0, 0)


def place(store: str) -> str:
    """The path of the file beside a store."""
    return f"{store}-mark"


def known(store: str) -> Mark:
    """What the file says; of no file, or one that was never written to, nothing.

    Raises:
        UsageError: something else stands there, such as the store of another server: it is not to be touched.
    """
    return _read(store) or NOTHING


def forget(store: str) -> None:
    """Remove the file, which is of a store that was deleted.

    Raises:
        UsageError: it is something else, as by `known`.
    """
    if _read(store) is not None:
        with contextlib.suppress(OSError):
            Path(place(store)).unlink()


def _read(store: str) -> Mark | None:
    path = Path(place(store))
    try:
        # Looked at before it is opened: a pipe would be waited for, and closing a store unlocks it.
        small = path.stat().st_size <= _LENGTH and path.is_file()
        found = _OURS.fullmatch(path.read_bytes()) if small else None
    except OSError:
        return None
    if found is None:
        raise UsageError(
            f"{path} is in the way: a mark of the store is kept there, and this is something else",
            hint="give another --store, or move that file away",
        )
    return Mark(int(found[1]), int(found[2])) if found[1] else NOTHING


class MarkFile:
    """The file of a store that is open."""

    def __init__(self, store: str, mark: Mark) -> None:
        """Let it say how far the store has come."""
        self._file: int | None = None
        try:
            self._file = os.open(place(store), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            self.note(mark)
            os.fsync(self._file)
        except OSError as error:
            log.warning(
                "%s cannot be written (%s): that a file was damaged while no server ran would not be noticed",
                place(store),
                error.strerror,
            )

    def note(self, mark: Mark) -> None:
        """Note how far the store has come with a commit."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # a disk that fails: the store itself will say so
                os.pwrite(self._file, b"%020d %020d\n" % mark, 0)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                os.fsync(self._file)
            os.close(self._file)
            self._file = None
