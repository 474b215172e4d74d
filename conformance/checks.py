"""What a scenario must satisfy beyond its JSON Schema, checked before anything connects."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from relaykit.config import suggest
from relaykit.conformance.grammar import (
    Absent,
    ActorRef,
    Advance,
    AnyOf,
    Connect,
    Control,
    Drop,
    Expect,
    ExpectClose,
    Match,
    Nothing,
    Place,
    Repeat,
    Restart,
    Scenario,
    Send,
    Step,
    Unordered,
)
from relaykit.conformance.matching import ambient_types
from relaykit.conformance.shapes import known_fields
from relaykit.conformance.values import BadReferenceError, Scope, fresh_uuid
from relaykit.pointers import at_pointer
from relaykit.schemas import Catalogue, FrameSpec, control_operations


@dataclass(slots=True)
class Complaints:
    """Collects what is wrong, so that a writer sees all of it at once."""

    lines: list[str] = field(default_factory=list)

    def add(self, place: Place, message: str) -> None:
        self.lines.append(f"{place.path}:{place.line}: {message}")


def check(scenario: Scenario, catalogue: Catalogue, complaints: Complaints) -> None:
    """Add to `complaints` whatever is wrong with the scenario."""
    checker = _Checker(scenario, catalogue, complaints)
    checker.metadata()
    checker.steps(scenario.steps, certain=True)


def roots(scenario: Scenario, catalogue: Catalogue, ids: Any) -> dict[str, Any]:
    """Sample meanings of actors, limits and timing: the catalogue's defaults."""
    actors = {
        name: {"id": fresh_uuid(ids), **{device: {"id": fresh_uuid(ids)} for device in spec.devices}}
        for name, spec in scenario.actors.items()
    }
    protocol = catalogue.protocol
    return {
        **actors,
        "limits": {name: limit.default for name, limit in protocol.limits.items()},
        "timing": {name: timing.default for name, timing in protocol.timing.items()},
    }


