"""The log of what passes: each frame in a line, readable or as JSON, secrets redacted.

    13:25:06.123 alice.phone → send         id=3f2a6c1e receiver_id=bob ciphertext=q83vASNFZ4k= message_type=text
    13:25:06.125 alice.phone ← sent_ack     id=3f2a6c1e status=sent
    13:25:07.310 alice.phone gone, closed by the client: 1001

As JSON a line is `{"at", "direction", "user", "device", "frame"}` with the whole frame, which `relaykit validate`
reads, too.
"""  # noqa: E501  (a sample)

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Iterator
from typing import Any

import orjson

from relaykit.reference_server.faults import Names
from relaykit.reference_server.session import Session
from relaykit.schemas.leaky import may_leak

log = logging.getLogger("relaykit.traffic")

_LONG = 24  # characters of a value without spaces that are shown
_PROSE = 200  # of one with spaces
_WIDTH = 18  # of the column of types
_ID = re.compile(r"(?P<what>[a-z]+-)?(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})", re.IGNORECASE)
_ENVELOPE = ("type", "payload", "timestamp", "server_id")  # what the line says otherwise, or nobody reads


class Traffic:
    """Logs the frames of all connections, and where connections begin and end."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def received(self, session: Session, data: bytes, *, text: bool) -> None:
        """A client sent something; it may be anything."""
        self._frame(session, "c2s", data, text=text)

    def sent(self, session: Session, data: bytes) -> None:
        """The server sends a frame, or what a fault has left of it."""
        self._frame(session, "s2c", data, text=True)

    def connected(self, session: Session) -> None:
        """A session begins."""
        self._log(session, "connected")

    def gone(self, session: Session, by: str | None, code: int | None, reason: str) -> None:
        """A connection is gone.

        Args:
            by: who closed it, `client` or `server`; None: it was cut.
            code, reason: of that close frame.
        """
        how = "cut" if by is None else f"closed by the {by}: {code} {_escaped(reason)}".rstrip()
        self._log(session, "gone", f"gone, {how}", by=by, code=code, reason=reason)

    def refused(self, status: int, text: str) -> None:
        """A handshake is refused."""
        entry = {"event": "refused", "status": status, "reason": text}
        log.info("handshake refused with %d: %s", status, text, extra={"entry": entry})

    def _log(self, session: Session, event: str, text: str = "", **more: Any) -> None:
        who = self._names.who(session.user, session.device)
        extra = {"event": event, "user": session.user, "device": session.device, **more}
        log.info("%s %s", who, text or event, extra={"entry": extra})

    def _frame(self, session: Session, direction: str, data: bytes, *, text: bool) -> None:
        frame = _parsed(data) if text else None
        if isinstance(frame, dict):
            # What is nested more deeply than Python's stack cannot be shown. It is judged elsewhere: no log
            # may cost a client its connection.
            with contextlib.suppress(RecursionError):
                self._tell(session, direction, data, frame, text=text)
                return
        self._tell(session, direction, data, None, text=text)

    def _tell(
        self, session: Session, direction: str, data: bytes, frame: dict[str, Any] | None, *, text: bool
    ) -> None:
        who = self._names.who(session.user, session.device)
        arrow = "→" if direction == "c2s" else "←"
        if frame is not None:
            kind = _short(frame.get("type"), self._names)
            line = " ".join(f"{name}={value}" for name, value in _fields(frame, self._names))
        else:
            kind = "(no JSON object)" if text else "(binary)"
            line = f"{len(data)} bytes"
            if text:
                line += f": {_short(data.decode(errors='replace'), self._names)}"
        entry: dict[str, Any] = {"direction": direction, "user": session.user, "device": session.device}
        entry["frame"] = frame if frame is not None else data.decode(errors="replace")[:1000]
        log.info("%s", f"{who} {arrow} {kind:{_WIDTH}} {line}".rstrip(), extra={"entry": entry})


def _parsed(data: bytes) -> Any:
    """What a frame says, if it is JSON."""
    try:
        if not may_leak(data):
            return orjson.loads(data)
        value = json.loads(data)
        orjson.dumps(value)  # raises if it is none that JSON has
    except (ValueError, TypeError, RecursionError):
        return None
    return value


def _fields(frame: dict[str, Any], names: Names) -> Iterator[tuple[str, str]]:
    if "message_id" in frame:
        yield "id", _short(frame["message_id"], names)
    for name, value in frame.items():
        if name not in _ENVELOPE and name != "message_id":
            yield _escaped(name), _short(value, names)
    payload = frame.get("payload")
    if isinstance(payload, dict):
        for name, value in payload.items():
            yield _escaped(name), _short(value, names)
    elif payload is not None:
        yield "payload", _short(payload, names)


def _short(value: Any, names: Names) -> str:
    """A value in a few characters, none of which a terminal could take for an order."""
    if isinstance(value, list) and len(value) == 1:
        return _short(value[0], names)
    if not isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
    elif match := _ID.fullmatch(value):
        name = names.user(value.lower()) or names.device(value.lower())
        return name or f"{match['what'] or ''}{match['id'][:8]}…"
    else:
        text = value
    line = _escaped(text)
    most = _PROSE if " " in line else _LONG
    return line if len(line) <= most else f"{line[:most]}… ({len(text)})"


def _escaped(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:400])
