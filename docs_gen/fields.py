"""Field tables: a bundled schema, resolved and merged, as rows that a person reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from relaykit.docs_gen.model import Field, Link
from relaykit.docs_gen.text import coded, either, number, sentence
from relaykit.errors import UsageError
from relaykit.schemas import FrameSpec, thaw
from relaykit.schemas.wording import counted

STAMPS = {
    "user": "the user who acted, as their token names them",
    "device": "the sender's device",
    "now": "the server's time",
    "server": "the server's own name",
    "message": "the message's ID",
}
_LIMITS = (
    *("minLength", "maxLength", "pattern", "format", "minItems", "maxItems", "uniqueItems"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minProperties", "maxProperties"),
)
_FORMS = ("pattern", "format")
"""Limits that the page of a shared type shows in its own way."""
_JSON_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (str, "string"),
    (bool, "boolean"),
    (int, "integer"),
    (float, "number"),
    (type(None), "null"),
    (Mapping, "object"),
    (object, "array"),
)


@dataclass(frozen=True, slots=True)
class Merged:
    """A schema with its references and `allOf` parts folded in; the outer words win over the inner ones."""

    title: str = ""
    description: str = ""
    types: tuple[str, ...] = ()
    kind: str | None = None
    const: tuple[Any, ...] = ()
    """The only value there is, which may be false, empty or null; none: any."""
    enum: tuple[Any, ...] = ()
    limits: Mapping[str, Any] = field(default_factory=dict)
    forms: tuple[str, ...] = ()
    known: tuple[Any, ...] = ()
    properties: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    items: Any = None
    is_open: bool = True
    rules: tuple[str, ...] = ()
    deprecated: str | None = None
    shaped: bool = False
    """Whether values have a form of their own (pattern, format, list of words), worth a name and a link."""


def merge(schema: Any, defs: Mapping[str, Any]) -> Merged:
    """Fold a schema into one `Merged`.

    Raises:
        UsageError: a reference that leads nowhere.
    """
    if not isinstance(schema, Mapping):
        return Merged()
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        if name not in defs:
            raise UsageError(f"the reference {schema['$ref']!r} leads nowhere")
        inner = merge(defs[name], defs)
        told = {word: limit for word, limit in inner.limits.items() if word not in _FORMS}
        return replace(inner, kind=name, limits=told) if inner.shaped else inner
    own = _own(schema)
    parts = [merge(part, defs) for part in schema.get("allOf", ())]
    options = [merge(option, defs) for option in schema.get("anyOf", ())]
    real = [option for option in options if option.types != ("null",)]
    if options and len(real) == 1:
        parts.append(replace(real[0], types=(*real[0].types, "null")))
    elif options:
        types = tuple(dict.fromkeys(t for option in options for t in option.types))
        forms = tuple(option.title or _in_words(option) for option in real)
        is_plain = not any(option.title or tuple(_constraints(option)) for option in real)
        shaped = any(option.shaped for option in real)
        parts.append(Merged(types=types, forms=() if is_plain else forms, shaped=shaped))
    for part in parts:
        own = _join(own, part)
    return own


def _in_words(option: Merged) -> str:
    """One of several forms that a value may have."""
    return ", ".join((types_in_words(option), *_constraints(option)))


def _own(schema: Mapping[str, Any]) -> Merged:
    types = schema.get("type", ())
    is_rule = any(word in schema for word in ("oneOf", "if")) and "description" in schema
    return Merged(
        title=schema.get("title", ""),
        description="" if is_rule else schema.get("description", ""),
        types=(types,) if isinstance(types, str) else tuple(types),
        const=(schema["const"],) if "const" in schema else (),
        enum=tuple(schema.get("enum", ())),
        limits={word: schema[word] for word in _LIMITS if word in schema},
        known=tuple(schema.get("examples", ())),
        properties={name: (sub,) for name, sub in schema.get("properties", {}).items()},
        required=frozenset(schema.get("required", ())),
        items=schema.get("items"),
        is_open=schema.get("additionalProperties", True) is not False,
        rules=(schema["description"],) if is_rule else (),
        deprecated=_deprecation(schema),
        shaped=any(word in schema for word in ("pattern", "format", "enum")),
    )


def _deprecation(schema: Mapping[str, Any]) -> str | None:
    """That a field is deprecated, with its note; None if it is not."""
    told = schema.get("x-deprecated", {})
    if not told:
        return "Deprecated." if schema.get("deprecated") else None
    return f"Deprecated: {sentence(told['note'])} Use `{told['replacement']}` instead."


def _join(outer: Merged, inner: Merged) -> Merged:
    names = dict.fromkeys([*outer.properties, *inner.properties])
    properties = {n: (*outer.properties.get(n, ()), *inner.properties.get(n, ())) for n in names}
    return Merged(
        title=outer.title or inner.title,
        description=outer.description or inner.description,
        types=outer.types or inner.types,
        kind=outer.kind or inner.kind,
        const=outer.const or inner.const,
        enum=outer.enum or inner.enum,
        limits={**inner.limits, **outer.limits},
        forms=outer.forms or inner.forms,
        known=outer.known or inner.known,
        properties=properties,
        required=outer.required | inner.required,
        items=outer.items if outer.items is not None else inner.items,
        is_open=outer.is_open and inner.is_open,
        rules=tuple(dict.fromkeys((*outer.rules, *inner.rules))),
        deprecated=outer.deprecated or inner.deprecated,
        shaped=outer.shaped or (inner.shaped and "object" not in outer.types),
    )


def merge_all(schemas: tuple[Any, ...], defs: Mapping[str, Any]) -> Merged:
    """Several schemas for the same field (a frame's own and the envelope's) as one."""
    joined = Merged()
    for schema in schemas:
        joined = _join(joined, merge(schema, defs))
    return joined


def types_in_words(merged: Merged) -> str:
    """`string`, `string or null`, `array of strings`."""
    values = merged.const or merged.enum
    types = merged.types or tuple(dict.fromkeys(map(_type_of, values)))
    return either(types or ("any",))


def _type_of(value: Any) -> str:
    return next(word for kinds, word in _JSON_TYPES if isinstance(value, kinds))


def constraints(merged: Merged) -> tuple[str, ...]:
    """What a value must keep to, in words."""
    return tuple(_constraints(merged))


def _constraints(merged: Merged) -> Iterator[str]:
    limits = merged.limits
    if merged.const:
        yield f"always {_value(merged.const[0])}"
    if merged.enum:
        yield f"one of {either([_value(option) for option in merged.enum])}"
    if len(merged.forms) > 1:
        yield either(merged.forms)
    if not merged.kind:
        yield from _size(limits.get("minLength"), limits.get("maxLength"), "character")
    yield from _size(limits.get("minItems"), limits.get("maxItems"), "item")
    if limits.get("uniqueItems"):
        yield "no two the same"
    yield from _range(limits)
    if "multipleOf" in limits:
        yield f"a multiple of {number(limits['multipleOf'])}"
    if "pattern" in limits:
        yield f"matches {coded(limits['pattern'])}"
    if "format" in limits:
        yield f"of the form `{limits['format']}`"
    yield from _size(limits.get("minProperties"), limits.get("maxProperties"), "member")
    if merged.types == ("object",) and merged.is_open:
        yield "further members are permitted and passed on"


def _range(limits: Mapping[str, Any]) -> Iterator[str]:
    low, high = limits.get("minimum"), limits.get("maximum")
    if low is not None and high is not None:
        yield f"{number(low)} to {number(high)}"
    elif low is not None:
        yield f"{number(low)} or more"
    elif high is not None:
        yield f"at most {number(high)}"
    if "exclusiveMinimum" in limits:
        yield f"more than {number(limits['exclusiveMinimum'])}"
    if "exclusiveMaximum" in limits:
        yield f"less than {number(limits['exclusiveMaximum'])}"


def _size(low: int | None, high: int | None, noun: str) -> Iterator[str]:
    if high == 0:
        yield "empty"
    elif low and high:
        yield f"{counted(low, noun)}" if low == high else f"{low} to {high} {noun}s"
    elif low:
        yield "not empty" if low == 1 else f"at least {low} {noun}s"
    elif high:
        yield f"at most {counted(high, noun)}"


def _value(value: Any) -> str:
    """A value as JSON writes it; a text without its quotes, unless nothing would be left."""
    if value and isinstance(value, str):
        return coded(value)
    text = json.dumps(thaw(value), ensure_ascii=False)
    return text if isinstance(value, (bool, int, float, type(None))) else coded(text)


def frame_fields(spec: FrameSpec) -> tuple[tuple[Field, ...], tuple[str, ...]]:
    """The rows of a frame's field table, and the rules that hold between its fields."""
    defs = spec.bundled.get("$defs", {})
    root = merge(spec.bundled, defs)
    allowed = spec.bundled.get("properties", {})
    names = [name for name in root.properties if name in allowed]
    order = sorted(names, key=lambda n: (n != "type", n == "payload", n not in root.required))
    main = [n for n in order if n in root.required or n in ("type", "payload")]
    extra = [n for n in order if n not in main]
    rows: list[Field] = []
    for name in (*main, *extra):
        _rows(rows, spec, root, name, "", 0, name in extra, defs)
    return tuple(rows), root.rules


