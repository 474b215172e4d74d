"""Judges a parsed frame by the schema of its own type, and says what is wrong with it.

Both validators' errors are brought into one form (`_Fault`): where in the frame, and by which way through the
schema. Everything a reader sees is made from that way and from the value found, so it is the same for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import jsonschema
import jsonschema_rs

from relaykit.config import suggest
from relaykit.errors import KitDefect
from relaykit.schemas import messages
from relaykit.schemas.model import DIRECTIONS, Direction, Engine, Finding, FrameSpec
from relaykit.schemas.strict_json import at_pointer, kind_of, pointer_of, shorten, thaw

MAX_FINDINGS = 100
"""Findings that are listed for one frame; what is beyond is only counted."""

_Path = tuple[str | int, ...]
_UNDOCUMENTED = ("additionalProperties", "unevaluatedProperties")
# Of several keywords that one string violates at one place, the first of these says it best.
_ABOUT_TEXT = ("minLength", "pattern", "format", "maxLength", "not")


@dataclass(frozen=True, slots=True)
class _Fault:
    """An error of either validator: the place in the frame, and the way through the schema to the keyword.

    The way may name `$ref` steps or leave them out (the validators differ). `branches` are the faults of each
    alternative of an anyOf or oneOf that none of them fits.
    """

    path: _Path
    way: _Path
    branches: tuple[tuple[_Fault, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a fault's way ends: the keyword, what the schema says under it, and whose requirement that is."""

    keyword: str
    limit: Any
    schema: Mapping[str, Any]
    requirement: str | None


class Judge:
    """The validators of one type in one direction, made when first needed."""

    def __init__(self, spec: FrameSpec) -> None:
        self.spec = spec

    @cached_property
    def fast(self) -> Any:
        """jsonschema-rs. Its linear-time regular expressions keep hostile values harmless."""
        return jsonschema_rs.Draft202012Validator(
            thaw(self.spec.bundled),
            validate_formats=True,
            offline=True,
            ignore_unknown_formats=False,
            pattern_options=jsonschema_rs.RegexOptions(),
        )

    @cached_property
    def reference(self) -> jsonschema.Draft202012Validator:
        """jsonschema, the reference of the field."""
        return jsonschema.Draft202012Validator(
            thaw(self.spec.bundled), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )

    def findings(self, frame: dict[str, Any], engine: Engine, strict: bool) -> tuple[Finding, ...]:
        """What is wrong with a frame of this type, errors first.

        Raises:
            KitDefect: with engine `both`, if the validators disagree.
        """
        if engine == "jsonschema":
            return self._report(_from_python(self.reference.iter_errors(frame)), frame, strict)
        found = (
            ()
            if self.fast.is_valid(frame)
            else self._report(_from_rust(self.fast.iter_errors(frame)), frame, strict)
        )
        if engine == "both":
            other = self._report(_from_python(self.reference.iter_errors(frame)), frame, strict)
            self._require_agreement(found, other, frame)
        return found

    def _report(self, faults: Iterable[_Fault], frame: dict[str, Any], strict: bool) -> tuple[Finding, ...]:
        lenient = self.spec.direction == "s2c" and not strict
        found = {finding: None for fault in faults for finding in _explain(fault, self.spec, frame, lenient)}
        return _in_order(_one_per_fault(list(found)))

    def _require_agreement(
        self, found: tuple[Finding, ...], other: tuple[Finding, ...], frame: dict[str, Any]
    ) -> None:
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
                f"{self.spec.direction} {self.spec.type}: the validators disagree: {listed}",
                hint="please report it with the frame; --engine jsonschema-rs judges without comparing",
            )


KNOWN_DIFFERENCES: tuple[tuple[Callable[[Any, str], bool], str], ...] = (
    (
        lambda value, _keyword: isinstance(value, str) and value.endswith("\n"),
        "Python's `$` matches before a final line feed, ECMA 262's and Rust's do not",
    ),
)
"""Differences between the validators that are no defect: which value (and keyword) they touch, and why."""


def type_finding(
    frame: Mapping[str, Any], direction: Direction, types: Mapping[Direction, frozenset[str]]
) -> Finding:
    """Why no schema could be chosen for a frame: its type is missing, unknown or of the other direction."""
    if "type" not in frame:
        return Finding("error", "", "type", 'has no "type": it names the frame and decides its schema')
    name = frame["type"]
    if not isinstance(name, str):
        return Finding(
            "error", "/type", "type", f"must be a string, not {kind_of(name)}", None, shorten(name)
        )
    for other in DIRECTIONS:
        if other != direction and name in types[other]:
            who = "server" if other == "s2c" else "client"
            text = f"{shorten(name)} is a type that only a {who} sends ({other})"
            return Finding("error", "/type", "type", text, None, shorten(name))
    text = f"unknown type {shorten(name)}{suggest(name[:64], types[direction])}"
    return Finding("error", "/type", "type", text, None, shorten(name))


# --- from the validators' errors ----------------------------------------------------------------------------


def _from_rust(errors: Iterable[Any]) -> Iterator[_Fault]:
    for error in errors:
        context = getattr(error.kind, "context", ())
        branches = tuple(tuple(_from_rust(branch)) for branch in context or ())
        yield _Fault(tuple(error.instance_path), tuple(error.evaluation_path), branches)


def _from_python(errors: Iterable[Any]) -> Iterator[_Fault]:
    for error in errors:
        branches: dict[Any, list[_Fault]] = {}
        for inner, fault in zip(error.context, _from_python(error.context), strict=True):
            branches.setdefault(inner.schema_path[0], []).append(fault)
        yield _Fault(
            tuple(error.absolute_path),
            tuple(error.absolute_schema_path),
            tuple(tuple(faults) for faults in branches.values()),
        )


