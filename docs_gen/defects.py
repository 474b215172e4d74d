"""Seeded defects: servers with one fault each, and whether the suite found it, from the committed matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relaykit.docs_gen.links import Names
from relaykit.docs_gen.model import DefectView, Link, Proof

_OPEN = ("unproven", "not-run")
CaseTarget = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Matrix:
    """The matrix: every defect, and per requirement whether its defects are caught."""

    defects: tuple[DefectView, ...]
    proofs: Mapping[str, Proof]


def linked_matrix(data: Mapping[str, Any], names: Names, case_target: CaseTarget) -> Matrix:
    """The matrix with its links.

    Args:
        data: as it is committed with the suite.
        case_target: where a case of the suite is described.
    """
    defects = tuple(_defect(one, names, case_target) for one in data["defects"])
    by_id = {defect.id: defect for defect in defects}
    proofs = {
        row["id"]: Proof(
            row["verdict"],
            tuple(by_id[name] for name in row["defects"] if name in by_id),
            row.get("reason"),
        )
        for row in data["requirements"]
        if row["verdict"] not in _OPEN
    }
    return Matrix(defects, proofs)


def _defect(one: Mapping[str, Any], names: Names, case_target: CaseTarget) -> DefectView:
    outcomes, kills = one.get("requirements", {}), one["kills"]
    return DefectView(
        id=one["id"],
        title=one["title"],
        area=one["area"],
        setup=one["setup"],
        outcome=one["outcome"],
        breaks=tuple(
            (
                Link(id_, target),
                outcomes.get(id_, one["outcome"]),
                _cases(kills.get(id_, ()), case_target),
            )
            for id_ in one["breaks"]
            if (target := names.requirement(id_))
        ),
        reason=one.get("reason"),
    )


def _cases(kills: Iterable[Mapping[str, str]], case_target: CaseTarget) -> tuple[Link, ...]:
    found = dict.fromkeys(kill["case"] for kill in kills)
    return tuple(Link(case, target) for case in found if (target := case_target(case)))
