"""Judges every frame of the sources, each in the direction it was sent, and counts."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress, repeat
from typing import Any, Literal, NamedTuple

import orjson

from relaykit.errors import KitDefect
from relaykit.schemas import strict_json
from relaykit.schemas.catalogue import Catalogue
from relaykit.schemas.messages import missing
from relaykit.schemas.model import DIRECTIONS, Direction, Engine, Finding
from relaykit.schemas.strict_json import FrameError
from relaykit.schemas.validate import readers
from relaykit.schemas.validate.broken import Broken, look_at
from relaykit.schemas.validate.cutting import too_large
from relaykit.schemas.validate.markdown import Sketch
from relaykit.schemas.validate.sources import Kind, Opened, Source, opened
from relaykit.schemas.wording import shorten

Way = Literal["c2s", "s2c", "auto"]
_RECORD = ("direction", "frame")  # what a line holds that says who sent its frame
# What the server's log says beside the frames: where connections begin and end, and everything with a level.
_LOG_LINES = ({"at", "event"}, {"at", "level", "message"})
_TYPE = operator.itemgetter("type")
_SLICE = 64  # lines looked at together: few enough that their frames stay in a processor's cache
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


class Outcome(NamedTuple):
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
        names = {name for _, name in catalogue.frames}
        self._of_type: dict[str, tuple[Direction, ...]] = {
            name: tuple(way for way in DIRECTIONS if name in catalogue.types(way)) for name in names
        }

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
        deep = frozenset(name for way, name in self._catalogue.frames if self._may_be_deep(way, name))
        counts = self.counts
        before = blank = 0
        for lines in readers.line_blocks(open_.stream):
            self._progress(name, counts.checked, open_.position())
            odd: list[tuple[int, dict[str, Any] | None]] = []
            for start in range(0, len(lines), _SLICE):
                odd += self._odd_ones(lines[start : start + _SLICE], start, usual, deep)
            done = 0
            for place, frame in odd:
                counts.checked += place - done  # those in between are valid
                done = place + 1
                number = before + done
                line = lines[place]
                content = too_large(number) if line is None else line.strip(b" \t\r")
                if content == b"":
                    blank += 1
                    continue
                subject = self._decoded(content) if frame is None else frame
                if isinstance(subject, dict) and any(log_line <= subject.keys() for log_line in _LOG_LINES):
                    counts.skipped["log line"] += 1
                    blank += 1
                    continue
                if frame is None and isinstance(subject, dict) and isinstance(subject.get("type"), str):
                    fits = usual.get(subject["type"])  # such as JSON with blanks in it
                    if fits is not None and fits(subject):
                        counts.checked += 1
                        continue
                outcome = self._check(Place(name, number, number - 1 - blank), subject, None)
                if outcome is not None:
                    yield outcome
            counts.checked += len(lines) - done
            before += len(lines)

    def _odd_ones(
        self,
        lines: Sequence[bytes | None],
        start: int,
        usual: Mapping[str, Callable[[Any], bool]],
        deep: frozenset[str],
    ) -> Iterable[tuple[int, dict[str, Any] | None]]:
        """The lines that are not plainly valid, counted from `start`: with the frame if its JSON is flawless.

        Does what `strict_json.glance` and a check by type do for one frame, with `map` for many: on this way
        nothing of Python's own is run for a valid line. Anything unheard-of sends all of them the slow way.

        Args:
            lines: some lines.
            start: the place of the first.
            usual: type → the check that only a frame without any finding passes.
            deep: types whose valid frames may be nested too deeply; the schemas of all others bound them.
        """

        def too_deep(line: bytes | None) -> bool:
            return line is None or line.count(b"{") + line.count(b"[") > self._catalogue.max_depth

        try:
            frames = list(map(orjson.loads, lines))  # type: ignore[arg-type]  # a None raises
            written = list(map(orjson.dumps, frames, repeat(None), repeat(strict_json.AS_FRAME)))
            flawless = list(map(operator.eq, written, lines))
            if not all(flawless):
                tight = map(strict_json.tightened, lines)  # type: ignore[arg-type]
                flawless = list(map(operator.or_, flawless, map(operator.eq, written, tight)))
            types = list(map(_TYPE, frames))
            if not deep.isdisjoint(types) and any(
                map(too_deep, compress(lines, map(deep.__contains__, types)))
            ):
                raise ValueError
            valid = map(operator.call, map(usual.get, types, repeat(_never)), frames)
            plain = list(map(operator.and_, flawless, valid))
        except (ValueError, TypeError, KeyError):
            return [(start + place, None) for place in range(len(lines))]
        odd = compress(range(len(lines)), map(operator.not_, plain))
        return [
            (start + place, frames[place] if flawless[place] and not too_deep(lines[place]) else None)
            for place in odd
        ]

    def _may_be_deep(self, way: Direction, name: str) -> bool:
        return self._catalogue.deepest(way, name) > self._catalogue.max_depth

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
            outcome = self._check(Place(name, line, index, numbered), subject, way)
            if outcome is not None:
                yield outcome

    def _decoded(self, data: bytes | FrameError | Sketch) -> dict[str, Any] | Broken | Sketch:
        if isinstance(data, Sketch):
            return data
        if isinstance(data, FrameError):
            return Broken(data)
        try:
            return self._catalogue.decode(data)
        except FrameError as error:
            return look_at(self._catalogue, data, error, _RECORD)

    def _usual(self) -> Mapping[tuple[Direction | None, str], Callable[[Any], bool]]:
        """(recorded direction, type) → the quick check that only a frame without any finding passes."""
        if self._options.engine != "jsonschema-rs" or self._options.all:
            return {}
        checks: dict[tuple[Direction | None, str], Callable[[Any], bool]] = {}
        for direction, name in self._catalogue.frames:
            checks[direction, name] = self._catalogue.quick_check(name, direction)
        for name, known in self._of_type.items():
            ways = [way for way in self._ways(None, name) if way in known]
            if ways:
                checks[None, name] = self._catalogue.quick_check(name, *ways)
        return checks

    def _ways(self, way: Direction | None, kind: object) -> tuple[Direction, ...]:
        """The directions that a frame may have: as recorded, as told, or those its type has."""
        if way is not None:
            return (way,)
        if self._options.direction != "auto":
            return (self._options.direction,)
        return self._of_type.get(kind, ()) if isinstance(kind, str) else ()

    def _check(
        self, place: Place, subject: dict[str, Any] | Broken | Sketch, way: Direction | None
    ) -> Outcome | None:
        """Judge one frame, or what stands in its place; count it; give it if it is worth a report."""
        if isinstance(subject, Sketch):
            self.counts.sketches += 1
            note = Finding("note", "", "sketch", f"not a frame: {subject.why}")
            return Outcome(place, subject.type, None, None, (note,))
        if isinstance(subject, dict) and "type" not in subject and any(name in subject for name in _RECORD):
            outcome = self._judge_recorded(place, subject)
        else:
            outcome = self._judge(place, subject, way)
        counts = self.counts
        counts.checked += 1
        counts.invalid += not outcome.valid
        counts.warnings += bool(outcome.valid and outcome.findings)
        return outcome if outcome.findings or self._options.all else None

    def _judge_recorded(self, place: Place, record: dict[str, Any]) -> Outcome:
        """A frame recorded with its direction: `{"direction": …, "frame": …}`; raw text is a string."""
        lacking = [name for name in _RECORD if name not in record]
        if lacking:
            text = f'{missing(lacking[0])}: a recorded frame is {{"direction": …, "frame": …}}'
            finding = Finding("error", "", "required", text)
            return Outcome(place, None, None, False, (finding,))
        way, frame = record["direction"], record["frame"]
        if way not in DIRECTIONS:
            text = f"must be {' or '.join(map(shorten, DIRECTIONS))}"
            finding = Finding("error", "/direction", "enum", text, None, shorten(way))
            return Outcome(place, None, None, False, (finding,))
        try:
            if isinstance(frame, str):
                frame = self._catalogue.decode(frame)
            elif not isinstance(frame, dict):
                raise strict_json.no_object(frame)
        except FrameError as error:
            data = frame.encode(errors="surrogatepass") if isinstance(frame, str) else b""
            return self._judge(place, look_at(self._catalogue, data, error, _RECORD), way)
        return self._judge(place, frame, way)

    def _judge(self, place: Place, subject: dict[str, Any] | Broken, way: Direction | None) -> Outcome:
        if isinstance(subject, Broken):
            ways = self._ways(subject.direction or way, subject.type)
            direction = ways[0] if len(ways) == 1 else None
            finding = self._catalogue.fault(subject.error, direction)
            return Outcome(place, self._named(subject.type), direction, False, (finding,))
        name = subject.get("type")
        ways = self._ways(way, name)
        said = self._named(name)
        if not ways:
            finding = self._catalogue.type_fault(subject, None)
            return Outcome(place, said, None, False, (finding,))
        engine, strict = self._options.engine, self._options.strict
        try:
            best = self._catalogue.judge_nearest(subject, ways, engine=engine, strict=strict)
        except KitDefect as error:
            raise KitDefect(f"{place.source}:{place.line}: {error}", hint=error.hint) from None
        return Outcome(place, said, best.direction, best.valid, best.findings)

    def _named(self, kind: object) -> str | None:
        """A type as reports show it."""
        if not isinstance(kind, str):
            return None
        return kind if kind in self._of_type else shorten(kind)[1:-1]


def _never(_frame: Any) -> bool:
    return False


_NOTHING: dict[Kind, str] = {
    "empty": "it is empty",
    "har": "no WebSocket messages in it",
    "markdown": "no fenced json block in it",
}
