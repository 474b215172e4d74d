"""What the suite knows: which cases prove which requirement, and how they ended when last run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relaykit.docs_gen.diagrams import Sequence
from relaykit.docs_gen.kept import kept
from relaykit.errors import UsageError
from relaykit.schemas import Catalogue, Direction

DERIVED = "scenarios/derived"
"""The page of the derived cases: there are too many for a place of their own."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What a scenario shows: the frames in it, each once, and its diagram."""

    capabilities: tuple[str, ...]
    frames: tuple[tuple[Direction, str], ...]
    diagram: Sequence
    slow: bool


@dataclass(frozen=True, slots=True)
class ListedCase:
    """A case of the suite, with what its metadata says.

    Attributes:
        basic: it belongs to the smallest run: profile `smoke`, and a target that declares no capability,
            states no limit and offers no control interface; and there is something to judge for it then.
        where: on which targets it has anything to judge, in words, if not on all.
    """

    id: str
    title: str
    area: str
    kind: str
    requirements: tuple[str, ...]
    catches: str
    source: str
    scene: Scene | None
    basic: bool
    where: str = ""

    @property
    def target(self) -> str:
        """Where it is described."""
        if self.frame is not None:
            return f"{DERIVED}#{self.frame}"
        return f"scenarios/{self.id}" if self.scene else f"scenarios/probes#{self.id}"

    @property
    def frame(self) -> str | None:
        """Of a derived case: the type whose schema it is derived from."""
        return self.id.split("/")[1] if self.kind == "derived" else None


@dataclass(frozen=True, slots=True)
class Told:
    """What the suite says of itself.

    Attributes:
        matrix: the committed matrix of requirements and defects.
        shape_prefix: how the IDs begin of what is judged in every case: the shape of the frames that come.
        target: the JSON Schema of target files.
    """

    cases: tuple[ListedCase, ...]
    matrix: Mapping[str, Any]
    shape_prefix: str
    target: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Results:
    """The last results: verdicts of cases and of requirements, and which run they are from.

    Attributes:
        name: what was judged.
        started: when, as the report has it.
        kit: the version of the kit that judged.
        digest: of the catalogue that the target was judged by, if the report says.
    """

    name: str | None = None
    cases: Mapping[str, str] = field(default_factory=dict)
    requirements: Mapping[str, str] = field(default_factory=dict)
    started: str | None = None
    kit: str | None = None
    digest: str | None = None

    @property
    def run(self) -> str:
        """The run in words: the target, when, and with which kit."""
        return ", ".join(
            filter(None, (self.name, self.started, f"relaykit {self.kit}" if self.kit else None))
        )

    @property
    def facts(self) -> Mapping[str, str | None] | None:
        """The same for programs; None: there are no results."""
        if self.name is None:
            return None
        return {"target": self.name, "started": self.started, "kit": self.kit, "catalogue": self.digest}

    def of_another(self, catalogue: Catalogue) -> str | None:
        """What to tell readers if the run was judged by another catalogue than the one that is shown."""
        if self.digest is None or self.digest == catalogue.digest:
            return None
        return "judged by another edition of the catalogue than this documentation shows"


def told(catalogue: Catalogue) -> Told:
    """What the suite says of itself, with every case in its own order.

    Raises:
        UsageError: a scenario is wrong, with its place.
    """

    def ask() -> Told:
        from relaykit.docs_gen.listing import ask_the_suite  # only here: the suite takes long to load

        return ask_the_suite(catalogue)

    return kept("suite", catalogue.digest, ask)


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
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not JSON: {error}") from error
    if not isinstance(report, dict) or not isinstance(report.get("cases"), list):
        raise _no_report(path, "it has no list of cases")
    if not isinstance(report.get("requirements"), list):
        raise _no_report(path, "its requirements are no list")
    name = str(_within(report, "target", "name") or _within(report, "target", "url") or path.name)
    stated = (
        report.get("started"),
        _within(report, "kit", "version"),
        _within(report, "protocol", "catalogue"),
    )
    facts = (fact if isinstance(fact, str) else None for fact in stated)
    return Results(name, _verdicts(report["cases"]), _verdicts(report["requirements"]), *facts)


def _no_report(path: Path, why: str) -> UsageError:
    return UsageError(
        f"{path}: not a report of `relaykit test`: {why}",
        hint="write one with `relaykit test … --report json=report.json`",
    )


def _within(report: Mapping[str, Any], part: str, key: str) -> Any:
    inner = report.get(part)
    return inner.get(key) if isinstance(inner, dict) else None


def _verdicts(entries: list[Any]) -> Mapping[str, str]:
    return {
        str(entry["id"]): str(entry["verdict"])
        for entry in entries
        if isinstance(entry, dict) and "id" in entry and "verdict" in entry
    }
