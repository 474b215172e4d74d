"""Files that are written in one step: whoever reads one never finds half of it."""

from __future__ import annotations

import os
from pathlib import Path


def write(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file, in place of one that may be there.

    Args:
        private: only its owner may read it, and it is to outlive a failure of the machine.

    Raises:
        OSError: it cannot be written; what was there is there still.
    """
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)  # of an earlier try, perhaps with other permissions
    part.touch(mode=0o600 if private else 0o666)
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        if private:
            file.flush()
            os.fsync(file.fileno())
    part.replace(path)
