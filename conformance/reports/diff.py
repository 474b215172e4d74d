"""Two reports compared: what got better, what got worse, what is new and what is gone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from relaykit.conformance.reports.markdown import code, words
from relaykit.conformance.reports.text import one_line, steadiness, visible
from relaykit.schemas.wording import counted

Data = Mapping[str, Any]
Kind = Literal["worse", "better", "changed", "new", "gone"]

KINDS: tuple[Kind, ...] = ("worse", "better", "changed", "new", "gone")
_RANK = {"pass": 0, "warn": 1, "not-applicable": 2, "untestable": 2, "fail": 3, "error": 4}
"""How good a verdict is. Between those that show nothing there is neither better nor worse."""
_SILENT = 2


@dataclass(frozen=True, slots=True)
class Change:
    """One case or requirement whose verdict differs.

    Attributes:
        old, new: the verdicts; None: it was not there, or nothing was said about it.
        why: the first finding or the reason, of the new report where there is one.
        bad: it counts as worse: it fails now, and nobody expects that.
    """

    kind: Kind
    what: Literal["case", "requirement"]
    name: str
    title: str
    old: str | None
    new: str | None
    why: str = ""
    bad: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes, and what a reader has to know to judge them."""

    old: Data
    new: Data
    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    def of(self, kind: Kind) -> list[Change]:
        return [change for change in self.changes if change.kind == kind]

    @property
    def worse(self) -> bool:
        return any(change.bad for change in self.changes)


def compare(old: Data, new: Data) -> Difference:
    """What differs between an older and a newer report."""
    changes = [*_cases(old, new), *_requirements(old, new)]
    order = {kind: n for n, kind in enumerate(KINDS)}
    return Difference(
        old, new, tuple(sorted(changes, key=lambda change: order[change.kind])), tuple(_notes(old, new))
    )


def _cases(old: Data, new: Data) -> Iterator[Change]:
    before = {case["id"]: case for case in old["cases"]}
    after = {case["id"]: case for case in new["cases"]}
    for name in dict.fromkeys((*after, *before)):
        first, second = before.get(name), after.get(name)
        shown = second or first or {}
        expected = bool(second and "expected_failure" in second)
        yield from _change(
            "case",
            name,
            shown["title"],
            first["verdict"] if first else None,
            second["verdict"] if second else None,
            _why(second or {}),
            expected,
        )
        if first and second and first["verdict"] == second["verdict"]:
            yield from _steadier(first, second)


def _steadier(old: Data, new: Data) -> Iterator[Change]:
    """A case that comes to the same verdict, but now each time where it did not, or the other way round."""
    before, after = steadiness(old), steadiness(new)
    known = old.get("stability") and new.get("stability")
    if known and before.startswith("flaky") != after.startswith("flaky"):
        verdict = new["verdict"]
        said = f"{verdict}, {before}", f"{verdict}, {after}"
        yield Change("changed", "case", new["id"], new["title"], said[0], said[1], _why(new))


def _requirements(old: Data, new: Data) -> Iterator[Change]:
    before = {row["id"]: row for row in old["requirements"]}
    after = {row["id"]: row for row in new["requirements"]}
    expected = _expected(new)
    for name in dict.fromkeys((*after, *before)):
        first, second = before.get(name), after.get(name)
        shown = second or first or {}
        title = f"{shown['level']}: {shown.get('text', '')}".rstrip(": ")
        yield from _change("requirement", name, title, _said(first), _said(second), "", name in expected)


def _said(row: Data | None) -> str | None:
    """What a report says about a requirement; None if it says nothing."""
    return None if row is None or row["verdict"] == "untested" else str(row["verdict"])


def _expected(data: Data) -> set[str]:
    """Requirements that only cases break whose failure is expected."""
    broken: dict[str, bool] = {}
    for case in data["cases"]:
        for finding in case["findings"]:
            name = finding["requirement"]
            if name and finding.get("severity", "fail") == "fail":
                broken[name] = broken.get(name, True) and "expected_failure" in case
    return {name for name, excused in broken.items() if excused}


def _change(
    what: Literal["case", "requirement"],
    name: str,
    title: str,
    old: str | None,
    new: str | None,
    why: str,
    expected: bool,
) -> Iterator[Change]:
    if old == new:
        return
    kind: Kind
    failing = new in ("fail", "error")
    if old is None:
        kind = "new"
        bad = failing
    elif new is None:
        kind, bad = "gone", False
    else:
        before, after = _RANK[old], _RANK[new]
        # From a failure to silence is no improvement: nothing shows that it was mended.
        silenced = after == _SILENT and before >= _SILENT
        kind = "changed" if silenced or before == after else "worse" if after > before else "better"
        bad = kind == "worse"
    if bad and expected and failing:
        bad = False
        kind = "new" if old is None else "changed"
        why = f"expected by the target file{f'; {why}' if why else ''}"
    yield Change(kind, what, name, title, old, new, why, bad)


