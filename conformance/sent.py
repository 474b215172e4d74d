"""What was sent before something went wrong: the line of a transcript that a finding is most likely about."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from relaykit.conformance.record import Entry
from relaykit.conformance.results import Finding

_LOOKED_AT = 400
"""Lines of a long transcript, the last ones, in which the message is looked for."""


def sent_before(finding: Finding, transcript: Sequence[Entry]) -> Entry | None:
    """The last that the case sent or did before the finding; None if nothing was.

    Where the finding speaks of a message, it is the last line that names this message: a case may send much
    at once. The suite's own fences are passed over, since nobody is wrong because of them.
    """
    moment = finding.t_ms
    if finding.case:  # for what was gathered in all cases: the frame shows where
        same = (entry for entry in transcript if entry.direction == "s2c" and entry.frame == finding.actual)
        found = next(same, None) if finding.actual is not None else None
        if found is None:
            return None
        moment = found.t_ms
    done = [
        entry
        for entry in transcript
        if entry.direction == "c2s" and not entry.kit and entry.t_ms <= moment and not _arrival(entry)
    ]
    done = done[-_LOOKED_AT:]
    names = {name.lower() for value in (finding.expected, finding.actual) for name in _message_ids(value)}
    about = [entry for entry in done if any(name in _text(entry) for name in names)]
    return (about or done)[-1] if done else None


def _arrival(entry: Entry) -> bool:
    """Whether it is nothing but somebody's arrival at a node."""
    return entry.event is not None and entry.event.startswith("goes to ")


def _text(entry: Entry) -> str:
    shown = entry.frame if entry.event is None else entry.event
    return (shown if isinstance(shown, str) else json.dumps(shown, default=str)).lower()


def _message_ids(value: Any) -> Iterator[str]:
    """The messages that an expected or an actual frame is about."""
    if isinstance(value, (list, tuple)):
        for item in value[:20]:
            yield from _message_ids(item)
        return
    if not isinstance(value, Mapping):
        return
    payload = value.get("payload")
    for part in (value, payload if isinstance(payload, Mapping) else {}):
        name = part.get("message_id")
        if isinstance(name, str) and name:
            yield name
