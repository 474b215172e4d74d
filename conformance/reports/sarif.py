"""The report as SARIF 2.1.0: a rule per requirement, a result per finding.

A result's place is the scenario or the probe that found it: the suite knows none of the target's files.
Paths of the kit's files are relative to the kit, whose root a reader may state as RELAYKIT.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from relaykit.conformance.reports.claims import claim_text
from relaykit.conformance.reports.text import (
    blamed,
    one_line,
    place,
    rerun,
    sent_text,
    steadiness,
    steadiness_text,
    visible,
)

Data = Mapping[str, Any]

STEP = "RELAY-STEP"
"""The rule that stands for findings that name no requirement."""


def to_sarif(data: Data) -> bytes:
    """The report as SARIF 2.1.0 (JSON)."""
    used = {finding["requirement"] for case in data["cases"] for finding in case["findings"]}
    rules = [_rule(row) for row in data["requirements"] if row["id"] in used]
    known = {rule["id"] for rule in rules}
    # A requirement that the table does not hold can come from a newer kit only; it keeps its name.
    rules += [_bare(name, f"Requirement {name}") for name in sorted(n for n in used if n and n not in known)]
    if None in used:
        rules.append(_bare(STEP, "A step that had to work for its case to mean anything did not work."))
    index = {rule["id"]: n for n, rule in enumerate(rules)}
    log = {
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": data["kit"]["name"],
                        "version": data["kit"]["version"],
                        "rules": rules,
                    }
                },
                "automationDetails": {"id": f"relaykit/{one_line(data['target']['name'], 200)}/"},
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {
                    "RELAYKIT": {"description": {"text": "The root folder of the kit's sources."}}
                },
                "invocations": [
                    {
                        # The tool did its work; what it found is in the results.
                        "executionSuccessful": data["outcome"]["exit_code"] in (0, 1),
                        "exitCode": data["outcome"]["exit_code"],
                        "exitCodeDescription": data["outcome"]["text"],
                        "startTimeUtc": data["started"],
                    }
                ],
                "results": [
                    _result(data, case, f, index) for case in data["cases"] for f in case["findings"]
                ],
                "properties": {
                    "target": data["target"],
                    "protocol": {name: data["protocol"][name] for name in ("name", "version", "catalogue")},
                    "seed": data["seed"],
                    "options": data.get("options", {}),
                    "summary": data["summary"],
                    "claim": claim_text(data),
                    "untestable": {
                        case["id"]: case.get("reason", "")
                        for case in data["cases"]
                        if case["verdict"] == "untestable"
                    },
                },
            }
        ],
    }
    return json.dumps(log, indent=2, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _rule(row: Data) -> dict[str, Any]:
    text = visible(row.get("text", row["id"]))
    return {
        "id": row["id"],
        "shortDescription": {"text": text},
        "fullDescription": {"text": text},
        "help": {
            "text": f"{row['level']}: {text}\nSource: {row.get('source', 'not stated')} ({row['provenance']})"
        },
        "defaultConfiguration": {"level": _level(row["level"])},
        "properties": {
            "tags": [tag for tag in (row.get("area"), row["provenance"], row["level"]) if tag],
            "level": row["level"],
            "provenance": row["provenance"],
            "source": row.get("source", ""),
        },
    }


def _bare(name: str, text: str) -> dict[str, Any]:
    return {"id": name, "shortDescription": {"text": text}, "defaultConfiguration": {"level": "error"}}


def _level(level: str) -> str:
    return {"MUST": "error", "SHOULD": "warning"}.get(level.split(" ")[0], "note")


def _result(data: Data, case: Data, finding: Data, index: Mapping[str, int]) -> dict[str, Any]:
    rule = finding["requirement"] or STEP
    expected = finding["expected"]
    lines = [
        f"{case['id']}: {finding['message']}",
        *([f"Sent: {sent_text(finding['sent'], 1000)}"] if finding.get("sent") else []),
        *([f"Expected: {one_line(expected, 1000)}"] if expected is not None else []),
        f"Came: {one_line(finding['actual'], 1000)}",
        f"To blame: {blamed(finding)}",
        *([f"{steadiness(case).capitalize()}: {steadiness_text(case)}"] if steadiness(case) else []),
        f"Again: {rerun(data, case)}",
    ]
    severe = finding.get("severity", "fail") == "fail"
    identity = "\0".join((case["id"], rule, finding.get("step", ""), finding.get("actor", "")))
    result: dict[str, Any] = {
        "ruleId": rule,
        "ruleIndex": index[rule],
        "level": "error" if severe else "warning",
        "message": {"text": "\n".join(visible(line) for line in lines)},
        "locations": [_location(case)],
        "partialFingerprints": {
            "relaykit/v1": hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()
        },
        "properties": {
            "case": case["id"],
            "blame": finding["blame"],
            "provenance": finding["provenance"],
            "step": visible(finding.get("step", "")),
            "actor": finding.get("actor", ""),
            **({"stability": steadiness(case)} if steadiness(case) else {}),
        },
    }
    if "expected_failure" in case:
        reason = visible(case["expected_failure"])
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": reason}]
    return result


def _location(case: Data) -> dict[str, Any]:
    location: dict[str, Any] = {"logicalLocations": [{"name": case["id"], "kind": "member"}]}
    file, line = place(case.get("source", ""))
    if file:
        location["physicalLocation"] = {"artifactLocation": _artifact(file)}
        if line:
            location["physicalLocation"]["region"] = {"startLine": line}
    return location


def _artifact(file: str) -> dict[str, str]:
    path = Path(visible(file))
    if not path.is_absolute():
        kit = file.startswith(("conformance/", "schemas/"))
        return {"uri": quote(path.as_posix()), **({"uriBaseId": "RELAYKIT"} if kit else {})}
    if path.is_relative_to(Path.cwd()):
        return {"uri": quote(path.relative_to(Path.cwd()).as_posix())}
    return {"uri": f"file://{quote(path.as_posix())}"}
