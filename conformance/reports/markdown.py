"""The report as Markdown for a CI summary: short, failures first, details folded away.

What came over the wire is hostile here, too: it stands in code that nothing in it can end, or is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from relaykit.conformance.reports import view
from relaykit.conformance.reports.claims import claim_text
from relaykit.conformance.reports.drawing import label
from relaykit.conformance.reports.scenes import Gap, Point, scenes
from relaykit.conformance.reports.text import (
    blamed,
    json_lines,
    one_line,
    rerun,
    sent_text,
    shorten,
    steadiness,
    steadiness_text,
    visible,
)
from relaykit.schemas.wording import counted

Data = Mapping[str, Any]

_FAILURES = 30
"""So many failures are told in full: a summary that is too long is cut off by those who show it."""
_LINES = 24
_ESCAPED = re.compile(r"([\\`*_{}\[\]<>()#+!|~&@]|:(?=//|[a-z+-][\w+-]*:))")
"""What can be markup; a colon only before an address, or around the name of an emoji."""


def to_markdown(data: Data) -> bytes:
    """The report as Markdown (CommonMark with tables)."""
    return ("\n".join(_page(data)).rstrip("\n") + "\n").encode("utf-8", "replace")


def words(text: str) -> str:
    """Text in which nothing is markup, in one line."""
    return (
        _ESCAPED.sub(r"\\\1", visible(text).replace("\n", " ")).replace("\\<", "&lt;").replace("\\>", "&gt;")
    )


def prose(text: str) -> str:
    """A sentence of the catalogue: `code` between backticks, and no other markup."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return words(text)
    return "".join(code(part) if n % 2 else words(part) for n, part in enumerate(parts))


