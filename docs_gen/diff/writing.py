"""Changes as text for people and as JSON for programs."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import click

from relaykit.docs_gen.diff.changes import Change
from relaykit.docs_gen.diff.editions import Edition
from relaykit.schemas.wording import counted

_SAYS = {"yes": "BREAKS", "unknown": "unknown", "no": "fine"}
_COLOURS = {"yes": "red", "unknown": "yellow", "no": "green"}
_WIDTH = 100
_INDENT = " " * 11
_ITEMS = 4
"""Longer arrays of a witness are told by their first items and their length."""


def as_text(old: Edition, new: Edition, found: tuple[Change, ...]) -> Iterator[str]:
    """Lines: what changed place by place, then a summary."""
    yield f"{_named(old)} → {_named(new)}"
    for place, group in groupby(found, key=lambda change: change.place):
        yield ""
        yield click.style(place, bold=True)
        for change in group:
            yield from _lines(change)
    yield ""
    if old.requirements is None or new.requirements is None:
        yield "Only frames were compared: a bundle holds no requirements."
    yield summary(found)


def _named(edition: Edition) -> str:
    return f"{edition.name} ({edition.version})"


def _lines(change: Change) -> Iterator[str]:
    mark = click.style(f"{_SAYS[change.breaks]:<9}", fg=_COLOURS[change.breaks])
    what = " ".join(filter(None, (change.field, change.kind)))
    first, *more = _wrapped(f"{what}: {change.words}" if change.words else what)
    yield f"  {mark}{first}"
    yield from (f"{_INDENT}{line}" for line in more)
    for note in filter(None, (change.why, _instance(change.witness))):
        yield from (f"{_INDENT}  {line}" for line in _wrapped(note))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH - len(_INDENT) - 2, break_on_hyphens=False) or [""]


def _instance(witness: Any) -> str:
    if witness is None:
        return ""
    text = json.dumps(_brief(witness), ensure_ascii=False, separators=(",", ":"))
    return f"such as {text if len(text) <= 300 else text[:298] + '…'}"


def _brief(witness: Any) -> Any:
    """The witness with the middle of long arrays left out, as a reader is told it; JSON has it whole."""
    if isinstance(witness, Mapping):
        return {key: _brief(value) for key, value in witness.items()}
    if isinstance(witness, (list, tuple)):
        if len(witness) <= _ITEMS:
            return list(map(_brief, witness))
        return [*map(_brief, witness[:2]), f"… {len(witness)} items in all"]
    return witness


def counts(found: Iterable[Change]) -> dict[str, int]:
    """How many changes break, might break, and do not."""
    by = Counter(change.breaks for change in found)
    return {"breaks": by["yes"], "unknown": by["unknown"], "fine": by["no"]}


def summary(found: tuple[Change, ...]) -> str:
    """One line that says it all."""
    if not found:
        return "No changes."
    by = counts(found)
    parts = [
        f"{by['breaks']} {'breaks' if by['breaks'] == 1 else 'break'}",
        f"{by['unknown']} unknown: look at {'it' if by['unknown'] == 1 else 'them'}"
        if by["unknown"]
        else "0 unknown",
        f"{by['fine']} fine",
    ]
    return f"{counted(len(found), 'change')}: {', '.join(parts)}."


def as_json(old: Edition, new: Edition, found: tuple[Change, ...]) -> str:
    """The same for programs; keys are stable."""
    value = {
        "old": {"name": old.name, "version": old.version},
        "new": {"name": new.name, "version": new.version},
        "requirements_compared": old.requirements is not None and new.requirements is not None,
        "summary": counts(found),
        "changes": [_entry(change) for change in found],
    }
    return json.dumps(value, ensure_ascii=False, indent=2) + "\n"


def _entry(change: Change) -> dict[str, Any]:
    entry: dict[str, Any] = {
        name: getattr(change, name)
        for name in ("kind", "subject", "place", "field", "words", "breaks", "why")
    }
    return entry if change.witness is None else {**entry, "witness": change.witness}
