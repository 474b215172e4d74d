"""Frames worth keeping: each was the first to violate some constraint. A folder keeps them for later.

A run begins with those of the folder: only what reaches something that none of them does is added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from relaykit.errors import UsageError

_SUFFIX = ".frame"
_MOST, _LARGEST = 20_000, 2**20


def lay_down(folder: Path, frames: Iterable[bytes]) -> None:
    """Write frames into a folder, so that a run can begin with them, in their order.

    Raises:
        UsageError: it cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(frames):
            (folder / f"{number:05}{_SUFFIX}").write_bytes(data)
    except OSError as error:
        raise UsageError(f"{error.filename or folder}: {error.strerror}") from error


class Corpus:
    """The frames of a folder, and those that are added; without a folder, of this run alone.

    Args:
        folder: one file for each frame, its bytes as they go over the wire.

    Raises:
        UsageError: it cannot be read or made.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.frames: list[bytes] = []
        self.added = 0
        self.notes: list[str] = []
        self._known: set[str] = set()
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.glob(f"*{_SUFFIX}")):
                if len(self.frames) >= _MOST:
                    break
                # What else may lie in a folder (other folders, pipes, links to nothing, dumps) is none.
                if path.is_file() and path.stat().st_size <= _LARGEST:
                    self.frames.append(path.read_bytes())
                    self._known.add(path.stem)
                else:
                    self.notes.append(f"{path} is no frame of at most {_LARGEST} bytes: left out")
        except OSError as error:
            raise UsageError(f"{error.filename or folder}: {error.strerror}") from error

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.frames)

    def add(self, data: bytes) -> None:
        """Keep a frame; for this run alone, and with a note, where the folder cannot be written to."""
        name = hashlib.sha256(data).hexdigest()[:16]
        if name in self._known or len(self.frames) >= _MOST:
            return
        self._known.add(name)
        self.frames.append(data)
        self.added += 1
        if self.folder is not None:
            try:
                (self.folder / f"{name}{_SUFFIX}").write_bytes(data)
            except OSError as error:
                self.notes.append(f"{error.filename}: {error.strerror}; new frames are not kept")
                self.folder = None
