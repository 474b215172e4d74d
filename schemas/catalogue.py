"""The catalogue: every frame of the protocol, looked up by direction and type, and the judge of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

from relaykit.config import suggest
from relaykit.errors import UsageError
from relaykit.schemas import loading, strict_json
from relaykit.schemas.model import (
    DIRECTIONS,
    Direction,
    Engine,
    Finding,
    FrameSpec,
    Protocol,
    Requirement,
    Validation,
    Vector,
)
from relaykit.schemas.strict_json import FrameError
from relaykit.schemas.validation import Judge, quick_check, type_finding


class UnknownType(UsageError, KeyError):
    """There is no frame of this type in this direction."""

    def __str__(self) -> str:  # KeyError's would put the message in quotes
        return str(self.args[0])


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Everything the schema files say, unchanging. Made by `load_catalogue`.

    Attributes:
        protocol: limits, codes, capabilities and the like.
        frames: (direction, type) → the frame.
        root: the folder it was read from.
        digest: SHA-256 over all its files; changes when any of them does.
        max_depth: levels of objects and arrays that a frame may have.
    """

    protocol: Protocol
    frames: Mapping[tuple[Direction, str], FrameSpec]
    root: Path
    digest: str
    max_depth: int
    _types: Mapping[Direction, frozenset[str]] = field(repr=False)
    _judges: Mapping[tuple[Direction, str], Judge] = field(repr=False)

    @cached_property
    def requirements(self) -> Mapping[str, Requirement]:
        """ID → requirement. Read when first asked for: judging frames does without.

        Raises:
            UsageError: a broken file, with its place.
        """
        return loading.read_requirements(self.root, self.protocol)

    def types(self, direction: Direction) -> frozenset[str]:
        """The types that exist in a direction."""
        return self._types[direction]

    def frame(self, direction: Direction, type: str) -> FrameSpec:
        """The frame of a type in a direction.

        Raises:
            UnknownType: there is none; a KeyError.
        """
        try:
            return self.frames[direction, type]
        except KeyError:
            near = suggest(type, self._types[direction])
            raise UnknownType(f"there is no {direction} frame of type {type!r}{near}") from None

    def decode(self, data: bytes | str, *, wary: bool = False) -> dict[str, Any]:
        """Parse one frame as strict JSON, without looking at its schema.

        Args:
            wary: whether to look before parsing, at some cost, for what would lose memory; see `leaky`.

        Raises:
            FrameError: with a reason: `utf8`, `bom`, `json`, `duplicate-key`, `nan`, `surrogate`, `depth`,
                `integer` or `object`.
        """
        return strict_json.decode(data, max_depth=self.max_depth, wary=wary)

    def validate(
        self,
        data: bytes | str | Mapping[str, Any] | Any,
        direction: Direction,
        *,
        engine: Engine = "jsonschema-rs",
        strict: bool = False,
    ) -> Validation:
        """Judge one frame by the schema of its own type.

        Args:
            data: the frame as bytes or text of the wire, or parsed.
            direction: who sends it.
            engine: which validator judges.
            strict: an undocumented property of an s2c frame is an error rather than a warning.

        Raises:
            KitDefect: with engine `both`, if the validators disagree.
        """
        try:
            if isinstance(data, (bytes, str)):
                frame = self.decode(data)
            else:
                frame = strict_json.plain(data, max_depth=self.max_depth)
                if type(frame) is not dict:
                    raise strict_json.no_object(frame)
        except FrameError as error:
            return Validation(None, direction, None, (self.fault(error, direction),))
        return self.judge(frame, direction, engine=engine, strict=strict)

    def judge(
        self,
        frame: dict[str, Any],
        direction: Direction,
        *,
        engine: Engine = "jsonschema-rs",
        strict: bool = False,
        most: int | None = None,
    ) -> Validation:
        """Judge a frame that `decode` gave; see `validate`. Nothing that JSON cannot say is looked for
        again.

        Args:
            most: about how many faults to look into, for those who tell the first few only: a frame may have
                tens of thousands. (jsonschema-rs alone.)
        """
        name = frame.get("type")
        judge = self._judges.get((direction, name)) if type(name) is str else None
        if judge is None:
            return Validation(None, direction, frame, (self.type_fault(frame, direction),))
        if engine == "jsonschema-rs" and judge.is_valid(frame):
            return Validation(name, direction, frame)
        faults = judge.faults(frame, engine, most)
        return Validation(name, direction, frame, judge.explain(faults, frame, engine, strict, most))

    def judge_nearest(
        self,
        frame: dict[str, Any],
        directions: Sequence[Direction],
        *,
        engine: Engine = "jsonschema-rs",
        strict: bool = False,
    ) -> Validation:
        """Judge a frame by the one of some directions that it fits best.

        With engine `both` the validators must agree in every direction.
        """
        name: Any = frame.get("type")
        known = [way for way in directions if isinstance(name, str) and name in self._types[way]]
        if engine == "both" or not known:
            verdicts = [self.judge(frame, way, engine=engine, strict=strict) for way in known or directions]
            return min(verdicts, key=lambda verdict: sum(f.severity == "error" for f in verdict.findings))
        judges = [(way, self._judges[way, name]) for way in known]
        found = [(way, judge, judge.faults(frame, engine)) for way, judge in judges]
        way, judge, faults = min(found, key=lambda one: (one[1].weight(one[2], frame, strict), len(one[2])))
        findings = judge.explain(faults, frame, engine, strict) if faults else ()
        return Validation(name, way, frame, findings)

    def is_valid(self, frame: dict[str, Any], direction: Direction) -> bool:
        """Whether a frame that `decode` gave is valid: `judge(…).valid`, faster."""
        name = frame.get("type")
        judge = self._judges.get((direction, name)) if type(name) is str else None
        if judge is None:
            return False
        try:
            valid = judge.is_valid(frame)
        except ValueError:  # no plain JSON: half of a surrogate pair, a subclass of list
            return self.validate(frame, direction).valid
        return valid or (direction == "s2c" and self.validate(frame, direction).valid)

    def deepest(self, direction: Direction, type: str) -> float:
        """How many levels of objects and arrays a frame of a type can have that has no finding at all."""
        self.frame(direction, type)
        return self._judges[direction, type].deepest

    def quick_check(self, type: str, *directions: Direction) -> Callable[[Any], bool]:
        """The bare check of a type: whether a frame that `decode` gave has no finding at all in one of some
        directions, each of which has the type."""
        if len(directions) == 1:
            self.frame(directions[0], type)
            return self._judges[directions[0], type].is_valid
        return quick_check([self.frame(way, type).bundled for way in directions])

    def type_fault(self, frame: Mapping[str, Any], direction: Direction | None) -> Finding:
        """Why no schema can be chosen for a frame; direction None: neither direction has its type."""
        return type_finding(frame, direction, self._types, self.protocol)

    def fault(self, error: FrameError, direction: Direction | None) -> Finding:
        """A fault of strict JSON as a finding, with the requirement it breaks if the direction is known."""
        rule = self.protocol.faults[direction].get(error.reason) if direction else None
        return Finding("error", error.pointer, error.reason, str(error), rule)

    def vectors(self) -> Iterator[Vector]:
        """Frames known to be valid or invalid, read from the files one by one.

        Raises:
            UsageError: a broken file, with its place.
        """
        return loading.read_vectors(self.root)


def load_catalogue(path: Path | None = None) -> Catalogue:
    """Load a catalogue.

    Args:
        path: a folder laid out like `schemas/`; None for the installed one, which is read once per process.

    Raises:
        UsageError: a broken file, with its place.
    """
    return _installed() if path is None else _load(Path(path))


@cache
def _installed() -> Catalogue:
    return _load(loading.HERE)


def _load(root: Path) -> Catalogue:
    protocol = loading.read_protocol(root)
    frames = loading.read_frames(root, protocol)
    return Catalogue(
        protocol=protocol,
        frames=frames,
        root=root,
        digest=loading.digest(root),
        max_depth=int(protocol.limits["max_depth"].default)
        if "max_depth" in protocol.limits
        else strict_json.MAX_DEPTH,
        _types=MappingProxyType({d: frozenset(name for way, name in frames if way == d) for d in DIRECTIONS}),
        _judges=MappingProxyType({key: Judge(spec, protocol.faults[key[0]]) for key, spec in frames.items()}),
    )
