"""What the catalogue is made of: plain values that never change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["c2s", "s2c"]
"""c2s: from a client to the server; s2c: from the server to a client."""
DIRECTIONS: tuple[Direction, ...] = ("c2s", "s2c")
Engine = Literal["jsonschema-rs", "jsonschema", "both"]
"""Which validator judges: the fast one (the default), the reference of the field, or both, which must
agree."""

Severity = Literal["error", "warning", "note"]
"""A note is about what is no frame (a sketch in documentation); no verdict on a frame holds one."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong with a frame.

    Attributes:
        severity: `warning` for an undocumented property of an s2c frame (clients must tolerate additions).
        pointer: JSON pointer into the frame; for an undocumented property, to that property; for a missing
            one, to the object that lacks it.
        keyword: the JSON Schema keyword that is violated, `type` also for a frame whose type is missing,
            unknown or of the other direction; or a reason of strict JSON (`utf8`, `duplicate-key`, …).
        message: what was expected, in one line.
        requirement: ID of the requirement that is broken, if the schemas name one.
        value: the offending value, shortened; empty where there is none.
    """

    severity: Severity
    pointer: str
    keyword: str
    message: str
    requirement: str | None = None
    value: str = ""


@dataclass(frozen=True, slots=True)
class Validation:
    """The verdict on one frame.

    Attributes:
        type: the frame's type if it has a known one, else None.
        direction: the direction it was judged for.
        frame: the parsed frame, or None if it could not be parsed.
        findings: what is wrong, errors first.
    """

    type: str | None
    direction: Direction
    frame: Any
    findings: tuple[Finding, ...] = ()

    @property
    def valid(self) -> bool:
        """Whether there is no finding of severity error."""
        return not self.findings or all(finding.severity != "error" for finding in self.findings)


@dataclass(frozen=True, slots=True)
class Deprecated:
    """That a frame is deprecated: the type to use instead, and a note."""

    replacement: str
    note: str


@dataclass(frozen=True, slots=True)
class Route:
    """Where the generic relay takes a c2s frame.

    Attributes:
        to: `user`, `conversation`, `device` (of the same user) or `contacts`.
        by: JSON pointer into the frame to the ID of the addressee; None for contacts.
    """

    to: str
    by: str | None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer a c2s frame may get: an s2c type, for `error` perhaps its code, and when."""

    type: str
    code: str | None
    when: str


@dataclass(frozen=True, slots=True)
class FrameSpec:
    """One frame type in one direction.

    Attributes:
        stamps: JSON pointer → what the server sets there (`user`, `device`, `now`, `server`, `message`).
        requirements: IDs that a violation breaks unless a subschema names more specific ones.
        schema: the schema as written, with its relative references.
        bundled: the same, self-contained: references point to its own `$defs`.
        source: the schema's file.
    """

    type: str
    direction: Direction
    title: str
    description: str
    capability: str
    since: str
    deprecated: Deprecated | None
    route: Route | None
    stamps: Mapping[str, str]
    replies: tuple[Reply, ...]
    requirements: tuple[str, ...]
    examples: tuple[Mapping[str, Any], ...]
    schema: Mapping[str, Any]
    bundled: Mapping[str, Any]
    source: str


@dataclass(frozen=True, slots=True)
class Requirement:
    """One sentence that a server keeps or breaks.

    Attributes:
        level: MUST, MUST NOT, SHOULD, SHOULD NOT or MAY (RFC 2119).
        source: the heading of the source document it comes from.
        provenance: `documented` (the source says it) or `inferred` (the project decided it).
        frames: the types it speaks of.
        presupposes: IDs of rules without which it cannot be seen to be kept: for a frame that does not come
            they are to blame, where they are never kept.
        untested: why no case proves it, if none does.
        area: prefix of its ID, a key of `Protocol.areas`.
    """

    id: str
    level: str
    text: str
    source: str
    provenance: str
    frames: tuple[str, ...]
    error_codes: tuple[str, ...]
    capability: str | None
    presupposes: tuple[str, ...]
    untested: str | None
    area: str


@dataclass(frozen=True, slots=True)
class Vector:
    """One frame that is known to be valid or invalid.

    Attributes:
        group: what the vectors beside it have in common.
        violates: for an invalid one, JSON pointer into the bundled schema to the violated constraint, if
            stated.
    """

    direction: Direction
    type: str
    group: str
    description: str
    data: Any
    valid: bool
    violates: str | None = None


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """A code of an `error` frame; `reconnect`: whether a client should connect again."""

    name: str
    title: str
    description: str
    provenance: str
    reconnect: bool


@dataclass(frozen=True, slots=True)
class CloseCode:
    """A WebSocket close code, and when a server uses it."""

    code: int
    title: str
    when: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A number that a server decides: a limit, or a time in seconds.

    Attributes:
        default: the reference server's value.
        fixed: whether the protocol fixes it, so that a server cannot choose.
    """

    name: str
    title: str
    default: float
    unit: str
    minimum: float
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Capability:
    """A part of the protocol that a server may leave out, unless `required`."""

    name: str
    title: str
    description: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Profile:
    """What a badge may claim: a set of capabilities, those of the profile it extends among them.

    Attributes:
        capabilities: a server that claims it declares all of these.
        optional: capabilities that count against it only where the server declares them.
    """

    name: str
    title: str
    capabilities: frozenset[str]
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Area:
    """A group of requirements: the prefix of their IDs, their file (without suffix) and a title."""

    name: str
    file: str
    title: str


@dataclass(frozen=True, slots=True)
class Carrier:
    """A way to present the token when connecting."""

    name: str
    title: str
    form: str


@dataclass(frozen=True, slots=True)
class Protocol:
    """What is true beside the frames. Mappings are keyed by name (close codes by number).

    Attributes:
        faults: per direction, which requirement a fault breaks that no frame's schema can name: the
            reasons of strict JSON, `type-missing`, `type-unknown`, `type-direction`, `undocumented`, and
            `schema` for whatever a schema leaves unnamed.
    """

    name: str
    version: str
    path: str
    subprotocol: str
    algorithms: tuple[str, ...]
    carriers: Mapping[str, Carrier]
    areas: Mapping[str, Area]
    capabilities: Mapping[str, Capability]
    profiles: Mapping[str, Profile]
    error_codes: Mapping[str, ErrorCode]
    close_codes: Mapping[int, CloseCode]
    faults: Mapping[Direction, Mapping[str, str]]
    limits: Mapping[str, Limit]
    timing: Mapping[str, Limit]