def _spot(way: _Path, spec: FrameSpec) -> _Spot:
    """Follow a way through the bundled schema; the deepest subschema with x-requirements names the rule."""
    root = spec.bundled
    here: Any = root
    requirement = spec.requirements[0] if spec.requirements else None
    for step in (*way[:-1], None):
        wanted = way[-1] if step is None else step
        while isinstance(here, Mapping) and "$ref" in here and wanted not in here:
            here = at_pointer(root, here["$ref"][1:])
            requirement = _first(here, requirement)
        if step is None:
            break
        here = at_pointer(root, here["$ref"][1:]) if step == "$ref" else here[step]
        requirement = _first(here, requirement)
    keyword = str(way[-1])
    if isinstance(here, Mapping) and way[-1] in here:
        return _Spot(keyword, here[way[-1]], here, requirement)
    return _Spot(keyword, None, here if isinstance(here, Mapping) else {}, requirement)


def _first(schema: Any, otherwise: str | None) -> str | None:
    named = schema.get("x-requirements") if isinstance(schema, Mapping) else None
    return named[0] if named else otherwise


def _value_at(frame: Any, path: _Path) -> Any:
    for step in path:
        frame = frame[step]
    return frame


# --- to findings --------------------------------------------------------------------------------------------


def _explain(fault: _Fault, spec: FrameSpec, frame: Any, lenient: bool) -> Iterator[Finding]:
    spot = _spot(fault.way, spec)
    value = _value_at(frame, fault.path)
    pointer = pointer_of(fault.path)
    if fault.branches:
        yield from _explain_alternatives(fault, spot, spec, frame, lenient)
    elif spot.keyword == "required":
        for name in spot.limit:
            if name not in value:
                yield Finding("error", pointer, "required", messages.missing(name), spot.requirement)
    elif spot.keyword == "dependentRequired":
        for name, others in spot.limit.items():
            for other in others if name in value else ():
                if other not in value:
                    text = f"{messages.missing(other)}, and {shorten(name)} needs it"
                    yield Finding("error", pointer, spot.keyword, text, spot.requirement)
    elif spot.keyword == "additionalProperties" and spot.limit is False:
        severity: Literal["error", "warning"] = "warning" if lenient else "error"
        known = spot.schema.get("properties", {})
        for name, extra in value.items():
            if name not in known:
                text = messages.undocumented(name, spot.schema)
                at = pointer_of((*fault.path, name))
                yield Finding(severity, at, spot.keyword, text, spot.requirement, shorten(extra))
    else:
        text = messages.expectation(spot.keyword, spot.limit, spot.schema, value)
        severity = "warning" if lenient and spot.keyword in _UNDOCUMENTED else "error"
        yield Finding(severity, pointer, spot.keyword, text, spot.requirement, shorten(value))


def _explain_alternatives(
    fault: _Fault, spot: _Spot, spec: FrameSpec, frame: Any, lenient: bool
) -> Iterator[Finding]:
    """Of alternatives that all fail, report the one that was evidently meant: not of another JSON type."""
    other_kind: list[str] = []
    meant: list[tuple[_Fault, ...]] = []
    for branch in fault.branches:
        kinds = [
            inner for inner in branch if inner.path == fault.path and _spot(inner.way, spec).keyword == "type"
        ]
        for inner in kinds:
            limit = _spot(inner.way, spec).limit
            other_kind += [limit] if isinstance(limit, str) else limit
        if not kinds:
            meant.append(branch)
    if len(meant) == 1:
        for inner in meant[0]:
            yield from _explain(inner, spec, frame, lenient)
        return
    value = _value_at(frame, fault.path)
    pointer = pointer_of(fault.path)
    if not meant:
        text = messages.kinds(other_kind, value)
        yield Finding("error", pointer, "type", text, spot.requirement, shorten(value))
        return
    text = messages.expectation(spot.keyword, spot.limit, spot.schema, value)
    yield Finding("error", pointer, spot.keyword, text, spot.requirement, shorten(value))


def _one_per_fault(found: list[Finding]) -> list[Finding]:
    """Leave out what is only another view of a fault that is reported already."""
    mistyped = {f.pointer for f in found if f.keyword == "type"}
    best: dict[str, Finding] = {}
    for finding in found:
        if finding.keyword in _ABOUT_TEXT:
            other = best.setdefault(finding.pointer, finding)
            if _ABOUT_TEXT.index(finding.keyword) < _ABOUT_TEXT.index(other.keyword):
                best[finding.pointer] = finding
    kept: dict[tuple[str, str, str], Finding] = {}
    for finding in found:
        if finding.keyword != "type" and finding.pointer in mistyped:
            continue
        if finding.keyword in _ABOUT_TEXT and best[finding.pointer] is not finding:
            continue
        kept.setdefault((finding.pointer, finding.keyword, finding.message), finding)
    return list(kept.values())


def _in_order(found: list[Finding]) -> tuple[Finding, ...]:
    """Errors before warnings, then by place; bounded."""
    found.sort(key=lambda f: (f.severity, f.pointer, f.keyword, f.message))
    if len(found) <= MAX_FINDINGS:
        return tuple(found)
    rest = found[MAX_FINDINGS:]
    more = Finding(rest[0].severity, "", "more", f"and {len(rest)} more findings, not listed")
    return (*found[:MAX_FINDINGS], more)
