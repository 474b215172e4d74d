"""The options of the commands that judge, in groups: each group reaches a command as one value.

A further option is a `click.option` in its group, a parameter of what the group is made of (a function, or a
dataclass), and what is done with it; every command of the group has it then.
"""

from __future__ import annotations

import functools
import inspect
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from relaykit.conformance.cases import PROFILES, gathered_by, load_cases, select
from relaykit.conformance.gathered import Gathered
from relaykit.conformance.judge import LEVELS, Rules
from relaykit.conformance.launch import ports_for
from relaykit.conformance.pausing import needs_terminal
from relaykit.conformance.reports.formats import FORMATS, parse_report
from relaykit.conformance.results import Case
from relaykit.conformance.run import Settings
from relaykit.conformance.setup import Given
from relaykit.conformance.single import Pause
from relaykit.schemas import Catalogue

_LATE_S = 1.0
"""What a case did may kill a target a moment later: at the end it is watched for so long."""
F = TypeVar("F", bound=Callable[..., Any])
_PATH = click.Path(path_type=Path)
_PATTERNS = "Patterns are globs of case IDs, or area:, requirement:, frame:, kind:, level: and a glob."


def grouped(name: str, make: Callable[..., Any], *options: Callable[[F], F]) -> Callable[[F], F]:
    """A decorator that adds options whose values reach the command as one argument.

    Args:
        name: of that argument.
        make: gets the options' values by name, and gives the argument.
        options: made by `click.option`.
    """
    parameters = tuple(inspect.signature(make).parameters)

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def command(**values: Any) -> Any:
            mine = {parameter: values.pop(parameter) for parameter in parameters}
            return function(**{name: make(**mine)}, **values)

        for option in reversed(options):
            command = option(command)
        return command  # type: ignore[return-value]

    return decorate


@dataclass(frozen=True, slots=True)
class Selection:
    """Which cases run, and by which requirements they are judged.

    Attributes:
        folders: of further scenarios.
        shard: the how manieth part of the cases, of how many.
    """

    run: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    level: str | None = None
    provenance: str = "all"
    profile: str = "default"
    folders: tuple[Path, ...] = ()
    shard: tuple[int, int] | None = None

    @property
    def rules(self) -> Rules:
        levels = LEVELS if self.level is None else LEVELS[: LEVELS.index(self.level.upper()) + 1]
        return Rules(frozenset(levels), self.provenance == "documented")

    def load(self, catalogue: Catalogue) -> tuple[Case, ...]:
        """Every case there is.

        Raises:
            UsageError: a scenario is wrong.
        """
        return load_cases(catalogue, self.folders)

    def choose(self, catalogue: Catalogue, cases: Sequence[Case]) -> tuple[Case, ...]:
        """Those of the cases that run.

        Raises:
            UsageError: a pattern is wrong, or fits nothing.
        """
        return select(
            catalogue,
            cases,
            run=self.run,
            skip=self.skip,
            rules=self.rules,
            profile=self.profile,
            shard=self.shard,
        )

    def gathered(self, catalogue: Catalogue, cases: Sequence[Case]) -> tuple[Gathered, ...]:
        """What it names of the cases that are not run: what others see is gathered in them."""
        return gathered_by(catalogue, cases, self.run)

    def exact(self, cases: Sequence[Case]) -> bool:
        """Whether it names just cases, as one does to run one again."""
        ids = {case.id for case in cases}
        return bool(self.run) and all(pattern.removeprefix("id:") in ids for pattern in self.run)

    def said(self) -> dict[str, Any]:
        """For the report."""
        return {
            "run": list(self.run),
            "skip": list(self.skip),
            "level": self.level,
            "provenance": self.provenance,
            "profile": self.profile,
            "scenarios": [str(folder) for folder in self.folders],
            "shard": f"{self.shard[0]}/{self.shard[1]}" if self.shard else None,
        }


def _selected(
    run_: tuple[str, ...],
    skip: tuple[str, ...],
    level: str | None,
    provenance: str,
    profile: str,
    folders: tuple[Path, ...],
    shard: tuple[int, int] | None,
) -> Selection:
    return Selection(run_, skip, level, provenance, profile, folders, shard)


