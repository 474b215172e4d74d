"""Changes of a frame's fields: found in the flattened schemas, said with the words of the field tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from relaykit.docs_gen.diff.deciding import Breaks, Decision, decide, same
from relaykit.docs_gen.fields import frame_fields
from relaykit.docs_gen.model import Field
from relaykit.schemas import Direction, FrameSpec

_MISSING = object()
_SHOWN = 78
"""Letters of a value that are shown."""


@dataclass(frozen=True, slots=True)
class Part:
    """A change of one field; see `changes.Change`."""

    kind: Literal["added", "removed", "changed", "reworded"]
    path: str
    words: str
    breaks: Breaks
    why: str = ""
    witness: Any = None


@dataclass(frozen=True, slots=True)
class _Walk:
    """What the comparison of two frames knows at each place."""

    direction: Direction
    old: Mapping[str, Field]
    new: Mapping[str, Field]


def field_changes(
    direction: Direction,
    old: FrameSpec,
    new: FrameSpec,
    flat_old: Mapping[str, Any],
    flat_new: Mapping[str, Any],
    samples: tuple[Any, ...],
) -> Iterator[Part]:
    """Every change of a field, each judged by itself.

    Args:
        flat_old, flat_new: the flattened schemas of the two.
        samples: valid frames of the side that sends.
    """
    walk = _Walk(direction, _rows(old), _rows(new))
    yield from _compare(walk, "", flat_old, flat_new, samples)
    for path, row in walk.new.items():
        before = walk.old.get(path)
        if before is None:
            continue
        if before.description != row.description:
            yield Part("reworded", path, "its description", "no")
        if before.deprecated != row.deprecated:
            yield _deprecation(path, before.deprecated, row.deprecated)


def _deprecation(path: str, before: str | None, now: str | None) -> Part:
    if before and now:
        return Part("reworded", path, f"the note of its deprecation: {now}", "no")
    words = _lower(now) if now else "no longer deprecated"
    return Part("changed", path, words.rstrip("."), "no")


def _lower(text: str) -> str:
    return f"{text[:1].lower()}{text[1:]}".replace("`", '"')


def _rows(spec: FrameSpec) -> dict[str, Field]:
    rows, _ = frame_fields(spec)
    return {row.path: row for row in rows}


def _compare(walk: _Walk, path: str, old: Any, new: Any, samples: tuple[Any, ...]) -> Iterator[Part]:
    if old == new:
        return
    if not (_is_object(old) and _is_object(new)):
        if _is_list(old) and _is_list(new) and _is_object(old["items"]) and _is_object(new["items"]):
            inner = tuple(item for sample in samples if isinstance(sample, (list, tuple)) for item in sample)
            yield from _compare(walk, f"{path}[]", old["items"], new["items"], inner)
            old, new = ({k: v for k, v in side.items() if k != "items"} for side in (old, new))
        if old != new and not same(old, new):
            yield _value(walk, path, old, new, samples)
        return
    yield from _members(walk, path, old, new, samples)
    rest_old, rest_new = ({k: v for k, v in side.items() if k not in _MEMBERS} for side in (old, new))
    if rest_old != rest_new and not same(rest_old, rest_new):
        decision = decide(walk.direction, rest_old, rest_new, samples)
        yield Part("changed", path, "the rules between its fields", decision.breaks, "", decision.witness)
    open_before, open_now = (side.get("additionalProperties", True) is not False for side in (old, new))
    if walk.direction == "c2s" and open_before != open_now:  # of what servers send, clients tolerate any
        words = "further members are permitted" if open_now else "further members are refused"
        yield Part("changed", path, words, "no" if open_now else "yes")


_MEMBERS = ("properties", "required", "additionalProperties")


def _is_object(schema: Any) -> bool:
    return isinstance(schema, Mapping) and "properties" in schema


def _is_list(schema: Any) -> bool:
    return isinstance(schema, Mapping) and isinstance(schema.get("items"), Mapping)


def _members(
    walk: _Walk, path: str, old: Mapping[str, Any], new: Mapping[str, Any], samples: tuple[Any, ...]
) -> Iterator[Part]:
    before, now = _permitted(old), _permitted(new)
    required_before, required_now = set(old.get("required", ())), set(new.get("required", ()))
    for name in before:
        if name not in now:
            yield _removed(walk, _join(path, name), name in required_before)
    for name, sub in now.items():
        here = _join(path, name)
        if name not in before:
            yield _added(walk, here, name in required_now)
            continue
        if (name in required_before) != (name in required_now):
            yield _required(walk, here, name in required_now)
        inner = tuple(sample[name] for sample in samples if isinstance(sample, Mapping) and name in sample)
        yield from _compare(walk, here, before[name], sub, inner)


def _permitted(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: sub for name, sub in schema["properties"].items() if sub is not False}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _removed(walk: _Walk, path: str, required: bool) -> Part:
    words = _shape(walk.old.get(path))
    if walk.direction == "c2s":
        return Part("removed", path, words, "yes", "a frame that carries it is refused")
    if required:
        return Part("removed", path, words, "yes", "clients rely on a field that is required")
    return Part("removed", path, words, "no", "clients have to do without an optional field anyhow")


def _added(walk: _Walk, path: str, required: bool) -> Part:
    row = walk.new.get(path)
    words = f"{_shape(row)}, {'required' if required else 'optional'}"
    if row and row.deprecated:
        words += f", {_lower(row.deprecated).rstrip('.')}"
    if walk.direction == "s2c":
        return Part("added", path, words, "no", "clients pass over fields that they do not know")
    if required:
        return Part("added", path, words, "yes", "clients do not send it yet")
    return Part("added", path, words, "no")


def _required(walk: _Walk, path: str, required: bool) -> Part:
    words = "optional → required" if required else "required → optional"
    if walk.direction == "c2s":
        why = "clients that leave it out are refused" if required else ""
        return Part("changed", path, words, "yes" if required else "no", why)
    why = "" if required else "clients rely on a field that was required"
    return Part("changed", path, words, "no" if required else "yes", why)


def _value(walk: _Walk, path: str, old: Any, new: Any, samples: tuple[Any, ...]) -> Part:
    decision: Decision = decide(walk.direction, old, new, samples)
    before, now = _shape(walk.old.get(path)), _shape(walk.new.get(path))
    words = f"{before} → {now}" if before != now else _form(old, new)
    return Part("changed", path, words, decision.breaks, "", decision.witness)


def _shape(row: Field | None) -> str:
    """What a field's values are: type, form and limits."""
    if row is None:
        return "any"
    kind = f" ({row.kind.words})" if row.kind else ""
    return ", ".join((f"{row.type}{kind}", *row.constraints)).replace("`", '"')


def _form(old: Any, new: Any) -> str:
    """What differs where the words of the field tables are the same: a keyword and its values."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return "its form"
    told = [
        f"{key} {_apart(old.get(key, _MISSING), new.get(key, _MISSING))}"
        for key in dict.fromkeys((*old, *new))
        if old.get(key, _MISSING) != new.get(key, _MISSING)
    ]
    return "; ".join(told)


def _apart(old: Any, new: Any) -> str:
    """Two values; of long ones the part in which they begin to differ."""
    texts = ["none" if value is _MISSING else str(value) for value in (old, new)]
    longest = max(map(len, texts))
    start = max(0, _alike(*texts) - _SHOWN // 2) if longest > _SHOWN else 0
    return " → ".join(_part_of(text, start) for text in texts)


def _alike(one: str, other: str) -> int:
    """How many letters two texts have in common at their beginning."""
    places = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in places if a != b), min(len(one), len(other)))


def _part_of(text: str, start: int) -> str:
    shown = text[start : start + _SHOWN]
    return f"{'…' if start else ''}{shown}{'…' if len(text) > start + _SHOWN else ''}"
