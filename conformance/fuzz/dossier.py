"""What an inquiry knows: what was found, each fault once, and which messages need no more looking at."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from relaykit.conformance.environment import Environment
from relaykit.conformance.expectations import Expectation, excuse, in_force
from relaykit.conformance.fuzz.finding import Finding
from relaykit.conformance.fuzz.link import Sent
from relaykit.conformance.fuzz.suspects import signature
from relaykit.conformance.fuzz.trial import Failure, Template, sample_of


@dataclass(slots=True)
class Dossier:
    """What was found, and what is known.

    Attributes:
        most: findings that are not expected; then it is full.
        told: hears of each change of what is being made smaller.
        lapsed: what the target file expected until a day that has passed.
        unexamined: how many suspicions there was no more time for.
        shrinking: what is being made smaller, in words.
        started: when, by the monotonic clock.
        known: signatures of messages, and names of things, that were looked into.
    """

    env: Environment
    most: int
    told: Callable[[], None] = lambda: None
    findings: list[Finding] = field(default_factory=list)
    unexamined: int = 0
    shrinking: str = ""
    started: float = field(default_factory=time.monotonic)
    known: set[Any] = field(default_factory=set)
    lapsed: tuple[str, ...] = ()
    _expected: tuple[Expectation, ...] = ()

    def __post_init__(self) -> None:
        self._expected, self.lapsed = in_force(self.env.target.expected, datetime.now(UTC).date())

    @property
    def unexpected(self) -> int:
        """How many findings the target file does not expect."""
        return sum(finding.expected is None for finding in self.findings)

    @property
    def full(self) -> bool:
        return self.unexpected >= self.most

    def add(self, finding: Finding) -> None:
        """Note a finding."""
        finding.expected, finding.at_s = self._why(finding), time.monotonic() - self.started
        self.findings.append(finding)

    def add_once(self, finding: Finding) -> None:
        """Note a finding, unless one that is like it has been noted; a crash is counted then."""
        for index, other in enumerate(self.findings):
            if finding.is_like(other):
                if finding.kind == "crash":
                    self.findings[index] = other.once_more(finding)
                return
        self.add(finding)

    def _why(self, finding: Finding) -> str | None:
        if finding.kind == "crash":
            return None  # no requirement excuses one
        failure = finding.failure
        return self.excuse(failure) if failure else excuse(self._expected, finding.requirements)

    def excuse(self, failure: Failure) -> str | None:
        """Why the target file expects this; each failed check must be expected by what it breaks first."""
        return excuse(self._expected, (next(iter(o.requirements), "") for o in failure.outcomes))

    def expects(self, requirements: tuple[str, ...]) -> bool:
        """Whether the target file expects what breaks these."""
        return excuse(self._expected, requirements) is not None

    def like(self, sent: Sent) -> Any:
        """What makes a message that was sent like another."""
        return signature(self.env.catalogue, sent.data, sent.duty)

    def like_template(self, template: Template) -> Any:
        """The same of a template; what was watched for belongs to it."""
        alike = signature(self.env.catalogue, sample_of(template), template.duty)
        return (*alike, template.watch) if template.watch else alike

    def shrinks(self, failure: Failure) -> None:
        """Say what is being made smaller, and how small it is."""
        rule = next(iter(failure.requirements), "what stops it")
        self.shrinking = f"{rule}, {len(failure.data):,} bytes left"
        self.told()
