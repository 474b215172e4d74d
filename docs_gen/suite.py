"""What the suite knows: which cases prove which requirement, and how they ended when last run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relaykit.conformance.cases import load_cases, select
from relaykit.conformance.grammar import Scenario
from relaykit.errors import UsageError
from relaykit.schemas import Catalogue

DERIVED = "scenarios/derived"
"""The page of the derived cases: there are too many for a place of their own."""


@dataclass(frozen=True, slots=True)
class ListedCase:
    """A case of the suite, with what its metadata says.

    Attributes:
        basic: it belongs to the smallest run: profile `smoke`, and a target that declares no capability,
            states no limit and offers no control interface.
    """

    id: str
    title: str
    area: str
    kind: str
    requirements: tuple[str, ...]
    catches: str
    source: str
    scenario: Scenario | None
    basic: bool = False

    @property
    def target(self) -> str:
        """Where it is described."""
        if self.frame is not None:
            return f"{DERIVED}#{self.frame}"
        return f"scenarios/{self.id}" if self.scenario else f"scenarios/probes#{self.id}"

    @property
    def frame(self) -> str | None:
        """Of a derived case: the type whose schema it is derived from."""
        return self.id.split("/")[1] if self.kind == "derived" else None


@dataclass(frozen=True, slots=True)
class Results:
    """The last results: verdicts of cases and of requirements, and which run they are from."""

    name: str | None = None
    cases: Mapping[str, str] = field(default_factory=dict)
    requirements: Mapping[str, str] = field(default_factory=dict)


def listed_cases(catalogue: Catalogue) -> tuple[ListedCase, ...]:
    """Every case of the suite, in its own order.

    Raises:
        UsageError: a scenario is wrong, with its place.
    """
    cases = load_cases(catalogue)
    always = {name for name, each in catalogue.protocol.capabilities.items() if each.required}
    basic = {
        case.id
        for case in select(catalogue, cases, profile="smoke")
        if case.capabilities <= always and not case.operations and not case.limits
    }
    return tuple(
        ListedCase(
            case.id,
            case.title,
            case.area,
            case.kind,
            case.requirements,
            case.catches,
            _short(case.source),
            case.scenario,
            case.id in basic,
        )
        for case in cases
    )


def _short(source: str) -> str:
    """The place within the kit, the same on every machine and in every edit above it: no folders, no line."""
    path = source.rpartition(":")[0] or source
    folder, name = Path(path).parts[-2:] if len(Path(path).parts) > 1 else ("", path)
    return f"conformance/{folder}/{name}"


def read_report(path: Path | None) -> Results:
    """The results of a run, from the JSON report of `relaykit test`.

    Raises:
        UsageError: it cannot be read, or is no such report.
    """
    if path is None:
        return Results()
    try:
        report = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: not JSON: {error}") from error
    if not isinstance(report, dict) or not isinstance(report.get("cases"), list):
        raise UsageError(
            f"{path}: not a report of `relaykit test`: it has no list of cases",
            hint="write one with `relaykit test … --report json=report.json`",
        )
    target = report.get("target")
    return Results(
        str(target.get("name") or target.get("url")) if isinstance(target, dict) else path.name,
        _verdicts(report["cases"]),
        _verdicts(report.get("requirements", [])),
    )


def _verdicts(entries: Any) -> Mapping[str, str]:
    if isinstance(entries, dict):
        entries = [{"id": key, **value} for key, value in entries.items() if isinstance(value, dict)]
    return {
        str(entry["id"]): str(entry["verdict"])
        for entry in entries
        if isinstance(entry, dict) and "id" in entry and "verdict" in entry
    }
