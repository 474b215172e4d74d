"""What `relaykit fuzz --sessions` does and shows."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from relaykit.conformance.aiming import Aim
from relaykit.conformance.fuzz.hunt import Limits
from relaykit.conformance.fuzz.memory import Memory
from relaykit.conformance.fuzz.showing import (
    UNTRIED,
    ProgressLine,
    exit_code,
    found_in_all,
    found_or_expected,
    once_more,
    opening,
    put_out,
    show_memory,
    show_notes,
    start_line,
)
from relaykit.conformance.reports.text import visible
from relaykit.conformance.sessions.hunt import Finding, Hunt, Tally, describe
from relaykit.conformance.sessions.lab import ENDS, Lab
from relaykit.conformance.sessions.reachable import reachable
from relaykit.schemas import Catalogue

_FIELDS = (
    *("kind", "requirement", "requirements", "level", "provenance", "text", "message", "device", "expected"),
    *(
        "actual",
        "steps",
        "actions",
        "seed",
        "again",
        "at_s",
        "file",
        "replayed",
        "steady",
        "expected_failure",
    ),
)
"""What a finding consists of."""


class Progress(ProgressLine):
    """How far sessions are."""

    def __init__(self, limits: Limits, moves: Collection[str], transitions: Collection[str]) -> None:
        super().__init__()
        self._seconds = limits.seconds
        self._possible = moves, transitions

    def __call__(self, tally: Tally) -> None:
        self.say(lambda: self._line(tally), shrinks=bool(tally.shrinking))

    def _line(self, tally: Tally) -> str:
        until = f" of {self._seconds:g}" if self._seconds < math.inf else ""
        doing = f"shrinking {tally.shrinking}…" if tally.shrinking else progress_text(tally, *self._possible)
        return f"{tally.seconds:.0f}{until} s · {doing}"


def progress_text(tally: Tally, moves: Collection[str], transitions: Collection[str]) -> str:
    """A tally in one line."""
    made = sum(name in tally.moves for name in moves)
    reached = sum(name in tally.transitions for name in transitions)
    return (
        f"{tally.sessions:,} sessions · {tally.steps:,} steps, {tally.rate:,.0f}/s · "
        f"{made} of {len(moves)} moves · {reached} of {len(transitions)} transitions"
    )


def cut_short(tally: Tally) -> dict[str, Any]:
    """How many sessions were cut short, and why most of them."""
    return {"cut_short": tally.cut.total(), "cut_short_by": dict(tally.cut.most_common(3))}


def show_cut_short(data: Mapping[str, Any], console: Console) -> None:
    """Print that."""
    if data["cut_short"]:
        count, them = data["cut_short"], "it" if data["cut_short"] == 1 else "them"
        were = "session was" if count == 1 else "sessions were"
        console.print(Text(f"{count} {were} cut short: nothing could be said of {them}"))
    for reason, count in data["cut_short_by"].items():
        console.print(Text(f"    {count} × {visible(reason)}", style="dim"))


def was_interrupted(run: Callable[[], None], lab: Lab, progress: Progress) -> bool:
    """Run until it ends, or Ctrl-C, or a polite kill."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lab.interrupt)
    try:
        run()
    except KeyboardInterrupt:
        return True
    finally:
        progress.end()
    return False


