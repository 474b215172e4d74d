"""What follows from all cases together, concluded anew where they come from several reports.

Whom to blame for a frame that did not come depends on what was kept anywhere in the run. A shard sees only
its own cases; so in a merged report what each of them found is taken as its steps said it, and settled once
more among all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from relaykit.conformance.context import Context
from relaykit.conformance.judge import Rules, requirement_table, verdict_of
from relaykit.conformance.presuming import settle_blame, unsettled
from relaykit.conformance.results import GATHERED, Case, CaseResult, Finding, Verdict
from relaykit.schemas import Catalogue

Data = Mapping[str, Any]
_FIELDS = frozenset(field.name for field in fields(Finding)) - {"rests_on", "instead_of"}


def tellable(cases: Sequence[Data]) -> bool:
    """Whether the cases say what they proved and broke: reports of older kits do not."""
    return all("proven" in case and "broken" in case for case in cases)


def settle(catalogue: Catalogue, cases: Sequence[Data], rules: Rules) -> list[dict[str, Any]]:
    """The cases of a report, with what was missed blamed as in one run of them all."""
    results = [unsettled(catalogue, _result(case)) for case in cases if case.get("kind") not in GATHERED]
    anew = {each.case.id: each for each in settle_blame(catalogue, results, rules)}
    return [_with(case, anew[case["id"]]) if case["id"] in anew else dict(case) for case in cases]


def table(catalogue: Catalogue, cases: Sequence[Data], rows: Sequence[Data]) -> list[dict[str, Any]]:
    """The rows of a report's requirements, with what the cases say of each."""
    results = [_result(case) for case in cases]
    found = {row.id: row for row in requirement_table(catalogue, results, [each.case for each in results])}
    return [
        {**row, "verdict": found[row["id"]].verdict, "cases": list(found[row["id"]].cases)} for row in rows
    ]


async def _never(_: Context) -> None:
    raise AssertionError("a case out of a report is not run")


def _result(data: Data) -> CaseResult:
    case = Case(
        id=data["id"],
        title=data["title"],
        area=data["area"],
        kind=data.get("kind", "scenario"),
        level=data["level"],
        requirements=tuple(data["requirements"]),
        run=_never,
    )
    return CaseResult(
        case,
        Verdict(data["verdict"]),
        tuple(_finding(each) for each in data["findings"]),
        proven=frozenset(data["proven"]),
        broken=frozenset(data["broken"]),
    )


def _finding(data: Data) -> Finding:
    given = {"level": "MUST", "severity": "fail"} | {key: data[key] for key in _FIELDS & data.keys()}
    return Finding(**given, instead_of=tuple(data.get("instead_of", ())))


def _with(case: Data, anew: CaseResult) -> dict[str, Any]:
    """A case with other findings, if they are others."""
    if [_key(each) for each in anew.findings] == [_key(_finding(each)) for each in case["findings"]]:
        return dict(case)
    came = {(each.get("step"), each.get("actor"), each.get("t_ms")): each for each in case["findings"]}
    found = [_data(each, came.get((each.step, each.actor, each.t_ms), {})) for each in anew.findings]
    told = {**case, "verdict": verdict_of(anew.findings).value, "findings": found}
    if told["verdict"] != Verdict.FAIL:
        told.pop("expected_failure", None)
    return told


def _key(finding: Finding) -> tuple[str | None, str]:
    return finding.requirement, finding.message


def _data(finding: Finding, origin: Data) -> dict[str, Any]:
    told = {key: getattr(finding, key) for key in _FIELDS - {"case"}}
    kept = {key: value for key, value in origin.items() if key not in ("instead_of",)}
    return {**kept, **told, **({"instead_of": list(finding.instead_of)} if finding.instead_of else {})}
