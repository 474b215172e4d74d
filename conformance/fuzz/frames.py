"""What `relaykit fuzz` does and shows when it fuzzes frames."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from relaykit.conformance.aiming import Aim, standing
from relaykit.conformance.cases import from_scenario
from relaykit.conformance.environment import Environment
from relaykit.conformance.fuzz.corpus import Corpus, lay_down
from relaykit.conformance.fuzz.finding import Finding, without_file
from relaykit.conformance.fuzz.hunt import Hunt, Limits
from relaykit.conformance.fuzz.reach import summary
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
from relaykit.conformance.fuzz.writing import reproduction
from relaykit.conformance.judge import JUDGE_ALL, shape_cases
from relaykit.conformance.launch import Launched
from relaykit.conformance.matching import short
from relaykit.conformance.record import ShapeBook
from relaykit.conformance.replay import replayed
from relaykit.conformance.reports.text import visible
from relaykit.conformance.reproduce import load, write
from relaykit.conformance.results import Case
from relaykit.conformance.run import Settings, open_session
from relaykit.conformance.single import run_one
from relaykit.errors import RelaykitError, UsageError
from relaykit.schemas import Catalogue, control_operations
from relaykit.schemas.wording import counted

CONNECTIONS = 24
"""Side by side, where nobody says how many."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says beside the target."""

    seed: str
    limits: Limits
    connections: int
    corpus: Path | None
    out: Path
    format: str


def hunt(aimed: Aim, catalogue: Catalogue, options: Options) -> int:
    """Fuzz frames until an end is reached, write what was found, and show it.

    Returns:
        the exit code.

    Raises:
        UsageError, UnreachableError: there is no target to try it on.
    """
    if aimed.target.dialect is not None:
        raise UsageError(
            "a target with a dialect cannot be fuzzed with frames: its wire is not the protocol's",
            hint="--sessions speaks its dialect",
        )
    corpus = Corpus(options.corpus)
    progress = Progress(options.limits)
    start_line("frames", aimed, options.seed, options.limits)
    try:
        search, notes, interrupted = asyncio.run(_search(aimed, catalogue, options, corpus, progress))
    except RelaykitError as error:
        raise aimed.redactor.error(error) from None
    finally:
        progress.end()
    data = report(search, aimed, catalogue, options, notes, interrupted=interrupted)
    return put_out(data, options.format, show)


async def _search(
    aimed: Aim, catalogue: Catalogue, options: Options, corpus: Corpus, progress: Progress
) -> tuple[Hunt, list[str], bool]:
    settings = Settings(options.seed, timeout_factor=aimed.factor, secret=aimed.redactor.add)
    interrupted = False
    async with standing(aimed) as server, open_session(aimed.target, catalogue, settings) as session:
        env = session.env
        if not env.fences:
            raise UsageError(
                "the target answers no heartbeat, and nothing else tells when it has handled a frame"
            )
        search = Hunt(env, _case(catalogue), corpus, options.limits, options.connections, server, progress)
        task = asyncio.current_task()
        try:
            await search.run()
        except asyncio.CancelledError:
            interrupted = True
            if task is not None:
                task.uncancel()
        if search.memory.grows:
            search.findings.append(Finding("memory", search.memory.said("frames")))
        notes = [*session.ready.notes, *corpus.notes, *search.dossier.lapsed, *search.tally.notes]
        notes += [each.note for each in (search.sizes, search.waiting) if each.note]
        if search.dossier.unexamined:
            suspicions = counted(search.dossier.unexamined, "suspicion")
            notes.append(f"time was up before {suspicions} could be looked into: more --seconds may tell")
        for operation, said in env.hindered.items():
            why = said.splitlines()[0]
            notes.append(f"{operation} failed, and frames about what it makes were not judged since: {why}")
        if env.gone is not None:
            notes.append(env.gone)
        lives = not interrupted and not search.crashes.hopeless
        notes += await _write(env, search, options, server, replay=lives)
        if server is not None and server.ended is not None:
            notes.append(f"the launched target {server.ended}")
    return search, notes, interrupted


