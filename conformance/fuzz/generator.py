"""Valid frames by the thousand, straight from the schemas: seeded, quick, and about people who exist.

For each type, outlines are found once: which optional properties are there, which branch of an alternative
is taken. Only outlines whose frames are valid are kept, so that making a frame is filling in values.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from relaykit.conformance.derived import patterns
from relaykit.errors import KitDefect
from relaykit.schemas import Catalogue, FrameSpec
from relaykit.schemas.flatten import flattened

FORBIDDEN, FAIR = "bad0bad0", "face0fee"
"""What texts and identifiers begin with: in frames that must be refused, and in all others. Each is
hexadecimal and a token, so that it fits wherever texts are free; where the first one arrives, something was
forwarded that must not be."""
_TRIES, _OUTLINES, _BARREN = 2000, 96, 120
_STRANGER = 0.04
"""How often a frame names somebody who does not exist."""
_UUID = re.compile(r"\^([a-z]+-)?\[0-9a-fA-F\]\{8\}-")
_TEXTS = (
    "x",
    "v=0\r\n",
    "AES-256-GCM",
    "candidate:1 1 udp 2122260223 192.0.2.17 56143 typ host",
    "ß Ж 字 🙂",
)


@dataclass(slots=True)
class Who:
    """Whom a sender's frames are about.

    Attributes:
        user, device: the sender.
        peer: a user who gets what is sent.
        other: another device of the sender, if there is one.
        group, conversation: with prefix; None: there is none.
        got: messages that the device got and has not acknowledged.
        mark: what free texts begin with.
        exact: whether everything that the frame last made names exists.
    """

    user: str
    device: str
    peer: str
    other: str | None = None
    group: str | None = None
    conversation: str | None = None
    got: list[str] = field(default_factory=list)
    mark: str = FAIR
    exact: bool = True


Maker = Callable[[random.Random, Who], Any]
T = TypeVar("T")


def pick(rng: random.Random, options: Sequence[T]) -> T:
    """One of several; several times as fast as `choice`, and as even as this needs."""
    return options[int(rng.random() * len(options))]


def uuid(rng: random.Random, mark: str) -> str:
    """A UUID that begins with the mark."""
    text = f"{rng.getrandbits(96):024x}"
    return f"{mark}-{text[:4]}-{text[4:8]}-{text[8:12]}-{text[12:]}"


class Generator:
    """Makes valid frames of the types that a target serves.

    Args:
        capabilities: that the target declares.
        seed: from which the outlines follow.
    """

    def __init__(self, catalogue: Catalogue, capabilities: frozenset[str], seed: str) -> None:
        rng = random.Random(f"{seed}/outlines")
        specs = [
            spec
            for (way, _), spec in catalogue.frames.items()
            if way == "c2s" and spec.capability in capabilities
        ]
        self.outlines = {spec.type: _outlines(catalogue, spec, rng) for spec in specs}
        self._calls = frozenset(spec.type for spec in specs if spec.capability == "calls")
        # What is worth most attention comes most often.
        self._kinds = [*self.outlines, *(("send",) * 3 if "send" in self.outlines else ())]

    def frame(self, rng: random.Random, who: Who, kind: str | None = None) -> dict[str, Any]:
        """A valid frame; `who.exact` tells whether what it names exists."""
        kind = kind or pick(rng, self._kinds)
        # Which of a user's devices may speak in a call depends on how the call came about.
        who.exact = who.other is None or kind not in self._calls
        return _filled(pick(rng, self.outlines[kind]), rng, who)


def _filled(outline: Mapping[str, Any], rng: random.Random, who: Who) -> dict[str, Any]:
    return {
        name: _filled(part, rng, who) if type(part) is dict else part(rng, who)
        for name, part in outline.items()
    }


def _outlines(catalogue: Catalogue, spec: FrameSpec, rng: random.Random) -> list[dict[str, Any]]:
    schema = flattened(spec.bundled, whole=True)
    check = catalogue.quick_check(spec.type, "c2s")
    sample = Who(uuid(rng, FAIR), uuid(rng, FAIR), uuid(rng, FAIR))
    found: dict[str, dict[str, Any]] = {}
    barren = 0
    for _ in range(_TRIES):
        outline = _outline(schema, spec.type, rng)
        frame = _filled(outline, rng, sample)
        name = str(_keys(frame))
        barren = barren + 1 if name in found or not check(frame) else 0
        if not barren:
            found[name] = outline
        if len(found) >= _OUTLINES or (found and barren > _BARREN):
            break
    if not found:
        raise KitDefect(f"{spec.source}: no valid frame was found in {_TRIES} tries")
    return list(found.values())


def _keys(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted((key, _keys(inner)) for key, inner in value.items())
    return value is None


def _outline(schema: Mapping[str, Any], kind: str, rng: random.Random) -> dict[str, Any]:
    """One choice of what is there; a branch of allOf that could not be merged only restricts."""
    made: dict[str, Any] = {}
    properties = dict(schema.get("properties", {}))
    required = set(schema.get("required", ()))
    for part in schema.get("allOf", ()):
        properties = {**part.get("properties", {}), **properties}
        required |= set(part.get("required", ()))
    for name, sub in properties.items():
        if name in required or rng.random() < 0.4:
            made[name] = _part(sub, kind, name, rng)
    return made


def _part(schema: Any, kind: str, name: str, rng: random.Random) -> Any:
    if not isinstance(schema, Mapping):
        return _constant({})
    if "anyOf" in schema:
        schema = pick(rng, schema["anyOf"])
    if schema.get("type") == "object" or "properties" in schema or "allOf" in schema:
        return _outline(schema, kind, rng)
    return _maker(schema, kind, name, rng)


def _constant(value: Any) -> Maker:
    return lambda _rng, _who: value


def _maker(schema: Mapping[str, Any], kind: str, name: str, rng: random.Random) -> Maker:
    if "const" in schema:
        return _constant(schema["const"])
    if "enum" in schema:
        choices = list(schema["enum"])
        return lambda rng, _: pick(rng, choices)
    match schema.get("type"):
        case "null":
            return _constant(None)
        case "boolean":
            return lambda rng, _: rng.random() < 0.5
        case "integer" | "number":
            low, high = schema.get("minimum", 0), schema.get("maximum", 2**31)
            edges = (low, high, low + 1, min(high, 0) if low <= 0 else low)
            return lambda rng, _: pick(rng, edges) if rng.random() < 0.3 else rng.randint(low, high)
        case "array":
            return _list(schema)
    return _text(schema, kind, name, rng)


def _list(schema: Mapping[str, Any]) -> Maker:
    """A list of messages that the sender got; the only lists in clients' frames are of these."""
    most = min(schema.get("maxItems", 8), 8)

    def make(rng: random.Random, who: Who) -> Any:
        if who.got and rng.random() > _STRANGER:
            count = rng.randint(1, min(most, len(who.got)))
            return [who.got.pop() for _ in range(count)]
        who.exact = False
        return [uuid(rng, who.mark) for _ in range(rng.randint(1, most))]

    return make


