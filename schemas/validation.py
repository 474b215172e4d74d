"""Judges a parsed frame by the schema of its own type, and says what is wrong with it.

Everything a reader sees is made from the way of a `Fault` through the schema and from the value found, so it
is the same whichever validator found it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

import jsonschema

from relaykit.errors import KitDefect
from relaykit.pointers import at_pointer, pointer_of
from relaykit.schemas import messages
from relaykit.schemas.faults import (
    KNOWN_DIFFERENCES,
    Fault,
    Faults,
    Path,
    fast,
    first,
    from_python,
    from_rust,
    is_large,
    slow,
    thinned,
    value_at,
)
from relaykit.schemas.flatten import deepest, flattened
from relaykit.schemas.model import DIRECTIONS, Direction, Engine, Finding, FrameSpec, Protocol, Severity
from relaykit.schemas.subschemas import subschemas
from relaykit.schemas.wording import kind_of, shorten

MAX_FINDINGS = 100
"""Findings that are listed for one frame; what is beyond is only counted."""

# Of several keywords that one string violates at one place, the first of these says it best.
_ABOUT_TEXT = ("minLength", "pattern", "format", "maxLength", "not")


# Tuples rather than dataclasses: they are made for every error of every broken frame.


class _Spot(NamedTuple):
    """Where a way ends: the keyword, what the schema says under it, and the requirement it stands for."""

    keyword: str
    limit: Any
    schema: Mapping[str, Any]
    requirement: str | None
    properties: frozenset[str]


class _Draft(NamedTuple):
    """A finding, and for one about alternatives where each of them failed."""

    finding: Finding
    branches: tuple[frozenset[str], ...] = ()


def quick_check(bundled: Sequence[Mapping[str, Any]]) -> Callable[[Any], bool]:
    """The bare check whether a parsed frame fits one of some bundled schemas without any finding."""
    schemas = [flattened(schema) for schema in bundled]
    check: Callable[[Any], bool] = fast(schemas[0] if len(schemas) == 1 else {"anyOf": schemas}).is_valid
    return check


class Judge:
    """The validators of one type in one direction, made when first needed.

    Args:
        spec: the frame.
        rules: what a fault breaks that the schema does not name (`Protocol.faults` of the direction).
    """

    def __init__(self, spec: FrameSpec, rules: Mapping[str, str]) -> None:
        self._spec = spec
        self._rules = rules
        self._spots: dict[Path, _Spot] = {}  # ways through the schema repeat; there are few

    @cached_property
    def is_valid(self) -> Callable[[Any], bool]:
        """Whether a parsed frame has no finding at all."""
        return quick_check([self._spec.bundled])

    @cached_property
    def deepest(self) -> float:
        """How many levels of objects and arrays a frame without any finding can have."""
        return deepest(flattened(self._spec.bundled))

    @cached_property
    def fast(self) -> Any:
        """jsonschema-rs, for its errors."""
        return fast(self._spec.bundled)

    @cached_property
    def reference(self) -> jsonschema.Draft202012Validator:
        """jsonschema, the reference of the field."""
        return slow(self._spec.bundled)

    @cached_property
    def _names(self) -> frozenset[str]:
        """The properties that the schema speaks of, wherever that is."""
        parts = [part for _, part in subschemas(self._spec.bundled)]
        named = (name for part in parts for key in ("properties", "required") for name in part.get(key, ()))
        return frozenset(named)

    @cached_property
    def _longest(self) -> int:
        """One item more than any array may have that the schema bounds."""
        return 1 + max((part.get("maxItems", 0) for _, part in subschemas(self._spec.bundled)), default=0)

    def faults(self, frame: dict[str, Any], engine: Engine, most: int | None = None) -> Faults:
        """What the validator (of `both`, the fast one) finds, or the first of it, not yet explained."""
        if engine == "jsonschema":
            return list(from_python(self.reference.iter_errors(frame)))
        if most is not None and is_large(frame, 10 * most):
            # It finds all of them before it gives the first: 0.3 s for an array that fills a frame. And it
            # copies what is wrong, several times where there are alternatives: most of it tells nothing new.
            found = list(first(self.fast, thinned(frame, self._names, most, self._longest)))
            return found or list(first(self.fast, frame))
        return list(islice(from_rust(self.fast.iter_errors(frame)), most))

    def weight(self, faults: Faults, frame: dict[str, Any], strict: bool) -> int:
        """How many errors the faults amount to, about: enough to tell which of two directions is meant."""
        weight = 0
        texts = set()
        for fault in faults:
            keyword = fault.way[-1]
            if keyword in _ABOUT_TEXT:
                texts.add(fault.path)
            elif keyword != "additionalProperties":
                weight += 1
            elif not self._lenient(strict):
                properties = self._spot(fault.way).properties
                weight += sum(name not in properties for name in value_at(frame, fault.path))
        return weight + len(texts)

    def _lenient(self, strict: bool) -> bool:
        return self._spec.direction == "s2c" and not strict

    def explain(
        self,
        faults: Faults,
        frame: dict[str, Any],
        engine: Engine,
        strict: bool,
        most: int | None = None,
    ) -> tuple[Finding, ...]:
        """The faults of a frame in words, errors first; of undocumented properties at most `most`.

        Raises:
            KitDefect: with engine `both`, if the validators disagree.
        """
        found = self._report(faults, frame, strict, most or MAX_FINDINGS)
        if engine == "both":
            other = self._report(self.faults(frame, "jsonschema"), frame, strict, MAX_FINDINGS)
            self._require_agreement(found, other, frame)
        return found

    def _report(self, faults: Faults, frame: dict[str, Any], strict: bool, most: int) -> tuple[Finding, ...]:
        lenient = self._lenient(strict)
        drafts: list[_Draft] = []
        seen = set()
        for fault in faults:
            if fault[:2] in seen:  # each missing property is an error of its own: explained together
                continue
            seen.add(fault[:2])
            self._explain(fault, frame, lenient, drafts, most)
            if len(drafts) > 10 * MAX_FINDINGS and any(d.finding.severity == "error" for d in drafts):
                break  # a frame with a million faults is invalid, and nobody reads them all
        return _in_order(_one_per_fault(drafts)) if len(drafts) > 1 else tuple(d.finding for d in drafts)

    def _require_agreement(
        self, found: tuple[Finding, ...], other: tuple[Finding, ...], frame: dict[str, Any]
    ) -> None:
        if len(found) > MAX_FINDINGS and len(other) > MAX_FINDINGS:
            return  # cut off in each validator's own order
        ours, theirs = ({(f.pointer, f.keyword) for f in findings} for findings in (found, other))
        odd = {
            (pointer, keyword)
            for pointer, keyword in ours ^ theirs
            if not any(known(at_pointer(frame, pointer), keyword) for known, _ in KNOWN_DIFFERENCES)
        }
        if odd:
            listed = "; ".join(
                f"{pointer or '(frame)'} {keyword} is reported only by "
                f"{'jsonschema-rs' if (pointer, keyword) in ours else 'jsonschema'}"
                for pointer, keyword in sorted(odd)
            )
            raise KitDefect(
                f"{self._spec.direction} {self._spec.type}: the validators disagree: {listed}",
                hint="please report it with the frame; --engine jsonschema-rs judges without comparing",
            )

    # --- from a way through the schema to findings

    def _spot(self, way: Path) -> _Spot:
        spot = self._spots.get(way)
        if spot is None:
            spot = self._spots[way] = _follow(way, self._spec, self._rules.get("schema"))
        return spot

    def _explain(self, fault: Fault, frame: Any, lenient: bool, drafts: list[_Draft], most: int) -> None:
        """Add what is to be said of a fault."""
        spot = self._spot(fault.way)
        keyword, requirement = spot.keyword, spot.requirement
        value = value_at(frame, fault.path)
        if fault.branches:
            self._explain_alternatives(fault, spot, value, frame, lenient, drafts, most)
            return
        if keyword == "additionalProperties" and spot.limit is False:
            self._explain_undocumented(fault.path, spot, value, lenient, drafts, most)
            return
        pointer = pointer_of(fault.path)
        if keyword == "required":
            for name in spot.limit:
                if name not in value:
                    text = messages.missing(name)
                    drafts.append(_Draft(Finding("error", pointer, keyword, text, requirement)))
        elif keyword == "dependentRequired":
            for name, others in spot.limit.items():
                for other in others if name in value else ():
                    if other not in value:
                        text = f"{messages.missing(other)}, and {shorten(name)} needs it"
                        drafts.append(_Draft(Finding("error", pointer, keyword, text, requirement)))
        else:
            text = messages.expectation(keyword, spot.limit, spot.schema, value)
            drafts.append(_Draft(Finding("error", pointer, keyword, text, requirement, shorten(value))))

    def _explain_undocumented(
        self,
        path: Path,
        spot: _Spot,
        value: Mapping[str, Any],
        lenient: bool,
        drafts: list[_Draft],
        most: int,
    ) -> None:
        requirement = self._rules.get("undocumented", spot.requirement)
        severity: Severity = "warning" if lenient else "error"
        extras = [name for name in value if name not in spot.properties]
        for name in extras[:most]:
            text = messages.undocumented(name, spot.properties)
            pointer = pointer_of((*path, name))
            drafts.append(
                _Draft(Finding(severity, pointer, spot.keyword, text, requirement, shorten(value[name])))
            )
        if len(extras) > most:
            text = f"and {len(extras) - most} more properties that are not documented"
            drafts.append(_Draft(Finding(severity, pointer_of(path), spot.keyword, text, requirement)))

    def _explain_alternatives(
        self,
        fault: Fault,
        spot: _Spot,
        value: Any,
        frame: Any,
        lenient: bool,
        drafts: list[_Draft],
        most: int,
    ) -> None:
        """Of alternatives that all fail, explain the one that was meant: not of another JSON type."""
        kinds: list[str] = []
        meant: list[tuple[Fault, ...]] = []
        for branch in fault.branches:
            ends = [self._spot(inner.way) for inner in branch if inner.path == fault.path]
            mistyped = [end.limit for end in ends if end.keyword == "type"]
            for limit in mistyped:
                kinds += [limit] if isinstance(limit, str) else limit
            if not mistyped:
                meant.append(branch)
        if len(meant) == 1:
            for inner in meant[0]:
                self._explain(inner, frame, lenient, drafts, most)
            return
        keyword = spot.keyword if meant else "type"
        text = (
            messages.expectation(keyword, spot.limit, spot.schema, value)
            if meant
            else messages.kinds(kinds, value)
        )
        pointers = (frozenset(pointer_of(inner.path) for inner in branch) for branch in meant)
        drafts.append(
            _Draft(
                Finding("error", pointer_of(fault.path), keyword, text, spot.requirement, shorten(value)),
                tuple(pointers),
            )
        )


def type_finding(
    frame: Mapping[str, Any],
    direction: Direction | None,
    types: Mapping[Direction, frozenset[str]],
    protocol: Protocol,
) -> Finding:
    """Why no schema can be chosen for a frame: its type is missing, unknown or of the other direction.

    Without a direction the requirement stays open: each direction has its own.
    """
    rules = protocol.faults[direction] if direction else {}
    if "type" not in frame:
        text = 'has no "type", which names the frame and chooses its schema'
        return Finding("error", "", "type", text, rules.get("type-missing"))
    name = frame["type"]
    if not isinstance(name, str):
        text, rule = f"must be a string, not {kind_of(name)}", "type-missing"
    elif any(name in types[other] for other in DIRECTIONS):
        who, other = ("server", "s2c") if direction == "c2s" else ("client", "c2s")
        text, rule = f"{shorten(name)} is a type that only a {who} sends ({other})", "type-direction"
    else:
        known = types[direction] if direction else types["c2s"] | types["s2c"]
        text, rule = f"unknown type {shorten(name)}{messages.suggest(name, known)}", "type-unknown"
    return Finding("error", "/type", "type", text, rules.get(rule), shorten(name))


def _follow(way: Path, spec: FrameSpec, otherwise: str | None) -> _Spot:
    """Follow a way through the bundled schema; the deepest subschema with x-requirements names the rule."""
    requirement = spec.requirements[0] if spec.requirements else otherwise
    here: Any = spec.bundled

    def enter(schema: Any) -> Any:
        nonlocal requirement
        named = schema.get("x-requirements") if isinstance(schema, Mapping) else None
        requirement = named[0] if named else requirement
        return schema

    def through_references(wanted: str | int) -> None:
        nonlocal here
        while isinstance(here, Mapping) and "$ref" in here and wanted not in here:
            here = enter(at_pointer(spec.bundled, here["$ref"][1:]))

    for step in way[:-1]:
        through_references(step)
        here = enter(at_pointer(spec.bundled, here["$ref"][1:]) if step == "$ref" else here[step])
    through_references(way[-1])
    limit = here.get(way[-1]) if isinstance(here, Mapping) else None
    schema = here if isinstance(here, Mapping) else {}
    return _Spot(str(way[-1]), limit, schema, requirement, frozenset(schema.get("properties", ())))


# --- a list for readers -------------------------------------------------------------------------------------


def _one_per_fault(drafts: list[_Draft]) -> list[Finding]:
    """Leave out what is only another view of a fault that is reported already."""
    simple = [draft.finding for draft in drafts if not draft.branches]
    places = {finding.pointer for finding in simple}
    found = simple + [draft.finding for draft in drafts if draft.branches and not _implied(draft, places)]
    mistyped = {finding.pointer for finding in found if finding.keyword == "type"}
    best: dict[str, str] = {}
    for finding in found:
        if finding.keyword in _ABOUT_TEXT:
            rivals = (best.get(finding.pointer, finding.keyword), finding.keyword)
            best[finding.pointer] = min(rivals, key=_ABOUT_TEXT.index)
    kept: dict[tuple[str, str, str], Finding] = {}
    for finding in found:
        if finding.keyword != "type" and finding.pointer in mistyped:
            continue
        if finding.keyword in _ABOUT_TEXT and best[finding.pointer] != finding.keyword:
            continue
        kept.setdefault((finding.pointer, finding.keyword, finding.message), finding)
    return list(kept.values())


def _implied(draft: _Draft, places: set[str]) -> bool:
    """Whether some alternative failed only by values further in that have findings of their own."""
    below = f"{draft.finding.pointer}/"
    return any(
        branch <= places and all(pointer.startswith(below) for pointer in branch) for branch in draft.branches
    )


def _in_order(found: list[Finding]) -> tuple[Finding, ...]:
    """Errors before warnings, then by place; bounded."""
    found.sort(key=lambda finding: (finding.severity, finding.pointer, finding.keyword, finding.message))
    if len(found) <= MAX_FINDINGS:
        return tuple(found)
    rest = found[MAX_FINDINGS:]
    more = Finding(rest[0].severity, "", "more", "and more findings that are not listed")
    return (*found[:MAX_FINDINGS], more)
