"""Judges every frame of the sources, each in the direction it was sent, and counts."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import Any, Literal

import orjson

from relaykit.errors import KitDefect
from relaykit.schemas import strict_json
from relaykit.schemas.catalogue import Catalogue
from relaykit.schemas.model import DIRECTIONS, Direction, Engine, Finding, Validation
from relaykit.schemas.strict_json import FrameError, kind_of, shorten
from relaykit.schemas.validate import readers
from relaykit.schemas.validate.cutting import too_large
from relaykit.schemas.validate.markdown import Sketch
from relaykit.schemas.validate.sources import Kind, Opened, Source, opened

Way = Literal["c2s", "s2c", "auto"]
_TYPE = operator.methodcaller("get", "type")
_WRITE = partial(orjson.dumps, option=strict_json.AS_FRAME)
_TICK = 256  # frames between two looks at the clock of the progress display


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame stands.

    Attributes:
        source: the file.
        line: the line it begins on, from 1.
        index: its place among the frames of the file, from 0.
        numbered: whether the index tells a reader more than the line does (arrays, HAR).
    """

    source: str
    line: int
    index: int
    numbered: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one frame.

    Attributes:
        type: what it says its type is, if that is a string.
        direction: what it was judged for; None if neither the file nor its type says.
        valid: None for a sketch, which is no frame and is not counted as one.
    """

    place: Place
    type: str | None
    direction: Direction | None
    valid: bool | None
    findings: tuple[Finding, ...] = ()


@dataclass(slots=True)
class Counts:
    """What has been checked so far. `warnings` counts valid frames that have warnings."""

    checked: int = 0
    invalid: int = 0
    warnings: int = 0
    sketches: int = 0
    sources: int = 0
    unreadable: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    @property
    def valid(self) -> int:
        """Frames without an error."""
        return self.checked - self.invalid


@dataclass(frozen=True, slots=True)
class Options:
    """How to check; see `relaykit validate --help`."""

    direction: Way = "auto"
    engine: Engine = "jsonschema-rs"
    strict: bool = False
    all: bool = False
    fail_fast: bool = False
    kind: Kind | None = None


Progress = Callable[[str, int, int], None]
"""Told now and then: the source, frames checked in all, bytes read of the source."""


class Checker:
    """Checks sources one after the other; `counts` says how far it has come.

    Args:
        catalogue: the frames.
        options: how to check.
        warn: told of files that cannot be read and of files without frames.
        progress: told now and then how far it is.
    """

    def __init__(
        self, catalogue: Catalogue, options: Options, warn: Callable[[str], None], progress: Progress
    ) -> None:
        self.counts = Counts()
        self._catalogue = catalogue
        self._options = options
        self._warn = warn
        self._progress = progress

    def run(self, sources: Iterable[Source]) -> Iterator[Outcome]:
        """Everything worth a report: invalid frames, those with warnings, sketches; with `all`, every frame.

        Raises:
            KitDefect: with engine `both`, if the validators disagree on a frame.
        """
        counts = self.counts
        for source in sources:
            counts.sources += 1
            before = counts.checked + counts.sketches
            try:
                with opened(source, self._options.kind) as open_:
                    read = self._lines if open_.kind == "ndjson" else self._frames
                    for outcome in read(source.name, open_):
                        yield outcome
                        if self._options.fail_fast and outcome.valid is False:
                            return
            except OSError as error:
                if isinstance(error, BrokenPipeError):  # whoever reads the report went away
                    raise
                counts.unreadable += 1
                self._warn(f"{source.name}: cannot be read: {error.strerror or error}")
                continue
            if counts.checked + counts.sketches == before:
                self._warn(f"{source.name}: {_NOTHING.get(open_.kind, 'no frame in it')}")

    def _lines(self, name: str, open_: Opened) -> Iterator[Outcome]:
        """NDJSON: each line on its own, so that a broken one spoils nothing else.

        Recordings are long and mostly valid, so a block of lines is first looked at as a whole.
        """
        usual = {name: fits for (way, name), fits in self._usual().items() if way is None}
        number = index = 0
        for lines in readers.line_blocks(open_.stream):
            self._progress(name, self.counts.checked, open_.position())
            for line, is_plain in zip(lines, self._plainly_valid(lines, usual), strict=True):
                number += 1
                if is_plain:
                    self.counts.checked += 1
                elif line is None:
                    yield from self._check(Place(name, number, index), too_large(number), None)
                elif content := line.strip(b" \t\r"):
                    yield from self._check(Place(name, number, index), self._decoded(content), None)
                else:
                    continue
                index += 1

    def _plainly_valid(
        self, lines: Sequence[bytes | None], usual: Mapping[str, Callable[[Any], bool]]
    ) -> Iterable[bool]:
        """Per line, whether it is a valid frame without any finding; what is not takes the slow way.

        Does what `strict_json.glance` and a check by type do for one frame, with `map` for all of a block: on
        this way nothing of Python's own is run per line. Any oddity in a block sends all of it the slow way.
        """
        try:
            frames = list(map(orjson.loads, lines))  # type: ignore[arg-type]  # a None raises
            opening = map(bytes.count, lines, repeat(b"{")), map(bytes.count, lines, repeat(b"["))  # type: ignore[arg-type]
            if max(map(operator.add, *opening), default=0) > self._catalogue.max_depth:
                return repeat(False, len(lines))
            same = map(operator.eq, map(_WRITE, frames), lines)
            checks = map(usual.get, map(_TYPE, frames), repeat(_never))
            return list(map(operator.and_, same, map(operator.call, checks, frames)))
        except (ValueError, TypeError, AttributeError):
            return repeat(False, len(lines))

    def _frames(self, name: str, open_: Opened) -> Iterator[Outcome]:
        """Every other kind of file."""
        usual = self._usual()
        numbered = open_.kind in ("json", "har")
        for index, (data, line, way) in enumerate(readers.items(open_, self._catalogue, self.counts.skipped)):
            if not index % _TICK:
                self._progress(name, self.counts.checked, open_.position())
            subject = self._decoded(data)
            if isinstance(subject, dict) and isinstance(kind := subject.get("type"), str):
                fits = usual.get((way, kind))
                if fits is not None and fits(subject):
                    self.counts.checked += 1
                    continue
            yield from self._check(Place(name, line, index, numbered), subject, way)

    def _decoded(self, data: bytes | FrameError | Sketch) -> dict[str, Any] | FrameError | Sketch:
        if not isinstance(data, bytes):
            return data
        try:
            return self._catalogue.decode(data)
        except FrameError as error:
            return error

    def _usual(self) -> Mapping[tuple[Direction | None, str], Callable[[Any], bool]]:
        """(recorded direction, type) → the quick check that only a frame without any finding passes."""
        if self._options.engine != "jsonschema-rs" or self._options.all:
            return {}
        checks: dict[tuple[Direction | None, str], Callable[[Any], bool]] = {}
        for direction, name in self._catalogue.frames:
            checks[direction, name] = self._catalogue.quick_check(direction, name)
        for name in {name for _, name in checks}:
            quick = [checks[way, name] for way in self._ways(None, name) if (way, name) in checks]
            if quick:
                checks[None, name] = quick[0] if len(quick) == 1 else _either(quick[0], quick[1])
        return checks

    def _ways(self, way: Direction | None, kind: object) -> tuple[Direction, ...]:
        """The directions that a frame may have: as recorded, as told, or those its type has."""
        if way is not None:
            return (way,)
        if self._options.direction != "auto":
            return (self._options.direction,)
        return tuple(d for d in DIRECTIONS if isinstance(kind, str) and kind in self._catalogue.types(d))

    def _check(
        self, place: Place, subject: dict[str, Any] | FrameError | Sketch, way: Direction | None
    ) -> Iterator[Outcome]:
        """Judge one frame, or what stands in its place; count it; give it if it is worth a report."""
        if isinstance(subject, Sketch):
            self.counts.sketches += 1
            note = Finding("note", "", "sketch", f"not a frame: {subject.why}")
            yield Outcome(place, subject.type, None, None, (note,))
            return
        if isinstance(subject, dict) and "type" not in subject and {"direction", "frame"} <= subject.keys():
            outcome = self._judge_recorded(place, subject)
        else:
            outcome = self._judge(place, subject, way)
        counts = self.counts
        counts.checked += 1
        counts.invalid += not outcome.valid
        counts.warnings += bool(outcome.valid and outcome.findings)
        if outcome.findings or self._options.all:
            yield outcome

    def _judge_recorded(self, place: Place, record: dict[str, Any]) -> Outcome:
        """A frame recorded with its direction: `{"direction": …, "frame": …}`; raw text is a string."""
        way, frame = record["direction"], record["frame"]
        if way not in DIRECTIONS:
            text = f"must be {' or '.join(map(shorten, DIRECTIONS))}"
            finding = Finding("error", "/direction", "enum", text, None, shorten(way))
            return Outcome(place, None, None, False, (finding,))
        try:
            if isinstance(frame, str):
                frame = self._catalogue.decode(frame)
            elif not isinstance(frame, dict):
                raise FrameError("object", f"a frame is a JSON object, not {kind_of(frame)}")
        except FrameError as error:
            return self._judge(place, error, way)
        return self._judge(place, frame, way)

    def _judge(self, place: Place, subject: dict[str, Any] | FrameError, way: Direction | None) -> Outcome:
        if isinstance(subject, FrameError):
            direction = way or (None if self._options.direction == "auto" else self._options.direction)
            return Outcome(place, None, direction, False, (self._catalogue.fault(subject, direction),))
        name = subject.get("type")
        said = shorten(name)[1:-1] if isinstance(name, str) else None
        ways = self._ways(way, name)
        if not ways:
            finding = self._catalogue.type_fault(subject, None)
            return Outcome(place, said, None, False, (finding,))
        engine, strict = self._options.engine, self._options.strict
        try:
            verdicts = [self._catalogue.judge(subject, d, engine=engine, strict=strict) for d in ways]
        except KitDefect as error:
            raise KitDefect(f"{place.source}:{place.line}: {error}", hint=error.hint) from None
        best = min(verdicts, key=_badness) if len(verdicts) > 1 else verdicts[0]
        return Outcome(place, said, best.direction, best.valid, best.findings)


def _never(_frame: Any) -> bool:
    return False


def _either(one: Callable[[Any], bool], other: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda frame: one(frame) or other(frame)


def _badness(verdict: Validation) -> tuple[int, int]:
    """Errors first, then warnings: of two directions a frame may have, the one it fits better."""
    return sum(f.severity == "error" for f in verdict.findings), len(verdict.findings)


_NOTHING: dict[Kind, str] = {
    "empty": "it is empty",
    "har": "no WebSocket messages in it",
    "markdown": "no fenced json block in it",
}
