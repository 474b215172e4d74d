"""The report as a page: what the HTML template shows, in the order in which it matters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from relaykit.conformance.reports.claims import against, claim_text, claimed
from relaykit.conformance.reports.text import one_line, scrubbed, shorten, visible
from relaykit.schemas.wording import counted

Data = Mapping[str, Any]

VERDICTS = ("fail", "error", "warn", "untestable", "pass", "not-applicable")
"""In the order of the page: what needs somebody to act comes first."""


@dataclass(frozen=True, slots=True)
class Group:
    """Cases under one heading."""

    name: str
    title: str
    about: str
    cases: tuple[Data, ...]


_GROUPS = (
    ("fail", "Failures", "A MUST is broken, or a step that had to work did not."),
    ("error", "Errors of the kit", "The suite itself went wrong; these say nothing about the target."),
    ("warn", "Warnings", "A SHOULD is not kept."),
    ("expected", "Expected failures", "They fail as the target file says they do."),
    ("untestable", "Untestable", "The target offers no way to arrange what these need."),
    ("pass", "Passed", ""),
    ("not-applicable", "Not applicable", "They are about what the target does not declare."),
)


def group_of(case: Data) -> str:
    """The heading under which a case stands."""
    return "expected" if "expected_failure" in case else str(case["verdict"])


def groups(data: Data) -> list[Group]:
    """The cases, failures first; empty groups are left out."""
    members: dict[str, list[Data]] = {}
    for case in data["cases"]:
        members.setdefault(group_of(case), []).append(case)
    return [
        Group(name, title, about, tuple(members[name])) for name, title, about in _GROUPS if name in members
    ]


def reasons(cases: Iterable[Data]) -> list[tuple[str, list[str]]]:
    """Why cases have no verdict: each reason with the cases it holds for, the commonest first."""
    found: dict[str, list[str]] = {}
    for case in cases:
        found.setdefault(str(case.get("reason", "no reason is given")), []).append(case["id"])
    return sorted(found.items(), key=lambda item: -len(item[1]))


@dataclass(frozen=True, slots=True)
class Tally:
    """A row of counts, by verdict, with a bar."""

    name: str
    title: str
    counts: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def bar(self) -> Iterator[tuple[str, float, float]]:
        """(verdict, start, width) in percent."""
        start = 0.0
        for verdict, count in self.counts.items():
            if count:
                width = 100 * count / self.total
                yield verdict, round(start, 2), round(width, 2)
                start += width


def by_area(data: Data) -> list[Tally]:
    """Cases of each area, by verdict."""
    titles = data["protocol"].get("areas", {})
    areas = dict.fromkeys([*titles, *(case["area"] for case in data["cases"])])
    rows = []
    for area in areas:
        verdicts = [case["verdict"] for case in data["cases"] if case["area"] == area]
        if verdicts:
            rows.append(Tally(area, titles.get(area, area), {v: verdicts.count(v) for v in VERDICTS}))
    return rows


def by_level(data: Data) -> list[Tally]:
    """Requirements of each level, by what the run says about them."""
    rows = []
    for name in ("MUST", "SHOULD", "MAY"):
        verdicts = [row["verdict"] for row in data["requirements"] if row["level"].split(" ")[0] == name]
        if verdicts:
            rows.append(Tally(name, name, {v: verdicts.count(v) for v in (*VERDICTS, "untested")}))
    return rows


def headline(data: Data) -> tuple[str, str]:
    """The outcome in a few words, and its tone: `good`, `bad` or `warn`."""
    counts = data["summary"]
    unexpected = sum(case["verdict"] == "fail" and "expected_failure" not in case for case in data["cases"])
    broken = [r for r in data["requirements"] if r["verdict"] == "fail" and r["level"].startswith("MUST")]
    if data["outcome"].get("interrupted"):
        return "Interrupted", "warn"
    if counts.get("error"):
        return f"The kit failed in {counted(counts['error'], 'case')}", "bad"
    if unexpected:
        of = f", {counted(len(broken), 'MUST')} broken" if broken else ""
        return f"{counted(unexpected, 'case')} failed{of}", "bad"
    if data.get("stale"):
        return f"{counted(len(data['stale']), 'expectation')} out of date", "bad"
    if not any(counts.get(verdict) for verdict in ("pass", "warn", "fail")):
        return "Nothing was executed", "warn"
    if data["outcome"]["exit_code"]:
        return "Not accepted: a verdict counts as failure here", "bad"
    if counts.get("fail"):
        return "No unexpected failure", "good"
    return ("Nothing failed", "good") if not counts.get("warn") else ("Nothing failed, with warnings", "good")


def skew(data: Data) -> str:
    """The clock skew in words."""
    seconds = data["target"].get("clock_skew_s")
    if seconds is None:
        return "not known"
    if seconds == 0:
        return "none that its timestamps show"
    if abs(seconds) < 0.05:
        return "none (under 50 ms)"
    return f"the target's clock is {abs(seconds):.2f} s {'ahead' if seconds > 0 else 'behind'}"


def profile_text(data: Data) -> str:
    """The profile of the run: which cases it chose."""
    return str(data.get("options", {}).get("profile") or "default")


def facts(data: Data) -> list[tuple[str, str, bool]]:
    """(name, value, whether it is code) of what identifies the run."""
    kit, protocol, target = data["kit"], data["protocol"], data["target"]
    name = target["name"]
    rows = [
        ("Target", target["url"] if name == target["url"] else f"{name} · {target['url']}", True),
        ("Capabilities", ", ".join(target.get("capabilities", ())) or "none stated", False),
        ("Token carrier", target.get("carrier", "not known"), False),
        ("Clock skew", skew(data), False),
        ("Profile of the run", profile_text(data), False),
        ("Seed", data["seed"], True),
        ("Started", f"{data['started']} · took {data['duration_s']:.1f} s", False),
        ("Kit", f"{kit['name']} {kit['version']}", False),
        ("Protocol", f"{protocol['name']} {protocol['version']}", False),
        ("Catalogue", protocol["catalogue"], True),
    ]
    chosen = options_text(data)
    if chosen:
        rows.append(("Options", chosen, True))
    return [(title, visible(str(value)), code) for title, value, code in rows]


def options_text(data: Data) -> str:
    """The options that differ from what they are anyway, on one line."""
    usual: dict[str, Any] = {
        "provenance": "all",
        "timeout_factor": 1.0,
        "profile": "default",
        "repeat": 1,
        "retries": 3,
    }
    parts = []
    for name, value in data.get("options", {}).items():
        if value in (None, [], "", False) or usual.get(name) == value:
            continue
        shown = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        shown = scrubbed(shown) if name == "launch" else shown
        parts.append(f"{name.replace('_', '-')}: {shown}")
    return shorten("; ".join(parts), 600)


__all__ = [
    "Group",
    "Tally",
    "against",
    "by_area",
    "by_level",
    "claim_text",
    "claimed",
    "facts",
    "group_of",
    "groups",
    "headline",
    "one_line",
    "reasons",
]