def code(text: str) -> str:
    """A code span that its content cannot end."""
    shown = visible(text).replace("\n", " ")
    if not shown.strip():
        return "` `"
    fence = "`" * (max((len(run) for run in re.findall(r"`+", shown)), default=0) + 1)
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def block(text: str, language: str = "") -> str:
    """A code block that its content cannot end."""
    fence = "`" * max(3, max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _page(data: Data) -> Iterator[str]:
    title, tone = view.headline(data)
    yield f"## {'✅' if tone == 'good' else '❌' if tone == 'bad' else '⚠️'} {words(title)}"
    yield ""
    claim = claim_text(data)
    yield f"{prose(claim[:1].upper() + claim[1:])}. {words(data['outcome']['text'])}."
    yield ""
    for line in data.get("stale", ()):
        yield f"- **Stale expectation:** {prose(line)}"
    for line in data.get("notes", ()):
        yield f"- {prose(line)}"
    grouped = {group.name: group for group in view.groups(data)}
    for name in ("error", "fail"):
        if name in grouped:
            yield from _told(data, grouped[name])
    if "warn" in grouped:
        yield from _warned(grouped["warn"])
    yield from _areas(data)
    for name in ("expected", "untestable", "not-applicable"):
        if name in grouped:
            yield from _reasons(grouped[name])
    yield from _facts(data)


def _told(data: Data, group: view.Group) -> Iterator[str]:
    yield f"\n### {group.title} ({len(group.cases)})\n"
    for case in group.cases[:_FAILURES]:
        found, played = scenes(data, case, _LINES)
        first = f": {words(shorten(found[0].first['message'], 160))}" if found else ""
        names = ", ".join(dict.fromkeys(f["requirement"] for f in case["findings"] if f["requirement"]))
        steady = f" [{steadiness(case)}]" if steadiness(case).startswith("flaky") else ""
        named = f" ({_html(names)})" if names else ""
        head = f"<b>{_html(case['id'])}</b>{named}{steady}{_html_words(first)}"
        yield f"<details><summary>{head}</summary>\n"
        yield f"{words(case['title'])}\n"
        if steadiness(case):
            yield f"**{steadiness(case).capitalize()}:** {words(steadiness_text(case))}.\n"
        for point in found:
            yield from _point(data, point)
        for scene in played[:1]:
            where = f" in {scene.origin}" if scene.origin else ""
            lines = [
                f"⋯ {counted(each.count, 'line')} not shown{' (fences)' if each.kit else ''}"
                if isinstance(each, Gap)
                else _line(each.entry, [point.number for point in each.points])
                for each in scene.lines
            ]
            yield f"\nOver the wire{where}:\n\n{block(chr(10).join(lines))}\n"
        yield f"Again: {code(rerun(data, case))}\n\n</details>\n"
    if len(group.cases) > _FAILURES:
        more = ", ".join(code(case["id"]) for case in group.cases[_FAILURES : _FAILURES + 100])
        yield f"And {len(group.cases) - _FAILURES} more: {more}\n"


def _html(text: str) -> str:
    return visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _html_words(escaped: str) -> str:
    # Inside the summary element Markdown is read by some and not by others: plain text fits both.
    return _html(re.sub(r"\\(.)", r"\1", escaped.replace("&lt;", "<").replace("&gt;", ">")))


def _point(data: Data, point: Point) -> Iterator[str]:
    rows = {row["id"]: row for row in data["requirements"]}
    yield f"**{point.number}.** {words(point.first['message'])}\n"
    for finding in point.findings:
        row = rows.get(finding["requirement"] or "")
        if row is not None:
            text = row.get("text", "")
            source = f" ({words(row['source'])})" if row.get("source") else ""
            told = f": {prose(text)}{source}" if text else ""
            yield f"- {words(row['id'])} ({row['level']}, {finding['provenance']}){told}"
    yield f"- To blame: {words(blamed(point.first))}"
    if point.first.get("sent"):
        yield f"- Sent {code(sent_text(point.first['sent'], 600))}"
    if point.first["expected"] is not None:
        yield f"- Expected {code(one_line(point.first['expected'], 600))}"
    actual = point.first["actual"]
    if isinstance(actual, (Mapping, list)):
        text = shorten("\n".join(line for _, line in json_lines(actual)), 1500)
        yield f"\n{block(text, 'json')}\n"
    else:
        yield f"- Came {code(one_line(actual, 600))}\n"


def _line(entry: Data, about: list[int]) -> str:
    arrow = "→" if entry["direction"] == "c2s" else "←"
    marks = f"   ◀ {', '.join(map(str, about))}" if about else ""
    fence = "   (fence)" if entry.get("kit") else ""
    return f"{entry['t_ms']:9.1f} ms  {visible(entry['actor']):<12} {arrow} {label(entry)}{fence}{marks}"


def _warned(group: view.Group) -> Iterator[str]:
    yield f"\n<details><summary>{group.title} ({len(group.cases)})</summary>\n"
    for case in group.cases:
        for message in dict.fromkeys(finding["message"] for finding in case["findings"]):
            yield f"- {code(case['id'])} {words(shorten(message, 300))}"
    yield "\n</details>\n"


def _areas(data: Data) -> Iterator[str]:
    shown = [v for v in view.VERDICTS if data["summary"].get(v)]
    if not shown:
        return
    yield "\n| Area | " + " | ".join(shown) + " |"
    yield "|---|" + "---:|" * len(shown)
    for row in view.by_area(data):
        cells = (str(row.counts[v]) if row.counts[v] else "·" for v in shown)
        yield f"| {_cell(words(row.title))} | " + " | ".join(cells) + " |"


def _reasons(group: view.Group) -> Iterator[str]:
    yield f"\n<details><summary>{group.title} ({len(group.cases)})</summary>\n"
    if group.name == "expected":
        for case in group.cases:
            yield f"- {code(case['id'])} {words(case['expected_failure'])}"
    else:
        for reason, names in view.reasons(group.cases):
            listed = ", ".join(code(name) for name in names[:8]) + (", …" if len(names) > 8 else "")
            yield f"- {words(reason)}: {listed}"
    yield "\n</details>\n"


def _facts(data: Data) -> Iterator[str]:
    yield "\n<details><summary>The run</summary>\n"
    for name, value, is_code in view.facts(data):
        yield f"- {name}: {code(value) if is_code else words(value)}"
    yield "\n</details>"
