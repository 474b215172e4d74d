"""Scenarios as sequence diagrams: who speaks to whom, in rows that can be drawn or read as sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from relaykit.conformance.grammar import (
    SINGLE_DEVICE,
    ActorRef,
    Advance,
    AnyOf,
    Connect,
    Control,
    Drop,
    Expect,
    ExpectClose,
    Nothing,
    Repeat,
    Restart,
    Scenario,
    Send,
    Step,
    Unordered,
    walk,
)
from relaykit.docs_gen.diagrams import Arrow, Box, Note, Row, Sequence
from relaykit.docs_gen.text import coded, either

SERVER = "server"
_TELLING = ("status", "error_code", "reason", "is_typing", "call_type", "message_type")
"""Payload fields whose value belongs on the arrow, when the scenario states it."""


class _Cast:
    """The lifelines: the first actor's devices, the server, everybody else's devices."""

    def __init__(self, scenario: Scenario) -> None:
        self.devices = {
            actor.name: [f"{actor.name}.{device}" for device in actor.devices]
            if actor.devices != (SINGLE_DEVICE,)
            else [actor.name]
            for actor in scenario.actors.values()
        }
        used = _used(scenario)
        for name, devices in self.devices.items():
            kept = [device for device in devices if device in used or name in used]
            self.devices[name] = kept or devices[:1]
        first, *rest = self.devices.values()
        self.names = (*first, SERVER, *(device for devices in rest for device in devices))
        self.server = len(first)

    def of(self, who: ActorRef) -> list[int]:
        """The lifelines that a reference means."""
        wanted = self.devices[who.actor]
        exact = f"{who.actor}.{who.device}"
        return [self.names.index(device) for device in wanted if device == exact] or [
            self.names.index(device) for device in wanted
        ]


def _used(scenario: Scenario) -> set[str]:
    used: set[str] = set()
    for actor in scenario.actors.values():
        used |= {f"{actor.name}.{device}" for device in actor.connect}
    for step in walk(scenario.steps):
        refs = step.whom if isinstance(step, Nothing) else (getattr(step, "who", None),)
        used |= {ref.actor if ref.every or ref.device is None else str(ref) for ref in refs if ref}
    return used


def sequence(scenario: Scenario) -> Sequence:
    """The diagram of a scenario."""
    cast = _Cast(scenario)
    rows = tuple(_rows(scenario.steps, cast))
    return Sequence(scenario.id, scenario.title, f"scenarios/{scenario.id}", cast.names, cast.server, rows)


def _rows(steps: tuple[Step, ...], cast: _Cast) -> Iterator[Row]:
    for step in steps:
        yield from _row(step, cast)


def _row(step: Step, cast: _Cast) -> Iterator[Row]:
    match step:
        case Send():
            yield from _sent(step, cast)
        case Expect():
            yield from _expected(step, cast)
        case ExpectClose():
            codes = either([str(code) for code in step.codes])
            label = f"close {codes}".strip()
            for line in cast.of(step.who):
                words = f"the server closes the connection of {cast.names[line]}"
                words += f" ({codes})" if codes else ""
                yield Arrow(cast.server, line, label, "", "close", words, step.req)
        case Nothing():
            yield _nothing(step, cast)
        case Connect():
            yield from _connected(step, cast)
        case Drop():
            for line in cast.of(step.who):
                how = "connection cut" if step.abort else "disconnects"
                words = f"{cast.names[line]}: {how}"
                yield Arrow(line, cast.server, how, "", "link", words, ())
        case Restart():
            words = f"the server is {'killed' if step.how == 'kill' else 'stopped'} and started again"
            yield Note(_all(cast), words.removeprefix("the server is "), "quiet", words, ())
        case Control():
            words = f"arranged through the control interface: `{step.operation}`{_arguments(step.arguments)}"
            yield Note(_all(cast), f"control: {step.operation}", "quiet", words, ())
        case Advance():
            label = f"clock + {step.seconds} s"
            words = f"the server's clock moves on by {step.seconds} s"
            yield Note(_all(cast), _shown(label), "quiet", _shown(words), ())
        case Unordered():
            yield Box("in any order", (tuple(_rows(step.expects, cast)),))
        case AnyOf():
            sections = tuple(tuple(_rows(branch, cast)) or (_quiet(cast),) for branch in step.branches)
            yield Box("one of these" if len(sections) > 1 else "if this comes", sections)
        case Repeat():
            yield Box(f"{step.n} times", (tuple(_rows(step.steps, cast)),))


def _all(cast: _Cast) -> tuple[int, ...]:
    return tuple(range(len(cast.names)))


def _quiet(cast: _Cast) -> Note:
    return Note(_all(cast), "nothing happens", "quiet", "nothing happens", ())


def _nothing(step: Nothing, cast: _Cast) -> Note:
    lines = sorted(
        {line for ref in step.whom for line in cast.of(ref)}
        if not step.everybody
        else {line for line in _all(cast) if line != cast.server}
    )
    allowed = either([f"`{pattern['type']}`" for pattern in step.allow])
    who = either([cast.names[line] for line in lines], "and")
    words = f"nothing more comes to {who}" + (f" (but {allowed} may)" if allowed else "")
    return Note(tuple(lines), "nothing more", "none", words, step.req)


def _sent(step: Send, cast: _Cast) -> Iterator[Arrow]:
    for line in cast.of(step.who):
        who = cast.names[line]
        if step.frame is None:
            raw = (step.raw or "").strip()
            label, detail = "not a frame", raw if len(raw) <= 28 else f"{raw[:26]}…"
            words = f"{who} sends text that is no valid frame"
        else:
            label, detail = str(step.frame.get("type", "no type")), _detail(step.frame)
            words = f"{who} sends {coded(label)}" + (f" ({detail})" if detail else "")
            words += ", which is invalid" if step.invalid else ""
        yield Arrow(line, cast.server, label, detail, "invalid" if step.invalid else "send", words, ())


def _expected(step: Expect, cast: _Cast) -> Iterator[Arrow]:
    label, detail = str(step.frame["type"]), _detail(step.frame)
    tone = "error" if label == "error" else "receive"
    for line in cast.of(step.who):
        words = f"{cast.names[line]} receives {coded(label)}" + (f" ({detail})" if detail else "")
        yield Arrow(cast.server, line, label, detail, tone, words, step.req)


def _connected(step: Connect, cast: _Cast) -> Iterator[Arrow]:
    by = {
        "query": "token in the query",
        "header": "token in a header",
        "subprotocol": "token as a subprotocol",
    }
    for line in cast.of(step.who):
        detail = by.get(step.carrier or "", "")
        who = cast.names[line]
        words = f"{who} connects" + (f" ({detail})" if detail else "")
        words += "; the server refuses it" if step.refused else ""
        words += " again, and closes its older connection then" if step.overlap else ""
        label = "connect refused" if step.refused else "connects again" if step.overlap else "connects"
        yield Arrow(line, cast.server, label, detail, "close" if step.refused else "link", words, step.req)


def _detail(frame: Mapping[str, Any]) -> str:
    payload = frame.get("payload")
    if not isinstance(payload, Mapping):
        return ""
    for name in _TELLING:
        value = payload.get(name)
        if isinstance(value, bool):
            return ("" if value else "not ") + name.removeprefix("is_").replace("_", " ")
        if isinstance(value, str) and "${" not in value:
            # A message's kind says little; which group or user it goes to is said by the arrows.
            return "" if (name, value) == ("message_type", "text") else value
    return "to a group" if payload.get("group_id") and frame.get("type") in ("send", "deliver") else ""


def _arguments(arguments: Mapping[str, Any]) -> str:
    if not arguments:
        return ""
    text = json.dumps(_plain(arguments), ensure_ascii=False)
    return f" `{_shown(text)}`" if len(text) <= 160 else ""


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def _shown(text: str) -> str:
    """References of scenarios as a reader takes them: ${alice.id} → alice.id."""
    return (
        text.replace("${", "").replace("}", "")
        if '"' not in text
        else text.replace("${", "").replace('}"', '"')
    )
