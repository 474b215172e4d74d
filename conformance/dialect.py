"""Dialects: for servers whose wire differs from the protocol, a small class of the user's own.

    class Dialect:
        def outgoing(self, frame, peer): ...  # what is sent for a frame (a dict, to change at will)
        def incoming(self, text, peer): ...   # the frames that a text message holds

Both give a dict, a text, or a list of these; either may be missing. `peer` is whose connection it is:
`user_id`, `device_id`, `token`, and `memory`, a dict that lives as long as the connection. Frames that are
wrong on purpose come through `outgoing`, too; what is no JSON object is sent as it is. An attribute `secrets`
(a list of texts) is kept out of every report.

Whatever a dialect changes is reported as a divergence of the target, once for each distinct change.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson

from relaykit.config import Document
from relaykit.conformance.divergence import (
    DialectBook,
    Divergence,
    changes,
    frame_type,
    values_in,
)
from relaykit.conformance.python_object import load_object
from relaykit.conformance.record import Recorder
from relaykit.errors import UsageError
from relaykit.schemas import Catalogue, Direction

_MOST_FRAMES = 1000
"""No single message holds more frames."""
_SHOWN = 2000
NOTHING = "dropped, since `incoming` returned None: does it lack a `return`? A list without frames drops one"


@dataclass(frozen=True, slots=True)
class DialectSpec:
    """How a target file names a dialect; see `load_object`."""

    adapter: str
    folder: Path
    options: Mapping[str, Any]
    place: str


@dataclass(frozen=True, slots=True)
class Peer:
    """Whose connection a frame goes over; without user and device where a case makes up something else.

    Attributes:
        token: with which the connection was opened; None: without any.
        memory: for the dialect's own use, as long as the connection lives.
    """

    user_id: str
    device_id: str
    token: str | None
    memory: dict[str, Any] = field(default_factory=dict)


def read_dialect(document: Document, base: Path) -> DialectSpec | None:
    """The dialect of a target file whose shape is right, or None."""
    given = document.data.get("dialect")
    if given is None:
        return None
    options = MappingProxyType(given.get("options", {}))
    return DialectSpec(given["adapter"], base, options, document.place("/dialect/adapter"))


class Dialect:
    """A dialect at work, for a whole run."""

    def __init__(self, spec: DialectSpec, catalogue: Catalogue, secret: Callable[[str], None]) -> None:
        self.book = DialectBook()
        self.catalogue = catalogue
        made = load_object(spec.adapter, spec.folder, spec.options, place=spec.place, what="dialect")
        self.outgoing = getattr(made, "outgoing", None)
        self.incoming = getattr(made, "incoming", None)
        if not callable(self.outgoing) and not callable(self.incoming):
            raise UsageError(
                f"{spec.place}: the dialect {spec.adapter!r} has neither `outgoing` nor `incoming`",
                hint="relaykit.conformance.dialect says what they take and give",
            )
        for text in getattr(made, "secrets", ()):
            secret(str(text))


@dataclass(slots=True)
class Interpreter:
    """A dialect at work on one connection."""

    dialect: Dialect
    peer: Peer
    recorder: Recorder
    label: str

    def outgoing(self, frame: Mapping[str, Any], *, valid: bool) -> list[bytes]:
        """What is sent for a frame.

        Args:
            valid: False: it is wrong on purpose, so that a dialect may well fail on it.
        """
        book = self.dialect.book
        plain = [orjson.dumps(frame)]
        if self.dialect.outgoing is None:
            return plain
        book.seen += 1
        try:
            given = self.dialect.outgoing(copy.deepcopy(dict(frame)), self.peer)
            texts = [part if isinstance(part, bytes) else _encoded(part) for part in _listed(given)]
        except (Exception, SystemExit) as error:
            said = f"outgoing: {_said(error)}, on {frame_type(frame)}"
            if valid:
                book.fault(said)
            self.recorder.transcript.event(self.label, "c2s", f"the dialect failed: {said}")
            return plain
        if valid:
            self._compare_sent(frame, texts)
        return texts

    def _compare_sent(self, frame: Mapping[str, Any], texts: Sequence[bytes]) -> None:
        kind = frame_type(frame)
        if len(texts) != 1:
            said = f"sent as {len(texts)} messages" if texts else "not sent at all"
            self._note("c2s", kind, said, None, dict(frame), _shown(texts))
            return
        found = values_in(texts[0].decode("utf-8", "replace"))
        if found is None or len(found) != 1:
            self._note("c2s", kind, "sent in another form", None, dict(frame), _shown(texts))
            return
        for what in changes(dict(frame), found[0]):
            self._note("c2s", kind, what, None, dict(frame), found[0])

    def incoming(self, data: bytes) -> list[bytes]:
        """The frames that a text message holds, each as a text of its own."""
        book = self.dialect.book
        if self.dialect.incoming is None:
            return [data]
        book.seen += 1
        text = data.decode("utf-8", "replace")
        try:
            given = self.dialect.incoming(text, self.peer)
            book.nothing += given is None
            parts = _listed(given)
            texts = [_encoded(part) for part in parts]
        except (Exception, SystemExit) as error:
            book.fault(f"incoming: {_said(error)}")
            return [data]
        return self._compared(data, text, texts, "dropped" if given is not None else NOTHING)

    def _compared(self, data: bytes, text: str, texts: list[bytes], dropped: str) -> list[bytes]:
        raw = values_in(text)
        frames = [_parsed(part) for part in texts]
        if raw is not None and len(raw) == len(frames) == 1 and not changes(raw[0], frames[0]):
            return [data]  # untouched: judged as it came, its faults included
        if texts and len(texts) == 1 and texts[0] == data:
            return [data]
        broken = _requirements(self.dialect.catalogue, data)
        if not texts:
            kind = frame_type(raw[0]) if raw and len(raw) == 1 else "message"
            self._note_all(kind, dropped, broken, None, text)
        elif raw is None:
            for frame in frames:
                self._note_all(frame_type(frame), "read from another form", broken, frame, text)
        else:
            if len(raw) != 1:
                self._note_all("message", "split into frames", broken, len(frames), text)
            if len(raw) != len(frames):
                what = "made of another number of frames"
                self._note_all("message", what, broken, len(frames), text)
                return texts
            for each, frame in zip(raw, frames, strict=True):
                own = _requirements(self.dialect.catalogue, _encoded(each)) if len(raw) > 1 else broken
                for what in changes(each, frame):
                    self._note_all(frame_type(frame), what, own, frame, each)
        return texts

    def _note_all(
        self, kind: str, what: str, broken: Sequence[str | None], expected: Any, actual: Any
    ) -> None:
        for requirement in broken or (None,):
            self._note("s2c", kind, what, requirement, expected, actual)

    def _note(
        self,
        direction: Direction,
        kind: str,
        what: str,
        requirement: str | None,
        expected: Any,
        actual: Any,
    ) -> None:
        if isinstance(actual, str):
            actual = actual[:_SHOWN]
        recorder = self.recorder
        self.dialect.book.note(
            Divergence(
                direction,
                kind,
                what,
                requirement,
                expected,
                actual,
                recorder.case,
                self.label,
                recorder.transcript.now_ms(),
            )
        )


def on_the_wire(data: bytes) -> str:
    """What a transcript says beside a frame that a dialect has changed."""
    text = data.decode("utf-8", "replace")
    return f"on the wire: {text[:_SHOWN]}{'…' if len(text) > _SHOWN else ''}"


def _listed(given: Any) -> list[Any]:
    parts = list(given) if isinstance(given, (list, tuple)) else [] if given is None else [given]
    if len(parts) > _MOST_FRAMES:
        raise ValueError(f"{len(parts)} frames for one message; {_MOST_FRAMES} is the most")
    for part in parts:
        if not isinstance(part, (dict, str, bytes)):
            raise TypeError(f"gave a {type(part).__name__}; a dict, a text or a list of them is wanted")
    return parts


def _encoded(part: Any) -> bytes:
    if isinstance(part, bytes):
        return part
    if isinstance(part, str):
        return part.encode("utf-8", "surrogatepass")
    return json.dumps(part, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.decode("utf-8", "replace")


def _requirements(catalogue: Catalogue, data: bytes) -> tuple[str | None, ...]:
    """The requirements that a message breaks as it came, before the dialect has touched it."""
    found = (finding.requirement for finding in catalogue.validate(data, "s2c").findings)
    return tuple(dict.fromkeys(name for name in found if name))


def _shown(texts: Sequence[bytes]) -> list[str]:
    return [text[:_SHOWN].decode("utf-8", "replace") for text in texts[:10]]


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"
