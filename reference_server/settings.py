"""The configuration: one file, environment variables over it, flags over both.

Limits and intervals of the protocol take their names, defaults and bounds from the catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from textwrap import wrap
from types import MappingProxyType
from typing import Any, TypeVar

import yaml

from relaykit.config import Document, parse_yaml, plain_scalar, problems, suggest
from relaykit.errors import UsageError
from relaykit.pointers import at_pointer
from relaykit.reference_server.settings_said import SECRETS, explained, why_fixed, zero_bytes
from relaykit.reference_server.store_opening import MEMORY
from relaykit.schemas import Limit, Protocol

ENVIRONMENT = "RELAYKIT_SERVE_"
"""Prefix of the variables: RELAYKIT_SERVE_PORT, RELAYKIT_SERVE_LIMITS_BURST, …"""
_SECTIONS = ("limits", "timing")
_FLAGS = {
    "faults": "fault",
    "origins": "origin",
    "keys": "secret_file",
    "control_token": "control_token_file",
}
_UNITS = {"s": "seconds"}
_FILES = ("store", "tls_cert", "tls_key", "tls_ca_out", "ready_file")
_FIRST_LINE = (
    "# For relaykit serve --config. --print-schema prints its JSON Schema, which editors understand."
)
_MOST_S = 100 * 365 * 86400  # an interval is added to the time of day, which has to stay a date
_MOST = 2**53 - 1  # the largest integer that JSON is sure to keep
_Read = TypeVar("_Read")
# Addresses that mean every one of the machine's: no client connects to such a one.
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  (compared with, not bound to)
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
    store: str = MEMORY
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
    max_unread_bytes: int = 256 * 1024 * 1024
    max_partial_bytes: int = 256 * 1024 * 1024
    max_waiting_bytes: int = 1024 * 1024 * 1024
    max_waiting_bytes_per_sender: int | None = None
    max_memory_store_bytes: int = 1024 * 1024 * 1024
    remembered_messages: int = 1_000_000
    refusals_before_close: int = 1000
    control_port: int | None = None
    control_host: str = "127.0.0.1"
    control_remote: bool = False
    control_token: Mapping[str, str] | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    tls_self_signed: bool = False
    tls_ca_out: str | None = None
    metrics_port: int | None = None
    docs_port: int | None = None
    faults: tuple[str, ...] = ()
    dev: bool = False
    log_frames: bool | None = None
    log_format: str = "text"
    verbose: bool = False
    ready_file: str | None = None
    base: Path = field(default=Path())
    """Where relative paths of key files start."""
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Setting that is a list → where each of its items stands in the configuration file, if they do: file,
    line, JSON pointer."""


PLACES = ("base", "places")
"""What is no setting, but says where settings come from."""


def host_in_url(host: str) -> str:
    """An address that is listened on, as clients on this machine call it in a URL."""
    host = _EVERYWHERE.get(host, host)
    return f"[{host}]" if ":" in host else host


def why_not(error: OSError | UnicodeError) -> str:
    """Why an address cannot be listened on."""
    if isinstance(error, UnicodeError):  # of the codec for names of hosts, and in its words
        return "no name of a host has an empty part, or one of more than 63 characters"
    return error.strerror or str(error)


def defaults(protocol: Protocol, **changes: Any) -> Settings:
    """The settings of a server that nobody configured, with changes; `limits` and `timing` are merged."""
    for section in _SECTIONS:
        changes[section] = _section(protocol, section, changes.get(section, {}))
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
        found = explained(problems(file, schema), file.data, protocol)
        found += zero_bytes(file, file.data)
        if found:
            raise UsageError("\n".join(map(str, found)))
        values.update(_located(file.data, Path(file.path).parent))
    variables = _located(_from_environment(environ, schema, protocol), Path())
    for name, text in variables.items():
        _put(values, name, text)
    for name, value in _located(flags, Path()).items():
        if value is not None:
            flag = f"--{_FLAGS.get(name, name).replace('_', '-')}"
            document = Document(flag, {name: value}, {})
            found = explained(problems(document, schema), document.data, protocol)
            if found:
                within = found[0].pointer.split("/")[2:] if name in _SECTIONS else ()
                raise UsageError(f"{' '.join((flag, *within))}: {found[0].message}")
            if name in _SECTIONS:
                values[name] = {**values.get(name, {}), **value}
            else:
                values[name] = value
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    if file is not None:
        values["base"] = Path(file.path).parent
        values["places"] = {
            name: tuple(f"{file.place(pointer)}: {pointer}" for pointer in pointers)
            for name, pointers in _items(file.data).items()
            if flags.get(name) is None and name not in variables
        }
    return defaults(protocol, **values)


def read_each(settings: Settings, name: str, read: Callable[[Any], _Read]) -> tuple[_Read, ...]:
    """What each item of a setting that is a list comes to.

    Raises:
        UsageError: `read` raises it for an item; the place of that in the file is told with it.
    """
    places = settings.places.get(name, ())

    def placed(number: int, item: Any) -> _Read:
        try:
            return read(item)
        except UsageError as error:
            if number >= len(places):
                raise
            raise UsageError(f"{places[number]}: {error}", hint=error.hint) from error

    return tuple(placed(number, item) for number, item in enumerate(getattr(settings, name)))


