"""Reports of shards become one."""

from __future__ import annotations

import asyncio
import copy
from dataclasses import replace
from typing import Any

import pytest
from fixtures import fakes
from support.reports import VALIDATOR, case, finding, make, row
from support.suite import QUICK, all_cases, as_report, judge, make_target

from relaykit.conformance.judge import JUDGE_ALL, requirement_table
from relaykit.conformance.judge import judge as judge_case
from relaykit.conformance.presuming import settle_blame
from relaykit.conformance.reports.merge import merge
from relaykit.conformance.results import Outcome, RunResult
from relaykit.errors import UsageError
from relaykit.schemas import load_catalogue


def merged(*reports: dict[str, Any], force: bool = False) -> dict[str, Any]:
    data = merge([(f"{n}.json", report) for n, report in enumerate(reports, 1)], force=force)
    VALIDATOR.validate(data)
    return data


def test_shards_add_up() -> None:
    first = make([case("a")], [row("MSG-01", "pass", cases=["a"]), row("MSG-02", "untested", cases=[])])
    second = make([case("b")], [row("MSG-01", "untested", cases=[]), row("MSG-02", "pass", cases=["b"])])
    assert first["outcome"]["profiles"][0]["verdict"] == "unshown"
    data = merged(first, second)
    assert [each["id"] for each in data["cases"]] == ["a", "b"]
    assert data["summary"]["pass"] == 2
    assert data["outcome"]["text"] == "2 pass"
    assert data["outcome"]["profiles"][0]["verdict"] == "conformant"
    assert data["duration_s"] == 2.5
    assert data["seed"] == "2f1ea167"
    assert [(r["id"], r["verdict"], r["cases"]) for r in data["requirements"]] == [
        ("MSG-01", "pass", ["a"]),
        ("MSG-02", "pass", ["b"]),
    ]
    assert "merged from 2 reports" in data["notes"][-1]


def test_a_shard_that_is_given_twice_is_noted() -> None:
    parts = [make([case(name)]) for name in "aba"]
    for part, shard in zip(parts, ("1/2", "2/2", "1/2"), strict=True):
        part["options"]["shard"] = shard
    said = "more than one report of shard 1/2: 1.json, 3.json"
    assert said in merged(*parts)["notes"]
    assert not [note for note in merged(*parts[:2])["notes"] if "more than one" in note]


def test_the_reports_themselves_stay_as_they_are() -> None:
    first, second = make([case("a")]), make([case("b", "fail")], [row(verdict="fail")])
    before = copy.deepcopy((first, second))
    merged(first, second)
    assert (first, second) == before


def test_one_failing_shard_fails_all_of_it() -> None:
    data = merged(make([case("a")]), make([case("b", "fail")], [row(verdict="fail")]))
    assert data["outcome"]["exit_code"] == 1
    assert data["requirements"][0]["verdict"] == "fail"
    assert data["outcome"]["profiles"][0]["verdict"] == "broken"


@pytest.mark.parametrize(
    ("verdicts", "counts"),
    [
        (("pass", "fail"), "fail"),
        (("fail", "pass"), "fail"),
        (("untestable", "pass"), "pass"),
        (("warn", "pass"), "warn"),
        (("pass", "pass"), "pass"),
    ],
)
def test_a_case_in_two_reports_counts_once_with_its_worst_verdict(verdicts: Any, counts: str) -> None:
    data = merged(*(make([case("a", verdict)]) for verdict in verdicts))
    (only,) = data["cases"]
    assert only["verdict"] == counts
    assert data["summary"][counts] == 1
    told = [note for note in data["notes"] if "different verdicts" in note]
    assert bool(told) == (verdicts[0] != verdicts[1])


def test_shapes_of_all_shards_come_together() -> None:
    def shape(*findings: dict[str, Any]) -> dict[str, Any]:
        verdict = "fail" if findings else "pass"
        return case("shape-x", verdict, kind="shape", findings=list(findings), transcript=[])

    one = finding(message="/a: wrong (3 times, first in a)", step="/a", expected="x", case="a")
    same = finding(message="/a: wrong (once, first in b)", step="/a", expected="x", case="b")
    other = finding(message="/b: wrong (once, first in b)", step="/b", expected="x", case="b")
    data = merged(
        make([case("a"), shape(one)]), make([case("b"), shape(same, other)]), make([case("c"), shape()])
    )
    (found,) = [each for each in data["cases"] if each["id"] == "shape-x"]
    assert found["verdict"] == "fail"
    assert [each["step"] for each in found["findings"]] == ["/a", "/b"]
    assert not any("different verdicts" in note for note in data["notes"])


def test_what_all_shards_left_behind_adds_up() -> None:
    first, second = make([case("a")]), make([case("b")])
    assert "tidied" not in merged(first, second)
    tidied = {
        "taken_back": {"groups": 2},
        "left": {"users": 3},
        "clock_s": 60.0,
        "reset": False,
        "why": ["slow"],
    }
    first["tidied"] = tidied
    second["tidied"] = {**tidied, "taken_back": {}, "left": {"users": 1, "groups": 1}, "clock_s": 0.0}
    assert merged(first, second)["tidied"] == {
        "taken_back": {"groups": 2},
        "left": {"users": 4, "groups": 1},
        "clock_s": 60.0,
        "reset": False,
        "why": ["slow"],
    }


