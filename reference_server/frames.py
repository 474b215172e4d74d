"""Frames to clients, built from the catalogue: it says what the server stamps on each type."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import orjson

from relaykit.errors import KitDefect
from relaykit.reference_server.clock import Clock
from relaykit.schemas import Catalogue, FrameSpec

log = logging.getLogger(__name__)

Source = Literal["user", "device", "now", "server", "message"]
_SOURCES: Mapping[str, int] = {"user": 0, "device": 1, "now": 2, "server": 3, "message": 4}
Prepared = Callable[..., bytes]
"""Makes frames of one type from their payload as JSON and the values of the sources it was prepared with."""


@dataclass(frozen=True, slots=True)
class _Form:
    """Where the stamps of one type go: (field, number of the source), in the envelope and in the payload."""

    envelope: tuple[tuple[str, int], ...]
    payload: tuple[tuple[str, int], ...]


class Frames:
    """Builds and serialises frames of the types that a server sends."""

    def __init__(self, catalogue: Catalogue, clock: Clock, *, server_id: str, check: bool = False) -> None:
        """Prepare every s2c type.

        Args:
            check: validate every frame that is built; an invalid one is a defect of the server.
        """
        self._catalogue = catalogue
        self._clock = clock
        self._server_id = server_id
        self._check = check
        self._errors = catalogue.protocol.error_codes
        self._forms = {
            kind: _form(spec) for (direction, kind), spec in catalogue.frames.items() if direction == "s2c"
        }
        self.defects: list[str] = []
        """What was wrong with frames that were built, if they are checked."""
        # What every message needs.
        self.deliver = self.prepare("deliver", "message", "user", "now")
        self.sent_ack = self.prepare("sent_ack", "message", "now")
        self.status_update = self.prepare("status_update", "message", "now")

    def make(
        self,
        kind: str,
        payload: dict[str, Any] | None = None,
        *,
        user: str | None = None,
        device: str | None = None,
        message: str | None = None,
        at: str | None = None,
        envelope: Mapping[str, str] | None = None,
    ) -> bytes:
        """One frame, ready to be sent.

        Args:
            kind: its type.
            payload: the payload, without what the server stamps; the stamps are set in it.
            user, device: whom the frame is from.
            message: ID of the message it carries or speaks of.
            at: the time to stamp on it, if not now.
            envelope: fields of the envelope that are no stamps of this type.
        """
        form = self._forms[kind]
        values = (user, device, at or self._clock.stamp(), self._server_id, message)
        frame: dict[str, Any] = {"type": kind}
        for field, source in form.envelope:
            if values[source] is not None:
                frame[field] = values[source]
        if envelope:
            frame.update(envelope)
        if form.payload:
            payload = {} if payload is None else payload
            for field, source in form.payload:
                if values[source] is not None:
                    payload[field] = values[source]
        if payload is not None:
            frame["payload"] = payload
        if self._check:
            self._validate(frame)
        # Cut, since orjson's own bytes keep the kilobytes they were written into, and many may wait.
        return orjson.dumps(frame, option=orjson.OPT_APPEND_NEWLINE)[:-1]

    def prepare(self, kind: str, *sources: Source) -> Prepared:
        """A quicker `make` for one type: what is the same in all its frames is written once.

        Args:
            kind: the type.
            sources: where the stamps come from. The function takes the payload as JSON and then their values
                in this order, none of which may need an escape in JSON: identifiers and times do not.
        """
        form = self._forms[kind]
        fields = {source: field for field, source in form.envelope}
        numbers = [_SOURCES[source] for source in sources]
        if form.payload or fields.keys() != set(numbers) or len(numbers) not in _FILLERS:
            return partial(self._make_anyhow, kind, sources)  # the catalogue stamps more than was thought of
        stamps = "".join(f',"{fields[number]}":"%s"' for number in numbers)
        fill = _FILLERS[len(numbers)](*f'{{"type":"{kind}"{stamps},"payload":'.split("%s"))
        return partial(self._make_checked, fill) if self._check else fill

    def _make_anyhow(self, kind: str, sources: Sequence[Source], payload: str, *values: str) -> bytes:
        given: dict[str, Any] = dict(zip(sources, values, strict=True))
        return self.make(kind, orjson.loads(payload), at=given.pop("now", None), **given)

    def _make_checked(self, fill: Prepared, payload: str, *values: str) -> bytes:
        data = fill(payload, *values)
        self._validate(orjson.loads(data))
        return data

    def error(
        self,
        code: str,
        message: str,
        *,
        about: str | None = None,
        reconnect: bool | None = None,
        retry_after: int | None = None,
    ) -> bytes:
        """An `error` frame.

        Args:
            code: one of the protocol's error codes.
            message: what is wrong, for people; never internals.
            about: `message_id` of the refused frame.
            reconnect: whether the client should connect again, if not as usual for this code.
            retry_after: whole seconds to wait.
        """
        payload: dict[str, Any] = {
            "error_code": code,
            "message": message,
            "reconnect": self._errors[code].reconnect if reconnect is None else reconnect,
        }
        if retry_after is not None:
            payload["retry_after"] = retry_after
        return self.make("error", payload, envelope={"message_id": about} if about else None)

    def _validate(self, frame: dict[str, Any]) -> None:
        findings = self._catalogue.validate(frame, "s2c", strict=True).findings
        if findings:
            first = findings[0]
            text = f"{frame['type']} at {first.pointer or '/'}: {first.message}"
            self.defects.append(text)
            log.error("built an invalid frame: %s", text)
            raise KitDefect(f"the reference server built an invalid frame: {text}")


def _fill_two(a: str, b: str, c: str) -> Prepared:
    def fill(payload: str, one: str, two: str) -> bytes:
        return f"{a}{one}{b}{two}{c}{payload}}}".encode()

    return fill


def _fill_three(a: str, b: str, c: str, d: str) -> Prepared:
    def fill(payload: str, one: str, two: str, three: str) -> bytes:
        return f"{a}{one}{b}{two}{c}{three}{d}{payload}}}".encode()

    return fill


# By how many values are filled in: a loop over them would take twice as long.
_FILLERS: Mapping[int, Callable[..., Prepared]] = {2: _fill_two, 3: _fill_three}


def _form(spec: FrameSpec) -> _Form:
    envelope: list[tuple[str, int]] = []
    payload: list[tuple[str, int]] = []
    for pointer, source in spec.stamps.items():
        path = pointer.split("/")[1:]
        if len(path) == 1:
            envelope.append((path[0], _SOURCES[source]))
        elif len(path) == 2 and path[0] == "payload":
            payload.append((path[1], _SOURCES[source]))
        else:
            raise KitDefect(f"{spec.source}: a stamp at {pointer} is deeper than the server can set")
    return _Form(tuple(envelope), tuple(payload))
