"""What a message, a call and a device go through, as data: `states.yaml`, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from relaykit.config import Document, load_yaml, require_valid, suggest
from relaykit.errors import UsageError
from relaykit.schemas.catalogue import Catalogue
from relaykit.schemas.loading import HERE, shape


@dataclass(frozen=True, slots=True)
class State:
    """A state; `kind` is `start`, `end` or empty."""

    name: str
    title: str
    kind: str


@dataclass(frozen=True, slots=True)
class Way:
    """One event that brings a move about. Cases of the suite name it by its `id`."""

    id: str
    by: str
    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """From one state to another, or to itself: one arrow of a diagram, by one or several ways."""

    start: str
    end: str
    label: str
    words: str
    frames: tuple[str, ...]
    ways: tuple[Way, ...]

    @property
    def requirements(self) -> tuple[str, ...]:
        """Those of all its ways, each once."""
        return tuple(dict.fromkeys(name for way in self.ways for name in way.requirements))


@dataclass(frozen=True, slots=True)
class Machine:
    """All states of one thing, and the moves between them."""

    id: str
    title: str
    description: str
    states: Mapping[str, State]
    moves: tuple[Move, ...]


def state_machines(catalogue: Catalogue, root: Path = HERE) -> tuple[Machine, ...]:
    """The state machines of a catalogue's folder.

    Raises:
        UsageError: the file is malformed, or names a state, frame or requirement that does not exist, or the
            same way twice.
    """
    document = load_yaml(root / "states.yaml")
    require_valid(document, shape("states.schema.json"))
    machines = tuple(_machine(entry) for entry in document.data)
    seen: set[str] = set()
    for index, machine in enumerate(machines):
        for number, move in enumerate(machine.moves):
            _check(document, f"/{index}/moves/{number}", machine, move, catalogue, seen)
    return machines


def _machine(entry: Mapping[str, Any]) -> Machine:
    states = {
        name: State(name, state["title"], state.get("kind", "")) for name, state in entry["states"].items()
    }
    moves = tuple(
        Move(
            move["from"],
            move["to"],
            move["label"],
            move["words"],
            tuple(move.get("frames", ())),
            tuple(Way(id_, way["by"], tuple(way["requirements"])) for id_, way in move["ways"].items()),
        )
        for move in entry["moves"]
    )
    return Machine(entry["id"], entry["title"], entry["description"], MappingProxyType(states), moves)


def _check(
    document: Document, pointer: str, machine: Machine, move: Move, catalogue: Catalogue, seen: set[str]
) -> None:
    place = document.place(pointer)
    types = catalogue.types("c2s") | catalogue.types("s2c")
    for what, names, known in (
        ("state", (move.start, move.end), machine.states),
        ("frame", move.frames, types),
        ("requirement", move.requirements, catalogue.requirements),
    ):
        for name in names:
            if name not in known:
                raise UsageError(f"{place}: there is no {what} {name!r}{suggest(name, known)}")
    for way in move.ways:
        if way.id in seen:
            raise UsageError(f"{place}: there are two ways {way.id!r}")
        seen.add(way.id)
