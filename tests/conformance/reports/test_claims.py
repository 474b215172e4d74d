"""What a run lets a server claim."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.reports import case, finding, make, row

from relaykit.conformance.reports.badge import message, to_endpoint, to_svg
from relaykit.conformance.reports.claims import claim_text, claimed
from relaykit.schemas import load_catalogue

CALL = row("CALL-01", "pass", capability="calls", area="calls")


def verdicts(data: dict[str, Any]) -> dict[str, str]:
    return {claim["name"]: claim["verdict"] for claim in data["outcome"]["profiles"]}


def with_calls(cases: list[dict[str, Any]], rows: list[dict[str, Any]], *more: str) -> dict[str, Any]:
    target = {"name": "a", "url": "ws://a/ws", "capabilities": ["core", "calls", *more]}
    return make(cases, rows, target=target)


def test_all_musts_shown_is_a_claim() -> None:
    data = with_calls([case()], [row(), CALL])
    assert verdicts(data) == {"core": "conformant", "calls": "conformant"}
    assert claim_text(data) == "conformant to core, calls"


def test_what_is_not_declared_is_not_claimed() -> None:
    data = make([case()], [row(), {**CALL, "verdict": "not-applicable"}])
    assert verdicts(data) == {"core": "conformant", "calls": "not-declared"}
    assert data["outcome"]["profiles"][1]["missing"] == ["calls"]


@pytest.mark.parametrize("verdict", ["fail", "error", "untestable", "untested"])
def test_one_must_that_is_broken_or_not_shown_is_no_claim(verdict: str) -> None:
    data = make([case()], [row(), row("MSG-13", verdict)])
    state = "broken" if verdict in ("fail", "error") else "unshown"
    assert verdicts(data)["core"] == state
    assert claimed(data) == []
    assert "MSG-13" in claim_text(data)


@pytest.mark.parametrize(
    "harmless",
    [
        row("MSG-13", "warn", level="SHOULD"),
        row("MSG-13", "untestable", level="SHOULD NOT"),
        row("MSG-13", "untested", level="MAY"),
        row("MSG-13", "not-applicable"),
        row("MSG-13", "untested", untested="nobody can see it from outside"),
        row("CALL-02", "fail", capability="calls"),
    ],
)
def test_what_does_not_stand_against_the_core(harmless: dict[str, Any]) -> None:
    assert verdicts(make([case()], [row(), harmless]))["core"] == "conformant"


def test_a_failed_step_without_requirement_stands_against_it() -> None:
    broken = case("connects", "fail", findings=[finding(None)])
    data = make([case(), broken])
    assert data["outcome"]["profiles"][0]["broken"] == ["connects"]
    # One about calls is none of the core's business.
    far = case("calls-connect", "fail", findings=[finding(None)], capabilities=["core", "calls"])
    data = with_calls([case(), far], [row(), CALL])
    assert verdicts(data) == {"core": "conformant", "calls": "broken"}


def test_an_expected_failure_is_still_one() -> None:
    data = make([case(verdict="fail", expected_failure="ticket 7")], [row(verdict="fail")])
    assert data["outcome"]["exit_code"] == 0
    assert verdicts(data)["core"] == "broken"


def test_optional_capabilities_count_where_declared() -> None:
    typing = row("TYP-01", "fail", capability="typing", area="typing")
    assert verdicts(with_calls([case()], [row(), CALL, typing])) == {
        "core": "conformant",
        "calls": "conformant",
    }
    declared = with_calls([case()], [row(), CALL, typing], "typing")
    assert verdicts(declared) == {"core": "broken", "calls": "broken"}


def test_no_case_is_no_claim() -> None:
    assert claimed(make([], [])) == []


def test_the_catalogue_has_the_profiles_that_reports_use() -> None:
    assert list(load_catalogue().protocol.profiles) == [
        "core",
        "groups",
        "calls",
        "sync",
        "devices",
        "legacy",
    ]


@pytest.mark.parametrize(
    ("data", "said", "colour"),
    [
        (with_calls([case()], [row(), CALL]), "core + calls", "brightgreen"),
        (make([case(verdict="fail")], [row(verdict="fail")]), "1 broken", "red"),
        (make([case()], [row(), row("MSG-13", "untested")]), "not shown", "yellow"),
        (make([case("x", "error", findings=[finding(blame="kit")])]), "not judged", "lightgrey"),
    ],
)
def test_a_badge_says_no_more_than_what_was_shown(data: dict[str, Any], said: str, colour: str) -> None:
    assert message(data) == (said, colour)
    endpoint = json.loads(to_endpoint(data))
    assert endpoint["schemaVersion"] == 1
    assert (endpoint["label"], endpoint["message"]) == ("relay protocol 1.0", said)
    svg = to_svg(data).decode()
    assert f"relay protocol 1.0: {said}" in svg
    assert "<script" not in svg
