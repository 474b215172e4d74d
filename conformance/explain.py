"""`relaykit explain`: a requirement or a case in words, and a scenario's steps as a sequence in text."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from relaykit.config import suggest
from relaykit.conformance.claimable import profile
from relaykit.conformance.gathered import Gathered, gathered
from relaykit.conformance.grammar import (
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
from relaykit.conformance.happenings import happenings
from relaykit.conformance.matching import plain
from relaykit.conformance.mistakes import mistakes
from relaykit.conformance.reports.text import place
from relaykit.conformance.results import Case
from relaykit.errors import UsageError
from relaykit.schemas import Catalogue

_WIDTH = 96
_MISTAKES = 12
"""So many are told; cases that prove much find more."""


def explain(catalogue: Catalogue, cases: Sequence[Case], name: str) -> str:
    """What a requirement, a case or a profile is about.

    Raises:
        UsageError: there is neither of that name.
    """
    if name.upper() in catalogue.requirements:
        return requirement(catalogue, cases, name.upper())
    found = next((case for case in cases if case.id == name), None)
    if found is not None:
        return _case(catalogue, found)
    if name in catalogue.protocol.profiles:
        return profile(catalogue, cases, name)
    standing = gathered(catalogue)
    if name in standing:
        return _gathered(catalogue, cases, standing[name])
    known = [*catalogue.requirements, *catalogue.protocol.profiles, *(case.id for case in cases), *standing]
    raise UsageError(
        f"there is no requirement, no profile and no case {name!r}{suggest(name, known)}",
        hint="`relaykit list` shows the cases",
    )


def requirement(catalogue: Catalogue, cases: Sequence[Case], name: str) -> str:
    """A requirement: its text, where it comes from, and what proves it."""
    known = catalogue.requirements[name]
    area = catalogue.protocol.areas[known.area]
    provenance = (
        "documented: the source says it"
        if known.provenance == "documented"
        else "inferred: the source leaves it open, and an implementer may dispute it"
    )
    lines = [
        f"{known.id} ({known.level}) · {area.title}",
        "",
        *textwrap.wrap(known.text, _WIDTH),
        "",
        f"source       {known.source}",
        f"provenance   {provenance}",
    ]
    if known.presupposes:
        lines.append(f"presupposes  {', '.join(known.presupposes)} (to blame, where never kept)")
    if known.capability:
        lines.append(f"capability   {known.capability}")
    if known.frames:
        lines.append(f"frames       {', '.join(known.frames)}")
    if known.error_codes:
        lines.append(f"error codes  {', '.join(known.error_codes)}")
    proving = [case for case in cases if name in case.requirements]
    lines += _wrong(mistakes().of_requirement.get(name, ()))
    lines.append("")
    if proving:
        lines.append("proved by")
        lines.extend(f"  {case.id:<36} {case.title}" for case in proving if case.kind != "derived")
        made = sum(case.kind == "derived" for case in proving)
        if made:
            lines.append(f"  {made} derived cases: relaykit list --run requirement:{name} --run derived")
    elif known.untested:
        lines.append(f"not tested: {known.untested}")
    else:
        lines.append(
            "no case proves it yet; frames that arrive are checked against their schema all the same"
        )
    return "\n".join(lines)


def _wrong(titles: Sequence[str]) -> list[str]:
    """What servers commonly get wrong, as lines; none where nothing is known."""
    if not titles:
        return []
    lines = ["", "what servers get wrong (each of these was shown to be found)"]
    for title in titles[:_MISTAKES]:
        lines += textwrap.wrap(title, _WIDTH, initial_indent="  - ", subsequent_indent="    ")
    more = len(titles) - _MISTAKES
    return [*lines, f"  and {more} more: relaykit selftest --list"] if more > 0 else lines


def _case(catalogue: Catalogue, case: Case) -> str:
    lines = [
        f"{case.id} ({case.level}) · {case.title}",
        "",
        *textwrap.wrap(f"Catches: {case.catches}", _WIDTH),
        "",
        f"area         {case.area}",
        f"source       {case.source}",
    ]
    needs = [
        *sorted(case.capabilities - {"core"}),
        *(f"{name} (control)" for name in sorted(case.operations)),
    ]
    if needs:
        lines.append(f"needs        {', '.join(needs)}")
    if case.without:
        lines.append(f"only without {', '.join(sorted(case.without))}")
    lines += ["", "requirements"]
    for name in case.requirements:
        known = catalogue.requirements[name]
        text = textwrap.wrap(f"{known.level} · {known.text}", _WIDTH - 12)
        lines.append(f"  {name:<9} {text[0]}")
        lines.extend(f"{'':<12}{more}" for more in text[1:])
    lines += _wrong(mistakes().of_case.get(case.id, ()))
    if case.scenario is not None:
        lines += ["", "what happens", *sequence(case.scenario)]
    else:
        lines += ["", "what happens", *happenings(catalogue, case)]
    lines += ["", f"run it alone: relaykit test … --run {case.id}"]
    return "\n".join(lines)


def _gathered(catalogue: Catalogue, cases: Sequence[Case], each: Gathered) -> str:
    lines = [f"{each.id} · {each.title}", "", f"It {each.about}", ""]
    spec = catalogue.frames.get(("s2c", each.type or ""))
    lines += [f"source       {place(spec.source)[0]}"] if spec is not None else []
    showing = sum(each.shown_by(case) for case in cases)
    of = f" in which a {each.type} goes over the wire" if each.type else ""
    lines.append(f"shown by     any of {showing} cases{of}; a finding names the one it was first seen in")
    lines += ["", f"run those: relaykit test … --run {each.id}"]
    return "\n".join(lines)


def sequence(scenario: Scenario) -> list[str]:
    """A scenario as a sequence in text: one line per step, arrows from and to the server."""
    names = [str(actor.name) for actor in scenario.actors.values()]
    width = max(len(name) for name in ["control", *names, *_labels(scenario.steps)])
    return [f"  {line}" for line in _lines(scenario.steps, width, "")]


def _labels(steps: Iterable[Step]) -> Iterator[str]:
    for step in walk(tuple(steps)):
        if isinstance(step, (Send, Expect, ExpectClose, Connect, Drop)):
            yield str(step.who)


def _lines(steps: Iterable[Step], width: int, inner: str) -> Iterator[str]:
    for step in steps:
        yield from _step(step, width, inner)


def _step(step: Step, width: int, inner: str) -> Iterator[str]:
    """The lines of one step; `inner` indents those of alternatives and repetitions."""
    blank = f"{'':>{width}}              {inner}"
    deeper = f"{inner}  "

    def arrow(who: object, way: str, text: str) -> str:
        return f"{who!s:>{width}} {way} server   {inner}{text}"

    match step:
        case Send():
            text = _frame(step.frame) if step.frame is not None else f"text {step.raw or step.data!r}"
            yield arrow(step.who, "──▶", f"{text}{'   (invalid)' if step.invalid else ''}")
        case Expect():
            yield arrow(step.who, "◀──", f"{_frame(step.frame)}{_req(step.req)}")
        case ExpectClose():
            codes = f" {', '.join(map(str, step.codes))}" if step.codes else ""
            yield arrow(step.who, "◀──", f"close{codes}{_req(step.req)}")
        case Nothing():
            whom = ", ".join(["everybody"] * step.everybody + [str(ref) for ref in step.whom])
            but = f", but perhaps {', '.join(_frame(item) for item in step.allow)}" if step.allow else ""
            yield f"{blank}nothing (else) reaches {whom}{but}{_req(step.req)}"
        case Connect():
            yield arrow(step.who, "─ ─", f"{_how(step)}{_req(step.req)}")
        case Drop():
            yield arrow(step.who, "─ ─", f"{'cuts' if step.abort else 'closes'} its connection")
        case Restart():
            yield f"{blank}the server is {'killed' if step.how == 'kill' else 'stopped'} and started again"
        case Control():
            named = f" (→ {step.name})" if step.name else ""
            yield arrow("control", "═══", f"{step.operation} {_json(step.arguments)}{named}")
        case Advance():
            yield arrow("control", "═══", f"the clock moves on by {step.seconds} s")
        case Unordered():
            yield f"{blank}in any order:"
            yield from _lines(step.expects, width, deeper)
        case AnyOf():
            first = "either" if len(step.branches) > 1 else "if this comes"
            for number, branch in enumerate(step.branches):
                yield f"{blank}{'or' if number else first}:"
                yield from _lines(branch, width, deeper)
                if not branch:
                    yield f"{blank}  nothing"
        case Repeat():
            yield f"{blank}{step.n} times:"
            yield from _lines(step.steps, width, deeper)


def _how(step: Connect) -> str:
    if step.refused:
        return "connects and is refused"
    if step.overlap:
        return "connects again, then closes its older connection"
    return "connects, perhaps for a moment only" if step.brief else "connects"


def _frame(frame: Any) -> str:
    rest = {key: value for key, value in plain(frame).items() if key != "type"}
    return f"{plain(frame).get('type')}{f' {_json(rest)}' if rest else ''}"


def _json(value: Any) -> str:
    text = json.dumps(plain(value), ensure_ascii=False)
    return text if len(text) <= 150 else f"{text[:149]}…"


def _req(names: Sequence[str]) -> str:
    return f"   [{', '.join(names)}]" if names else ""
