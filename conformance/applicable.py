"""Whether a case has to run at all: what the target does not declare, does not offer, or must be spared."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Collection
from urllib.parse import urlsplit

from relaykit.conformance.context import Environment
from relaykit.conformance.fresh import needs_fresh
from relaykit.conformance.grammar import ActorRef, Connect, Drop, ExpectClose, Scenario
from relaykit.conformance.restraint import Restraint
from relaykit.conformance.results import Case, CaseResult, Verdict

SPARED = (
    "it floods, kills or exhausts the target, which is not on this machine: with --allow-destructive it runs"
)


def on_loopback(url: str) -> bool:
    """Whether an address means this machine, by what it says alone: no name is looked up."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def applicable(env: Environment, case: Case) -> CaseResult | None:
    """A result for a case that need not be run, because it does not apply or cannot be judged."""
    target = env.target
    missing = sorted(case.capabilities - target.capabilities)
    if missing:
        return _not_applicable(case, f"the target does not declare {', '.join(missing)}")
    present = sorted(case.without & target.capabilities)
    if present:
        return _not_applicable(case, f"the target declares {', '.join(present)}")
    reason = _untestable(env, case)
    return CaseResult(case, Verdict.UNTESTABLE, reason=reason) if reason else None


def connections_of_a_user(scenario: Scenario) -> int:
    """How many connections one user of a scenario has at the same time, at least.

    What happens in one of several alternatives is left out: `Restraint` sees what a case really does.
    """
    open_ = {(actor.name, device) for actor in scenario.actors.values() for device in actor.connect}
    most = _fullest(open_)
    for step in scenario.steps:
        match step:
            case Connect(refused=False):
                open_ |= _meant(scenario, step.who)
            case Drop() | ExpectClose():
                open_ -= _meant(scenario, step.who)
        most = max(most, _fullest(open_))
    return most


def _meant(scenario: Scenario, who: ActorRef) -> set[tuple[str, str]]:
    owned = scenario.actors[who.actor].devices
    named = owned if who.every else (who.device or owned[0],)
    return {(who.actor, device) for device in named}


def _fullest(open_: Collection[tuple[str, str]]) -> int:
    return max(Counter(actor for actor, _ in open_).values(), default=0)


def _not_applicable(case: Case, reason: str) -> CaseResult:
    return CaseResult(case, Verdict.NOT_APPLICABLE, reason=reason)


def _untestable(env: Environment, case: Case) -> str | None:
    """Why a case that applies cannot be judged, or None."""
    target = env.target
    if case.operations and target.control is None:
        return f"needs {', '.join(sorted(case.operations))}: the target file states no control interface"
    lacking = sorted(name for name in case.operations if not target.offers(name))
    if lacking:
        return f"the target's control interface lacks {', '.join(lacking)}"
    unstated = sorted(case.limits - target.stated)
    if unstated:
        return f"the target file does not state limits.{', limits.'.join(unstated)}"
    shared = needs_fresh(env.catalogue, case) if env.issuer.fixed else None
    if shared:
        return shared
    actors = case.scenario.actors.values() if case.scenario else ()
    if target.legacy is None and any(actor.legacy for actor in actors):
        return "the target file does not state how a connection asks for deprecated frames (`legacy`)"
    if not env.fences and case.kind in ("probe", "derived"):
        return "the target answers no heartbeat, so that nothing tells a connection that is served"
    if case.scenario is not None and "connections_per_user" in target.stated - case.limits:
        most = int(target.limits["connections_per_user"])
        if connections_of_a_user(case.scenario) > most:
            return Restraint.reason("connections_per_user", most)
    few = target.limits["connections_per_user"] if "connections_per_user" in target.stated else 2
    if case.kind == "derived" and few < 2:
        # The same for all of them, so that none has to connect to find out; see `Restraint` for the others.
        return Restraint.reason("connections_per_user", few)
    if case.destructive and not env.destructive:
        return SPARED
    return env.gone
