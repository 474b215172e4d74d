"""The report as data: JSON (`report.schema.json`) and JUnit XML. Everything in it is redacted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree import ElementTree as Xml

import orjson

import relaykit
from relaykit.conformance.matching import plain, short
from relaykit.conformance.preflight import PREFLIGHT
from relaykit.conformance.record import Entry
from relaykit.conformance.reports.claims import claims, outcome_text
from relaykit.conformance.reports.text import blamed, sent_text, steadiness, steadiness_text
from relaykit.conformance.results import CaseResult, Finding, RequirementResult, RunResult, Verdict
from relaykit.conformance.sent import sent_before
from relaykit.conformance.target import Target
from relaykit.errors import ExitCode
from relaykit.redaction import Redactor
from relaykit.schemas import Catalogue

_LONGEST = 2000
_MOST_LINES = 500  # of a transcript, at its beginning and at its end
"""Texts longer than this are cut in reports: what an oversize frame holds helps nobody."""
_CONTROL = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def summary(result: RunResult) -> dict[str, int]:
    """Verdict → cases, in the order in which readers care."""
    return {verdict.value: result.count(verdict) for verdict in Verdict}


def outcome(result: RunResult) -> str:
    """The run in one sentence."""
    if result.unreachable:
        return f"not judged: {result.unreachable}"
    counts = summary(result)
    expected = counts["fail"] - len(result.unexpected)
    flaky = sum(case.stability is not None and case.stability.flaky for case in result.cases)
    waiting = sum(not case.ran for case in result.cases)
    stale = len(result.stale)
    return outcome_text(counts, expected, stale, flaky, not_run=waiting, interrupted=result.interrupted)


def report(
    result: RunResult, target: Target, catalogue: Catalogue, redactor: Redactor, exit_code: int
) -> dict[str, Any]:
    """The report as `report.schema.json` describes it, without any secret."""
    played = {each.case.id: each.transcript for each in result.cases}
    data: dict[str, Any] = {
        "kit": {"name": "relaykit", "version": relaykit.__version__},
        "protocol": {
            "name": catalogue.protocol.name,
            "version": catalogue.protocol.version,
            "catalogue": catalogue.digest,
            "areas": {area.file: area.title for area in catalogue.protocol.areas.values()},
            "profiles": [
                {
                    "name": profile.name,
                    "title": profile.title,
                    "capabilities": sorted(profile.capabilities),
                    "optional": sorted(profile.optional),
                }
                for profile in catalogue.protocol.profiles.values()
            ],
        },
        "target": {
            "name": target.name,
            "url": target.url,
            "carrier": result.carrier,
            "capabilities": sorted(result.capabilities or target.capabilities),
            **_tried(result),
            "clock_skew_s": result.clock_skew_s,
        },
        "started": result.started,
        "duration_s": result.duration_s,
        "seed": result.seed,
        "options": dict(result.options),
        "outcome": {
            "exit_code": int(exit_code),
            "text": outcome(result),
            "interrupted": result.interrupted,
        },
        "notes": list(result.notes),
        **_tidied(result),
        **({"hints": list(result.hints)} if result.hints else {}),
        "stale": list(result.stale),
        "server_log": list(result.server_log),
        "summary": summary(result),
        "cases": [_case(case, played) for case in result.cases],
        "requirements": [_requirement(row, catalogue) for row in result.requirements],
    }
    data["outcome"]["profiles"] = claims(data)
    cleaned: dict[str, Any] = redactor.deep(data)
    return cleaned


def _tried(result: RunResult) -> dict[str, Any]:
    """The capabilities that the target file leaves open, and what was found of each."""
    found = {name: {"served": served, "said": said} for name, (served, said) in result.tried.items()}
    return {"tried": found} if found else {}


def _tidied(result: RunResult) -> dict[str, Any]:
    """What became of what the run made on the target."""
    tidied = result.tidied
    if tidied is None:
        return {}
    return {
        "tidied": {
            "taken_back": dict(tidied.taken_back),
            "left": dict(tidied.left),
            "clock_s": tidied.clock_s,
            "reset": tidied.reset,
            "why": list(tidied.why),
        }
    }


def _requirement(row: RequirementResult, catalogue: Catalogue) -> dict[str, Any]:
    known = catalogue.requirements[row.id]
    data: dict[str, Any] = {
        "id": row.id,
        "area": catalogue.protocol.areas[known.area].file,
        "level": row.level,
        "text": known.text,
        "source": known.source,
        "provenance": row.provenance,
        "verdict": row.verdict,
        "cases": list(row.cases),
    }
    if known.capability:
        data["capability"] = known.capability
    if known.untested:
        data["untested"] = known.untested
    return data


def _case(result: CaseResult, played: Mapping[str, Sequence[Entry]]) -> dict[str, Any]:
    case = result.case
    data: dict[str, Any] = {
        "id": case.id,
        "title": case.title,
        "area": case.area,
        "kind": case.kind,
        "verdict": result.verdict.value,
        "level": case.level,
        "requirements": list(case.requirements),
        "capabilities": sorted(case.capabilities),
        "source": case.source,
        "catches": case.catches,
        "duration_ms": result.duration_ms,
        "findings": [
            _finding(finding, played.get(finding.case or case.id, ())) for finding in result.findings
        ],
        "transcript": [entry(line) for line in _shortened(result.transcript)],
        "proven": sorted(result.proven),
        "broken": sorted(result.broken),
    }
    if result.reason:
        data["reason"] = result.reason
    if not result.ran:
        data["ran"] = False
    if result.expected_failure is not None:
        data["expected_failure"] = result.expected_failure
    if result.not_run_again:
        data["not_run_again"] = result.not_run_again
    if result.stability is not None:
        data["stability"] = {
            "result": "flaky" if result.stability.flaky else "deterministic",
            "runs": result.stability.runs,
            "same": result.stability.same,
            "alone": result.stability.alone,
        }
    return data


def _shortened(transcript: Sequence[Entry]) -> Sequence[Entry]:
    """A transcript without its middle, where a target that floods has made it endless."""
    left_out = len(transcript) - 2 * _MOST_LINES
    if left_out <= 0:
        return transcript
    first, last = transcript[:_MOST_LINES], transcript[-_MOST_LINES:]
    gap = Entry(first[-1].t_ms, first[-1].actor, "s2c", None, f"{left_out} lines are left out here")
    return [*first, gap, *last]


def _finding(finding: Finding, transcript: Sequence[Entry]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "requirement": finding.requirement,
        "level": finding.level,
        "severity": finding.severity,
        "provenance": finding.provenance,
        "blame": finding.blame,
        "message": finding.message,
        "expected": cut(plain(finding.expected)),
        "actual": cut(plain(finding.actual)),
        "step": finding.step,
        "actor": finding.actor,
        "t_ms": finding.t_ms,
    }
    if finding.case:
        data["case"] = finding.case
    if finding.instead_of:
        data["instead_of"] = list(finding.instead_of)
    sent = sent_before(finding, transcript)
    if sent is not None:
        data["sent"] = entry(sent)
    return data


def entry(line: Entry) -> dict[str, Any]:
    """One line of a transcript."""
    data: dict[str, Any] = {
        "t_ms": line.t_ms,
        "actor": line.actor,
        "direction": line.direction,
        "frame": cut(line.frame),
    }
    if line.event is not None:
        data["event"] = cut(line.event)
    if line.kit:
        data["kit"] = True
    return data


def cut(value: Any, depth: int = 0) -> Any:
    """A value with its long texts cut, and no deeper than JSON writers bear."""
    if isinstance(value, str):
        if len(value) <= _LONGEST:
            return value
        return f"{value[:200]}… ({len(value)} characters)"
    if depth > 70:
        return "…"
    if isinstance(value, Mapping):
        return {cut(str(key)): cut(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        shown = [cut(item, depth + 1) for item in value[:300]]
        return [*shown, f"… ({len(value)} items)"] if len(value) > 300 else shown
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**63 - 1:
        return str(value)
    return value


def to_json(data: Mapping[str, Any]) -> bytes:
    """The report as JSON text; lone surrogates, which JSON text cannot hold, are replaced."""
    try:
        return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE, default=str)
    except TypeError:
        import json

        text = json.dumps(data, ensure_ascii=False, indent=2, default=str)
        return text.encode("utf-8", "replace") + b"\n"


def to_junit(data: Mapping[str, Any]) -> bytes:
    """The report as JUnit XML: a suite per area, a test case per case."""
    cases: list[dict[str, Any]] = data["cases"]
    rules = {row["id"]: row["text"] for row in data["requirements"] if row.get("text")}
    root = Xml.Element(
        "testsuites", name=_text(f"relaykit {data['target']['name']}"), time=_time(data["duration_s"])
    )
    for area in dict.fromkeys(case["area"] for case in cases):
        members = [case for case in cases if case["area"] == area]
        suite = Xml.SubElement(
            root,
            "testsuite",
            name=area,
            tests=str(len(members)),
            failures=str(sum(_failed(case) for case in members)),
            errors=str(sum(case["verdict"] == "error" for case in members)),
            skipped=str(sum(_skipped(case) for case in members)),
            timestamp=data["started"],
            time=_time(sum(case["duration_ms"] for case in members) / 1000),
        )
        _properties(suite, data)
        for case in members:
            _junit_case(suite, case, rules)
    if data["outcome"]["exit_code"] == ExitCode.UNREACHABLE:  # or a reader would see skipped cases only
        counts: dict[str, Any] = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0"}
        suite = Xml.SubElement(root, "testsuite", name="target", timestamp=data["started"], **counts)
        element = Xml.SubElement(
            suite, "testcase", name=PREFLIGHT, classname="relaykit.target", time=_time(0)
        )
        said = _text("\n".join(data["notes"]))
        error = Xml.SubElement(element, "error", message=_text(data["outcome"]["text"]), type="environment")
        error.text = said
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    Xml.indent(root)
    text: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _properties(suite: Xml.Element, data: Mapping[str, Any]) -> None:
    """What the run was, in every suite: each stands alone for those who read them."""
    kit, protocol, target = data["kit"], data["protocol"], data["target"]
    skew = target.get("clock_skew_s")
    named = {
        "kit": f"{kit['name']} {kit['version']}",
        "protocol": f"{protocol['name']} {protocol['version']}",
        "catalogue": protocol["catalogue"],
        "target": target["url"],
        "clock_skew_s": "not known" if skew is None else f"{skew:g}",
        "seed": data["seed"],
        "profile": data.get("options", {}).get("profile") or "default",
        "outcome": data["outcome"]["text"],
    }
    properties = Xml.SubElement(suite, "properties")
    for name, value in named.items():
        Xml.SubElement(properties, "property", name=name, value=_text(str(value)))


def _failed(case: Mapping[str, Any]) -> bool:
    return case["verdict"] == "fail" and "expected_failure" not in case


def _skipped(case: Mapping[str, Any]) -> bool:
    return case["verdict"] in ("not-applicable", "untestable") or "expected_failure" in case


def _junit_case(suite: Xml.Element, case: Mapping[str, Any], rules: Mapping[str, str]) -> None:
    element = Xml.SubElement(
        suite,
        "testcase",
        name=_text(case["id"]),
        classname=f"relaykit.{case['area']}",
        time=_time(case["duration_ms"] / 1000),
    )
    findings = case["findings"]
    said = "\n\n".join(_said(finding, rules) for finding in findings)
    first = _text(findings[0]["message"]) if findings else ""
    steady = steadiness(case)
    if steady:
        properties = Xml.SubElement(element, "properties")
        Xml.SubElement(properties, "property", name="stability", value=steady)
        said = f"{steady}: {steadiness_text(case)}\n\n{said}"
        first = f"[{steady}] {first}" if steady.startswith("flaky") else first
    if case["verdict"] == "error":
        Xml.SubElement(element, "error", message=first, type="kit").text = _text(said)
    elif _skipped(case):
        reason = case.get("expected_failure") or case.get("reason", "")
        kind = "expected failure" if "expected_failure" in case else case["verdict"]
        Xml.SubElement(element, "skipped", message=_text(f"{kind}: {reason}"))
    elif case["verdict"] == "fail":
        Xml.SubElement(element, "failure", message=first, type=case["level"]).text = _text(said)
    if case["verdict"] == "warn":
        Xml.SubElement(element, "system-out").text = _text(f"warnings:\n{said}")


def _said(finding: Mapping[str, Any], rules: Mapping[str, str]) -> str:
    lines = [f"[{finding['requirement'] or '-'} {finding['level']}] {finding['message']}"]
    if finding["requirement"] in rules:
        lines.append(f"rule:     {rules[finding['requirement']]}")
    if finding.get("sent"):
        lines.append(f"sent:     {sent_text(finding['sent'], 1000)}")
    if finding["expected"] is not None:
        lines.append(f"expected: {short(finding['expected'], 1000)}")
    lines.append(f"actual:   {short(finding['actual'], 1000)}")
    lines.append(f"to blame: {blamed(finding)}")
    return "\n".join(lines)


def _text(text: str) -> str:
    """Text that XML can hold."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _time(seconds: float) -> str:
    return f"{seconds:.3f}"
