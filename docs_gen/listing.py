"""Asking the suite: its cases with what their scenarios show, the matrix, the schema of target files."""

from __future__ import annotations

from pathlib import Path

from relaykit.conformance.cases import load_cases, select
from relaykit.conformance.gathered import SHAPE_PREFIX
from relaykit.conformance.grammar import Expect, Scenario, Send, walk
from relaykit.conformance.loader import schema
from relaykit.conformance.selftest.matrix import committed
from relaykit.docs_gen.sequence import sequence
from relaykit.docs_gen.suite import ListedCase, Scene, Told
from relaykit.schemas import Catalogue, Direction


def ask_the_suite(catalogue: Catalogue) -> Told:
    """What the suite says of itself.

    Raises:
        UsageError: a scenario is wrong, with its place; or the matrix is broken.
    """
    return Told(_cases(catalogue), committed(), SHAPE_PREFIX, dict(schema("target")))


def _cases(catalogue: Catalogue) -> tuple[ListedCase, ...]:
    cases = load_cases(catalogue)
    always = {name for name, each in catalogue.protocol.capabilities.items() if each.required}
    basic = {
        case.id
        for case in select(catalogue, cases, profile="smoke")
        if case.capabilities <= always and not (case.operations or case.limits or case.where)
    }
    return tuple(
        ListedCase(
            case.id,
            case.title,
            case.area,
            case.kind,
            case.requirements,
            case.catches,
            _short(case.source),
            _scene(catalogue, case.scenario) if case.scenario else None,
            case.id in basic,
            case.where,
        )
        for case in cases
    )


def _short(source: str) -> str:
    """The place within the kit, the same on every machine and in every edit above it: no folders, no line."""
    path = source.rpartition(":")[0] or source
    folder, name = Path(path).parts[-2:] if len(Path(path).parts) > 1 else ("", path)
    return f"conformance/{folder}/{name}"


def _scene(catalogue: Catalogue, scenario: Scenario) -> Scene:
    used: dict[tuple[Direction, str], None] = {}
    for step in walk(scenario.steps):
        if isinstance(step, (Send, Expect)) and step.frame is not None:
            direction: Direction = "c2s" if isinstance(step, Send) else "s2c"
            key = (direction, str(step.frame.get("type")))
            if key in catalogue.frames:
                used[key] = None
    return Scene(tuple(scenario.capabilities), tuple(used), sequence(scenario), scenario.slow)
