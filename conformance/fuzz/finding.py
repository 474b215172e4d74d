"""What fuzzed frames have found."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from relaykit.conformance.fuzz.oracle import Duty
from relaykit.conformance.fuzz.trial import Failure


@dataclass(slots=True)
class Finding:
    """One disagreement, crash or hang.

    Attributes:
        kind: `not-refused`, `not-served`, `forwarded`, `connection`, `crash`, `shape`, `memory` or
            `unexplained`.
        message: what happened.
        requirements: that it breaks.
        failure: the smallest message that shows it; None: it did not show again.
        file: where its scenario was written.
        outcome: what replaying that said at once.
        expected: why the target file expects it; None: it does not.
    """

    kind: str
    message: str
    requirements: tuple[str, ...] = ()
    failure: Failure | None = None
    frame: Any = None
    file: str | None = None
    outcome: str | None = None
    expected: str | None = None


def kind_of(failure: Failure) -> str:
    """A failure in a word."""
    names: Iterable[str] = failure.requirements
    if failure.outcomes and set(names) & {"VAL-09", "VAL-11", "VAL-12"}:
        return "forwarded"
    if set(failure.outcomes[0].requirements) & {"VAL-13"} or not failure.outcomes[0].requirements:
        return "connection"
    return "not-served" if failure.template.duty is Duty.VALID else "not-refused"
