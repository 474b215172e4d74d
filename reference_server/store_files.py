"""Whether the files of a store are still those that were opened.

A file that is deleted, moved away or replaced goes on taking writes for as long as it is open: they are lost
when the server ends, without any error. Here it is noticed, by what the path leads to.
"""

from __future__ import annotations

import os

_Identity = tuple[int, int]  # device and inode


class Files:
    """The file of a store, and the log of writes beside it."""

    def __init__(self, path: str) -> None:
        """Look at the files as they are now; the log may be made later."""
        self._known: dict[str, _Identity | None] = {path: _identity(path), f"{path}-wal": None}

    def wrong(self) -> str | None:
        """What is wrong with them, in words for the log; None: nothing."""
        for path, known in self._known.items():
            found = _identity(path)
            if known is None:
                self._known[path] = found
            elif found != known:
                how = "was deleted or moved away" if found is None else "was replaced by another file"
                return f"{path} {how} while in use; put it back, or stop the server"
        return None


def _identity(path: str) -> _Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116  (before every commit: a Path would take as long again)
    except OSError:
        return None
    return found.st_dev, found.st_ino
