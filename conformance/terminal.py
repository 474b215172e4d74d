"""What a person sees: progress while it runs, then what failed, with expected, actual and the transcript."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from rich.console import Console, Group
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from relaykit.conformance import run as running
from relaykit.conformance.matching import short
from relaykit.conformance.reports.claims import claim_text, claimed
from relaykit.conformance.reports.families import in_short, shown_in_full
from relaykit.conformance.reports.text import blamed, sent_text, steadiness, steadiness_text, visible
from relaykit.conformance.reports.view import profile_text
from relaykit.conformance.results import CaseResult, Verdict

STYLES = {
    "pass": "green",
    "fail": "bold red",
    "warn": "yellow",
    "not-applicable": "dim",
    "untestable": "magenta",
    "error": "bold white on red",
    "untested": "dim",
}
_AT_ONCE = 12
"""So many failures are told while the run goes on."""
_RULES = 60
"""Broken rules that the summary lists at most."""
_FULL = 20
"""Failures that are shown in full at most, but for --verbose: further ones get a line each."""
_AROUND = 8
"""Lines of the transcript shown before a finding."""


def console(*, stderr: bool = False) -> Console:
    """The console of the summary, or of progress. A log file is wide: lines cut at 80 columns help nobody."""
    stream = sys.stderr if stderr else sys.stdout
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")  # arrows on a terminal without Unicode
    plain = Console(highlight=False, stderr=stderr)
    if plain.is_terminal:
        return plain
    return Console(highlight=False, stderr=stderr, width=max(plain.width, 160))


def bar(console: Console) -> Progress:
    """A bar of progress that goes when it ends: how far, for how long, and what its field `counts` says."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[counts]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


class Live:
    """Progress on a terminal, and a line for each of the first failures as it happens.

    Args:
        redact: takes secrets out of what is told.
        expected: whether the target file expects this failure, so that nobody need hear of it now.
    """

    def __init__(
        self,
        console: Console,
        redact: Callable[[str], str] = str,
        expected: Callable[[CaseResult], bool] = lambda _: False,
    ) -> None:
        self._console = console
        self._redact = redact
        self._expected = expected
        self._told = 0
        self._counts: dict[Verdict, int] = {}
        self._task: TaskID | None = None
        self._bar = bar(console)

    def __enter__(self) -> running.Progress:
        self._bar.start()
        return running.Progress(self._ready, self._done, self._note)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Leave the terminal to somebody else for a while."""
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()

    def _ready(self, count: int, _carrier: str) -> None:
        self._task = self._bar.add_task("running", total=count, counts="")

    def _note(self, line: str) -> None:
        if self._task is None or not self._console.is_terminal:
            self._console.print(Text(visible(line), style="dim"))
        else:
            self._bar.update(self._task, description=visible(line))

    def _done(self, result: CaseResult) -> None:
        self._counts[result.verdict] = self._counts.get(result.verdict, 0) + 1
        if result.verdict in (Verdict.FAIL, Verdict.ERROR) and not self._expected(result):
            self._tell(result)
        if self._task is not None:
            counts = " ".join(
                f"[{STYLES[verdict]}]{self._counts[verdict]} {verdict.value}[/]"
                for verdict in Verdict
                if verdict in self._counts
            )
            self._bar.update(self._task, advance=1, counts=counts)

    def _tell(self, result: CaseResult) -> None:
        """The first failures, a line each: a run may take minutes, and its reader could begin at once."""
        self._told += 1
        if self._told > _AT_ONCE:
            return
        worst = sorted(result.findings, key=lambda finding: finding.severity != "fail")
        what = f": {worst[0].message}" if worst else ""
        said = visible(self._redact(f"{result.case.id}{what}")).replace("\n", " ")
        line = Text.assemble((f"{result.verdict.value} ", STYLES["fail"]), said)
        self._console.print(line, no_wrap=True, overflow="ellipsis", crop=True)
        if self._told == _AT_ONCE:
            self._console.print(Text("further failures: in the summary", "dim"))


def show(data: Mapping[str, Any], console: Console, *, verbose: bool = False) -> None:
    """Print the summary of a report (redacted already): failures first, counts last."""
    data = _harmless(data)
    cases: list[dict[str, Any]] = data["cases"]
    bad = [case for case in cases if case["verdict"] in ("error", "fail") and "expected_failure" not in case]
    rules = {row["id"]: row.get("text", "") for row in data["requirements"]}
    for line in data.get("hints", ()):
        console.print(Text.assemble((" FIRST ", "yellow reverse"), " ", line))
    full = shown_in_full(bad)
    most = len(full) if verbose else _FULL
    for case in full[:most]:
        console.print(_failure(case, rules))
    for case in full[most:]:
        console.print(_in_a_line(case))
    if full[most:]:
        said = (
            f"  {len(full) - most} failures have a line only: --verbose shows all of each, and so do reports"
        )
        console.print(Text(f"{said} (--report html=report.html)", style="dim"))
    for place, names in in_short(bad):
        console.print(Text.assemble((" FAIL ", STYLES["fail"] + " reverse"), f" {place}/ ", ", ".join(names)))
    warned = [case for case in cases if case["verdict"] == "warn"]
    if warned:
        console.print(_warnings(warned))
    for case in cases:
        if "expected_failure" in case:
            console.print(Text.assemble(("expected ", "dim"), case["id"], f": {case['expected_failure']}"))
    _untested(cases, console, verbose)
    if verbose:
        for case in cases:
            style = STYLES[case["verdict"]]
            console.print(
                Text.assemble((f"{case['verdict']:>14} ", style), case["id"], (f"  {case['title']}", "dim"))
            )
    waiting = [case for case in cases if case.get("ran") is False]
    if waiting:
        console.print(Text.assemble(("not run ", "magenta"), f"{len(waiting)}: {waiting[0]['reason']}"))
    console.print(_by_area([case for case in cases if case.get("ran") is not False]))
    if bad:
        console.print(_broken(bad, rules))
    for line in data.get("stale", ()):
        console.print(Text.assemble(("stale ", "bold yellow"), line))
    for line in data.get("notes", ()):
        console.print(Text.assemble(("note ", "bold"), line))
    if data.get("server_log"):
        console.print(Text("the target's last lines:", style="bold"))
        for line in data["server_log"]:
            console.print(Text(f"  {line}", style="dim"))
    console.print(_judged(data))
    console.print(_conclusion(data))
    console.print(Text(visible(claim_text(data)), style="green" if claimed(data) else "dim"))


def _judged(data: Mapping[str, Any]) -> Text:
    """What was judged, by what, with what."""
    kit, protocol, target = data["kit"], data["protocol"], data["target"]
    by = f"{protocol['name']} {protocol['version']} (catalogue {protocol['catalogue'][:12]})"
    seconds = target.get("clock_skew_s")
    clock = f", its clock {seconds:+.1f} s from ours" if round(seconds or 0, 1) else ""
    with_ = f"{kit['name']} {kit['version']}, profile {profile_text(data)}"
    return Text(f"{target['url']}{clock}, judged by {by} with {with_}", style="dim")


def show_failures(cases: Iterable[Mapping[str, Any]], console: Console) -> None:
    """Print what failed in these cases of a report (redacted already), each with its transcript."""
    for case in cases:
        console.print(
            _failure(_harmless(case), {}, f" --scenarios {visible(case['source'].rpartition(':')[0])}")
        )


def _harmless(value: Any) -> Any:
    """The value with control characters spelt out: what a target sends must not steer a terminal."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {_harmless(key): _harmless(item) for key, item in value.items()}
    return [_harmless(item) for item in value] if isinstance(value, (list, tuple)) else value