def as_data(settings: Settings) -> dict[str, Any]:
    """The settings as a configuration file anywhere would say them; secrets are named, never shown."""
    data = {f.name: _plain(getattr(settings, f.name)) for f in fields(settings) if f.name not in PLACES}
    data["keys"] = [_key_located(key, settings.base) for key in settings.keys]
    if settings.control_token is not None:
        data["control_token"] = _located(settings.control_token, settings.base, ("file",))
    return {name: value for name, value in data.items() if name != "keys" or value}


def as_text(settings: Settings, protocol: Protocol) -> str:
    """The same as a file to start from: what each setting means stands above it."""
    rules, lines = schema_of(protocol)["properties"], [_FIRST_LINE]
    for name, value in as_data(settings).items():
        lines += ["", *_comment(rules[name]["description"])]
        if name in _SECTIONS:
            lines.append(f"{name}:")
            for inner, inner_value in value.items():
                lines += _comment(rules[name]["properties"][inner]["description"], "  ")
                lines += [f"  {line}" for line in _yaml(inner, inner_value)]
        else:
            lines += _yaml(name, value)
    return "\n".join(lines)


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


def _items(data: Any) -> dict[str, list[str]]:
    """Setting that is a list → the pointers to its items."""
    lists = {name: value for name, value in (data or {}).items() if isinstance(value, list)}
    return {name: [f"/{name}/{number}" for number in range(len(value))] for name, value in lists.items()}


def _comment(text: str, indent: str = "") -> list[str]:
    return wrap(text, 100, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")


class _Dumper(yaml.SafeDumper):
    """Writes text such that `parse_yaml` reads it as text."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    plain = text.isprintable() and plain_scalar(text) == text  # others break lines, or have to be escaped
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


_Dumper.add_representer(str, _text)


def _yaml(name: str, value: Any) -> list[str]:
    text: str = yaml.dump({name: value}, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    return text.rstrip("\n").split("\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _located(values: Mapping[str, Any], base: Path, names: Sequence[str] = _FILES) -> dict[str, Any]:
    """Values of which those that are paths no longer depend on the folder they were written for."""
    return {
        name: str((base / value).absolute())
        if name in names and isinstance(value, str) and value not in ("", MEMORY)
        else value
        for name, value in values.items()
    }


def _key_located(key: Mapping[str, Any], base: Path) -> dict[str, Any]:
    return {name: _located(v, base, ("file",)) if isinstance(v, Mapping) else v for name, v in key.items()}


@cache
def _own_schema() -> str:
    return (Path(__file__).parent / "settings.schema.json").read_text(encoding="utf-8")


def _property(limit: Limit) -> dict[str, Any]:
    kind = "number" if limit.unit == "s" else "integer"
    words = limit.title.lower().split()
    unit = "" if limit.unit.partition("/")[0] in words else f", in {_UNITS.get(limit.unit, limit.unit)}"
    most = _MOST_S if limit.unit == "s" else _MOST
    return {"description": f"{limit.title}{unit}.", "type": kind, "minimum": limit.minimum, "maximum": most}


def _section(protocol: Protocol, section: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
    limits: Mapping[str, Limit] = getattr(protocol, section)
    unknown = set(given) - {name for name, limit in limits.items() if not limit.fixed}
    if unknown:
        name = sorted(unknown)[0]
        no_such = f"there is no limit or interval named {name!r}{suggest(name, limits)}"
        raise UsageError(why_fixed(section, name, protocol) or no_such)
    chosen = {name: given.get(name, limit.default) for name, limit in limits.items() if not limit.fixed}
    return MappingProxyType(chosen)


def _from_environment(
    environ: Mapping[str, str], schema: Mapping[str, Any], protocol: Protocol
) -> dict[str, Any]:
    """Setting (or section/name) → value, for the variables with our prefix."""
    known: dict[str, Mapping[str, Any]] = {}
    for name, rule in schema["properties"].items():
        if name in _SECTIONS:
            known |= {f"{name}/{inner}": inner_rule for inner, inner_rule in rule["properties"].items()}
        elif name not in SECRETS:
            known[name] = rule
    variables = {ENVIRONMENT + name.replace("/", "_").upper(): name for name in known}
    found: dict[str, Any] = {}
    for variable in sorted(environ):
        if not variable.startswith(ENVIRONMENT):
            continue
        if variable.removeprefix(ENVIRONMENT).lower() in SECRETS:
            raise UsageError(
                f"{variable}: secrets are not set like that",
                hint="the signing key is RELAYKIT_SECRET, the control token RELAYKIT_CONTROL_TOKEN;"
                " or name files and variables that hold them in --config",
            )
        section, _, inner = variable.removeprefix(ENVIRONMENT).lower().partition("_")
        why = why_fixed(section, inner, protocol) if section in _SECTIONS else None
        if why is not None:
            raise UsageError(f"{variable}: {why}")
        if variable not in variables:
            raise UsageError(f"{variable}: no such setting{suggest(variable, variables)}")
        name = variables[variable]
        document = parse_yaml(environ[variable], variable)
        rule = known[name]
        kind = at_pointer(schema, rule["$ref"][1:]) if "$ref" in rule else rule
        if "string" in kind.get("type", ()) and isinstance(document.data, int | float):
            document = replace(document, data=environ[variable].strip())  # a name may look like a number
        wrong = [
            *problems(document, {**rule, "$defs": schema["$defs"]}),
            *zero_bytes(document, document.data),
        ]
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
