"""What orjson must not be given: it loses the memory of a key of more than 64 bytes that stands twice.

(Seen in 3.10 to 3.13.) Who sends such text again and again fills the memory of a reader that lives long. To
look for it takes about as long as to parse a small frame, so a server begins to look after the first frame
that shows what its clients are up to.
"""

from __future__ import annotations

import re

_REMEMBERED = 64  # bytes of a key that orjson keeps for good, and hence never loses
_LONG_KEY = re.compile(rb'"[^"]{%d,}+"[ \t\r\n]*+:' % (_REMEMBERED + 1)).search

HINTS = frozenset(("duplicate-key", "depth", "integer"))
"""Faults (`FrameError.reason`) of text that may have held such keys. With any other one, orjson stops before
it comes to them, or the scan finds them first."""


def may_leak(data: bytes) -> bool:
    """Whether the text may hold a long key, or hide one behind escapes."""
    return len(data) > 2 * _REMEMBERED and (b"\\" in data or _LONG_KEY(data) is not None)
