"""Finds the files that a command line names, and says what kind each of them is."""

from __future__ import annotations

import glob
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal, cast

import orjson

from relaykit.errors import UsageError
from relaykit.schemas.strict_json import BOM

Kind = Literal["json", "ndjson", "har", "markdown", "binary", "empty"]

SUFFIXES: dict[str, Kind] = {
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".har": "har",
    ".md": "markdown",
    ".markdown": "markdown",
}
"""What is looked for in folders. A `.json` file may turn out to be NDJSON or HAR all the same."""

_HEAD = 1 << 16
_IS_HAR = re.compile(rb'\s*\{\s*"log"\s*:\s*\{')
_IS_FENCED = re.compile(rb"^[ >]*(```|~~~)", re.M)


@dataclass(frozen=True, slots=True)
class Source:
    """A file to check, or standard input (path None)."""

    name: str
    path: Path | None


class Peekable(io.RawIOBase):
    """A stream whose first bytes were looked at and are given again."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill `buffer`, first with what was looked at."""
        if self._head:
            size = min(len(buffer), len(self._head))
            buffer[:size], self._head = self._head[:size], self._head[size:]
            return size
        return self._rest.readinto(buffer)  # type: ignore[attr-defined, no-any-return]


@dataclass(slots=True)
class Opened:
    """A source being read: its bytes, its kind, and how many bytes have been read so far."""

    stream: io.BufferedReader
    kind: Kind
    position: Callable[[], int]


def find(arguments: Sequence[str], warn: Callable[[str], None]) -> list[Source]:
    """The files that the arguments name: files, folders (searched for `SUFFIXES`), glob patterns, or `-`.

    Args:
        arguments: as given on the command line.
        warn: told of patterns and folders in which nothing was found.

    Raises:
        UsageError: an argument that names nothing.
    """
    found: dict[str, Source] = {}
    for argument in arguments:
        if argument == "-":
            found.setdefault("-", Source("<stdin>", None))
            continue
        paths = list(_paths(argument))
        if not paths:
            warn(f"{argument}: nothing to check here (looked for {', '.join(SUFFIXES)})")
        for path in paths:
            found.setdefault(str(path), Source(path.as_posix(), path))
    return list(found.values())


def _paths(argument: str) -> Iterator[Path]:
    path = Path(argument)
    if path.is_dir():
        yield from _in_folder(path)
    elif path.exists():
        yield path
    elif glob.has_magic(argument):
        # Path.glob: unlike glob.glob, its ** does not follow links, which may lead in circles or elsewhere.
        anchor = Path(path.anchor)
        for match in sorted(anchor.glob(str(path.relative_to(anchor)))):
            found = set(match.parts) - set(path.parts)  # what the pattern's wild cards stand for
            if not any(part == "node_modules" or part.startswith(".") for part in found):
                yield from _in_folder(match) if match.is_dir() else filter(_readable, (match,))
    else:
        raise UsageError(
            f"{argument}: no such file or folder",
            hint="name files, folders, patterns or - for standard input",
        )


def _in_folder(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "node_modules")
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and path.suffix.lower() in SUFFIXES and _readable(path):
                yield path


def _readable(path: Path) -> bool:
    """Whether it is no pipe, device or socket, which might never end; one that is named itself is read."""
    return path.is_file() or not path.exists()  # a broken link is told when it is opened


@contextmanager
def opened(source: Source, kind: Kind | None) -> Iterator[Opened]:
    """Open a source and recognise its kind, by suffix and by how it begins.

    Args:
        source: what to open.
        kind: its kind, if the user has said it.

    Raises:
        OSError: it cannot be read.
    """
    raw: BinaryIO = sys.stdin.buffer if source.path is None else source.path.open("rb", buffering=0)
    some = getattr(raw, "read1", raw.read)  # what is there, without waiting for more
    read = 0

    def counted(size: int) -> bytes:
        nonlocal read
        data: bytes = some(size) or b""
        read += len(data)
        return data

    try:
        head = b""
        while len(head) < _HEAD and not _tells(head) and (more := counted(_HEAD - len(head))):
            head += more
        stream = io.BufferedReader(Peekable(head, _Counted(counted)), 1 << 18)  # type: ignore[arg-type]
        yield Opened(cast(io.BufferedReader, stream), kind or _recognise(head, source.path), lambda: read)
    finally:
        if source.path is not None:
            raw.close()


class _Counted:
    """The little of a raw stream that `Peekable` needs."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def readinto(self, buffer: bytearray | memoryview) -> int:
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _tells(head: bytes) -> bool:
    """Whether so much of a stream shows its kind: on a pipe, the rest may come much later."""
    first, ended, _ = head.partition(b"\n")
    return bool(ended) and _is_frame(first)


def _is_frame(line: bytes) -> bool:
    try:
        return type(orjson.loads(line)) is dict
    except orjson.JSONDecodeError:
        return False


def _recognise(head: bytes, path: Path | None) -> Kind:
    if not head.strip():
        return "empty"
    if head[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in head:
        return "binary"
    known = SUFFIXES.get(path.suffix.lower()) if path else None
    if known not in (None, "json"):
        return known
    text = head.removeprefix(BOM).lstrip()
    if _IS_HAR.match(text):
        return "har"
    if text[:1] not in b"{[" and _IS_FENCED.search(head):
        return "markdown"
    return "ndjson" if _by_lines(text) else "json"


def _by_lines(text: bytes) -> bool:
    """Whether text holds a value a line rather than one value over several lines.

    It does if another line follows and the first is a value of its own, or cannot be the beginning of one.
    """
    first, _, rest = text.partition(b"\n")
    if _is_frame(first):
        return True
    if not rest.strip():
        return False
    if first.lstrip()[:1] not in (b"{", b"["):
        return True
    try:
        orjson.loads(first)
    except orjson.JSONDecodeError:
        return first.lstrip()[:1] == b"{" and rest.lstrip()[:1] == b"{"
    return True
