"""Cases of a report that are not run: what was seen while others ran is gathered in them.

Whoever meets such an ID in a report may explain it, list it, expect its failure, and run what can show it.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relaykit.conformance.results import Case, Kind
from relaykit.schemas import Catalogue

SHAPE_PREFIX = "shape-"
"""IDs of the cases that stand for the shape of all arriving frames of a type begin so."""
DIALECT_PREFIX = "dialect-"
"""IDs of the cases that stand for what a dialect had to change begin so."""
STAYS_UP = "target-stays-up"
"""The case that stands for deaths of the target which no case alone can bring about."""
MESSAGES = "messages"
"""In place of a type: of messages that are no frame of a known type."""

_ABOUT: Mapping[Kind, str] = {
    "shape": "stands for the shape of every such frame that arrives in a run, in whichever case.\n"
    "Each distinct violation of the frame's schema (pointer, keyword, type) is reported there once.",
    "dialect": "stands for what the target file's `dialect` had to change in such frames, in any case.\n"
    "Each distinct change is reported there once, with the requirement that the frame broke as it came. It\n"
    "never passes for the dialect's sake: who follows the protocol alone cannot talk with such a server.",
    "run": "stands for deaths of the target that no case brings about by itself: each of its findings names\n"
    "how it died, and the cases that ran then.",
}

_CATCHES: Mapping[Kind, str] = {
    "shape": "A server whose frames have fields missing, wrong or too many.",
    "dialect": "A server that only those understand who were told how it differs from the protocol.",
    "run": "A server that falls over under several users, or now and then.",
}


@dataclass(frozen=True, slots=True)
class Gathered:
    """A case that is not run.

    Attributes:
        type: of the frames that it is about; None: of all.
        about: what is gathered there, in sentences.
    """

    id: str
    kind: Kind
    title: str
    type: str | None

    @property
    def area(self) -> str:
        return "connection" if self.kind == "run" else "envelope"

    @property
    def about(self) -> str:
        return _ABOUT[self.kind]

    def case(self, **more: Any) -> Case:
        """It as a case of a report; `more`: what it shows in this run, as members of `Case`."""
        return Case(
            id=self.id,
            title=self.title,
            area=self.area,
            kind=self.kind,
            catches=_CATCHES[self.kind],
            run=_never,
            **more,
        )

    def shown_by(self, case: Case) -> bool:
        """Whether running a case can show something of it."""
        return self.type is None or self.type in case.frames


async def _never(_: object) -> None:
    raise AssertionError("this case stands for what others saw; it is not run")


def shape_of(kind: str | None) -> Gathered:
    """The case about the shape of frames of a type; without one, of what is no frame of a known type."""
    title = "Every message that arrives is a frame"
    if kind is not None:
        title = f"Every {kind} that arrives is as its schema says"
    return Gathered(_id(SHAPE_PREFIX, kind), "shape", title, kind)


def dialect_of(kind: str | None) -> Gathered:
    """The case about what a dialect changes in frames of a type; without one, in anything else."""
    title = "Every message is a frame without the dialect's help"
    if kind is not None:
        title = f"Every {kind} is as the protocol has it without the dialect's help"
    return Gathered(_id(DIALECT_PREFIX, kind), "dialect", title, kind)


def stays_up() -> Gathered:
    """The case about deaths that no case brings about by itself."""
    return Gathered(STAYS_UP, "run", "The target stays up while cases run side by side", None)


def _id(prefix: str, kind: str | None) -> str:
    return f"{prefix}{(kind or MESSAGES).replace('_', '-')}"


def gathered(catalogue: Catalogue) -> Mapping[str, Gathered]:
    """All that there can be, by ID."""
    arriving, every = catalogue.types("s2c"), {*catalogue.types("c2s"), *catalogue.types("s2c")}
    found = (
        *(shape_of(kind) for kind in (None, *sorted(arriving))),
        *(dialect_of(kind) for kind in (None, *sorted(every))),
        stays_up(),
    )
    return {each.id: each for each in found}


def meant(catalogue: Catalogue, pattern: str) -> tuple[Gathered, ...]:
    """Those that a pattern of `--run` fits: a glob of IDs, `id:` or `kind:` and a glob."""
    field, colon, glob = pattern.partition(":")
    if not colon:
        field, glob = "id", pattern
    return tuple(
        each
        for each in gathered(catalogue).values()
        if field in ("id", "kind") and fnmatch.fnmatchcase(each.id if field == "id" else each.kind, glob)
    )
