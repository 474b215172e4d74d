"""The report as one HTML file that needs no network: readable without script, searchable with it.

The size is bounded: cases are drawn in the order of their importance, and once a budget is spent, the rest
show less and less of their transcripts. The page says so, and the JSON report has all of it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from relaykit.conformance.reports import drawing, families, scenes, text, view
from relaykit.conformance.reports.scenes import Line, Point, Scene
from relaykit.look import look
from relaykit.schemas.wording import counted

Data = Mapping[str, Any]

BUDGET = 4_000_000
"""Bytes for all cases together; a page beyond some 5 MB is no longer pleasant to open."""
_OPEN = 25
"""So many failures are unfolded at first."""
_FRAME = 6000
"""Characters of one frame that are shown at most."""


@dataclass(frozen=True, slots=True)
class Detail:
    """How much of a transcript is shown: lines of the diagram, and whether the frames follow."""

    name: str
    lines: int
    frames: bool


DETAILS = (
    Detail("full", 80, True),
    Detail("short", 30, True),
    Detail("drawn", 16, False),
    Detail("bare", 0, False),
)
"""From everything to nothing. Failures start at the first, passing cases at the second."""


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "anchor": text.anchor,
        "visible": text.visible,
        "one_line": text.one_line,
        "counted": counted,
        "blamed": text.blamed,
        "steadiness": text.steadiness,
        "steadiness_text": text.steadiness_text,
        "codes": _codes,
        "inner": _inner,
        "capitalize_first": lambda words: words[:1].upper() + words[1:],
    }
    return made


def _inner(words: str) -> Markup:
    """Text between tags (never within one): quotes stay as they are, which in JSON saves a fifth."""
    return Markup(words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"))


def _codes(words: str) -> Markup:
    """Text with `code` between backticks as such; everything escaped."""
    parts = str(escape(words)).split("`")
    if len(parts) % 2 == 0:
        return Markup("`".join(parts))
    return Markup("".join(f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts)))


def _file(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text("utf-8").strip()


def to_html(data: Data, budget: int = BUDGET) -> bytes:
    """The report as an HTML page.

    Args:
        budget: bytes for the cases; what goes beyond shows less of the transcripts.
    """
    grouped = view.groups(data)
    drawn = _cases(data, grouped, budget)
    cut = [name for name, (detail, _) in drawn.items() if detail.name in ("drawn", "bare")]
    style, script, early = look() + _file("report.css"), _file("report.js"), _file("theme.js")
    page = (
        _environment()
        .get_template("report.html.j2")
        .render(
            data=data,
            view=view,
            families=families,
            headline=view.headline(data),
            groups=grouped,
            cases={name: markup for name, (_, markup) in drawn.items()},
            cut=len(cut),
            style=Markup(style),
            script=Markup(script),
            early=Markup(early),
            policy=_policy(style, script, early),
        )
    )
    # Lone surrogates, which UTF-8 cannot hold, were made visible; this is for what slipped through.
    return page.encode("utf-8", "replace")


def _policy(style: str, *scripts: str) -> str:
    """A content security policy under which nothing runs or loads but what the page was made with."""

    def hashed(content: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"

    allowed = " ".join(hashed(script) for script in scripts)
    return (
        f"default-src 'none'; style-src {hashed(style)}; script-src {allowed}; img-src data:;"
        " base-uri 'none'; form-action 'none'"
    )


def _cases(data: Data, grouped: list[view.Group], budget: int) -> dict[str, tuple[Detail, Markup]]:
    """Every case as HTML, each as detailed as what is left of the budget allows."""
    ordered = [(group, case) for group in grouped for case in group.cases]
    index = _Index(
        {row["id"]: row for row in data["requirements"]}, frozenset(case["id"] for case in data["cases"])
    )
    bare = [_case(data, index, group, case, DETAILS[-1], n) for n, (group, case) in enumerate(ordered)]
    left = budget - sum(map(_size, bare))
    made: dict[str, tuple[Detail, Markup]] = {}
    start = 0
    for n, (group, case) in enumerate(ordered):
        made[case["id"]] = (DETAILS[-1], bare[n])
        if not case["transcript"] and not case["findings"]:
            made[case["id"]] = (DETAILS[0], bare[n])
            continue
        for level in range(max(start, 0 if case["findings"] else 1), len(DETAILS) - 1):
            markup = _case(data, index, group, case, DETAILS[level], n)
            more = _size(markup) - _size(bare[n])
            if more <= left:
                made[case["id"]] = (DETAILS[level], markup)
                left -= more
                break
            # What did not fit for this one is not tried for those that matter less.
            start = level + 1
    return made


def _size(markup: str) -> int:
    return len(markup.encode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class _Index:
    """What links may lead to."""

    requirements: Mapping[str, Data]
    cases: frozenset[str]


@dataclass(frozen=True, slots=True)
class FrameRow:
    """A line of the transcript as a row of the list of frames."""

    line: Line
    label: str
    anchor: str
    lines: tuple[str, ...]
    fault: int | None


@dataclass(frozen=True, slots=True)
class SceneView:
    """A scene as the template shows it."""

    scene: Scene
    diagram: Markup
    rows: tuple[FrameRow | scenes.Gap, ...]


def _case(data: Data, index: _Index, group: view.Group, case: Data, detail: Detail, n: int) -> Markup:
    found, played = scenes.scenes(data, case, detail.lines)
    if not detail.lines:
        played = []
    ids = f"d{n}"
    views = [
        SceneView(
            scene,
            drawing.diagram(scene, f"{ids}-{m}", f"What went over the wire in {scene.origin or case['id']}"),
            tuple(_row(each, f"{ids}-{m}", case) for each in scene.lines) if detail.frames else (),
        )
        for m, scene in enumerate(played)
    ]
    file, line = text.place(case.get("source", ""))
    return Markup(
        _environment()
        .get_template("case.html.j2")
        .render(
            case=case,
            group=group,
            id=ids,
            open=group.name in ("fail", "error") and n < _OPEN,
            points=[_seen(point, case) for point in found],
            placed={point.number: _places(views, point) for point in found},
            scenes=views,
            bare=bool(case["transcript"]) and not views,
            requirements=index.requirements,
            known=index.cases,
            place=text.visible(f"{file}:{line}" if line else file),
            command=text.rerun(data, case),
            kinds=" ".join(_kinds(case)),
        )
    )


@dataclass(frozen=True, slots=True)
class PointView:
    """A finding as the template shows it: what was sent, expected and what came, as JSON or as text."""

    point: Point
    sent: tuple[str, ...]
    expected: tuple[str, ...]
    actual: tuple[str, ...]
    fault: int | None


def _seen(point: Point, case: Data) -> PointView:
    finding = point.first
    pointer = finding.get("step", "") if case.get("kind") == "shape" else ""
    actual, fault = _shown(finding["actual"], pointer)
    expected = finding["expected"]
    sent = finding.get("sent")
    did = () if sent is None else _shown(sent["event"] if sent.get("event") else sent["frame"])[0]
    return PointView(point, did, () if expected is None else _shown(expected)[0], actual, fault)


def _places(views: list[SceneView], point: Point) -> FrameRow | None:
    """The row of frames that a point stands beside."""
    for each in views:
        for row in each.rows:
            if isinstance(row, FrameRow) and point.number in (p.number for p in row.line.points):
                return row
    return None


def _row(line: Line | scenes.Gap, ids: str, case: Data) -> FrameRow | scenes.Gap:
    if isinstance(line, scenes.Gap):
        return line
    exact = next((p for p in line.points if p.exact and case.get("kind") == "shape"), None)
    shown: tuple[str, ...] = ()
    fault: int | None = None
    if not line.entry.get("event"):
        shown, fault = _shown(line.entry["frame"], exact.first.get("step", "") if exact else "")
    return FrameRow(line, drawing.label(line.entry), f"{ids}-{line.number}", shown, fault)


def _shown(value: Any, pointer: str = "") -> tuple[tuple[str, ...], int | None]:
    """A value as lines, cut, and the line that the pointer means."""
    if value is None:
        return ("nothing",), None
    if isinstance(value, str):
        return tuple(text.visible(text.shorten(value, _FRAME)).split("\n")), None
    pairs: list[tuple[str, str]] = []
    room = _FRAME
    for pair in text.json_lines(value):
        room -= len(pair[1]) + 1
        if room < 0:
            pairs.append(("\0", "… (cut here; the JSON report has more)"))
            break
        pairs.append(pair)
    return tuple(line for _, line in pairs), text.marked(pairs, pointer) if pointer else None


def _kinds(case: Data) -> list[str]:
    """The types of the frames in a case, for the search."""
    kinds = (e["frame"].get("type") for e in case["transcript"] if isinstance(e["frame"], Mapping))
    return list(dict.fromkeys(text.one_line(kind, 40) for kind in kinds if isinstance(kind, str)))[:20]
