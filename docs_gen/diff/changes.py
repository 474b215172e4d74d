"""Changes between two editions: frames, requirements, and what stands beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from relaykit.docs_gen.diff.deciding import Breaks, decide, flat
from relaykit.docs_gen.diff.editions import Edition, FrameKey, alike
from relaykit.docs_gen.diff.fields import Part, field_changes
from relaykit.docs_gen.text import either, number
from relaykit.schemas import FrameSpec, Protocol, Reply, Requirement

Kind = Literal["added", "removed", "changed", "reworded"]
Subject = Literal["frame", "field", "requirement", "protocol"]
_STRICT = ("MUST", "MUST NOT")


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
        kind: `reworded` where only the words changed, which breaks nothing.
        place: the frame (`c2s send`), the requirement's ID, or the key of protocol.yaml.
        field: dotted path within the frame, empty where it is about the frame itself.
        words: what changed.
        breaks: whether it breaks those who keep to the older edition; `unknown`: a person has to judge.
        why: the reason for that, empty where it is plain.
        witness: a frame or value that one side sends and the other refuses, if one was found.
    """

    kind: Kind
    subject: Subject
    place: str
    field: str
    words: str
    breaks: Breaks
    why: str = ""
    witness: Any = None


def changes(old: Edition, new: Edition) -> tuple[Change, ...]:
    """Every difference, in the order of the newer edition; what was removed comes first."""
    frames = _frames(alike(old, new), alike(new, old))
    return (*frames, *_requirements(old, new), *_protocol(old, new))


# --- frames -------------------------------------------------------------------------------------------------


def _name(key: FrameKey) -> str:
    return f"{key[0]} {key[1]}"


def _frames(old: Edition, new: Edition) -> Iterator[Change]:
    for key, spec in old.frames.items():
        if key not in new.frames:
            why = (
                "clients that send it are refused"
                if key[0] == "c2s"
                else "clients that rely on it get it no more"
            )
            yield Change("removed", "frame", _name(key), "", spec.title, "yes", why)
    for key, spec in new.frames.items():
        before = old.frames.get(key)
        if before is None:
            why = "" if key[0] == "c2s" else "clients pass over types that they do not know"
            yield Change("added", "frame", _name(key), "", spec.title, "no", why)
        else:
            yield from _about(key, before, spec)
            yield from _within(key, before, spec, old, new)


def _about(key: FrameKey, old: FrameSpec, new: FrameSpec) -> Iterator[Change]:
    """What is said of a frame beside its fields."""
    name = _name(key)
    if (old.title, old.description) != (new.title, new.description):
        yield Change("reworded", "frame", name, "", "its description", "no")
    was, now_is = (bool(spec.schema.get("deprecated")) for spec in (old, new))
    if was != now_is:
        replacement = f"; its replacement is {new.deprecated.replacement}" if new.deprecated else ""
        words = f"deprecated{replacement}" if now_is else "no longer deprecated"
        yield Change("changed", "frame", name, "", words, "no")
    if "x-direction" not in old.schema or "x-direction" not in new.schema:
        return  # a bundle without extensions does not say the rest
    judged = "what servers do with it changes: no schema can judge that"
    for what, before, now in (
        ("capability", old.capability, new.capability),
        ("route", _route(old), _route(new)),
        ("stamps", _stamps(old), _stamps(new)),
        ("answers", _answers(old), _answers(new)),
    ):
        if before != now:
            words = f"{what}: {before or 'none'} → {now or 'none'}"
            yield Change("changed", "frame", name, "", words, "unknown", judged)
    yield from _told(name, old, new)


def _told(name: str, old: FrameSpec, new: FrameSpec) -> Iterator[Change]:
    """What readers are told of answers and versions, which breaks nothing."""
    if old.since != new.since and any("x-since" in spec.schema for spec in (old, new)):
        yield Change("changed", "frame", name, "", f"since version: {old.since} → {new.since}", "no")
    before, now = (_whens(spec) for spec in (old, new))
    for answer, when in now.items():
        if before.get(answer, when) != when:
            words = f"when {answer} answers it: {either(when, 'and')}"
            yield Change("reworded", "frame", name, "", words, "no")


def _whens(spec: FrameSpec) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for reply in spec.replies:
        found.setdefault(_answer(reply), []).append(reply.when)
    return found


def _answer(reply: Reply) -> str:
    return f"{reply.type} {reply.code or ''}".strip()


def _route(spec: FrameSpec) -> str:
    return " ".join(filter(None, (spec.route.to, spec.route.by))) if spec.route else ""


def _stamps(spec: FrameSpec) -> str:
    return ", ".join(f"{pointer} {what}" for pointer, what in sorted(spec.stamps.items()))


def _answers(spec: FrameSpec) -> str:
    return ", ".join(dict.fromkeys(map(_answer, spec.replies)))


def _within(key: FrameKey, old: FrameSpec, new: FrameSpec, before: Edition, now: Edition) -> Iterator[Change]:
    """The fields. The frame as a whole has the last word: it knows what its parts exclude together."""
    direction = key[0]
    flat_old, flat_new = flat(old.bundled), flat(new.bundled)
    sender = before if direction == "c2s" else now
    samples = sender.samples.get(key, ())
    parts = list(field_changes(direction, old, new, flat_old, flat_new, samples))
    if not parts:
        return
    whole = decide(direction, flat_old, flat_new, samples)
    if all(part.breaks == "no" for part in parts):
        whole_breaks: Breaks = "no"  # each part permits what it did: so does the whole
    else:
        whole_breaks = whole.breaks
    for part in parts:
        yield _field(key, part, whole_breaks)
    if whole_breaks == "yes" and all(part.breaks != "yes" for part in parts):
        words = "its fields taken together"
        yield Change("changed", "frame", _name(key), "", words, "yes", _REFUSED[direction], whole.witness)


