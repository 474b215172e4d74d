"""Diagrams as data: sequences of frames between lifelines, and states with the moves between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arrow:
    """A frame, a connection or its end, between a device and the server (lifelines by index)."""

    start: int
    end: int
    label: str
    detail: str
    tone: str
    words: str
    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Words over lifelines: an operation of the control interface, a moved clock, silence."""

    over: tuple[int, ...]
    label: str
    tone: str
    words: str
    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """A frame around rows: alternatives, any order, repetition. `sections` are the alternatives."""

    label: str
    sections: tuple[tuple[Row, ...], ...]


Row = Arrow | Note | Box


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence diagram. `server` is the index of the server's lifeline."""

    id: str
    title: str
    target: str
    lifelines: tuple[str, ...]
    server: int
    rows: tuple[Row, ...]


def sentences(rows: tuple[Row, ...], depth: int = 0) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """The diagram in words: depth, a sentence, and the requirements it proves."""
    for row in rows:
        if isinstance(row, Box):
            for place, section in enumerate(row.sections):
                yield depth, f"{row.label}:" if place == 0 else "or:", ()
                yield from sentences(section, depth + 1)
        else:
            yield depth, row.words, row.requirements


@dataclass(frozen=True, slots=True)
class State:
    name: str
    title: str
    column: int
    row: int
    kind: str


@dataclass(frozen=True, slots=True)
class Transition:
    """An arrow between states. `frame` is the type that brings it about, if one does."""

    start: str
    end: str
    label: str
    words: str
    bend: float
    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StateDiagram:
    id: str
    title: str
    description: str
    states: tuple[State, ...]
    transitions: tuple[Transition, ...]
