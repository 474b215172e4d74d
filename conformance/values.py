"""Values of a case: variables, references (`${alice.id}`, `${m[2]}`, `${g.group_id}`) and their substitution.

Everything a case makes up follows from its seed, so that the same seed sends the same frames again.
"""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from relaykit.config import suggest
from relaykit.conformance.grammar import Absent, Match, VarSpec

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_INNER = re.compile(r"([a-z][a-z0-9_]*)(?:\[([a-z0-9_]+)\])?((?:\.[A-Za-z0-9_]+)*)(?:\|(upper|lower))?")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_PREFIXES = {"uuid": "", "conversation": "conv-", "media": "media-", "group": "group-", "request": "req-"}


class BadReferenceError(Exception):
    """A reference that means nothing; the message says what it could have been."""


def fresh_uuid(rng: random.Random) -> str:
    """A random UUID (version 4) in its usual lower-case form."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def timestamp(offset_s: float = 0.0) -> str:
    """Now plus an offset, as the protocol writes timestamps (RFC 3339, UTC, milliseconds)."""
    moment = datetime.now(UTC) + timedelta(seconds=offset_s)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(slots=True)
class Scope:
    """What references can mean in one case.

    Attributes:
        seed: from which all made-up values follow.
        roots: actors, limits and timing: name → (nested) values.
        vars: declared variables; their values are made when first asked for.
        given: captured values, results of control steps and counters, set while the case runs.
    """

    seed: str
    roots: Mapping[str, Any]
    vars: Mapping[str, VarSpec]
    given: dict[str, Any] = field(default_factory=dict)
    _made: dict[tuple[str, str], Any] = field(default_factory=dict)

    def names(self) -> Iterator[str]:
        yield from (*self.given, *self.vars, *self.roots)

    def lookup(self, inner: str) -> Any:
        """The value of what stands between `${` and `}`.

        Raises:
            BadReferenceError: it is malformed, or names nothing.
        """
        found = _INNER.fullmatch(inner.strip())
        if found is None:
            raise BadReferenceError(f"${{{inner}}} is not a reference")
        name, index, rest, change = found.groups()
        value = self._named(name, index)
        for part in rest.split(".")[1:]:
            if isinstance(value, Mapping) and part in value:
                value = value[part]
            elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
                value = value[int(part)]
            else:
                near = suggest(part, value) if isinstance(value, Mapping) else ""
                raise BadReferenceError(f"${{{inner}}}: there is no {part!r} in it{near}")
        if change is not None:
            value = str(value).upper() if change == "upper" else str(value).lower()
        return value

    def _named(self, name: str, index: str | None) -> Any:
        if index is not None:
            if name not in self.vars:
                raise BadReferenceError(f"${{{name}[{index}]}}: only a variable can be indexed")
            number = index if index.isdigit() else str(self._named(index, None))
            return self._make(self.vars[name], number)
        if name in self.given:
            return self.given[name]
        if name in self.vars:
            return self._make(self.vars[name], "")
        if name in self.roots:
            return self.roots[name]
        raise BadReferenceError(f"${{{name}}} is not defined{suggest(name, self.names())}")

    def _make(self, spec: VarSpec, index: str) -> Any:
        key = (spec.name, index)
        if key not in self._made:
            # Seeded per name, so that a variable more or less leaves the others as they were.
            rng = random.Random(f"{self.seed}/{spec.name}/{index}")
            self._made[key] = _value(spec, rng, self)
        return self._made[key]

    def fill(self, template: Any) -> Any:
        """The template with every reference replaced; one that stands alone keeps its value's type."""
        if isinstance(template, str):
            if "${" not in template:
                return template
            whole = _REFERENCE.fullmatch(template)
            if whole is not None:
                return self.lookup(whole[1])
            return _REFERENCE.sub(lambda found: str(self.lookup(found[1])), template)
        if isinstance(template, Mapping):
            return {self.fill(key): self.fill(value) for key, value in template.items()}
        if isinstance(template, (list, tuple)):
            return [self.fill(item) for item in template]
        if isinstance(template, Match):
            return Match(str(self.fill(template.pattern)))
        return template


def _value(spec: VarSpec, rng: random.Random, scope: Scope) -> Any:
    argument = scope.fill(spec.argument)
    match spec.kind:
        case "base64":
            return _text(rng, _ALPHABET, 44 if argument is None else int(argument))
        case "text":
            return _text(rng, "abcdefghijklmnopqrstuvwxyz ", 24 if argument is None else int(argument))
        case "timestamp":
            return timestamp(0.0 if argument is None else float(argument))
        case "value":
            return argument
        case kind:
            return _PREFIXES[kind] + fresh_uuid(rng)


def _text(rng: random.Random, alphabet: str, length: int) -> str:
    # A random block, repeated: long texts cost no time, and are still different in every case.
    block = "".join(rng.choices(alphabet.strip(), k=min(length, 256)))
    return (block * (length // 256 + 1))[:length]


def references(template: Any) -> Iterable[str]:
    """The inner text of every reference in a template."""
    if isinstance(template, str):
        yield from (found[1] for found in _REFERENCE.finditer(template))
    elif isinstance(template, Mapping):
        for key, value in template.items():
            yield from references(key)
            yield from references(value)
    elif isinstance(template, (list, tuple)):
        for item in template:
            yield from references(item)
    elif isinstance(template, Match):
        yield from references(template.pattern)
    elif not isinstance(template, Absent):
        return
