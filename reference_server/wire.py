"""The two ends of RFC 6455 that are worth doing without the library: cutting the stream, and writing text.

Most of what arrives are whole, masked text messages of a permitted size, without fragments and extensions:
these are read here, at a fifth of the cost. Every other frame (control, fragmented, compressed, too large, or
wrong in any way) goes to the library, which judges it. It gets them whole, so that it is always between two
frames when a frame is read here; only what it is sure to refuse is handed over before it is complete. Judged
here is what the library takes and RFC 6455 forbids: a length that is said in more bytes than it needs (5.2).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

try:
    from websockets.speedups import apply_mask
except ImportError:  # a pure Python build
    from websockets.utils import apply_mask

from relaykit.reference_server.library import MAX_CONTROL

_TEXT = 0x81  # FIN and opcode 1
_FIN = _MASKED = 0x80
_BINARY = 2  # the highest opcode of data frames
_OPCODES = frozenset((0, 1, 2, 8, 9, 10))
_SHORTEST, _SHORTEST_LONG = 126, 65536  # payloads of which the length takes two bytes more, and eight
_USUAL = _TEXT << 8 | _MASKED | 126  # how a text message of 126 bytes or more begins
_USUAL_HEAD = 8  # bytes before its payload: these two, its length, the mask
_begin = struct.Struct("!HH").unpack_from
_MEDIUM = struct.Struct("!BBH").pack
_LONG = struct.Struct("!BBQ").pack
# Most frames are short: their whole header is a table look-up.
HEADERS = (
    *(bytes((_TEXT, length)) for length in range(126)),
    *(_MEDIUM(_TEXT, 126, length) for length in range(126, 2048)),
)
SHORT = len(HEADERS)


def text_header(length: int) -> bytes:
    """The header of an unmasked text message of `length` bytes."""
    if length < SHORT:
        return HEADERS[length]
    if length < 65536:
        return _MEDIUM(_TEXT, 126, length)
    return _LONG(_TEXT, 127, length)


class Cutter:
    """Cuts a client's stream into frames, from the end of the handshake on.

    Args:
        largest: bytes of the largest message. Of a payload that is larger by more than a control frame may be
            (the library's bound), the header alone goes to the library.
        text: gets the payload of each plain text message.
        other: gets the bytes of every other frame; returns False when the connection is at an end: all that
            follows then goes there, too.
        fail: ends the connection, with a close code and a reason, for what the library would take.
    """

    __slots__ = (
        "_ended",
        "_fail",
        "_fragmented",
        "_max_size",
        "_max_text",
        "_missing",
        "_other",
        "_text",
        "rest",
    )

    def __init__(
        self,
        largest: int,
        *,
        text: Callable[[bytes], object],
        other: Callable[[bytes], bool],
        fail: Callable[[int, str], object],
    ) -> None:
        self._max_text = largest
        self._max_size = largest + MAX_CONTROL
        self._text = text
        self._other = other
        self._fail = fail
        self.rest: bytearray | None = None  # the beginning of a frame
        self._missing = 0  # length at which it is worth another look
        self._fragmented = False  # within a message of which fragments are still to come
        self._ended = False

    def feed(self, data: bytes) -> None:
        """Take what has arrived, and hand out each frame that is whole."""
        if self._ended:
            self._other(data)
            return
        if self.rest is not None:
            self.rest += data
            if len(self.rest) < self._missing:
                return
            data, self.rest = bytes(self.rest), None
        at, size, text, max_text = 0, len(data), self._text, self._max_text
        while at < size:
            if size - at > _USUAL_HEAD and not self._fragmented:
                # What most frames look like: the same as is said below, in less time.
                head, length = _begin(data, at)
                start = at + _USUAL_HEAD
                end = start + length
                if head == _USUAL and _SHORTEST <= length <= max_text and end <= size:
                    text(apply_mask(data[start:end], data[start - 4 : start]))
                    at = end
                    continue
            end, start = self._measure(data, at, size)
            if end < 0:
                self.give_up()
                self._fail(1002, "the length of a frame is said in too many bytes")
                return
            if end > size:
                self.rest, self._missing = bytearray(data[at:]), end - at
                return
            if end and data[at] == _TEXT and end - start <= max_text and not self._fragmented:
                text(apply_mask(data[start:end], data[start - 4 : start]))
            elif not end or not self._other(data[at:end]):
                self._ended = True
                if end < size:
                    self._other(data[end or at :])
                return
            elif data[at] & 15 <= _BINARY:  # a data frame, no control frame
                self._fragmented = data[at] < _FIN
            at = end

    def give_up(self) -> None:
        """Drop the beginning of a frame: all that follows goes to the library."""
        self._ended, self.rest = True, None

    def _measure(self, data: bytes, at: int, size: int) -> tuple[int, int]:
        """Where a frame ends and its payload starts; the end is 0 if the library is sure to refuse the frame,
        -1 if its length is said in too many bytes, and beyond `size` if more is needed to tell."""
        if size - at < 2:
            return at + 2, 0
        length = data[at + 1]
        if length < _MASKED or data[at] & 15 not in _OPCODES:
            return 0, 0
        length -= _MASKED
        start = at + 6  # two bytes of header, and the mask
        if length >= _SHORTEST:
            start, least = (at + 8, _SHORTEST) if length == _SHORTEST else (at + 14, _SHORTEST_LONG)
            if start > size:
                return start, start
            length = int.from_bytes(data[at + 2 : start - 4])
            if length < least:
                return -1, 0
        if length > self._max_size:
            return 0, 0
        return start + length, start