def _why(case: Data) -> str:
    if not case:
        return ""
    if case["findings"]:
        return one_line(case["findings"][0]["message"], 200)
    return one_line(case["reason"], 200) if case.get("reason") and case["verdict"] != "pass" else ""


def _notes(old: Data, new: Data) -> Iterator[str]:
    for what, path in (
        ("target", ("target", "name")),
        ("catalogue", ("protocol", "catalogue")),
        ("protocol version", ("protocol", "version")),
        ("kit version", ("kit", "version")),
    ):
        first, second = old[path[0]][path[1]], new[path[0]][path[1]]
        if first != second:
            yield f"the {what} differs: {one_line(first, 80)} → {one_line(second, 80)}"
    mine, yours = (set(d["target"].get("capabilities", ())) for d in (old, new))
    if mine != yours:
        parts = [
            *(f"+{name}" for name in sorted(yours - mine)),
            *(f"-{name}" for name in sorted(mine - yours)),
        ]
        yield f"the declared capabilities differ: {', '.join(parts)}"
    chosen = [
        {k: d.get("options", {}).get(k) for k in ("run", "skip", "level", "provenance", "profile")}
        for d in (old, new)
    ]
    if chosen[0] != chosen[1]:
        yield "the runs chose or judged cases differently (see their options)"
    for which, data in (("old", old), ("new", new)):
        if data["outcome"].get("interrupted"):
            yield f"the {which} run was interrupted"


_TITLES: dict[Kind, str] = {
    "worse": "Worse",
    "better": "Better",
    "changed": "Changed, neither better nor worse",
    "new": "New",
    "gone": "Gone",
}


def sentence(difference: Difference) -> str:
    """The difference in one sentence."""
    counts = [(len(difference.of(kind)), kind) for kind in KINDS]
    parts = [f"{count} {kind}" for count, kind in counts if count]
    bad = sum(change.bad for change in difference.of("new"))
    text = ", ".join(parts) or "no verdict differs"
    return f"{text} ({counted(bad, 'new failure')})" if bad else text


def as_text(difference: Difference) -> str:
    """The difference for a terminal."""
    lines = [f"note: {note}" for note in difference.notes]
    for kind in KINDS:
        changes = difference.of(kind)
        if changes:
            lines += ["", f"{_TITLES[kind]} ({len(changes)})"]
        for change in changes:
            arrow = f"{change.old or '—'} → {change.new or '—'}"
            why = f"\n{'':>30}{change.why}" if change.why else ""
            lines.append(f"  {arrow:<27} {visible(change.name)}  {one_line(change.title, 100)}{why}")
    lines += ["", sentence(difference)]
    return "\n".join(lines).strip("\n")


def as_markdown(difference: Difference) -> str:
    """The difference for a comment or a CI summary."""
    lines = [f"## {'❌' if difference.worse else '✅'} {words(sentence(difference))}", ""]
    lines += [f"- {words(note)}" for note in difference.notes]
    for kind in KINDS:
        changes = difference.of(kind)
        if not changes:
            continue
        folded = kind not in ("worse", "better")
        head = f"{_TITLES[kind]} ({len(changes)})"
        lines += ["", f"<details><summary>{head}</summary>" if folded else f"### {head}", ""]
        for change in changes:
            why = f" — {words(change.why)}" if change.why else ""
            lines.append(
                f"- {code(change.name)} {change.old or '—'} → {change.new or '—'}: "
                f"{words(one_line(change.title, 160))}{why}"
            )
        lines += ["", "</details>"] if folded else []
    return "\n".join(lines) + "\n"


def as_json(difference: Difference) -> str:
    """The difference for programs."""
    data = {
        "worse": difference.worse,
        "text": sentence(difference),
        "notes": list(difference.notes),
        "old": _about(difference.old),
        "new": _about(difference.new),
        "changes": [
            {
                "kind": change.kind,
                "what": change.what,
                "id": change.name,
                "title": change.title,
                "old": change.old,
                "new": change.new,
                "why": change.why,
                "bad": change.bad,
            }
            for change in difference.changes
        ],
    }
    return json.dumps(data, indent=2, ensure_ascii=True) + "\n"


def _about(data: Data) -> dict[str, Any]:
    return {
        "target": data["target"]["name"],
        "started": data["started"],
        "catalogue": data["protocol"]["catalogue"],
        "outcome": data["outcome"]["text"],
    }