async def _write(
    env: Environment, search: Hunt, options: Options, server: Launched | None, *, replay: bool
) -> Sequence[str]:
    """Leave a scenario for every failure that has a message, and see what replaying it says.

    What has only suspects leaves those.

    Returns:
        notes of what could not be written: what was found is shown all the same.
    """
    offered = frozenset(name for name in control_operations() if env.target.offers(name))
    written: list[tuple[Finding, Path]] = []
    for number, finding in enumerate(search.findings, 1):
        if finding.expected is not None:
            continue
        try:
            if finding.failure is not None and finding.failure.outcomes:
                made = reproduction(env.catalogue, finding.failure, options.seed, operations=offered)
                path = write(options.out, made, env.catalogue)
                finding.file = str(path)
                written.append((finding, path))
            elif finding.suspects:
                folder = options.out / f"suspects-{options.seed}-{number}"
                lay_down(folder, (data for _, data in finding.suspects))
                finding.folder = str(folder)
        except UsageError as error:
            return [str(error)]

    async def again(finding: Finding, path: Path) -> None:
        case = from_scenario(env.catalogue, load(path, env.catalogue)[0])
        book = ShapeBook()
        with_book = replace(env, shapes=book) if finding.kind == "shape" else env
        result = await run_one(with_book, case, JUDGE_ALL)
        finding.outcome = str(replayed(result, shape_cases(env.catalogue, book, JUDGE_ALL)).outcome)

    if replay:
        deadly = [each for each in written if each[0].kind == "crash"]
        await asyncio.gather(*(again(*each) for each in written if each not in deadly))
        for each in deadly:
            await again(*each)
            if server is not None:
                await server.settled(0.05)
                if server.ended is not None:
                    await server.restart()
    return []


def _case(catalogue: Catalogue) -> Case:
    async def nothing(_: object) -> None:
        return

    return Case(
        id="fuzz",
        title="Fuzzed frames",
        area=catalogue.protocol.areas["VAL"].file,
        kind="derived",
        run=nothing,
    )


