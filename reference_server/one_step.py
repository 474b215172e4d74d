"""Files that are written in one step: whoever reads one never finds half of it."""

from __future__ import annotations

import os
from pathlib import Path


def remove(path: Path) -> None:
    """Remove what `write` has written, or nothing if that was no file.

    Raises:
        OSError: it cannot be removed.
    """
    if path.is_file():
        path.resolve().unlink(missing_ok=True)


def write(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file, in place of one that may be there.

    Where a symbolic link stands, the file that it names is meant; and a pipe or a device is written into, for
    it is no file that another could stand in for.

    Args:
        private: only its owner may read it, and it is to outlive a failure of the machine.

    Raises:
        OSError: it cannot be written; what was there is there still. A pipe that nobody reads is such a case.
    """
    if path.exists() and not path.is_file():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_NONBLOCK), "w", encoding="utf-8") as there:
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
