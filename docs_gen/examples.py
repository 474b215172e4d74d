"""Examples as lines of JSON: valid ones, and invalid ones with the faults they have."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from relaykit.docs_gen.model import Example, Fault, Field, Line, Token
from relaykit.docs_gen.text import code, either
from relaykit.pointers import escape
from relaykit.schemas import Catalogue, FrameSpec, Validation, Vector

INVALID_SHOWN = 6
"""Invalid examples on a frame's page; the vectors hold many more."""
_LONGEST = 900
_SHORT = 24
_WHOLE = "The frame as an object"
"""The group of vectors about what stands around the payload: their own words say enough."""
_text = json.JSONEncoder(ensure_ascii=False).encode
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def json_lines(value: Any, marked: Iterable[str] = ()) -> tuple[Line, ...]:
    """A value as indented JSON, with the lines of these JSON pointers marked."""
    faulty = frozenset(marked)
    lines: list[Line] = []
    current: list[Token] = []
    hit = False

    def end() -> None:
        nonlocal hit
        lines.append(Line(tuple(current), hit))
        current.clear()
        hit = False

    def put(here: Any, pointer: str, depth: int) -> None:
        nonlocal hit
        hit = hit or pointer in faulty
        if not isinstance(here, (Mapping, list, tuple)) or not here:
            current.append(_scalar(here))
            return
        pairs = list(here.items()) if isinstance(here, Mapping) else list(enumerate(here))
        opening, closing = "{}" if isinstance(here, Mapping) else "[]"
        current.append(Token("", opening))
        end()
        for place, (key, item) in enumerate(pairs):
            current.append(Token("", "  " * (depth + 1)))
            if isinstance(here, Mapping):
                current.append(Token("key", _text(key)))
                current.append(Token("", ": "))
            put(item, f"{pointer}/{escape(str(key))}", depth + 1)
            current.append(Token("", "," if place < len(pairs) - 1 else ""))
            end()
        current.append(Token("", "  " * depth + closing))

    put(value, "", 0)
    end()
    return tuple(lines)


def _scalar(value: Any) -> Token:
    text = _text(value)
    if isinstance(value, str):
        return Token("str", text)
    if value is None or isinstance(value, bool):
        return Token("word", text)
    return Token("num" if isinstance(value, (int, float)) else "", text)


def compact(value: Any) -> str:
    """A value as JSON on one line."""
    return _compact(value)


def valid_examples(spec: FrameSpec, fields: tuple[Field, ...]) -> tuple[Example, ...]:
    """The schema's own examples, each with what is special about it."""
    optional = [field.path for field in fields if not field.required and "[]" not in field.path]
    captions = [_caption(example, optional) for example in spec.examples]
    return tuple(
        Example(_told_apart(place, captions, spec.examples), json_lines(example), compact(example))
        for place, example in enumerate(spec.examples)
    )


def _told_apart(place: int, captions: list[str], examples: tuple[Mapping[str, Any], ...]) -> str:
    """A caption, and where another example has the same, the first value that is this one's alone."""
    alike = [
        dict(_leaves(each))
        for each, words in zip(examples, captions, strict=True)
        if words == captions[place]
    ]
    for path, value in _leaves(examples[place]):
        if len(alike) > 1 and sum(other.get(path) == value for other in alike) == 1 and value != "":
            return f"{captions[place]}: `{path[-1]}` {code([str(value)])[0]}"
    return captions[place]


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The words, numbers and truth values of a frame that are short enough to be named."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, bool):
        yield path, str(value).lower()
    elif isinstance(value, (str, int)) and len(str(value)) <= _SHORT:
        yield path, value


def _caption(example: Mapping[str, Any], optional: list[str]) -> str:
    found = dict(_paths(example, ()))
    paths = {".".join(path) for path in found}
    present = [path for path in optional if path in paths]
    inner = [path for path in present if not any(other.startswith(f"{path}.") for other in present)]
    if not inner:
        return "Only what is required"
    if len(inner) > 3 and len(present) == len(optional):
        return "Every field"
    if len(inner) > 3 and None in found.values():
        return "With null for what has no value"
    if len(inner) > 3:
        return f"With {counted_fields(len(inner))}"
    return f"With {either(code(path.removeprefix('payload.') for path in inner), 'and')}"


def counted_fields(count: int) -> str:
    """How many optional fields an example has."""
    return f"{count} optional fields"


def _paths(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield (*path, key), item
            yield from _paths(item, (*path, key))


def invalid_examples(catalogue: Catalogue, vectors: Iterable[Vector]) -> tuple[Example, ...]:
    """The most telling of a frame's invalid vectors: each breaks another rule in another way."""
    chosen: dict[tuple[str, str, bool], tuple[Vector, Validation]] = {}
    seen: set[str] = set()
    for vector in vectors:
        if vector.valid or not isinstance(vector.data, Mapping) or len(compact(vector.data)) > _LONGEST:
            continue
        if vector.violates is not None:
            if vector.violates in seen:
                continue  # another vector breaks the same constraint
            seen.add(vector.violates)
        judged = catalogue.judge(dict(vector.data), vector.direction)
        errors = [finding for finding in judged.findings if finding.severity == "error"]
        if len(errors) != 1:
            continue
        (only,) = errors
        if only.pointer in ("/type", "") and only.keyword == "type":
            continue  # said once, in the guide about validation
        inside = only.pointer.startswith("/payload") and only.keyword != "additionalProperties"
        key = (only.keyword, only.requirement or (only.pointer if inside else "/"), inside)
        chosen.setdefault(key, (vector, judged))
    ranked = sorted(chosen.items(), key=lambda item: _rank(item[1][1].findings[0].pointer, item[0][0]))
    return tuple(_invalid(vector, judged) for _, (vector, judged) in ranked[:INVALID_SHOWN])


def _rank(pointer: str, keyword: str) -> tuple[bool, int]:
    order = ("required", "oneOf", "enum", "additionalProperties", "format", "pattern", "minLength", "type")
    outside = not pointer.startswith("/payload") and keyword != "additionalProperties"  # alike everywhere
    return outside, order.index(keyword) if keyword in order else len(order)


def _invalid_caption(vector: Vector) -> str:
    """What is wrong, and with what: "`payload.status`: another word", "Exactly one recipient: both"."""
    about, words = vector.group.partition(":")[0], vector.description
    return words[:1].upper() + words[1:] if about == _WHOLE else f"{about}: {words}"


def _invalid(vector: Vector, judged: Validation) -> Example:
    errors = [finding for finding in judged.findings if finding.severity == "error"]
    return Example(
        _invalid_caption(vector),
        json_lines(vector.data, (finding.pointer for finding in errors)),
        compact(vector.data),
        tuple(Fault(finding.pointer, finding.message, finding.requirement) for finding in errors),
    )
