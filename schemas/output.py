"""Where what a command writes goes: a file, or standard output."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from relaykit.errors import UsageError


@contextmanager
def writer(output: Path | None) -> Iterator[IO[str]]:
    """Where the report goes. What a terminal's encoding lacks is escaped rather than fatal."""
    if output is None:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        yield sys.stdout
        sys.stdout.flush()
        return
    try:
        stream = output.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")
    except OSError as error:
        raise UsageError(f"{output}: cannot be written: {error.strerror}") from error
    with stream:
        yield stream
