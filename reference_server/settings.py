"""The configuration: one file, environment variables over it, flags over both.

Limits and intervals of the protocol take their names, defaults and bounds from the catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from relaykit.config import Document, parse_yaml, problems, require_valid, suggest
from relaykit.errors import UsageError
from relaykit.schemas import Limit, Protocol

ENVIRONMENT = "RELAYKIT_SERVE_"
"""Prefix of the variables: RELAYKIT_SERVE_PORT, RELAYKIT_SERVE_LIMITS_BURST, …"""
_SECTIONS = ("limits", "timing")
# Pages served on the developer's own machine; anything else is to be named.
_LOOPBACK = tuple(
    f"{scheme}://{host}{port}"
    for scheme in ("http", "https")
    for host in ("localhost", "127.0.0.1", "[::1]")
    for port in ("", ":*")
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How one server is set up. Times are seconds; see settings.schema.json for what each means."""

    limits: Mapping[str, int]
    timing: Mapping[str, float]
    host: str = "127.0.0.1"
    port: int = 8787
    store: str = ":memory:"
    server_id: str = "server-1"
    keys: tuple[Mapping[str, Any], ...] = ()
    origins: tuple[str, ...] | None = _LOOPBACK
    require_origin: bool = False
    compression: bool = True
    legacy_frames: bool = True
    check_output: bool = False
    handshake_timeout_s: float = 10.0
    close_timeout_s: float = 5.0
    shutdown_timeout_s: float = 5.0
    max_handshake_bytes: int = 16 * 1024
    max_handshakes: int = 1024
    max_connections: int = 20_000
    max_outgoing_bytes: int = 1024 * 1024
    refusals_before_close: int = 1000
    control_port: int | None = None
    control_host: str = "127.0.0.1"
    control_remote: bool = False
    base: Path = field(default=Path())
    """Where relative paths of key files start."""


def defaults(protocol: Protocol, **changes: Any) -> Settings:
    """The settings of a server that nobody configured, with changes; `limits` and `timing` are merged."""
    for section in _SECTIONS:
        changes[section] = _section(getattr(protocol, section), changes.get(section, {}))
    return Settings(**changes)


def load(
    protocol: Protocol,
    *,
    file: Document | None = None,
    environ: Mapping[str, str] = MappingProxyType({}),
    flags: Mapping[str, Any] = MappingProxyType({}),
) -> Settings:
    """Put the configuration together.

    Args:
        file: the parsed configuration file.
        environ: environment variables; those that begin with `ENVIRONMENT` count.
        flags: values of the command line by setting, None where a flag was not given; sections are merged.

    Raises:
        UsageError: a wrong value or name, with its place.
    """
    schema = schema_of(protocol)
    values: dict[str, Any] = {}
    if file is not None and file.data is not None:
        require_valid(file, schema)
        values.update(file.data)
    for name, text in _from_environment(environ, schema).items():
        _put(values, name, text)
    for name, value in flags.items():
        if value is not None:
            found = problems(Document(f"--{name.replace('_', '-')}", {name: value}, {}), schema)
            if found:
                raise UsageError(f"--{name.replace('_', '-')}: {found[0].message}")
            if name in _SECTIONS:
                values[name] = {**values.get(name, {}), **value}
            else:
                values[name] = value
    for name in ("keys", "origins"):
        if isinstance(values.get(name), list):
            values[name] = tuple(values[name])
    if file is not None:
        values["base"] = Path(file.path).parent
    return defaults(protocol, **values)


def as_data(settings: Settings) -> dict[str, Any]:
    """The settings as a configuration file would say them; keys are named, never shown."""
    data = {f.name: getattr(settings, f.name) for f in fields(settings) if f.name not in ("base", "keys")}
    data["origins"] = list(settings.origins) if settings.origins is not None else None
    if settings.keys:
        data["keys"] = [dict(key) for key in settings.keys]
    return {**data, **{section: dict(data[section]) for section in _SECTIONS}}


def schema_of(protocol: Protocol) -> dict[str, Any]:
    """The configuration file's JSON Schema."""
    schema = json.loads(_own_schema())
    for section in _SECTIONS:
        schema["properties"][section]["additionalProperties"] = False
        schema["properties"][section]["properties"] = {
            name: _property(limit) for name, limit in getattr(protocol, section).items() if not limit.fixed
        }
    algorithm = schema["properties"]["keys"]["items"]["properties"]["algorithm"]
    algorithm["enum"] = list(protocol.algorithms)
    return dict(schema)


@cache
def _own_schema() -> str:
    return (Path(__file__).parent / "settings.schema.json").read_text(encoding="utf-8")


def _property(limit: Limit) -> dict[str, Any]:
    kind = "number" if limit.unit == "s" else "integer"
    return {"description": f"{limit.title}, in {limit.unit}.", "type": kind, "minimum": limit.minimum}


def _section(limits: Mapping[str, Limit], given: Mapping[str, Any]) -> Mapping[str, Any]:
    unknown = set(given) - {name for name, limit in limits.items() if not limit.fixed}
    if unknown:
        name = sorted(unknown)[0]
        raise UsageError(f"there is no limit or interval named {name!r}{suggest(name, limits)}")
    chosen = {name: given.get(name, limit.default) for name, limit in limits.items() if not limit.fixed}
    return MappingProxyType(chosen)


def _from_environment(environ: Mapping[str, str], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Setting (or section/name) → value, for the variables with our prefix."""
    known: dict[str, Mapping[str, Any]] = {}
    for name, rule in schema["properties"].items():
        if name in _SECTIONS:
            known |= {f"{name}/{inner}": inner_rule for inner, inner_rule in rule["properties"].items()}
        elif name != "keys":
            known[name] = rule
    variables = {ENVIRONMENT + name.replace("/", "_").upper(): name for name in known}
    found: dict[str, Any] = {}
    for variable in sorted(environ):
        if not variable.startswith(ENVIRONMENT):
            continue
        if variable not in variables:
            raise UsageError(f"{variable}: no such setting{suggest(variable, variables)}")
        name = variables[variable]
        document = parse_yaml(environ[variable], variable)
        wrong = problems(document, known[name])
        if wrong:
            raise UsageError(f"{variable}: {wrong[0].message}")
        found[name] = document.data
    return found


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    section, _, inner = name.partition("/")
    if inner:
        values[section] = {**values.get(section, {}), inner: value}
    else:
        values[name] = value
