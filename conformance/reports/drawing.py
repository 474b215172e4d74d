"""What went over the wire, as a sequence diagram in SVG. Colours come from the page's style sheet.

Every word in it may have come from a hostile server: all of it passes `_text`, which escapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

from relaykit.conformance.reports.scenes import Gap, Line, Scene
from relaykit.conformance.reports.text import one_line, shorten, visible
from relaykit.schemas.wording import counted

SERVER = "server"
_GUTTER, _GAP, _EDGE, _HEAD = 92, 164, 66, 44
_ROW, _SLIM = 34, 22
_TELLING = ("status", "error_code", "reason", "is_typing", "call_type", "message_type")
"""Payload fields whose value belongs on the arrow."""


@dataclass(slots=True)
class _Canvas:
    """Where the next row goes, and what is drawn so far."""

    lanes: tuple[str, ...]
    y: float = _HEAD + 6.0
    parts: list[str] = field(default_factory=list)

    def x(self, name: str) -> float:
        return _GUTTER + _EDGE + self.lanes.index(name) * _GAP

    @property
    def width(self) -> float:
        return _GUTTER + 2 * _EDGE + (len(self.lanes) - 1) * _GAP


def diagram(scene: Scene, ids: str, title: str) -> Markup:
    """Draw a scene.

    Args:
        ids: prefix of the element IDs, unique on the page.
        title: what the diagram shows, for those who do not see it.
    """
    canvas = _Canvas(_lanes(scene))
    kit: list[Line] = []
    for line in scene.lines:
        if isinstance(line, Line) and line.entry.get("kit") and not line.points:
            kit.append(line)
            continue
        if isinstance(line, Gap) and line.kit and kit:
            continue
        _fences(canvas, kit)
        kit = []
        if isinstance(line, Gap):
            _slim(canvas, "fences" if line.kit else f"⋯ {counted(line.count, 'line')} not shown ⋯")
        else:
            _arrow(canvas, line)
    _fences(canvas, kit)
    height = canvas.y + 14
    body = "".join((*_lifelines(canvas, height), *canvas.parts))
    return Markup(
        f'<svg class="seq" role="img" aria-labelledby="{ids}-t" viewBox="0 0 {canvas.width:g} {height:g}"'
        f' width="{canvas.width:g}" height="{height:g}"><title id="{ids}-t">{escape(visible(title))}</title>'
        f"{body}</svg>"
    )


def _lanes(scene: Scene) -> tuple[str, ...]:
    """The first actor's devices, the server, everybody else's devices."""
    actors = list(dict.fromkeys(line.entry["actor"] for line in scene.lines if isinstance(line, Line)))
    first = actors[0].partition(".")[0] if actors else ""
    own = [actor for actor in actors if actor.partition(".")[0] == first]
    return (*own, f"\0{SERVER}", *(actor for actor in actors if actor not in own))


def _text(x: float, y: float, words: str, style: str, anchor: str = "") -> str:
    place = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:g}" y="{y:g}" class="{style}"{place}>{escape(visible(words))}</text>'


def _lifelines(canvas: _Canvas, height: float) -> Iterator[str]:
    for name in canvas.lanes:
        x = canvas.x(name)
        style = "who srv" if name.startswith("\0") else "who"
        shown = shorten(name.lstrip("\0"), 16)
        yield f'<path d="M{x:g} 36V{height - 6:g}" class="life"/>'
        yield f'<rect x="{x - 56:g}" y="8" width="112" height="26" rx="6" class="{style}"/>'
        yield _text(x, 26, shown, "name")


def _fences(canvas: _Canvas, kit: Iterable[Line]) -> None:
    """The suite's own heartbeats, which only prove that nothing else is on its way, as one slim row."""
    actors = dict.fromkeys(line.entry["actor"] for line in kit)
    if actors:
        _slim(canvas, f"fence: {shorten(', '.join(actors), 46)}")


def _slim(canvas: _Canvas, words: str) -> None:
    canvas.y += _SLIM
    middle = _GUTTER + (canvas.width - _GUTTER) / 2
    width = len(words) * 6.1 + 16
    canvas.parts.append(
        f'<rect x="{middle - width / 2:g}" y="{canvas.y - 15:g}" width="{width:g}" height="17" class="back"/>'
        + _text(middle, canvas.y - 3, words, "fence")
    )


def _arrow(canvas: _Canvas, line: Line) -> None:
    canvas.y += _ROW
    entry, y = line.entry, canvas.y - 6
    actor, server = canvas.x(entry["actor"]), canvas.x(f"\0{SERVER}")
    start, end = (actor, server) if entry["direction"] == "c2s" else (server, actor)
    right = end > start
    tone = _tone(line)
    # Raw texts are told in the list of frames; here they would only cover the neighbours.
    label = shorten(_label(entry), 40 if entry.get("event") or isinstance(entry["frame"], Mapping) else 22)
    width = len(label) * 6.6 + 8
    # The label stands on its arrow; a long one may reach over the neighbouring lifelines, on a plate.
    middle = min(
        max((start + end) / 2, _GUTTER + width / 2), max(canvas.width - width / 2, _GUTTER + width / 2)
    )
    tip = f"M{end:g} {y:g}l{-8 if right else 8} -4v8z"
    canvas.parts.append(
        _text(_GUTTER - 14, y + 4, f"{line.number} · {entry['t_ms']:.0f} ms", "time", "end")
        + f'<rect x="{middle - width / 2:g}" y="{y - 18:g}" width="{width:g}" height="15" class="back"/>'
        + _text(middle, y - 7, label, f"label {tone}")
        + f'<path d="M{start:g} {y:g}H{end - (7 if right else -7):g}" class="wire {tone}"/>'
        + f'<path d="{tip}" class="tip {tone}"/>'
    )
    for place, point in enumerate(line.points[:3]):
        style = "bad" if point.severe else "warn"
        x = end + (12 if right else -12) + place * (17 if right else -17)
        canvas.parts.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="8" class="mark {style}"/>'
            + _text(x, y + 4, str(point.number), "digit")
        )


def _tone(line: Line) -> str:
    if line.points:
        return "bad" if any(point.severe for point in line.points) else "warn"
    if line.entry.get("event"):
        return "link"
    return "send" if line.entry["direction"] == "c2s" else "receive"


def _label(entry: Mapping[str, Any]) -> str:
    """What an arrow says: the type, and the one value that tells most."""
    if entry.get("event"):
        return one_line(entry["event"])
    frame = entry["frame"]
    if not isinstance(frame, Mapping):
        return f"text {one_line(frame, 200)}"
    kind = one_line(frame.get("type", "(no type)"), 30)
    payload = frame.get("payload")
    if isinstance(payload, Mapping):
        telling = next((payload[name] for name in _TELLING if name in payload), None)
        if isinstance(telling, (str, bool, int)) and len(str(telling)) <= 20:
            return f"{kind} · {one_line(telling, 20)}"
    return kind


def label(entry: Mapping[str, Any]) -> str:
    """The same words for a list of frames."""
    return _label(entry)
