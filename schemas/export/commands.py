"""`relaykit export`: the protocol in forms that other tools read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import orjson

from relaykit.errors import UsageError
from relaykit.schemas.bundle import bundle, frame_bundle
from relaykit.schemas.catalogue import Catalogue, load_catalogue
from relaykit.schemas.export.asyncapi import VIEWS, View, asyncapi
from relaykit.schemas.export.openapi import control_openapi
from relaykit.schemas.export.typescript import typescript
from relaykit.schemas.frozen import thaw
from relaykit.schemas.lines import control_lines
from relaykit.schemas.model import DIRECTIONS, Direction
from relaykit.schemas.output import writer

_OUTPUT = click.option("--output", type=click.Path(path_type=Path), help="Write to this file.")
_CATALOGUE = click.option(
    "--catalogue",
    type=click.Path(path_type=Path),
    help="Folder laid out like schemas/, in place of the kit's own.",
)


@click.group()
def export() -> None:
    """Write the protocol in forms that other tools read.

    `relaykit docs build` writes all of them beside the pages.
    """


@export.command("bundle")
@click.option(
    "--extensions/--no-extensions",
    default=True,
    show_default=True,
    help="Keep the x- keywords (direction, capability, requirements …). Strict tools refuse them.",
)
@click.option(
    "--closed",
    is_flag=True,
    help="Server frames as written, without undocumented properties. Clients must tolerate those.",
)
@click.option("--frame", "frame", metavar="DIRECTION/TYPE", help="One frame only, such as c2s/send.")
@_OUTPUT
@_CATALOGUE
def export_bundle(
    extensions: bool, closed: bool, frame: str | None, output: Path | None, catalogue: Path | None
) -> None:
    """Write the schemas as one self-contained JSON Schema (draft 2020-12).

    All references are internal and nothing is fetched. #/$defs/c2s and #/$defs/s2c are the frames of
    each direction, #/$defs/c2s.send is one of them.

    \b
    Examples:
      relaykit export bundle --no-extensions --output protocol.schema.json
      relaykit export bundle --frame s2c/deliver
    """
    known = load_catalogue(catalogue)
    if frame is None:
        schema: dict[str, Any] = bundle(known, extensions=extensions, closed=closed)
    else:
        direction, name = _frame_name(frame)
        schema = frame_bundle(known.frame(direction, name), extensions=extensions, closed=closed)
    _write_json(schema, output)


@export.command("asyncapi")
@click.option(
    "--view",
    type=click.Choice(VIEWS),
    default="client",
    show_default=True,
    help="Whose actions the operations are: what a client sends a server receives.",
)
@_OUTPUT
@_CATALOGUE
def export_asyncapi(view: View, output: Path | None, catalogue: Path | None) -> None:
    """Write an AsyncAPI 3.0.0 document: one channel, an operation per frame, answers, examples.

    \b
    Examples:
      relaykit export asyncapi --output asyncapi.json
      relaykit export asyncapi --view server --output asyncapi.server.json
    """
    _write_json(asyncapi(load_catalogue(catalogue), view), output)


@export.command("openapi")
@_OUTPUT
@_CATALOGUE
def export_openapi(output: Path | None, catalogue: Path | None) -> None:
    """Write the OpenAPI 3.1 document of the control interface, which test builds of a server may offer.

    \b
    Example:
      relaykit export openapi --output control.openapi.json
    """
    _write_json(control_openapi(load_catalogue(catalogue).root), output)


@export.command("control-lines")
@_OUTPUT
@_CATALOGUE
def export_control_lines(output: Path | None, catalogue: Path | None) -> None:
    """Write the JSON Schema of the lines by which a control command is asked and answers.

    A command that a target file names under control.command reads one request a line and writes one answer a
    line. #/$defs/request and #/$defs/answer are the two, #/$defs/create_group_result is what a result holds.

    \b
    Example:
      relaykit export control-lines --output control.lines.schema.json
    """
    _write_json(thaw(control_lines(load_catalogue(catalogue).root)), output)


@export.command("typescript")
@_OUTPUT
@_CATALOGUE
def export_typescript(output: Path | None, catalogue: Path | None) -> None:
    """Write TypeScript declarations: ClientSend, ServerDeliver …, and the unions ClientFrame, ServerFrame.

    \b
    Example:
      relaykit export typescript --output frames.d.ts
    """
    with writer(output) as stream:
        stream.write(typescript(load_catalogue(catalogue)))


def exports(catalogue: Catalogue) -> dict[str, str]:
    """Everything that these commands write: file name → text."""
    return {
        "asyncapi.client.json": json_text(asyncapi(catalogue, "client")),
        "asyncapi.server.json": json_text(asyncapi(catalogue, "server")),
        "control.lines.schema.json": json_text(thaw(control_lines(catalogue.root))),
        "control.openapi.json": json_text(control_openapi(catalogue.root)),
        "frames.d.ts": typescript(catalogue),
        "protocol.schema.json": json_text(bundle(catalogue)),
    }


def json_text(value: Any) -> str:
    """JSON, indented, with a newline at its end."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _write_json(value: Any, output: Path | None) -> None:
    # What a terminal's encoding lacks must not be lost: there, JSON has escapes of its own.
    text = json_text(value) if output is not None else json.dumps(value, indent=2) + "\n"
    with writer(output) as stream:
        stream.write(text)


def _frame_name(text: str) -> tuple[Direction, str]:
    for direction in DIRECTIONS:
        if text.startswith(f"{direction}/"):
            return direction, text.partition("/")[2]
    raise UsageError(f"{text!r} names no frame", hint="write it as direction and type, such as c2s/send")
