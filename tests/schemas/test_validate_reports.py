"""The reports of `relaykit validate`: complete in every form, and safe to show."""

from __future__ import annotations

import json
import os
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from support.validating import COMMAND, HEARTBEAT, HERE, PING, WRONG, counts, ndjson, report, run

from relaykit.schemas import load_catalogue


@pytest.fixture
def mixed(write: Any) -> Path:
    path: Path = write(
        "mixed.ndjson",
        ndjson(HEARTBEAT, WRONG, {**PING, "x<&>": "\x1b[31m"}, b"\x01{", {"type": "\x1b]0;x\x07"}),
    )
    return path


def test_text_names_place_type_pointer_expectation_value_and_requirement(mixed: Path) -> None:
    done = run(mixed)
    rule = next(
        finding.requirement
        for finding in load_catalogue().validate(WRONG, "c2s").findings
        if finding.requirement
    )
    expected = (
        f"{mixed.as_posix()}:2: error: c2s presence /payload/status: must be one of "
        f'"online", "offline", "away", "busy" (did you mean \'online\'?); got "onlin" [{rule}]'
    )
    lines = done.stdout.splitlines()
    assert expected in lines
    assert lines[-1] == "5 frames checked in 1 source: 2 valid (1 with warnings), 3 invalid"
    assert "\x1b" not in done.stdout, "nothing in a frame may steer the terminal"


def test_json_has_the_promised_shape(mixed: Path) -> None:
    result = report(mixed)
    assert result.keys() == {"checked", "valid", "invalid", "warnings", "frames"}
    assert [frame["line"] for frame in result["frames"]] == [2, 3, 4, 5]
    for frame in result["frames"]:
        assert frame.keys() == {"source", "line", "index", "type", "direction", "valid", "errors"}
        for error in frame["errors"]:
            assert error.keys() == {"severity", "pointer", "keyword", "message", "requirement"}
    assert counts(result) == (5, 2, 3, 1)


def test_junit_counts_what_it_lists(mixed: Path) -> None:
    root = ET.fromstring(run(mixed, HERE / "frames.md", "--format", "junit").stdout)
    suites = {suite.get("name"): suite for suite in root}
    assert set(suites) == {mixed.as_posix(), (HERE / "frames.md").as_posix(), "valid"}
    assert int(root.get("tests", "")) == len(root.findall(".//testcase"))
    assert int(root.get("failures", "")) == len(root.findall(".//failure")) == 6
    for suite in root:
        assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
        assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("skipped", "")) == len(suite.findall("testcase/skipped"))
    assert "onlin" in ET.tostring(suites[mixed.as_posix()], encoding="unicode")


def test_sarif_points_to_files_and_rules(mixed: Path) -> None:
    log = json.loads(run(mixed, "--format", "sarif").stdout)
    (session,) = log["runs"]
    assert log["version"] == "2.1.0"
    rules = session["tool"]["driver"]["rules"]
    told = [
        error["requirement"] or error["keyword"]
        for frame in report(mixed)["frames"]
        for error in frame["errors"]
    ]
    assert [result["ruleId"] for result in session["results"]] == told
    assert "json" in told, "what no requirement names goes by its keyword"
    for result in session["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"].endswith("mixed.ndjson")
        assert place["region"]["startLine"] in (2, 3, 4, 5)
    assert log["runs"][0]["results"][0]["message"]["text"].startswith("c2s presence /payload/status: must be")


def test_github_annotations_cannot_be_broken_out_of(write: Any) -> None:
    path = write("a,b:c%.ndjson", ndjson({"type": "x\n::error::y"}, WRONG))
    lines = run(path, "--format", "github").stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(("::error file=", "::notice title=")) for line in lines)
    assert "a%2Cb%3Ac%25.ndjson,line=2,title=c2s presence" in lines[1]


def test_names_of_files_cannot_forge_lines_or_steer_the_terminal(write: Any) -> None:
    path = write("a\n::error::forged\x1b[31m.ndjson", ndjson(WRONG))
    for format_ in ("text", "github"):
        done = run(path, "--format", format_)
        assert len(done.stdout.splitlines()) == 2
        assert "\x1b" not in done.stdout


@pytest.mark.parametrize("format_", ["text", "json", "junit", "sarif", "github"])
def test_reports_go_to_a_file_and_the_summary_to_the_terminal(
    mixed: Path, tmp_path: Path, format_: str
) -> None:
    path = tmp_path / "report"
    done = run(mixed, "--format", format_, "--output", path)
    assert done.stdout == ""
    assert "5 frames checked" in done.stderr
    assert path.read_text() == run(mixed, "--format", format_).stdout


def test_a_report_never_overwrites_what_is_checked(mixed: Path) -> None:
    before = mixed.read_bytes()
    done = run(mixed.parent, "--output", mixed)
    assert done.returncode == 2
    assert mixed.read_bytes() == before
    assert run(mixed, "--output", "/nowhere/at/all").returncode == 2


def test_tokens_in_frames_stay_out_of_reports(write: Any) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
    path = write(
        "token.ndjson", ndjson({"type": token}, {**HEARTBEAT, token: token}, {**WRONG, "payload": token})
    )
    for format_ in ("text", "json", "junit", "sarif", "github"):
        done = run(path, "--format", format_)
        assert "c2lnbmF0dXJl" not in done.stdout + done.stderr, format_
        assert "eyJzdWIi" not in done.stdout + done.stderr, format_


def test_reports_survive_a_poor_terminal(mixed: Path) -> None:
    for format_ in ("text", "json", "junit", "sarif", "github"):
        done = subprocess.run(
            [*COMMAND, str(mixed), str(HERE / "frames.md"), "--format", format_],
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 1
        assert done.stdout.isascii()
        assert b"Traceback" not in done.stderr
