"""Frame pages: a frame's schema resolved, with its way, its answers, its rules and its examples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from relaykit.docs_gen.examples import valid_examples
from relaykit.docs_gen.fields import frame_fields
from relaykit.docs_gen.links import ERRORS, Names, area_of
from relaykit.docs_gen.model import Answer, Example, FrameView, Link, RequirementView, ScenarioView
from relaykit.schemas import Catalogue, Direction, FrameSpec, Route

_TO: Mapping[str, str] = {
    "user": "every device of the user that {by} names",
    "conversation": "the devices of the other members of the conversation that {by} names",
    "device": "the device that {by} names, which must be the same user's",
    "contacts": "the devices of the user's contacts",
}
_WHO: Mapping[str, str] = {
    "user": "the other user",
    "conversation": "other members",
    "device": "your other device",
    "contacts": "your contacts",
}


def other(direction: Direction) -> Direction:
    """The opposite direction."""
    return "s2c" if direction == "c2s" else "c2s"


def destination(route: Route) -> str:
    """Where a relayed frame goes, in words."""
    return _TO[route.to].format(by=f"`{route.by[1:].replace('/', '.')}`" if route.by else "")


def way(spec: FrameSpec, relayed: Route | None) -> tuple[tuple[str, ...], str]:
    """The stations of a frame, and in words where it goes."""
    if spec.direction == "c2s":
        if spec.route is None:
            return ("you", "server"), ""
        goes = f"The server checks it and passes it on to {destination(spec.route)}."
        return ("you", "server", _WHO[spec.route.to]), goes
    if relayed is None:
        return ("server", "you"), ""
    who = {"user": "another user", "conversation": "another member", "device": "your other device"}
    return (
        (who.get(relayed.to, "a contact"), "server", "you"),
        "Passed on by the server as its sender gave it, with what the server stamps.",
    )


def _link(names: Names, direction: Direction, name: str) -> Link:
    return Link(name, names.frame(name, direction) or "frames/index")


def _answers(spec: FrameSpec, names: Names) -> tuple[Answer, ...]:
    return tuple(
        Answer(
            _link(names, "s2c", reply.type),
            Link(reply.code, f"{ERRORS}#{reply.code}") if reply.code else None,
            reply.when,
        )
        for reply in spec.replies
    )


def _answered_by(spec: FrameSpec, names: Names) -> tuple[Link, ...]:
    """For an s2c frame: the c2s frames that bring it about."""
    found = [
        frame.type
        for frame in names.catalogue.frames.values()
        if frame.direction == "c2s"
        and ((frame.type == spec.type and frame.route) or any(r.type == spec.type for r in frame.replies))
    ]
    return tuple(_link(names, "c2s", name) for name in dict.fromkeys(found))


def _requirements(
    spec: FrameSpec, all_: Mapping[str, RequirementView], catalogue: Catalogue
) -> tuple[RequirementView, ...]:
    """First those that the schema names, then those that speak of the type."""
    named = dict.fromkeys([*spec.requirements, *_named_inside(spec.bundled.get("properties", {}))])
    spoken = [r.id for r in catalogue.requirements.values() if spec.type in r.frames]
    return tuple(all_[id_] for id_ in dict.fromkeys([*named, *spoken]) if id_ in all_)


def _named_inside(schema: Any) -> Iterable[str]:
    if isinstance(schema, Mapping):
        yield from schema.get("x-requirements", ())
        for key, inner in schema.items():
            if key not in ("examples", "x-requirements"):
                yield from _named_inside(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _named_inside(inner)


def frame_view(
    spec: FrameSpec,
    names: Names,
    invalid: tuple[Example, ...],
    requirements: Mapping[str, RequirementView],
    scenarios: Iterable[ScenarioView],
) -> FrameView:
    """Everything that a frame's page says.

    Args:
        spec: the frame.
        names: where everything is.
        invalid: examples of what the frame must not be.
        requirements: all requirement views, by ID.
        scenarios: the scenarios in which the frame appears, the plainest first.
    """
    catalogue = names.catalogue
    fields, rules = frame_fields(spec)
    back = catalogue.frames.get((other(spec.direction), spec.type))
    stations, note = way(spec, back.route if back and spec.direction == "s2c" else None)
    area, area_title = area_of(names, spec.requirements, spec.capability)
    shown = list(scenarios)
    return FrameView(
        type=spec.type,
        direction=spec.direction,
        title=spec.title,
        description=spec.description,
        area=area,
        area_title=area_title,
        capability=names.capability(spec.capability),
        since=spec.since,
        deprecated=spec.deprecated.note if spec.deprecated else None,
        replacement=_link(names, spec.direction, spec.deprecated.replacement) if spec.deprecated else None,
        way=stations,
        way_note=note,
        counterpart=Link(spec.type, f"frames/{other(spec.direction)}/{spec.type}") if back else None,
        answers=_answers(spec, names),
        answered_by=_answered_by(spec, names) if spec.direction == "s2c" else (),
        fields=fields,
        rules=rules,
        examples=valid_examples(spec, fields),
        invalid=invalid,
        requirements=_requirements(spec, requirements, catalogue),
        scenarios=tuple(Link(view.title, view.target) for view in shown),
        diagram=shown[0].diagram if shown else None,
        source="/".join(PurePath(spec.source).parts[-3:]),  # within the catalogue, the same everywhere
    )
