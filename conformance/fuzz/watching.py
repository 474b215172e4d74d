"""What must not come, whatever was sent: a misshapen frame, a message twice. Which message brings it?"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from relaykit.conformance.record import UNREADABLE, Entry, ShapeBook
from relaykit.schemas import Catalogue

_INDEX = re.compile(r"/[0-9]+(?=/|$)")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ACK = "heartbeat_ack"
_BESIDE = ("sent_ack", "status_update")
"""What may come beside a message."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Something to be looked for again.

    Attributes:
        requirement: that it breaks.
        message: what happened, in words.
        type, pointer, keyword: of a shape: the frame's type, None where it names none, and what is wrong.
    """

    kind: Literal["shape", "twice"]
    requirement: str
    message: str
    type: str | None = None
    pointer: str = ""
    keyword: str = ""


TWICE = Watch("twice", "MSG-20", "a message came twice on one connection")


def shape(requirement: str, message: str, kind: str | None, pointer: str, keyword: str) -> Watch:
    """A watch for misshapen frames; which place of an array it was makes no difference."""
    return Watch("shape", requirement, message, kind, _INDEX.sub("/*", pointer), keyword)


def seen(catalogue: Catalogue, entries: Iterable[Entry], watch: Watch) -> tuple[str, Any] | None:
    """Who got what is looked for, and the frame; None: nobody did.

    What belongs to the suite's own fences does not count, but for acks, of which one is as good as another.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        frame = entry.frame
        if entry.direction != "s2c" or frame is None:
            continue
        kind = frame.get("type") if isinstance(frame, Mapping) else None
        if entry.kit and kind != _ACK:
            continue
        if watch.kind == "shape":
            verdict = catalogue.validate(frame, "s2c")
            places = ((f.keyword, _INDEX.sub("/*", f.pointer)) for f in verdict.findings)
            if verdict.type == watch.type and (watch.keyword, watch.pointer) in places:
                return entry.actor, frame
        elif (name := message_of(frame)) is not None:
            counts[entry.actor, name] += 1
            if counts[entry.actor, name] > 1:
                return entry.actor, frame
    return None


def unreadable(shapes: ShapeBook, watch: Watch) -> tuple[str, Any] | None:
    """The same of what is no strict JSON, which transcripts hold as it was probably meant."""
    found = shapes.violations.get((UNREADABLE, watch.pointer, watch.keyword))
    return None if found is None or watch.type is not None else (found.actor, found.frame)


def message_of(frame: Any) -> str | None:
    """The message that a frame delivers; None if it delivers none."""
    kind = frame.get("type") if isinstance(frame, Mapping) else None
    holder = frame if kind == "deliver" else frame.get("payload") if kind == "group_message" else None
    name = holder.get("message_id") if isinstance(holder, Mapping) else None
    return name.lower() if isinstance(name, str) else None


def names_in(frame: Any) -> set[bytes]:
    """All identifiers in a frame, or in what came in place of one."""
    text = frame if isinstance(frame, str) else json.dumps(frame, default=str)
    return {found.lower().encode() for found in _UUID.findall(text)}


def steps(
    catalogue: Catalogue, watch: Watch, actor: str, frame: Any, known: bool
) -> Iterator[dict[str, Any]]:
    """The check of a scenario, once its message is sent.

    Args:
        actor: who gets it.
        frame: that came, with references in place of identifiers.
        known: whether its message had come before, rightly.
    """
    body: dict[str, Any] = {"actors": [actor], "open": True}
    allow: Iterable[str] = _BESIDE
    if watch.kind == "twice":
        kind = frame["type"]
        if not known:
            holder = "payload" if kind == "group_message" else ""
            name = (frame[holder] if holder else frame)["message_id"]
            form: dict[str, Any] = {"type": kind}
            if name.startswith("${"):  # else the target made it up
                form |= {holder: {"message_id": name}} if holder else {"message_id": name}
            yield {"expect": {"as": actor, "frame": form, "skip": True}}
    else:
        # Of the shape of what comes the run speaks, of every frame: whatever is of a known type may come.
        allow = sorted(catalogue.types("s2c"))
    yield {"none": {**body, "allow": [{"type": kind} for kind in allow], "req": [watch.requirement]}}
