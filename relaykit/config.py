"""Configuration files: strict YAML that remembers where everything stands, checked by a JSON Schema.

Strict means: duplicate keys are errors, and scalars stay strings but for true, false, null and numbers
(no dates, no `no` that turns false). Every problem names file, line and JSON pointer.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jsonschema_rs
import yaml

from relaykit.errors import UsageError
from relaykit.pointers import at_pointer, escape, pointer_of

_BaseLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)")
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
_MAX_DEPTH = 64
_MAX_NODES = 200_000


@dataclass(frozen=True, slots=True)
class Tagged:
    """A scalar with a local tag, such as `!match ^a` or `!absent`, in files that allow tags."""

    tag: str
    value: str


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed file: its data, and the line (from 1) at which each JSON pointer stands."""

    path: str
    data: Any
    lines: Mapping[str, int]

    def line(self, pointer: str) -> int:
        """The line of `pointer`, or of its nearest parent that has one."""
        while pointer not in self.lines and pointer:
            pointer = pointer.rpartition("/")[0]
        return self.lines.get(pointer, 1)

    def place(self, pointer: str) -> str:
        """`file:line` for `pointer`, as editors understand it."""
        return f"{self.path}:{self.line(pointer)}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a document."""

    path: str
    line: int
    pointer: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.pointer or '(top level)'}: {self.message}"


def suggest(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the nearest of the known words, or an empty string."""
    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]!r}?)" if near else ""


def load_yaml(path: Path | str, *, tags: frozenset[str] = frozenset()) -> Document:
    """Read a YAML file.

    Args:
        path: the file.
        tags: local tags to accept on scalars (`{"!match"}`), given back as `Tagged`.

    Raises:
        UsageError: unreadable, not UTF-8, not YAML, a duplicate key, too deep or too large.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 (byte {error.start})") from error
    return parse_yaml(text, str(path), tags=tags)


def parse_yaml(text: str, name: str = "<string>", *, tags: frozenset[str] = frozenset()) -> Document:
    """Parse YAML text; see `load_yaml`."""
    try:
        loader = _BaseLoader(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise UsageError(f"{name}{where}: not YAML: {error.problem or error.context}") from error
    except UnicodeEncodeError:  # of a variable of the environment: a file was read as UTF-8
        raise UsageError(f"{name}: not UTF-8") from None
    except yaml.YAMLError as error:
        raise UsageError(f"{name}: not YAML: {error}") from error
    builder = _Builder(name, tags)
    data = builder.build(node, "", 0) if node is not None else None
    return Document(name, data, MappingProxyType(builder.lines))


class _Builder:
    """Turns YAML nodes into plain data, noting lines. Bounded: aliases cannot blow it up."""

    def __init__(self, name: str, tags: frozenset[str]) -> None:
        self.name = name
        self.tags = tags
        self.lines: dict[str, int] = {}
        self.count = 0

    def fail(self, node: Any, message: str) -> UsageError:
        return UsageError(f"{self.name}:{node.start_mark.line + 1}: {message}")

    def build(self, node: Any, pointer: str, depth: int) -> Any:
        self.count += 1
        if depth > _MAX_DEPTH or self.count > _MAX_NODES:
            raise self.fail(node, "nested too deeply or too large (are aliases used in a loop?)")
        self.lines.setdefault(pointer, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node)
        if node.tag.startswith("!"):
            raise self.fail(node, f"the tag {node.tag} is not known here{suggest(node.tag, self.tags)}")
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, f"{pointer}/{i}", depth + 1) for i, item in enumerate(node.value)]
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise self.fail(key_node, "a key must be plain text")
            key = key_node.value
            if key in result:
                raise self.fail(key_node, f"the key {key!r} stands twice")
            here = f"{pointer}/{escape(key)}"
            self.lines[here] = key_node.start_mark.line + 1
            result[key] = self.build(value_node, here, depth + 1)
        return result

    def scalar(self, node: Any) -> Any:
        if node.tag.startswith("!") and node.tag != "!":
            if node.tag not in self.tags:
                raise self.fail(node, f"the tag {node.tag} is not known here{suggest(node.tag, self.tags)}")
            return Tagged(node.tag, node.value)
        text: str = node.value
        return text if node.style else plain_scalar(text)  # quoted, or a block: text as it stands


