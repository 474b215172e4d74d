"""The verdict on a defect: killed only by a step that names what it breaks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rich.console import Console
from support.suite import every_case

from relaykit.config import Document, problems
from relaykit.conformance.results import CaseResult, Finding, RunResult, Verdict
from relaykit.conformance.selftest import matrix, show
from relaykit.conformance.selftest.judging import Outcome, Row, complaints, judge, rows, together, unusable
from relaykit.conformance.selftest.seeded import Seeded
from relaykit.schemas import load_catalogue

CATALOGUE = load_catalogue()
KNOWN = CATALOGUE.requirements
DEFECT = Seeded("no-sent-ack", "A send is not acknowledged.", "messages", ("MSG-12",), "standard")
CASE = next(case for case in every_case() if case.id == "message-life")


def finding(requirement: str | None, severity: Any = "fail", step: str = "/3/steps/1/expect") -> Finding:
    return Finding(
        requirement=requirement,
        level="MUST",
        provenance=None,
        severity=severity,
        blame="target",
        message="nothing came",
        expected="a frame",
        actual=None,
        step=step,
        actor="alice",
        t_ms=1.0,
    )


def result(*cases: CaseResult) -> RunResult:
    return RunResult(cases, (), "2026-03-01T09:30:00.000Z", 1.0, "seed", "header")


def failing(*findings: Finding, claims: tuple[str, ...] = ("MSG-12",), case: str = "one") -> CaseResult:
    return CaseResult(replace(CASE, id=case, requirements=claims), Verdict.FAIL, findings)


def passing(*claims: str) -> CaseResult:
    return CaseResult(replace(CASE, requirements=claims), Verdict.PASS)


def test_a_step_that_names_the_requirement_kills() -> None:
    verdict = judge(DEFECT, result(failing(finding("MSG-12"), finding("MSG-40"))), KNOWN)
    assert verdict.outcome is Outcome.KILLED
    assert [(kill.case, kill.step) for kill in verdict.kills["MSG-12"]] == [("one", "/steps/1/expect")]
    assert verdict.elsewhere == ("MSG-40",)
    assert verdict.witnesses == {"one"}


def test_a_step_that_names_another_requirement_or_none_does_not() -> None:
    for other in ("MSG-40", None):
        verdict = judge(DEFECT, result(failing(finding(other))), KNOWN)
        assert verdict.outcome is Outcome.MISNAMED
        assert "one" in verdict.reason


def test_nothing_failed_means_survived() -> None:
    assert judge(DEFECT, result(passing("MSG-12")), KNOWN).outcome is Outcome.SURVIVED


def test_no_case_that_could_run_means_unjudged_with_the_reason() -> None:
    claiming = replace(CASE, id="one", requirements=("MSG-12",))
    skipped = CaseResult(claiming, Verdict.UNTESTABLE, reason="needs inject_fault")
    verdict = judge(DEFECT, result(skipped, passing("MSG-40")), KNOWN)
    assert verdict.outcome is Outcome.UNJUDGED
    assert "needs inject_fault" in verdict.reason
    assert "no case names MSG-12" in judge(DEFECT, result(passing("MSG-40")), KNOWN).reason


def test_a_warning_kills_what_breaks_a_should_but_not_what_breaks_a_must() -> None:
    assert judge(DEFECT, result(failing(finding("MSG-12", "warn"))), KNOWN).outcome is Outcome.MISNAMED
    should = replace(DEFECT, breaks=("MSG-28",))
    assert judge(should, result(failing(finding("MSG-28", "warn"))), KNOWN).outcome is Outcome.KILLED


def test_every_requirement_must_be_killed() -> None:
    two = replace(DEFECT, breaks=("MSG-12", "MSG-40"))
    verdict = judge(two, result(failing(finding("MSG-12")), passing("MSG-40")), KNOWN)
    assert verdict.requirements["MSG-12"] is Outcome.KILLED
    assert verdict.outcome is Outcome.MISNAMED


def test_an_error_of_the_suite_is_no_kill() -> None:
    broken = replace(failing(finding("MSG-12")), verdict=Verdict.ERROR)
    verdict = judge(DEFECT, result(broken), KNOWN)
    assert verdict.outcome is Outcome.ERROR
    assert "one" in verdict.reason


def test_the_case_that_is_about_little_else_comes_first() -> None:
    broad = failing(finding("MSG-12"), claims=("MSG-12", "MSG-40", "MSG-41"), case="a")
    narrow = failing(finding("MSG-12"), claims=("MSG-12",), case="b")
    assert [kill.case for kill in judge(DEFECT, result(broad, narrow), KNOWN).kills["MSG-12"]] == ["b", "a"]


def test_of_several_rounds_the_best_counts_for_each_requirement() -> None:
    two = replace(DEFECT, breaks=("MSG-12", "MSG-40"))
    first = judge(two, result(failing(finding("MSG-12")), passing("MSG-40")), KNOWN)
    second = judge(two, result(passing("MSG-12"), failing(finding("MSG-40"))), KNOWN)
    assert together([first, second]).outcome is Outcome.KILLED
    assert together([first, first]).outcome is Outcome.MISNAMED
    nothing = judge(two, result(passing("MSG-12", "MSG-40")), KNOWN)
    assert together([nothing, nothing]).outcome is Outcome.SURVIVED


def test_what_the_sound_server_is_blamed_for_is_told() -> None:
    assert complaints(result(passing("MSG-12"))) == []
    assert complaints(result(failing(finding("MSG-12")))) == ["one: MSG-12: nothing came"]


def table(*verdicts: Any) -> dict[str, Row]:
    other = replace(DEFECT, id="late-ack")
    return {row.id: row for row in rows(KNOWN.values(), (DEFECT, other), verdicts)}


def test_requirements_are_proven_open_unproven_or_untested() -> None:
    killed = judge(DEFECT, result(failing(finding("MSG-12"))), KNOWN)
    found = table(killed)
    assert found["MSG-12"].verdict == "proven"
    assert found["MSG-12"].defects == ("no-sent-ack", "late-ack")
    assert found["MSG-13"].verdict == "unproven"
    assert found["PRIV-05"].verdict == "untested" and found["PRIV-05"].reason
    assert "MSG-28" not in found  # a SHOULD that no defect breaks
    assert table()["MSG-12"].verdict == "not-run"
    alive = replace(judge(DEFECT, result(passing("MSG-12")), KNOWN), defect=replace(DEFECT, id="late-ack"))
    assert table(killed, alive)["MSG-12"].verdict == "open"


def test_the_matrix_is_as_its_schema_says_and_notices_drift() -> None:
    killed = judge(DEFECT, result(failing(finding("MSG-12"))), KNOWN)
    lost = unusable(replace(DEFECT, id="late-ack"), "it does not start")
    for options in (None, {"seed": "x"}):
        data = matrix.as_data(CATALOGUE, (killed, lost), list(table(killed, lost).values()), options=options)
        assert problems(Document("matrix.json", data, {}), matrix.schema()) == []
    assert matrix.drift(data, (killed, lost)) == []
    survived = judge(DEFECT, result(passing("MSG-12")), KNOWN)
    assert matrix.drift(data, (survived,)) == ["no-sent-ack was killed, and is survived"]
    assert matrix.drift(data, (unusable(DEFECT, "the suite failed", Outcome.ERROR),)) == []
    elsewhere = judge(DEFECT, result(failing(finding("MSG-12"), case="two")), KNOWN)
    assert "no longer kill it" in matrix.drift(data, (elsewhere,))[0]
    assert matrix.drift(data, (unusable(replace(DEFECT, id="new"), ""),)) == ["new is not in it"]


def test_of_a_server_that_does_not_start_the_last_of_its_words_are_shown() -> None:
    words = "it began so\n" + "line\n" * 500 + "RuntimeError: it ended so"
    console = Console(record=True, width=100)
    show.alive(console, [unusable(DEFECT, words)])
    text = console.export_text()
    assert "it began so" in text
    assert "RuntimeError: it ended so" in text
    assert text.count("line\n") < 300
