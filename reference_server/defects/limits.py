"""Defects in limits: of connections, of frames in time, of sizes, and of what one client costs others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from relaykit.reference_server.app import App
from relaykit.reference_server.connection import Connection
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import lacking, receiving
from relaykit.reference_server.defects.seams import Seams, swapped
from relaykit.reference_server.dispatch import Dispatcher
from relaykit.reference_server.handshake import Admission, Refusal
from relaykit.reference_server.limits import Bucket, Rate, Ruling
from relaykit.reference_server.mailbox import Mailboxes
from relaykit.reference_server.session import Session

Enter = Callable[..., None]


def _stating(**changes: Callable[[Any], Any]) -> Callable[[Seams], None]:
    """The server keeps to another limit than it is set up with."""

    def apply(seams: Seams) -> None:
        def made(original: Callable[..., None], self: App, settings: Any, catalogue: Any, keys: Any) -> None:
            limits = dict(settings.limits)
            for name, change in changes.items():
                limits[name] = change(limits[name])
            original(self, replace(settings, limits=limits), catalogue, keys)

        seams.around(App, "__init__", made)

    return apply


def entering(change: Callable[[Enter, App, Any, Admission, Any], None]) -> Callable[[Seams], None]:
    def apply(seams: Seams) -> None:
        def enter(original: Enter, self: App, connection: Any, admission: Admission, response: Any) -> None:
            change(original, self, connection, admission, response)

        seams.around(App, "enter", enter)

    return apply


def _with_403(original: Enter, app: App, connection: Any, admission: Admission, response: Any) -> None:
    try:
        original(app, connection, admission, response)
    except Refusal as refusal:
        if refusal.status != 429:
            raise
        raise Refusal(403, refusal.text) from None


def _making_room(original: Enter, app: App, connection: Any, admission: Admission, response: Any) -> None:
    try:
        original(app, connection, admission, response)
    except Refusal as refusal:
        if refusal.status == 429:
            app.end(app.hub.of_user(admission.identity.user)[0], 1008, "too many connections")
        raise


def _counting_all(original: Enter, app: App, connection: Any, admission: Admission, response: Any) -> None:
    limit = app.settings.limits["connections_per_user"]
    if len(app.hub) >= 4 * limit:
        raise Refusal(429, "Too many connections.")
    mine = len(app.hub.of_user(admission.identity.user))
    if mine and len(app.hub) + len(app.pending) >= limit:
        raise Refusal(429, "This user has too many connections.")
    original(app, connection, admission, response)


CONNECTIONS = (
    Defect(
        "one-connection-less",
        "A user may have one connection less than is stated.",
        ("LIM-01",),
        _stating(connections_per_user=lambda limit: limit - 1),
    ),
    Defect(
        "one-connection-more",
        "A user may have one connection more than is stated.",
        ("LIM-02",),
        _stating(connections_per_user=lambda limit: limit + 1),
    ),
    Defect(
        "too-many-is-forbidden",
        "A connection beyond the limit is refused with 403.",
        ("LIM-03",),
        entering(_with_403),
    ),
    Defect(
        "too-many-makes-room",
        "A connection beyond the limit is refused, and the user's oldest is closed.",
        ("LIM-04",),
        entering(_making_room),
    ),
    Defect(
        "connections-of-others-count",
        "The connections of all users count towards the limit of each.",
        ("LIM-21",),
        entering(_counting_all),
    ),
)


@defect("ended-connections-count", "Connections that have ended go on counting.", "LIM-05")
def ended_connections_count(seams: Seams) -> None:
    opened: dict[str, int] = {}

    def enter(original: Enter, self: App, connection: Any, admission: Admission, response: Any) -> None:
        user = admission.identity.user
        if opened.get(user, 0) >= self.settings.limits["connections_per_user"]:
            raise Refusal(429, "This user has too many connections.")
        original(self, connection, admission, response)
        opened[user] = opened.get(user, 0) + 1

    seams.around(App, "enter", enter)


# --- frames in time ---


def _taking(change: Callable[[Callable[..., Ruling], Bucket, float], Ruling]) -> Callable[[Seams], None]:
    def apply(seams: Seams) -> None:
        def take(original: Callable[..., Ruling], self: Bucket, now: float) -> Ruling:
            return change(original, self, now)

        seams.around(Bucket, "take", take)

    return apply


def _closing_at_once(original: Callable[..., Ruling], bucket: Bucket, now: float) -> Ruling:
    ruling = original(bucket, now)
    return Ruling.CLOSE if ruling is Ruling.REFUSE else ruling


def _never_told(original: Callable[..., Ruling], bucket: Bucket, now: float) -> Ruling:
    ruling = original(bucket, now)
    return Ruling.IGNORE if ruling is Ruling.REFUSE else ruling


def _never_again(original: Callable[..., Ruling], bucket: Bucket, now: float) -> Ruling:
    if bucket._refused:
        bucket._tokens, bucket._updated = 0.0, now
    return original(bucket, now)


RATES = (
    Defect(
        "smaller-burst",
        "A burst may have ten frames less than is stated.",
        ("LIM-06",),
        _stating(burst=lambda burst: burst - 10),
    ),
    Defect(
        "no-rate",
        "However many frames come, none is refused.",
        ("LIM-07",),
        _taking(lambda _original, _bucket, _now: Ruling.ACCEPT),
    ),
    Defect(
        "excess-dropped-silently",
        "Frames beyond the rate are dropped without a word.",
        ("LIM-07",),
        _taking(_never_told),
    ),
    Defect(
        "no-retry-after",
        "A rate_limited does not say when to go on.",
        ("LIM-08",),
        lacking("error", "/payload/retry_after"),
    ),
    Defect(
        "closed-when-limited",
        "A connection is closed at the first frame beyond the rate.",
        ("LIM-12",),
        _taking(_closing_at_once),
    ),
    Defect(
        "limited-for-ever",
        "Who was rate_limited once is never served again.",
        ("LIM-14",),
        _taking(_never_again),
    ),
)


@defect("limited-yet-done", "Frames beyond the rate are refused, and have their effect.", "LIM-09")
def limited_yet_done(seams: Seams) -> None:
    at_hand: list[bytes] = []

    def receive(
        original: Callable[..., None], self: Dispatcher, session: Session, data: bytes, text: bool = True
    ) -> None:
        at_hand[:] = [data]
        original(self, session, data, text=text)

    def limit(original: Callable[..., None], self: Dispatcher, session: Session, ruling: Ruling) -> None:
        original(self, session, ruling)
        turn, frame = self._app.turn, self._app.catalogue.decode(at_hand[0])
        if self._app.catalogue.is_valid(frame, "c2s"):
            said = turn.mark
            self._handlers[frame["type"]](self._app, session, frame)
            turn._said[said:] = [item for item in turn._said[said:] if item[0] is not session.link]

    seams.around(Dispatcher, "receive", receive)
    seams.around(Dispatcher, "_limit", limit)


def _free(when: Callable[[App, bytes], bool]) -> Callable[[Seams], None]:
    """Some frames do not count."""

    def apply(seams: Seams) -> None:
        def receive(
            original: Callable[..., None], self: Dispatcher, session: Session, data: bytes, text: bool = True
        ) -> None:
            if when(self._app, data):
                session.bucket._tokens += 1.0
            original(self, session, data, text=text)

        seams.around(Dispatcher, "receive", receive)

    return apply


def _is_invalid(app: App, data: bytes) -> bool:
    return not app.catalogue.validate(data, "c2s").valid


COUNTING = (
    Defect(
        "keep-alives-are-free",
        "Keep-alive frames do not count towards the rate.",
        ("LIM-10",),
        _free(lambda _app, data: b'"heartbeat"' in data or b'"pong"' in data),
    ),
    Defect(
        "invalid-frames-are-free",
        "Invalid frames do not count towards the rate.",
        ("LIM-10",),
        _free(_is_invalid),
    ),
)


@defect("one-rate-for-all", "All connections draw on one rate.", "LIM-15")
def one_rate_for_all(seams: Seams) -> None:
    shared: list[Bucket] = []

    def take(original: Callable[..., Ruling], self: Bucket, now: float) -> Ruling:
        if not shared:
            shared.append(Bucket(Rate(1e9, 1, 1), now))
            shared[0]._rate = self._rate
            shared[0]._tokens = float(self._rate.burst)
        return original(shared[0], now)

    seams.around(Bucket, "take", take)


# --- sizes ---


def _one_byte_less(original: Callable[..., None], connection: Connection, data: Any, text: bool) -> None:
    if len(data) == connection._app.max_frame_bytes:
        if connection.session is not None:
            connection.session.closed = True
        connection.fail(1009, "too large")
    else:
        original(connection, data, text=text)


def _closed_with_1008(original: Callable[..., None], connection: Connection, data: Any, text: bool) -> None:
    if len(data) > connection._app.max_frame_bytes:
        if connection.session is not None:
            connection.session.closed = True
        connection.fail(1008, "too large")
    else:
        original(connection, data, text=text)


def _refused_yet_served(original: Callable[..., None], connection: Connection, data: Any, text: bool) -> None:
    """The answer is an error; what the frame brings about for others comes about."""
    app, session = connection._app, connection.session
    if session is None or len(data) <= app.max_frame_bytes:
        original(connection, data, text=text)
        return
    said = app.turn.mark
    app.dispatcher.receive(session, bytes(data), text=text)
    app.turn._said[said:] = [item for item in app.turn._said[said:] if item[0] is not connection]
    app.turn.send(session, app.frames.error("invalid_message", "too large"))


def larger(then: Callable[..., None]) -> Callable[[Seams], None]:
    """Larger messages are read whole before anything is said of them."""

    def apply(seams: Seams) -> None:
        def made(original: Callable[..., None], self: Connection, app: App) -> None:
            limit = app.max_frame_bytes
            app.max_frame_bytes = 8 * limit
            try:
                original(self, app)
            finally:
                app.max_frame_bytes = limit

        def accept(original: Callable[..., None], self: Connection, response: Any) -> None:
            limit = self._app.max_frame_bytes
            self._app.max_frame_bytes = 8 * limit
            try:
                original(self, response)
            finally:
                self._app.max_frame_bytes = limit

        seams.around(Connection, "__init__", made)
        seams.around(Connection, "accept", accept)
        receiving(then)(seams)

    return apply


def _ignored(original: Callable[..., None], connection: Connection, data: Any, text: bool) -> None:
    if len(data) <= connection._app.max_frame_bytes:
        original(connection, data, text=text)


SIZES = (
    Defect(
        "size-off-by-one",
        "A frame of just the permitted size is refused.",
        ("LIM-16",),
        receiving(_one_byte_less),
    ),
    Defect(
        "too-large-yet-served",
        "A frame that is too large is refused, and passed on.",
        ("LIM-17",),
        larger(_refused_yet_served),
    ),
    Defect("too-large-ignored", "A frame that is too large is ignored.", ("LIM-18",), larger(_ignored)),
    Defect(
        "too-large-is-a-policy-violation",
        "A frame that is too large closes the connection with 1008.",
        ("LIM-18",),
        larger(_closed_with_1008),
    ),
)


@defect(
    "full-mailbox-acknowledged",
    "A message that does not fit into the receiver's full mailbox is acknowledged and dropped.",
    "LIM-20",
    setup="few-waiting",
)
def full_mailbox_acknowledged(seams: Seams) -> None:
    def add(original: Callable[..., bool], self: Mailboxes, *words: Any, **named: Any) -> bool:
        original(self, *words, **named)
        return True

    seams.around(Mailboxes, "add", add)


@defect("slow-reader-stops-all", "While one client does not read, nobody is written to.", "LIM-22")
def slow_reader_stops_all(seams: Seams) -> None:
    def write_out(original: Callable[[Connection], None], self: Connection) -> None:
        app = self._app
        if any(other.paused for other in app.connections if other is not self):
            app.turn.unwritten.append(self)
            app.clock.call_later(0.05, app.turn.schedule)
            return
        # Nobody is dropped for reading slowly: all wait for him.
        with swapped(app, "settings", replace(app.settings, max_outgoing_bytes=2**40)):
            original(self)

    seams.around(Connection, "write_out", write_out)
