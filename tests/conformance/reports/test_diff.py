"""What got better and worse between two reports."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.reports import case, finding, make, row

from relaykit.conformance.reports.diff import as_json, as_markdown, as_text, compare


def one(old: dict[str, Any] | None, new: dict[str, Any] | None) -> tuple[str | None, bool]:
    """The kind of the change of a case, and whether something got worse."""
    found = compare(make([old] if old else [], []), make([new] if new else [], []))
    return (found.changes[0].kind if found.changes else None), found.worse


@pytest.mark.parametrize(
    ("old", "new", "kind", "worse"),
    [
        ("pass", "fail", "worse", True),
        ("pass", "warn", "worse", True),
        ("warn", "fail", "worse", True),
        ("fail", "error", "worse", True),
        ("untestable", "fail", "worse", True),
        # A proof that was lost is worse, too.
        ("pass", "untestable", "worse", True),
        ("pass", "not-applicable", "worse", True),
        ("fail", "pass", "better", False),
        ("fail", "warn", "better", False),
        ("untestable", "pass", "better", False),
        # Nothing shows that it was mended.
        ("fail", "untestable", "changed", False),
        ("fail", "not-applicable", "changed", False),
        ("untestable", "not-applicable", "changed", False),
        ("pass", "pass", None, False),
        ("fail", "fail", None, False),
        (None, "pass", "new", False),
        (None, "fail", "new", True),
        ("pass", None, "gone", False),
        ("fail", None, "gone", False),
    ],
)
def test_a_case(old: str | None, new: str | None, kind: str | None, worse: bool) -> None:
    assert one(old and case("a", old), new and case("a", new)) == (kind, worse)


def test_an_expected_failure_is_not_worse() -> None:
    excused = case("a", "fail", expected_failure="ticket 7")
    assert one(case("a"), excused) == ("changed", False)
    assert one(None, excused) == ("new", False)
    assert one(excused, case("a")) == ("better", False)


def test_a_failure_that_comes_only_now_and_then_is_told() -> None:
    def steady(same: int) -> dict[str, Any]:
        result = "deterministic" if same == 3 else "flaky"
        return case("a", "fail", stability={"result": result, "runs": 3, "same": same, "alone": True})

    (change,) = compare(make([steady(3)], []), make([steady(1)], [])).changes
    assert (change.kind, change.old, change.new) == ("changed", "fail, deterministic", "fail, flaky 1/3")
    assert not change.bad
    (change,) = compare(make([steady(2)], []), make([steady(3)], [])).changes
    assert (change.old, change.new) == ("fail, flaky 2/3", "fail, deterministic")
    # Two in three or one in three: that is chance, and no news.
    assert not compare(make([steady(1)], []), make([steady(2)], [])).changes
    assert not compare(make([steady(1)], []), make([case("a", "fail")], [])).changes


def test_an_error_that_replaces_an_expected_failure_is_worse() -> None:
    excused = case("a", "fail", expected_failure="ticket 7")
    assert one(excused, case("a", "error", findings=[finding(blame="kit")])) == ("worse", True)


def test_requirements_are_compared_as_well() -> None:
    old = make([case()], [row("MSG-01", "pass"), row("MSG-02", "untested"), row("MSG-03", "pass")])
    new = make([case()], [row("MSG-01", "fail"), row("MSG-02", "pass"), row("MSG-03", "untested")])
    found = compare(old, new)
    kinds = {change.name: change.kind for change in found.changes}
    assert kinds == {"MSG-01": "worse", "MSG-02": "new", "MSG-03": "gone"}
    assert found.worse


def test_a_requirement_that_only_expected_failures_break_is_not_worse() -> None:
    broken = case("a", "fail", expected_failure="ticket 7", findings=[finding("MSG-01")])
    found = compare(make([case("a")], [row("MSG-01")]), make([broken], [row("MSG-01", "fail")]))
    assert not found.worse
    other = case("b", "fail", findings=[finding("MSG-01")])
    found = compare(
        make([case("a"), case("b")], [row("MSG-01")]), make([broken, other], [row("MSG-01", "fail")])
    )
    assert found.worse


def test_differences_of_the_runs_are_told() -> None:
    new = make()
    new["protocol"] = {**new["protocol"], "catalogue": "cd" * 32}
    new["target"] = {**new["target"], "name": "other", "capabilities": ["core", "calls"]}
    new["options"] = {"run": ["message-*"]}
    notes = " | ".join(compare(make(), new).notes)
    for part in ("target differs", "catalogue differs", "+calls", "chose or judged"):
        assert part in notes


def test_the_forms() -> None:
    old = make([case("a"), case("b", "fail"), case("c")], [row()])
    new = make([case("a", "fail", title="<b>`x`"), case("b"), case("d", "fail")], [row(verdict="fail")])
    found = compare(old, new)
    text = as_text(found)
    assert text.index("Worse (2)") < text.index("Better (1)") < text.index("New (1)") < text.index("Gone (1)")
    assert "pass → fail" in text
    assert "alice expected sent_ack, but nothing came" in text
    assert text.endswith("2 worse, 1 better, 1 new, 1 gone (1 new failure)")
    data = json.loads(as_json(found))
    assert data["worse"] is True
    assert {(c["what"], c["id"]): c["kind"] for c in data["changes"]} == {
        ("case", "a"): "worse",
        ("case", "b"): "better",
        ("case", "c"): "gone",
        ("case", "d"): "new",
        ("requirement", "MSG-12"): "worse",
    }
    markdown = as_markdown(found)
    assert markdown.startswith("## ❌ 2 worse")
    assert "<b>" not in markdown
    assert "No verdict differs".lower() in as_text(compare(old, old))