def plain_scalar(text: str) -> Any:
    """What a scalar without quotes says here."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= 40 else text
    return float(text) if _FLOAT.fullmatch(text) else text


def problems(document: Document, schema: Mapping[str, Any]) -> list[Problem]:
    """Check a document against a JSON Schema (draft 2020-12).

    An unknown key names the nearest right one. An empty list means that the document is valid.
    """
    validator = jsonschema_rs.Draft202012Validator(
        dict(schema), validate_formats=True, offline=True, ignore_unknown_formats=False
    )
    found = {
        Problem(document.path, document.line(pointer), pointer, message)
        for error in validator.iter_errors(_plain(document.data))
        for pointer, message in _explain(error, schema)
    }
    return sorted(found, key=lambda problem: (problem.line, problem.pointer, problem.message))


def _plain(value: Any) -> Any:
    """Data as a schema sees it: a tagged scalar counts as its text."""
    if isinstance(value, Tagged):
        return value.value
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _explain(error: Any, schema: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pointers and messages for one error; of alternatives, the one that was evidently meant."""
    pointer = pointer_of(tuple(error.instance_path))
    keyword = error.kind.name
    if keyword in ("additionalProperties", "unevaluatedProperties"):
        known = _known_keys(error.schema_path, schema)
        return [
            (f"{pointer}/{escape(key)}", f"unknown key {key!r}{suggest(key, known)}")
            for key in error.kind.unexpected
        ]
    if keyword == "propertyNames":
        key, inner = str(error.kind.error.instance), error.kind.error
        known = list(_at(error.schema_path, schema) or ()) if inner.kind.name == "enum" else []
        return [(f"{pointer}/{escape(key)}", f"unknown key {key!r}{suggest(key, known)}")]
    if keyword == "enum":
        known, given = [_word(value) for value in error.kind.options], _word(error.instance)
        return [(pointer, f"{given[:60]!r} is not one of {', '.join(known)}{suggest(given, known)}")]
    if keyword in ("anyOf", "oneOf") and getattr(error.kind, "context", None):
        meant = [
            branch
            for branch in error.kind.context
            if not any(
                inner.kind.name in ("type", "const") and inner.instance_path == error.instance_path
                for inner in branch
            )
        ]
        if len(meant) == 1:
            return [line for inner in meant[0] for line in _explain(inner, schema)]
        if not meant:
            said = " or ".join(
                dict.fromkeys(inner.message for branch in error.kind.context for inner in branch)
            )
            return [(pointer, said)]
    return [(pointer, error.message)]


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _known_keys(path: list[Any], schema: Mapping[str, Any]) -> list[str]:
    """The keys that the schema names beside the violated keyword."""
    here = _at(path[:-1], schema)
    return list(here.get("properties", {})) if isinstance(here, dict) else []


def _at(path: Iterable[Any], schema: Mapping[str, Any]) -> Any:
    """What stands at a path of the schema, its own references followed; None if nothing does."""
    here: Any = schema
    for part in path:
        try:
            here = here[part]
            if part == "$ref":  # into the schema's own definitions
                here = at_pointer(schema, here.removeprefix("#"))
        except (KeyError, IndexError, TypeError):
            return None
    return here


def require_valid(document: Document, schema: Mapping[str, Any]) -> None:
    """Raise a `UsageError` that lists every problem with its file and line, if there is any."""
    found = problems(document, schema)
    if found:
        raise UsageError("\n".join(str(problem) for problem in found))


def read_secret(spec: Mapping[str, str] | str | None, *, base: Path) -> str:
    """A secret from `{"env": NAME}`, `{"file": PATH}` (relative to `base`) or a literal string.

    Raises:
        UsageError: the variable is not set, the file cannot be read, or the secret is empty.
    """
    if isinstance(spec, str):
        return spec
    if spec is None:
        raise UsageError("a secret is missing", hint="give {env: NAME} or {file: PATH}")
    if "env" in spec:
        value = os.environ.get(spec["env"], "")
        if not value:
            raise UsageError(
                f"the environment variable {spec['env']} is not set or empty",
                hint=f"export {spec['env']}='…', or let {{file: PATH}} stand in its place",
            )
        return value
    path = base / spec["file"]
    try:
        value = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageError(f"{path}: the secret cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: the secret cannot be read: not UTF-8") from error
    if not value:
        raise UsageError(f"{path}: the secret is empty")
    return value
