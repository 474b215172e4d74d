"""What can be wrong with a frame before its schema is asked: bytes, JSON, the envelope, the type."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from relaykit.conformance.derived.binding import bound
from relaykit.conformance.derived.drafts import Draft, written
from relaykit.conformance.derived.places import ENVELOPE, Place, bases, kind
from relaykit.conformance.derived.violations import MEMBER, STOWAWAY
from relaykit.schemas import Catalogue, FrameSpec, thaw

_HERE = "@@here@@"

_BROKEN_UTF8 = {
    "utf8-overlong": ("an overlong form of a slash (C0 AF)", "\udcc0\udcaf"),
    "utf8-surrogate": ("half a surrogate pair in UTF-8 (ED A0 80)", "\udced\udca0\udc80"),
    "utf8-cut": ("a sequence that is cut off (E2 82)", "\udce2\udc82"),
    "utf8-beyond": ("a character beyond Unicode (F4 90 80 80)", "\udcf4\udc90\udc80\udc80"),
    "utf8-never": ("a byte that UTF-8 never has (FF)", "\udcff"),
}
"""Texts that are no UTF-8: such a message ends the connection, whatever frame it was."""


def faults(
    catalogue: Catalogue, spec: FrameSpec, found: tuple[Place, ...], *, thorough: bool
) -> Iterator[Draft]:
    """Every fault with a frame of one type in it, valid but for that.

    Args:
        found: the type's places.
        thorough: also those that are told apart by no more than what a JSON reader makes of them: once.
    """
    frame = bases(spec)[0]
    text = written(frame)
    name = spec.type

    def draft(label: str, about: str, said: str, *aims: str) -> Draft:
        return Draft(ENVELOPE, label, about, False, frame, said, aims)

    def typed(label: str, about: str, value: Any, *aims: str) -> Draft:
        return draft(label, about, written({**frame, "type": value}), *aims)

    yield typed("type-upper-case", "its type in upper case", name.upper(), "type-unknown")
    yield typed("type-null", "its type is null", None, "type-missing")
    untyped = {key: value for key, value in frame.items() if key != "type"}
    yield draft("type-missing", "without a type", written(untyped), "type-missing")
    yield draft("in-array", "in an array", f"[{text}]", "object")
    yield draft("batch-array", "twice in an array", f"[{text},{text}]", "object")
    yield draft("batch-lines", "twice, on two lines", f"{text}\n{text}", "json")
    yield draft("in-string", "as a JSON string", json.dumps(text), "object")
    yield draft("cut-off", "without its last brace", text[:-1], "json")
    yield draft("byte-order-mark", "with a byte-order mark before it", f"\ufeff{text}", "bom")
    twice = f'{{"type":{json.dumps(name)},{text[1:]}'
    yield draft("duplicate-type", "naming its type twice", twice, "duplicate-key")
    payload = frame.get("payload")
    if payload:
        again = f'{text[:-1]},"payload":{written(payload)}}}'
        yield draft("duplicate-payload", "with its payload twice", again, "duplicate-key")
        key, value = next(iter(payload.items()))
        inner = f"{written(payload)[:-1]},{json.dumps(key)}:{written(value)}}}"
        said = text.replace(written(payload), inner)
        yield draft("duplicate-key", f"naming {key!r} twice in its payload", said, "duplicate-key")
    yield from _within(catalogue, found, draft, thorough)
    if not thorough:
        return
    yield typed("type-blank", "its type with a blank after it", f"{name} ", "type-unknown")
    yield typed("type-in-array", "its type in an array", [name], "type-missing")
    yield draft("brace-too-many", "with a brace too many", f"{text}}}", "json")
    yield draft("comma-too-many", "with a comma after the last property", f"{text[:-1]},}}", "json")
    yield draft("single-quotes", "in single quotes", text.replace('"', "'"), "json")
    yield draft("comment", "with a comment after it", f"{text}/* x */", "json")
    if payload:
        field = next(name for name, value in payload.items() if isinstance(value, str) and "$" not in value)
        marked = text.replace(written(payload[field]), f'"{_HERE}"')
        for label, (about, sign) in _BROKEN_UTF8.items():
            yield draft(label, about, marked.replace(_HERE, sign), "utf8")


def _within(catalogue: Catalogue, found: tuple[Place, ...], draft: Any, thorough: bool) -> Iterator[Draft]:
    """Faults of a value: in a member that the schema leaves open if the type has such, else in a property
    that is not documented either."""
    place = next((p for p in found if kind(p) == "object" and not p.closed and p.path), found[0])
    holder = {**place.value, MEMBER if place.path else STOWAWAY: _HERE}
    frame = thaw(place.base)
    here = frame
    for step in place.path[:-1]:
        here = here[step]
    if place.path:
        here[place.path[-1]] = holder
    else:
        frame = holder
    text = written(frame)

    def put(label: str, about: str, value: str, *aims: str) -> Draft:
        made: Draft = draft(label, about, text.replace(f'"{_HERE}"', value), *aims)
        return made if aims else replace(made, valid=True)  # what is about no fault has none

    depth = catalogue.max_depth
    if place.path:
        yield from _just_kept(depth, len(place.path), put)
    yield put("too-deep", f"nested deeper than {depth} levels", "[" * depth + "]" * depth, "depth")
    yield put("huge-integer", "with an integer beyond 2^53", str(2**53 + 1), "integer")
    yield put("huge-number", "with a number beyond a double's range", "1e400", "nan")
    yield put("nan", "with NaN", "NaN", "nan")
    yield put("control-character", "with a bare control character in a string", '"\x01"', "json")
    yield put("lone-surrogate", "with half a surrogate pair, escaped", '"\\ud800"', "surrogate")
    if thorough:
        yield put("far-too-deep", "nested in 5,000 levels", "[" * 5000 + "]" * 5000, "depth")
        yield put("endless-integer", "with an integer of 400 digits", "9" * 400, "integer")
        yield put("infinity", "with -Infinity", "-Infinity", "nan")
        yield put("leading-zero", "with a number that has a leading zero", "01", "json")
        yield put("line-feed", "with a bare line feed in a string", '"\n"', "json")
        yield put("wrong-escape", "with an escape that JSON lacks", '"\\x41"', "json")


def _just_kept(depth: int, within: int, put: Any) -> Iterator[Draft]:
    """What strict JSON permits only just, in a member that the schema leaves open."""
    inner = depth - 1 - within  # the frame itself is a level, and so is all that the member lies in
    yield put("deepest", f"nested in {depth} levels, as deep as may be", "[" * inner + "]" * inner)
    yield put("greatest-integer", "with 2^53 - 1, which all readers hold exactly", str(2**53 - 1))
    yield put("least-integer", "with -(2^53 - 1), which all readers hold exactly", str(1 - 2**53))


NO_FRAMES: Mapping[str, tuple[str, str, str]] = {
    "empty": ("an empty text", "", "json"),
    "blank": ("a blank", " ", "json"),
    "word": ("a bare word", "hello", "json"),
    "zero-byte": ("a zero byte", "\x00", "json"),
    "null": ("null", "null", "object"),
    "true": ("true", "true", "object"),
    "number": ("a number", "42", "object"),
    "string": ("a string", '"send"', "object"),
    "array": ("an empty array", "[]", "object"),
    "object": ("an empty object", "{}", "type-missing"),
    "deep-arrays": ("5,000 arrays within each other", "[" * 5000 + "]" * 5000, "depth"),
    "open-arrays": ("5,000 arrays that are never closed", "[" * 5000, "depth"),
    "open-objects": ("5,000 objects that are never closed", '{"a":' * 5000, "depth"),
}
"""Texts without any frame in them."""

UNKNOWN: Mapping[str, tuple[str, str]] = {
    "made-up": ("a type that nobody knows", "no_such_type"),
    "empty": ("an empty type", ""),
    "prototype": ("a type that is a property of every object in some languages", "__proto__"),
    "constructor": ("a type that is a method of every object in some languages", "constructor"),
    "path": ("a type that looks like a path", "../send"),
    "zero-byte": ("a known type with a zero byte after it", "send\x00"),
    "other-letters": ("a known type with a Cyrillic letter in it", "s\u0435nd"),
    "long": ("a type of 1,000 letters", "a" * 1000),
}
"""Types that do not exist."""


def typeless() -> Iterator[Draft]:
    """Messages in which there is no frame at all."""
    for name, (about, text, reason) in NO_FRAMES.items():
        yield Draft(ENVELOPE, name, about, False, {}, text, (reason,))


def unknown(spec: FrameSpec) -> Iterator[Draft]:
    """Types that do not exist, on a frame that is valid otherwise."""
    frame = bases(spec)[0]
    for name, (about, type_) in UNKNOWN.items():
        template = {**frame, "type": type_}
        yield Draft(ENVELOPE, name, about, False, template, aims=("type-unknown",))


def server_only(spec: FrameSpec) -> Draft:
    """A frame of a type that only servers send, as a client's."""
    frame = bound(spec, thaw(spec.examples[0]))
    about = "a type that only servers send"
    return Draft(ENVELOPE, "server-only", about, False, frame, aims=("type-direction",))
