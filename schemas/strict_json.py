"""Strict JSON: what JSON itself can get wrong is found here, each fault with a reason of its own.

The usual frame costs one parse and one comparison: if writing the parsed value gives the same bytes, but for
the blanks that writers of JSON like to put between values, there were no duplicate keys and no integer out of
range. Only other input gets a slow look, and only input with a fault is scanned token by token, to say where
the fault stands. All of it takes time linear in the input.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Never

import orjson

from relaykit.errors import RelaykitError
from relaykit.pointers import escape
from relaykit.schemas.leaky import may_leak
from relaykit.schemas.scan import MAX_INTEGER, Fault, Reason, lone_surrogate, representable, scan
from relaykit.schemas.wording import kind_of, shorten

BOM = b"\xef\xbb\xbf"
"""The byte-order mark, in UTF-8."""
MAX_DEPTH = 64
"""Deepest nesting that is read unless the caller says otherwise."""


class FrameError(RelaykitError):
    """Bytes or values that are no frame.

    Args:
        reason: what kind of fault it is (`Reason`).
        message: the fault in words.
        offset: where it stands, in bytes from the start of the frame, if known.
        line: the line it stands on, from 1, if known.
        pointer: JSON pointer to the fault, for faults of parsed values.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        offset: int | None = None,
        line: int | None = None,
        pointer: str = "",
    ) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.offset = offset
        self.line = line
        self.pointer = pointer


def decode(data: bytes | str, *, max_depth: int = MAX_DEPTH, wary: bool = False) -> dict[str, Any]:
    """Parse one frame: a JSON object in UTF-8, strictly.

    Args:
        data: the frame as it came over the wire.
        max_depth: levels of objects and arrays that are permitted.
        wary: leave out the quick look if it may cost memory for good (see `leaky`), and do not scan a long
            text for the place of its fault, which takes long.

    Raises:
        FrameError: with reason `utf8`, `bom`, `json`, `duplicate-key`, `nan`, `surrogate`, `depth`, `integer`
            or `object`.
    """
    if type(data) is bytes and not (wary and may_leak(data)):
        frame = glance(data, max_depth)
        if frame is not None:
            return frame
    value = loads(data, max_depth=max_depth, wary=wary)
    if type(value) is not dict:
        raise no_object(value)
    return value


def no_object(value: Any) -> FrameError:
    """That a value is no frame, since it is no object."""
    return FrameError("object", f"a frame is a JSON object, not {kind_of(value)}", offset=0, line=1)


def marked() -> FrameError:
    """That a text begins with a byte-order mark."""
    return FrameError("bom", "a byte-order mark stands before the JSON text", offset=0, line=1)


_parse, _write = orjson.loads, orjson.dumps
AS_FRAME: int = orjson.OPT_STRICT_INTEGER
"""orjson's options to write a frame such that what cannot be written back exactly shows."""


def glance(data: bytes, max_depth: int) -> dict[str, Any] | None:
    """The frame if it is JSON as machines write it, without any fault, which is cheap to see; None: take the
    slow look."""
    try:
        value = _parse(data)
        if type(value) is dict and not _is_deep(data, value, max_depth):
            written = _write(value, None, AS_FRAME)
            if written == data or written == tightened(data):
                return value
    except (ValueError, TypeError):
        pass
    return None


def tightened(data: bytes) -> bytes:
    """JSON text without the blanks after colons and commas that most writers put there by default.

    To compare with, not to read: a string that looks like a separator loses its blanks as well. If the
    result is what writing the parsed text gives, both have the same tokens but for such blanks, hence as many
    members in each object: parsing dropped none, so no key stood twice.
    """
    return data.replace(b'": ', b'":').replace(b', "', b',"').replace(b", {", b",{")


def loads(data: bytes | str, *, max_depth: int = MAX_DEPTH, wary: bool = False) -> Any:
    """Parse any JSON value as strictly as `decode` parses a frame, taking the slow look at it; see there."""
    if isinstance(data, str):
        try:
            data = data.encode()
        except UnicodeEncodeError as error:
            raise FrameError(
                "surrogate", f"a lone surrogate at character {error.start}: half of a character is missing"
            ) from None
    closely = not (wary and len(data) > LONG)
    try:  # first, since keys that stand twice are not for orjson; see `leaky`
        # Without the look at each integer where none is long enough: what it takes is a call for each.
        json.loads(data, object_pairs_hook=_distinct, parse_int=_exact if _LONG_NUMBER(data) else None)
    except _Suspect as fault:
        _explain(data, max_depth, closely, fault.reason, fault.message)
    except RecursionError:
        _explain(data, max_depth, closely, "depth", f"nested deeper than {max_depth} levels")
    except ValueError as error:
        _explain(data, max_depth, closely, "json", f"not JSON: {error}")
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        _explain(data, max_depth, closely, "json", f"not JSON: {error.msg}", error.pos)
    if _is_deep(data, value, max_depth):
        _explain(data, max_depth, closely, "depth", f"nested deeper than {max_depth} levels")
    return value