class _Checker:
    def __init__(self, scenario: Scenario, catalogue: Catalogue, complaints: Complaints) -> None:
        self.scenario = scenario
        self.catalogue = catalogue
        self.complaints = complaints
        rng = random.Random(scenario.id)
        self.scope = Scope(scenario.id, roots(scenario, catalogue, rng), scenario.vars)
        self.connected = {
            (actor.name, device) for actor in scenario.actors.values() for device in actor.connect
        }

    def metadata(self) -> None:
        scenario, protocol = self.scenario, self.catalogue.protocol
        areas = {area.file for area in protocol.areas.values()}
        if scenario.area not in areas:
            self.say(
                scenario.place,
                f"the area {scenario.area!r} is not one of the protocol{suggest(scenario.area, areas)}: "
                "give `area`, or name the file after one",
            )
        for name in (*scenario.capabilities, *scenario.without):
            if name not in protocol.capabilities:
                self.say(scenario.place, f"unknown capability {name!r}{suggest(name, protocol.capabilities)}")
        for name in scenario.operations:
            if name not in control_operations():
                self.say(
                    scenario.place, f"unknown control operation {name!r}{suggest(name, control_operations())}"
                )
        ambient = ambient_types(self.catalogue)
        for name in sorted(scenario.about - ambient):
            self.say(
                scenario.place, f"`about` lists ambient types only, not {name!r}{suggest(name, ambient)}"
            )
        for actor in scenario.actors.values():
            for device in set(actor.connect) - set(actor.devices):
                self.say(
                    scenario.place,
                    f"{actor.name} has no device {device!r}{suggest(device, actor.devices)}",
                )
        taken = {"limits", "timing"} | set(scenario.actors)
        for name in sorted(taken & set(scenario.vars) | {"limits", "timing"} & set(scenario.actors)):
            self.say(scenario.place, f"the name {name!r} means something else already")
        for name in scenario.vars:
            self.fill(scenario.place, f"${{{name}}}")
        if not scenario.requirements:
            self.say(scenario.place, "no step names a requirement, so it proves nothing")

    def say(self, place: Place, message: str) -> None:
        self.complaints.add(place, f"{self.scenario.id}: {message}")

    def fill(self, place: Place, template: Any) -> Any:
        try:
            return self.scope.fill(template)
        except BadReferenceError as error:
            self.say(place, str(error))
        except (TypeError, ValueError) as error:
            self.say(place, f"a value cannot be made: {error}")
        return None

    def steps(self, steps: Iterable[Step], *, certain: bool) -> None:
        """Check steps in order. `certain`: these run in any case, so that it is known who is connected."""
        for step in steps:
            match step:
                case Send():
                    self.send(step, certain)
                case Expect():
                    self.requirements(step.place, step.req)
                    self.who(step.place, step.who, certain)
                    self.expect(step)
                case ExpectClose():
                    self.requirements(step.place, step.req)
                    self.connected -= self.who(step.place, step.who, certain)
                case Nothing():
                    self.requirements(step.place, step.req)
                    for ref in step.whom:
                        self.who(step.place, ref, False)
                    for pattern in step.allow:
                        self.pattern(step.place, pattern)
                case Connect():
                    self.requirements(step.place, step.req)
                    named = self.who(step.place, step.who, step.overlap and certain)
                    self.connected = self.connected - named if step.refused else self.connected | named
                case Drop():
                    self.connected -= self.who(step.place, step.who, certain)
                case Restart():
                    self.connected = set()
                case Control():
                    self.control(step)
                case Advance():
                    self.fill(step.place, step.seconds)
                case Unordered():
                    self.steps(step.expects, certain=certain)
                case AnyOf():
                    self.any_of(step)
                case Repeat():
                    if step.name is not None:
                        self.scope.given[step.name] = 1
                    self.steps(step.steps, certain=certain)
                    if step.name is not None:
                        del self.scope.given[step.name]

    def any_of(self, step: AnyOf) -> None:
        before = dict(self.scope.given)
        after: list[dict[str, Any]] = []
        for branch in step.branches:
            if branch and not isinstance(branch[0], (Expect, ExpectClose, Unordered, Nothing)):
                self.say(
                    branch[0].place,
                    "an alternative begins with expect, expect_close, unordered or none: "
                    "otherwise nothing tells which one it is",
                )
            self.scope.given = dict(before)
            self.steps(branch, certain=False)
            after.append(self.scope.given)
        # Only what every alternative captures is known afterwards.
        self.scope.given = {k: v for k, v in after[0].items() if all(k in given for given in after)}

    def requirements(self, place: Place, named: tuple[str, ...]) -> None:
        known = self.catalogue.requirements
        for name in named:
            if name not in known:
                self.say(place, f"unknown requirement {name!r}{suggest(name, known)}")

    def who(self, place: Place, ref: ActorRef, must_be_connected: bool) -> set[tuple[str, str]]:
        actors = self.scenario.actors
        if ref.actor not in actors:
            self.say(place, f"undeclared actor {ref.actor!r}{suggest(ref.actor, actors)}")
            return set()
        devices = actors[ref.actor].devices
        if ref.device is None and len(devices) > 1:
            self.say(place, f"{ref.actor} has several devices: name one of {', '.join(devices)}, or *")
            return set()
        if ref.device not in (None, "*", *devices):
            self.say(place, f"{ref.actor} has no device {ref.device!r}{suggest(ref.device or '', devices)}")
            return set()
        chosen = devices if ref.every else (ref.device or devices[0],)
        named = {(ref.actor, device) for device in chosen}
        if must_be_connected and not ref.every and not named <= self.connected:
            self.say(place, f"{ref} is not connected at this point")
        return named

    def send(self, step: Send, certain: bool) -> None:
        self.who(step.place, step.who, certain)
        if step.who.every:
            self.say(step.place, "a frame is sent by one device: name it")
        content = step.data or self.fill(step.place, step.frame if step.raw is None else step.raw)
        if content is None:
            return
        result = self.catalogue.validate(content, "c2s")
        if result.valid and step.invalid:
            self.say(step.place, "this is meant to be invalid, but its schema finds nothing wrong")
        if not result.valid and not step.invalid:
            for finding in result.findings:
                self.say(
                    step.place,
                    f"{finding.pointer or '(the frame)'}: {finding.message} "
                    "(if that is meant, say `invalid: true`)",
                )

    def expect(self, step: Expect) -> None:
        spec = self.pattern(step.place, step.frame)
        for name, pointer in step.capture.items():
            sample = next(
                (
                    found
                    for example in (spec.examples if spec else ())
                    if (found := at_pointer(example, pointer)) is not None
                ),
                None,
            )
            if spec is not None and sample is None:
                self.say(step.place, f"capture {name}: no example of {spec.type!r} has {pointer}")
            self.scope.given[name] = _of_its_own(sample, name)

    def pattern(self, place: Place, frame: Mapping[str, Any]) -> FrameSpec | None:
        """Check that a pattern could match some frame of its type."""
        kind = frame["type"]
        types = self.catalogue.types("s2c")
        if kind not in types:
            self.say(place, f"no s2c frame has the type {kind!r}{suggest(str(kind), types)}")
            return None
        spec = self.catalogue.frame("s2c", kind)
        filled = self.fill(place, frame)
        if filled is None:
            return spec
        for expression in _expressions(filled):
            try:
                re.compile(expression)
            except re.error as error:
                self.say(place, f"!match {expression!r}: not a regular expression: {error}")
        for pointer, key, known in known_fields(spec.bundled, filled):
            self.say(place, f"{pointer}: an s2c {kind!r} has no field {key!r}{suggest(key, known)}")
        for example in spec.examples[:1]:
            stated: set[str] = set()
            result = self.catalogue.validate(_over(example, filled, "", stated), "s2c")
            for finding in result.findings:
                if finding.pointer in stated and finding.severity == "error":
                    self.say(place, f"{finding.pointer}: no s2c {kind!r} can match: {finding.message}")
        return spec

    def control(self, step: Control) -> None:
        self.fill(step.place, step.arguments)
        operations = control_operations()
        if step.operation not in operations:
            near = suggest(step.operation, operations)
            self.say(step.place, f"unknown control operation {step.operation!r}{near}")
            return
        operation = operations[step.operation]
        known = operation.request.get("properties", {})
        for key in step.arguments:
            if key not in known:
                self.say(step.place, f"{step.operation} has no argument {key!r}{suggest(key, known)}")
        for key in operation.request.get("required", ()):
            if key not in step.arguments:
                self.say(step.place, f"{step.operation} needs the argument {key!r}")
        if step.name is not None:
            response = operation.response.get("properties", {})
            self.scope.given[step.name] = {
                key: described["examples"][0]
                for key, described in response.items()
                if "examples" in described
            }


