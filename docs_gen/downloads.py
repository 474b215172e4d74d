"""What machines find beside the pages: the protocol in other tools' forms, and the matrix of requirements."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from relaykit.docs_gen.kept import kept
from relaykit.docs_gen.model import Download, RequirementView, Site
from relaykit.docs_gen.text import plain
from relaykit.schemas import Catalogue
from relaykit.schemas.export.commands import exports, json_text

FOLDER = "downloads"
DOWNLOADS = (
    Download(
        "protocol.schema.json",
        "JSON Schema",
        "Every frame in one self-contained schema, draft 2020-12, for any validator and without network. One "
        "frame's is `#/$defs/c2s.send`, by direction and type: put that as `$ref` in place of `anyOf`, or "
        "let `relaykit export bundle --frame send` do it.",
        "relaykit export bundle",
    ),
    Download(
        "asyncapi.client.json",
        "AsyncAPI, seen by a client",
        "AsyncAPI 3.0.0: what a client sends and receives, with what answers what.",
        "relaykit export asyncapi",
    ),
    Download(
        "asyncapi.server.json",
        "AsyncAPI, seen by a server",
        "The same with the directions of a server.",
        "relaykit export asyncapi --view server",
    ),
    Download(
        "frames.d.ts",
        "TypeScript",
        "A type per frame, and unions that `type` tells apart.",
        "relaykit export typescript",
    ),
    Download(
        "control.openapi.json",
        "OpenAPI of the control interface",
        "OpenAPI 3.1, for test builds of a server that offer [the control interface](guides/control).",
        "relaykit export openapi",
    ),
    Download(
        "control.lines.schema.json",
        "JSON Schema of a control command's lines",
        "What a command that arranges things for the suite reads and writes, [line by line]"
        "(guides/control#by-a-command).",
        "relaykit export control-lines",
    ),
    Download(
        "requirements.csv",
        "Requirements as a table",
        "Every requirement with level, provenance and source, the cases that prove it, the defects caught.",
        None,
    ),
    Download(
        "requirements.json",
        "Requirements as JSON",
        "The same for programs; `report` is the run that the verdicts are from.",
        None,
    ),
)
ROOT_FILES = (
    Download("search.json", "Everything that has a name", "What the search looks through.", None),
    Download(
        "llms.txt",
        "llms.txt",
        "What there is, for readers that are programs. Every page is Markdown, too.",
        None,
    ),
)
"""Files beside the folder, at the root of the site."""


def download_files(catalogue: Catalogue, site: Site) -> dict[str, str]:
    """Every file of the folder: name → text."""
    rows = [_row(view) for view in site.requirements]
    files = {
        **kept("exports", catalogue.digest, lambda: exports(catalogue)),
        "requirements.csv": _csv(rows),
        "requirements.json": json_text(_matrix(site, rows)),
    }
    return {f"{FOLDER}/{each.name}": files[each.name] for each in DOWNLOADS}


def _row(view: RequirementView) -> dict[str, Any]:
    proof = view.proof
    return {
        "id": view.id,
        "area": view.area,
        "level": view.level,
        "provenance": view.provenance,
        "text": plain(view.text),
        "source": view.source,
        "capability": view.capability,
        "frames": [link.words for link in view.frames],
        "error_codes": [link.words for link in view.error_codes],
        "cases": [case.id for case in view.cases],
        "presupposes": [link.words for link in view.presupposes],
        "untested": view.untested,
        "proof": proof.verdict if proof else None,
        "defects": [defect.id for defect in proof.defects] if proof else [],
        "caught": proof.caught(view.id) if proof else 0,
        "verdict": view.verdict,
    }


def _matrix(site: Site, rows: list[dict[str, Any]]) -> Mapping[str, Any]:
    return {
        "protocol": {"name": site.name, "version": site.version},
        "report": site.report,
        "requirements": rows,
    }


def _csv(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return out.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(value)
    text = "" if value is None else str(value)
    # A spreadsheet would take such a beginning for a formula.
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text