def test_each_case_keeps_its_seed() -> None:
    data = merged(make([case("a")], seed="one"), make([case("b")], seed="two"))
    assert data["seed"] == "one, two"
    assert [each["seed"] for each in data["cases"]] == ["one", "two"]
    # And merging merged reports keeps it.
    again = merged(data, make([case("c")], seed="three"))
    assert [each["seed"] for each in again["cases"]] == ["one", "two", "three"]


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("target", "name"), "other", "another target"),
        (("target", "capabilities"), ["calls", "core"], "another set of capabilities"),
        (("protocol", "catalogue"), "cd" * 32, "another catalogue"),
        (("protocol", "version"), "2.0", "another protocol version"),
    ],
)
def test_what_does_not_belong_together_is_refused(path: tuple[str, str], value: Any, said: str) -> None:
    other = make([case("b")])
    other[path[0]] = {**other[path[0]], path[1]: value}
    with pytest.raises(UsageError, match=said) as caught:
        merged(make([case("a")]), other)
    assert "--force" in (caught.value.hint or "")
    data = merged(make([case("a")]), other, force=True)
    assert any(said in note for note in data["notes"])


def test_a_launched_target_has_another_port_each_time() -> None:
    def launched(port: int, command: str, name: str) -> dict[str, Any]:
        url = f"ws://127.0.0.1:{port}/ws"
        target = {"name": url, "url": url, "capabilities": ["core"]}
        return make([case(name)], target=target, options={"launch": command})

    assert len(merged(launched(1, "serve", "a"), launched(2, "serve", "b"))["cases"]) == 2
    with pytest.raises(UsageError, match="another target"):
        merged(launched(1, "serve", "a"), launched(2, "other", "b"))


def test_the_exit_codes() -> None:
    fine = make([case("a")])
    nothing = make([case("z", "not-applicable")])
    nothing["outcome"]["exit_code"] = 4
    assert merged(fine, nothing)["outcome"]["exit_code"] == 0
    assert merged(nothing, nothing)["outcome"]["exit_code"] == 4
    strict = make([case("s", "untestable"), case("t")])
    strict["outcome"]["exit_code"] = 1  # --fail-on untestable
    assert merged(fine, strict)["outcome"]["exit_code"] == 1
    broken = make([case("e", "error", findings=[finding(blame="kit")])])
    assert merged(fine, broken)["outcome"]["exit_code"] == 5
    stopped = make([case("i", "untestable")])
    stopped["outcome"] |= {"exit_code": 130, "interrupted": True}
    data = merged(fine, stopped)
    assert data["outcome"]["exit_code"] == 130
    assert data["outcome"]["text"].startswith("interrupted: ")


def test_an_expectation_is_stale_only_where_no_shard_has_its_failure() -> None:
    line = "target.yaml:9: MSG-12 is expected to fail (ticket 7), but passes: remove the entry"
    first = make([case("a")], stale=[line])
    second = make([case("b", "fail", expected_failure="ticket 7")], [row(verdict="fail")])
    assert merged(first, second)["stale"] == []
    other = make([case("c")], stale=[line.replace("MSG-12", "MSG-13")])
    assert len(merged(first, second, other)["stale"]) == 1
    assert merged(first, make([case("b")]))["stale"] == [line]


def test_blame_is_settled_once_more_among_all_shards() -> None:
    """A server without status updates: one shard asks for those, the other for what strangers' acks do."""

    async def main() -> tuple[dict[str, Any], dict[str, Any]]:
        server = fakes.minimal()

        async def silent(*_: object) -> None:
            return

        server.status = silent  # type: ignore[method-assign]
        async with server.running() as url:
            target = make_target(url, timing=QUICK)
            shards = (all_cases("ack-by-a-stranger", "receipt-by-a-stranger"), all_cases("message-life"))
            parts = [as_report(await judge(target, shard), target) for shard in shards]
            whole = as_report(await judge(target, [case for shard in shards for case in shard]), target)
        return merged(*parts), whole

    together, whole = asyncio.run(main())
    blamed, right = (
        {
            (case["id"], finding["requirement"], finding["message"], finding["severity"])
            for case in data["cases"]
            for finding in case["findings"]
        }
        for data in (together, whole)
    )
    assert {requirement for _, requirement, *_ in right} == {"MSG-21"}
    assert blamed == right
    for what in ("id", "verdict"):
        assert [row[what] for row in together["requirements"]] == [row[what] for row in whole["requirements"]]
    assert together["summary"] == whole["summary"]
    assert merged(together, whole)["summary"] == whole["summary"]


def test_what_one_shard_keeps_is_not_blamed_in_another() -> None:
    catalogue = load_catalogue()
    some = all_cases("message-life")[0]
    again = {"type": "deliver", "message_id": "m"}
    target = make_target("ws://localhost:1")

    def shard(name: str, *outcomes: Outcome) -> dict[str, Any]:
        result = judge_case(catalogue, replace(some, id=name), outcomes, JUDGE_ALL)
        settled = settle_blame(catalogue, [result], JUDGE_ALL)
        rows = requirement_table(catalogue, settled, [result.case])
        return as_report(RunResult(settled, rows, "2026-01-01T00:00:00Z", 0.0, "s", "header"), target)

    both = Outcome(False, ("OFF-07", "AUTH-19"), "bob expected deliver", again, None, step="/0", actor="bob")
    first = shard("a", both)
    (only,) = first["cases"][0]["findings"]
    assert (only["requirement"], only["instead_of"]) == ("OFF-07", ["OFF-07", "AUTH-19"])
    data = merged(first, shard("b", Outcome(True, ("OFF-07",))))
    found = [(each["requirement"], each["message"]) for each in data["cases"][0]["findings"]]
    assert found == [("OFF-07", "bob expected deliver"), ("AUTH-19", "bob expected deliver")]