def _shard(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """`2/4`: the second of four parts."""
    if value is None:
        return None
    part, slash, whole = value.partition("/")
    if not (slash and part.isdecimal() and whole.isdecimal() and 1 <= int(part) <= int(whole)):
        raise click.BadParameter(f"{value}: use I/N with 1 ≤ I ≤ N, such as 1/4")
    return int(part), int(whole)


selection: Callable[[F], F] = grouped(
    "selection",
    _selected,
    click.option("--run", "run_", multiple=True, metavar="PATTERN", help=f"Only cases that fit. {_PATTERNS}"),
    click.option("--skip", multiple=True, metavar="PATTERN", help="Not the cases that fit."),
    click.option(
        "--level",
        type=click.Choice(LEVELS, case_sensitive=False),
        help="Judge by requirements of this level and stronger ones only.",
    ),
    click.option(
        "--provenance",
        type=click.Choice(["documented", "all"]),
        default="all",
        help="documented: judge by what the source document says alone.",
    ),
    click.option(
        "--profile",
        type=click.Choice(PROFILES),
        default="default",
        help="smoke: none that must run alone, nor derived ones; full: those that wait for seconds, too.",
    ),
    click.option(
        "--scenarios", "folders", multiple=True, type=_PATH, help="A further folder (or file) of scenarios."
    ),
    click.option(
        "--shard",
        callback=_shard,
        metavar="I/N",
        help="Only the I-th of N parts of the cases, such as 1/4; the parts stay the same from run to run. "
        "`relaykit report merge` makes one report of theirs.",
    ),
)
"""The options that choose cases reach the command as `selection`."""


def _given(
    target_file: Path | None,
    url: str | None,
    secret_file: Path | None,
    launch: str | None,
    capabilities: tuple[str, ...],
) -> Given:
    # Free ports for those that the command to launch speaks of.
    ports = ports_for(launch)
    return Given(target_file, url, secret_file, launch, capabilities, ports)


target: Callable[[F], F] = grouped(
    "given",
    _given,
    click.option("-t", "--target", "target_file", type=_PATH, help="Target file (YAML)."),
    click.option("--url", help="Address of the target, such as ws://127.0.0.1:8787/ws."),
    click.option(
        "--secret-file",
        type=_PATH,
        help="File with the key that signs tokens (HS256); else the environment variable RELAYKIT_SECRET.",
    ),
    click.option(
        "--launch", metavar="CMD", help="Start the target with this command, and stop it afterwards."
    ),
    click.option(
        "--capability",
        "capabilities",
        multiple=True,
        metavar="NAME",
        help="The target has it; `all` for every one.",
    ),
)
"""The options that say which target there is reach the command as `given`."""


@dataclass(frozen=True, slots=True)
class Running:
    """How cases run.

    Attributes:
        fail_on: verdicts beside `fail` that fail the run.
    """

    jobs: int | None = None
    seed: str | None = None
    timeout_factor: float = 1.0
    fail_on: tuple[str, ...] = ()
    repeat: int = 1
    retries: int = 3
    retry_time: float = 30.0
    max_fail: int | None = None
    pause_on_fail: bool = False
    allow_destructive: bool = False

    def settings(self, rules: Rules, secret: Callable[[str], None], pause: Pause) -> Settings:
        """The settings of a run.

        Args:
            secret: is told what came up during the run and must never be shown.
            pause: is waited for at failures, if so asked.

        Raises:
            UsageError: a pause that nobody could end.
        """
        if self.pause_on_fail:
            needs_terminal()
        return Settings(
            seed=self.seed or secrets.token_hex(4),
            rules=rules,
            timeout_factor=self.timeout_factor,
            concurrency=1 if self.pause_on_fail else self.jobs,
            secret=secret,
            repeat=self.repeat,
            retries=self.retries,
            retry_s=self.retry_time,
            late_s=_LATE_S,
            max_fail=self.max_fail,
            pause=pause if self.pause_on_fail else None,
            destructive=self.allow_destructive,
        )

    def said(self) -> dict[str, Any]:
        """For the report."""
        return {
            "timeout_factor": self.timeout_factor,
            "jobs": self.jobs,
            "repeat": self.repeat,
            "retries": self.retries,
            "retry_time": self.retry_time,
            "max_fail": self.max_fail,
            "allow_destructive": self.allow_destructive,
        }


class _Factor(click.FloatRange):
    """A number within bounds; `nan`, which is within all bounds, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        found = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return found


FACTOR = _Factor(0.05, 1000)
timeout_factor = click.option(
    "--timeout-factor",
    type=FACTOR,
    default=1.0,
    help="Wait longer: for slow machines and debuggers.",
)

running: Callable[[F], F] = grouped(
    "running",
    Running,
    click.option("-j", "--jobs", type=click.IntRange(1, 1024), help="Cases at the same time.  [default: 32]"),
    click.option(
        "--seed",
        help="Makes up the same users and texts as the run that printed it: for a server that starts anew "
        "(one that runs on knows them by now, and answers otherwise).",
    ),
    timeout_factor,
    click.option(
        "--fail-on",
        multiple=True,
        type=click.Choice(["warn", "untestable", "not-applicable"]),
        help="Exit with 1 on these verdicts, too.",
    ),
    click.option(
        "--repeat",
        type=click.IntRange(1, 10_000),
        default=1,
        metavar="N",
        help="Run each case N times; one whose verdicts differ is flaky, and counts with its worst one.",
    ),
    click.option(
        "--retries",
        type=click.IntRange(0, 100),
        default=3,
        metavar="N",
        help="Run a failing case again, alone, up to N times: is it deterministic, or flaky? (A flake stays "
        "a failure.)  [default: 3]",
    ),
    click.option(
        "--retry-time",
        type=click.FloatRange(0),
        default=30.0,
        metavar="SECONDS",
        help="The time for that. Failures that come to no turn run again once, side by side (but for slow "
        "ones); 0: no bound.  [default: 30]",
    ),
    click.option(
        "--max-fail",
        type=click.IntRange(1),
        metavar="N",
        help="Begin no further case after N unexpected failures.",
    ),
    click.option(
        "--pause-on-fail",
        is_flag=True,
        help="Stop at each failure, connections open, until Enter is pressed: to look at a server in its "
        "debugger. One case at a time; needs a terminal. See also --timeout-factor.",
    ),
    click.option(
        "--allow-destructive",
        is_flag=True,
        help="On a server that is not on this machine, too, run the cases that flood, kill or exhaust it.",
    ),
)
"""The options that say how cases run reach the command as `running`."""


def _reports(reports: tuple[str, ...]) -> list[tuple[str, Path]]:
    return [parse_report(spec) for spec in reports]


reports: Callable[[F], F] = grouped(
    "wanted",
    _reports,
    click.option(
        "--report",
        "reports",
        multiple=True,
        metavar="FORMAT=FILE",
        help=f"Write a report: {', '.join(FORMATS)} (badge=F.svg, or F.json for shields). May be repeated.",
    ),
)
"""`--report`, of which the command gets formats and files as `wanted`."""
