"""Files that are written in one step: whoever reads one never finds half of it."""

from __future__ import annotations

import os
from pathlib import Path

_STREAMS = (1, 2)  # standard output and standard error
_OF_DESCRIPTORS = (Path("/proc"), Path("/dev/fd"))  # what lies there may name a file that somebody has open
_MOST_LINKS = 40  # as many as the system follows


def is_stream(path: Path) -> bool:
    """Whether what stands there is written into, and another file cannot stand in for it: a pipe, a device,
    what a descriptor has open (as `/dev/stdout`, wherever it leads), or the file that this process's standard
    output or standard error goes to."""
    if not path.exists():
        return False
    return not path.is_file() or _descriptor(path) is not None or _names_descriptor(path)


def remove(path: Path) -> None:
    """Remove what `write` has written, or nothing if that was written into what stood there.

    Raises:
        OSError: it cannot be removed.
    """
    if path.exists() and not is_stream(path):
        path.resolve().unlink(missing_ok=True)


def write(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file, in place of one that may be there.

    Where a symbolic link stands, the file that it names is meant. A stream is written into, behind its text.

    Args:
        private: only its owner may read it, and it is to outlive a failure of the machine.

    Raises:
        OSError: it cannot be written; what was there is there still. A pipe that nobody reads is such a case.
    """
    if is_stream(path):
        # A descriptor of this process knows how far it has written; opened again, the file would not.
        own = _descriptor(path)
        number = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_APPEND) if own is None else os.dup(own)
        with os.fdopen(number, "w", encoding="utf-8") as there:
            there.write(text)
        return
    path = path.resolve()
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)  # of an earlier try, perhaps with other permissions
    part.touch(mode=0o600 if private else 0o666)
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        if private:
            file.flush()
            os.fsync(file.fileno())
    part.replace(path)


def _descriptor(path: Path) -> int | None:
    """Which of standard output and standard error goes to this plain file, if one does."""
    if not path.is_file():
        return None
    there = path.stat()
    for number in _STREAMS:
        try:
            if os.path.samestat(os.fstat(number), there):
                return number
        except OSError:  # it is closed
            continue
    return None


def _names_descriptor(path: Path) -> bool:
    """Whether a path leads over one that names a descriptor. Such a one is no link that could be followed by
    its text: the file may have been renamed or removed since."""
    for _ in range(_MOST_LINKS):
        folder = path.parent.resolve()
        if any(folder.is_relative_to(known) for known in _OF_DESCRIPTORS):
            return True
        if not path.is_symlink():
            return False
        path = folder / path.readlink()
    return False
