"""Scenario files → frozen scenarios. What is wrong is said with file and line before anything connects."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any

from relaykit.config import Document, Tagged, load_yaml, problems
from relaykit.conformance.checks import Complaints, check
from relaykit.conformance.grammar import (
    SINGLE_DEVICE,
    Absent,
    ActorRef,
    ActorSpec,
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
    VarSpec,
    requirements_of,
)
from relaykit.errors import UsageError
from relaykit.pointers import escape
from relaykit.schemas import Catalogue

TAGS = frozenset({"!absent", "!match"})


@cache
def schema(name: str) -> Mapping[str, Any]:
    """One of the JSON Schemas of this package, such as `scenario` or `target`."""
    text = resources.files("relaykit.conformance").joinpath(f"{name}.schema.json").read_text("utf-8")
    data: dict[str, Any] = json.loads(text)
    return MappingProxyType(data)


def own_scenarios() -> Path:
    """The folder of the kit's own scenarios."""
    return Path(str(resources.files("relaykit.conformance").joinpath("scenarios")))


def load_scenarios(catalogue: Catalogue, folders: Iterable[Path] = ()) -> tuple[Scenario, ...]:
    """Load and check the kit's own scenarios, and those in further folders or files.

    Args:
        catalogue: the protocol to check them against.
        folders: folders with `*.yaml` files, or single files, beside the kit's own.

    Raises:
        UsageError: lists everything that is wrong, each with `file:line`.
    """
    paths: list[Path] = []
    for folder in (own_scenarios(), *folders):
        if not folder.exists():
            raise UsageError(f"{folder}: there is no such scenario file or folder")
        inside = sorted(folder.glob("*.yaml")) if folder.is_dir() else [folder]
        if not inside:
            raise UsageError(
                f"{folder}: there is no scenario file in this folder",
                hint="scenario files end in .yaml, and stand in the folder itself",
            )
        paths.extend(inside)
    return load_files(catalogue, paths)


def load_files(catalogue: Catalogue, paths: Iterable[Path]) -> tuple[Scenario, ...]:
    """Load and check these scenario files, and nothing else; see `load_scenarios`."""
    complaints = Complaints()
    scenarios: list[Scenario] = []
    for path in paths:
        document = load_yaml(path, tags=TAGS)
        found = problems(document, schema("scenario"))
        if found:
            complaints.lines.extend(str(problem) for problem in found)
            continue
        area = next((a.file for a in catalogue.protocol.areas.values() if a.file == path.stem), "")
        scenarios.extend(_scenario(document, index, entry, area) for index, entry in enumerate(document.data))
    seen: dict[str, Scenario] = {}
    for scenario in scenarios:
        first = seen.setdefault(scenario.id, scenario)
        if first is not scenario:
            complaints.add(scenario.place, f"the id {scenario.id!r} is already used at {first.place}")
        check(scenario, catalogue, complaints)
    if complaints.lines:
        raise UsageError("\n".join(complaints.lines))
    return tuple(scenarios)


def _scenario(document: Document, index: int, entry: Mapping[str, Any], area: str) -> Scenario:
    reader = _Reader(document)
    pointer = f"/{index}"
    requires = entry.get("requires", {})
    steps = reader.steps(entry["steps"], f"{pointer}/steps")
    return Scenario(
        id=entry["id"],
        title=entry["title"],
        area=entry.get("area", area),
        catches=entry["catches"],
        slow=entry.get("slow", False),
        destructive=entry.get("destructive", False),
        capabilities=tuple(requires.get("capabilities", ())),
        without=tuple(requires.get("without", ())),
        operations=tuple(requires.get("control", ())),
        about=frozenset(entry.get("about", ())),
        actors=MappingProxyType({name: _actor(name, spec) for name, spec in entry["actors"].items()}),
        vars=MappingProxyType({name: _variable(name, spec) for name, spec in entry.get("vars", {}).items()}),
        steps=steps,
        place=reader.place(pointer),
        requirements=requirements_of(steps),
        moves=tuple(entry.get("moves", ())),
    )


