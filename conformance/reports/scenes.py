"""Findings beside the frames they are about: transcripts as scenes, cut to what a reader can take in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Any

from relaykit.conformance.results import GATHERED

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that was wrong, with all the requirements that it breaks.

    Attributes:
        number: from 1, within the case.
        findings: the same thing once per requirement.
        line: the line of the transcript that it is about, or after which it showed; None: neither.
        exact: it is about that very frame.
    """

    number: int
    findings: tuple[Data, ...]
    line: int | None = None
    exact: bool = False

    @property
    def first(self) -> Data:
        return self.findings[0]

    @property
    def severe(self) -> bool:
        return any(finding.get("severity", "fail") == "fail" for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a transcript: its number in it (from 1), what passed, and the points about it."""

    number: int
    entry: Data
    points: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True)
class Gap:
    """Lines that are not shown; `kit`: all of them are the suite's own fences."""

    count: int
    kit: bool = False


@dataclass(frozen=True, slots=True)
class Scene:
    """What went over the wire, in the case itself or (for shapes) where a fault was first seen."""

    origin: str
    lines: tuple[Line | Gap, ...]
    total: int


def points(case: Data) -> list[Point]:
    """The findings of a case; those that differ in their requirement only are one point."""
    groups: dict[tuple[str, str, str], list[Data]] = {}
    for finding in case["findings"]:
        key = (finding.get("step", ""), finding["message"], finding.get("actor", ""))
        groups.setdefault(key, []).append(finding)
    return [Point(number, tuple(group)) for number, group in enumerate(groups.values(), 1)]


def located(point: Point, transcript: Sequence[Data]) -> Point:
    """A point with the line that it belongs to."""
    finding = point.first
    actor, actual, moment = finding.get("actor", ""), finding["actual"], finding.get("t_ms")
    own = [(n, entry) for n, entry in enumerate(transcript) if _is(entry["actor"], actor)]
    if actual is not None:
        same = [(n, entry) for n, entry in own if entry["frame"] == actual]
        if same:
            wanted = moment if moment is not None else same[0][1]["t_ms"]
            # What the server sent is more likely meant than the same frame on its way there.
            nearest = min(
                same, key=lambda each: (each[1]["direction"] != "s2c", abs(each[1]["t_ms"] - wanted))
            )
            return replace(point, line=nearest[0], exact=True)
    sent = finding.get("sent")
    if sent is not None:
        # Nothing came, or nothing on the wire: what was sent before is what it is about.
        for n, entry in enumerate(transcript):
            if all(entry[name] == sent[name] for name in ("t_ms", "actor", "direction")):
                return replace(point, line=n)
    if moment is None:
        return point
    before = [n for n, entry in own if entry["t_ms"] <= moment]
    real = [n for n in before if not transcript[n].get("kit")]
    chosen = real or before
    return replace(point, line=chosen[-1]) if chosen else point


def _is(actor: str, named: str) -> bool:
    return not named or actor == named or actor.startswith(f"{named}.")


def scenes(data: Data, case: Data, most: int) -> tuple[list[Point], list[Scene]]:
    """The points of a case, and the scenes in which they can be seen.

    Args:
        most: lines that a scene shows at most; those around points are kept.
    """
    found = points(case)
    transcripts = {each["id"]: each["transcript"] for each in data["cases"]} if _is_shape(case) else {}
    placed: list[Point] = []
    by_origin: dict[str, list[Point]] = {}
    for point in found:
        origin = point.first.get("case", "")
        here = located(point, transcripts.get(origin, ()) if _is_shape(case) else case["transcript"])
        placed.append(here)
        by_origin.setdefault(origin if _is_shape(case) else "", []).append(here)
    made = []
    if not _is_shape(case):
        if case["transcript"]:
            made = [_scene("", case["transcript"], placed, most, around=6)]
    else:
        made = [
            _scene(origin, transcripts[origin], some, min(most, 9), around=3)
            for origin, some in list(by_origin.items())[:5]
            if any(point.line is not None for point in some)
        ]
    return placed, made


def _is_shape(case: Data) -> bool:
    return case.get("kind") in GATHERED


def _scene(origin: str, transcript: Sequence[Data], found: Iterable[Point], most: int, around: int) -> Scene:
    about: dict[int, list[Point]] = {}
    for point in found:
        if point.line is not None:
            about.setdefault(point.line, []).append(point)
    kept = _kept(transcript, sorted(about), most, around)
    lines: list[Line | Gap] = []
    for shown, run in groupby(range(len(transcript)), kept.__contains__):
        if shown:
            lines += [Line(n + 1, transcript[n], tuple(about.get(n, ()))) for n in run]
        else:
            gone = [bool(transcript[n].get("kit")) for n in run]
            lines.append(Gap(len(gone), all(gone)))
    return Scene(origin, tuple(lines), len(transcript))


def _kept(transcript: Sequence[Data], about: Sequence[int], most: int, around: int) -> frozenset[int]:
    """Which lines are shown: those with points, those near them, then what the case is made of."""
    if len(transcript) <= most:
        return frozenset(range(len(transcript)))
    return frozenset(islice(dict.fromkeys(_by_worth(transcript, about, around)), most))


def _by_worth(transcript: Sequence[Data], about: Sequence[int], around: int) -> Iterator[int]:
    total = len(transcript)
    yield from about
    for distance in range(1, around + 1):
        for n in about:
            yield from (m for m in (n - distance, n + distance) if 0 <= m < total)
    # Frames before connections, and both before the suite's own fences; from both ends inwards.
    for worth in range(3):
        same = [n for n, entry in enumerate(transcript) if _worth(entry) == worth]
        for n in range((len(same) + 1) // 2):
            yield from (same[n], same[-1 - n])


def _worth(entry: Data) -> int:
    return 2 if entry.get("kit") else 1 if entry.get("event") else 0
