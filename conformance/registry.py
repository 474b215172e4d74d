"""Probes: cases in code, for what frames cannot say. A decorator gives each the metadata of a scenario."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import ModuleType

from relaykit.config import suggest
from relaykit.conformance import probes as package
from relaykit.conformance.context import Context
from relaykit.conformance.judge import strongest
from relaykit.conformance.results import Case
from relaykit.errors import KitDefect
from relaykit.schemas import Catalogue, control_operations

Run = Callable[[Context], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Probe:
    """A probe as its decorator describes it; see `Case`. `origin` is the code to look at."""

    id: str
    title: str
    area: str
    requirements: tuple[str, ...]
    catches: str
    capabilities: tuple[str, ...]
    operations: tuple[str, ...]
    limits: tuple[str, ...]
    forges: bool
    exclusive: bool
    slow: bool
    destructive: bool
    frames: tuple[str, ...]
    moves: tuple[str, ...]
    where: str
    run: Run
    origin: Callable[..., object]


def probe(
    id: str,
    *,
    title: str,
    area: str,
    requirements: Iterable[str],
    catches: str,
    capabilities: Iterable[str] = (),
    operations: Iterable[str] = (),
    limits: Iterable[str] = (),
    forges: bool = False,
    exclusive: bool = False,
    slow: bool = False,
    destructive: bool = False,
    frames: Iterable[str] = (),
    moves: Iterable[str] = (),
    where: str = "",
) -> Callable[[Run], Probe]:
    """Make a probe of an async function that gets the case's `Context`.

    The function proves requirements (`context.prove`), notes broken ones (`context.fail`), and raises
    `CaseStop` where going on would mean nothing.
    """

    def made(function: Run) -> Probe:
        return Probe(
            id=id,
            title=title,
            area=area,
            requirements=tuple(requirements),
            catches=catches,
            capabilities=tuple(capabilities),
            operations=tuple(operations),
            limits=tuple(limits),
            forges=forges,
            exclusive=exclusive,
            slow=slow,
            destructive=destructive,
            frames=tuple(frames),
            moves=tuple(moves),
            where=where,
            run=function,
            origin=function,
        )

    return made


def probes_in(module: ModuleType) -> tuple[Probe, ...]:
    """The probes of a module: its own ones, single or in tuples (families made in a loop)."""
    found: list[Probe] = []
    for value in vars(module).values():
        if isinstance(value, Probe):
            found.append(value)
        elif isinstance(value, tuple) and value and all(isinstance(item, Probe) for item in value):
            found.extend(value)
    return tuple(found)


def all_probes(catalogue: Catalogue) -> tuple[Case, ...]:
    """Every probe of the kit as a case.

    Raises:
        KitDefect: a probe's metadata is wrong.
    """
    cases: dict[str, Case] = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{info.name}")
        for each in probes_in(module):
            _check(catalogue, each)
            if each.id in cases:
                raise KitDefect(f"{module.__name__}: there are two probes {each.id!r}")
            cases[each.id] = case_of(catalogue, each)
    return tuple(cases.values())


def case_of(catalogue: Catalogue, probe: Probe) -> Case:
    """The case that a probe is."""
    code = inspect.unwrap(probe.origin).__code__
    return Case(
        id=probe.id,
        title=probe.title,
        area=probe.area,
        kind="probe",
        level=strongest(catalogue.requirements[name].level for name in probe.requirements),
        requirements=probe.requirements,
        catches=probe.catches,
        capabilities=frozenset(probe.capabilities),
        without=frozenset(),
        operations=frozenset(probe.operations),
        limits=frozenset(probe.limits),
        forges=probe.forges,
        exclusive=probe.exclusive or probe.destructive,
        slow=probe.slow,
        frames=frozenset(probe.frames),
        source=f"{code.co_filename}:{code.co_firstlineno}",
        run=probe.run,
        moves=probe.moves,
        where=probe.where,
        destructive=probe.destructive,
    )


def _check(catalogue: Catalogue, probe: Probe) -> None:
    areas = {area.file for area in catalogue.protocol.areas.values()}
    for what, named, known in (
        ("area", (probe.area,), areas),
        ("requirement", probe.requirements, catalogue.requirements),
        ("capability", probe.capabilities, catalogue.protocol.capabilities),
        ("control operation", probe.operations, control_operations()),
        ("limit", probe.limits, catalogue.protocol.limits),
    ):
        for name in named:
            if name not in known:
                raise KitDefect(f"probe {probe.id}: unknown {what} {name!r}{suggest(name, known)}")