def _failure(case: Mapping[str, Any], rules: Mapping[str, str], options: str = "") -> Group:
    head = Text.assemble(
        (f" {case['verdict'].upper()} ", STYLES[case["verdict"]] + " reverse"),
        " ",
        (case["id"], "bold"),
        f"  {case['title']}",
    )
    parts: list[Any] = [Text(), head]
    if steadiness(case):
        style = "bold yellow" if steadiness(case).startswith("flaky") else "dim"
        parts.append(Text.assemble("  ", (steadiness(case), style), (f": {steadiness_text(case)}", "dim")))
    shown: set[tuple[str, str]] = set()
    told: set[str] = set()
    for finding in case["findings"]:
        key = (finding["step"], finding["message"])
        if key in shown:
            continue
        shown.add(key)
        same = [f for f in case["findings"] if (f["step"], f["message"]) == key]
        parts.append(Padding(_finding(finding, same, rules, told), (0, 0, 0, 2), expand=False))
    parts.append(Padding(_transcript(case), (0, 0, 0, 2), expand=False))
    parts.append(Text(f"  {case['source']}   relaykit explain {case['id']}{options}", style="dim"))
    return Group(*parts)


def _in_a_line(case: Mapping[str, Any]) -> Text:
    first = next((each for each in case["findings"] if each["severity"] == "fail"), None)
    said = f"  {first['requirement'] or '-'}: {first['message']}" if first else ""
    head = (f" {case['verdict'].upper()} ", STYLES[case["verdict"]] + " reverse")
    line = Text.assemble(head, " ", (case["id"], "bold"), said.replace("\n", " "))
    line.no_wrap, line.overflow = True, "ellipsis"
    return line


def _finding(
    finding: Mapping[str, Any], same: list[dict[str, Any]], rules: Mapping[str, str], told: set[str]
) -> Group:
    """One thing that was wrong. `told`: what was said of the case already is not said again."""
    lines = [Text(finding["message"], style="red" if finding["severity"] == "fail" else "yellow")]
    if finding.get("sent"):
        lines.append(Text(f"sent      {sent_text(finding['sent'])}"))
    if finding["expected"] is not None:
        lines.append(Text(f"expected  {_value(finding['expected'])}"))
    lines.append(Text(f"actual    {_value(finding['actual'])}"))
    for each in same:
        name = each["requirement"]
        if name is None:
            lines.append(Text("breaks    no rule by itself, but had to happen for the case to go on", "dim"))
            continue
        rule = "" if name in told else f": {rules.get(name, '')}".rstrip(": ")
        lines.append(Text(f"breaks    {name} ({each['level']}, {each['provenance']}){rule}"))
        told.add(name)
    if finding["blame"] != "target" and finding["blame"] not in told:
        lines.append(Text(f"to blame  {blamed(finding)}", style="magenta"))
        told.add(finding["blame"])
    return Group(*lines)


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "nothing" if value is None else short(value, 400)


