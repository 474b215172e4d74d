"""What went over the wire in one case, and what was misshapen in a whole run."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from relaykit.schemas import Catalogue, Finding, Validation

INTERNALS = (
    r"((?i:traceback|stack trace)|\.(py|js|go|java|rb|rs|php|cs):?\d|/(usr|home|app|srv|opt)/"
    r"|0x[0-9a-f]{6}|\b(SELECT|INSERT|UPDATE) .*\b(FROM|INTO|SET)\b)"
)
"""What no message to a client says: traces, paths, addresses, queries (ERR-08)."""
_INTERNALS = re.compile(INTERNALS)
_INDEX = re.compile(r"/[0-9]+(?=/|$)")
_MOST_VIOLATIONS = 2000
_ENVELOPE = frozenset(("/message_id", "/sender_id", "/device_id", "/server_id", "/timestamp"))
UNREADABLE = "unreadable"
"""Stands for the type of a message that is no frame with a known type."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a transcript.

    Attributes:
        t_ms: milliseconds since the case began.
        actor: `alice`, or `bob.phone` where the user has several devices.
        direction: `c2s` or `s2c`.
        frame: the parsed frame, the text if it is none, or None for an event.
        event: what happened, if it was no frame (`connected`, `closed 1008`, …).
        kit: whether the suite itself sent it, or it answers that (fences).
    """

    t_ms: float
    actor: str
    direction: str
    frame: Any
    event: str | None = None
    kit: bool = False


class Transcript:
    """The entries of one case, in the order in which they passed."""

    def __init__(self) -> None:
        self._start = time.perf_counter()
        self.entries: list[Entry] = []

    def now_ms(self) -> float:
        return round((time.perf_counter() - self._start) * 1000, 2)

    def frame(self, actor: str, direction: str, frame: Any, *, kit: bool = False) -> None:
        self.entries.append(Entry(self.now_ms(), actor, direction, frame, None, kit))

    def begin_with(self, earlier: Transcript) -> float:
        """Put in front what was written elsewhere, before; by how many ms its lines stand later here."""
        shift = round((earlier._start - self._start) * 1000, 2)
        self.entries[:0] = [replace(entry, t_ms=round(entry.t_ms + shift, 2)) for entry in earlier.entries]
        return shift

    def event(self, actor: str, direction: str, event: str) -> None:
        self.entries.append(Entry(self.now_ms(), actor, direction, None, event))


class Bell:
    """Wakes everybody who waits for something to happen in a case; each looks for himself what it was."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def wait(self, seconds: float) -> bool:
        """Wait for the next ring. False: it did not come in time."""
        if seconds <= 0:
            return False
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.add(future)
        handle = loop.call_later(seconds, self._too_late, future)
        try:
            await future
        except TimeoutError:
            return False
        finally:
            handle.cancel()
            self._waiting.discard(future)
        return True

    @staticmethod
    def _too_late(future: asyncio.Future[None]) -> None:
        if not future.done():
            future.set_exception(TimeoutError())


@dataclass(slots=True)
class Violation:
    """One distinct way in which arriving frames were misshapen: where it was first seen, and how often."""

    type: str
    finding: Finding
    frame: Any
    case: str
    actor: str
    t_ms: float
    count: int = 1


@dataclass(slots=True)
class ShapeBook:
    """Every arriving frame of a run, checked by its schema: each distinct violation is kept once."""

    arrived: dict[str, int] = field(default_factory=dict)
    violations: dict[tuple[str, str, str], Violation] = field(default_factory=dict)

    def note(self, kind: str, finding: Finding, frame: Any, case: str, actor: str, t_ms: float) -> None:
        # Array indexes do not make a violation another one.
        key = (kind, _INDEX.sub("/*", finding.pointer), finding.keyword)
        known = self.violations.get(key)
        if known is None:
            if len(self.violations) >= _MOST_VIOLATIONS:
                return  # a target that makes up new ones in every frame; it has failed long since
            self.violations[key] = Violation(kind, finding, frame, case, actor, t_ms)
        else:
            known.count += 1


