"""What a failure leaves: a minimal scenario file, in the suite's own format, that `relaykit replay` runs.

A finder (fuzzed frames, fuzzed sessions) knows real identifiers; a scenario must not, since each run has
fresh users. `refer` puts references in their place, `send_step` picks the plainest way to send something,
`write` writes the file and loads it back, so that nothing is left behind that could not be replayed.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relaykit.conformance.grammar import Absent, Match, Scenario
from relaykit.conformance.loader import load_files
from relaykit.errors import KitDefect, UsageError
from relaykit.schemas import Catalogue

_PLAIN = re.compile(r"[a-z][a-z0-9_]*")
_WORDS = frozenset({"true", "false", "null"})
_UNSAFE = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_LONGEST_KEY = 800
"""YAML's keys may have 1024 characters, their escapes included."""
_DEEPEST = 40
DOLLAR = "dollar"
"""The variable that stands for a `$` before a `{` which is no reference."""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A failure as the shortest scenario that shows it.

    Attributes:
        id: permanent, lower case with dashes; also the file's name.
        title: what is true when the scenario passes.
        catches: the fault that it shows.
        area: its requirements' area (a file name such as `messages`).
        actors, vars, steps: as in a scenario file. The steps that fail name the requirement, the others none,
            so that `replay` tells this failure from any other.
        requires, about: as in a scenario file; None: nothing to say.
        notes: lines of comment above it: how it was found, with which seed.
    """

    id: str
    title: str
    catches: str
    area: str
    actors: Mapping[str, Any]
    steps: Sequence[Mapping[str, Any]]
    vars: Mapping[str, Any] = field(default_factory=dict)
    requires: Mapping[str, Any] | None = None
    about: Sequence[str] | None = None
    notes: Sequence[str] = ()


def area_of(catalogue: Catalogue, requirement: str) -> str:
    """The area, by its file name, of a requirement."""
    return catalogue.protocol.areas[catalogue.requirements[requirement].area].file


def refer(value: Any, known: Mapping[str, str]) -> Any:
    """The value with references in place of real identifiers.

    Args:
        value: text, or what JSON can hold; every other `${` in it is kept from being one.
        known: what was made up → what a reference calls it (`alice.id`, `m`, `m[2]`). UUIDs, in lower case,
            stand for themselves in upper case, too; those with a prefix (`conv-…`) stand there with it. Of
            several that fit, the longest is taken.
    """
    if isinstance(value, str):
        return _refer(value, known)
    if isinstance(value, Mapping):
        return {_refer(key, known): refer(item, known) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [refer(item, known) for item in value]
    return value


def _refer(text: str, known: Mapping[str, str]) -> str:
    literal = text.replace("${", f"${{{DOLLAR}}}{{")
    if not known:
        return literal
    longest = sorted(known, key=len, reverse=True)
    pattern = re.compile("|".join(re.escape(name) for name in longest), re.IGNORECASE)

    def reference(found: re.Match[str]) -> str:
        was = found[0]
        if was in known:
            return f"${{{known[was]}}}"
        # A mixture of cases cannot be said; upper case is as good as that. What is no identifier stays.
        return f"${{{known[was.lower()]}|upper}}" if was.lower() in known else was

    return pattern.sub(reference, literal)


def send_step(
    who: str,
    content: Mapping[str, Any] | bytes | str,
    *,
    invalid: bool,
    known: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A `send` step: as a frame if a scenario can hold it as one, else as text, else as bytes.

    Args:
        who: the actor (`alice`, `bob.phone`).
        content: an object, or what went over the wire.
        invalid: it is meant to violate the protocol.
        known: see `refer`.
    """
    body: dict[str, Any] = {"as": who}
    if isinstance(content, Mapping) and _sayable(content, _DEEPEST):
        body["frame"] = refer(content, known or {})
    else:
        if isinstance(content, Mapping):
            content = json.dumps(content, separators=(",", ":"))
        data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        try:
            body["raw"] = refer(data.decode("utf-8"), known or {})
        except UnicodeDecodeError:
            body["base64"] = base64.b64encode(data).decode()
    if invalid:
        body["invalid"] = True
    return {"send": body}


def _sayable(value: Any, depth: int) -> bool:
    """Whether YAML as the suite reads it can hold a value without changing it."""
    if isinstance(value, Mapping):
        return depth > 0 and all(
            isinstance(key, str)
            and len(json.dumps(key)) <= _LONGEST_KEY
            and _sayable(key, depth)
            and _sayable(item, depth - 1)
            for key, item in value.items()
        )
    if isinstance(value, (list, tuple)):
        return depth > 0 and all(_sayable(item, depth - 1) for item in value)
    if isinstance(value, str):
        return not re.search(r"[\ud800-\udfff]", value)
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or abs(value) < 10**39


def text(reproduction: Reproduction) -> str:
    """The scenario file's text."""
    entries: dict[str, Any] = {
        "id": reproduction.id,
        "title": reproduction.title,
        "area": reproduction.area,
        "catches": reproduction.catches,
    }
    if reproduction.requires:
        entries["requires"] = reproduction.requires
    if reproduction.about:
        entries["about"] = list(reproduction.about)
    entries["actors"] = reproduction.actors
    variables = dict(reproduction.vars)
    if f"${{{DOLLAR}}}" in json.dumps([_plain(step) for step in reproduction.steps]):
        variables.setdefault(DOLLAR, {"value": "$"})
    if variables:
        entries["vars"] = variables
    lines = [f"# {line}" for note in reproduction.notes for line in _safe(note).splitlines()]
    for index, (name, value) in enumerate(entries.items()):
        lines.append(f"{'- ' if index == 0 else '  '}{name}: {_yaml(value)}")
    lines.append("  steps:")
    lines.extend(f"    - {_step(step)}" for step in reproduction.steps)
    return "\n".join(lines) + "\n"


def _step(step: Mapping[str, Any]) -> str:
    ((verb, body),) = step.items()
    return f"{verb}: {_yaml(body)}"


def _plain(value: Any) -> Any:
    if isinstance(value, Match):
        return value.pattern
    if isinstance(value, Absent):
        return ""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _yaml(value: Any) -> str:
    """A value in YAML's flow style, in one line."""
    if isinstance(value, Absent):
        return '!absent ""'
    if isinstance(value, Match):
        return f"!match {_yaml_text(value.pattern)}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_word(key)}: {_yaml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_yaml(item) for item in value) + "]"
    if isinstance(value, str):
        return _word(value)
    return json.dumps(value)


def _word(value: str) -> str:
    return value if _PLAIN.fullmatch(value) and value not in _WORDS else _yaml_text(value)


def _yaml_text(value: str) -> str:
    return _safe(json.dumps(value, ensure_ascii=False))


def _safe(value: str) -> str:
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", value)


def write(folder: Path, reproduction: Reproduction, catalogue: Catalogue) -> Path:
    """Write `<id>.yaml` into a folder, which is made if there is none.

    Raises:
        UsageError: it cannot be written.
        KitDefect: what was written does not load.
    """
    path = folder / f"{reproduction.id}.yaml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text(reproduction), "utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error
    load(path, catalogue)
    return path


def load(path: Path, catalogue: Catalogue) -> tuple[Scenario, ...]:
    """Load what was written.

    Raises:
        KitDefect: it does not load.
    """
    try:
        return load_files(catalogue, [path])
    except UsageError as error:
        raise KitDefect(f"a scenario file of the suite's own making does not load:\n{error}") from error
