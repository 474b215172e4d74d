"""Faults on demand, for testing clients: what is asked for, and whether a frame is meant.

    KIND[=VALUE][@TYPE][,user=USER][,device=DEVICE][:COUNT]

| fault | what becomes of a matching frame |
|---|---|
| `drop` | it is not sent |
| `duplicate` | it is sent twice |
| `delay=2s` | it is sent that much later; frames behind it overtake it |
| `reorder` | it is sent after the next frame of its connection |
| `corrupt` | its JSON breaks off (`corrupt=json`), or is no UTF-8 (`corrupt=utf8`), or the value at a JSON pointer is changed for another of its kind (`corrupt=/payload/ciphertext`) |
| `close=1011` | the connection is closed with this code in its place; 1006: cut without a closing handshake |
| `slow=100B/s` | it takes its time on the line, and all frames behind it wait |

Frames are those the server sends. Matching ones are counted one by one over all connections, in the order in
which they are sent; COUNT chooses among them: `3` the third, `2-5`, `2-` from the second on, `*` or nothing
every one. Several faults strike in the order in which they are given, each on what the one before it lets
through. A frame that lacks the value at the pointer does not match. Frames that are still held back when
their connection ends are lost.
"""  # noqa: E501  (a table)

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from websockets.frames import EXTERNAL_CLOSE_CODES

from relaykit.config import suggest
from relaykit.errors import UsageError
from relaykit.pointers import keys_of
from relaykit.reference_server.ids import canonical_uuid
from relaykit.schemas import Catalogue

CUT = 1006  # what a client sees when there was no closing handshake
_SPEC = re.compile(
    r"(?P<kind>[^=@,:]*)(?:=(?P<value>[^@,:]*))?(?:@(?P<type>[^,:]*))?(?P<who>(?:,[^,:]*)*)(?::(?P<count>.*))?"
)
_COUNT = re.compile(r"(?P<first>[1-9][0-9]*)(?P<open>-)?(?P<last>[1-9][0-9]*)?")
_TIME = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s)")
_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(B|kB)/s")
_UNITS = {"ms": 0.001, "s": 1.0, "B": 1.0, "kB": 1000.0}
_HINT = (
    "KIND[=VALUE][@TYPE][,user=USER][,device=DEVICE][:COUNT], such as drop@deliver:3 (the third),"
    " delay=2s@sent_ack, duplicate, reorder@deliver:1-2, corrupt=/payload/ciphertext@deliver,"
    " close=1011@sent_ack:2, slow=100B/s,user=bob"
)


@dataclass(frozen=True, slots=True)
class Names:
    """Names for users and devices, by which faults may call them (see `dev`)."""

    users: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def who(self, user: str, device: str) -> str:
        """A device in a word: `alice.phone`, or the beginnings of its IDs."""
        return f"{self.user(user) or user[:8]}.{self.device(device) or device[:8]}"

    def user(self, user: str) -> str | None:
        """A user's name."""
        return next((name for name, one in self.users.items() if one == user), None)

    def device(self, device: str) -> str | None:
        """A device's name."""
        return next((name for name, some in self.devices.items() if device in some), None)


@dataclass(slots=True)
class Fault:
    """One fault.

    Attributes:
        text: as it was asked for.
        value: seconds, bytes per second, a close code, or how to corrupt; None where the kind has no value.
        type, user, devices: what and whom it is for; None: all.
        first, last: which of the matching frames it strikes, from 1; last None: no end.
        seen, struck: how many matched so far, and how many of them it struck.
    """

    text: str
    kind: str
    value: Any
    type: str | None
    user: str | None
    devices: frozenset[str] | None
    first: int
    last: int | None
    seen: int = field(default=0)
    struck: int = field(default=0)

    def strikes(self, kind: str, user: str, device: str, data: bytes, *, able: bool = True) -> bool:
        """Whether a frame of this type to this device is struck; it is counted if it matches.

        Args:
            able: whether the fault can strike now; it counts all the same.
        """
        if (
            (self.type is not None and kind != self.type)
            or (self.user is not None and user != self.user)
            or (self.devices is not None and device not in self.devices)
            or (self.kind == "corrupt" and changed(data, self.value) is None)
        ):
            return False
        self.seen += 1
        if not able or self.seen < self.first or (self.last is not None and self.seen > self.last):
            return False
        self.struck += 1
        return True


def parse(text: str, catalogue: Catalogue, names: Names) -> Fault:
    """The fault that a text asks for.

    Raises:
        UsageError: it asks for none, with what would be right.
    """

    def wrong(why: str) -> UsageError:
        return UsageError(f"fault {text!r}: {why}", hint=_HINT)

    match = _SPEC.fullmatch(text.strip())
    if match is None:
        raise wrong("not of the right form")
    kind, value, type_ = match["kind"], match["value"], match["type"]
    if kind not in _KINDS:
        raise wrong(f"there is no fault {kind!r}{suggest(kind, _KINDS)}; known are {', '.join(_KINDS)}")
    read, meaning = _KINDS[kind]
    found = read(value)
    if found is _WRONG:
        raise wrong(f"{kind} takes {meaning}")
    if type_ is not None and type_ not in catalogue.types("s2c"):
        known = catalogue.types("s2c")
        why = "clients send it, but faults strike what the server sends"
        if type_ not in catalogue.types("c2s"):
            why = f"there is no such type{suggest(type_, known)}"
        raise wrong(f"@{type_}: {why}")
    who: dict[str, str] = {}
    for part in match["who"].split(",")[1:]:
        name, _, whom = part.partition("=")
        if name not in ("user", "device") or name in who or not whom:
            raise wrong(f",{part}: it is either ,user=… or ,device=…, each once")
        who[name] = whom
    first, last = _count(match["count"], wrong)
    user = None if "user" not in who else _user(who["user"], names, wrong)
    devices = None if "device" not in who else _devices(who["device"], names, wrong)
    return Fault(text.strip(), kind, found, type_, user, devices, first, last)