def hunt(
    aimed: Aim, catalogue: Catalogue, seed: str, limits: Limits, out: Path, format_: str, *, restarts: bool
) -> int:
    """Fuzz sessions until an end is reached, and show what was found.

    Returns:
        the exit code.

    Raises:
        UsageError, UnreachableError: there is no target to try it on.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill ends it as Ctrl-C does
    start_line("sessions", aimed, seed, limits)
    with Lab(aimed, catalogue, restarts) as lab:
        moves, transitions = reachable(lab)
        progress = Progress(limits, moves, transitions)
        memory = Memory()

        def told(tally: Tally) -> None:
            if lab.server is not None and not tally.shrinking:
                memory.note(tally.steps, lab.server.memory_bytes())
            progress(tally)

        search = Hunt(lab, seed, limits, out, told=told)
        interrupted = was_interrupted(search.run, lab, progress)
        data = report(search, lab, catalogue, seed, memory, (moves, transitions), interrupted=interrupted)
    return put_out(data, format_, show)


def report(
    search: Hunt,
    lab: Lab,
    catalogue: Catalogue,
    seed: str,
    memory: Memory,
    possible: tuple[tuple[str, ...], tuple[str, ...]],
    *,
    interrupted: bool,
) -> dict[str, Any]:
    """What was done and found, as data, without any secret."""
    tally = search.tally
    moves, transitions = possible
    found = [_finding(finding, catalogue, lab) for finding in search.findings]
    if memory.grows:
        found.append(
            {
                **dict.fromkeys(_FIELDS),
                **{"kind": "memory", "message": memory.said("steps"), "steps": []},
                **{"seed": seed, "again": _again(lab, seed, "--frames", str(tally.frames))},
            }
        )
    unexpected = search.unexpected > 0 or memory.grows
    code = exit_code(interrupted=interrupted, found=unexpected, done=tally.steps > 0)
    data = {
        **opening("sessions", seed, tally.seconds, code),
        "restarts": lab.restarts,
        "target": {"name": lab.aimed.target.name, "url": lab.aimed.target.url},
        "sessions": tally.sessions,
        "steps": tally.steps,
        "frames": tally.frames,
        "steps_per_second": round(tally.rate, 1),
        **cut_short(tally),
        "moves": {name: tally.moves.get(name, 0) for name in moves},
        "transitions": {name: tally.transitions.get(name, 0) for name in transitions},
        "memory_mb": memory.megabytes(),
        "notes": [*dict.fromkeys(lab.notes), *([search.ended] if search.ended else [])],
        "findings": found,
    }
    cleaned: dict[str, Any] = lab.aimed.redactor.deep(data)
    return cleaned


def _finding(finding: Finding, catalogue: Catalogue, lab: Lab) -> dict[str, Any]:
    problem = finding.problem
    requirement = catalogue.requirements[problem.req[0]]
    return {
        "kind": problem.kind,
        "requirement": requirement.id,
        "requirements": list(problem.req),
        "level": requirement.level,
        "provenance": requirement.provenance,
        "text": requirement.text,
        "message": problem.message,
        "device": problem.device,
        "expected": [dict(form) for form in problem.expected],
        "actual": problem.actual,
        "steps": describe(finding.program),
        "actions": finding.actions,
        "seed": finding.seed,
        "again": _again(lab, finding.seed),
        "at_s": round(finding.at_s, 1),
        "file": str(finding.file) if finding.file else None,
        "replayed": finding.replayed,
        "steady": finding.steady,
        "expected_failure": finding.expected,
    }


def _again(lab: Lab, seed: str, *options: str) -> str:
    return once_more(lab.aimed, seed, "--sessions", *(("--restarts",) if lab.restarts else ()), *options)


def show(data: Mapping[str, Any], console: Console) -> None:
    """Print it for a reader: what was found, then how much was done."""
    for each in data["findings"]:
        console.print(Text.assemble(found_or_expected(each), " ", (visible(each["message"]), "bold")))
        if each["requirement"] is None:
            console.print(Text(f"    again   {each['again']}"), soft_wrap=True)
            continue
        for text in (
            f"breaks {each['requirement']} ({each['level']}, {each['provenance']}): {each['text']}",
            *(f"step    {step}" for step in each["steps"]),
            *(
                [f"actual  {visible(json.dumps(each['actual'], ensure_ascii=False))}"]
                if each["actual"]
                else []
            ),
            *([f"when    after {each['at_s']:g} s"] if each["kind"] in ENDS else []),
            f"again   {each['again']}",
            *(
                [f"file    {each['file']} ({_said(each, interrupted=data['interrupted'])})"]
                if each["file"]
                else []
            ),
            *(
                [f"expected by the target file: {visible(each['expected_failure'])}"]
                if each["expected_failure"]
                else []
            ),
        ):
            console.print(Text(f"    {text}"), soft_wrap=True)  # commands stay whole
    show_notes(data, console)
    moves, transitions = data["moves"], data["transitions"]
    for word, table in (("moves", moves), ("transitions", transitions)):
        missing = [name for name, count in table.items() if not count]
        if missing and data["steps"]:
            console.print(Text(f"{word} not reached: {', '.join(missing)}", style="dim"))
    show_memory(data, console)
    show_cut_short(data, console)
    count = sum(each["expected_failure"] is None for each in data["findings"])
    found = found_in_all(data["findings"])
    reached = sum(bool(value) for value in transitions.values())
    console.print(
        Text(
            f"{'interrupted: ' if data['interrupted'] else ''}{found} in {data['sessions']:,} sessions, "
            f"{data['steps']:,} steps ({data['steps_per_second']:,.0f}/s), {data['duration_s']:.1f} s · "
            f"{sum(bool(value) for value in moves.values())} of {len(moves)} moves, "
            f"{reached} of {len(transitions)} transitions · seed {data['seed']}",
            style="bold red" if count else "bold green",
        )
    )


def _said(finding: Mapping[str, Any], *, interrupted: bool) -> str:
    if finding["replayed"] == "reproduced":
        return "reproduced"
    if not finding["replayed"]:
        return UNTRIED if interrupted else "not tried again: the target is gone"
    if not finding["steady"]:
        return "it does not occur every time: relaykit replay --times 100"
    return f"replay says {finding['replayed']}: the session shows it, the scenario alone does not"
