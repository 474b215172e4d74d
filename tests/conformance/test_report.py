"""Reports: as their schema says, without any secret, whatever the target sent."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

import jsonschema
import pytest
from fixtures import fakes
from rich.console import Console
from support.reports import VALIDATOR, make
from support.suite import QUICK, all_cases, as_report, judge, make_target

from relaykit.conformance import terminal, wire
from relaykit.conformance.loader import schema
from relaykit.conformance.report import cut, to_json, to_junit
from relaykit.conformance.reports import view
from relaykit.conformance.reports.formats import parse_report, write
from relaykit.errors import UsageError


def judged(*faults: str, **more: Any) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        cases = all_cases("message-life", "stranger-*", "carrier-*", "token-*", "refusal-form", "typing-*")
        async with fakes.minimal(*faults).running() as url:
            target = make_target(url, timing=QUICK, **more)
            return as_report(await judge(target, cases, jobs=1), target)

    return asyncio.run(main())


@pytest.fixture(scope="module")
def healthy() -> dict[str, Any]:
    return judged()


@pytest.fixture(scope="module")
def ill() -> dict[str, Any]:
    return judged("leak", "echoes-token", "extra-field", "no-verification")


def texts(data: dict[str, Any]) -> list[str]:
    console = Console(record=True, width=200, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    terminal.show(data, console, verbose=True)
    return [to_json(data).decode(), to_junit(data).decode(), console.export_text()]


def test_the_report_is_as_its_schema_says(healthy: dict[str, Any], ill: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(dict(schema("report")))
    for data in (healthy, ill):
        VALIDATOR.validate(json.loads(to_json(data)))


def test_each_finding_says_what_was_sent_before(ill: dict[str, Any]) -> None:
    cases = {case["id"]: case for case in ill["cases"]}
    (leaked, *_) = cases["stranger-hears-nothing"]["findings"]
    assert leaked["sent"]["frame"]["type"] == "send"
    assert leaked["sent"]["frame"]["message_id"] == leaked["actual"]["message_id"]
    forged = cases["token-signature"]["findings"]
    assert any(each["sent"]["event"] == "connects (no signature)" for each in forged)
    # A frame with one field too many is gathered from all cases; what was sent is that of the first.
    (shape, *_) = (case for case in ill["cases"] if case["id"] == "shape-sent-ack")
    assert shape["findings"][0]["sent"]["frame"]["type"] == "send"
    for text in texts(ill)[1:]:
        assert "connects (no signature)" in text


def test_the_schema_would_notice() -> None:
    for spoil in ({"summary": {"passed": 1}}, {"seed": 1}, {"cases": [{}]}):
        assert not VALIDATOR.is_valid({**judged(), **spoil})


def test_what_a_reader_looks_for_is_there(healthy: dict[str, Any], ill: dict[str, Any]) -> None:
    assert healthy["outcome"]["exit_code"] == 0
    assert healthy["summary"]["fail"] == 0
    assert healthy["summary"]["not-applicable"] > 0
    assert len(healthy["protocol"]["catalogue"]) == 64
    cases = {case["id"]: case for case in ill["cases"]}
    assert ill["outcome"]["exit_code"] == 1
    finding = cases["message-life"]["findings"][0]
    assert finding["requirement"].startswith("PRIV-")
    assert finding["actual"]["type"] == "deliver"
    assert finding["blame"] in ("target", "unspecified")
    transcript = cases["message-life"]["transcript"]
    assert any(
        line["frame"] and line["frame"]["type"] == "send" for line in transcript if not line.get("event")
    )
    assert [line["t_ms"] for line in transcript] == sorted(line["t_ms"] for line in transcript)
    assert {row["id"]: row["verdict"] for row in ill["requirements"]}["CONN-06"] == "fail"
    assert {row["id"]: row["verdict"] for row in ill["requirements"]}["CALL-01"] == "untested"


def test_no_secret_and_no_token_is_in_any_report(healthy: dict[str, Any], ill: dict[str, Any]) -> None:
    told = judged("tells-token", "error-close")
    assert "no, " in texts(told)[0]
    for data in (healthy, ill, told):
        for text in texts(data):
            assert fakes.SECRET not in text
            # Every signed token's header begins so.
            assert "eyJ" not in text


def test_junit_counts_and_names(ill: dict[str, Any]) -> None:
    root = Xml.fromstring(to_junit(ill))
    cases = root.findall(".//testcase")
    assert len(cases) == len(ill["cases"]) == int(root.get("tests", ""))
    assert int(root.get("failures", "")) == ill["summary"]["fail"] == len(root.findall(".//failure"))
    skipped = ill["summary"]["not-applicable"] + ill["summary"]["untestable"]
    assert int(root.get("skipped", "")) == skipped
    (failed,) = [case for case in cases if case.get("name") == "message-life"]
    text = failed.findall("failure")[0].text or ""
    assert "expected:" in text
    assert "PRIV-" in text


@pytest.mark.parametrize("form", [0, 1, 2], ids=["json", "junit", "terminal"])
def test_every_report_says_what_was_judged_by_what(ill: dict[str, Any], form: int) -> None:
    shown = " ".join(texts(ill)[form].split())
    protocol = ill["protocol"]
    for part in (ill["kit"]["version"], protocol["version"], protocol["catalogue"][:12], ill["seed"]):
        assert part in shown
    assert ill["target"]["url"] in shown
    assert "profile" in shown
    assert "clock" in shown


def test_the_summary_names_what_failed(ill: dict[str, Any]) -> None:
    shown = texts(ill)[2]
    for part in (
        "FAIL",
        "stranger-hears-nothing",
        "breaks    PRIV-",
        "sent      ",
        "expected",
        "actual",
        "transcript",
        "→",
        "seed test",
    ):
        assert part in shown
    assert shown.index("stranger-hears-nothing") < shown.index("area ")


@pytest.mark.parametrize(
    ("skew_s", "line", "row"),
    [
        (None, None, "not known"),
        (0.0, None, "none that its timestamps show"),
        (-0.004, None, "none (under 50 ms)"),
        (-2.5, "its clock -2.5 s from ours", "the target's clock is 2.50 s behind"),
    ],
)
def test_a_clock_skew_is_told_where_there_is_one(skew_s: float | None, line: str | None, row: str) -> None:
    data = make()
    data["target"]["clock_skew_s"] = skew_s
    assert view.skew(data) == row
    shown = texts(data)[2]
    assert line in shown if line else "its clock" not in shown


def test_expected_failures_are_shown_as_such_and_stale_ones_fail() -> None:
    expected = [
        {"case": "stranger-hears-nothing", "reason": "leaks, ticket 7"},
        {"case": "message-life", "reason": "leaks, ticket 7"},
        {"case": "carrier-header", "reason": "ticket 8"},
    ]
    data = judged("leak", expected_failures=expected)
    cases = {case["id"]: case for case in data["cases"]}
    assert cases["stranger-hears-nothing"]["expected_failure"] == "leaks, ticket 7"
    assert data["outcome"]["exit_code"] == 1
    (stale,) = data["stale"]
    assert "carrier-header" in stale
    assert "ticket 8" in stale
    root = Xml.fromstring(to_junit(data))
    assert int(root.get("failures", "")) == 0
    data = judged("leak", expected_failures=expected[:2])
    assert data["outcome"]["exit_code"] == 0
    assert "expected" in data["outcome"]["text"]


def test_long_and_strange_values_are_cut_and_written() -> None:
    data = judged()
    deep: Any = "end"
    for _ in range(200):
        deep = [deep]
    case = data["cases"][0]
    case["findings"] = [
        {
            "requirement": None, "level": "MUST", "severity": "fail", "provenance": None, "blame": "target",
            "message": "control \x00\x1b characters, \ud800 and ]]>", "step": "", "actor": "", "t_ms": 1.0,
            "expected": cut({"x": "y" * 5000, "big": 2**70}),
            "actual": cut({"d": deep, "n": list(range(1000))}),
        }
    ]  # fmt: skip
    case["verdict"] = "fail"
    parsed = json.loads(to_json(data))
    assert len(parsed["cases"][0]["findings"][0]["expected"]["x"]) < 300
    root = Xml.fromstring(to_junit(data))
    assert "control" in (root.findall(".//failure")[0].get("message") or "")
    assert "\x00" not in to_junit(data).decode()


@pytest.mark.parametrize("spec", ["htm=x", "json", "json=", "=x", "report.json"])
def test_report_options_are_checked_before_the_run(spec: str) -> None:
    with pytest.raises(UsageError, match="json=FILE or junit=FILE"):
        parse_report(spec)


def test_reports_make_their_folder_and_say_when_they_cannot(tmp_path: Path, healthy: dict[str, Any]) -> None:
    write(healthy, "json", tmp_path / "a" / "b.json")
    assert json.loads((tmp_path / "a" / "b.json").read_text())["seed"] == "test"
    with pytest.raises(UsageError, match="cannot be written"):
        write(healthy, "json", tmp_path / "a" / "b.json" / "c.json")


def test_an_endless_transcript_keeps_its_beginning_and_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_FLOOD", 2500)

    async def main() -> dict[str, Any]:
        async with fakes.sockets(fakes.floods) as url:
            target = make_target(url)
            return as_report(await judge(target, all_cases("message-life")), target)

    data = asyncio.run(main())
    (case,) = [case for case in data["cases"] if case["id"] == "message-life"]
    lines = case["transcript"]
    assert len(lines) < 1100
    assert any("left out here" in line.get("event", "") for line in lines)
    assert any("floods" in line.get("event", "") for line in lines[-20:])
