"""Scenarios as values: what the loader makes of a scenario file, and what the runner walks through.

The grammar is kept small on purpose (`scenario.schema.json` is its definition). Frames inside steps are
templates: references such as `${alice.id}` stand in them until a case runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SINGLE_DEVICE = "device"
"""The name of the device of an actor that lists none."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: for messages, and for whoever wants to open it."""

    path: str
    line: int
    pointer: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Absent:
    """Matches a field that is missing or null (`!absent`)."""


@dataclass(frozen=True, slots=True)
class Match:
    """Matches text that contains the regular expression (`!match`)."""

    pattern: str


@dataclass(frozen=True, slots=True)
class ActorRef:
    """`alice`, `bob.phone` or `bob.*`; `device` is None where the file names none."""

    actor: str
    device: str | None

    @property
    def every(self) -> bool:
        return self.device == "*"

    def __str__(self) -> str:
        return self.actor if self.device is None else f"{self.actor}.{self.device}"


@dataclass(frozen=True, slots=True)
class ActorSpec:
    """A user of a case with its devices; `connect` names those that connect before the first step."""

    name: str
    devices: tuple[str, ...]
    connect: tuple[str, ...]
    legacy: bool


@dataclass(frozen=True, slots=True)
class VarSpec:
    """A variable: its kind (`uuid`, `base64`, …, `value`) and the kind's argument, if it has one."""

    name: str
    kind: str
    argument: Any


@dataclass(frozen=True, slots=True)
class Send:
    place: Place
    who: ActorRef
    frame: Mapping[str, Any] | None
    raw: str | None
    invalid: bool
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Expect:
    place: Place
    who: ActorRef
    frame: Mapping[str, Any]
    req: tuple[str, ...]
    capture: Mapping[str, str]
    within_ms: int | None
    skip: bool


@dataclass(frozen=True, slots=True)
class ExpectClose:
    place: Place
    who: ActorRef
    codes: tuple[int, ...]
    req: tuple[str, ...]
    within_ms: int | None


@dataclass(frozen=True, slots=True)
class Nothing:
    """The `none` step. `everybody` stands for `*` among its actors; `open`: they stay connected, too."""

    place: Place
    whom: tuple[ActorRef, ...]
    everybody: bool
    allow: tuple[Mapping[str, Any], ...]
    req: tuple[str, ...]
    open: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    place: Place
    who: ActorRef
    carrier: str | None
    refused: bool
    req: tuple[str, ...]
    overlap: bool = False
    brief: bool = False


@dataclass(frozen=True, slots=True)
class Drop:
    place: Place
    who: ActorRef
    abort: bool


@dataclass(frozen=True, slots=True)
class Restart:
    """The target ends and is started again; `how`: `kill` or `stop`."""

    place: Place
    how: str


@dataclass(frozen=True, slots=True)
class Control:
    place: Place
    operation: str
    arguments: Mapping[str, Any]
    name: str | None


@dataclass(frozen=True, slots=True)
class Advance:
    place: Place
    seconds: Any


@dataclass(frozen=True, slots=True)
class Unordered:
    place: Place
    expects: tuple[Expect, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    place: Place
    branches: tuple[tuple[Step, ...], ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    place: Place
    n: int
    name: str | None
    steps: tuple[Step, ...]


Simple = Send | Expect | ExpectClose | Nothing | Connect | Drop | Restart | Control | Advance
Step = Simple | Unordered | AnyOf | Repeat


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario, as its file states it.

    `about` holds the ambient types it does not pass over, `moves` the ways of state machines that it goes.
    """

    id: str
    title: str
    area: str
    catches: str
    slow: bool
    destructive: bool
    capabilities: tuple[str, ...]
    without: tuple[str, ...]
    operations: tuple[str, ...]
    about: frozenset[str]
    actors: Mapping[str, ActorSpec]
    vars: Mapping[str, VarSpec]
    steps: tuple[Step, ...]
    place: Place
    requirements: tuple[str, ...] = field(default=())
    moves: tuple[str, ...] = ()


def walk(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Every step, those inside `unordered`, `any_of` and `repeat` included, in the order of the file."""
    for step in steps:
        yield step
        match step:
            case Unordered():
                yield from step.expects
            case AnyOf():
                for branch in step.branches:
                    yield from walk(branch)
            case Repeat():
                yield from walk(step.steps)
            case _:
                pass


def requirements_of(steps: tuple[Step, ...]) -> tuple[str, ...]:
    """The requirements that steps name, each once, in the order of the file."""
    named = (
        requirement
        for step in walk(steps)
        if isinstance(step, (Expect, ExpectClose, Nothing, Connect))
        for requirement in step.req
    )
    return tuple(dict.fromkeys(named))
