"""What fuzzed frames have found."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from relaykit.conformance.derived.violations import STOWAWAY
from relaykit.conformance.fuzz.oracle import Duty
from relaykit.conformance.fuzz.surplus import SURPLUS
from relaykit.conformance.fuzz.trial import FORWARDED, Failure
from relaykit.conformance.fuzz.watching import Watch, shape
from relaykit.schemas import Catalogue


@dataclass(slots=True)
class Finding:
    """One disagreement, crash or hang.

    Attributes:
        kind: `not-refused`, `not-served`, `forwarded`, `connection`, `crash`, `shape`, `twice`, `memory` or
            `unexplained`.
        message: what happened.
        requirements: that it breaks.
        failure: the smallest message that shows it; None: it did not show again.
        file: where its scenario was written.
        outcome: what replaying that said at once.
        expected: why the target file expects it; None: it does not.
        suspects: devices, and what they sent: one of it may be why, where nothing could be convicted.
        folder: where they were written, a file each.
        died: what makes a crash like others, such as the error that the target wrote of; None: it is none.
        times: how often the target died so.
        at_s: seconds after the start, when it was found.
        untried: time was up before all suspects were sent alone.
        tried: how many messages were sent alone, the likeliest, and how many may be why; None: all of those.
    """

    kind: str
    message: str
    requirements: tuple[str, ...] = ()
    failure: Failure | None = None
    frame: Any = None
    file: str | None = None
    outcome: str | None = None
    expected: str | None = None
    suspects: tuple[tuple[str, bytes], ...] = ()
    folder: str | None = None
    died: str | None = None
    times: int = 1
    at_s: float = 0.0
    untried: bool = False
    tried: tuple[int, int] | None = None

    def is_like(self, other: Finding) -> bool:
        """Whether both are most likely one fault: messages of one type break the same; a target dies alike.

        Which of a frame's rules a dying target breaks, and of which frame it dies, may differ from time to
        time.
        """
        if self.kind == other.kind == "crash":
            return self.died == other.died
        mine, its = ((each.kind, each.requirements, each.frame) for each in (self, other))
        return mine == its

    def once_more(self, other: Finding) -> Finding:
        """This crash, when there was another one like it, of which more may be known."""
        best = other if self.failure is None and other.failure is not None else self
        return replace(best, times=self.times + 1)


def kind_of(failure: Failure) -> str:
    """A failure in a word."""
    if failure.template.watch is not None:
        return failure.template.watch.kind
    names: Iterable[str] = failure.requirements
    if failure.outcomes and set(names) & (FORWARDED | SURPLUS):
        return "forwarded"
    if set(failure.outcomes[0].requirements) & {"VAL-13"} or not failure.outcomes[0].requirements:
        return "connection"
    return "not-served" if failure.template.duty is Duty.VALID else "not-refused"


def misshapen(
    catalogue: Catalogue, frames: Iterable[Any], known: set[Any]
) -> Iterator[tuple[Finding, Watch]]:
    """What is wrong with frames that came and that their schema does not permit, each once.

    Args:
        known: what was told already; it grows.

    Returns:
        with each what to look for when it is tried again.
    """
    for frame in frames:
        verdict = catalogue.validate(frame, "s2c")
        for each in verdict.findings:
            smuggled = STOWAWAY in each.pointer
            key = (verdict.type, each.pointer, each.keyword)
            if (each.severity != "error" and not smuggled) or key in known:
                continue
            known.add(key)
            rule = "VAL-09" if smuggled else each.requirement
            said = f"a {verdict.type or 'message'} came that is misshapen: {each.pointer}: {each.message}"
            watch = shape(rule or "", said, verdict.type, each.pointer, each.keyword)
            yield Finding("shape", said, (rule,) if rule else (), frame=frame), watch


_TOO_MUCH = "memory grows by all that is sent in a while, and no step of a scenario sees it"
_UNTRIED = "time was up before each message was sent alone"
_TOGETHER = "no message shows it when it is sent alone"
_GONE = "the target did not come back, so that no message could be tried alone; --launch starts it again"


def without_file(finding: Finding, again: str, gone: bool) -> str | None:
    """Why a finding leaves no scenario, and how to look on; None: it leaves one, or is expected.

    Args:
        again: the command that makes the same choices.
        gone: the target did not come back.
    """
    if finding.failure is not None or finding.expected is not None:
        return None
    why = (
        _TOO_MUCH
        if finding.kind == "memory"
        else _GONE
        if gone
        else _UNTRIED
        if finding.untried
        else _TOGETHER
    )
    if why is _TOGETHER and finding.tried is not None and finding.tried[0] < finding.tried[1]:
        alone, every = finding.tried
        why = f"of {every:,} messages the {alone:,} likeliest were sent alone, and none shows it"
    if finding.folder is None:
        return f"{why}; the same choices again: {again}"
    count = len(finding.suspects)
    return f"{why}; {count} messages may be why, and go first with: {again} --corpus {finding.folder}"


def type_in(data: bytes) -> Any:
    """The type that a message names, if it is an object."""
    try:
        frame = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return frame.get("type") if isinstance(frame, dict) else None