def parse_all(texts: Iterable[str], catalogue: Catalogue, names: Names) -> tuple[Fault, ...]:
    """See `parse`."""
    return tuple(parse(text, catalogue, names) for text in texts)


def _count(text: str | None, wrong: Callable[[str], UsageError]) -> tuple[int, int | None]:
    if text is None or text == "*":
        return 1, None
    match = _COUNT.fullmatch(text)
    if match is None or (match["last"] and not match["open"]):
        raise wrong(f":{text}: it is a number from 1 (:3), a range (:2-5, :2-), or :* for every one")
    first = int(match["first"])
    last = int(match["last"]) if match["last"] else None if match["open"] else first
    if last is not None and last < first:
        raise wrong(f":{text}: the range is empty")
    return first, last


def _user(text: str, names: Names, wrong: Callable[[str], UsageError]) -> str:
    user = names.users.get(text) or canonical_uuid(text)
    if user is None:
        raise wrong(f"user={text}: {_neither(text, names.users)}")
    return user


def _devices(text: str, names: Names, wrong: Callable[[str], UsageError]) -> frozenset[str]:
    if text in names.devices:
        return names.devices[text]
    device = canonical_uuid(text)
    if device is None:
        raise wrong(f"device={text}: {_neither(text, names.devices)}")
    return frozenset({device})


def _neither(text: str, known: Mapping[str, object]) -> str:
    if not known:
        return "not a UUID (names are known with --dev only)"
    return f"neither a UUID nor one of {', '.join(known)}{suggest(text, known)}"


# --- values: how each kind reads its own, and what it takes ---

_WRONG = object()


def _nothing(text: str | None) -> Any:
    return None if text is None else _WRONG


def _seconds(text: str | None) -> Any:
    match = _TIME.fullmatch(text or "")
    return float(match[1]) * _UNITS[match[2]] if match else _WRONG


def _rate(text: str | None) -> Any:
    match = _RATE.fullmatch(text or "")
    return (float(match[1]) * _UNITS[match[2]] or _WRONG) if match else _WRONG


def _code(text: str | None) -> Any:
    if text is None:
        return 1011
    code = int(text) if text.isascii() and text.isdigit() and len(text) == 4 else 0
    return code if code == CUT or code in EXTERNAL_CLOSE_CODES or 3000 <= code < 5000 else _WRONG


def _corruption(text: str | None) -> Any:
    return (text or "json") if text in (None, "json", "utf8") or text.startswith("/") else _WRONG


_KINDS: Mapping[str, tuple[Callable[[str | None], Any], str]] = {
    "drop": (_nothing, "no value"),
    "duplicate": (_nothing, "no value"),
    "delay": (_seconds, "a time, such as delay=2s or delay=250ms"),
    "reorder": (_nothing, "no value"),
    "corrupt": (_corruption, "json, utf8 or a JSON pointer, such as corrupt=/payload/ciphertext"),
    "close": (_code, "a close code that may be sent, such as close=1011, or 1006 to cut the connection"),
    "slow": (_rate, "a rate, such as slow=100B/s or slow=2kB/s"),
}


# --- corrupting ---


def changed(data: bytes, how: str) -> bytes | None:
    """A frame, corrupted; None if it has no value at the pointer, as what is no JSON any more has none."""
    if how == "json":
        return data[:-1]
    if how == "utf8":
        return data[:-1] + b"\xff" + data[-1:]
    try:
        frame = orjson.loads(data)
        return orjson.dumps(frame) if _change(frame, how) else None
    except (ValueError, TypeError):  # an earlier fault broke it, or its other value is none that JSON has
        return None


def _change(frame: Any, pointer: str) -> bool:
    """Change the value at the pointer, if there is one."""
    *path, last = keys_of(pointer)
    place: Any = frame
    for part in path:
        place = _inside(place, part)
    if isinstance(place, list) and last.isdecimal() and int(last) < len(place):
        place[int(last)] = _another(place[int(last)])
    elif isinstance(place, dict) and last in place:
        place[last] = _another(place[last])
    else:
        return False
    return True


def _inside(value: Any, part: str) -> Any:
    if isinstance(value, list) and part.isdecimal() and int(part) < len(value):
        return value[int(part)]
    return value.get(part) if isinstance(value, dict) else None


def _another(value: Any) -> Any:
    """Another value of the same kind: always the same one for the same value."""
    if isinstance(value, str) and value:
        # The first character, so that base64 stays base64 and a UUID stays one.
        return ("0" if value[0] != "0" else "1") + value[1:]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, dict | list):
        return type(value)()
    return "corrupt"  # for null and ""
