"""What a person sees of a self-test: progress, then the matrix, what is not killed, and a sentence."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.progress import TaskID
from rich.text import Text

from relaykit.conformance import terminal
from relaykit.conformance.reports.text import visible
from relaykit.conformance.selftest.judging import Outcome, Row, Verdicts
from relaykit.conformance.selftest.seeded import Seeded

STYLES = {
    Outcome.KILLED: "green",
    Outcome.MISNAMED: "bold yellow",
    Outcome.SURVIVED: "bold red",
    Outcome.UNJUDGED: "bold magenta",
    Outcome.UNUSABLE: "bold white on red",
    Outcome.ERROR: "bold white on red",
}


@dataclass(frozen=True, slots=True)
class Spent:
    """What a run took: seconds by the clock, and of CPU time (all cores, the servers' included)."""

    wall_s: float
    cpu_s: float


_HALF = 600
"""Of a long reason, so many characters are shown of its beginning, and of its end."""
_EVERY = 50
"""Without a terminal, a line of progress for so many defects."""


class Live:
    """Progress: a bar on a terminal, now and then a line elsewhere; each defect that is not killed is a line
    at once."""

    def __init__(self, console: Console, count: int) -> None:
        self._console = console
        self._counts: Counter[Outcome] = Counter()
        self._count = count
        self._task: TaskID | None = None
        self._bar = terminal.bar(console)

    def __enter__(self) -> Live:
        self._bar.start()
        self._task = self._bar.add_task("defects", total=self._count, counts="")
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def sound(self) -> None:
        """The defects are done; the sound server follows."""
        if self._task is not None:
            self._bar.update(self._task, description="the sound server")

    def done(self, verdict: Verdicts) -> None:
        """One defect is judged."""
        self._counts[verdict.outcome] += 1
        if verdict.outcome is not Outcome.KILLED:
            self._console.print(_line(verdict))
        judged = self._counts.total()
        if not self._console.is_terminal and judged % _EVERY == 0 and judged < self._count:
            self._console.print(
                f"{judged} of {self._count} defects judged, {self._counts[Outcome.KILLED]} killed"
            )
        if self._task is not None:
            counts = " ".join(
                f"[{STYLES[outcome]}]{self._counts[outcome]} {outcome.value}[/]"
                for outcome in Outcome
                if self._counts[outcome]
            )
            self._bar.update(self._task, advance=1, counts=counts)


def matrix(console: Console, verdicts: Sequence[Verdicts], *, verbose: bool) -> None:
    """Requirement × defect, and by which step it was killed."""
    for area in dict.fromkeys(verdict.defect.area for verdict in verdicts):
        console.print(Text(area, style="bold"))
        for verdict in verdicts:
            if verdict.defect.area == area:
                for name in verdict.defect.breaks:
                    console.print(_cell(verdict, name))
                    kills = verdict.kills[name]
                    for kill in kills if verbose else ():
                        console.print(Text(f"      {kill.case} {kill.step}: {visible(kill.message)}", "dim"))


def _cell(verdict: Verdicts, name: str) -> Text:
    outcome, kills = verdict.requirements[name], verdict.kills[name]
    more = f" (+{len(kills) - 1})" if len(kills) > 1 else ""
    by = f"{kills[0].case} {kills[0].step}{more}" if kills else ""
    return Text.assemble(
        f"  {name:<8} {verdict.defect.id:<36} ",
        (f"{outcome.value:<9}", STYLES[outcome]),
        (f" {by}", "dim"),
    )


def alive(console: Console, verdicts: Iterable[Verdicts]) -> None:
    """The defects that were not killed, with what there is to say."""
    for verdict in verdicts:
        if verdict.outcome is not Outcome.KILLED:
            console.print(_line(verdict))
            if verdict.reason:
                console.print(Text(textwrap.indent(_middle_out(visible(verdict.reason)), "    "), "dim"))


def _middle_out(text: str) -> str:
    """A long text without its middle: what happened stands first, and why, in a server's words, last."""
    return text if len(text) <= 2 * _HALF else f"{text[:_HALF]}\n…\n{text[-_HALF:]}"


def _line(verdict: Verdicts) -> Text:
    names = ", ".join(f"{name} {outcome.value}" for name, outcome in verdict.requirements.items())
    return Text.assemble(
        (f"{verdict.outcome.value:>9} ", STYLES[verdict.outcome]),
        (verdict.defect.id, "bold"),
        f" ({names})  {verdict.defect.title}",
    )


def unproven(console: Console, rows: Iterable[Row]) -> None:
    """The requirements that no defect breaks."""
    listed = list(rows)
    names = [row.id for row in listed if row.verdict == "unproven"]
    if names:
        console.print(Text(f"unproven, since no defect breaks them ({len(names)}):", style="yellow"))
        console.print(Text(textwrap.fill(", ".join(names), 100, initial_indent="  ", subsequent_indent="  ")))
    for row in listed:
        if row.verdict == "untested":
            console.print(Text.assemble((f"untested {row.id} ", "dim"), (row.reason, "dim")))


def listing(defects: Sequence[Seeded]) -> str:
    """The defects in lines, by area."""
    lines: list[str] = []
    for area in dict.fromkeys(each.area for each in defects):
        lines.append(area)
        lines += [
            f"  {each.id:<36} {', '.join(each.breaks):<16} {each.title}"
            for each in defects
            if each.area == area
        ]
    named = {name for each in defects for name in each.breaks}
    return "\n".join([*lines, f"{len(defects)} defects; they break {len(named)} requirements"])


def conclusion(verdicts: Sequence[Verdicts], rows: Sequence[Row], spent: Spent) -> str:
    """The run in one sentence; requirements that no defect of the run breaks are left out."""
    counts = Counter(verdict.outcome for verdict in verdicts)
    said = ", ".join(f"{counts[outcome]} {outcome.value}" for outcome in Outcome if counts[outcome])
    judged = [row for row in rows if row.verdict not in ("not-run", "untested")]
    proven = sum(row.verdict == "proven" for row in judged)
    return (
        f"{len(verdicts)} defects in {spent.wall_s:.0f} s ({spent.cpu_s:.0f} s of CPU time): {said}; "
        f"{proven} of {len(judged)} requirements proven"
    )
