"""From a session that failed to the scenario that shows it: the same steps, and the check at the end.

Steps before the last name no requirement: what they expect only keeps everybody in step. The last check names
the requirement that was broken, so that `replay` knows the failure again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from relaykit.conformance.matching import ambient_types, compare
from relaykit.conformance.reproduce import Reproduction, area_of
from relaykit.conformance.sessions import frames, model
from relaykit.conformance.sessions.crowding import extra
from relaykit.conformance.sessions.driver import Done
from relaykit.conformance.sessions.operations import operation_of
from relaykit.conformance.sessions.problems import Problem
from relaykit.conformance.sessions.state import DEVICES, EXPIRY_S, USERS, Branch, Expected, Step, user_of
from relaykit.schemas import Catalogue

_EXTRA = extra(0).replace("0", "[0-9]+")
Line = dict[str, Any]
_CONNECTS: Mapping[str, Line] = MappingProxyType(
    {"connect": {}, "connect_again": {"overlap": True}, "learn": {"brief": True}, "knock": {"refused": True}}
)
"""Moves with which a device connects, and how a scenario says it."""
_REFERENCE = re.compile(r"\$\{([a-z]+)(?:\.([a-z]+))?\.id[}|]")


def reproduction(
    catalogue: Catalogue,
    name: str,
    log: Sequence[Done],
    last: Step | None,
    problem: Problem,
    notes: Sequence[str],
) -> Reproduction:
    """The scenario.

    Args:
        name: what its ID begins with; the rest follows from its steps.
        log: the steps that went well, and what was to come of them.
        last: the step that failed; None: something came late, after the last one.
        notes: lines of comment.
    """
    legacy = {done.step.with_["user"] for done in log if done.step.move == "make_legacy"}
    start, rest = _start([done for done in log if done.step.move != "make_legacy"])
    lines: list[Line] = []
    for index, done in enumerate(rest):
        later = [each.step for each in rest[index + 1 :]] + ([last] if last is not None else [])
        lines += _acts(done.step)
        lines += _in_step(done, later, problem.device)
        if problem.kind == "unexpected":
            lines += _taken(rest[: index + 1], problem.device)
        lines += [*_leaves(done), *_goes(done.step), *_recovers(done.step, later, problem.device)]
    if last is not None:
        acts = _acts(last)
        for line in acts:
            if "connect" in line and _is_shown_by_connecting(last, line["connect"], problem):
                line["connect"]["req"] = list(problem.req)
        lines += acts
        if _names(last) and not _is_about_its_ack(last, problem):
            lines.append(_expect_form(last.who, (frames.sent_ack(last.with_["m"]),), learns=last))
    lines += _check(problem)
    text = json.dumps(lines)
    kinds = ambient_types(catalogue) - {"ping"}
    actual = problem.actual.get("type") if isinstance(problem.actual, Mapping) else None
    requirement = catalogue.requirements[problem.req[0]]
    return Reproduction(
        id=f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}",
        title=requirement.text.replace("`", ""),
        catches=f"{problem.message[0].upper()}{problem.message[1:]}.",
        area=area_of(catalogue, requirement.id),
        actors=_actors(start, text, legacy),
        vars={
            **{key: kind for key, kind in frames.VARS.items() if re.search(rf"\$\{{{key}[\[}}]", text)},
            **dict.fromkeys(_unlearnt(text), "uuid"),
            **_limits([*(done.step for done in log), *([last] if last else [])]),
        },
        steps=lines,
        about=(actual,) if actual in kinds else None,
        notes=notes,
    )


def _unlearnt(text: str) -> list[str]:
    """Names that a target would give to messages which the session does not send."""
    learnt = set(re.findall(r'"capture": \{"(o[0-9]+)"', text))
    return sorted(set(re.findall(r"\$\{(o[0-9]+)\}", text)) - learnt)


def _limits(program: Iterable[Step]) -> Line:
    """A variable for each limit that a session exceeds: below others a scenario is kept."""
    exceeded = {"flood": "burst", "crowd": "connections_per_user"}
    found = {exceeded[step.move] for step in program if step.move in exceeded}
    return {f"limit_{name}": {"value": f"${{limits.{name}}}"} for name in sorted(found)}


def actions(program: Iterable[Step]) -> int:
    """How many steps a session has, those left out with which everybody connects before anything happens."""
    steps = list(program)
    while steps and steps[0].move in ("connect", "make_legacy"):
        steps.pop(0)
    return len(steps)


def _start(log: Sequence[Done]) -> tuple[list[str], Sequence[Done]]:
    """The devices that connect before anything else happens, and what follows."""
    start: list[str] = []
    for index, done in enumerate(log):
        if done.step.move != "connect":
            return start, log[index:]
        start.append(done.step.who)
    return start, ()


def _actors(start: Sequence[str], text: str, legacy: Collection[str]) -> dict[str, Any]:
    named: dict[str, set[str]] = {user_of(device): set() for device in start}
    for device in start:
        named[user_of(device)].add(device.partition(".")[2])
    for user, device in _REFERENCE.findall(text):
        if user in USERS:
            named.setdefault(user, set()).update([device] if device else [])
    for device in DEVICES:
        if f'"{device}"' in text:
            named.setdefault(user_of(device), set()).add(device.partition(".")[2])
    actors: dict[str, Any] = {}
    for user in USERS:
        if user not in named:
            continue
        devices = [device for device in USERS[user] if device in named[user]] or [USERS[user][0]]
        devices += dict.fromkeys(re.findall(rf'"{user}\.({_EXTRA})"', text))
        here = [device for device in devices if f"{user}.{device}" in start]
        actors[user] = {"devices": devices}
        if here != devices:
            actors[user]["connect"] = here or False
        if user in legacy:
            actors[user]["legacy"] = True
    return actors


def _acts(step: Step) -> list[Line]:
    """What a step does."""
    if step.move in _CONNECTS:
        return [{"connect": {"as": step.who, **_CONNECTS[step.move]}}]
    if step.move == "restart":
        return [{"restart": "kill"}]
    if step.move == "expire":
        return [{"advance": EXPIRY_S + 1}]
    if step.move == "crowd":
        return _crowd(step)
    if step.move == "drop":
        return [{"drop": {"as": step.who, **({"abort": True} if step.with_.get("abort") else {})}}]
    if step.move in model.CONTROLS:
        operation, arguments, name = operation_of(step)
        return [{"control": {operation: dict(arguments), **({"as": name} if name else {})}}]
    lines: list[Line] = []
    if step.move == "flood":
        pong = {"send": {"as": step.who, "frame": {"type": "pong"}}}
        lines.append({"repeat": {"n": step.with_["count"], "as": "i", "steps": [pong]}})
    for content in frames.all_sent(step)[-1 if step.move == "flood" else 0 :]:
        body: Line = {"as": step.who, "raw" if isinstance(content, str) else "frame": content}
        lines.append({"send": {**body, "invalid": True} if step.move == "invalid" else body})
    return lines


def _crowd(step: Step) -> list[Line]:
    *within, beyond = (f"{user_of(step.who)}.{extra(n)}" for n in range(1, step.with_["count"] + 2))
    came = [{"connect": {"as": name}} for name in within]
    return [*came, {"connect": {"as": beyond, "refused": True}}]


def _goes(step: Step) -> list[Line]:
    """Those of a crowd go again."""
    lines = _crowd(step)[:-1] if step.move == "crowd" else []
    return [{"drop": {"as": line["connect"]["as"]}} for line in lines]


def _recovers(step: Step, later: Sequence[Step], device: str) -> list[Line]:
    """Who has sent too much goes on with another connection: no scenario waits until the old one may."""
    acts = device == step.who or any(each.who == step.who for each in later)
    return [{"connect": {"as": step.who}}] if step.move == "flood" and acts else []


def _leaves(done: Done) -> list[Line]:
    """A device that was told of a decision goes: it learns no more on that connection."""
    step = done.step
    device = step.who if step.move == "learn" else step.with_.get("device")
    told = step.move in ("learn", "decide") and any(each.to == device for each in done.branch.must)
    return [{"drop": {"as": device}}] if told else []


def _is_shown_by_connecting(step: Step, body: Line, problem: Problem) -> bool:
    """Whether a connection of the last step can fail already, by the requirement that the problem breaks."""
    if problem.kind == "missing":
        return step.move == "learn"
    return problem.kind in ("refused", "served") and (problem.kind == "served") == bool(body.get("refused"))


def _expect(expected: Expected, req: Sequence[str] = (), learns: Step | None = None) -> Line:
    return _expect_form(expected.to, expected.forms, req, learns)


def _expect_form(
    device: str, forms: Sequence[Mapping[str, Any]], req: Sequence[str] = (), learns: Step | None = None
) -> Line:
    named: Line = {"req": list(req)} if req else {}
    if learns is not None and _names(learns) and forms[0]["type"] == "sent_ack":
        named["capture"] = {frames.named_by_target(learns.with_["m"]): "/message_id"}
    lines: list[Line] = [{"expect": {"as": device, "frame": form, "skip": True, **named}} for form in forms]
    return lines[0] if len(lines) == 1 else {"any_of": [[line] for line in lines]}


def _in_step(done: Done, later: Sequence[Step], device: str) -> list[Line]:
    """What keeps everybody in step: those who act later, and the one it is about, get what they must."""
    awaited = {device, *(step.who for step in later)} | ({done.step.who} if _names(done.step) else set())
    needed = [expected for expected in done.branch.must if expected.to in awaited] or list(
        done.branch.must[:1]
    )
    if needed:
        return [_expect(expected, learns=done.step) for expected in needed]
    who = done.step.who
    if not who or done.step.move in model.ARRIVALS or all(step.who == who for step in later):
        return []
    return [_beat(who), _expect_form(who, ({"type": "heartbeat_ack"},))]


def _taken(log: Sequence[Done], device: str) -> list[Line]:
    """What came to a device in the last of these steps and need not have come: it is no news at the end."""
    done, lines = log[-1], list[Line]()
    needed = [form for expected in done.branch.must if expected.to == device for form in expected.forms]
    could = [
        form
        for each in log
        for expected in each.branch.may
        if expected.to == device
        for form in expected.forms
    ]
    for frame in done.came.get(device, ()):
        if not any(compare(form, frame) is None for form in needed):
            form = next((form for form in could if compare(form, frame) is None), None)
            lines += [{"any_of": [[_expect_form(device, (form,))], []]}] if form is not None else []
    return lines


def _is_about_its_ack(step: Step, problem: Problem) -> bool:
    """Whether the failure is that of the acknowledgment itself, from which nothing can be learnt then."""
    kinds = {form.get("type") for form in problem.expected}
    return problem.device == step.who and "sent_ack" in kinds


def _names(step: Step) -> bool:
    """Whether the target gives a name to what a step sends."""
    return step.move == "write_old"


def _beat(device: str) -> Line:
    return {"send": {"as": device, "frame": {"type": "heartbeat"}}}


def _check(problem: Problem) -> list[Line]:
    """The step, or the steps, that fail."""
    device, req = problem.device, list(problem.req)
    match problem.kind:
        case "refused" | "served":
            return []
        case "open":
            return [{"expect_close": {"as": device, "req": req}}]
        case "hang":
            return [_beat(device), _expect_form(device, problem.expected, req)]
        case "closed":
            # Mostly it is gone by then; one that closes later does so while nothing is sent.
            answered = _expect_form(device, ({"type": "heartbeat_ack"},), req)
            allow = [dict(form) for form in problem.allowed]
            stays = {"none": {"actors": [device], "open": True, "allow": allow, "req": req}}
            return [_beat(device), answered, stays]
        case "missing" if problem.permitted:
            return [{"any_of": [_branch(branch, req) for branch in problem.permitted]}]
        case "missing" | "shape":
            return [_expect_form(device, problem.expected, req)]
        case "order":
            return [_expect_form(device, (form,), req) for form in problem.expected]
        case _:
            before: list[Line] = []
            for form, must in problem.first:
                line = _expect_form(device, (form,))
                before.append(line if must else {"any_of": [[line], []]})
            allow = [dict(form) for form in _distinct(problem.allowed)]
            body: Line = {"actors": [device], **({"allow": allow} if allow else {}), "req": req}
            return [*before, {"none": body}]


def _branch(branch: Branch, req: Sequence[str]) -> list[Line]:
    return [_expect(expected, req) for expected in branch.must]


def _distinct(forms: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for form in forms:
        if form not in found:
            found.append(form)
    return found
