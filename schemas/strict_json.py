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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any, Literal, Never

import orjson

from relaykit.config import escape
from relaykit.errors import RelaykitError
from relaykit.schemas.leaky import may_leak

Reason = Literal[
    "utf8", "bom", "json", "duplicate-key", "nan", "surrogate", "depth", "integer", "object", "size"
]

MAX_DEPTH = 64
"""Deepest nesting that is read unless the caller says otherwise."""
MAX_INTEGER = 2**53
"""Largest magnitude of an integer: beyond it, readers that keep numbers as doubles disagree."""


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
        raise FrameError("object", f"a frame is a JSON object, not {kind_of(value)}", offset=0, line=1)
    return value


_parse, _write = orjson.loads, orjson.dumps
AS_FRAME: int = orjson.OPT_STRICT_INTEGER
"""orjson's options to write a frame such that what cannot be written back exactly shows."""


def glance(data: bytes, max_depth: int) -> dict[str, Any] | None:
    """The frame if it is JSON as machines write it, without any fault, which is cheap to see; None: take the
    slow look."""
    try:
        value = _parse(data)
        if type(value) is dict and data.count(b"{") + data.count(b"[") <= max_depth:
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
        json.loads(data, object_pairs_hook=_distinct, parse_int=_exact)
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
    if data.count(b"{") + data.count(b"[") > max_depth and _deeper_than(value, max_depth):
        _explain(data, max_depth, closely, "depth", f"nested deeper than {max_depth} levels")
    return value


LONG = 4096
"""Bytes of a text that takes time to scan: about a millisecond for each kilobyte."""


class _Suspect(Exception):  # noqa: N818  (never leaves this module)
    """The slow look found a fault; the scan will say where."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.message = message


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise _Suspect("duplicate-key", "a key stands twice")


def _exact(digits: str) -> None:
    if not _representable(digits):
        raise _Suspect("integer", f"an integer is beyond ±2^53: {shorten(digits)}")


def _representable(digits: str) -> bool:
    """Whether the integer in these decimal digits is within ±2^53 (without reading a million of them)."""
    return len(digits) <= 17 and abs(int(digits)) <= MAX_INTEGER


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, (dict, list))
        ]
    return bool(level)


def kind_of(value: Any) -> str:
    """What a value is, in JSON's words and with an article: `an array`, `null`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, Mapping):
        return "an object"
    return "an array" if isinstance(value, Sequence) else f"a {type(value).__name__}"


# --- the scan: only for input with a fault ------------------------------------------------------------------

_TOKEN = re.compile(
    rb'(?P<string>"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+")'
    rb"|(?P<mark>[{}\[\],:])"
    rb"|(?P<number>-?(?:0|[1-9][0-9]*+)(?P<fraction>(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)(?![0-9A-Za-z_.+-]))"
    rb"|(?P<word>(?:true|false|null)\b)"
    rb"|(?P<nan>-?(?:NaN|Infinity)\b)"
)
_BLANK = re.compile(rb"[ \t\n\r]*+")
_FOREIGN = "it looks like UTF-16, UTF-32 or binary data"


