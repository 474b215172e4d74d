"""Runs that ended before their first case: who reads reports is to see why there are no verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from relaykit.conformance.judge import requirement_table
from relaykit.conformance.results import Case, CaseResult, RunResult, Verdict
from relaykit.errors import UnreachableError
from relaykit.schemas import Catalogue


def not_judged(
    catalogue: Catalogue,
    cases: Sequence[Case],
    seed: str,
    carrier: str | None,
    error: UnreachableError,
) -> RunResult:
    """What there is to report of a target that is not there: every case is untestable, for that reason."""
    notes = (str(error), *((error.hint,) if error.hint else ()))
    return replace(none_judged(catalogue, cases, seed, carrier, notes), unreachable=str(error))


def none_judged(
    catalogue: Catalogue,
    cases: Sequence[Case],
    seed: str,
    carrier: str | None,
    notes: tuple[str, ...],
    *,
    interrupted: bool = False,
) -> RunResult:
    """A run that ended before its first case, for what the first note says."""
    results = tuple(
        CaseResult(case, Verdict.UNTESTABLE, reason=notes[0], ran=not interrupted) for case in cases
    )
    return RunResult(
        cases=results,
        requirements=requirement_table(catalogue, results, cases),
        started=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        duration_s=0.0,
        seed=seed,
        carrier=carrier or "none",
        notes=notes,
        interrupted=interrupted,
    )
