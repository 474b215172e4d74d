"""What the cases cover, before any of them runs: requirements, frames, error codes, transitions.

It reads what cases declare: the requirements that their steps name, the frames that they send and expect, and
the ways of the protocol's state machines that they go. What a run then showed is in its report.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from relaykit.config import suggest
from relaykit.conformance.codes import code_of
from relaykit.conformance.grammar import Expect, Send, walk
from relaykit.conformance.judge import JUDGE_ALL, shape_cases
from relaykit.conformance.record import ShapeBook
from relaykit.conformance.results import Case
from relaykit.errors import UsageError
from relaykit.schemas import DIRECTIONS, Catalogue, state_machines

_WIDTH = 110


@dataclass(frozen=True, slots=True)
class RequirementRow:
    """A requirement, the cases that prove it, and why there is none, if there is a reason."""

    id: str
    area: str
    level: str
    provenance: str
    cases: tuple[str, ...]
    untested: str | None


@dataclass(frozen=True, slots=True)
class FrameRow:
    """A type in one direction, and the cases that send it (`c2s`) or expect it (`s2c`)."""

    type: str
    direction: str
    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """An error code, and the cases that expect it."""

    code: str
    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TransitionRow:
    """One way from a state to another, and the cases that go it."""

    machine: str
    start: str
    end: str
    way: str
    by: str
    requirements: tuple[str, ...]
    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """The four tables."""

    requirements: tuple[RequirementRow, ...]
    frames: tuple[FrameRow, ...]
    error_codes: tuple[ErrorRow, ...]
    transitions: tuple[TransitionRow, ...]

    def open(self) -> Iterator[str]:
        """What no case covers and nothing excuses, each in a line."""
        for row in self.requirements:
            if not row.cases and not row.untested:
                yield f"no case proves {row.id}, and it has no `untested: reason`"
        for frame in self.frames:
            if not frame.cases:
                verb = "sends" if frame.direction == "c2s" else "expects"
                yield f"no case {verb} the {frame.direction} frame {frame.type!r}"
        for code in self.error_codes:
            if not code.cases:
                yield f"no case expects the error {code.code!r}"
        for step in self.transitions:
            if not step.cases:
                yield f"no case goes the way {step.way!r} ({step.machine}: {step.start} → {step.end})"


def coverage(catalogue: Catalogue, cases: Sequence[Case]) -> Coverage:
    """What these cases cover. The cases that stand for the shape of frames belong to every run."""
    shapes = _shapes(catalogue)
    proving = _index((case.id, case.requirements) for case in (*cases, *shapes))
    framing = _index((case.id, _frames(catalogue, case)) for case in cases)
    erring = _index((case.id, _codes(catalogue, case)) for case in cases)
    going = _index((case.id, case.moves) for case in cases)
    return Coverage(
        tuple(
            RequirementRow(
                known.id, known.area, known.level, known.provenance, proving.get(known.id, ()), known.untested
            )
            for known in catalogue.requirements.values()
        ),
        tuple(
            FrameRow(kind, direction, framing.get((direction, kind), ()))
            for direction in DIRECTIONS
            for kind in sorted(catalogue.types(direction))
        ),
        tuple(ErrorRow(code, erring.get(code, ())) for code in catalogue.protocol.error_codes),
        tuple(
            TransitionRow(
                machine.id, move.start, move.end, way.id, way.by, way.requirements, going.get(way.id, ())
            )
            for machine in state_machines(catalogue)
            for move in machine.moves
            for way in move.ways
        ),
    )


def check_moves(catalogue: Catalogue, cases: Iterable[Case]) -> None:
    """See that the ways that cases say they go exist, and that they prove what asks for them.

    Raises:
        UsageError: one does not.
    """
    going = [case for case in cases if case.moves]
    if not going:
        return
    machines = state_machines(catalogue)
    ways = {way.id: way for machine in machines for move in machine.moves for way in move.ways}
    for case in going:
        for name in case.moves:
            if name not in ways:
                raise UsageError(f"{case.source}: {case.id}: there is no way {name!r}{suggest(name, ways)}")
            if not set(ways[name].requirements) & set(case.requirements):
                wanted = " or ".join(ways[name].requirements)
                raise UsageError(
                    f"{case.source}: {case.id} says that it goes {name!r}, but does not prove {wanted}"
                )


def _shapes(catalogue: Catalogue) -> tuple[Case, ...]:
    """The cases about shapes that a run has in which every type arrives."""
    book = ShapeBook(arrived=dict.fromkeys(catalogue.types("s2c"), 1))
    return tuple(result.case for result in shape_cases(catalogue, book, JUDGE_ALL))


def _index(pairs: Iterable[tuple[str, Iterable[Any]]]) -> Mapping[Any, tuple[str, ...]]:
    found: dict[Any, dict[str, None]] = {}
    for id_, keys in pairs:
        for key in keys:
            found.setdefault(key, {})[id_] = None
    return {key: tuple(ids) for key, ids in found.items()}


def _frames(catalogue: Catalogue, case: Case) -> Iterator[tuple[str, str]]:
    """(direction, type) of what a case sends and expects; a probe says its types without a direction, and a
    derived case those that it sends."""
    if case.scenario is None:
        ways = DIRECTIONS[:1] if case.kind == "derived" else DIRECTIONS
        yield from ((way, kind) for way in ways for kind in case.frames & catalogue.types(way))
        return
    for step in walk(case.scenario.steps):
        if isinstance(step, (Send, Expect)) and step.frame is not None:
            direction, kind = "c2s" if isinstance(step, Send) else "s2c", step.frame.get("type")
            if isinstance(kind, str) and (direction, kind) in catalogue.frames:
                yield direction, kind


def _codes(catalogue: Catalogue, case: Case) -> Iterator[str]:
    """Error codes that a scenario expects by name, or that a probe's requirements are about."""
    if case.scenario is None:
        if "error" in case.frames or case.kind == "probe":
            for name in case.requirements:
                yield from catalogue.requirements[name].error_codes
        return
    for step in walk(case.scenario.steps):
        if isinstance(step, Expect) and (code := code_of(step.frame)) is not None:
            yield code