def _actor(name: str, spec: Mapping[str, Any]) -> ActorSpec:
    devices = tuple(spec.get("devices", (SINGLE_DEVICE,)))
    connect = spec.get("connect", True)
    chosen = devices if connect is True else () if connect is False else tuple(connect)
    return ActorSpec(name, devices, chosen, spec.get("legacy", False))


def _variable(name: str, spec: str | Mapping[str, Any]) -> VarSpec:
    if isinstance(spec, str):
        return VarSpec(name, spec, None)
    ((kind, argument),) = spec.items()
    return VarSpec(name, kind, argument)


def template(value: Any) -> Any:
    """A frame of a file as a template: tagged scalars become matchers."""
    if isinstance(value, Tagged):
        return Absent() if value.tag == "!absent" else Match(value.value)
    if isinstance(value, Mapping):
        return MappingProxyType({key: template(item) for key, item in value.items()})
    return tuple(template(item) for item in value) if isinstance(value, list) else value


class _Reader:
    """Turns the plain data of one document (already valid by its schema) into steps."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def place(self, pointer: str) -> Place:
        return Place(self.document.path, self.document.line(pointer), pointer)

    def steps(self, entries: list[Any], pointer: str) -> tuple[Step, ...]:
        return tuple(self.step(entry, f"{pointer}/{index}") for index, entry in enumerate(entries))

    def step(self, entry: Mapping[str, Any], pointer: str) -> Step:
        ((verb, body),) = entry.items()
        here = f"{pointer}/{verb}"
        place = self.place(here)
        match verb:
            case "send":
                frame = template(body["frame"]) if "frame" in body else None
                data = base64.b64decode(body["base64"]) if "base64" in body else None
                return Send(place, _ref(body["as"]), frame, body.get("raw"), body.get("invalid", False), data)
            case "expect":
                return Expect(
                    place,
                    _ref(body["as"]),
                    template(body["frame"]),
                    _req(body),
                    MappingProxyType(body.get("capture", {})),
                    body.get("within"),
                    body.get("skip", False),
                )
            case "expect_close":
                return ExpectClose(
                    place, _ref(body["as"]), tuple(body.get("codes", ())), _req(body), body.get("within")
                )
            case "none":
                names = [name for name in body["actors"] if name != "*"]
                allow = tuple(
                    template({"type": item} if isinstance(item, str) else item)
                    for item in body.get("allow", ())
                )
                whom = tuple(_ref(name, every=True) for name in names)
                everybody = len(names) < len(body["actors"])
                return Nothing(place, whom, everybody, allow, _req(body), body.get("open", False))
            case "connect":
                return Connect(
                    place,
                    _ref(body["as"]),
                    body.get("carrier"),
                    body.get("refused", False),
                    _req(body),
                    body.get("overlap", False),
                    body.get("brief", False),
                )
            case "drop":
                return Drop(place, _ref(body["as"]), body.get("abort", False))
            case "restart":
                return Restart(place, body)
            case "control":
                ((operation, arguments),) = ((key, value) for key, value in body.items() if key != "as")
                return Control(place, operation, template(arguments), body.get("as"))
            case "advance":
                return Advance(place, body)
            case "unordered":
                return Unordered(place, tuple(s for s in self.steps(body, here) if isinstance(s, Expect)))
            case "any_of":
                return AnyOf(place, tuple(self.steps(branch, f"{here}/{i}") for i, branch in enumerate(body)))
            case _:
                return Repeat(place, body["n"], body.get("as"), self.steps(body["steps"], f"{here}/steps"))


def _ref(text: str, *, every: bool = False) -> ActorRef:
    actor, _, device = text.partition(".")
    return ActorRef(actor, device or ("*" if every else None))


def _req(body: Mapping[str, Any]) -> tuple[str, ...]:
    named = body.get("req", ())
    return (named,) if isinstance(named, str) else tuple(named)


__all__ = ["TAGS", "escape", "load_files", "load_scenarios", "own_scenarios", "schema", "template"]
