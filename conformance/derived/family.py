"""All derived cases: frames named, judged by the catalogue, made into cases. Built when first asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial

from relaykit.conformance.derived.binding import sample
from relaykit.conformance.derived.boundaries import boundaries
from relaykit.conformance.derived.drafts import Draft
from relaykit.conformance.derived.edits import value_at
from relaykit.conformance.derived.effects import effect_requirements
from relaykit.conformance.derived.faults import faults, server_only, typeless, unknown
from relaykit.conformance.derived.places import Place, bases, places
from relaykit.conformance.derived.play import play
from relaykit.conformance.derived.violations import combinations, violations
from relaykit.conformance.judge import strongest
from relaykit.conformance.results import Case
from relaykit.errors import KitDefect
from relaykit.schemas import Catalogue, FrameSpec, Validation

PREFIX = "derived"
NO_TYPE, UNKNOWN_TYPE = "no-type", "unknown-type"
"""In the place of a type, for messages that have none, or one that does not exist."""
ON_REFUSAL = ("VAL-11", "VAL-12", "VAL-13", "ERR-03", "ERR-04")
"""What holds for every refused frame: no effect, nothing forwarded, the connection lives, one error."""
THOROUGH = "send"
"""The type in which everything is tried that is the same for all types. Every server serves it."""
_OPERATIONS = {"${group": "create_group", "${conversation": "conversation"}


@dataclass(frozen=True, slots=True)
class Derived:
    """A derived frame as the suite plays it.

    Attributes:
        id: of its case.
        frame: its type; `no-type` or `unknown-type` where it has none.
        refusal: requirements that say it is to be refused; none for a valid one.
        served: requirements that say it is to be served; none for an invalid one.
    """

    id: str
    frame: str
    draft: Draft
    refusal: tuple[str, ...]
    served: tuple[str, ...]


@cache
def family(catalogue: Catalogue) -> Mapping[str, Derived]:
    """ID → every derived frame, by type and place, in the order of the catalogue.

    Raises:
        KitDefect: one is not what it is meant to be: valid, or invalid.
    """
    made: dict[str, Derived] = {}
    for frame, draft in _drafts(catalogue):
        each = _judged(catalogue, frame, draft)
        if made.setdefault(each.id, each) is not each:
            raise KitDefect(f"two derived frames are called {each.id}")
    return made


def _drafts(catalogue: Catalogue) -> Iterator[tuple[str, Draft]]:
    client = [spec for (way, _), spec in catalogue.frames.items() if way == "c2s"]
    yield from ((NO_TYPE, draft) for draft in typeless())
    yield from ((UNKNOWN_TYPE, draft) for draft in unknown(client[0]))
    for (way, name), spec in catalogue.frames.items():
        if way == "s2c" and name not in catalogue.types("c2s"):
            yield name, server_only(spec)
    known: set[str] = set()
    client.sort(key=lambda spec: spec.type != THOROUGH)
    for spec in client:
        yield from ((spec.type, draft) for draft in _of(catalogue, spec, known))


def _of(catalogue: Catalogue, spec: FrameSpec, known: set[str]) -> Iterator[Draft]:
    """The drafts of a type, without those that only repeat another one.

    Args:
        known: definitions that were tried thoroughly already; those of this type are added.
    """
    found = places(spec)
    seen: set[bytes] = set()

    def distinct(drafts: Iterable[Draft]) -> Iterator[Draft]:
        for draft in drafts:
            data, _ = draft.filled(sample())
            if data not in seen:
                seen.add(data)
                yield draft

    yield from distinct(faults(catalogue, spec, found, thorough=spec.type == THOROUGH))
    for place in found:
        definitions = _definitions(place)
        yield from distinct(violations(place, thorough=not definitions <= known))
        known |= definitions
    for place in found:
        yield from distinct(_decided(catalogue, combinations(place, _others(spec, place))))
    for place in found:
        yield from distinct(d for d in boundaries(place) if _is_valid(catalogue, d))
    for number, example in enumerate(bases(spec), 1):
        about = f"example {number} of its schema"
        yield from distinct([Draft("envelope", f"example-{number}", about, True, example)])


def _definitions(place: Place) -> set[str]:
    """What the constraints at a place have their names from: the shared types, or the place itself."""
    return {rule.pointer for rule in place.rules if rule.keyword in ("pattern", "type", "minLength", "enum")}


def _others(spec: FrameSpec, place: Place) -> dict[str, object]:
    """For each property of an object, a value from whichever example has one."""
    values: dict[str, object] = {}
    for base in bases(spec):
        here = value_at(base, place.path)
        for name, value in here.items() if isinstance(here, dict) else ():
            if value is not None:
                values.setdefault(name, value)
    return values


def _decided(catalogue: Catalogue, drafts: Iterable[Draft]) -> Iterator[Draft]:
    """Drafts of which the catalogue says whether they are valid."""
    for d in drafts:
        valid = _is_valid(catalogue, d)
        yield Draft(d.place, d.name, d.about, valid, d.template, d.text, d.aims)


def _is_valid(catalogue: Catalogue, draft: Draft) -> bool:
    data, _ = draft.filled(sample())
    return catalogue.validate(data, "c2s").valid


def _judged(catalogue: Catalogue, frame: str, draft: Draft) -> Derived:
    name = f"{PREFIX}/{frame}/{draft.place}/{draft.name}"
    verdict = catalogue.validate(draft.filled(sample())[0], "c2s")
    if verdict.valid != draft.valid:
        raise KitDefect(f"{name} is meant to be {'valid' if draft.valid else 'invalid'}, and is not")
    if draft.valid:
        return Derived(name, frame, draft, (), _served(catalogue, frame, draft))
    return Derived(
        name, frame, draft, refusal_of(catalogue, verdict, batch=draft.name.startswith("batch-")), ()
    )


def refusal_of(catalogue: Catalogue, verdict: Validation, *, batch: bool) -> tuple[str, ...]:
    """What a server breaks that lets this through: the rule of the schema, and the rule that schemas hold."""
    rules = catalogue.protocol.faults["c2s"]
    named: dict[str, None] = {"VAL-03": None} if batch else {}
    for finding in verdict.findings:
        if verdict.type is not None and finding.requirement != rules["undocumented"]:
            named[rules["schema"]] = None
        if finding.requirement is not None:
            named[finding.requirement] = None
    return tuple(named)


def _served(catalogue: Catalogue, frame: str, draft: Draft) -> tuple[str, ...]:
    """What a server breaks that refuses this."""
    named = ["VAL-22"]
    if draft.place == "envelope" and draft.name.startswith("with-"):
        named.append("ENV-07" if draft.name in ("with-sender_id", "with-device_id") else "ENV-06")
    if draft.name == "upper-case" and "|upper}" in str(draft.template):
        named.append("VAL-24")
    if any(aim.startswith("/$defs/token/") for aim in draft.aims):
        named.append("VAL-29")
    if draft.name == "null" or "null" in draft.name.split("-"):
        named.append("ENV-11")
    return tuple(name for name in named if name in catalogue.requirements)


def derived_cases(catalogue: Catalogue) -> tuple[Case, ...]:
    """Every derived frame as a case."""
    return tuple(case_of(catalogue, each) for each in family(catalogue).values())


def case_of(catalogue: Catalogue, each: Derived) -> Case:
    """The case that sends a derived frame."""
    draft = each.draft
    spec = catalogue.frames.get(("c2s", each.frame))
    area = catalogue.protocol.areas["VAL"].file
    grouped = draft.valid and "${group" in str(draft.template)
    if draft.valid:
        requirements = (*each.served, *effect_requirements(catalogue, each.frame, draft.template))
        title = f"{each.frame} is served: {draft.about}"
        catches = "A server that refuses, or drops, what the schema of the frame permits."
        operations = {name for mark, name in _OPERATIONS.items() if mark in str(draft.template)}
    else:
        smuggles = catalogue.protocol.faults["c2s"]["undocumented"] in each.refusal
        requirements = (*each.refusal, *(("VAL-09",) if smuggles else ()), *ON_REFUSAL)
        title = f"{each.frame} is refused: {draft.about}"
        catches = "A server that takes, forwards or dies of what the schema of the frame forbids."
        operations = set()
    if draft.place != "envelope":
        title += f", at {draft.place}"
    return Case(
        id=each.id,
        title=title,
        area=area,
        kind="derived",
        level=strongest(catalogue.requirements[name].level for name in (each.served or each.refusal)),
        requirements=tuple(dict.fromkeys(requirements)),
        catches=catches,
        capabilities=frozenset({spec.capability if spec else "core", *(("groups",) if grouped else ())}),
        operations=frozenset(operations),
        frames=frozenset({each.frame}) if (spec or ("s2c", each.frame) in catalogue.frames) else frozenset(),
        source=spec.source if spec else str(catalogue.root / "protocol.yaml"),
        run=partial(play, derived=each),
    )