def as_json(catalogue: Catalogue, found: Coverage) -> dict[str, Any]:
    """The tables as plain data; its keys are stable."""
    return {
        "protocol": {"name": catalogue.protocol.name, "version": catalogue.protocol.version},
        **asdict(found),
        "open": list(found.open()),
    }


def as_text(catalogue: Catalogue, found: Coverage) -> str:
    """The tables for a terminal, and in the end what is open."""
    lines: list[str] = []
    for area in catalogue.protocol.areas:
        lines += ["", f"requirements: {catalogue.protocol.areas[area].title}"]
        for row in found.requirements:
            if row.area == area:
                reason = f"untested: {row.untested}" if row.untested else ""
                lines += _row(f"{row.id:<9} {row.level}", 20, row.cases, reason)
    for direction, said in (
        ("c2s", "frames from a client: sent by"),
        ("s2c", "frames from the server: expected by"),
    ):
        lines += ["", said]
        for frame in found.frames:
            if frame.direction == direction:
                lines += _row(frame.type, 24, frame.cases)
    lines += ["", "error codes: what the cases are about"]
    for code in found.error_codes:
        lines += _row(code.code, 24, code.cases)
    for machine in dict.fromkeys(row.machine for row in found.transitions):
        lines += ["", f"transitions of a {machine}: gone by"]
        for step in found.transitions:
            if step.machine == machine:
                lines += _row(f"{step.start} → {step.end}: {step.by}", 66, step.cases)
    return "\n".join([*lines[1:], "", *_summary(found)])


def _row(head: str, width: int, cases: Sequence[str], otherwise: str = "") -> list[str]:
    said = ", ".join(cases) or otherwise or "NOTHING"
    first = f"  {head:<{width}} {len(cases):>3}  "
    return textwrap.wrap(
        said, _WIDTH, initial_indent=first, subsequent_indent=" " * (width + 8), break_on_hyphens=False
    )


def _summary(found: Coverage) -> Iterator[str]:
    proved = sum(bool(row.cases) for row in found.requirements)
    excused = sum(not row.cases and bool(row.untested) for row in found.requirements)
    yield (
        f"{proved} of {len(found.requirements)} requirements are proved by a case, "
        f"{excused} say why none can; {_covered(found.frames)} frames, "
        f"{_covered(found.error_codes)} error codes, {_covered(found.transitions)} transitions are covered"
    )
    yield from found.open()


def _covered(rows: Sequence[FrameRow | ErrorRow | TransitionRow]) -> str:
    return f"{sum(bool(row.cases) for row in rows)} of {len(rows)}"
