"""The target file: what the suite has to know of the server under test."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from relaykit.config import Document, problems
from relaykit.conformance.control_spec import ControlSpec, HttpControl, read_control
from relaykit.conformance.dialect import DialectSpec, read_dialect
from relaykit.conformance.endpoints import Tls, read_tls, read_urls
from relaykit.conformance.expectations import Expectation, read_expectations
from relaykit.conformance.header_spec import hidden, read_headers
from relaykit.conformance.leavings import Tidy
from relaykit.conformance.loader import schema
from relaykit.conformance.stops import UntestableError
from relaykit.conformance.templates import HEADER_NAMES, check_names
from relaykit.conformance.token_spec import Minting, TokenSource, read_minting, read_tokens, token_secrets
from relaykit.errors import UsageError
from relaykit.schemas import Catalogue

CARRIERS = ("header", "query", "subprotocol")
"""Ways to present the token, in the order in which the suite tries them when the target file names none."""


@dataclass(frozen=True, slots=True)
class Waits:
    """How long the suite waits, in seconds."""

    reply: float = 2.0
    quiet: float = 0.05
    connect: float = 5.0
    case: float = 30.0

    def scaled(self, factor: float) -> Waits:
        """All of them longer (or shorter), for slow machines and debuggers."""
        return Waits(self.reply * factor, self.quiet * factor, self.connect * factor, self.case * factor)


@dataclass(frozen=True, slots=True)
class Legacy:
    """How a connection asks for the deprecated frames."""

    query: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Target:
    """The server under test, as its target file (or the command line) describes it.

    Attributes:
        urls: where it listens; several: the nodes of one cluster, over which connections are spread.
        previous: how tokens are signed with the key before the current one, if that is still accepted.
        capabilities: those that it declares.
        probed: those that are tried before the first case; see `relaykit.conformance.capabilities`.
        carrier: None: the first that works.
        limits: every limit of the protocol, with the target's value or the default.
        stated: the limits that the target file states: only those can be judged.
        timing: every time of the protocol in seconds, likewise.
        fence: what shows that nothing came: `heartbeat` or `frame`; see `relaykit.conformance.fence`.
        concurrency: cases at the same time; None: the suite decides.
        connections_per_second: the suite opens no more; None: as many as it likes.
        frames_per_second: the suite sends no more on one connection, but where a case is about that.
        dialect: translates frames, for a server whose wire differs.
        tidy: what happens at the end of a run to what it made on the target.
    """

    urls: tuple[str, ...]
    name: str
    tokens: TokenSource
    previous: Minting | None = None
    carrier: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: Tls = field(default_factory=Tls)
    control: ControlSpec | None = None
    capabilities: frozenset[str] = frozenset()
    probed: frozenset[str] = frozenset()
    limits: Mapping[str, float] = field(default_factory=dict)
    stated: frozenset[str] = frozenset()
    timing: Mapping[str, float] = field(default_factory=dict)
    waits: Waits = Waits()
    fence: str = "heartbeat"
    legacy: Legacy | None = None
    concurrency: int | None = None
    connections_per_second: float | None = None
    frames_per_second: float | None = None
    dialect: DialectSpec | None = None
    tidy: Tidy = "own"
    expected: tuple[Expectation, ...] = ()

    @property
    def url(self) -> str:
        """Where it listens: the first of several."""
        return self.urls[0]

    @property
    def minting(self) -> Minting:
        """How the suite signs tokens.

        Raises:
            UntestableError: it does not: they are fetched, or fixed.
        """
        if not isinstance(self.tokens, Minting):
            raise UntestableError("needs tokens that the suite signs itself (tokens.mint in the target file)")
        return self.tokens

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        token = self.control.token if isinstance(self.control, HttpControl) else None
        previous = (self.previous.key,) if self.previous else ()
        more = (text for text in (token, self.tls.password) if text)
        headers = hidden((self.headers, self.legacy.headers if self.legacy else {}))
        return (*token_secrets(self.tokens), *previous, *more, *headers)

    def offers(self, operation: str) -> bool:
        """Whether the control interface may have this operation."""
        if self.control is None:
            return False
        return self.control.operations is None or operation in self.control.operations

    def tls_context(self) -> ssl.SSLContext | None:
        """The TLS settings of the connection; None for ws://.

        Raises:
            UsageError: a file with certificates or a key cannot be used.
        """
        return self.tls.context() if urlsplit(self.url).scheme == "wss" else None

    def https_context(self) -> ssl.SSLContext | None:
        """The same settings for https:// in `control` and `tokens`; None where the target file states none.

        Raises:
            UsageError: as `tls_context`.
        """
        return self.tls.context() if self.tls != Tls() else None


def read_target(document: Document, catalogue: Catalogue, *, base: Path) -> Target:
    """The target that a document (or what the command line makes of its options) describes."""
    found = problems(document, target_schema(catalogue))
    if found:
        raise UsageError("\n".join(str(problem) for problem in found))
    data = document.data
    pacing = data.get("pacing", {})
    check_names(document, "/headers", data.get("headers", {}), HEADER_NAMES)
    protocol = catalogue.protocol
    stated = data.get("capabilities", {})
    declared = {name for name, served in stated.items() if served is True}
    core = {name for name, capability in protocol.capabilities.items() if capability.required}
    urls = read_urls(document, protocol.path)
    return Target(
        urls=urls,
        name=data.get("name", urls[0]),
        tokens=read_tokens(document, base),
        previous=read_minting(document, base, "previous") if "previous" in data["tokens"] else None,
        carrier=data.get("carrier"),
        headers=read_headers(document, "/headers", data.get("headers", {}), base),
        tls=read_tls(document, base),
        control=read_control(document, base),
        capabilities=frozenset(declared | core),
        probed=frozenset(name for name, served in stated.items() if served == "probe") - core,
        limits=_numbers(data.get("limits", {}), protocol.limits),
        stated=frozenset(data.get("limits", {})),
        timing=_numbers(data.get("timing", {}), protocol.timing),
        waits=_waits(data.get("timing", {})),
        fence=data.get("timing", {}).get("fence", "heartbeat"),
        legacy=_legacy(document, base),
        concurrency=data.get("concurrency"),
        connections_per_second=pacing.get("connections_per_second"),
        frames_per_second=pacing.get("frames_per_second"),
        dialect=read_dialect(document, base),
        tidy=data.get("tidy", "own"),
        expected=read_expectations(document, base),
    )


def _legacy(document: Document, base: Path) -> Legacy | None:
    given = document.data.get("legacy")
    if given is None:
        return None
    headers = read_headers(document, "/legacy/headers", given.get("headers", {}), base)
    return Legacy(given.get("query", ""), headers)


def target_schema(catalogue: Catalogue) -> dict[str, Any]:
    """The schema of target files, completed with the protocol's own names."""
    base = schema("target")
    properties = dict(base["properties"])
    protocol = catalogue.protocol

    def named(key: str, names: Mapping[str, Any], value: dict[str, Any]) -> None:
        listed = {name: {**value, "title": described.title} for name, described in names.items()}
        own = properties[key]
        merged = {**own.get("properties", {}), **listed}
        properties[key] = {**own, "properties": merged, "additionalProperties": False}

    named("capabilities", protocol.capabilities, {"enum": [True, False, "probe"]})
    named("limits", protocol.limits, {"type": "number", "exclusiveMinimum": 0})
    named("timing", protocol.timing, {"type": "number", "minimum": 0})
    return {**base, "properties": properties}


def _numbers(given: Mapping[str, float], known: Mapping[str, Any]) -> Mapping[str, float]:
    return MappingProxyType({name: given.get(name, described.default) for name, described in known.items()})


def _waits(timing: Mapping[str, float]) -> Waits:
    default = Waits()
    return Waits(
        reply=timing.get("reply_ms", default.reply * 1000) / 1000,
        quiet=timing.get("quiet_ms", default.quiet * 1000) / 1000,
        connect=timing.get("connect_ms", default.connect * 1000) / 1000,
        case=timing.get("case_s", default.case),
    )
