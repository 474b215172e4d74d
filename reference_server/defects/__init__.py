"""Seeded defects: the reference server, wrong in one place on purpose.

Each defect breaks one requirement (or the few that are one and the same change) and nothing else that it need
not, so that a suite which lets it pass has a gap there. `relaykit serve` never loads this package;
`python -m relaykit.reference_server.defects` does. They are written from the requirements, not from the cases
of any suite, and are never made coarser in order to be found.

One file per area of the requirements; what many of them do is in `blocks`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType, ModuleType

from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.defects.setups import STANDARD

Apply = Callable[[Seams], None]
"""Makes the change. It runs before the server is made, in a process that has no other defect."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One change that makes the server wrong.

    Attributes:
        id: permanent, in lower case with dashes.
        title: what the defective server does, as a sentence.
        breaks: the requirements that it truly breaks, not all that a suite will complain of.
        apply: makes the change.
        setup: name of the configuration in which it shows; see `setups`.
    """

    id: str
    title: str
    breaks: tuple[str, ...]
    apply: Apply
    setup: str = STANDARD


def defect(id: str, title: str, *breaks: str, setup: str = STANDARD) -> Callable[[Apply], Defect]:
    """Make a defect of the function that applies it."""

    def made(apply: Apply) -> Defect:
        return Defect(id, title, breaks, apply, setup)

    return made


def defects_in(module: ModuleType) -> Iterator[Defect]:
    """The defects of a module: single ones, and those of tuples."""
    for value in vars(module).values():
        if isinstance(value, Defect):
            yield value
        elif isinstance(value, tuple) and value and all(isinstance(item, Defect) for item in value):
            yield from value


@cache
def all_defects() -> Mapping[str, tuple[Defect, str]]:
    """ID → defect, and the area whose file it stands in."""
    found: dict[str, tuple[Defect, str]] = {}
    for info in pkgutil.iter_modules(__path__):
        if info.name.startswith("_"):
            continue
        for each in defects_in(importlib.import_module(f"{__name__}.{info.name}")):
            assert each.id not in found, f"there are two defects {each.id!r}"
            found[each.id] = each, info.name.partition("_")[0]
    return MappingProxyType(found)
