"""Which cases need users and devices of their own, and so are not for users that all cases share.

Where a target file lists identities (`tokens.identities`), everybody has met everybody before long, no device
is seen for the first time, and a device that is revoked is gone for all cases to come. What needs more than
that is found by what a case declares, so that no case has to say it, and none can forget to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import combinations
from typing import Any

from relaykit.conformance.grammar import Control, Expect, Nothing, Scenario, Step, walk
from relaykit.conformance.results import Case
from relaykit.conformance.values import references
from relaykit.schemas import Catalogue, control_operations, state_machines

WAY_OUT = (
    "all cases share the users of tokens.identities; with tokens.mint or tokens.fetch each makes up its own"
)
_DEVICE = "device"
"""The state machine whose beginning is a device that the target has never seen."""


def needs_fresh(catalogue: Catalogue, case: Case) -> str | None:
    """Why a case cannot be judged with users that others share, and what to do about it; None if it can."""
    why = _why(catalogue, case)
    return f"{why}: {WAY_OUT}" if why else None


def _why(catalogue: Catalogue, case: Case) -> str | None:
    described = control_operations()
    consumed = sorted(name for name in case.operations if described[name].consumes)
    if consumed:
        return f"needs users to use up, as nothing takes back what is done to them ({', '.join(consumed)})"
    if not _firsts(catalogue).isdisjoint(case.moves):
        return "needs a device that the target has never seen"
    if case.scenario is not None and _needs_strangers(catalogue, case.scenario):
        return "needs users who have never met, as it is about who hears of whom"
    return None


@cache
def _firsts(catalogue: Catalogue) -> frozenset[str]:
    """Ways that a device goes once only: from where the target has never seen it."""
    return frozenset(
        way.id
        for machine in state_machines(catalogue)
        if machine.id == _DEVICE
        for move in machine.moves
        if machine.states[move.start].kind == "start"
        for way in move.ways
    )


def _needs_strangers(catalogue: Catalogue, scenario: Scenario) -> bool:
    """Whether it judges notices of presence that users who share a history may get for another reason.

    Only contacts get them, so those count whom it makes contacts itself; and a newcomer may be shown the
    status of any contact, among them people of other cases.
    """
    known = _introduced(scenario)
    for observer, statuses in _observers(catalogue, scenario):
        pairs = (pair for pair in combinations(scenario.actors, 2) if observer in pair)
        if statuses or any(frozenset(pair) not in known for pair in pairs):
            return True
    return False


def _introduced(scenario: Scenario) -> frozenset[frozenset[str]]:
    """Pairs of actors whom `add_contact` makes contacts."""
    steps = (step for step in walk(scenario.steps) if isinstance(step, Control))
    return frozenset(
        frozenset(name.split(".")[0] for value in step.arguments.values() for name in references(value))
        for step in steps
        if step.operation == "add_contact"
    )


def _observers(catalogue: Catalogue, scenario: Scenario) -> Iterator[tuple[str, bool]]:
    """Actors at whom a step judges whether such a notice comes, and whether that no status does."""
    notices = {
        kind
        for (direction, kind), spec in catalogue.frames.items()
        if direction == "s2c" and spec.capability == "presence"
    }
    judged = notices & (scenario.about | _expected(scenario.steps))
    for step in walk(scenario.steps):
        match step:
            case Expect(who=who, frame=frame) if step.req and frame["type"] in notices:
                yield who.actor, False
            case Nothing():
                unwanted = judged - _let_through(step.allow)
                # What clients say of themselves is a status; the others tell what happens.
                statuses = any(("c2s", kind) in catalogue.frames for kind in unwanted)
                for actor in scenario.actors if step.everybody else [who.actor for who in step.whom]:
                    if unwanted:
                        yield actor, statuses


def _expected(steps: Sequence[Step]) -> frozenset[str]:
    return frozenset(str(step.frame["type"]) for step in walk(tuple(steps)) if isinstance(step, Expect))


def _let_through(allow: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Types of which a `none` step lets everything pass."""
    return frozenset(str(pattern["type"]) for pattern in allow if set(pattern) == {"type"})
