"""Requirements with what proves them: the cases, and their last results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from relaykit.docs_gen.links import ERRORS, Names
from relaykit.docs_gen.model import CaseView, Link, Proof, RequirementView
from relaykit.docs_gen.suite import DERIVED, ListedCase, Results, Told
from relaykit.schemas import Requirement
from relaykit.schemas.wording import counted


def requirement_views(
    names: Names, told: Told, results: Results, proofs: Mapping[str, Proof]
) -> Mapping[str, RequirementView]:
    """Every requirement by its ID, in the order of the catalogue."""
    proving: dict[str, list[CaseView]] = {}
    derived: dict[str, list[ListedCase]] = {}
    for case in told.cases:
        if case.frame is not None:
            for id_ in case.requirements:
                derived.setdefault(id_, []).append(case)
            continue
        view = CaseView(
            id=case.id,
            title=case.title,
            link=case.target,
            kind=case.kind,
            verdict=results.cases.get(case.id),
        )
        for id_ in case.requirements:
            proving.setdefault(id_, []).append(view)
    for id_, group in derived.items():
        proving.setdefault(id_, []).extend(_together(group, results))
    for id_, proof in proofs.items():
        if id_ not in proving:
            proving[id_] = list(_throughout(id_, proof, told.shape_prefix, results))
    requirements = names.catalogue.requirements
    return {
        id_: _view(rule, names, tuple(proving.get(id_, ())), results.requirements.get(id_), proofs.get(id_))
        for id_, rule in requirements.items()
    }


def _together(cases: list[ListedCase], results: Results) -> Iterator[CaseView]:
    """Derived cases, those of one type as one; those of many types all as one."""
    frames: dict[str, list[ListedCase]] = {}
    for case in cases:
        frames.setdefault(str(case.frame), []).append(case)
    if len(frames) > _FRAMES_SHOWN:
        yield _as_one(
            "derived/*", f"{len(cases)} derived cases of {len(frames)} types", DERIVED, cases, results
        )
        return
    for name, group in frames.items():
        title = f"{counted(len(group), 'derived case')} of `{name}`"
        yield _as_one(f"derived/{name}/*", title, group[0].target, group, results)


def _throughout(id_: str, proof: Proof, prefix: str, results: Results) -> Iterator[CaseView]:
    """What judges a requirement in every case: the shape of what comes. The matrix tells where it caught."""
    caught = {
        link.words: link
        for defect in proof.defects
        for rule, _, cases in defect.breaks
        for link in cases
        if rule.words == id_ and link.words.startswith(prefix)
    }
    for name, link in sorted(caught.items()):
        kind = link.target.removeprefix("frames/s2c/")
        about = f"`{kind}`" if kind != link.target else "message"
        title = f"in every case: each {about} that the server sends"
        yield CaseView(name, title, link.target, "shape", results.cases.get(name))


def _as_one(id_: str, title: str, link: str, cases: list[ListedCase], results: Results) -> CaseView:
    verdicts = {results.cases[case.id] for case in cases if case.id in results.cases}
    worst = next((verdict for verdict in _FROM_WORST if verdict in verdicts), None)
    return CaseView(id_, title, link, "derived", worst)


_FRAMES_SHOWN = 3
_FROM_WORST = ("error", "fail", "warn", "untestable", "pass", "not-applicable")


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
        presupposes=tuple(
            Link(name, names.requirement(name) or "requirements/index") for name in requirement.presupposes
        ),
        untested=requirement.untested,
        cases=cases,
        verdict=verdict,
        proof=proof,
    )