class Progress(ProgressLine):
    """How far frames are."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self._frames = limits.frames

    def __call__(self, search: Hunt) -> None:
        self.say(lambda: self._line(search), shrinks=bool(search.dossier.shrinking))

    def _line(self, search: Hunt) -> str:
        tally, shrinking = search.tally, search.dossier.shrinking
        until = f" of {self._frames:,}" if self._frames is not None else ""
        doing = f"shrinking {shrinking}…" if shrinking else summary(search.reach, search.served)
        return (
            f"{tally.seconds:.0f} s · {tally.frames:,}{until} frames, {tally.rate:,.0f}/s · "
            f"{doing} · {len(search.findings)} found"
        )


def report(
    search: Hunt,
    aimed: Aim,
    catalogue: Catalogue,
    options: Options,
    notes: list[str],
    *,
    interrupted: bool,
) -> dict[str, Any]:
    """What was done and found, as data, without any secret."""
    tally, reach = search.tally, search.reach
    found = search.dossier.unexpected > 0
    code = exit_code(interrupted=interrupted, found=found, done=tally.frames > 0)
    again = once_more(aimed, options.seed, *_length(options, tally.frames))
    data = {
        **opening("frames", options.seed, tally.seconds, code),
        "target": {"name": aimed.target.name, "url": aimed.target.url},
        "frames": tally.frames,
        "frames_per_second": round(tally.rate, 1),
        "must_be_refused": tally.refused,
        "must_be_accepted": tally.accepted,
        "either": tally.either,
        "must_close": tally.closing,
        "types_served": dict(sorted(search.served.items())),
        "constraints": {
            "reached": len(reach.reached),
            "possible": len(reach.possible),
            "not_reached": reach.missing,
        },
        "corpus": {"frames": len(search.corpus.frames), "added": search.corpus.added},
        "connections_closed": tally.closed,
        "trials": search.bench.count,
        "memory_mb": search.memory.megabytes(),
        "notes": list(dict.fromkeys(notes)),
        "findings": [_finding(each, catalogue, again, search.crashes.gone) for each in search.findings],
    }
    cleaned: dict[str, Any] = aimed.redactor.deep(data)
    return cleaned


def _length(options: Options, frames: int) -> tuple[str, ...]:
    """The options that make a run as long as this one was, over as many connections."""
    connections = ("--connections", str(options.connections)) if options.connections != CONNECTIONS else ()
    return (*connections, "--frames", str(frames))


def _finding(finding: Finding, catalogue: Catalogue, again: str, gone: bool) -> dict[str, Any]:
    failure = finding.failure
    outcome = failure.outcomes[0] if failure is not None and failure.outcomes else None
    return {
        "kind": finding.kind,
        "message": finding.message,
        "requirements": [
            {"id": name, "level": rule.level, "provenance": rule.provenance, "text": rule.text}
            for name in finding.requirements
            if (rule := catalogue.requirements.get(name)) is not None
        ],
        "sent": _as_text(failure.data) if failure is not None else None,
        "expected": outcome.expected if outcome is not None else None,
        "actual": outcome.actual if outcome is not None else finding.frame,
        "file": finding.file,
        "no_file": without_file(finding, again, gone),
        "suspects": [{"as": who, "sent": _as_text(data)} for who, data in finding.suspects],
        "suspects_folder": finding.folder,
        "times": finding.times,
        "at_s": round(finding.at_s, 1),
        "replayed": finding.outcome,
        "expected_failure": finding.expected,
    }


def _often(times: int) -> str:
    return f", and {times - 1} more times" if times > 2 else ", and once more" if times == 2 else ""


def _as_text(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def show(data: Mapping[str, Any], console: Console) -> None:
    """Print it for a reader: what was found, then how much was done."""
    for each in data["findings"]:
        head = (f" {each['kind']}: ", (visible(each["message"]), "bold"))
        console.print(Text.assemble(found_or_expected(each), *head))
        lines = [
            f"breaks {r['id']} ({r['level']}, {r['provenance']}): {r['text']}" for r in each["requirements"]
        ]
        if each["sent"] is not None:
            lines.append(f"sent     {visible(short(each['sent'], 400))}")
        if each["expected"] is not None:
            lines.append(f"expected {visible(short(each['expected'], 300))}")
        lines.append(f"actual   {visible(short(each['actual'], 300))}")
        if each["kind"] == "crash":
            lines.append(f"when     after {each['at_s']:g} s" + _often(each["times"]))
        if each["file"]:
            lines.append(f"file     {each['file']} ({each['replayed'] or UNTRIED})")
        if each["no_file"]:
            lines.append(f"file     none: {each['no_file']}")
        if each["expected_failure"] is not None:
            lines.append(f"expected by the target file: {visible(each['expected_failure'])}")
        for line in lines:
            console.print(Text(f"    {line}"), soft_wrap=True)  # commands stay whole
    show_notes(data, console)
    missing = data["constraints"]["not_reached"]
    if missing and data["frames"]:
        more = f", and {len(missing) - 12} more" if len(missing) > 12 else ""
        console.print(Text(f"constraints not reached: {'; '.join(missing[:12])}{more}", style="dim"))
    show_memory(data, console)
    count = sum(each["expected_failure"] is None for each in data["findings"])
    found = found_in_all(data["findings"])
    reach = data["constraints"]
    console.print(
        Text(
            f"{'interrupted: ' if data['interrupted'] else ''}{found} in {data['frames']:,} frames "
            f"({data['must_be_refused']:,} to be refused, {data['must_be_accepted']:,} to be accepted, "
            f"{data['either']:,} either way, {data['must_close']:,} that end their connection), "
            f"{data['frames_per_second']:,.0f}/s, {data['duration_s']:.1f} s "
            f"· {reach['reached']} of {reach['possible']} constraints violated · seed {data['seed']}",
            style="bold red" if count else "bold green",
        )
    )
