"""TypeScript declarations: a type per shared definition, an interface per frame, a union per direction.

What a type can say is said: exactly one of two fields, a word of a closed list. Forms of strings, limits of
numbers and rules that hang on a value (`if`) stand in the comments only; a validator judges those.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from relaykit.schemas.catalogue import Catalogue
from relaykit.schemas.model import DIRECTIONS, Direction, FrameSpec

_SCALARS = {"string": "string", "boolean": "boolean", "integer": "number", "number": "number", "null": "null"}
_WHO: Mapping[Direction, str] = {"c2s": "Client", "s2c": "Server"}
_WAY: Mapping[Direction, str] = {"c2s": "A client sends it.", "s2c": "A server sends it."}


def typescript(catalogue: Catalogue) -> str:
    """The text of a declaration file, without imports."""
    protocol = catalogue.protocol
    blocks = [
        f"// {protocol.name} {protocol.version}: every frame, as `relaykit export typescript` writes it.",
        *_definitions(catalogue),
        *(_frame(spec) for _, spec in sorted(catalogue.frames.items())),
        *(_unions(catalogue, direction) for direction in DIRECTIONS),
    ]
    return "\n\n".join(blocks) + "\n"


def _pascal(name: str) -> str:
    return "".join(f"{part[:1].upper()}{part[1:]}" for part in name.split("_"))


def _frame_name(direction: Direction, name: str) -> str:
    return f"{_WHO[direction]}{_pascal(name)}"


def _definitions(catalogue: Catalogue) -> Iterator[str]:
    shared: dict[str, Any] = {}
    for spec in catalogue.frames.values():
        shared |= spec.bundled.get("$defs", {})
    # The schema of open words gives a few as examples; the protocol lists the codes it knows.
    shared["errorCode"] = {**shared["errorCode"], "examples": list(catalogue.protocol.error_codes)}
    for name, schema in sorted(shared.items()):
        if name != "envelope":  # its fields stand in every frame that has them
            comment = _comment((f"{_sentence(schema.get('title', name))} {schema.get('description', '')}",))
            yield f"{comment}export type {_pascal(name)} = {_type(schema, '')};"


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _frame(spec: FrameSpec) -> str:
    envelope = spec.bundled["$defs"]["envelope"]["properties"]
    properties = {
        name: envelope.get(name, True) if sub is True else sub
        for name, sub in spec.bundled["properties"].items()
    }
    required = {*spec.bundled.get("required", ()), "type"}
    deprecated = f"@deprecated {spec.deprecated.note}" if spec.deprecated else ""
    about = f"{_sentence(spec.title)} {_WAY[spec.direction]} {spec.description}"
    body = _members(properties, required, "")
    name = _frame_name(spec.direction, spec.type)
    return f"{_comment((about, deprecated))}export interface {name} {body}"


def _unions(catalogue: Catalogue, direction: Direction) -> str:
    names = {name: _frame_name(direction, name) for name in sorted(catalogue.types(direction))}
    who = _WHO[direction]
    members = "".join(f"\n  {json.dumps(name)}: {type_};" for name, type_ in names.items())
    return (
        f"/** By type: the frames that a {who.lower()} sends. */\n"
        f"export interface {who}Frames {{{members}\n}}\n\n"
        f"/** Any frame that a {who.lower()} sends; its `type` tells which. */\n"
        f"export type {who}Frame = {who}Frames[keyof {who}Frames];"
    )


def _comment(parts: Iterable[str], indent: str = "") -> str:
    """A comment that no text can end."""
    lines = [" ".join(part.replace("*/", "*\\/").split()) for part in parts if part.strip()]
    if not lines:
        return ""
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    return f"{indent}/**\n" + "".join(f"{indent} * {line}\n" for line in lines) + f"{indent} */\n"


def _type(schema: Any, indent: str, *, part: bool = False) -> str:
    """A schema as a type.

    Args:
        indent: of the line on which it begins.
        part: whether other schemas hold for the same value, which then name the members that this one
            leaves open.
    """
    if not isinstance(schema, Mapping):
        return "unknown" if schema else "never"
    if "$ref" in schema:
        return _pascal(str(schema["$ref"]).rpartition("/")[2])
    if "const" in schema:
        return _literal(schema["const"])
    if "enum" in schema:
        return " | ".join(map(_literal, schema["enum"]))
    words = [_union(schema[word], indent) for word in ("anyOf", "oneOf") if word in schema]
    inner = [_type(each, indent, part=True) for each in schema.get("allOf", ())]
    words += [word for word in inner if word != "unknown"]
    own = _own(schema, indent, part=part or bool(words))
    if own and not (words and own in _SCALARS.values()):  # a shared string says more than "string"
        words.insert(0, own)
    if len(words) == 1 and schema.get("examples") and schema.get("allOf"):  # an open word, with known ones
        return " | ".join((*map(_literal, schema["examples"]), f"({words[0]} & {{}})"))
    if len(words) == 1:
        return words[0]
    return " & ".join(f"({word})" if " | " in word else word for word in words) or "unknown"


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _union(schemas: Iterable[Any], indent: str) -> str:
    types = dict.fromkeys(_type(each, indent, part=True) for each in schemas)
    return " | ".join(types) or "unknown"


def _own(schema: Mapping[str, Any], indent: str, *, part: bool) -> str:
    """The type by the schema's own keywords, without what it combines."""
    types = schema.get("type", ())
    types = (types,) if isinstance(types, str) else tuple(types)
    found = []
    for name in types or (("object",) if "properties" in schema else ()):
        if name == "object":
            found.append(_object(schema, indent, part=part))
        elif name == "array":
            found.append(f"Array<{_type(schema.get('items', True), indent)}>")
        else:
            found.append(_SCALARS[name])
    return " | ".join(dict.fromkeys(filter(None, found)))


def _object(schema: Mapping[str, Any], indent: str, *, part: bool) -> str:
    properties, required = schema.get("properties", {}), set(schema.get("required", ()))
    is_open = schema.get("additionalProperties", True) is not False and not part
    if not properties:
        return "Record<string, unknown>" if is_open else "" if part else "Record<string, never>"
    return _members(properties, required, indent, is_open=is_open)


def _members(properties: Mapping[str, Any], required: set[str], indent: str, *, is_open: bool = False) -> str:
    deeper = f"{indent}  "
    lines = []
    for name, sub in properties.items():
        text = sub.get("description", "") if isinstance(sub, Mapping) else ""
        mark = "" if name in required else "?"
        lines.append(f"{_comment((text,), deeper)}{deeper}{_key(name)}{mark}: {_type(sub, deeper)};\n")
    if is_open:
        lines.append(f"{deeper}[member: string]: unknown;\n")
    return "{\n" + "".join(lines) + f"{indent}}}"


def _key(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name)
