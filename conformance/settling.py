"""Capabilities that a target file leaves to be tried (`probe`), settled in its text by what trying has shown.

Only these words change, and the comments behind them: what else stands in the file stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import yaml

from relaykit.conformance.capabilities import Tried
from relaykit.conformance.reports.text import shorten, visible

PROBE = "probe"
_LONGEST = 60
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def settled(text: str, tried: Sequence[Tried], today: date) -> str:
    """The text of a target file with `true` or `false` for what was tried, where that could be told.

    Args:
        text: a target file that can be read.
    """
    found = {each.capability: each for each in tried}
    # From the end, so that what was found before stays where it is.
    for name, node in sorted(_open(text), key=lambda item: -item[1].start_mark.index):
        if name not in found:
            continue
        start, end = node.start_mark.index, node.end_mark.index
        line, newline, rest = text[end:].partition("\n")
        text = f"{text[:start]}{_value(found[name])}{_commented(line, found[name], today)}{newline}{rest}"
    return text


def with_quiet(text: str, milliseconds: int, round_trip_ms: float) -> str:
    """The text of a file that `relaykit init` made, with the quiet window that a slow server needs."""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if line.startswith("# timing:"):
            lines[number] = "timing:"
        elif line.startswith("#   quiet_ms:"):
            why = f"a heartbeat took {round_trip_ms:.0f} ms: what must not come may come as late"
            lines[number] = f"  quiet_ms: {milliseconds}  # {why}"
    return "\n".join(lines)


def _open(text: str) -> list[tuple[str, Any]]:
    """The capabilities that stand as `probe`: names and YAML nodes."""
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
    finally:
        loader.dispose()
    pairs = root.value if isinstance(root, yaml.MappingNode) else ()
    stated = next((value for key, value in pairs if key.value == "capabilities"), None)
    inner = stated.value if isinstance(stated, yaml.MappingNode) else ()
    return [(key.value, value) for key, value in inner if value.value == PROBE]


def _value(tried: Tried) -> str:
    if not tried.told:
        return PROBE
    return "true" if tried.served else "false"


def _commented(line: str, tried: Tried, today: date) -> str:
    """The rest of the line; where nothing but a comment stands there, it says what was found."""
    title, mark, _ = line.strip().lstrip("#").strip().partition("; tried ")
    if line.strip() and not line.strip().startswith("#"):
        return line
    if not mark:
        title = line.strip().lstrip("#").strip()
    # The first of what was tried; and only what is plain, since a target's words may hold anything.
    why = shorten(visible(" ".join(tried.said.partition("; ")[0].split())), _LONGEST)
    found = "" if tried.served else "not served: " if tried.told else "could not be told: "
    return f"  # {f'{title}; ' if title else ''}tried {today}, {found}{why}"