def _text(schema: Mapping[str, Any], kind: str, name: str, rng: random.Random) -> Maker:
    pattern = str(schema.get("pattern", ""))
    if name in _NAMED and _UUID.match(pattern):
        return _NAMED[name] if (name, kind) != ("message_id", "delivery_ack") else _received
    found = _UUID.match(pattern)
    if found is not None:
        prefix = found[1] or ""
        return lambda rng, who: prefix + uuid(rng, who.mark)
    if schema.get("format") == "date-time":
        return _moment
    if not pattern:
        shortest = schema.get("minLength", 0)
        return lambda rng, who: (
            "" if not shortest and rng.random() < 0.1 else f"{who.mark}{pick(rng, _TEXTS)}"
        )
    ends, free = _ends(pattern)
    if free:
        return lambda rng, who: f"{who.mark}{pick(rng, ends)}"
    return lambda rng, _: pick(rng, ends)


@cache
def _ends(pattern: str) -> tuple[list[str], bool]:
    """Texts that match, and whether they still do with a mark before them."""
    rng = random.Random(pattern)
    ends = [patterns.sampled(pattern, rng) for _ in range(64)]
    marked = [mark + end for mark in (FAIR, FORBIDDEN) for end in ends]
    return ends, all(patterns.matches(pattern, text) for text in marked)


@cache
def _moments() -> list[str]:
    rng, found = random.Random(0), list[str]()
    for _ in range(1000):
        fraction = ("", ".5", ".125", ".000000001")[rng.randrange(4)]
        day, hour, minute = rng.randint(1, 28), rng.randrange(24), rng.randrange(60)
        month, year = rng.randint(1, 12), rng.randint(10, 39)
        found.append(f"20{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:00{fraction}Z")
    return found


def _moment(rng: random.Random, _: Who) -> str:
    return pick(rng, _moments())


def _either(get: Callable[[Who], str | None], prefix: str = "") -> Maker:
    """Somebody who exists, mostly."""

    def make(rng: random.Random, who: Who) -> str:
        value = get(who)
        if value is not None and rng.random() > _STRANGER:
            return value
        who.exact = False
        return prefix + uuid(rng, who.mark)

    return make


def _received(rng: random.Random, who: Who) -> str:
    if who.got and rng.random() > _STRANGER:
        return who.got.pop()
    who.exact = False
    return uuid(rng, who.mark)


_NAMED: Mapping[str, Maker] = {
    "sender_id": _either(lambda who: who.user),
    "user_id": _either(lambda who: who.user),
    "device_id": _either(lambda who: who.device),
    "receiver_id": _either(lambda who: who.peer),
    "recipient_id": _either(lambda who: who.peer),
    "target_id": _either(lambda who: who.peer),
    "target_device_id": _either(lambda who: who.other),
    "group_id": _either(lambda who: who.group, "group-"),
    "conversation_id": _either(lambda who: who.conversation, "conv-"),
    "message_id": lambda rng, who: uuid(rng, who.mark),
}
"""Whom or what the identifiers of a client's frame mean."""
