"""How the log is written: readable (in colours on a terminal) or one JSON object a line. No secrets in it."""

from __future__ import annotations

import json
import logging
import os
import select
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

from relaykit.redaction import Redactor

TRAFFIC = "relaykit.traffic"
_TLS = "relaykit.reference_server.tls_listener"
_PATIENCE_MS = 1000.0
_PIECE = 4096  # bytes that a pipe takes at once if it has any room (POSIX: at least 512)
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
        # A frame as JSON is read by programs, `relaykit validate` among them: what is opaque in it stays.
        whole = {"frame": entry.pop("frame")} if isinstance(entry.get("frame"), dict) else {}
        shown = self._redactor.deep(entry) | self._redactor.deep(whole, opaque=True)
        return json.dumps(shown, ensure_ascii=False)


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
    handler = _Patient(stream) if _has_descriptor(stream) else logging.StreamHandler(stream)
    handler.setFormatter(_Json(redactor) if style == "json" else _Text(redactor, colours=_coloured(stream)))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(TRAFFIC).setLevel(logging.INFO)  # what is logged there was asked for
    logging.getLogger(_TLS).setLevel(logging.INFO if dev else logging.NOTSET)


class _Patient(logging.StreamHandler[TextIO]):
    """Writes to a pipe, a terminal or a file, and waits for nobody for long.

    Whoever starts the server and does not read its log, or stops the terminal with Ctrl-S, would stop the
    server once what lies between is full. So it waits for a moment, once; from then on lines are lost, and
    counted, until there is room again.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._room = select.poll()
        self._room.register(stream.fileno(), select.POLLOUT)
        self._stalled = False
        self._lost = 0
        self._begun = False  # a line of which the end was lost

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or lose it."""
        try:
            line = self.format(record)
            if self._lost and self._written(self.format(_lost(self._lost))):
                self._lost = 0
            if self._lost or not self._written(line):
                self._lost += 1
        except OSError:  # nobody is there any more who could read it
            self._lost += 1
        except Exception:
            self.handleError(record)

    def _written(self, line: str) -> bool:
        data = ("\n" * self._begun + line + "\n").encode(errors="backslashreplace")
        at = 0
        while at < len(data):
            self._stalled = not self._room.poll(0 if self._stalled else _PATIENCE_MS)
            if self._stalled:
                self._begun = self._begun or at > 0
                return False
            at += os.write(self.stream.fileno(), data[at : at + _PIECE])
        self._begun = False
        return True


def _lost(count: int) -> logging.LogRecord:
    text = "%d lines of the log were lost: nobody read them in time"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, (count,), None)


def _has_descriptor(stream: TextIO) -> bool:
    try:
        return stream.fileno() >= 0
    except (OSError, ValueError):
        return False


def _coloured(stream: TextIO) -> bool:
    """Whether whoever reads it sees colours, and wants them (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _at(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _message(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    text = record.getMessage()
    return f"{text}\n{formatter.formatException(record.exc_info)}" if record.exc_info else text
