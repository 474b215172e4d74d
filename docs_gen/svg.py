"""Diagrams as inline SVG. Colours come from the page's style sheet, so that both themes fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from math import atan2, cos, hypot, sin

from markupsafe import Markup, escape

from relaykit.docs_gen.diagrams import Arrow, Box, Note, Row, Sequence, State, StateDiagram, Transition
from relaykit.docs_gen.text import drawn, plain

_GAP, _WIDEST = 146, 204  # between lifelines: at least, at most
_LETTER = 6.7  # width of a letter of a label
_EDGE = 76  # from the edge to the first lifeline
_HEAD = 46  # height of the names at the top
_ARROW, _NOTE, _BOX = 42, 38, 26  # heights of rows


@dataclass(slots=True)
class _Canvas:
    """Where the next row goes; collects what is drawn. Boxes lie under everything else."""

    diagram: Sequence
    lines: tuple[float, ...]
    y: float = _HEAD + 8.0
    under: list[str] = field(default_factory=list)
    over: list[str] = field(default_factory=list)

    def x(self, line: int) -> float:
        return self.lines[line]


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _text(x: float, y: float, words: str, style: str, anchor: str = "middle") -> str:
    place = "" if anchor == "middle" else f' text-anchor="{anchor}"'
    return f'<text x="{_n(x)}" y="{_n(y)}" class="{style}"{place}>{escape(words)}</text>'


def _tip(x: float, y: float, angle: float, style: str) -> str:
    points = ((0.0, 0.0), (-9.0, -4.5), (-9.0, 4.5))
    turned = (
        f"{_n(x + px * cos(angle) - py * sin(angle))},{_n(y + px * sin(angle) + py * cos(angle))}"
        for px, py in points
    )
    return f'<polygon points="{" ".join(turned)}" class="tip {style}"/>'


def sequence_svg(diagram: Sequence, ids: str) -> Markup:
    """Draw a sequence diagram.

    Args:
        diagram: what is drawn.
        ids: prefix of the element IDs, unique on the page.
    """
    canvas = _Canvas(diagram, _spread(diagram))
    _draw(canvas, diagram.rows, 0)
    width = _EDGE + canvas.x(len(diagram.lifelines) - 1)
    height = canvas.y + 14
    body = "".join((*_lifelines(canvas, height), *canvas.under, *canvas.over))
    words = "; ".join(_described(diagram.rows))
    return _svg(ids, "seq", width, height, f"Sequence diagram: {diagram.title}", words, body)


def _label(row: Arrow) -> str:
    return f"{row.label} · {row.detail}" if row.detail else row.label


def _spread(diagram: Sequence) -> tuple[float, ...]:
    """Where the lifelines stand: as near as the labels of the arrows between them permit."""
    gaps = [float(_GAP)] * (len(diagram.lifelines) - 1)
    # The short arrows first: a longer one asks for the room that is still missing.
    for first, last, label in sorted(_spans(diagram.rows), key=lambda span: span[1] - span[0]):
        missing = len(label) * _LETTER + 34 - sum(gaps[first:last])
        for gap in range(first, last):
            gaps[gap] = min(_WIDEST, gaps[gap] + max(0.0, missing) / (last - first))
    return tuple(accumulate(gaps, initial=float(_EDGE)))


def _spans(rows: Iterable[Row]) -> Iterator[tuple[int, int, str]]:
    """From which lifeline to which each arrow goes, and its label."""
    for row in rows:
        if isinstance(row, Box):
            for section in row.sections:
                yield from _spans(section)
        elif isinstance(row, Arrow):
            yield min(row.start, row.end), max(row.start, row.end), _label(row)


def _svg(ids: str, style: str, width: float, height: float, title: str, words: str, body: str) -> Markup:
    shown = words if len(words) <= 600 else f"{words[:600].rpartition(';')[0]}; and so on"
    return drawn(
        f'<svg class="diagram {style}" role="img" aria-labelledby="{ids}-t {ids}-d"'
        f' viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" height="{_n(height)}">'
        f'<title id="{ids}-t">{escape(title)}</title><desc id="{ids}-d">{escape(shown)}</desc>{body}</svg>'
    )


def _described(rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        if isinstance(row, Box):
            yield f"{row.label}: {' / '.join(', '.join(_described(section)) for section in row.sections)}"
        else:
            yield plain(row.words)


def _lifelines(canvas: _Canvas, height: float) -> Iterator[str]:
    for line, name in enumerate(canvas.diagram.lifelines):
        x = canvas.x(line)
        style = "who server" if line == canvas.diagram.server else "who"
        yield f'<line x1="{_n(x)}" y1="{_HEAD - 8}" x2="{_n(x)}" y2="{_n(height - 6)}" class="life"/>'
        yield f'<rect x="{_n(x - 58)}" y="8" width="116" height="28" rx="6" class="{style}"/>'
        yield _text(x, 27, name, "name")


def _draw(canvas: _Canvas, rows: tuple[Row, ...], depth: int) -> None:
    beside: set[int] = set()  # the lifelines of notes in this line: the next one may stand beside them
    for row in rows:
        if isinstance(row, Arrow):
            _arrow(canvas, row)
        elif isinstance(row, Note):
            if not beside or beside & _covered(row):
                canvas.y += _NOTE
                beside = set()
            beside |= _covered(row)
            _note(canvas, row)
            continue
        else:
            _box(canvas, row, depth)
        beside = set()


def _covered(row: Note) -> set[int]:
    return set(range(min(row.over), max(row.over) + 1)) if row.over else set()


def _arrow(canvas: _Canvas, row: Arrow) -> None:
    canvas.y += _ARROW
    start, end, y = canvas.x(row.start), canvas.x(row.end), canvas.y - 10
    right = end > start
    label = _label(row)
    canvas.over.append(_text((start + end) / 2, y - 9, label, f"label {row.tone}"))
    canvas.over.append(
        f'<line x1="{_n(start)}" y1="{_n(y)}" x2="{_n(end - (8 if right else -8))}" y2="{_n(y)}"'
        f' class="wire {row.tone}"/>'
    )
    canvas.over.append(
        f'<path d="M{_n(end)} {_n(y)}l{"-" if right else ""}9-4.5v9z" class="tip {row.tone}"/>'
    )
    if row.tone == "invalid":
        canvas.over.append(_text(end + (10 if right else -10), y + 4, "✗", "label invalid"))


def _runs(lines: tuple[int, ...]) -> list[tuple[int, int]]:
    """Neighbouring lifelines as spans."""
    runs: list[tuple[int, int]] = []
    for line in lines:
        if runs and line == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], line)
        else:
            runs.append((line, line))
    return runs


def _note(canvas: _Canvas, row: Note) -> None:
    y = canvas.y - 26
    for first, last in _runs(row.over):
        left, right = canvas.x(first) - 54, canvas.x(last) + 54
        canvas.over.append(
            f'<rect x="{_n(left)}" y="{_n(y)}" width="{_n(right - left)}" height="22" rx="11"'
            f' class="note {row.tone}"/>'
        )
        canvas.over.append(_text((left + right) / 2, y + 15, row.label, f"label {row.tone}"))


def _box(canvas: _Canvas, row: Box, depth: int) -> None:
    canvas.y += 8
    top, left = canvas.y, 8 + depth * 7.0
    width = _EDGE + canvas.x(len(canvas.diagram.lifelines) - 1) - 2 * left
    place = len(canvas.under)
    canvas.y += _BOX - 6
    for number, section in enumerate(row.sections):
        if number:
            canvas.y += 8
            canvas.over.append(
                f'<line x1="{_n(left)}" y1="{_n(canvas.y)}" x2="{_n(left + width)}" y2="{_n(canvas.y)}"'
                ' class="or"/>'
            )
            canvas.over.append(_text(left + 8, canvas.y + 14, "or", "tag", "start"))
            canvas.y += 6
        _draw(canvas, section, depth + 1)
    canvas.y += 4
    size = f'width="{_n(width)}" height="{_n(canvas.y - top)}"'
    canvas.under.insert(place, f'<rect x="{_n(left)}" y="{_n(top)}" {size} rx="6" class="box"/>')
    canvas.over.append(_text(left + 8, top + 16, row.label, "tag", "start"))


# --- state diagrams -----------------------------------------------------------------------------------------

_CELL_W, _CELL_H, _STATE_W, _STATE_H = 268, 116, 124, 40


def states_svg(diagram: StateDiagram, ids: str) -> Markup:
    """Draw a state diagram on its grid."""
    top = 82.0 if any(t.start == t.end for t in diagram.transitions) else 34.0
    where = {state.name: _centre(state, top) for state in diagram.states}
    reach = (_reach(transition, where) for transition in diagram.transitions)
    width = max(max(x for x, _ in where.values()) + _STATE_W / 2 + 20, *reach, 0.0)
    below = 64 if any(t.bend for t in diagram.transitions) else 16
    height = max(y for _, y in where.values()) + _STATE_H / 2 + below
    lines = (_transition(transition, where) for transition in diagram.transitions)
    states = (_state(state, *where[state.name]) for state in diagram.states)
    body = "".join((*lines, *states))
    words = "; ".join(plain(transition.words) for transition in diagram.transitions)
    return _svg(ids, "states", width, height, f"State diagram: {diagram.title}", words, body)


def _reach(transition: Transition, where: dict[str, tuple[float, float]]) -> float:
    """How far to the right the label of a loop, or of a line straight down, goes."""
    (x1, _), (x2, _) = where[transition.start], where[transition.end]
    letters = len(transition.label) * 7.6
    return (x1 + letters / 2 if transition.start == transition.end else x1 + 8 + letters) if x1 == x2 else 0.0


def _centre(state: State, top: float) -> tuple[float, float]:
    return 20 + _STATE_W / 2 + state.column * _CELL_W, top + state.row * _CELL_H


def _state(state: State, x: float, y: float) -> str:
    box = (
        f'<rect x="{_n(x - _STATE_W / 2)}" y="{_n(y - _STATE_H / 2)}" width="{_STATE_W}" height="{_STATE_H}"'
        f' rx="20" class="state {state.kind}"/>'
    )
    return box + _text(x, y + 5, state.title, "name")


def _transition(transition: Transition, where: dict[str, tuple[float, float]]) -> str:
    (x1, y1), (x2, y2) = where[transition.start], where[transition.end]
    if transition.start == transition.end:
        return _loop(transition, x1, y1)
    angle = atan2(y2 - y1, x2 - x1)
    bend = transition.bend
    mx, my = (x1 + x2) / 2 - sin(angle) * bend, (y1 + y2) / 2 + cos(angle) * bend
    sx, sy = _border(x1, y1, mx, my)
    ex, ey = _border(x2, y2, mx, my)
    tip = atan2(ey - my, ex - mx)
    lx, ly = (sx + 2 * mx + ex) / 4, (sy + 2 * my + ey) / 4
    slope = abs(sin(angle))
    if slope < 0.2:
        place, anchor = (lx, ly - 8 if bend <= 0 else ly + 16), "middle"
    elif slope > 0.95:
        place, anchor = (lx + 8, ly + 4), "start"
    else:  # beside the line, on the side that it leaves free below
        right = cos(angle) * sin(angle) < 0
        place, anchor = (lx + 12 if right else lx - 12, ly + 12), "start" if right else "end"
    return (
        f'<path d="M{_n(sx)} {_n(sy)}Q{_n(mx)} {_n(my)} {_n(ex - 7 * cos(tip))} {_n(ey - 7 * sin(tip))}"'
        f' class="wire"/>{_tip(ex, ey, tip, "")}' + _text(*place, transition.label, "label", anchor)
    )


def _loop(transition: Transition, x: float, y: float) -> str:
    top = y - _STATE_H / 2
    left, right, up = _n(x - 30), _n(x + 30), _n(top - 34)
    path = f"M{_n(x - 18)} {_n(top)}C{left} {up} {right} {up} {_n(x + 19)} {_n(top - 5)}"
    label = _text(x, top - 34, transition.label, "label")
    return f'<path d="{path}" class="wire"/>{_tip(x + 18, top, 1.85, "")}{label}'


def _border(x: float, y: float, towards_x: float, towards_y: float) -> tuple[float, float]:
    """The point on a state's outline in the direction of another point."""
    dx, dy = towards_x - x, towards_y - y
    length = hypot(dx, dy) or 1.0
    scale = min(
        (_STATE_W / 2 + 3) / abs(dx) if dx else float("inf"),
        (_STATE_H / 2 + 3) / abs(dy) if dy else float("inf"),
    )
    return x + dx * min(scale, length), y + dy * min(scale, length)
