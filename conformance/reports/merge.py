"""The reports of a run's shards as one, with verdicts, requirements and claims concluded anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from relaykit.conformance.options import Selection
from relaykit.conformance.reports.anew import settle, table, tellable
from relaykit.conformance.reports.claims import claims, outcome_text
from relaykit.conformance.results import GATHERED
from relaykit.errors import ExitCode, UsageError
from relaykit.schemas import load_catalogue
from relaykit.schemas.wording import counted

Data = Mapping[str, Any]

_WORST = ("error", "fail", "warn", "pass", "untestable", "not-applicable", "untested")
"""Of two verdicts on the same thing the one further left counts; what was shown beats what was not.

A kit's error beats a failure for a case: that case has to be run again before it says anything."""
_WORST_REQUIREMENT = ("fail", "error", "warn", "pass", "untestable", "not-applicable", "untested")


def merge(named: Sequence[tuple[str, Data]], *, force: bool = False) -> dict[str, Any]:
    """One report made of several.

    Args:
        named: name (for messages) and data of each report.
        force: merge reports of different targets or catalogues all the same; a note says so.

    Raises:
        UsageError: they do not belong together.
    """
    first_name, first = named[0]
    notes: list[str] = []
    for name, data in named[1:]:
        for what, here, there in _differences(first, data):
            line = f"{name} is about another {what} than {first_name}: {there} instead of {here}"
            if not force:
                raise UsageError(line, hint="--force merges them all the same, and notes it in the report")
            notes.append(line)
        if data["kit"]["version"] != first["kit"]["version"]:
            notes.append(
                f"{name} was made by relaykit {data['kit']['version']}, not {first['kit']['version']}"
            )
    reports = [data for _, data in named]
    cases, doubled = _cases(named)
    rows = _requirements(reports)
    catalogue = load_catalogue()
    if tellable(cases) and all(data["protocol"]["catalogue"] == catalogue.digest for data in reports):
        said = first.get("options", {})
        rules = Selection(level=said.get("level"), provenance=said.get("provenance") or "all").rules
        cases = settle(catalogue, cases, rules)
        rows = table(catalogue, cases, rows)
    seeds = list(dict.fromkeys(data["seed"] for data in reports))
    merged: dict[str, Any] = {
        **first,
        "options": {**first.get("options", {}), "shard": None},
        "started": min(data["started"] for data in reports),
        "duration_s": round(sum(data["duration_s"] for data in reports), 3),
        "seed": ", ".join(seeds),
        "notes": _distinct(
            note for note in (*notes, *(n for d in reports for n in d.get("notes", ())), *doubled)
        ),
        **_tidied([data["tidied"] for data in reports if "tidied" in data]),
        "stale": _stale(reports, cases),
        "server_log": [line for data in reports for line in data.get("server_log", ())][-200:],
        "summary": {
            verdict: sum(case["verdict"] == verdict for case in cases) for verdict in first["summary"]
        },
        "cases": cases,
        "requirements": rows,
    }
    merged["notes"] += [*_missing(reports), *_twice(named)]
    merged["notes"].append(f"merged from {counted(len(named), 'report')}; the duration is their sum")
    merged["outcome"] = _outcome(merged, reports)
    merged["outcome"]["profiles"] = claims(merged)
    return merged


def _differences(first: Data, other: Data) -> Iterable[tuple[str, str, str]]:
    pairs = (
        ("target", _target(first), _target(other)),
        ("set of capabilities", _capabilities(first), _capabilities(other)),
        ("protocol version", first["protocol"]["version"], other["protocol"]["version"]),
        ("catalogue", first["protocol"]["catalogue"], other["protocol"]["catalogue"]),
    )
    return ((what, here, there) for what, here, there in pairs if here != there)


def _missing(reports: Sequence[Data]) -> Iterable[str]:
    """A note for shards that are not among the reports."""
    shards = [str(data.get("options", {}).get("shard") or "").partition("/") for data in reports]
    for whole in sorted({whole for _, _, whole in shards if whole.isdecimal()}):
        there = {part for part, _, of in shards if of == whole}
        left = [f"{n}/{whole}" for n in range(1, int(whole) + 1) if str(n) not in there]
        if left:
            shown = ", ".join(left[:8]) + (", …" if len(left) > 8 else "")
            yield f"not among the reports: {'shard' if len(left) == 1 else 'shards'} {shown}"


def _twice(named: Sequence[tuple[str, Data]]) -> Iterable[str]:
    """A note for each shard that several of the reports are about."""
    whose: dict[str, list[str]] = {}
    for name, data in named:
        shard = data.get("options", {}).get("shard")
        if shard:
            whose.setdefault(str(shard), []).append(name)
    for shard, names in whose.items():
        if len(names) > 1:
            yield f"more than one report of shard {shard}: {', '.join(names)}"


