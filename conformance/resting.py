"""On what a finding rests: rules that, where they are not kept, leave a frame out whatever the rule says.

It follows from the case alone, so that an expectation excuses the same finding in every run: one of some
cases, one of all, and one that is still under way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from relaykit.conformance.results import Finding
from relaykit.schemas import Catalogue


def rests_on(catalogue: Catalogue, finding: Finding, beside: Iterable[Finding]) -> tuple[str, ...]:
    """What must hold for the finding's requirement to be to blame; nothing where something wrong came.

    Args:
        beside: all findings of the case.
    """
    if finding.requirement is None:
        return ()
    presupposes = catalogue.requirements[finding.requirement].presupposes
    missed = _missed(finding)
    if not presupposes or not missed:
        return ()
    # A step that names a rule which presupposes nothing says by that on what it rests, too.
    named = {
        each.requirement
        for each in beside
        if each.requirement
        and (each.step, each.actor) == (finding.step, finding.actor)
        and not catalogue.requirements[each.requirement].presupposes
    }
    bases = dict.fromkeys((*presupposes, *sorted(named)))
    return tuple(name for name in bases if not missed.isdisjoint(catalogue.requirements[name].frames))


def _missed(finding: Finding) -> set[str]:
    """The types of the frames that were expected; none if one of them came, but with other content."""
    patterns = finding.expected if isinstance(finding.expected, list) else [finding.expected]
    frames = [each for each in patterns if isinstance(each, Mapping) and isinstance(each.get("type"), str)]
    if any(_same(each, finding.actual) for each in frames):
        return set()
    return {each["type"] for each in frames}


def _same(pattern: Mapping[str, Any], actual: Any) -> bool:
    """Whether it is the frame that was expected, whatever else is wrong with it."""
    if not isinstance(actual, Mapping) or actual.get("type") != pattern["type"]:
        return False
    wanted, came = pattern.get("message_id"), actual.get("message_id")
    return not isinstance(wanted, str) or str(came).lower() == wanted.lower()