def _transcript(case: Mapping[str, Any]) -> Group:
    entries = case["transcript"]
    if not entries:
        return Group()
    moments = [finding["t_ms"] for finding in case["findings"]]
    last = max(
        (i for i, e in enumerate(entries) if not moments or e["t_ms"] <= moments[-1]),
        default=len(entries) - 1,
    )
    start = max(0, last - _AROUND)
    lines: list[Any] = []
    if start:
        lines.append(Text(f"… {start} lines before", style="dim"))
    lines.extend(_line(line) for line in entries[start : last + 3])
    return Group(Text("transcript", style="dim"), *lines)


def _line(entry: Mapping[str, Any]) -> Text:
    arrow = "→" if entry["direction"] == "c2s" else "←"
    said = entry["event"] if entry.get("event") else short(entry["frame"], 160)
    style = "dim" if entry.get("kit") else "cyan" if entry["direction"] == "c2s" else ""
    return Text(
        f"{entry['t_ms']:>9.1f} ms  {entry['actor']:<12} {arrow} {said}",
        style=style,
        no_wrap=True,
        overflow="ellipsis",
    )


def _warnings(cases: Iterable[Mapping[str, Any]]) -> Group:
    lines: list[Any] = [Text()]
    for case in cases:
        for message in dict.fromkeys(finding["message"] for finding in case["findings"]):
            names = {f["requirement"] for f in case["findings"] if f["message"] == message}
            named = ", ".join(sorted(name for name in names if name))
            lines.append(
                Text.assemble((" WARN ", "yellow reverse"), " ", (case["id"], "bold"), f" {named}: {message}")
            )
    return Group(*lines)


def _untested(cases: Iterable[Mapping[str, Any]], console: Console, verbose: bool) -> None:
    reasons: dict[tuple[str, str], list[str]] = {}
    for case in cases:
        if case["verdict"] in ("untestable", "not-applicable") and case.get("ran") is not False:
            reasons.setdefault((case["verdict"], case.get("reason", "")), []).append(case["id"])
    for (verdict, reason), ids in sorted(reasons.items()):
        names = ", ".join(ids if verbose else ids[:3]) + ("" if verbose or len(ids) <= 3 else ", …")
        console.print(Text.assemble((f"{verdict} ", STYLES[verdict]), f"{len(ids)} ({names}): {reason}"))


def _broken(bad: Iterable[Mapping[str, Any]], rules: Mapping[str, str]) -> Group:
    """Each rule that failures break, with how many cases break it: many failures may have one reason."""
    broken: dict[str, set[str]] = {}
    for case in bad:
        for finding in case["findings"]:
            if finding["severity"] == "fail" and finding["requirement"]:
                broken.setdefault(finding["requirement"], set()).add(case["id"])
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    table.add_column("broken", no_wrap=True)
    table.add_column("cases", justify="right", no_wrap=True)
    table.add_column("rule", no_wrap=True, overflow="ellipsis", ratio=1)  # what the others leave
    ordered = sorted(broken.items(), key=lambda item: -len(item[1]))
    for name, names in ordered[:_RULES]:
        table.add_row(Text(name, STYLES["fail"]), str(len(names)), Text(rules.get(name, "")))
    more = len(ordered) - _RULES
    return Group(Text(), table, *([Text(f"and {more} more", style="dim")] if more > 0 else []), Text())


def _by_area(cases: list[dict[str, Any]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("area")
    for verdict in Verdict:
        table.add_column(verdict.value, justify="right")
    for area in dict.fromkeys(case["area"] for case in cases):
        counts = [sum(c["verdict"] == v.value for c in cases if c["area"] == area) for v in Verdict]
        cells = [
            Text(str(count), style=STYLES[verdict.value]) if count else Text("·", style="dim")
            for verdict, count in zip(Verdict, counts, strict=True)
        ]
        table.add_row(area, *cells)
    return table


def _conclusion(data: Mapping[str, Any]) -> Text:
    code = data["outcome"]["exit_code"]
    style = "bold green" if code == 0 else "bold red"
    rows = data["requirements"]
    tested = sum(row["verdict"] in ("pass", "fail", "warn") for row in rows)
    broken = sum(row["verdict"] == "fail" for row in rows)
    return Text.assemble(
        (data["outcome"]["text"], style),
        f" in {data['duration_s']:.1f} s · {tested} of {len(rows)} requirements shown, {broken} broken",
        f" · seed {data['seed']}",
    )
