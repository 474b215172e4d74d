"""Failures are run again: does a case fail each time, or now and then?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from relaykit.conformance.results import Case, CaseResult, Stability, Verdict

_WORST = (
    Verdict.ERROR,
    Verdict.FAIL,
    Verdict.WARN,
    Verdict.UNTESTABLE,
    Verdict.NOT_APPLICABLE,
    Verdict.PASS,
)


def worst(results: Sequence[CaseResult]) -> CaseResult:
    """Of several runs of one case, the first with the worst verdict, with how many came to the same."""
    chosen = min(results, key=lambda result: _WORST.index(result.verdict))
    if len(results) == 1 or chosen.verdict is Verdict.NOT_APPLICABLE:
        return chosen
    same = sum(result.verdict is chosen.verdict for result in results)
    return replace(chosen, stability=Stability(len(results), same, alone=False))


class Reruns:
    """What running failures again has shown so far.

    Args:
        failures: as they came; those that cost least have their turn first, so that time goes a long way.
        settle: is given each result with what was found out so far.
    """

    def __init__(self, failures: Sequence[CaseResult], settle: Callable[[CaseResult], None]) -> None:
        self._settle = settle
        self._first = {result.case.id: result for result in sorted(failures, key=lambda r: r.duration_ms)}
        self._counts: dict[str, tuple[int, int]] = {}

    @property
    def open(self) -> tuple[Case, ...]:
        """Those that may be run again, or once more."""
        return tuple(result.case for result in self._first.values())

    @property
    def waiting(self) -> tuple[Case, ...]:
        """Those that were not run again at all."""
        return tuple(case for case in self.open if case.id not in self._counts)

    def ran_alone(self, rerun: CaseResult) -> None:
        """A case was run with nothing beside it."""
        self._ran(rerun, alone=True)

    def ran_beside(self, rerun: CaseResult) -> None:
        """A case was run with others beside it, as it was the first time."""
        self._ran(rerun, alone=False)

    def drop(self, case: Case, reason: str = "") -> None:
        """A case is not run again any more.

        Args:
            reason: why nothing is known of it; none if it is settled otherwise.
        """
        first = self._first.pop(case.id, None)
        if first is not None and reason:
            self._settle(replace(first, not_run_again=reason))

    def _ran(self, rerun: CaseResult, *, alone: bool) -> None:
        name = rerun.case.id
        first = self._first.get(name)
        if first is None:
            return
        if rerun.verdict is Verdict.UNTESTABLE:
            self.drop(rerun.case, rerun.reason)
            return
        runs, same = self._counts.get(name, (0, 0) if alone else (1, 1))
        failed = rerun.verdict in (Verdict.FAIL, Verdict.ERROR)
        self._counts[name] = runs + 1, same + failed
        self._settle(replace(first, stability=Stability(runs + 1, same + failed, alone=alone)))

    def leave(self, reason: str) -> int:
        """Say of those that were not run again why; how many these are."""
        left = self.waiting
        for case in left:
            self._settle(replace(self._first[case.id], not_run_again=reason))
        return len(left)
