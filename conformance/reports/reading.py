"""Report files, read back and checked, so that everything else may rely on what their schema says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import orjson

from relaykit.config import Document, problems
from relaykit.conformance.loader import schema
from relaykit.errors import UsageError
from relaykit.redaction import Redactor


def read_report(path: Path) -> dict[str, Any]:
    """A report that `relaykit test --report json=FILE` wrote; `-` reads standard input.

    What looks like a token is redacted once more: a file may have been edited since.

    Raises:
        UsageError: it cannot be read, or is no such report.
    """
    try:
        content = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        data = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise UsageError(
            f"{path}:{error.lineno}: this is no JSON: {error.msg}",
            hint="a report is written by `relaykit test … --report json=FILE`",
        ) from None
    found = problems(Document(str(path), data, {}), schema("report"))
    if found:
        first = "; ".join(f"{p.pointer or '/'}: {p.message}" for p in found[:3])
        raise UsageError(
            f"{path}: this is no report of relaykit test: {first}",
            hint="a report is written by `relaykit test … --report json=FILE`",
        )
    cleaned: dict[str, Any] = Redactor().deep(data)
    return cleaned
