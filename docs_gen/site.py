"""Resolve: catalogue, cases, guides and results become one view model, in which every link is known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from relaykit.docs_gen.defects import linked_matrix
from relaykit.docs_gen.entries import entries
from relaykit.docs_gen.examples import invalid_examples
from relaykit.docs_gen.fields import merge, types_in_words
from relaykit.docs_gen.frames import frame_view
from relaykit.docs_gen.guides import read_guides, shown_scenarios
from relaykit.docs_gen.kept import kept
from relaykit.docs_gen.links import Names
from relaykit.docs_gen.material import Material
from relaykit.docs_gen.model import (
    Example,
    FrameView,
    Link,
    RequirementView,
    ScenarioView,
    SharedType,
    Site,
)
from relaykit.docs_gen.requirements import requirement_views
from relaykit.docs_gen.states import state_diagrams
from relaykit.docs_gen.suite import ListedCase, Results, Told
from relaykit.docs_gen.text import code
from relaykit.schemas import Catalogue, Direction, FrameSpec, Vector


def resolve(catalogue: Catalogue, told: Told, results: Results) -> Site:
    """Everything that the documentation says.

    Raises:
        UsageError: a guide or diagram names something that does not exist.
    """
    names, cases = Names(catalogue), told.cases
    matrix = linked_matrix(told.matrix, names, _case_target(catalogue, told))
    requirements = requirement_views(names, told, results, matrix.proofs)
    scenarios = tuple(_scenario(case, names, results) for case in cases if case.scene)
    frames = _frames(names, requirements, scenarios)
    material = Material(
        names, frames, requirements, {view.id: view for view in scenarios}, state_diagrams(catalogue), told
    )
    guides = read_guides(material)
    areas = {area.file: area.title for area in catalogue.protocol.areas.values()}
    return Site(
        name=catalogue.protocol.name,
        version=catalogue.protocol.version,
        digest=catalogue.digest[:12],
        frames=frames,
        requirements=tuple(requirements.values()),
        scenarios=scenarios,
        guides=guides,
        areas=areas,
        defects=matrix.defects,
        entries=entries(
            catalogue,
            frames,
            shared_types(catalogue, frames),
            requirements.values(),
            scenarios,
            (case for case in cases if case.kind == "probe"),
            guides,
        ),
        report=results.facts,
        run=", ".join(filter(None, (results.run, results.of_another(catalogue)))) or None,
    )


def _case_target(catalogue: Catalogue, told: Told) -> Callable[[str], str | None]:
    """Where a case is described. The shape of what comes is judged in every case, by the frame's schema."""
    targets = {case.id: case.target for case in told.cases}
    targets |= {
        f"{told.shape_prefix}{name.replace('_', '-')}": f"frames/s2c/{name}"
        for name in catalogue.types("s2c")
    }
    targets[f"{told.shape_prefix}messages"] = "guides/frames"  # of what has no type that is known
    return targets.get


def _frames(
    names: Names, requirements: Mapping[str, RequirementView], scenarios: tuple[ScenarioView, ...]
) -> tuple[FrameView, ...]:
    catalogue = names.catalogue
    invalid = kept("invalid examples", catalogue.digest, lambda: _invalid(catalogue))
    areas = [area.file for area in catalogue.protocol.areas.values()]
    usual = {id_: place for place, id_ in enumerate(shown_scenarios())}
    views = [
        frame_view(
            spec,
            names,
            invalid[key],
            requirements,
            _with_frame(scenarios, f"frames/{key[0]}/{key[1]}", usual),
        )
        for key, spec in catalogue.frames.items()
    ]
    ranked = sorted(
        views,
        key=lambda view: (
            areas.index(view.area) if view.area in areas else len(areas),
            view.direction,
            _place(catalogue.frames[view.direction, view.type]),
            view.type,
        ),
    )
    return tuple(ranked)


def _invalid(catalogue: Catalogue) -> dict[tuple[Direction, str], tuple[Example, ...]]:
    vectors: dict[tuple[str, str], list[Vector]] = {}
    for vector in catalogue.vectors():
        vectors.setdefault((vector.direction, vector.type), []).append(vector)
    return {key: invalid_examples(catalogue, vectors.get(key, ())) for key in catalogue.frames}


def _place(spec: FrameSpec) -> int:
    """Where a frame stands among those of its area: requirements begin with what begins a conversation."""
    numbers = (int(id_.partition("-")[2]) for id_ in spec.requirements[:1])
    return next(numbers, 0)


def _with_frame(
    scenarios: Iterable[ScenarioView], target: str, usual: Mapping[str, int]
) -> list[ScenarioView]:
    """The scenarios in which a frame appears, the most telling first: those that guides show."""

    def strangeness(view: ScenarioView) -> tuple[bool, bool, int, int]:
        errors = target != _ERROR and any(link.target == _ERROR for link in view.frames)
        return view.id not in usual, errors, usual.get(view.id, 0), _burden(view, target)

    found = [view for view in scenarios if any(link.target == target for link in view.frames)]
    return sorted(found, key=strangeness)


def _burden(view: ScenarioView, target: str) -> int:
    """How little a scenario shows a frame's usual life: crowds, and frames that come late in it."""
    targets = [link.target for link in view.frames]
    crowd, length = len(view.diagram.lifelines), len(view.diagram.rows)
    return 4 * targets.index(target) + 3 * crowd + abs(length - 7) - 5 * min(len(targets), 5)


_ERROR = "frames/s2c/error"


def _scenario(case: ListedCase, names: Names, results: Results) -> ScenarioView:
    scene = case.scene
    assert scene is not None  # the caller picked those that have one
    titles = {area.file: area.title for area in names.catalogue.protocol.areas.values()}
    return ScenarioView(
        id=case.id,
        title=case.title,
        area=case.area,
        area_title=titles.get(case.area, case.area),
        catches=case.catches,
        capabilities=tuple(names.capability(name) for name in scene.capabilities),
        requirements=tuple(
            Link(id_, names.requirement(id_) or "requirements/index") for id_ in case.requirements
        ),
        frames=tuple(Link(name, f"frames/{way}/{name}") for way, name in scene.frames),
        diagram=scene.diagram,
        verdict=results.cases.get(case.id),
        source=case.source,
        slow=scene.slow,
    )


def shared_types(catalogue: Catalogue, frames: tuple[FrameView, ...]) -> tuple[SharedType, ...]:
    """The scalars that have a form of their own, in the order of their names."""
    defs: dict[str, Mapping[str, Any]] = {}
    for spec in catalogue.frames.values():
        defs.update(spec.bundled.get("$defs", {}))
    used: dict[str, dict[str, Link]] = {}
    for view in frames:
        for field in view.fields:
            if field.kind:
                name = field.kind.target.partition("#")[2]
                used.setdefault(name, {})[view.target] = Link(view.type, view.target)
    return tuple(_shared(name, defs, _once(used[name].values())) for name in sorted(used))


def _shared(name: str, defs: Mapping[str, Mapping[str, Any]], used: tuple[Link, ...]) -> SharedType:
    merged = merge(defs[name], defs)
    return SharedType(
        name=name,
        title=merged.title or name,
        type=types_in_words(merged),
        description=merged.description,
        pattern=defs[name].get("pattern"),
        values=", ".join(code(str(value) for value in merged.enum or merged.known)),
        closed=bool(merged.enum),
        used=used,
    )


def _once(links: Iterable[Link]) -> tuple[Link, ...]:
    """One link per word: types that go both ways are named once."""
    return tuple({link.words: link for link in links}.values())
