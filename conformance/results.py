"""What running cases gives: outcomes of steps, findings, verdicts. Plain values, filled by run and judge."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal

from relaykit.conformance.record import Entry

if TYPE_CHECKING:
    from relaykit.conformance.context import Context
    from relaykit.conformance.grammar import Scenario
    from relaykit.conformance.leavings import Tidied

Blame = Literal["target", "kit", "environment", "unspecified"]
"""Who is at fault: the server; the suite; what lies between; or nobody, where the rule is an inferred one."""


Kind = Literal["scenario", "probe", "derived", "shape", "dialect", "run"]
"""What a case is made of; see `report.schema.json` for the last three, which stand for what others saw."""


OPEN_CONNECTION = "an open connection"
"""What was expected where a connection had ended before the case could go on: that tells of nothing else."""


class Verdict(StrEnum):
    """How a case ended. There is always one."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    WARN = "warn"
    NOT_APPLICABLE = "not-applicable"
    UNTESTABLE = "untestable"
    ERROR = "error"


EXECUTED = frozenset({Verdict.PASS, Verdict.FAIL, Verdict.WARN})
"""Verdicts of cases that were carried out."""
GATHERED = frozenset({"shape", "dialect"})
"""Kinds of cases that are not run: what was seen in all others is gathered in them."""
UNTESTED = "untested"
"""In the table of requirements only: no case that ran has shown it either way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A scenario, a probe or a derived case, ready to run; or what was seen of all frames of a type.

    Attributes:
        level: the strongest level among its requirements.
        capabilities: without one of these it is not applicable; `without`: with one of these.
        operations: control operations it needs.
        limits: limits that the target file must state for the case to mean anything.
        forges: it needs tokens that only a suite that signs them itself can make.
        exclusive: it touches other cases, so that it runs alone: it moves the clock, resets, or (as all that
            is destructive) fills limits and buffers, which holds others up where a server is slow and right.
        destructive: it floods, fuzzes, kills or exhausts the target: not without leave on other machines.
        frames: types that it sends or expects, for `--run frame:…`.
        run: does it; whatever it finds is put into the context.
        moves: ways of the protocol's state machines that it goes.
        where: on which targets it has anything to judge, in words, if not on all that have its capabilities;
            on others it ends as not applicable.
        scenario: what it was made of; None for a probe.
        source: `file:line`.
    """

    id: str
    title: str
    area: str
    kind: Kind
    level: str = "MUST"
    requirements: tuple[str, ...] = ()
    catches: str = ""
    capabilities: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    operations: frozenset[str] = frozenset()
    limits: frozenset[str] = frozenset()
    forges: bool = False
    exclusive: bool = False
    slow: bool = False
    frames: frozenset[str] = frozenset()
    source: str = ""
    run: Callable[[Context], Awaitable[None]]
    scenario: Scenario | None = None
    moves: tuple[str, ...] = ()
    where: str = ""
    destructive: bool = False


@dataclass(frozen=True, slots=True)
class Stability:
    """Whether a case comes to the same verdict each time.

    Attributes:
        runs: how often it was run to find out: alone after a failure, or as often as `--repeat` says.
        same: in how many of them it came to the verdict that is reported.
        alone: whether nothing else ran beside it.
    """

    runs: int
    same: int
    alone: bool

    @property
    def flaky(self) -> bool:
        return self.same < self.runs

    def __str__(self) -> str:
        return f"flaky {self.same}/{self.runs}" if self.flaky else "deterministic"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step showed about the requirements it names; with none it is about the case as such.

    Attributes:
        soft: at most a warning, whatever the level of the requirements.
        step: where it stands: a pointer into the scenario, or what the probe calls it.
    """

    ok: bool
    requirements: tuple[str, ...]
    message: str = ""
    expected: Any = None
    actual: Any = None
    blame: Blame | None = None
    soft: bool = False
    step: str = ""
    actor: str = ""
    t_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One requirement that was not kept, or one thing that went wrong.

    Attributes:
        case: for shapes, the case in which it was first seen.
        rests_on: where a frame did not come, rules without which it never comes: see `resting`.
        instead_of: the rules that would be to blame, had this one been kept anywhere in the run: see
            `presuming`. With this one among them, if its step named it, too.
    """

    requirement: str | None
    level: str
    provenance: str | None
    severity: Literal["fail", "warn"]
    blame: Blame
    message: str
    expected: Any
    actual: Any
    step: str = ""
    actor: str = ""
    t_ms: float = 0.0
    case: str = ""
    rests_on: tuple[str, ...] = ()
    instead_of: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CaseResult:
    """How a case ended.

    Attributes:
        reason: why, for verdicts that have no findings.
        proven: requirements that its steps showed to be kept.
        broken: those that its steps showed to be broken, be they judged in this run or not.
        expected_failure: the reason given in the target file, if its failure was expected.
        stability: whether it comes to this verdict each time; None: it ran but once.
        not_run_again: why a failure was not run again, where others are: whether it is flaky is not known.
        ran: False: the run ended before its turn came.
    """

    case: Case
    verdict: Verdict
    findings: tuple[Finding, ...] = ()
    reason: str = ""
    proven: frozenset[str] = frozenset()
    broken: frozenset[str] = frozenset()
    duration_ms: float = 0.0
    transcript: tuple[Entry, ...] = ()
    expected_failure: str | None = None
    stability: Stability | None = None
    not_run_again: str = ""
    ran: bool = True


@dataclass(frozen=True, slots=True)
class RequirementResult:
    """What the run says about one requirement; `verdict` is one of the verdicts or `untested`."""

    id: str
    level: str
    provenance: str
    verdict: str
    cases: tuple[str, ...]


@dataclass(slots=True)
class RunResult:
    """All of a run.

    Attributes:
        stale: expected failures that did not fail.
        notes: what a reader should know.
        hints: those of the notes that are to be read first: what many failures may come from.
        unreachable: why there was no target to judge; None: there was one.
        capabilities: those that count as declared; None: as the target file has it.
        tried: those that it leaves open → whether each is served, and what showed that.
        tidied: what became of what the run made on the target.
        clock_skew_s: by how much the target's clock is ahead of ours, in seconds; None: not known.
    """

    cases: tuple[CaseResult, ...]
    requirements: tuple[RequirementResult, ...]
    started: str
    duration_s: float
    seed: str
    carrier: str
    stale: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    interrupted: bool = False
    server_log: tuple[str, ...] = ()
    unreachable: str | None = None
    clock_skew_s: float | None = None
    capabilities: frozenset[str] | None = None
    tried: Mapping[str, tuple[bool, str]] = field(default_factory=dict)
    tidied: Tidied | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def count(self, verdict: Verdict) -> int:
        return sum(result.verdict is verdict for result in self.cases)

    @property
    def unexpected(self) -> tuple[CaseResult, ...]:
        """The failures that the target file does not expect."""
        return tuple(r for r in self.cases if r.verdict is Verdict.FAIL and r.expected_failure is None)
