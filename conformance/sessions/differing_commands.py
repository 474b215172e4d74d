"""What `relaykit fuzz --against` does and shows."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from relaykit.conformance.aiming import Aim
from relaykit.conformance.fuzz.hunt import Limits
from relaykit.conformance.fuzz.showing import UNTRIED, exit_code, opening, put_out, show_notes, start_line
from relaykit.conformance.launch import ports_for
from relaykit.conformance.reports.text import visible
from relaykit.conformance.sessions.commands import Progress, cut_short, show_cut_short, was_interrupted
from relaykit.conformance.sessions.differing import Broken, Differential, Unspecified, common
from relaykit.conformance.sessions.hunt import describe
from relaykit.conformance.sessions.lab import Lab
from relaykit.conformance.sessions.reachable import reachable
from relaykit.conformance.setup import Given
from relaykit.schemas import Catalogue


def other_given(given: Given, file: Path | None, launch: str | None) -> Given:
    """The second target: of its own file, or of the first one's if it has none."""
    ports = ports_for(launch)
    return Given(file or given.file, None, given.secret_file, launch, given.capabilities, ports)


def differ(
    mine: Aim, other: Aim, catalogue: Catalogue, seed: str, limits: Limits, out: Path, format_: str
) -> int:
    """Play the same sessions to two targets until an end is reached, and show where they differ.

    Returns:
        the exit code: 1 if one of them breaks a requirement, 0 if they differ in what is unspecified only.

    Raises:
        UsageError, UnreachableError: one of the targets is not there.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill ends it as Ctrl-C does
    start_line(f"sessions against {other.target.name}", mine, seed, limits)
    with Lab(mine, catalogue) as first, Lab(other, catalogue) as second:
        first.rules = common(first.rules, second.rules)
        progress = Progress(limits, *reachable(first))
        search = Differential(first, second, seed, limits, out, told=progress)
        interrupted = was_interrupted(search.run, first, progress)
    data = _report(search, catalogue, interrupted=interrupted)
    data = other.redactor.deep(mine.redactor.deep(data))
    return put_out(data, format_, _show)


def _report(search: Differential, catalogue: Catalogue, *, interrupted: bool) -> dict[str, Any]:
    tally = search.tally
    found = search.unexpected > 0
    code = exit_code(interrupted=interrupted, found=found, done=tally.steps > 0)
    names = {"mine": search.mine.aimed.target, "other": search.other.aimed.target}
    return {
        **opening("against", search.seed, tally.seconds, code),
        **{key: {"name": target.name, "url": target.url} for key, target in names.items()},
        "sessions": tally.sessions,
        "steps": tally.steps,
        "frames": tally.frames,
        **cut_short(tally),
        "notes": [*dict.fromkeys((*search.mine.notes, *search.other.notes))],
        "broken": [_broken(each, catalogue) for each in search.broken.values()],
        "unspecified": [_unspecified(each) for each in search.unspecified.values()],
    }


def _broken(each: Broken, catalogue: Catalogue) -> dict[str, Any]:
    requirement = catalogue.requirements[each.problem.req[0]]
    return {
        "by": each.by,
        "requirement": requirement.id,
        "requirements": list(each.problem.req),
        "level": requirement.level,
        "provenance": requirement.provenance,
        "text": requirement.text,
        "message": each.problem.message,
        "steps": describe(each.program),
        "seed": each.seed,
        "file": str(each.file) if each.file else None,
        "replayed": each.replayed,
        "expected_failure": each.expected,
    }


def _unspecified(each: Unspecified) -> dict[str, Any]:
    return {
        "move": each.difference.move,
        "device": each.difference.device,
        "mine": [json.loads(frame) for frame in each.difference.mine],
        "other": [json.loads(frame) for frame in each.difference.other],
        "count": each.count,
        "steps": describe(each.program),
        "seed": each.seed,
    }


def _show(data: Mapping[str, Any], console: Console) -> None:
    for each in data["broken"]:
        places = {"mine": "first", "other": "second"}
        by = each["by"]
        who = f"the {places[by]} target, {data[by]['name']}" if by in places else "both targets"
        console.print(
            Text.assemble(
                (" BROKEN ", "bold red reverse")
                if each["expected_failure"] is None
                else (" EXPECTED ", "yellow reverse"),
                f" by {who}: ",
                (visible(each["message"]), "bold"),
            )
        )
        for line in (
            f"breaks {each['requirement']} ({each['level']}, {each['provenance']}): {each['text']}",
            *(f"step    {step}" for step in each["steps"]),
            *([f"file    {each['file']} ({each['replayed'] or UNTRIED})"] if each["file"] else []),
            *(
                [f"expected by its target file: {visible(each['expected_failure'])}"]
                if each["expected_failure"]
                else []
            ),
        ):
            console.print(Text(f"    {line}"))
    for each in sorted(data["unspecified"], key=lambda each: -each["count"]):
        console.print(
            Text.assemble(
                (" UNSPECIFIED ", "yellow reverse"),
                f" after {each['move']}, {each['device']} gets something else ({each['count']} times)",
            )
        )
        for word in ("mine", "other"):
            frames = "; ".join(json.dumps(frame, ensure_ascii=False) for frame in each[word]) or "nothing"
            console.print(Text(f"    {word:<6}{visible(frames)}"))
        for step in each["steps"]:
            console.print(Text(f"    step  {visible(step)}", style="dim"))
    show_notes(data, console)
    show_cut_short(data, console)
    count = sum(each["expected_failure"] is None for each in data["broken"])
    expected = len(data["broken"]) - count
    console.print(
        Text(
            f"{'interrupted: ' if data['interrupted'] else ''}{count} requirements broken, "
            f"{f'{expected} more as expected, ' if expected else ''}"
            f"{len(data['unspecified'])} differences unspecified in {data['sessions']:,} sessions, "
            f"{data['steps']:,} steps, {data['duration_s']:.1f} s · seed {data['seed']}",
            style="bold red" if count else "bold green",
        )
    )
