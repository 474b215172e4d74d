"""How the log is written: readable (in colours on a terminal) or one JSON object a line. No secrets in it."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from relaykit.redaction import Redactor

TRAFFIC = "relaykit.traffic"
_TLS = "relaykit.reference_server.tls_listener"
_COLOURS = {"→": "36", "←": "32"}  # cyan what clients send, green what they get
_LEVELS = {logging.WARNING: "33", logging.ERROR: "31", logging.CRITICAL: "31"}


class _Text(logging.Formatter):
    def __init__(self, redactor: Redactor, *, colours: bool) -> None:
        super().__init__()
        self._redactor = redactor
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        at = _at(record).astimezone()
        level = "" if record.name == TRAFFIC else f"{record.levelname} "
        text = self._redactor.text(f"{at:%H:%M:%S}.{record.msecs:03.0f} {level}{_message(self, record)}")
        colour = self._colour(record, text) if self._colours else None
        return f"\x1b[{colour}m{text}\x1b[0m" if colour else text

    def _colour(self, record: logging.LogRecord, text: str) -> str | None:
        if record.name != TRAFFIC:
            return _LEVELS.get(record.levelno)
        return next((colour for arrow, colour in _COLOURS.items() if f" {arrow} " in text[:60]), "2")


class _Json(logging.Formatter):
    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {"at": _at(record).isoformat(timespec="milliseconds").replace("+00:00", "Z")}
        # What a frame says, it says itself; everything else has a level and a text.
        more = getattr(record, "entry", None)
        entry |= more or {"level": record.levelname.lower(), "message": _message(self, record)}
        return json.dumps(self._redactor.deep(entry), ensure_ascii=False)


def set_up(
    redactor: Redactor, *, style: str, verbose: bool, dev: bool = False, stream: TextIO | None = None
) -> None:
    """Write the log to standard error.

    Args:
        style: `text` or `json`.
        verbose: log connections, too, rather than warnings and frames only.
        dev: log TLS handshakes that fail as well: whoever writes the client wants to know.
        stream: where to, if not there.
    """
    stream = stream or sys.stderr
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Json(redactor) if style == "json" else _Text(redactor, colours=_coloured(stream)))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(TRAFFIC).setLevel(logging.INFO)  # what is logged there was asked for
    logging.getLogger(_TLS).setLevel(logging.INFO if dev else logging.NOTSET)


def _coloured(stream: TextIO) -> bool:
    """Whether whoever reads it sees colours, and wants them (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _at(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _message(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    text = record.getMessage()
    return f"{text}\n{formatter.formatException(record.exc_info)}" if record.exc_info else text