def _rows(
    rows: list[Field],
    spec: FrameSpec,
    parent: Merged,
    name: str,
    prefix: str,
    depth: int,
    extra: bool,
    defs: Mapping[str, Any],
) -> None:
    merged = merge_all(parent.properties[name], defs)
    path = f"{prefix}{name}"
    words = types_in_words(merged)
    kind = merged.kind
    limits = list(constraints(merged))
    inmost, suffix = merged, ""
    while inmost.items is not None:  # arrays may hold arrays
        inmost, suffix = merge(inmost.items, defs), f"{suffix}[]"
        if inmost.items is not None or "object" not in inmost.types:
            limits += [
                f"each of the {'inner ' if suffix != '[]' else ''}items: {c}" for c in constraints(inmost)
            ]
    if suffix:
        inner = f"{types_in_words(inmost)}s" if inmost.types or inmost.enum or inmost.const else "anything"
        words = f"array of {'arrays of ' * (suffix.count('[]') - 1)}{inner}"
        kind = inmost.kind
    stamp = spec.stamps.get("/" + path.replace(".", "/"))
    rows.append(
        Field(
            path=path,
            depth=depth,
            type=words,
            kind=Link(defs[kind].get("title", kind), f"reference/types#{kind}") if kind else None,
            required=name in parent.required,
            description=merged.description,
            stamped=STAMPS.get(stamp, stamp) if stamp else None,
            constraints=tuple(c for c in limits if c not in merged.description.lower()),
            rules=merged.rules,
            extra=extra,
            deprecated=merged.deprecated,
        )
    )
    for child in inmost.properties:
        _rows(rows, spec, inmost, child, f"{path}{suffix}.", depth + 1, extra, defs)
