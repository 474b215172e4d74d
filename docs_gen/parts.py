"""The generated parts of guides: tables and texts made of the catalogue, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from typing import Any

from relaykit.docs_gen.commands_help import commands_help
from relaykit.docs_gen.fields import constraints, merge, merge_all, types_in_words
from relaykit.docs_gen.links import Names
from relaykit.docs_gen.material import Material, Part
from relaykit.docs_gen.model import (
    Block,
    Code,
    Prose,
    RequirementView,
    Rules,
    Table,
    TableRow,
)
from relaykit.docs_gen.serving import checklist, dispatch, faults, server_example, stamps
from relaykit.docs_gen.text import code, number, sentence
from relaykit.errors import UsageError
from relaykit.schemas import Limit
from relaykit.schemas.control import control_operations
from relaykit.schemas.lines import MISSING, REFUSED, line_examples


def limits(material: Material, _: tuple[str, ...]) -> tuple[Block, ...]:
    """Every limit with its default."""
    return (_numbers("Limits", material.names.catalogue.protocol.limits),)


def timing(material: Material, _: tuple[str, ...]) -> tuple[Block, ...]:
    """Every time with its default."""
    return (_numbers("Times", material.names.catalogue.protocol.timing),)


def _numbers(caption: str, values: Mapping[str, Limit]) -> Table:
    rows = tuple(
        TableRow(
            limit.name,
            (
                f"`{limit.name}`",
                limit.title,
                _measure(limit.default, limit.unit) + (" (fixed)" if limit.fixed else ""),
                _measure(limit.minimum, limit.unit),
            ),
        )
        for limit in values.values()
    )
    return Table(caption, ("Name", "What it bounds", "Reference server", "Least"), rows)


def _measure(value: float, unit: str) -> str:
    """`1 connection`, `16 connections`, `0.5 s`."""
    single = value == 1 and len(unit) > 1 and "/" not in unit
    return f"{number(value)} {unit.removesuffix('s') if single else unit}"


def error_codes(material: Material, _: tuple[str, ...]) -> tuple[Block, ...]:
    """The codes of `error` frames."""
    rows = tuple(
        TableRow(
            each.name,
            (
                f"`{each.name}`",
                f"{sentence(each.title)} {each.description}",
                "yes" if each.reconnect else "no",
                each.provenance,
            ),
        )
        for each in material.names.catalogue.protocol.error_codes.values()
    )
    return (Table("Error codes", ("Code", "Meaning", "Usual `reconnect`", "Provenance"), rows),)


def close_codes(material: Material, _: tuple[str, ...]) -> tuple[Block, ...]:
    """The close codes that servers use."""
    rows = tuple(
        TableRow(f"close-{each.code}", (f"`{each.code}`", each.title, each.when))
        for each in material.names.catalogue.protocol.close_codes.values()
    )
    return (Table("Close codes", ("Code", "Name", "When"), rows),)


def carriers(material: Material, _: tuple[str, ...]) -> tuple[Block, ...]:
    """The ways to present a token."""
    rows = tuple(
        TableRow(f"carrier-{each.name}", (each.title, f"`{each.form}`"))
        for each in material.names.catalogue.protocol.carriers.values()
    )
    return (Table("Ways to present the token", ("Carrier", "Form"), rows),)


def capabilities(material: Material, _: tuple[str, ...]) -> tuple[Block, ...]:
    """What a server may leave out."""
    return (capabilities_table(material.names),)


def capabilities_table(names: Names) -> Table:
    """What a server may leave out."""
    rows = tuple(
        TableRow(
            each.name,
            (
                f"`{each.name}`",
                sentence(each.title) + " " + each.description,
                "yes" if each.required else "no",
            ),
        )
        for each in names.catalogue.protocol.capabilities.values()
    )
    return Table("Capabilities", ("Name", "What it is", "Required"), rows)


def frames(material: Material, areas: tuple[str, ...]) -> tuple[Block, ...]:
    """The frames of some areas, or of types that are named."""
    chosen = [view for view in material.frames if not areas or view.area in areas or view.type in areas]
    if not chosen:
        raise UsageError(f"there is no frame or area called {' or '.join(areas)}")
    rows = tuple(
        TableRow(
            None,
            (
                f"[`{view.type}`]({view.target})",
                "you send" if view.sends else "you receive",
                view.description.partition(". ")[0].removesuffix(".") + ".",
            ),
        )
        for view in chosen
    )
    return (Table("Frames", ("Frame", "Way", "What it is for"), rows),)


def envelope(material: Material, _: tuple[str, ...]) -> tuple[Block, ...]:
    """The fields around a payload."""
    spec = next(iter(material.names.catalogue.frames.values()))
    defs = spec.bundled["$defs"]
    rows = []
    for name, sub in defs["envelope"]["properties"].items():
        merged = merge(sub, defs)
        rows.append(TableRow(f"envelope-{name}", (f"`{name}`", _kind(merged.kind, defs), merged.description)))
    return (Table("The envelope", ("Field", "Type", "Meaning"), tuple(rows)),)


def _kind(kind: str | None, defs: Mapping[str, Any]) -> str:
    return f"[{defs[kind].get('title', kind)}](reference/types#{kind})" if kind else ""


def rules(material: Material, prefixes: tuple[str, ...]) -> tuple[Block, ...]:
    """The requirements of an area (`MSG`), or single ones (`MSG-12`)."""
    chosen: list[RequirementView] = []
    for prefix in prefixes:
        found = [
            view for id_, view in material.requirements.items() if prefix in (id_, id_.partition("-")[0])
        ]
        if not found:
            raise UsageError(f"there is no requirement or area {prefix!r}")
        chosen += found
    return (Rules("Rules", tuple(chosen)),)


def scenario(material: Material, ids: tuple[str, ...]) -> tuple[Block, ...]:
    """The sequence diagram of a scenario."""
    for id_ in ids:
        if id_ not in material.scenarios:
            raise UsageError(f"there is no scenario {id_!r}")
    return tuple(material.scenarios[id_].diagram for id_ in ids)


def states(material: Material, ids: tuple[str, ...]) -> tuple[Block, ...]:
    """A state diagram."""
    for id_ in ids:
        if id_ not in material.states:
            raise UsageError(f"there is no state diagram {id_!r}")
    return tuple(material.states[id_] for id_ in ids)


def example(material: Material, types: tuple[str, ...]) -> tuple[Block, ...]:
    """An example of a frame: the first (`c2s/send`), or the first that holds a word (`c2s/send:group-`)."""
    blocks = []
    for asked in types:
        name, _, word = asked.partition(":")
        view = next((view for view in material.frames if view.target == f"frames/{name}"), None)
        if view is None:
            raise UsageError(f"there is no frame {name!r} (write c2s/send or s2c/deliver)")
        shown = next((each for each in view.examples if word in each.text), None)
        if shown is None:
            raise UsageError(f"no example of {name} holds {word!r}")
        blocks.append(Code("You send" if view.sends else "You receive", "json", shown.text, shown.lines))
    return tuple(blocks)


def target_file(material: Material, _: tuple[str, ...]) -> tuple[Block, ...]:
    """Every key of a target file, from its schema."""
    schema = material.told.target
    rows: list[TableRow] = []
    _keys(rows, schema, "", schema.get("$defs", {}))
    return (Table("Keys of a target file", ("Key", "Type", "Meaning"), tuple(rows)),)


def _keys(rows: list[TableRow], schema: Mapping[str, Any], prefix: str, defs: Mapping[str, Any]) -> None:
    required = schema.get("required", ())
    for name, sub in schema.get("properties", {}).items():
        path = f"{prefix}{name}"
        named = sub["$ref"].rpartition("/")[2] if "$ref" in sub else ""
        secret = named == "secret"
        inner = {**defs[named], **sub} if named else sub
        merged = merge({key: value for key, value in inner.items() if key != "$ref"}, defs)
        words = "secret" if secret else types_in_words(merged)
        limits = () if secret else constraints(replace(merged, is_open=False))
        about = " ".join(sentence(_upper(each)) for each in limits)
        text = " ".join(filter(None, (inner.get("description", ""), about)))
        need = " (required)" if name in required else ""
        rows.append(TableRow(f"key-{path}", (f"`{path}`{need}", words, text)))
        if not secret:
            _keys(rows, inner, f"{path}.", defs)
            if isinstance(inner.get("items"), Mapping):
                _keys(rows, inner["items"], f"{path}[].", defs)


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def control(_: Material, __: tuple[str, ...]) -> tuple[Block, ...]:
    """Every operation of the control interface."""
    rows = tuple(
        TableRow(
            f"control-{operation.name}",
            (
                f"`{operation.name}`" + (" (optional)" if operation.optional else ""),
                operation.description,
                _members(operation.request),
                _members(operation.response),
            ),
        )
        for operation in control_operations().values()
    )
    return (Table("Operations", ("Operation", "What it does", "Request", "Response"), rows),)


def control_lines(_: Material, __: tuple[str, ...]) -> tuple[Block, ...]:
    """The lines of a control command: each operation's request, and the answer to it."""
    rows = []
    for operation in control_operations().values():
        request, answer = line_examples(operation)
        cells = (f"`{operation.name}`", _line(request), _line(answer))
        rows.append(TableRow(f"line-{operation.name}", cells))
    for title, answer in (("what is refused", REFUSED), ("what is not offered", MISSING)):
        rows.append(TableRow(None, (title, "any", _line(answer))))
    return (Table("Lines", ("Operation", "The suite writes", "The command answers"), tuple(rows)),)


