"""RFC 6455 frames as the server writes them: never masked, never fragmented."""

from __future__ import annotations

import struct

_TEXT = 0x81  # FIN and opcode 1
# Most frames are short: their whole header is a table look-up.
_SHORT = tuple(bytes((_TEXT, length)) for length in range(126))
_MEDIUM = struct.Struct("!BBH").pack
_LONG = struct.Struct("!BBQ").pack


def text_header(length: int) -> bytes:
    """The header of an unmasked text message of `length` bytes."""
    if length < 126:
        return _SHORT[length]
    if length < 65536:
        return _MEDIUM(_TEXT, 126, length)
    return _LONG(_TEXT, 127, length)
