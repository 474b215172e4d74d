"""AsyncAPI 3.0.0: the frames as one channel, from the server's or from the client's view.

What other tools are known to trip over decides the form: 3.0.0, since newer versions are passed over in
silence; one operation per frame; an operation's messages point to those of the channel; WebSocket bindings
stand at the channel only. The payloads are those of `bundle`: nothing of them needs a newer JSON Schema than
the draft 7 that AsyncAPI's own schemas extend.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from relaykit.schemas.bundle import bundle
from relaykit.schemas.catalogue import Catalogue
from relaykit.schemas.frozen import thaw
from relaykit.schemas.model import DIRECTIONS, Direction, FrameSpec, Protocol
from relaykit.schemas.subschemas import map_schemas

View = Literal["server", "client"]
VIEWS: tuple[View, ...] = get_args(View)
_CHANNEL = "session"
_TOKENS: Mapping[str, dict[str, Any]] = {
    "query": {"type": "httpApiKey", "name": "token", "in": "query"},
    "header": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "subprotocol": {"type": "httpApiKey", "name": "Sec-WebSocket-Protocol", "in": "header"},
}


def asyncapi(catalogue: Catalogue, view: View) -> dict[str, Any]:
    """The AsyncAPI document.

    Args:
        view: whose actions the operations are: a server receives what a client sends.
    """
    protocol = catalogue.protocol
    keys = sorted(catalogue.frames)
    return {
        "asyncapi": "3.0.0",
        "info": _info(protocol, view),
        "defaultContentType": "application/json",
        "servers": _servers(protocol),
        "channels": {_CHANNEL: _channel(catalogue, keys)},
        "operations": {f"{way}.{name}": _operation(catalogue.frame(way, name), view) for way, name in keys},
        "components": {
            "messages": {f"{way}.{name}": _message(catalogue.frame(way, name)) for way, name in keys},
            "schemas": _schemas(catalogue),
            "securitySchemes": {name: _token(protocol, name) for name in protocol.carriers},
            "tags": {name: _tag(protocol, name) for name in protocol.capabilities},
        },
    }


def _info(protocol: Protocol, view: View) -> dict[str, Any]:
    whose = "a server receives and sends" if view == "server" else "a client sends and receives"
    return {
        "title": f"{protocol.name}, seen by the {view}",
        "version": f"{protocol.version}.0" if protocol.version.count(".") == 1 else protocol.version,
        "description": (
            f"Every frame that {whose} over one WebSocket. Rendered from the protocol's schemas by "
            f"`relaykit export asyncapi`; the schemas and requirements are the source of truth."
        ),
        "contact": {"name": "relaykit"},
        "license": {"name": "MIT"},
        "tags": [_reference("tags", name) for name in protocol.capabilities],
    }


def _servers(protocol: Protocol) -> dict[str, Any]:
    security = [_reference("securitySchemes", name) for name in protocol.carriers]
    return {
        "local": {
            "host": "127.0.0.1:8787",
            "protocol": "ws",
            "title": "The reference server",
            "description": "As `relaykit serve` starts it. Any other speaks wss, TLS 1.3.",
            "security": security,
        }
    }


def _token(protocol: Protocol, name: str) -> dict[str, Any]:
    carrier = protocol.carriers[name]
    return {**_TOKENS[name], "description": f"{carrier.title}: {carrier.form}"}


def _tag(protocol: Protocol, name: str) -> dict[str, Any]:
    return {"name": name, "description": protocol.capabilities[name].description}


def _reference(section: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{section}/{name}"}


def _in_channel(direction: Direction, name: str) -> dict[str, str]:
    return {"$ref": f"#/channels/{_CHANNEL}/messages/{direction}.{name}"}


def _channel(catalogue: Catalogue, keys: list[tuple[Direction, str]]) -> dict[str, Any]:
    return {
        "address": catalogue.protocol.path,
        "title": "Session",
        "description": "One WebSocket: each text message is one frame, a JSON object named by its type.",
        "servers": [{"$ref": "#/servers/local"}],
        "messages": {f"{way}.{name}": _reference("messages", f"{way}.{name}") for way, name in keys},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }


def _operation(spec: FrameSpec, view: View) -> dict[str, Any]:
    sends = (spec.direction == "c2s") == (view == "client")
    operation: dict[str, Any] = {
        "action": "send" if sends else "receive",
        "channel": {"$ref": f"#/channels/{_CHANNEL}"},
        "title": spec.title,
        "summary": f"{'Send' if sends else 'Receive'} {spec.type}",
        "description": spec.description,
        "tags": [_reference("tags", spec.capability)],
        "messages": [_in_channel(spec.direction, spec.type)],
    }
    answers = dict.fromkeys(reply.type for reply in spec.replies)
    if answers:
        operation["reply"] = {
            "channel": {"$ref": f"#/channels/{_CHANNEL}"},
            "messages": [_in_channel("s2c", name) for name in answers],
        }
    return operation


def _message(spec: FrameSpec) -> dict[str, Any]:
    deprecated = f"Deprecated. {spec.deprecated.note} " if spec.deprecated else ""
    return {
        "name": spec.type,
        "title": spec.title,
        "summary": deprecated + spec.description,
        "contentType": "application/json",
        "tags": [_reference("tags", spec.capability)],
        "payload": _reference("schemas", f"{spec.direction}.{spec.type}"),
        "examples": [
            {"name": f"{spec.direction}.{spec.type}.{place}", "payload": thaw(example)}
            for place, example in enumerate(spec.examples, 1)
        ],
    }


def _schemas(catalogue: Catalogue) -> dict[str, Any]:
    """The definitions of the bundle. Examples of frames stand at their messages."""

    def change(sub: dict[str, Any]) -> dict[str, Any]:
        if "$ref" in sub:
            sub["$ref"] = f"#/components/schemas/{sub['$ref'].removeprefix('#/$defs/')}"
        return sub

    definitions = bundle(catalogue)["$defs"]
    frames = {f"{way}.{name}" for way, name in catalogue.frames}
    return {
        name: {
            key: value
            for key, value in map_schemas(schema, change).items()
            if not (key == "examples" and name in frames)
        }
        for name, schema in definitions.items()
        if name not in DIRECTIONS
    }