def _line(value: Mapping[str, Any]) -> str:
    return f"`{json.dumps(value)}`"


def _members(schema: Mapping[str, Any]) -> str:
    defs = schema.get("$defs", {})
    merged = merge(schema, defs)
    words = []
    for name, sub in merged.properties.items():
        about = merge_all(sub, defs).description.rstrip(".")
        optional = "" if name in merged.required else " (optional)"
        words.append(f"`{name}`{optional}" + (f": {about}" if about else ""))
    return "; ".join(words) or "`{}`"


def commands(_: Material, __: tuple[str, ...]) -> tuple[Block, ...]:
    """`--help` of every command."""
    return tuple(Code(name, "console", text) for name, text in commands_help())


def file(_: Material, names: tuple[str, ...]) -> tuple[Block, ...]:
    """A file that lies beside the guides, as it is.

    Raises:
        UsageError: there is no such file.
    """
    blocks = []
    for name in names:
        place = resources.files("relaykit.docs_gen").joinpath("guides", name)
        if not place.is_file():
            raise UsageError(f"there is no file {name!r} beside the guides")
        blocks.append(Code("", "text", place.read_text("utf-8").rstrip("\n")))
    return tuple(blocks)


def algorithms(material: Material, _: tuple[str, ...]) -> tuple[Block, ...]:
    """The signature algorithms of tokens."""
    return (Prose(f"{', '.join(code(material.names.catalogue.protocol.algorithms))}\n"),)


PARTS: Mapping[str, Part] = {
    "algorithms": algorithms,
    "capabilities": capabilities,
    "carriers": carriers,
    "checklist": checklist,
    "close-codes": close_codes,
    "commands": commands,
    "control": control,
    "control-lines": control_lines,
    "dispatch": dispatch,
    "envelope": envelope,
    "error-codes": error_codes,
    "example": example,
    "file": file,
    "faults": faults,
    "frames": frames,
    "limits": limits,
    "rules": rules,
    "scenario": scenario,
    "server-example": server_example,
    "stamps": stamps,
    "states": states,
    "target-file": target_file,
    "timing": timing,
}
