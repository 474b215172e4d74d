"""Servers that close after repeated violations, as VAL-14 permits, and such as close for a single one."""

from __future__ import annotations

import asyncio
import math
from functools import cache
from pathlib import Path

import pytest
from fixtures import fakes
from support.suite import QUICK, all_cases, judge, make_target, scenario_cases

from relaykit.conformance.results import Verdict

pytestmark = pytest.mark.xdist_group("closing")  # one worker plays what each is compared with

CASES = tuple(
    case
    for case in all_cases("area:validation", "area:errors", "area:envelope")
    if case.kind != "derived" or case.id.startswith(("derived/heartbeat", "derived/delivery_ack"))
)


def broken(violations: float, *faults: str) -> frozenset[tuple[str, str | None]]:
    """(case, requirement) of each failure, for a server that takes so many violations on one connection."""

    async def main() -> frozenset[tuple[str, str | None]]:
        server = fakes.minimal(*faults)
        server.violations = violations
        async with server.running() as url:
            result = await judge(make_target(url), CASES)
        assert result.count(Verdict.PASS) + result.count(Verdict.FAIL) > 60
        return frozenset(
            (case.case.id, finding.requirement) for case in result.cases for finding in case.findings
        )

    return asyncio.run(main())


@cache
def at_any_rate() -> frozenset[tuple[str, str | None]]:
    """What the server breaks anyway."""
    return broken(math.inf)


@pytest.mark.parametrize(
    ("violations", "faults"), [(2, ()), (3, ()), (2, ("closes-without-a-word",))], ids=["2", "3", "wordless"]
)
def test_a_close_after_repeated_violations_is_no_fault(violations: int, faults: tuple[str, ...]) -> None:
    assert broken(violations, *faults) == at_any_rate()


def test_a_close_for_a_single_violation_breaks_one_rule_and_no_other() -> None:
    found = broken(1) - at_any_rate()
    assert {requirement for _, requirement in found} == {"VAL-13"}
    assert {"type-missing", "errors-in-order", "refuses-bad-heartbeat"} <= {case for case, _ in found}


TWO = """
- id: two
  title: Two messages that are no frames are refused
  area: validation
  catches: Nothing, it is for a test.
  actors: {alice: {}}
  steps:
    - send: {as: alice, raw: nonsense, invalid: true}
    - send: {as: alice, raw: rubbish, invalid: true}
    - expect: {as: alice, frame: {type: error}, req: VAL-01}
"""


def test_who_closes_at_the_same_place_again_is_not_tried_for_ever(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(TWO)

    async def main() -> list[str]:
        server = fakes.minimal("silent-on-bad", "closes-without-a-word")
        server.violations = 2
        async with server.running() as url:
            target = make_target(url, timing={**QUICK, "case_s": 6})
            result = await judge(target, scenario_cases(tmp_path / "s.yaml"))
        return [finding.message for case in result.cases for finding in case.findings]

    said = asyncio.run(main())
    assert said
    assert not [message for message in said if "did not end" in message]
