"""A whole run: preflight, schedule, judge; from a target and cases to a `RunResult`."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from relaykit.conformance.applicable import on_loopback
from relaykit.conformance.capabilities import Tried, in_words, try_capabilities
from relaykit.conformance.cases import load_cases
from relaykit.conformance.context import Environment
from relaykit.conformance.control import Checked, open_control
from relaykit.conformance.deaths import unexplained
from relaykit.conformance.dialect import Dialect
from relaykit.conformance.divergence import dialect_cases
from relaykit.conformance.expectations import in_force
from relaykit.conformance.hints import hints
from relaykit.conformance.issuing import Issuer
from relaykit.conformance.judge import JUDGE_ALL, Rules, expect_failures, requirement_table, shape_cases
from relaykit.conformance.launch import current
from relaykit.conformance.leavings import Leavings, Noted, Tidied
from relaykit.conformance.pacing import Pace
from relaykit.conformance.preflight import Readiness, preflight
from relaykit.conformance.presuming import settle_blame
from relaykit.conformance.results import EXECUTED, GATHERED, Case, CaseResult, RunResult, Verdict
from relaykit.conformance.schedule import How, Schedule
from relaykit.conformance.single import Pause
from relaykit.conformance.target import Target
from relaykit.conformance.tidying import tidy
from relaykit.conformance.unjudged import none_judged
from relaykit.errors import ExitCode
from relaykit.schemas import Catalogue

DEFAULT_CONCURRENCY = 32
_INTERRUPTED = "the run was interrupted before it came to a verdict"


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run, beside the target file.

    Attributes:
        seed: from which users, identifiers and texts follow.
        timeout_factor: by which all waits are stretched.
        concurrency: cases at the same time; None: the target file's, or the default.
        secret: is told what came up during the run and must never be shown.
        repeat: how often each case runs; one whose verdicts differ is flaky.
        retries: how often a failure runs again, alone (`relaykit test`: up to 3 times).
        retry_s: the time for that, in seconds; those that come to no turn run again once, side by side (but
            for slow ones). 0: no bound.
        late_s: at the end the target is watched for so long: what a case did may kill it a moment later.
        max_fail: unexpected failures after which no further case is begun; None: however many.
        pause: is waited for where a case failed, while its connections are still open.
        destructive: cases that flood, kill or exhaust run on a target that is on another machine, too.
        try_all: try every capability that the target leaves open, not only those that a case asks for: the
            shards of a run are to come to the same.
        gathered: whether what was seen of all frames stands among the cases where it is in order, too.
    """

    seed: str = field(default_factory=lambda: secrets.token_hex(4))
    rules: Rules = JUDGE_ALL
    timeout_factor: float = 1.0
    concurrency: int | None = None
    secret: Callable[[str], None] = lambda _: None
    repeat: int = 1
    retries: int = 0
    retry_s: float = 30.0
    late_s: float = 0.0
    max_fail: int | None = None
    pause: Pause | None = None
    destructive: bool = False
    gathered: bool = True
    try_all: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Called while the run goes on.

    Attributes:
        ready: once when the target turned out to be there, with the number of cases and the token's carrier.
        done: for each case, once.
        note: what the run does beside that, in a line.
    """

    ready: Callable[[int, str], None]
    done: Callable[[CaseResult], None]
    note: Callable[[str], None] = lambda _: None


def silent() -> Progress:
    """Progress that nobody watches."""
    return Progress(lambda _count, _carrier: None, lambda _result: None)


def environment(target: Target, catalogue: Catalogue, settings: Settings) -> Environment:
    """What all cases of a run share; within an event loop, and to be closed at the end.

    Raises:
        UsageError: TLS, a control adapter or a dialect cannot be set up.
    """
    waits, https = target.waits.scaled(settings.timeout_factor), target.https_context()
    control, made = open_control(target.control, waits.reply * 5, https), Leavings()
    return Environment(
        target=target,
        catalogue=catalogue,
        waits=waits,
        seed=settings.seed,
        tls=target.tls_context(),
        control=Noted(Checked(control), made) if control is not None else None,
        leavings=made,
        issuer=Issuer(target.tokens, waits.reply * 5, settings.secret, https),
        factor=settings.timeout_factor,
        pace=Pace(target.connections_per_second),
        dialect=Dialect(target.dialect, catalogue, settings.secret) if target.dialect else None,
        destructive=settings.destructive or on_loopback(target.url) or current.get() is not None,
    )


def _concurrency(env: Environment, settings: Settings) -> int:
    """How many cases run at the same time."""
    if env.issuer.fixed:
        return 1  # fixed users are shared by all cases: two at once would see each other's frames
    target = env.target
    if target.connections_per_second is not None:
        # More would wait for their turn within the time that a case has.
        default = min(DEFAULT_CONCURRENCY, math.ceil(target.connections_per_second))
    else:
        default = DEFAULT_CONCURRENCY
    return settings.concurrency or target.concurrency or default


class Session:
    """A target that was found to be there, and what the cases of a run share.

    Attributes:
        ready: what was found out about the target.
        tried: what trying the capabilities showed that the target file leaves open.
        results: by case, in the order in which they came.
        tidied: what became of what the run made on the target; None: it was not tidied yet.
    """

    def __init__(
        self, env: Environment, settings: Settings, ready: Readiness, tried: tuple[Tried, ...] = ()
    ) -> None:
        self.env = env
        self.settings = settings
        self.ready = ready
        self.tried = tried
        self.results: dict[str, CaseResult] = {}
        self.tidied: Tidied | None = None
        self._clock_found_s = env.clock_offset_s
        self._notes: list[str] = []
        self._stopped: str | None = None
        self._started = datetime.now(UTC)
        self._clock = time.perf_counter()

    async def judge(self, case: Case) -> CaseResult:
        """Run one case, and judge it. Raises nothing but `CancelledError`."""
        await self.judge_all((case,))
        return self.results[case.id]

    async def judge_all(self, cases: Sequence[Case], progress: Progress | None = None) -> None:
        """Run many, side by side as far as they bear it, and failures once more, alone.

        Raises nothing but `CancelledError`.
        """
        watch = progress or silent()
        settings = self.settings

        def keep(result: CaseResult) -> None:
            self.results[result.case.id] = result

        def done(result: CaseResult) -> None:
            keep(result)
            watch.done(result)

        how = How(
            concurrency=_concurrency(self.env, settings),
            rules=settings.rules,
            repeat=settings.repeat,
            retries=settings.retries,
            retry_s=settings.retry_s * settings.timeout_factor or None,
            late_s=settings.late_s * settings.timeout_factor,
            max_fail=settings.max_fail,
            pause=settings.pause,
        )
        schedule = Schedule(self.env, how, done, keep, watch.note)
        try:
            await schedule.run(cases)
        finally:
            self._notes += schedule.deaths.notes
            self._stopped = schedule.stopped or self._stopped
            for result in unexplained(schedule.unexplained):
                keep(result)

    async def tidy(self) -> None:
        """Take back what the run made on the target, once."""
        if self.tidied is None:
            self.env.unpark()
            moved = max(0.0, self.env.clock_offset_s - self._clock_found_s)
            self.tidied = await self.env.tidy_up(moved)

    def conclude(self, cases: Sequence[Case] | None = None, *, interrupted: bool = False) -> RunResult:
        """The run as a whole, until now.

        Args:
            cases: all that should have run; those without a result are untestable. None: those that ran.
        """
        reason = self._stopped or _INTERRUPTED
        left = dict(self.results)
        ordered = [
            left.pop(case.id, CaseResult(case, Verdict.UNTESTABLE, reason=reason, ran=False))
            for case in cases or ()
        ]
        ordered += left.values()
        # What is left on a target that we launched goes with it.
        left_behind = self.tidied.in_words() if self.tidied and current.get() is None else None
        after = [line for line in (self._stopped, left_behind) if line]
        nothing = self.env.dialect.book.nothing if self.env.dialect is not None else 0
        first = hints(ordered, self.env.target, fences=self.ready.fences, nothing=nothing)
        result = conclude(
            self.env,
            ordered,
            self.settings,
            started=self._started,
            duration_s=time.perf_counter() - self._clock,
            notes=(*first, *self.ready.notes, *self._notes, *after),
            interrupted=interrupted,
        )
        result.hints = first
        result.clock_skew_s = self.ready.skew_s
        result.capabilities = self.env.target.capabilities
        result.tidied = self.tidied
        result.tried = {each.capability: (each.served, each.said) for each in self.tried}
        return result


@contextlib.asynccontextmanager
async def open_session(
    target: Target, catalogue: Catalogue, settings: Settings, progress: Progress | None = None
) -> AsyncIterator[Session]:
    """Look whether the target is there, and let go of everything at the end.

    Args:
        progress: is told what takes a while.

    Raises:
        UnreachableError: there is no target to judge.
    """
    env = environment(target, catalogue, settings)
    try:
        ready = await preflight(env)
        clock = env.clock_offset_s
        env.carrier, env.fences = ready.carrier, ready.fences
        if isinstance(target.tokens, tuple):
            await tidy(env, target.tokens)
        tried: tuple[Tried, ...] = ()
        if target.probed:
            note = f"trying what the target serves: {', '.join(sorted(target.probed))}"
            (progress or silent()).note(note)
            try:
                tried = await try_capabilities(env, load_cases(catalogue))
            except asyncio.CancelledError:
                await env.tidy_up(max(0.0, env.clock_offset_s - clock))
                raise
            ready = replace(ready, notes=(*ready.notes, *in_words(tried)))
        session = Session(env, settings, ready, tried)
        yield session
        await session.tidy()
    finally:
        await env.close()


async def run_session(
    target: Target,
    catalogue: Catalogue,
    cases: Sequence[Case],
    settings: Settings,
    progress: Progress | None = None,
) -> RunResult:
    """Run the cases against the target.

    Returns:
        all verdicts; `interrupted` is set if the run was cancelled, and cases that did not run are then
        untestable, with that as the reason.

    Raises:
        UnreachableError: there is no target to judge.
    """
    watch = progress or silent()
    interrupted = False
    if not settings.try_all:
        asked = frozenset[str]().union(*(case.capabilities | case.without for case in cases))
        target = replace(target, probed=target.probed & asked)
    session: Session | None = None
    try:
        async with open_session(target, catalogue, settings, watch) as session:
            watch.ready(len(cases), session.ready.carrier)
            try:
                await session.judge_all(cases, watch)
            except asyncio.CancelledError:
                interrupted = True
                _go_on()
            await session.tidy()
    except asyncio.CancelledError:
        if session is not None:
            raise  # amid the tidying: whoever does that wants the end
        _go_on()
        return none_judged(catalogue, cases, settings.seed, target.carrier, (_INTERRUPTED,), interrupted=True)
    return session.conclude(cases, interrupted=interrupted)


def _go_on() -> None:
    """Cancelled, the task goes on: what there is so far is to be reported."""
    task = asyncio.current_task()
    if task is not None:
        task.uncancel()


def conclude(
    env: Environment,
    results: Sequence[CaseResult],
    settings: Settings,
    *,
    started: datetime,
    duration_s: float,
    notes: Sequence[str],
    interrupted: bool,
) -> RunResult:
    """Add what follows from all cases together: shapes, expectations, the table of requirements."""
    shapes = shape_cases(env.catalogue, env.shapes, settings.rules)
    dialect = dialect_cases(env.catalogue, env.dialect.book if env.dialect else None)
    executed = any(result.verdict in EXECUTED for result in results)
    if not settings.gathered or not executed:  # then only what was wrong
        shapes, dialect = (tuple(r for r in each if r.findings) for each in (shapes, dialect))
    expected, lapsed = in_force(env.target.expected, started.date())
    blamed = settle_blame(env.catalogue, results, settings.rules)
    marked, stale = expect_failures((*blamed, *shapes, *dialect), expected)
    more = [*lapsed, *([env.gone] if env.gone else [])]
    return RunResult(
        cases=marked,
        requirements=requirement_table(env.catalogue, marked, [result.case for result in marked]),
        started=started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        duration_s=round(duration_s, 3),
        seed=settings.seed,
        carrier=env.carrier,
        stale=stale,
        notes=(*notes, *more),
        interrupted=interrupted,
    )


def exit_code(result: RunResult, fail_on: frozenset[str]) -> int:
    """The exit code of `relaykit test`: see `ExitCode`.

    Args:
        fail_on: further verdicts, beside `fail`, that fail the run: `warn`, `untestable`, `not-applicable`.
    """
    if result.interrupted:
        return ExitCode.INTERRUPTED
    if result.unreachable:
        return ExitCode.UNREACHABLE
    if result.count(Verdict.ERROR):
        return ExitCode.KIT_DEFECT
    if not any(case.verdict in EXECUTED and case.case.kind not in GATHERED for case in result.cases):
        return ExitCode.NOTHING
    if result.unexpected or result.stale:
        return ExitCode.FAILED
    if any(case.verdict.value in fail_on for case in result.cases if case.expected_failure is None):
        return ExitCode.FAILED
    return ExitCode.OK
