"""Cuts JSON values out of a stream of bytes without parsing them, so that memory stays flat.

Only brackets and strings are looked at. Whether a value that was cut out is JSON is for strict_json to say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from relaykit.schemas.strict_json import BOM, FrameError, marked

CHUNK = 1 << 18
"""Bytes that are read at a time."""
MAX_FRAME = 16 << 20
"""Largest frame that is looked at, in bytes: far beyond any server's limit, and what bounds memory."""

Piece = tuple[bytes | FrameError, int]
"""A value as it stands in the file, or why there is none; and the line it begins on, from 1."""

_BLANK = re.compile(rb"[ \t\r\n]*+")
# A whole string, a bracket, or a quote whose string goes on beyond what has been read.
_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[{}\[\]"]', re.S)
# These match the empty string as well, so they always match.
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.S)
_SCALAR_AT_TOP = re.compile(rb"[^\r\n{\[]*+")
_SCALAR_IN_ARRAY = re.compile(rb"[^ \t\r\n,\]]*+")


def too_large(line: int, limit: int = MAX_FRAME) -> FrameError:
    """A frame beyond what is looked at."""
    return FrameError("size", f"larger than {limit >> 20} MiB, not looked at", line=line)


class Cutter:
    """Walks over a stream of bytes once.

    Args:
        read: gives at most so many next bytes, and none at the end.
        limit: largest value that is cut out, in bytes.
    """

    def __init__(self, read: Callable[[int], bytes], *, limit: int = MAX_FRAME) -> None:
        self._read = read
        self._limit = limit
        self._buffer = b""
        self._at = 0
        self._line = 1
        self._kept: list[bytes] = []
        self._size = 0

    def document(self) -> Iterator[Piece]:
        """Every top-level value; of an array, every item."""
        bom = self._has(len(BOM)) and self._buffer.startswith(BOM)
        if bom:
            self._advance(len(BOM))
        while self._skip_blanks():
            if self._buffer[self._at : self._at + 1] == b"[":
                if bom:
                    yield marked(), 1
                self._advance(self._at + 1)
                yield from self.items()
            else:
                value, line = self._value(_SCALAR_AT_TOP)
                yield (BOM + value if bom and isinstance(value, bytes) else value), line
            bom = False

    def items(self) -> Iterator[Piece]:
        """Every item of the array whose opening bracket was just passed, and what is wrong between them."""
        begun = self._line
        expecting = "an item or the end"
        while self._skip_blanks():
            mark = self._buffer[self._at : self._at + 1]
            separates = expecting == "a comma or the end"
            if mark in (b"]", b","):
                if expecting == "an item" or (mark == b"," and not separates):
                    yield self._wrong(mark, expecting)
                self._advance(self._at + 1)
                if mark == b"]":
                    return
                expecting = "an item"
                continue
            if separates:
                yield self._wrong(mark, expecting)
            yield self._value(_SCALAR_IN_ARRAY)
            expecting = "a comma or the end"
        yield FrameError("json", f"not JSON: the array that begins on line {begun} does not end"), self._line

    def pass_by(self, pattern: re.Pattern[bytes], reach: int) -> bool:
        """Go on to the end of the next match of `pattern`, which is at most `reach` bytes long."""
        while True:
            found = pattern.search(self._buffer, self._at)
            if found:
                self._advance(found.end())
                return True
            self._advance(max(self._at, len(self._buffer) - reach))
            if not self._more():
                return False

    # --- inside

    def _wrong(self, mark: bytes, expecting: str) -> Piece:
        found = mark.decode(errors="replace")
        return FrameError("json", f"not JSON: found {found!r} where {expecting} is expected"), self._line

    def _more(self) -> bool:
        """Read on, forgetting what lies behind."""
        chunk = self._read(CHUNK)
        self._buffer = self._buffer[self._at :] + chunk
        self._at = 0
        return bool(chunk)

    def _has(self, size: int) -> bool:
        while len(self._buffer) - self._at < size:
            if not self._more():
                return False
        return True

    def _advance(self, to: int) -> None:
        self._line += self._buffer.count(b"\n", self._at, to)
        self._at = to

    def _skip_blanks(self) -> bool:
        """Go on to the next byte that is no blank; False at the end."""
        while True:
            found = _BLANK.match(self._buffer, self._at)
            self._advance(found.end() if found else self._at)
            if self._at < len(self._buffer):
                return True
            if not self._more():
                return False

    def _value(self, scalar: re.Pattern[bytes]) -> Piece:
        """The value that begins here, up to its closing bracket; anything else up to the next separator."""
        line = self._line
        self._kept, self._size = [], 0
        first = self._buffer[self._at : self._at + 1]
        if first in (b"{", b"["):
            self._take_nested()
        elif first == b'"':
            self._take_string()
        else:
            self._take_scalar(scalar)
        whole = b"".join(self._kept) if self._size <= self._limit else too_large(line, self._limit)
        self._kept = []
        return whole, line

    def _take(self, to: int) -> None:
        self._size += to - self._at
        if self._size <= self._limit:
            self._kept.append(self._buffer[self._at : to])
        self._advance(to)

    def _take_nested(self) -> None:
        depth = 0
        while True:
            for found in _STRUCTURE.finditer(self._buffer, self._at):
                mark = found.group()
                if mark in (b"{", b"["):
                    depth += 1
                elif mark in (b"}", b"]"):
                    depth -= 1
                    if depth == 0:
                        self._take(found.end())
                        return
                elif mark == b'"':  # the string goes on beyond what has been read
                    self._take(found.start())
                    self._take_string()
                    break
            else:
                self._take(len(self._buffer))
                if not self._more():
                    return

    def _take_string(self) -> None:
        self._take(self._at + 1)
        while True:
            self._take(_IN_STRING.match(self._buffer, self._at).end())  # type: ignore[union-attr]
            if self._at < len(self._buffer) and self._buffer[self._at] == ord('"'):
                self._take(self._at + 1)
                return
            if not self._more():
                self._take(len(self._buffer))
                return

    def _take_scalar(self, pattern: re.Pattern[bytes]) -> None:
        while True:
            self._take(pattern.match(self._buffer, self._at).end())  # type: ignore[union-attr]
            if self._at < len(self._buffer) or not self._more():
                return
