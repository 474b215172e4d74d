"""Expand: scenarios, probes and derived frames become cases, all alike; and the selection that runs."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from relaykit.conformance.codes import check_codes
from relaykit.conformance.coverage import check_moves
from relaykit.conformance.derived.family import derived_cases
from relaykit.conformance.gathered import Gathered, meant
from relaykit.conformance.grammar import (
    Advance,
    AnyOf,
    Control,
    Expect,
    Repeat,
    Restart,
    Scenario,
    Send,
    Step,
    Unordered,
    walk,
)
from relaykit.conformance.judge import Rules, judged, strongest
from relaykit.conformance.loader import load_scenarios
from relaykit.conformance.registry import all_probes
from relaykit.conformance.results import Case
from relaykit.conformance.steps import play
from relaykit.conformance.values import references
from relaykit.errors import UsageError
from relaykit.schemas import Catalogue, control_operations

PROFILES = ("smoke", "default", "full")
"""How much runs where no pattern chooses; see `select`."""
_FIELDS = ("id", "area", "requirement", "frame", "kind", "level")


def load_cases(catalogue: Catalogue, folders: Iterable[Path] = ()) -> tuple[Case, ...]:
    """Every case of the kit, and those of further scenario folders, ordered by area and file.

    Raises:
        UsageError: whatever is wrong in a scenario or a probe's metadata, with its place.
    """
    scenarios = tuple(from_scenario(catalogue, scenario) for scenario in load_scenarios(catalogue, folders))
    cases = (*scenarios, *all_probes(catalogue))
    ids = {scenario.id for scenario in scenarios}
    for case in cases[len(scenarios) :]:
        if case.id in ids:
            raise UsageError(f"{case.source}: the id {case.id!r} is already a scenario's")
    check_codes(catalogue)
    check_moves(catalogue, cases)
    areas = [area.file for area in catalogue.protocol.areas.values()]
    ordered = sorted(cases, key=lambda case: areas.index(case.area))
    return (*ordered, *derived_cases(catalogue))


def from_scenario(catalogue: Catalogue, scenario: Scenario) -> Case:
    """The case that a scenario is."""
    walked = tuple(walk(scenario.steps))
    operations = {step.operation for step in walked if isinstance(step, Control)} | set(scenario.operations)
    if any(isinstance(step, Advance) for step in walked):
        operations.add("advance_clock")
    described = control_operations()
    destructive = scenario.destructive or any(isinstance(step, Restart) for step in walked)
    return Case(
        id=scenario.id,
        title=scenario.title,
        area=scenario.area,
        kind="scenario",
        level=strongest(catalogue.requirements[name].level for name in scenario.requirements),
        requirements=scenario.requirements,
        catches=scenario.catches,
        capabilities=_capabilities(catalogue, scenario),
        without=frozenset(scenario.without),
        operations=frozenset(operations),
        limits=_limits(walked, scenario),
        forges=False,
        exclusive=destructive or any(described[name].exclusive for name in operations),
        slow=scenario.slow,
        frames=frozenset(
            str(step.frame["type"])
            for step in walked
            if isinstance(step, (Send, Expect)) and step.frame is not None and "type" in step.frame
        ),
        source=str(scenario.place),
        run=partial(play, scenario=scenario),
        scenario=scenario,
        moves=scenario.moves,
        destructive=destructive,
    )


def _limits(walked: Sequence[Step], scenario: Scenario) -> frozenset[str]:
    """The limits of the target that a scenario speaks of."""
    templates: list[object] = [spec.argument for spec in scenario.vars.values()]
    for step in walked:
        if isinstance(step, Send):
            templates += (step.frame, step.raw)
        elif isinstance(step, Expect):
            templates.append(step.frame)
        elif isinstance(step, Control):
            templates.append(step.arguments)
    found = (inner.split("|")[0].strip().split(".") for item in templates for inner in references(item))
    return frozenset(parts[1] for parts in found if parts[0] == "limits" and len(parts) > 1)


def _capabilities(catalogue: Catalogue, scenario: Scenario) -> frozenset[str]:
    """Those that the scenario names, and those of its requirements and of the frames it cannot do without."""
    needed = set(scenario.capabilities)
    # A frame that is wrong must be refused, whether or not the server would serve a right one.
    if not any(isinstance(step, Send) and step.invalid for step in walk(scenario.steps)):
        rules = (catalogue.requirements[name] for name in scenario.requirements)
        needed |= {rule.capability for rule in rules if rule.capability is not None}
    for step in _certain(scenario.steps):
        if isinstance(step, Send) and step.frame is not None and not step.invalid:
            spec = catalogue.frames.get(("c2s", str(step.frame.get("type"))))
        elif isinstance(step, Expect):
            spec = catalogue.frames.get(("s2c", str(step.frame["type"])))
        else:
            continue
        if spec is not None:
            needed.add(spec.capability)
    return frozenset(needed - set(scenario.without))


def _certain(steps: Sequence[Step]) -> Iterable[Step]:
    """Steps that run in any case: not those of alternatives."""
    for step in steps:
        match step:
            case AnyOf():
                continue
            case Repeat():
                yield from _certain(step.steps)
            case Unordered():
                yield from step.expects
            case _:
                yield step


def select(
    catalogue: Catalogue,
    cases: Sequence[Case],
    *,
    run: Sequence[str] = (),
    skip: Sequence[str] = (),
    rules: Rules | None = None,
    profile: str = "full",
    shard: tuple[int, int] | None = None,
) -> tuple[Case, ...]:
    """The cases that patterns choose.

    Args:
        run: globs for IDs, or `area:messages`, `requirement:MSG-*`, `frame:typing`, `kind:probe`,
            `level:MUST`; a case runs if one fits, or if there are none.
        skip: the same; a case that fits one does not run.
        rules: leaves out cases none of whose requirements is judged.
        profile: one of `PROFILES`: `full` is everything, `default` leaves out what waits for seconds, `smoke`
            also what must run alone and what is derived. A case that a pattern of `run` fits runs anyway; one
            that can show something of a gathered case (`shape-deliver`), only if the profile has it.
        shard: (part, of how many): by the case's ID alone, so that new cases move none from part to part.

    Raises:
        UsageError: a pattern is malformed, or one of `run` fits nothing at all.
    """
    for pattern in (*run, *skip):
        _check(pattern)
    standing = gathered_by(catalogue, cases, run)
    for pattern in run:
        if not any(fits(case, pattern) for case in cases) and not meant(catalogue, pattern):
            raise UsageError(
                f"--run {pattern}: no case fits",
                hint="`relaykit list` shows the cases; globs such as 'message-*' need quotes in a shell",
            )
    chosen = (
        case
        for case in cases
        if (
            any(fits(case, pattern) for pattern in run)
            or (_within(case, profile) and (not run or any(each.shown_by(case) for each in standing)))
        )
        and not any(fits(case, pattern) for pattern in skip)
        and (shard is None or _shard(case.id, shard[1]) == shard[0])
    )
    if rules is None:
        return tuple(chosen)
    return tuple(
        case
        for case in chosen
        if not case.requirements or any(judged(catalogue, name, rules) for name in case.requirements)
    )


def gathered_by(catalogue: Catalogue, cases: Sequence[Case], run: Sequence[str]) -> tuple[Gathered, ...]:
    """The cases of a report that are not run, and that patterns name which fit no other case."""
    named = (pattern for pattern in run if not any(fits(case, pattern) for case in cases))
    return tuple(dict.fromkeys(each for pattern in named for each in meant(catalogue, pattern)))


def _within(case: Case, profile: str) -> bool:
    """Whether a case belongs to a profile."""
    if profile == "smoke" and (case.exclusive or case.kind == "derived"):
        return False
    return profile == "full" or not case.slow


def _shard(name: str, parts: int) -> int:
    """The part that a case belongs to, counted from 1."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % parts + 1


def _check(pattern: str) -> None:
    kind, colon, _ = pattern.partition(":")
    if colon and kind not in _FIELDS:
        raise UsageError(f"{pattern}: the part before ':' is one of {', '.join(_FIELDS)}")


def fits(case: Case, pattern: str) -> bool:
    """Whether a pattern of `--run` or `--skip` fits a case."""
    kind, colon, glob = pattern.partition(":")
    if not colon:
        kind, glob = "id", pattern
    values: Iterable[str]
    match kind:
        case "area":
            values = (case.area,)
        case "requirement":
            values = case.requirements
        case "frame":
            values = case.frames
        case "kind":
            values = (case.kind,)
        case "level":
            values = (case.level,)
        case _:
            # `derived/send` stands for all that is below it.
            parts = case.id.split("/")
            values = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
    return any(fnmatch.fnmatchcase(value, glob) for value in values)
