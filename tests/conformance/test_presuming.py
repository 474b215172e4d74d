"""Whom to blame for a frame that did not come: by tables, and against a server that never sends a kind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from fixtures import fakes
from support.suite import QUICK, all_cases, judge, make_target

from relaykit.conformance.expectations import Expectation
from relaykit.conformance.judge import JUDGE_ALL, Rules, expected_reason
from relaykit.conformance.judge import judge as judge_case
from relaykit.conformance.presuming import settle_blame
from relaykit.conformance.probes.backlog import _judge_order
from relaykit.conformance.results import CaseResult, Outcome, Verdict
from relaykit.schemas import load_catalogue

CATALOGUE = load_catalogue()
AGAIN = {"type": "deliver", "message_id": "m"}
"""What comes to a device that has not acknowledged (OFF-03), whatever strangers did (MSG-38, AUTH-17)."""


def missed(*requirements: str, actual: Any = None, expected: Any = AGAIN) -> Outcome:
    return Outcome(False, requirements, "bob expected deliver", expected, actual, step="/0", actor="bob")


def kept(*requirements: str) -> Outcome:
    return Outcome(True, requirements)


def settled(*cases: list[Outcome], rules: Rules = JUDGE_ALL) -> list[CaseResult]:
    some = all_cases("message-life")[0]
    results = [
        judge_case(CATALOGUE, replace(some, id=f"case-{number}"), outcomes, rules)
        for number, outcomes in enumerate(cases)
    ]
    return list(settle_blame(CATALOGUE, results, rules))


def blamed(result: CaseResult) -> list[str | None]:
    return [finding.requirement for finding in result.findings]


def test_a_rule_is_not_blamed_for_what_never_comes() -> None:
    (first, _) = settled([missed("AUTH-17", "MSG-38")], [missed("OFF-03")])
    assert blamed(first) == ["OFF-03"]
    assert "says nothing" not in first.findings[0].message
    assert "nothing is said of AUTH-17, MSG-38" in first.findings[0].message
    assert first.verdict is Verdict.FAIL


def test_a_rule_is_blamed_for_what_comes_elsewhere() -> None:
    (first, *_) = settled([missed("MSG-38")], [missed("OFF-03")], [kept("OFF-03")])
    assert blamed(first) == ["MSG-38"]
    assert first.findings[0].message == "bob expected deliver"


def test_a_run_that_does_not_tell_says_so() -> None:
    (only,) = settled([missed("MSG-38")])
    assert blamed(only) == ["MSG-38"]
    assert "--run requirement:OFF-03 tells" in only.findings[0].message


@pytest.mark.parametrize(
    ("actual", "rule"),
    [
        ({"type": "deliver", "message_id": "M", "payload": {}}, "OFF-06"),
        ({"type": "deliver", "message_id": "another"}, "OFF-03"),
        ({"type": "sent_ack", "message_id": "m"}, "OFF-03"),
        ("closed (1011)", "OFF-03"),
    ],
)
def test_a_frame_that_comes_changed_is_blamed_on_the_rule_that_it_breaks(actual: Any, rule: str) -> None:
    (first, _) = settled([missed("OFF-06", actual=actual)], [missed("OFF-03")])
    assert blamed(first) == [rule]


def test_only_a_presupposed_rule_about_such_frames_is_blamed() -> None:
    """No redelivery is no reason why no status came."""
    update = {"type": "status_update", "message_id": "m"}
    (first, *_) = settled([missed("MSG-38", expected=update)], [missed("OFF-03")], [kept("MSG-21")])
    assert blamed(first) == ["MSG-38"]


def test_alternatives_count_as_what_was_expected() -> None:
    expected = [{"type": "error"}, {"type": "sent_ack", "message_id": "m"}, "a close"]
    (first, _) = settled([missed("AUTH-17", expected=expected)], [missed("MSG-12")])
    assert blamed(first) == ["MSG-12"]


def test_a_frame_that_must_not_come_is_its_own_proof() -> None:
    (first, _) = settled([missed("MSG-38", expected="nothing", actual=AGAIN)], [missed("OFF-03")])
    assert blamed(first) == ["MSG-38"]


def test_a_rule_beside_says_on_what_a_step_rests() -> None:
    (only,) = settled([missed("OFF-07", "AUTH-19")])
    assert blamed(only) == ["OFF-07"]
    assert only.findings[0].message.endswith("so that nothing is said of AUTH-19)")


def test_a_rule_of_another_step_says_nothing_of_this_one() -> None:
    elsewhere = replace(missed("OFF-07"), step="/9")
    (first, _) = settled([missed("AUTH-19"), elsewhere], [kept("MSG-17")])
    assert blamed(first) == ["AUTH-19", "OFF-07"]


def test_a_should_that_rests_on_a_must_is_a_warning_still() -> None:
    update = {"type": "status_update", "message_id": "m"}
    (first, _) = settled([missed("GRP-17", expected=update)], [missed("MSG-21", expected=update)])
    assert blamed(first) == ["MSG-21"]
    assert first.verdict is Verdict.WARN


def test_a_rule_that_the_run_does_not_judge_by_is_not_named() -> None:
    old = {"type": "message", "payload": {}}
    rules = Rules(documented_only=True)
    (first, _) = settled([missed("LEG-09", expected=old)], [missed("LEG-06", expected=old)], rules=rules)
    assert blamed(first) == [None]
    assert "nothing is said of LEG-09" in first.findings[0].message
    assert first.verdict is Verdict.FAIL


def test_a_server_without_status_updates_lets_no_stranger_acknowledge() -> None:
    async def main() -> set[str | None]:
        server = fakes.minimal()

        async def silent(*_: object) -> None:
            return

        server.status = silent  # type: ignore[method-assign]
        async with server.running() as url:
            cases = all_cases("message-life", "ack-by-a-stranger", "receipt-by-a-stranger")
            result = await judge(make_target(url, timing=QUICK), cases)
        assert {row.id for row in result.requirements if row.verdict == "fail"} == {"MSG-21"}
        return {finding.requirement for case in result.cases for finding in case.findings}

    assert asyncio.run(main()) == {"MSG-21"}


def test_a_server_that_delivers_nothing_late_is_not_said_to_bound_what_waits_and_lose_it() -> None:
    class Forgetful(dict[Any, Any]):
        def get(self, *_: Any) -> Any:
            return {}

    async def main() -> set[str | None]:
        server = fakes.minimal(limits={"waiting_per_user": 5})
        server.waiting = Forgetful()
        async with server.running() as url:
            cases = all_cases("waiting-messages-bounded", "offline-delivery")
            target = make_target(url, timing=QUICK, limits={"waiting_per_user": 5})
            result = await judge(target, cases)
        assert {row.id: row.verdict for row in result.requirements}["LIM-20"] != "pass"
        return {finding.requirement for case in result.cases for finding in case.findings}

    assert asyncio.run(main()) == {"OFF-01"}


def excused(result: CaseResult, *expected: str) -> bool:
    entries = [Expectation(None, name, f"no {name} yet", "target.yaml:9") for name in expected]
    return expected_reason(result, entries) is not None


@pytest.mark.parametrize(
    ("expected", "right"),
    [(("OFF-03",), True), (("MSG-38", "AUTH-17"), True), (("MSG-38",), False), (("OFF-01",), False)],
)
def test_a_failure_is_expected_alone_and_in_the_whole_run_alike(
    expected: tuple[str, ...], right: bool
) -> None:
    """pytest, --max-fail and a shard see it before the whole run is there to tell whom to blame."""
    live = judge_case(CATALOGUE, all_cases("message-life")[0], [missed("AUTH-17", "MSG-38")], JUDGE_ALL)
    (alone,) = settled([missed("AUTH-17", "MSG-38")])
    (whole, _) = settled([missed("AUTH-17", "MSG-38")], [missed("OFF-03")])
    (elsewhere, *_) = settled([missed("AUTH-17", "MSG-38")], [kept("OFF-03")])
    assert [excused(each, *expected) for each in (live, alone, whole, elsewhere)] == [right] * 4


def test_an_expected_lack_excuses_nothing_that_came() -> None:
    (first,) = settled([missed("OFF-06", actual={"type": "deliver", "message_id": "m", "payload": {}})])
    assert not excused(first, "OFF-03")
    (second,) = settled([missed("MSG-38", expected="nothing", actual=AGAIN)])
    assert not excused(second, "OFF-03")


def test_expected_failures_stop_no_run() -> None:
    async def main() -> None:
        server = fakes.minimal()

        async def silent(*_: object) -> None:
            return

        server.status = silent  # type: ignore[method-assign]
        entry = {"requirement": "MSG-21", "reason": "not yet"}
        async with server.running() as url:
            target = make_target(url, timing=QUICK, expected_failures=[entry])
            cases = all_cases("ack-by-a-stranger", "receipt-by-a-stranger")
            result = await judge(target, cases, max_fail=1, jobs=1)
        ran = [each for each in result.cases if each.case.kind == "scenario"]
        assert [(each.verdict, each.expected_failure) for each in ran] == [(Verdict.FAIL, "not yet")] * 2

    asyncio.run(main())


@pytest.mark.parametrize(
    ("rule", "kind", "base"),
    [
        ("VAL-11", "deliver", "OFF-03"),
        ("VAL-22", "status_update", "MSG-21"),
        ("ENV-10", "deliver", "OFF-01"),
    ],
)
def test_rules_that_are_seen_in_what_may_never_come(rule: str, kind: str, base: str) -> None:
    frame = {"type": kind, "message_id": "m"}
    (first, *_) = settled([missed(rule, expected=frame)], [missed(base, expected=frame)])
    assert base in blamed(first)
    assert rule not in blamed(first)


@pytest.mark.parametrize(
    ("came", "broken"),
    [
        (range(1, 11), set()),
        (range(7, 11), {"OFF-01"}),  # nothing is kept; 5 and 6 may have been sent before the device was there
        ([1, 2, 3, 4, 7, 8, 9, 10], {"MSG-16"}),
        ([8, 9, 10], {"OFF-01", "MSG-16"}),
    ],
)
def test_what_waited_and_never_came_is_no_lost_live_message(came: Iterable[int], broken: set[str]) -> None:
    names = [str(number) for number in range(1, 11)]
    found: dict[str, bool] = {}

    class Book:
        def prove(self, rules: tuple[str, ...], _: str) -> None:
            found[rules[0]] = True

        def fail(self, rules: tuple[str, ...], *_: Any, **__: Any) -> None:
            found[rules[0]] = False

    device: Any = SimpleNamespace(label="bob")
    book: Any = Book()
    _judge_order(book, device, names, (4, 6), [str(number) for number in came])
    assert {rule for rule, right in found.items() if not right} == broken
