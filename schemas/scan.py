"""The scan: text that is known to have a fault is read token by token, to say which one, and where."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Literal

from relaykit.schemas.wording import shorten

Reason = Literal[
    "utf8", "bom", "json", "duplicate-key", "nan", "surrogate", "depth", "integer", "object", "size"
]

MAX_INTEGER = 2**53
"""Largest magnitude of an integer: beyond it, readers that keep numbers as doubles disagree."""

_TOKEN = re.compile(
    rb'(?P<string>"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+")'
    rb"|(?P<mark>[{}\[\],:])"
    rb"|(?P<number>-?(?:0|[1-9][0-9]*+)(?P<fraction>(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)(?![0-9A-Za-z_.+-]))"
    rb"|(?P<word>(?:true|false|null)\b)"
    rb"|(?P<nan>-?(?:NaN|Infinity)\b)"
)
_BLANK = re.compile(rb"[ \t\n\r]*+")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of the text, and the byte at which it stands."""

    reason: Reason
    message: str
    offset: int


_VALUE, _KEY, _COLON, _NEXT, _END = "a value", "a key", "a colon", "a comma or the end", "nothing more"


def scan(data: bytes, max_depth: int) -> Fault | None:
    """The first fault in the order of the text."""
    open_: list[set[str] | None] = []  # per level: the keys seen so far, or None in an array
    state = _VALUE
    may_close = False  # right after { or [
    at = 0
    while True:
        at = _BLANK.match(data, at).end()  # type: ignore[union-attr]  # it matches the empty string
        if at == len(data):
            return (
                None if state is _END else Fault("json", f"not JSON: it ends where {state} is expected", at)
            )
        token = _TOKEN.match(data, at)
        if token is None:
            return Fault("json", f"not JSON: found {_found(data, at)} where {state} is expected", at)
        text = token.group()
        wrong = Fault("json", f"not JSON: found {_shown(text)} where {state} is expected", at)
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
                    return Fault("depth", f"nested deeper than {max_depth} levels", at)
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
            if lone_surrogate(key):
                return Fault("surrogate", "a key with a lone surrogate", at)
            if key in keys:
                return Fault("duplicate-key", f"the key {shorten(key)} stands twice", at)
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


def _scalar_fault(kind: str, text: bytes, fraction: bytes | None, at: int) -> Fault | None:
    if kind == "nan":
        return Fault("nan", f"{text.decode()} is not a JSON number", at)
    if kind == "number":
        if fraction and not math.isfinite(float(text)):
            return Fault("nan", f"the number {_number(text)} is infinite when read as a double", at)
        if not fraction and not representable(text.decode()):
            return Fault("integer", f"the integer {_number(text)} is beyond ±2^53", at)
    if kind == "string" and b"\\u" in text and lone_surrogate(json.loads(text)):
        return Fault("surrogate", "a string with a lone surrogate", at)
    return None


def representable(digits: str) -> bool:
    """Whether the integer in these decimal digits is within ±2^53 (without reading a million of them)."""
    return len(digits) <= 17 and abs(int(digits)) <= MAX_INTEGER


def lone_surrogate(text: str) -> bool:
    """Whether a text holds half of a pair of surrogates, which no UTF-8 can say."""
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
