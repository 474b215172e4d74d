"""Requirements with what proves them: the cases, and their last results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from relaykit.docs_gen.links import ERRORS, Names
from relaykit.docs_gen.model import CaseView, Link, Proof, RequirementView
from relaykit.docs_gen.suite import ListedCase, Results
from relaykit.schemas import Requirement


def requirement_views(
    names: Names, cases: Iterable[ListedCase], results: Results, proofs: Mapping[str, Proof]
) -> Mapping[str, RequirementView]:
    """Every requirement by its ID, in the order of the catalogue."""
    proving: dict[str, list[CaseView]] = {}
    for case in cases:
        view = CaseView(
            id=case.id,
            title=case.title,
            link=case.target,
            kind=case.kind,
            verdict=results.cases.get(case.id),
        )
        for id_ in case.requirements:
            proving.setdefault(id_, []).append(view)
    requirements = names.catalogue.requirements
    return {
        id_: _view(rule, names, tuple(proving.get(id_, ())), results.requirements.get(id_), proofs.get(id_))
        for id_, rule in requirements.items()
    }


def _view(
    requirement: Requirement,
    names: Names,
    cases: tuple[CaseView, ...],
    verdict: str | None,
    proof: Proof | None,
) -> RequirementView:
    area = names.catalogue.protocol.areas[requirement.area]
    return RequirementView(
        id=requirement.id,
        level=requirement.level,
        text=requirement.text,
        source=requirement.source,
        provenance=requirement.provenance,
        area=area.file,
        area_title=area.title,
        capability=requirement.capability,
        frames=tuple(Link(name, names.frame(name) or "frames/index") for name in requirement.frames),
        error_codes=tuple(Link(code, f"{ERRORS}#{code}") for code in requirement.error_codes),
        untested=requirement.untested,
        cases=cases,
        verdict=verdict,
        proof=proof,
    )
