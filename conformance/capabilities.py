"""Capabilities that the target file leaves open (`probe`): before the first case, is each served?

What shows it are the suite's own scenarios. One that is served shows in a step that expects something of it,
or in any frame of it that arrives. That nothing came proves nothing more than that: such a capability counts
as not declared, its cases as not applicable, and the report says what was tried.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from relaykit.conformance.applicable import applicable
from relaykit.conformance.environment import Environment
from relaykit.conformance.grammar import AnyOf, Expect, Repeat, Step, Unordered, walk
from relaykit.conformance.judge import JUDGE_ALL
from relaykit.conformance.results import EXECUTED, OPEN_CONNECTION, Case, CaseResult, Verdict
from relaykit.conformance.single import run_one
from relaykit.schemas import Catalogue

_TRIES = 3


@dataclass(frozen=True, slots=True)
class Tried:
    """What trying a capability showed.

    Attributes:
        told: False: it could not be tried, as where the target offers no way to arrange what that needs.
    """

    capability: str
    served: bool
    said: str
    told: bool = True


async def try_capabilities(env: Environment, cases: Iterable[Case]) -> tuple[Tried, ...]:
    """Try those that the target file leaves open, and take those that are served as declared from here on.

    Args:
        cases: all that there are: those that a run leaves out may show more.
    """
    target, seed = env.target, env.seed
    if not target.probed:
        return ()
    known = tuple(cases)
    # Users of their own: what is tried here must not be there already when the cases begin.
    env.seed = f"{seed}/tried"
    env.target = replace(target, capabilities=target.capabilities | target.probed)
    try:
        if env.issuer.fixed:
            tried = [await _try(env, name, known) for name in sorted(target.probed)]
        else:
            tried = list(await asyncio.gather(*(_try(env, name, known) for name in sorted(target.probed))))
    finally:
        env.target, env.seed = target, seed
    served = {each.capability for each in tried if each.served}
    env.target = replace(target, capabilities=target.capabilities | served)
    return tuple(tried)


async def _try(env: Environment, capability: str, cases: Sequence[Case]) -> Tried:
    said = []
    told = False
    for case in _candidates(env, capability, cases):
        result = await run_one(env, case, JUDGE_ALL)
        if _shows(env.catalogue, capability, result):
            return Tried(capability, True, f"{case.id} shows it")
        told = told or tells_what_is_served(result)
        said.append(f"{case.id}: {_why(result)}")
    if not said:
        said = [
            _why(CaseResult(case, Verdict.UNTESTABLE, reason=reason))
            for case, reason in _hindered(env, capability, cases)
        ]
    said = list(dict.fromkeys(said)) or ["no case of the suite shows it by itself"]
    return Tried(capability, False, "; ".join(said), told)


def tells_what_is_served(result: CaseResult) -> bool:
    """Whether a case came to something that tells of what the target serves."""
    hindered = any(
        finding.blame == "environment"
        or (finding.requirement is None and finding.expected == OPEN_CONNECTION)
        for finding in result.findings
    )
    return result.verdict in EXECUTED and not hindered


def _candidates(env: Environment, capability: str, cases: Sequence[Case]) -> list[Case]:
    """The shortest scenarios that can show it, with as little else as possible."""
    found = [case for case in _showing(env.catalogue, capability, cases) if applicable(env, case) is None]
    open_ = env.target.probed - {capability}
    found.sort(key=lambda case: (len(case.capabilities & open_), len(case.operations), _length(case)))
    return found[:_TRIES]


def _hindered(env: Environment, capability: str, cases: Sequence[Case]) -> list[tuple[Case, str]]:
    """Cases that would show it, and why they cannot be run here."""
    found = []
    for case in _showing(env.catalogue, capability, cases):
        early = applicable(env, case)
        if early is not None and early.verdict is Verdict.UNTESTABLE:
            found.append((case, early.reason))
    return sorted(found, key=lambda each: _length(each[0]))[:1]


def _showing(catalogue: Catalogue, capability: str, cases: Sequence[Case]) -> list[Case]:
    return [
        case
        for case in cases
        if capability in case.capabilities
        and not (case.slow or case.exclusive or case.limits)
        and case.scenario is not None
        and _positive(catalogue, capability, case.scenario.steps)
    ]


def _length(case: Case) -> int:
    return len(tuple(walk(case.scenario.steps))) if case.scenario else 0


def _positive(catalogue: Catalogue, capability: str, steps: Iterable[Step]) -> frozenset[str]:
    """Its requirements that a frame other than an error shows to be kept, whatever alternative is taken."""
    found: set[str] = set()
    for step in steps:
        match step:
            case Expect():
                if step.frame.get("type") != "error":
                    found |= {n for n in step.req if catalogue.requirements[n].capability == capability}
            case Unordered():
                found |= _positive(catalogue, capability, step.expects)
            case Repeat():
                found |= _positive(catalogue, capability, step.steps)
            case AnyOf():
                branches = [_positive(catalogue, capability, branch) for branch in step.branches]
                found |= frozenset.intersection(*branches) if branches else frozenset()
    return frozenset(found)


def _shows(catalogue: Catalogue, capability: str, result: CaseResult) -> bool:
    assert result.case.scenario is not None  # as candidates have one
    if result.proven & _positive(catalogue, capability, result.case.scenario.steps):
        return True
    for line in result.transcript:
        kind = line.frame.get("type") if isinstance(line.frame, dict) and line.direction == "s2c" else None
        spec = catalogue.frames.get(("s2c", kind)) if isinstance(kind, str) else None
        if spec is not None and spec.capability == capability:
            return True
    return False


def _why(result: CaseResult) -> str:
    return result.findings[0].message if result.findings else result.reason or "it shows nothing of it"


def in_words(tried: Iterable[Tried]) -> tuple[str, ...]:
    """A line for each, for people."""
    return tuple(
        f"capability {each.capability} {'was' if each.told else 'could not be'} tried: "
        f"{'served' if each.served else 'taken as not served'} ({each.said})"
        for each in tried
    )