_REFUSED = {
    "c2s": "a server of the newer edition refuses what clients may send by the older one",
    "s2c": "clients of the older edition are not ready for what a server may send by the newer one",
}


def _field(key: FrameKey, part: Part, whole: Breaks) -> Change:
    breaks: Breaks = "no" if whole == "no" else part.breaks
    why = part.why if breaks == part.breaks else ""
    if breaks == "unknown" and not why:
        why = "the schemas are too different to be compared: look at it"
    if breaks == "yes" and not why:
        why = _REFUSED[key[0]]
    return Change(part.kind, "field", _name(key), part.path, part.words, breaks, why, part.witness)


# --- requirements -------------------------------------------------------------------------------------------


def _requirements(old: Edition, new: Edition) -> Iterator[Change]:
    if old.requirements is None or new.requirements is None:
        return
    for id_, rule in old.requirements.items():
        if id_ not in new.requirements:
            breaks: Breaks = "yes" if rule.level in _STRICT else "no"
            why = "clients may rely on it" if breaks == "yes" else ""
            yield Change("removed", "requirement", id_, "", f"{rule.level}: {rule.text}", breaks, why)
    for id_, rule in new.requirements.items():
        before = old.requirements.get(id_)
        if before is None:
            yield _added_rule(rule)
        elif before != rule:
            yield from _changed_rule(before, rule)


def _added_rule(rule: Requirement) -> Change:
    words = f"{rule.level}: {rule.text}"
    if rule.level in _STRICT:
        why = "servers that conformed may do so no more"
        return Change("added", "requirement", rule.id, "", words, "unknown", why)
    return Change("added", "requirement", rule.id, "", words, "no")


def _changed_rule(old: Requirement, new: Requirement) -> Iterator[Change]:
    if old.level != new.level:
        words = f"{old.level} → {new.level}"
        if old.level in _STRICT and new.level not in _STRICT:
            yield Change("changed", "requirement", new.id, "", words, "yes", "clients may rely on it")
        elif new.level in _STRICT:
            why = "servers that conformed may do so no more"
            yield Change("changed", "requirement", new.id, "", words, "unknown", why)
        else:
            yield Change("changed", "requirement", new.id, "", words, "no")
    if old.text != new.text:
        words = f"“{old.text}” → “{new.text}”"
        breaks: Breaks = "unknown" if new.level in _STRICT else "no"
        why = "whether it means the same, no program can say" if breaks == "unknown" else ""
        yield Change("changed", "requirement", new.id, "", words, breaks, why)
    if (old.capability, old.frames, old.error_codes) != (new.capability, new.frames, new.error_codes):
        yield Change(
            "changed", "requirement", new.id, "", "what it is about (frames, codes, capability)", "no"
        )
    if (old.source, old.provenance) != (new.source, new.provenance):
        words = f"{old.provenance} ({old.source}) → {new.provenance} ({new.source})"
        yield Change("reworded", "requirement", new.id, "", words, "no")


# --- beside the frames --------------------------------------------------------------------------------------


def _protocol(old: Edition, new: Edition) -> Iterator[Change]:
    if old.protocol is None or new.protocol is None:
        return
    for what in ("error_codes", "close_codes", "capabilities", "limits", "timing", "carriers"):
        before: Mapping[Any, Any] = getattr(old.protocol, what)
        now: Mapping[Any, Any] = getattr(new.protocol, what)
        for name in before:
            if name not in now:
                why = "servers and clients may rely on it"
                yield Change("removed", "protocol", f"{what}.{name}", "", "", "yes", why)
        for name, value in now.items():
            if name not in before:
                yield Change("added", "protocol", f"{what}.{name}", "", value.title, "no")
            elif before[name] != value:
                yield _altered(f"{what}.{name}", before[name], value)
    yield from _endpoint(old.protocol, new.protocol)


def _altered(place: str, old: Any, new: Any) -> Change:
    """What differs between two values of the same name: words alone are harmless."""
    differs = [each.name for each in fields(new) if getattr(old, each.name) != getattr(new, each.name)]
    values = [name for name in differs if name not in _WORDS]
    if not values:
        return Change("reworded", "protocol", place, "", f"its {either(differs, 'and')}", "no")
    told = (f"{name} {_short(getattr(old, name))} → {_short(getattr(new, name))}" for name in values)
    return Change("changed", "protocol", place, "", "; ".join(told), "unknown", _READ)


def _short(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _endpoint(old: Protocol, new: Protocol) -> Iterator[Change]:
    """How clients reach a server, and with which tokens."""
    for name in ("path", "subprotocol"):
        before, now = getattr(old, name), getattr(new, name)
        if before != now:
            why = "clients of the older edition knock at the wrong door"
            yield Change("changed", "protocol", f"endpoint.{name}", "", f"{before} → {now}", "yes", why)
    for name in old.algorithms:
        if name not in new.algorithms:
            why = "tokens that are signed with it may be refused"
            yield Change("removed", "protocol", f"endpoint.algorithms.{name}", "", "", "yes", why)
    for name in new.algorithms:
        if name not in old.algorithms:
            yield Change("added", "protocol", f"endpoint.algorithms.{name}", "", "", "no")


_WORDS = ("title", "description", "when", "provenance")
_READ = "read both: no schema can judge it"
