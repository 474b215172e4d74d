"""Whom to blame for a frame that did not come: the rule that a step is about, or the one that this rests on?

That a stranger's acknowledgment changes nothing shows in a message that comes again all the same. Where no
message ever comes again, that says nothing of strangers. So a requirement names those that it presupposes,
and is blamed for what did not come only where they hold: where one of them was never kept in the whole run,
that one is blamed in its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from relaykit.conformance.judge import Rules, judged, severity_of, verdict_of
from relaykit.conformance.resting import rests_on
from relaykit.conformance.results import CaseResult, Finding
from relaykit.schemas import Catalogue


def settle_blame(catalogue: Catalogue, results: Sequence[CaseResult], rules: Rules) -> tuple[CaseResult, ...]:
    """The results of a whole run, with what was missed blamed on the requirements that were never kept."""
    kept = {name for result in results for name in result.proven}
    broken = {name for result in results for name in result.broken}
    return tuple(_settled(catalogue, result, broken - kept, kept, rules) for result in results)


def unsettled(catalogue: Catalogue, result: CaseResult) -> CaseResult:
    """A result whose findings are blamed as the steps said: the reverse of `settle_blame`, of one case."""
    found = [each for finding in result.findings for each in _as_said(catalogue, finding)]
    distinct: dict[tuple[str | None, str, str, str], Finding] = {}
    for finding in found:
        bases = rests_on(catalogue, finding, found)
        said = finding.message.removesuffix(_unknown(finding, bases)) if bases else finding.message
        each = replace(finding, message=said, rests_on=bases)
        distinct.setdefault(_key(each), each)
    findings = tuple(distinct.values())
    return replace(result, findings=findings, verdict=verdict_of(findings) if findings else result.verdict)


def _as_said(catalogue: Catalogue, finding: Finding) -> Iterable[Finding]:
    if not finding.instead_of:
        yield finding
        return
    unsaid = [name for name in finding.instead_of if name != finding.requirement]
    said = replace(finding, message=finding.message.removesuffix(_said(finding, unsaid)), instead_of=())
    for name in finding.instead_of:
        # A warning for a MUST was one by its step, or stands for a SHOULD; either was one before.
        soft = finding.severity == "warn" and severity_of(finding.level) == "fail"
        yield said if name == finding.requirement else _as_of(catalogue, said, name, soft=soft)


def _settled(
    catalogue: Catalogue, result: CaseResult, never: set[str], kept: set[str], rules: Rules
) -> CaseResult:
    # Not by equality: what was expected and what came need not be hashable.
    found: dict[tuple[str | None, str, str, str], Finding] = {}
    unsaid: dict[tuple[str | None, str, str, str], list[str]] = {}
    for finding in result.findings:
        bases = finding.rests_on
        missing = [name for name in bases if name in never]
        if not missing and bases and kept.isdisjoint(bases):
            finding = replace(finding, message=finding.message + _unknown(finding, bases))
        for name in missing:
            blamed = _blamed(catalogue, finding, name, rules)
            key = _key(blamed)
            found.setdefault(key, blamed)
            unsaid.setdefault(key, []).append(str(finding.requirement))
        if not missing:
            found[_key(finding)] = finding
    if not unsaid and list(found.values()) == list(result.findings):
        return result
    # One that its step named itself has no finding beside it any more, but counts among those.
    own = {_key(finding) for finding in result.findings}
    findings = tuple(
        _instead(each, names, named=key in own) if (names := unsaid.get(key)) else each
        for key, each in found.items()
    )
    return replace(result, findings=findings, verdict=verdict_of(findings))


def _key(finding: Finding) -> tuple[str | None, str, str, str]:
    return finding.requirement, finding.message, finding.step, finding.actor


def _instead(blamed: Finding, names: Iterable[str], *, named: bool) -> Finding:
    """The finding, with the rules of which nothing is said.

    Args:
        named: whether its own requirement was named by the step, too.
    """
    unsaid = tuple(dict.fromkeys(names))
    own = (blamed.requirement,) if named and blamed.requirement else ()
    return replace(blamed, message=blamed.message + _said(blamed, unsaid), instead_of=(*own, *unsaid))


def _said(blamed: Finding, unsaid: Iterable[str]) -> str:
    never = blamed.requirement or "what that presupposes"
    return f" ({never} is kept nowhere in this run, so that nothing is said of {', '.join(unsaid)})"


def _blamed(catalogue: Catalogue, finding: Finding, name: str, rules: Rules) -> Finding:
    """The finding as one of the requirement with this ID; of none, where the run does not judge by that."""
    if not judged(catalogue, name, rules):
        return replace(finding, requirement=None, provenance=None)
    return _as_of(catalogue, finding, name, soft=finding.severity == "warn")


def _as_of(catalogue: Catalogue, finding: Finding, name: str, *, soft: bool) -> Finding:
    known = catalogue.requirements[name]
    return replace(
        finding,
        requirement=name,
        level=known.level,
        provenance=known.provenance,
        severity="warn" if soft else severity_of(known.level),
        blame="unspecified" if known.provenance == "inferred" else "target",
    )


def _unknown(finding: Finding, bases: Iterable[str]) -> str:
    also = " ".join(f"--run requirement:{name}" for name in bases)
    return f" (or it never does, which says nothing of {finding.requirement}: {also} tells)"
