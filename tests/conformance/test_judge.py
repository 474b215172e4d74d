"""From outcomes to verdicts: pure tables, no wire."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.suite import all_cases

from relaykit.conformance.expectations import Expectation
from relaykit.conformance.judge import (
    JUDGE_ALL,
    Rules,
    expect_failures,
    judge,
    requirement_table,
    shape_cases,
    strongest,
)
from relaykit.conformance.record import ShapeBook
from relaykit.conformance.results import Case, CaseResult, Outcome, RunResult, Verdict
from relaykit.conformance.run import exit_code
from relaykit.errors import ExitCode
from relaykit.schemas import load_catalogue

CATALOGUE = load_catalogue()
REQUIREMENTS = CATALOGUE.requirements


def named(level: str, provenance: str = "documented") -> str:
    """Some requirement of this level and provenance."""
    return next(r.id for r in REQUIREMENTS.values() if r.level == level and r.provenance == provenance)


MUST, MUST_NOT, SHOULD, MAY = (
    named("MUST"),
    named("MUST NOT"),
    named("SHOULD"),
    named("MAY", "inferred"),
)
INFERRED_MUST = named("MUST", "inferred")


def case(*requirements: str, id: str = "some-case") -> Case:
    return replace(all_cases("message-life")[0], id=id, requirements=requirements)


def bad(*requirements: str, **more: Any) -> Outcome:
    return Outcome(False, requirements, "it broke", **more)


def good(*requirements: str) -> Outcome:
    return Outcome(True, requirements)


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([good(MUST)], Verdict.PASS),
        ([], Verdict.PASS),
        ([bad(MUST)], Verdict.FAIL),
        ([bad(MUST_NOT)], Verdict.FAIL),
        ([bad(INFERRED_MUST)], Verdict.FAIL),
        ([bad(SHOULD)], Verdict.WARN),
        ([bad(MAY)], Verdict.PASS),
        ([bad(MUST, soft=True)], Verdict.WARN),
        ([bad(SHOULD, MUST)], Verdict.FAIL),
        ([bad()], Verdict.FAIL),
        ([bad(blame="environment")], Verdict.FAIL),
        ([bad(MUST, blame="kit")], Verdict.ERROR),
        ([good(MUST), bad(SHOULD)], Verdict.WARN),
    ],
)
def test_verdicts(outcomes: list[Outcome], verdict: Verdict) -> None:
    assert judge(CATALOGUE, case(), outcomes, JUDGE_ALL).verdict is verdict


@pytest.mark.parametrize(
    ("requirement", "blame", "given"),
    [
        (MUST, "target", None),
        (INFERRED_MUST, "unspecified", None),
        (INFERRED_MUST, "environment", "environment"),
    ],
)
def test_blame(requirement: str, blame: str, given: Any) -> None:
    (finding,) = judge(CATALOGUE, case(), [bad(requirement, blame=given)], JUDGE_ALL).findings
    assert finding.blame == blame
    assert finding.level == REQUIREMENTS[requirement].level
    assert finding.provenance == REQUIREMENTS[requirement].provenance


def test_each_requirement_of_a_step_gets_a_finding_and_the_same_one_comes_once() -> None:
    result = judge(CATALOGUE, case(), [bad(MUST, SHOULD), bad(MUST, SHOULD)], JUDGE_ALL)
    assert [(f.requirement, f.severity) for f in result.findings] == [(MUST, "fail"), (SHOULD, "warn")]


def test_a_requirement_broken_once_is_not_proven() -> None:
    result = judge(CATALOGUE, case(), [good(MUST), good(SHOULD), bad(MUST)], JUDGE_ALL)
    assert result.proven == {SHOULD}


@pytest.mark.parametrize(
    ("rules", "requirement", "verdict"),
    [
        (Rules(documented_only=True), INFERRED_MUST, Verdict.PASS),
        (Rules(documented_only=True), MUST, Verdict.FAIL),
        (Rules(frozenset({"MUST"})), SHOULD, Verdict.PASS),
        (Rules(frozenset({"MUST"})), MUST_NOT, Verdict.FAIL),
    ],
)
def test_rules_choose_what_is_judged(rules: Rules, requirement: str, verdict: Verdict) -> None:
    assert judge(CATALOGUE, case(), [bad(requirement)], rules).verdict is verdict


def test_levels() -> None:
    assert strongest(["SHOULD NOT", "MAY"]) == "SHOULD"
    assert strongest(["MAY", "MUST NOT"]) == "MUST"
    assert strongest([]) == "MUST"


def result_of(*outcomes: Outcome, id: str = "some-case", requirements: tuple[str, ...] = ()) -> CaseResult:
    return judge(CATALOGUE, case(*requirements, id=id), outcomes, JUDGE_ALL)


def expectation(case_: str | None = None, requirement: str | None = None) -> Expectation:
    return Expectation(case_, requirement, "known, ticket 7", "target.yaml:9")


def test_an_expected_failure_is_excused_by_case_or_by_requirement() -> None:
    failed = result_of(bad(MUST), id="one")
    (marked,), stale = expect_failures([failed], [expectation("one")])
    assert (marked.expected_failure, stale) == ("known, ticket 7", ())
    assert marked.verdict is Verdict.FAIL
    (marked,), stale = expect_failures([failed], [expectation(requirement=MUST)])
    assert (marked.expected_failure, stale) == ("known, ticket 7", ())


def test_an_expectation_hides_no_other_fault() -> None:
    failed = result_of(bad(MUST), bad(MUST_NOT), id="one")
    (marked,), _ = expect_failures([failed], [expectation(requirement=MUST)])
    assert marked.expected_failure is None
    failed = result_of(bad(MUST), bad(), id="one")
    (marked,), _ = expect_failures([failed], [expectation(requirement=MUST)])
    assert marked.expected_failure is None


def test_an_expectation_that_passes_is_stale_and_one_that_did_not_run_is_not() -> None:
    passed = result_of(good(MUST), id="one", requirements=(MUST,))
    _, stale = expect_failures([passed], [expectation("one"), expectation(requirement=MUST)])
    assert len(stale) == 2
    assert all("target.yaml:9" in line for line in stale)
    assert "ticket 7" in stale[0]
    _, stale = expect_failures([passed], [expectation("two"), expectation(requirement=SHOULD)])
    assert stale == ()
    both = [passed, result_of(bad(MUST), id="two", requirements=(MUST,))]
    _, stale = expect_failures(both, [expectation(requirement=MUST)])
    assert stale == ()


def test_the_table_of_requirements_says_the_worst() -> None:
    results = [
        result_of(good(MUST), id="a", requirements=(MUST, SHOULD)),
        result_of(bad(SHOULD), id="b", requirements=(SHOULD,)),
        CaseResult(case(MUST_NOT, id="c"), Verdict.NOT_APPLICABLE, reason="no"),
        CaseResult(case(MUST_NOT, id="d"), Verdict.UNTESTABLE, reason="no"),
    ]
    table = {
        row.id: row for row in requirement_table(CATALOGUE, results, [result.case for result in results])
    }
    assert table[MUST].verdict == "pass"
    assert table[SHOULD].verdict == "warn"
    assert table[SHOULD].cases == ("a", "b")
    assert table[MUST_NOT].verdict == "untestable"
    assert table[INFERRED_MUST].verdict == "untested"
    assert len(table) == len(REQUIREMENTS)


def test_a_rule_that_a_case_breaks_without_being_about_it_is_broken_all_the_same() -> None:
    case = replace(all_cases("message-life")[0], requirements=(SHOULD,))
    result = judge(CATALOGUE, case, [Outcome(False, (MUST,), "wrong")], JUDGE_ALL)
    (row,) = (r for r in requirement_table(CATALOGUE, [result], [case]) if r.id == MUST)
    assert (row.verdict, row.cases) == ("fail", (case.id,))


def test_a_step_that_was_never_reached_proves_nothing() -> None:
    stopped = result_of(bad(MUST), requirements=(MUST, SHOULD))
    table = {row.id: row.verdict for row in requirement_table(CATALOGUE, [stopped], [stopped.case])}
    assert table[MUST] == "fail"
    assert table[SHOULD] == "untested"


def test_shapes_are_reported_per_type_once_per_violation() -> None:
    book = ShapeBook()
    frame = {"type": "deliver"}
    for text in (
        b'{"type":"heartbeat_ack","timestamp":"x"}',
        b'{"type":"heartbeat_ack","timestamp":"y","z":1}',
    ):
        validation = CATALOGUE.validate(text, "s2c")
        book.arrived["heartbeat_ack"] = book.arrived.get("heartbeat_ack", 0) + 1
        for finding in validation.findings:
            book.note("heartbeat_ack", finding, frame, "some-case", "alice", 1.0)
    messages, acks = shape_cases(CATALOGUE, book, JUDGE_ALL)
    assert messages.verdict is Verdict.PASS
    assert messages.case.id == "shape-messages"
    assert acks.case.id == "shape-heartbeat-ack"
    assert [(f.severity, f.requirement) for f in acks.findings] == [("fail", "VAL-26"), ("warn", "ENV-05")]
    assert "2 times" in acks.findings[0].message
    assert shape_cases(CATALOGUE, ShapeBook(), JUDGE_ALL) == ()


def run_of(*results: CaseResult, stale: tuple[str, ...] = (), interrupted: bool = False) -> RunResult:
    return RunResult(results, (), "2026-01-01T00:00:00Z", 1.0, "s", "header", stale, interrupted=interrupted)


def shape_passes() -> CaseResult:
    book = ShapeBook()
    book.arrived["heartbeat_ack"] = 1
    return shape_cases(CATALOGUE, book, JUDGE_ALL)[0]


@pytest.mark.parametrize(
    ("result", "fail_on", "code"),
    [
        (run_of(result_of(good(MUST))), (), ExitCode.OK),
        (run_of(result_of(bad(SHOULD))), (), ExitCode.OK),
        (run_of(result_of(bad(SHOULD))), ("warn",), ExitCode.FAILED),
        (run_of(result_of(bad(MUST))), (), ExitCode.FAILED),
        (run_of(replace(result_of(bad(MUST)), expected_failure="known")), (), ExitCode.OK),
        (run_of(result_of(good(MUST)), stale=("x",)), (), ExitCode.FAILED),
        (run_of(result_of(bad(blame="kit")), result_of(bad(MUST))), (), ExitCode.KIT_DEFECT),
        (run_of(), (), ExitCode.NOTHING),
        (run_of(shape_passes()), (), ExitCode.NOTHING),
        (run_of(CaseResult(case(), Verdict.UNTESTABLE), shape_passes()), (), ExitCode.NOTHING),
        (run_of(CaseResult(case(), Verdict.UNTESTABLE), result_of(good(MUST))), (), ExitCode.OK),
        (
            run_of(CaseResult(case(), Verdict.UNTESTABLE), result_of(good(MUST))),
            ("untestable",),
            ExitCode.FAILED,
        ),
        (run_of(result_of(bad(MUST)), interrupted=True), (), ExitCode.INTERRUPTED),
    ],
)
def test_exit_codes(result: RunResult, fail_on: tuple[str, ...], code: ExitCode) -> None:
    assert exit_code(result, frozenset(fail_on)) == code