LONG = 4096
"""Bytes of a text that takes time to scan: about a millisecond for each kilobyte."""


_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % len(str(MAX_INTEGER))).search
"""Finds what an integer beyond `MAX_INTEGER` has, at the least."""


class _Suspect(Exception):
    """The slow look found a fault; the scan will say where."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.message = message


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise _Suspect("duplicate-key", "a key stands twice")


def _exact(digits: str) -> None:
    if not representable(digits):
        raise _Suspect("integer", f"an integer is beyond ±2^53: {shorten(digits)}")


def _is_deep(data: bytes, value: Any, limit: int) -> bool:
    """Whether a text, of which this is the value, is nested deeper than `limit` levels."""
    if data.count(b"{") + data.count(b"[") <= limit:
        return False
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    return bool(level)


FOREIGN = "it looks like UTF-16, UTF-32 or binary data"


def _explain(
    data: bytes, max_depth: int, closely: bool, reason: Reason, otherwise: str, position: int = 0
) -> Never:
    """Raise the first fault of `data`, which is known to have one; if not to look closely, the one given."""
    foreign = data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in data[:4]
    try:
        data.decode()
    except UnicodeDecodeError as error:
        if foreign:
            raise FrameError("utf8", f"not UTF-8: {FOREIGN}", offset=0, line=1) from None
        line = data.count(b"\n", 0, error.start) + 1
        raise FrameError(
            "utf8",
            f"not UTF-8: byte 0x{data[error.start]:02x} at {error.start}",
            offset=error.start,
            line=line,
        ) from None
    if data.startswith(BOM):  # what is no UTF-8 either ends a connection, whatever stands before it
        raise marked()
    if foreign:  # zero bytes are UTF-8, so that no server would notice before it looks for JSON
        raise FrameError("json", f"not JSON: {FOREIGN}", offset=0, line=1)
    if not closely:
        raise FrameError(reason, otherwise)
    fault = scan(data, max_depth) or Fault(reason, otherwise, position)
    line = data.count(b"\n", 0, fault.offset) + 1
    where = f"at byte {fault.offset}" if line == 1 else f"on line {line} of the frame"
    raise FrameError(fault.reason, f"{fault.message}, {where}", offset=fault.offset, line=line)


# --- values that are already parsed -------------------------------------------------------------------------


def plain(value: Any, *, max_depth: int = MAX_DEPTH) -> Any:
    """A parsed value as plain dicts and lists that any JSON writer takes.

    Raises:
        FrameError: what strict JSON could not say: reason `nan`, `surrogate`, `depth`, `integer`, or `json`
            for a key or value of a type that JSON lacks.
    """
    return _plain(value, "", max_depth)


def _plain(value: Any, pointer: str, levels: int) -> Any:
    if isinstance(value, str):
        if lone_surrogate(value):
            raise FrameError("surrogate", "a string with a lone surrogate", pointer=pointer)
        return str(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise FrameError("integer", f"the integer {shorten(value)} is beyond ±2^53", pointer=pointer)
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise FrameError("nan", f"{value} is not a JSON number", pointer=pointer)
        return value
    if not isinstance(value, (Mapping, list, tuple)):
        raise FrameError("json", f"a {type(value).__name__} cannot stand in JSON", pointer=pointer)
    if levels == 0:
        raise FrameError("depth", "nested too deeply", pointer=pointer)
    if isinstance(value, Mapping):
        return {
            _key(k, pointer): _plain(v, f"{pointer}/{escape(str(k))}", levels - 1) for k, v in value.items()
        }
    return [_plain(item, f"{pointer}/{i}", levels - 1) for i, item in enumerate(value)]


def _key(key: Any, pointer: str) -> str:
    if not isinstance(key, str):
        raise FrameError("json", f"the key {key!r} is not a string", pointer=pointer)
    if lone_surrogate(key):
        raise FrameError("surrogate", "a key with a lone surrogate", pointer=pointer)
    return key
