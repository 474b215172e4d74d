"""Expected failures: what a target file says will fail, why, and until when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

from relaykit.config import Document, load_yaml, problems, suggest
from relaykit.conformance.loader import schema
from relaykit.errors import UsageError

KEY = "expected_failures"


@dataclass(frozen=True, slots=True)
class Expectation:
    """An expected failure, of one case or of one requirement; `until` is the last day on which it excuses."""

    case: str | None
    requirement: str | None
    reason: str
    place: str
    until: date | None = None

    @property
    def subject(self) -> str:
        return self.case or self.requirement or ""


def read_expectations(document: Document, base: Path) -> tuple[Expectation, ...]:
    """The expected failures of a target file whose shape is right: its own, or those of the file it names.

    Raises:
        UsageError: that file is no list of expected failures.
    """
    given = document.data.get(KEY, ())
    at = f"/{KEY}"
    if isinstance(given, str):
        document, at = read_list(base / given), ""
        given = document.data
    return tuple(_expectation(document, f"{at}/{index}", entry) for index, entry in enumerate(given))


def read_list(path: Path) -> Document:
    """The expected failures in a file of their own; one that does not exist (yet) holds none.

    Raises:
        UsageError: it is no list of expected failures.
    """
    if not path.exists():
        return Document(str(path), [], MappingProxyType({}))
    document = load_yaml(path)
    if document.data is None:
        return Document(str(path), [], document.lines)
    found = problems(document, dict(schema("target")["$defs"][KEY]))
    if found:
        raise UsageError("\n".join(str(problem) for problem in found))
    return document


def _expectation(document: Document, pointer: str, entry: Mapping[str, Any]) -> Expectation:
    until = date.fromisoformat(entry["until"]) if "until" in entry else None
    place = document.place(pointer)
    return Expectation(entry.get("case"), entry.get("requirement"), entry["reason"], place, until)


def in_force(expected: Iterable[Expectation], today: date) -> tuple[tuple[Expectation, ...], tuple[str, ...]]:
    """The expectations whose day has not passed, and a line for each of the others."""
    known = tuple(expected)
    return tuple(e for e in known if e.until is None or today <= e.until), tuple(
        f"{e.place}: {e.subject} was expected to fail until {e.until} ({e.reason}); that excuses it no longer"
        for e in known
        if e.until is not None and today > e.until
    )


def excuse(expected: Iterable[Expectation], broken: Iterable[str]) -> str | None:
    """Why the target file expects that all these requirements are broken; None: it does not."""
    reasons = {entry.requirement: entry.reason for entry in expected if entry.requirement}
    found = [reasons.get(name) for name in broken]
    known = [reason for reason in found if reason is not None]
    # All of it must be expected: an expectation never hides another fault.
    return "; ".join(dict.fromkeys(known)) if known and len(known) == len(found) else None


def check_expectations(
    expected: Iterable[Expectation], cases: Iterable[str], requirements: Iterable[str]
) -> None:
    """Refuse expected failures that name nothing.

    Raises:
        UsageError: with the place of each.
    """
    known_cases, known_requirements = set(cases), set(requirements)
    wrong = [
        f"{entry.place}: unknown {kind} {entry.subject!r}{suggest(entry.subject, known)}"
        for entry in expected
        for kind, name, known in (
            ("case", entry.case, known_cases),
            ("requirement", entry.requirement, known_requirements),
        )
        if name is not None and name not in known
    ]
    if wrong:
        raise UsageError("\n".join(wrong))