def _explain(
    data: bytes, max_depth: int, closely: bool, reason: Reason, otherwise: str, position: int = 0
) -> Never:
    """Raise the first fault of `data`, which is known to have one; if not to look closely, the one given."""
    if data[:3] == b"\xef\xbb\xbf":
        raise FrameError("bom", "a byte-order mark stands before the JSON text", offset=0, line=1)
    foreign = data[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in data[:4]
    try:
        data.decode()
    except UnicodeDecodeError as error:
        if foreign:
            raise FrameError("utf8", f"not UTF-8: {_FOREIGN}", offset=0, line=1) from None
        line = data.count(b"\n", 0, error.start) + 1
        raise FrameError(
            "utf8",
            f"not UTF-8: byte 0x{data[error.start]:02x} at {error.start}",
            offset=error.start,
            line=line,
        ) from None
    if foreign:  # zero bytes are UTF-8, so that no server would notice before it looks for JSON
        raise FrameError("json", f"not JSON: {_FOREIGN}", offset=0, line=1)
    if not closely:
        raise FrameError(reason, otherwise)
    fault = _scan(data, max_depth) or _Fault(reason, otherwise, position)
    line = data.count(b"\n", 0, fault.offset) + 1
    where = f"at byte {fault.offset}" if line == 1 else f"on line {line} of the frame"
    raise FrameError(fault.reason, f"{fault.message}, {where}", offset=fault.offset, line=line)


@dataclass(frozen=True, slots=True)
class _Fault:
    reason: Reason
    message: str
    offset: int


_VALUE, _KEY, _COLON, _NEXT, _END = "a value", "a key", "a colon", "a comma or the end", "nothing more"


def _scan(data: bytes, max_depth: int) -> _Fault | None:
    """The first fault in the order of the text."""
    open_: list[set[str] | None] = []  # per level: the keys seen so far, or None in an array
    state = _VALUE
    may_close = False  # right after { or [
    at = 0
    while True:
        at = _BLANK.match(data, at).end()  # type: ignore[union-attr]  # it matches the empty string
        if at == len(data):
            return (
                None if state is _END else _Fault("json", f"not JSON: it ends where {state} is expected", at)
            )
        token = _TOKEN.match(data, at)
        if token is None:
            return _Fault("json", f"not JSON: found {_found(data, at)} where {state} is expected", at)
        text = token.group()
        wrong = _Fault("json", f"not JSON: found {_shown(text)} where {state} is expected", at)
        kind = token.lastgroup if token.lastgroup != "fraction" else "number"
        if kind == "mark":
            if text in b"}]" and open_:
                closes = (state is _NEXT or may_close) and (open_[-1] is None) == (text == b"]")
                if not closes:
                    return wrong
                open_.pop()
                state = _NEXT if open_ else _END
            elif text in b"{[" and state is _VALUE:
                if len(open_) == max_depth:
                    return _Fault("depth", f"nested deeper than {max_depth} levels", at)
                open_.append(set() if text == b"{" else None)
                state = _KEY if text == b"{" else _VALUE
            elif text == b":" and state is _COLON:
                state = _VALUE
            elif text == b"," and state is _NEXT:
                state = _VALUE if open_[-1] is None else _KEY
            else:
                return wrong
            may_close = text in b"{["
        elif state is _KEY:
            keys = open_[-1]
            if kind != "string" or keys is None:
                return wrong
            key = json.loads(text)
            if _lone_surrogate(key):
                return _Fault("surrogate", "a key with a lone surrogate", at)
            if key in keys:
                return _Fault("duplicate-key", f"the key {shorten(key)} stands twice", at)
            keys.add(key)
            state, may_close = _COLON, False
        elif state is _VALUE:
            fault = _scalar_fault(kind or "", text, token.group("fraction"), at)
            if fault:
                return fault
            state, may_close = (_NEXT if open_ else _END), False
        else:
            return wrong
        at = token.end()


def _scalar_fault(kind: str, text: bytes, fraction: bytes | None, at: int) -> _Fault | None:
    if kind == "nan":
        return _Fault("nan", f"{text.decode()} is not a JSON number", at)
    if kind == "number":
        if fraction and not math.isfinite(float(text)):
            return _Fault("nan", f"the number {_number(text)} is infinite when read as a double", at)
        if not fraction and not _representable(text.decode()):
            return _Fault("integer", f"the integer {_number(text)} is beyond ±2^53", at)
    if kind == "string" and b"\\u" in text and _lone_surrogate(json.loads(text)):
        return _Fault("surrogate", "a string with a lone surrogate", at)
    return None


def _lone_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _found(data: bytes, at: int) -> str:
    """What stands at a place that is no token, named so that a reader finds it."""
    if data[at : at + 1] == b'"':
        return "a broken string (no end, a control character or a wrong escape)"
    text = re.match(r"[\w.+-]{1,20}|.", data[at : at + 80].decode(errors="ignore"), re.S)
    return shorten(text.group()) if text else "something"


def _shown(token: bytes) -> str:
    return shorten(token[:80].decode(errors="replace").strip('"'))


def _number(token: bytes) -> str:
    return token[:40].decode() + ("…" if len(token) > 40 else "")


def shorten(value: Any, limit: int = 60) -> str:
    """A value on one line, not much longer than `limit` characters; of containers, only the size."""
    if isinstance(value, str):
        text = encode_basestring(value[: limit + 1])
        if not text.isprintable():
            text = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
        return text if len(value) <= limit else f'{text[:limit]}…"'
    if value is None or isinstance(value, bool):
        return str(value).lower() if value is not None else "null"
    if isinstance(value, Mapping):
        return f"object ({len(value)} {'property' if len(value) == 1 else 'properties'})" if value else "{}"
    if isinstance(value, Sequence):
        return f"array ({len(value)} {'item' if len(value) == 1 else 'items'})" if value else "[]"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 200:
        return f"an integer of {value.bit_length()} bits"
    return json.dumps(value, default=lambda v: f"<{type(v).__name__}>")


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
        if _lone_surrogate(value):
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
    if _lone_surrogate(key):
        raise FrameError("surrogate", "a key with a lone surrogate", pointer=pointer)
    return key
