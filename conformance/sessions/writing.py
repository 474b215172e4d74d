"""From a session that failed to the scenario that shows it: the same steps, and the check at the end.

Steps before the last name no requirement: what they expect only keeps everybody in step. The last check names
the requirement that was broken, so that `replay` knows the failure again.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from relaykit.conformance.matching import ambient_types
from relaykit.conformance.reproduce import Reproduction, area_of
from relaykit.conformance.sessions import frames, model
from relaykit.conformance.sessions.driver import Done
from relaykit.conformance.sessions.operations import operation_of
from relaykit.conformance.sessions.problems import Problem
from relaykit.conformance.sessions.state import DEVICES, USERS, Branch, Expected, Step, user_of
from relaykit.schemas import Catalogue

_UNSAYABLE = {
    "connect_again": "no scenario has a device with two connections",
    "learn": "no scenario takes a connection that is closed as soon as it has been told something",
    "restart": "no scenario restarts the target",
}
_REFERENCE = re.compile(r"\$\{([a-z]+)(?:\.([a-z]+))?\.id[}|]")
Line = dict[str, Any]


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
    if last is not None and not rest and last.move == "connect" and problem.kind != "refused":
        pass  # it stands among the steps, since what comes of it is checked
    lines: list[Line] = []
    for index, done in enumerate(rest):
        later = [each.step for each in rest[index + 1 :]] + ([last] if last is not None else [])
        lines += _acts(done.step) if done.step.move != "connect" else [{"connect": {"as": done.step.who}}]
        lines += _in_step(done, later, problem.device)
        if done.step.move == "decide" and any(e.to == done.step.with_["device"] for e in done.branch.must):
            lines.append({"drop": {"as": done.step.with_["device"]}})
    if last is not None:
        lines += _acts(last) if last.move != "connect" else _connects(last, problem)
        if last.move == "knock":
            lines[-1]["connect"]["req"] = list(problem.req)
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
        vars={key: kind for key, kind in frames.VARS.items() if re.search(rf"\$\{{{key}[\[}}]", text)},
        steps=lines,
        about=(actual,) if actual in kinds else None,
        notes=notes,
    )


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


def unsayable(program: Iterable[Step]) -> str:
    """Why no scenario can state a session; empty if one can."""
    return next((_UNSAYABLE[step.move] for step in program if step.move in _UNSAYABLE), "")


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
        here = [device for device in devices if f"{user}.{device}" in start]
        actors[user] = {"devices": devices}
        if here != devices:
            actors[user]["connect"] = here or False
        if user in legacy:
            actors[user]["legacy"] = True
    return actors


def _acts(step: Step) -> list[Line]:
    """What a step does."""
    if step.move == "knock":
        return [{"connect": {"as": step.who, "refused": True}}]
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


def _connects(step: Step, problem: Problem) -> list[Line]:
    named = {"req": list(problem.req)} if problem.kind == "refused" else {}
    return [{"connect": {"as": step.who, **named}}]


def _expect(expected: Expected, req: Sequence[str] = ()) -> Line:
    return _expect_form(expected.to, expected.forms, req)


def _expect_form(device: str, forms: Sequence[Mapping[str, Any]], req: Sequence[str] = ()) -> Line:
    named = {"req": list(req)} if req else {}
    lines: list[Line] = [{"expect": {"as": device, "frame": form, "skip": True, **named}} for form in forms]
    return lines[0] if len(lines) == 1 else {"any_of": [[line] for line in lines]}


def _in_step(done: Done, later: Sequence[Step], device: str) -> list[Line]:
    """What keeps everybody in step: those who act later, and the one it is about, get what they must."""
    awaited = {device, *(step.who for step in later)}
    needed = [expected for expected in done.branch.must if expected.to in awaited] or list(
        done.branch.must[:1]
    )
    if needed:
        return [_expect(expected) for expected in needed]
    who = done.step.who
    if not who or done.step.move in model.ARRIVALS or all(step.who == who for step in later):
        return []
    return [_beat(who), _expect_form(who, ({"type": "heartbeat_ack"},))]


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
