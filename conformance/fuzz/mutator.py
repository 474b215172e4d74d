"""Frames made a little wrong: in structure, in values, in their bytes, in their encoding.

What a change amounts to is not known here: some frames stay valid. `oracle` looks at each.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from relaykit.conformance.fuzz.generator import pick

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 65535, 65536, 2**53, 2**53 + 1, 0.5, -0.0, 1e308),
    *("", " ", "x", "null", "true", "0", "\n", "\x00", "\u202e", "🙂", "x" * 300, "../..", "${alice.id}"),
    *([], {}, [[]], {"": ""}, [None], {"type": "send"}, ["a", "a"]),
)
_BITS = ("0", " ", "\n", "\t", "\u00a0", "=", "-", "Z", "é", "\u0000", "\ufeff", "x" * 64)
_JUNK = (
    b"\x00",
    b"{",
    b"}",
    b'"',
    b",",
    b"[",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"NaN",
    b"1e999",
    b"//",
    b"\xff",
)
_Positions = list[tuple[Any, Any]]


def mutated(rng: random.Random, frame: dict[str, Any], types: Sequence[str]) -> bytes:
    """A frame's bytes after one to three changes; the frame itself is changed, too.

    Args:
        types: of all frames there are, for a frame of one type in the clothes of another.
    """
    for _ in range(1 if rng.random() < 0.8 else rng.randint(2, 3)):
        pick(rng, _STRUCTURE)(rng, frame, types)
    try:
        data = orjson.dumps(frame)
    except (TypeError, ValueError):  # an integer that orjson does not write
        data = b'{"type":9999999999999999999999}'
    return pick(rng, _BYTES)(rng, data) if rng.random() < 0.15 else data


def _positions(value: Any, found: _Positions) -> _Positions:
    if type(value) is dict:
        for key, inner in value.items():
            found.append((value, key))
            if type(inner) in (dict, list):
                _positions(inner, found)
    elif type(value) is list:
        for index, inner in enumerate(value[:8]):
            found.append((value, index))
            if type(inner) in (dict, list):
                _positions(inner, found)
    return found


def _place(rng: random.Random, frame: dict[str, Any]) -> tuple[Any, Any]:
    places = _positions(frame, [])
    if not places:
        frame["type"] = "heartbeat"
        return frame, "type"
    return pick(rng, places)


def _drop(rng: random.Random, frame: dict[str, Any], _: Sequence[str]) -> None:
    holder, key = _place(rng, frame)
    del holder[key]


def _odd(rng: random.Random, frame: dict[str, Any], _: Sequence[str]) -> None:
    holder, key = _place(rng, frame)
    holder[key] = _odd_value(rng)


def _odd_value(rng: random.Random) -> Any:
    """A fresh one: what is changed next must not change the others."""
    value = pick(rng, ODD)
    return orjson.loads(orjson.dumps(value)) if type(value) in (dict, list) else value


def _text(rng: random.Random, frame: dict[str, Any], _: Sequence[str]) -> None:
    holder, key = _place(rng, frame)
    value = holder[key]
    if type(value) is not str:
        holder[key] = _odd_value(rng)
        return
    at, bit = rng.randint(0, len(value)), pick(rng, _BITS)
    choice = rng.randrange(6)
    if choice == 0:
        holder[key] = value[:at] + bit + value[at:]
    elif choice == 1:
        holder[key] = value[:at] + value[at + 1 :]
    elif choice == 2:
        holder[key] = value[:at] + bit + value[at + 1 :]
    elif choice == 3:
        holder[key] = value.swapcase()
    elif choice == 4:
        holder[key] = value[:at]
    else:
        holder[key] = value + value


def _rename(rng: random.Random, frame: dict[str, Any], _: Sequence[str]) -> None:
    holder, key = _place(rng, frame)
    if type(holder) is dict:
        changed = (key.upper(), key.replace("_", ""), f"{key} ", f"_{key}", key[:-1], "__proto__")
        holder[pick(rng, changed)] = holder.pop(key)


def _add(rng: random.Random, frame: dict[str, Any], _: Sequence[str]) -> None:
    holder, _key = _place(rng, frame)
    if type(holder) is dict:
        name = pick(rng, ("x_stowaway", "server_id", "payload", "sender", "id", "", "toString"))
        holder.setdefault(name, _odd_value(rng))
    else:
        holder.append("x")


def _list(rng: random.Random, frame: dict[str, Any], _: Sequence[str]) -> None:
    holder, key = _place(rng, frame)
    value = holder[key]
    if type(value) is list and value:
        holder[key] = pick(rng, ([], [*value, value[0]], value * 260, [[*value]], value[0]))
    else:
        holder[key] = [value]


def _swap(rng: random.Random, frame: dict[str, Any], _: Sequence[str]) -> None:
    (one, first), (other, second) = _place(rng, frame), _place(rng, frame)
    if type(one[first]) in (dict, list) or type(other[second]) in (dict, list):
        return  # no value may come to hold itself
    one[first], other[second] = other[second], one[first]


def _other_type(rng: random.Random, frame: dict[str, Any], types: Sequence[str]) -> None:
    kind = pick(rng, types)
    frame["type"] = pick(rng, (kind, kind, kind.upper(), f"{kind} ", kind[:-1]))


def _number(rng: random.Random, frame: dict[str, Any], _: Sequence[str]) -> None:
    holder, key = _place(rng, frame)
    value = holder[key]
    if type(value) in (int, float):
        holder[key] = pick(rng, (value + 1, value - 1, -value, value * 65536, value + 0.5, str(value)))
    else:
        holder[key] = pick(rng, (0, 1, -1, 1.5))


_STRUCTURE: tuple[Callable[[random.Random, dict[str, Any], Sequence[str]], None], ...] = (
    *(_drop, _odd, _odd, _text, _text, _text, _rename, _add, _add, _list, _swap, _other_type, _number),
)


def _flip(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(max(1, len(data)))
    return data[:at] + bytes([rng.randrange(0x20, 0x7F)]) + data[at + 1 :]


def _cut(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(max(1, len(data)))
    return data[:at] + data[at + rng.randint(1, 12) :]


def _insert(rng: random.Random, data: bytes) -> bytes:
    at = rng.randint(0, len(data))
    return data[:at] + pick(rng, _JUNK) + data[at:]


def _truncate(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randint(0, len(data))]


def _twice(rng: random.Random, data: bytes) -> bytes:
    return data + pick(rng, (b"", b"\n", b",", b" ")) + data


def _duplicate(rng: random.Random, data: bytes) -> bytes:
    at = data.find(b'"', rng.randrange(max(1, len(data))))
    return data.replace(b"{", b'{"type":"send",', 1) if at < 0 else b'{"' + data[at + 1 :]


def _wrap(rng: random.Random, data: bytes) -> bytes:
    depth = pick(rng, (1, 2, 70, 2000))
    return b"[" * depth + data + b"]" * depth


def _encode(rng: random.Random, data: bytes) -> bytes:
    """The frame in other letters: some of these spellings every reader has to take, some none."""
    text = data.decode("utf-8", "replace")
    return pick(
        rng,
        (
            data.replace(b":", b" : ").replace(b",", b" ,\n"),
            text.replace("a", "\\u0061").encode(),
            text.replace("/", "\\/").encode(),
            b"\xef\xbb\xbf" + data,
            text.encode("utf-16-le", "replace").replace(b"\xff", b"."),
            text.encode("utf-16-be", "replace").replace(b"\xff", b"."),
            text.encode("utf-16", "replace"),
            text.encode("utf-32", "replace"),
            text.encode("utf-7", "replace"),
            b" " + data + b"\r\n",
        ),
    )


_NO_UTF8 = (
    *(b"\xff", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xe2\x82", b"\xf4\x90\x80\x80", b"\xe9"),
    *(b"\xc0\x80", b"\xf8\x88\x80\x80\x80", b"\xed\xa0\xbd\xed\xb9\x82", b"\xef\xbb"),
)
"""Bytes that no UTF-8 has: beyond it, overlong, cut off, halves of pairs, Latin-1."""
_HALVES = ("\\ud800", "\\udc00", "\\ude42\\ud83d", "\\uD83D\\uDE42", "\\ud83d\\u0061", "\\u0000")
"""Escapes of halves of pairs, and of a whole one, which is as good as its letter."""


def _inside(data: bytes, bit: bytes, rng: random.Random) -> bytes:
    """Put something behind a quotation mark: mostly into a text or a name."""
    marks = [at for at, byte in enumerate(data) if byte == 0x22]
    at = pick(rng, marks) + 1 if marks else len(data) // 2
    return data[:at] + bit + data[at:]


def _no_utf8(rng: random.Random, data: bytes) -> bytes:
    return _inside(data, pick(rng, _NO_UTF8), rng)


def _halves(rng: random.Random, data: bytes) -> bytes:
    return _inside(data, pick(rng, _HALVES).encode(), rng)


_BYTES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *(_flip, _flip, _cut, _insert, _truncate, _twice, _duplicate, _wrap, _encode, _encode),
    *(_no_utf8, _halves),
)


def respelt(rng: random.Random, data: bytes) -> bytes:
    """The same frame, written in another way that JSON permits."""
    choice = rng.randrange(3)
    if choice == 0:
        return b" " + data + b"\n"
    if choice == 1:
        return data.replace(b'{"', b'{ "')
    return data.replace(b'"type":', b'"\\u0074ype":', 1)
