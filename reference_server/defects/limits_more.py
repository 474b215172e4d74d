"""Defects at the edges of limits, and in how deep frames are nested."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import accumulate
from typing import Any

from relaykit.reference_server.app import App
from relaykit.reference_server.connection import Connection
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import was_cut
from relaykit.reference_server.defects.limits import entering, larger
from relaykit.reference_server.defects.seams import Seams, swapped
from relaykit.reference_server.defects.validation_lenient import refusing_text, taking_text
from relaykit.reference_server.dispatch import Dispatcher
from relaykit.reference_server.handshake import Refusal
from relaykit.reference_server.limits import Bucket, Ruling
from relaykit.reference_server.session import Session


def _levels(data: bytes) -> int:
    """Levels of objects and arrays, where no text holds brackets."""
    steps = ((byte in b"[{") - (byte in b"]}") for byte in data)
    return max(accumulate(steps), default=0)


DEPTH = (
    Defect(
        "any-depth-taken",
        "A frame may be nested as deep as a parser reads it.",
        ("LIM-19",),
        taking_text("depth", json.loads),
    ),
    Defect(
        "deepest-level-refused",
        "A frame of as many levels as are permitted is taken for one that is nested too deep.",
        ("VAL-22",),
        refusing_text(lambda catalogue, data: _levels(data) == catalogue.max_depth),
    ),
)


def _by_device(original: Any, app: App, connection: Any, admission: Any, response: Any) -> None:
    if app.hub.of_device(admission.identity.user, admission.identity.device):
        # Its further connections are not looked for in the list of the user's.
        limits = {**app.settings.limits, "connections_per_user": 10_000}
        with swapped(app, "settings", replace(app.settings, limits=limits)):
            original(app, connection, admission, response)
    else:
        original(app, connection, admission, response)


def _slightly_more(original: Any, connection: Connection, data: Any, text: bool) -> None:
    app, limit = connection._app, connection._app.max_frame_bytes
    if limit < len(data) <= limit + 1 and connection.session is not None:
        app.dispatcher.receive(connection.session, bytes(data), text=text)
    else:
        original(connection, data, text=text)


EDGES = (
    Defect(
        "connections-of-a-device-are-free",
        "Further connections of a device do not count towards its user's limit.",
        ("LIM-02",),
        entering(_by_device),
    ),
    Defect(
        "one-byte-more",
        "A frame may have one byte more than is stated.",
        ("LIM-17", "LIM-18"),
        larger(_slightly_more),
    ),
)


@defect("served-late-again", "Who was rate_limited is served again after thrice the retry_after.", "LIM-14")
def served_late_again(seams: Seams) -> None:
    until: dict[Bucket, float] = {}

    def take(original: Callable[[Bucket, float], Ruling], self: Bucket, now: float) -> Ruling:
        if now < until.get(self, 0.0):
            return Ruling.IGNORE
        ruling = original(self, now)
        if ruling is Ruling.REFUSE:
            until[self] = now + 3 * self.retry_after()
        return ruling

    seams.around(Bucket, "take", take)


@defect("cut-connections-count", "Connections that were cut, and not closed, go on counting.", "LIM-05")
def cut_connections_count(seams: Seams) -> None:
    cut: Counter[str] = Counter()

    def leave(original: Callable[[App, Session], None], self: App, session: Session) -> None:
        original(self, session)
        if was_cut(session):
            cut[session.user] += 1

    def enter(original: Any, self: App, connection: Connection, admission: Any, response: Any) -> None:
        user = admission.identity.user
        if len(self.hub.of_user(user)) + cut[user] >= self.settings.limits["connections_per_user"]:
            raise Refusal(429, "This user has too many connections.")
        original(self, connection, admission, response)

    seams.around(App, "leave", leave)
    seams.around(App, "enter", enter)


@defect("limited-twice", "Every frame beyond the rate gets two errors.", "ERR-04")
def limited_twice(seams: Seams) -> None:
    def limit(original: Callable[..., None], self: Dispatcher, session: Session, ruling: Ruling) -> None:
        for _ in range(2):
            original(self, session, Ruling.REFUSE)

    seams.around(Dispatcher, "_limit", limit)


@defect(
    "flood-outlives-its-connection",
    "Who was rate_limited starts a new connection without any rate left.",
    "LIM-15",
)
def flood_outlives_its_connection(seams: Seams) -> None:
    flooders: set[str] = set()

    def limit(original: Callable[..., None], self: Dispatcher, session: Session, ruling: Ruling) -> None:
        flooders.add(session.user)
        original(self, session, ruling)

    def enter(
        original: Callable[..., None], self: App, connection: Any, admission: Any, response: Any
    ) -> None:
        original(self, connection, admission, response)
        if admission.identity.user in flooders and connection.session is not None:
            connection.session.bucket._tokens = -1e6

    seams.around(Dispatcher, "_limit", limit)
    seams.around(App, "enter", enter)
