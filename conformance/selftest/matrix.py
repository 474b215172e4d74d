"""The matrix of requirements and defects as data: what a run found, and what is committed with the suite.

The committed file holds only what the next run finds again; a report holds messages and times besides. Both
are as `matrix.schema.json` says.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from relaykit import __version__
from relaykit.config import Document, problems
from relaykit.conformance.reports.formats import save
from relaykit.conformance.selftest.judging import Kill, Outcome, Row, Verdicts
from relaykit.conformance.selftest.seeded import Seeded
from relaykit.conformance.selftest.show import Spent
from relaykit.errors import UsageError
from relaykit.schemas import Catalogue

COMMITTED = Path(__file__).with_name("matrix.json")
"""What the last run of everything found; the documentation is made from it."""
_MOST_KILLS = 3
"""Steps that are named for one requirement and defect: the most telling ones."""


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of the matrix."""
    found: dict[str, Any] = json.loads(Path(__file__).with_name("matrix.schema.json").read_text("utf-8"))
    return found


def committed() -> dict[str, Any]:
    """The matrix that is committed with the suite."""
    return read(COMMITTED)


def read(path: Path) -> dict[str, Any]:
    """A matrix from its file.

    Raises:
        UsageError: it is none.
    """
    try:
        data = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not a matrix: {error}") from error
    found = problems(Document(str(path), data, {}), schema())
    if found:
        raise UsageError("\n".join(map(str, found[:3])))
    return dict(data)


def as_data(
    catalogue: Catalogue,
    verdicts: Sequence[Verdicts],
    rows: Sequence[Row],
    *,
    sound: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    spent: Spent | None = None,
) -> dict[str, Any]:
    """The matrix.

    Args:
        sound: what the cases found in the server without a defect.
        options: those of the run; with them it is a report, which tells more.
    """
    told = options is not None
    data: dict[str, Any] = {
        "protocol": {"name": catalogue.protocol.name, "version": catalogue.protocol.version},
        "summary": {
            "defects": _counted(verdict.outcome.value for verdict in verdicts),
            "requirements": _counted(row.verdict for row in rows),
        },
        "requirements": [_row(row) for row in rows],
        "defects": [_defect(verdict, told=told) for verdict in verdicts],
    }
    if told:
        data["kit"] = {"name": "relaykit", "version": __version__}
        data["options"] = dict(options or {})
        data["duration_s"], data["cpu_s"] = (spent.wall_s, spent.cpu_s) if spent else (None, None)
        data["sound"] = list(sound)
    return data


def write(path: Path, data: Mapping[str, Any]) -> None:
    """Write the matrix as a file that changes line by line, making its folder.

    Raises:
        UsageError: it cannot be written.
    """
    save((json.dumps(data, indent=1, ensure_ascii=False) + "\n").encode(), path)


def recorded(data: Mapping[str, Any], defects: Sequence[Seeded]) -> tuple[Verdicts, ...]:
    """What a matrix says of these defects, where it says anything of what they are now."""
    known = {one["id"]: one for one in data["defects"]}
    found = []
    for defect in defects:
        one = known.get(defect.id)
        if one is None or set(one["breaks"]) != set(defect.breaks):
            continue
        outcome = Outcome(one["outcome"])
        told = {name: Outcome(said) for name, said in one.get("requirements", {}).items()}
        kills = {
            name: tuple(Kill(kill["case"], kill["step"], kill.get("message", "")) for kill in kills)
            for name, kills in one["kills"].items()
        }
        outcomes = dict.fromkeys(defect.breaks, outcome) | told
        found.append(Verdicts(defect, outcome, outcomes, kills, reason=one.get("reason", "")))
    return tuple(found)


def drift(data: Mapping[str, Any], verdicts: Iterable[Verdicts]) -> list[str]:
    """Where a matrix no longer says what a run has found; only of defects that ran, and were judged.

    A defect may be killed by more cases than the matrix names, so that it must name one of them.
    """
    known = {one["id"]: one for one in data["defects"]}
    lines: list[str] = []
    for verdict in verdicts:
        there = known.get(verdict.defect.id)
        if there is None:
            lines.append(f"{verdict.defect.id} is not in it")
            continue
        if verdict.outcome is Outcome.ERROR:
            continue  # that is about the suite
        if there["outcome"] != verdict.outcome.value or set(there["breaks"]) != set(verdict.defect.breaks):
            lines.append(f"{verdict.defect.id} was {there['outcome']}, and is {verdict.outcome.value}")
            continue
        for name, kills in verdict.kills.items():
            found = {kill.case for kill in kills}
            if found and not found & {kill["case"] for kill in there["kills"][name]}:
                lines.append(f"{verdict.defect.id}: the cases it names for {name} no longer kill it")
    return lines


def _counted(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _row(row: Row) -> dict[str, Any]:
    data: dict[str, Any] = {
        "id": row.id,
        "level": row.level,
        "verdict": row.verdict,
        "defects": list(row.defects),
    }
    return {**data, "reason": row.reason} if row.reason else data


def _defect(verdict: Verdicts, *, told: bool) -> dict[str, Any]:
    defect = verdict.defect
    data: dict[str, Any] = {
        "id": defect.id,
        "title": defect.title,
        "area": defect.area,
        "setup": defect.setup,
        "breaks": list(defect.breaks),
        "outcome": verdict.outcome.value,
        "kills": {
            name: [_kill(kill, told=told) for kill in kills[: None if told else _MOST_KILLS]]
            for name, kills in verdict.kills.items()
        },
    }
    if verdict.outcome is not Outcome.KILLED:
        data["requirements"] = {name: outcome.value for name, outcome in verdict.requirements.items()}
        if verdict.reason:
            data["reason"] = verdict.reason
    if told:
        data |= {
            "elsewhere": list(verdict.elsewhere),
            "cases": verdict.cases,
            "duration_s": verdict.duration_s,
        }
    return data


def _kill(kill: Kill, *, told: bool) -> dict[str, str]:
    data = {"case": kill.case, "step": kill.step}
    return {**data, "message": kill.message} if told else data