def _tidied(parts: Sequence[Data]) -> dict[str, Any]:
    """What became of what all of them made on the target."""
    if not parts:
        return {}
    counts: dict[str, Counter[str]] = {"taken_back": Counter(), "left": Counter()}
    for part in parts:
        for what, counter in counts.items():
            counter.update(part[what])
    return {
        "tidied": {
            **{what: dict(counter) for what, counter in counts.items()},
            "clock_s": sum(part["clock_s"] for part in parts),
            "reset": any(part["reset"] for part in parts),
            "why": _distinct(line for part in parts for line in part["why"]),
        }
    }


def _target(data: Data) -> str:
    """What a target is known by: its name; if launched, with another port each time, its command."""
    target, launch = data["target"], data.get("options", {}).get("launch")
    return str(launch if launch and target["name"] == target["url"] else target["name"])


def _capabilities(data: Data) -> str:
    return ", ".join(sorted(data["target"].get("capabilities", ()))) or "none"


def _distinct(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))


def _cases(named: Sequence[tuple[str, Data]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The cases of all reports, each once, and a note for each whose verdicts disagree."""
    several = len({data["seed"] for _, data in named}) > 1
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for name, data in named:
        for case in data["cases"]:
            mine = {**case, "seed": case.get("seed", data["seed"])} if several else dict(case)
            found.setdefault(case["id"], []).append((name, mine))
    cases, notes = [], []
    for same in found.values():
        chosen = min(same, key=lambda each: _WORST.index(each[1]["verdict"]))[1]
        if chosen.get("kind") in GATHERED:
            cases.append(_shape(chosen, [case for _, case in same]))
            continue
        cases.append(chosen)
        verdicts = _distinct(case["verdict"] for _, case in same)
        if len(verdicts) > 1:
            said = ", ".join(f"{case['verdict']} in {name}" for name, case in same)
            notes.append(f"{chosen['id']} has different verdicts ({said}); {chosen['verdict']} counts")
    return cases, notes


def _shape(chosen: dict[str, Any], same: Sequence[Data]) -> dict[str, Any]:
    """A shape is judged in every shard: its findings come together, each distinct violation once."""
    findings: dict[tuple[Any, ...], Any] = {}
    for case in same:
        for finding in case["findings"]:
            key = (finding["requirement"], finding.get("step", ""), str(finding["expected"]))
            findings.setdefault(key, finding)
    needed = _distinct(name for case in same for name in case["requirements"])
    told = {**chosen, "findings": list(findings.values()), "requirements": needed}
    if tellable(same):
        lacking = {name for case in same for name in set(case["requirements"]) - set(case["proven"])}
        told["proven"] = [name for name in needed if name not in lacking]
    return told


def _requirements(reports: Sequence[Data]) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for data in reports:
        for row in data["requirements"]:
            known = rows.get(row["id"])
            if known is None:
                rows[row["id"]] = dict(row)
                continue
            known["verdict"] = min(known["verdict"], row["verdict"], key=_WORST_REQUIREMENT.index)
            known["cases"] = _distinct((*known["cases"], *row["cases"]))
    return list(rows.values())


def _stale(reports: Sequence[Data], cases: Sequence[Data]) -> list[str]:
    """Expectations that are stale in every report that says anything: another shard may hold the failure."""
    excused = {
        name
        for case in cases
        if "expected_failure" in case
        for name in (case["id"], *(finding["requirement"] for finding in case["findings"]))
    }
    lines = _distinct(line for data in reports for line in data.get("stale", ()))
    return [line for line in lines if not any(f": {name} is expected to fail" in line for name in excused)]


def _outcome(merged: Data, reports: Sequence[Data]) -> dict[str, Any]:
    cases = merged["cases"]
    expected = sum("expected_failure" in case for case in cases)
    interrupted = any(data["outcome"].get("interrupted") for data in reports)
    executed = any(
        case["verdict"] in ("pass", "fail", "warn") and case.get("kind") not in GATHERED for case in cases
    )
    if interrupted:
        code = ExitCode.INTERRUPTED
    elif any(data["outcome"]["exit_code"] == ExitCode.UNREACHABLE for data in reports):
        code = ExitCode.UNREACHABLE
    elif merged["summary"].get("error"):
        code = ExitCode.KIT_DEFECT
    elif not executed:
        code = ExitCode.NOTHING
    elif merged["summary"].get("fail", 0) > expected or merged["stale"] or _strict(reports):
        code = ExitCode.FAILED
    else:
        code = ExitCode.OK
    flaky = sum(case.get("stability", {}).get("result") == "flaky" for case in cases)
    waiting, stale = sum(case.get("ran") is False for case in cases), len(merged["stale"])
    text = outcome_text(merged["summary"], expected, stale, flaky, not_run=waiting, interrupted=interrupted)
    return {"exit_code": int(code), "text": text, "interrupted": interrupted}


def _strict(reports: Sequence[Data]) -> bool:
    """Whether a shard failed by `--fail-on`, that is without any failure or stale expectation."""
    return any(
        data["outcome"]["exit_code"] == ExitCode.FAILED
        and not data.get("stale")
        and all(case["verdict"] != "fail" or "expected_failure" in case for case in data["cases"])
        for data in reports
    )