class Recorder:
    """The choke point: every message that arrives in a case passes here, is written down and checked."""

    def __init__(self, catalogue: Catalogue, shapes: ShapeBook, case: str) -> None:
        self.catalogue = catalogue
        self.shapes = shapes
        self.case = case
        self.transcript = Transcript()
        self.bell = Bell()
        self.fences: set[str] = set()
        """Messages of the suite's own that mark a place; no scenario sees them, nor what is about them."""
        self.reached: set[tuple[str, str]] = set()
        """Which of them came to whom."""

    def fence_of(self, frame: Any) -> str | None:
        """The message of the suite's own that a frame is, or is about."""
        if not self.fences or not isinstance(frame, dict):
            return None
        name = frame.get("message_id")
        return name.lower() if isinstance(name, str) and name.lower() in self.fences else None

    def arrived(self, actor: str, data: bytes) -> Validation:
        """Check a text message; its findings go to the run's book, not to the case."""
        result = self.catalogue.validate(data, "s2c")
        kind = result.type or UNREADABLE
        self.shapes.arrived[kind] = self.shapes.arrived.get(kind, 0) + 1
        if kind == "error" and tells_internals(result.frame):
            text = "an error tells of the server's inside"
            fault = Finding("error", "/payload/message", "internals", text, "ERR-08")
            self.shapes.note(kind, fault, result.frame, self.case, actor, self.transcript.now_ms())
        if result.findings:
            frame = result.frame if result.frame is not None else data.decode("utf-8", "replace")
            for finding in self._named(kind, result.findings, data):
                self.shapes.note(kind, finding, frame, self.case, actor, self.transcript.now_ms())
        return result

    def _named(self, kind: str, findings: Iterable[Finding], data: bytes) -> Iterable[Finding]:
        """Findings with what no schema names: several objects joined by line breaks are no bad JSON, and a
        field that a server adds to an envelope has its form on every frame."""
        rules = self.catalogue.protocol.faults["s2c"]
        spec = self.catalogue.frames.get(("s2c", kind))
        required = spec.schema.get("required", ()) if spec is not None else ()
        for finding in findings:
            added = finding.pointer in _ENVELOPE and finding.pointer[1:] not in required
            if added and "envelope" in rules:
                yield replace(finding, keyword="envelope", requirement=rules["envelope"])
            if finding.keyword == "json" and _are_lines(data):
                rule = rules.get("object")
                said = "one frame expected, not several joined by line breaks"
                yield replace(finding, message=said, requirement=rule)
            else:
                yield finding

    def broken(self, actor: str, keyword: str, message: str) -> None:
        """Note something below the frames: a binary message, a violation of RFC 6455."""
        # A frame that is no text breaks the same rule as one that is no UTF-8.
        requirement = self.catalogue.protocol.faults["s2c"].get("utf8" if keyword == "binary" else keyword)
        finding = Finding("error", "", keyword, message, requirement)
        self.shapes.note(UNREADABLE, finding, None, self.case, actor, self.transcript.now_ms())


def _are_lines(data: bytes) -> bool:
    lines = data.strip().splitlines()
    return len(lines) > 1 and all(isinstance(leniently(line), dict) for line in lines)


def leniently(data: bytes) -> Any:
    """What a message that is not strict JSON was probably meant to be; its fault is noted already."""
    text = data.decode("utf-8", "replace")
    try:
        value = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, dict) else text


def tells_internals(frame: Any) -> bool:
    """Whether an error's message says what no client is to know (ERR-08)."""
    payload = frame.get("payload") if isinstance(frame, dict) else None
    message = payload.get("message") if isinstance(payload, dict) else None
    return isinstance(message, str) and _INTERNALS.search(message[:4096]) is not None
