"""Servers that close after repeated violations, as VAL-14 permits, and such as close for a single one."""

from __future__ import annotations

import asyncio
import math
from functools import cache

import pytest
from fixtures import fakes
from support.suite import all_cases, judge, make_target

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