def _of_its_own(sample: Any, name: str) -> Any:
    """A sample of what is captured: identifiers differ by name, as two things seldom have the same one."""
    try:
        return str(uuid.uuid5(uuid.UUID(sample), name))
    except (ValueError, TypeError, AttributeError):
        return sample


def _expressions(pattern: Any) -> Iterator[str]:
    """The regular expressions in a pattern."""
    if isinstance(pattern, Match):
        yield pattern.pattern
    elif isinstance(pattern, Mapping):
        for value in pattern.values():
            yield from _expressions(value)
    elif isinstance(pattern, list):
        for value in pattern:
            yield from _expressions(value)


def _over(example: Any, pattern: Any, pointer: str, stated: set[str]) -> Any:
    """The example with all that the pattern states laid over it; `stated` gets the leaves' pointers."""
    if isinstance(pattern, Absent):
        return None
    if isinstance(pattern, Match):
        return example
    if isinstance(pattern, Mapping):
        result = dict(example) if isinstance(example, Mapping) else {}
        for key, value in pattern.items():
            laid = _over(result.get(key), value, f"{pointer}/{key}", stated)
            if laid is None and isinstance(value, (Absent, Match)):
                result.pop(key, None)
            else:
                result[key] = laid
        return result
    stated.add(pointer)
    return pattern
