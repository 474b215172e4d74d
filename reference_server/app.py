"""The parts of one server, put together, and the life of its sessions.

Handlers get an `App` and need nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, TypeVar

from websockets.http11 import Response

from relaykit.errors import UsageError
from relaykit.reference_server import calls, devices, keepalive, messages, presence
from relaykit.reference_server.auth import Key, Verifier
from relaykit.reference_server.clock import Clock
from relaykit.reference_server.connection import Connection
from relaykit.reference_server.devices_store import Devices
from relaykit.reference_server.dispatch import Dispatcher
from relaykit.reference_server.frames import Frames
from relaykit.reference_server.handshake import Admission, Door, Refusal, origin_pattern
from relaykit.reference_server.hub import Hub
from relaykit.reference_server.library import DEFLATE
from relaykit.reference_server.limits import Bucket, Rate
from relaykit.reference_server.mailbox import Mailboxes
from relaykit.reference_server.people import People
from relaykit.reference_server.refused import SERVER_ERROR
from relaykit.reference_server.session import Session
from relaykit.reference_server.settings import Settings, read_each
from relaykit.reference_server.sparing import Sparing
from relaykit.reference_server.store import Store, StoreError
from relaykit.reference_server.turn import Turn

if TYPE_CHECKING:
    from relaykit.reference_server.observed import Watch
    from relaykit.schemas import Catalogue

log = logging.getLogger(__name__)

T = TypeVar("T")

# What else happens when a session begins or ends: functions of (app, session), in this order.
ON_ENTER = (devices.entered, messages.entered, presence.entered)
ON_LEAVE: tuple[Callable[[App, Session], None], ...] = (calls.left, presence.left)


class App:
    """Everything one server consists of.

    Attributes:
        connections: all TCP connections, with a session or not yet.
        hub: sessions that are served.
        pending: sessions of devices that wait for their approval.
        stopping: whether the server is shutting down and takes no one in.
    """

    def __init__(self, settings: Settings, catalogue: Catalogue, keys: Sequence[Key]) -> None:
        """Open the store and put the parts together.

        Raises:
            UsageError: the store cannot be used.
        """
        limits, protocol = settings.limits, catalogue.protocol
        self.settings = settings
        self.catalogue = catalogue
        self.clock = Clock()
        self.sparing = Sparing(self.clock)
        self.frames = Frames(catalogue, self.clock, server_id=settings.server_id, check=settings.check_output)
        self.hub = Hub()
        self.pending = Hub()
        self.store = Store(settings.store, memory_bytes=settings.max_memory_store_bytes)
        self.turn = Turn(self.store, self.clock, self._server_error)
        self.clock.between = self.turn.settle
        try:
            self.mailboxes = Mailboxes(
                self.store,
                waiting_per_user=int(limits["waiting_per_user"]),
                waiting_bytes=settings.max_waiting_bytes,
                bytes_per_sender=settings.max_waiting_bytes_per_sender,
                remembered=settings.remembered_messages,
            )
            self.devices = Devices(self.store, self.mailboxes)
            self.people = People(self.store)
        except StoreError as error:
            self.store.close()
            raise UsageError(
                f"{settings.store}: a damaged store: {error}",
                hint="restore a copy of it, or give another --store",
            ) from error
        self.calls = calls.Calls()
        self.presence = presence.Presence()
        self.dispatcher = Dispatcher(self)
        self.door = Door(
            path=protocol.path,
            subprotocol=protocol.subprotocol,
            verifier=Verifier(keys, self.clock, leeway_s=settings.timing["clock_leeway_s"]),
            origins=None if settings.origins is None else read_each(settings, "origins", origin_pattern),
            require_origin=settings.require_origin,
        )
        self.rate = Rate(limits["frames_per_second"], int(limits["burst"]), settings.refusals_before_close)
        self.max_frame_bytes = int(limits["max_frame_bytes"])
        self.outgoing_high = min(64 * 1024, settings.max_outgoing_bytes)
        self.extensions = [DEFLATE] if settings.compression else []
        self.connections: set[Connection] = set()
        self.unread = 0
        """Bytes that wait to be written to clients who read too slowly."""
        self.partial = 0
        """Bytes that have come of messages that are not whole yet."""
        self.tls_handshakes = 0
        """TCP connections on which TLS is not spoken yet."""
        self.watch: Watch | None = None
        """What is done with each frame besides, if anything is."""
        self.stopping = False
        self.draining: set[Connection] = set()
        """Connections that were there when the server began to shut down."""
        self.emptied = asyncio.Event()
        """Set when the last of them is gone."""

    # --- connections ---

    def may_open(self) -> bool:
        """Whether a new connection, which is counted already, is taken."""
        return self._has_room(len(self.connections))

    def may_shake_hands(self) -> bool:
        """Whether one more TLS handshake may begin."""
        return self._has_room(len(self.connections) + self.tls_handshakes + 1)

    def _has_room(self, open_: int) -> bool:
        shaking = open_ - len(self.hub) - len(self.pending)
        if open_ <= self.settings.max_connections and shaking <= self.settings.max_handshakes:
            return True
        self.sparing.warn(
            log,
            "refusing connections: %d are open (max_connections: %d), %d of them in the handshake"
            " (max_handshakes: %d)",
            *(open_ - 1, self.settings.max_connections, shaking - 1, self.settings.max_handshakes),
        )
        return False

    def bound_unread(self) -> None:
        """Drop those for whom most waits, as long as too much waits for all of them together."""
        while self.unread > self.settings.max_unread_bytes:
            slowest = max(self.connections, key=attrgetter("unread"))
            self.sparing.warn(log, "closing the slowest reader: too much waits in all; its messages wait")
            slowest.drop()

    def bound_partial(self) -> None:
        """Close those who have sent most of messages that are not whole, while it is too much in all."""
        while self.partial > self.settings.max_partial_bytes:
            largest = max(self.connections, key=attrgetter("partial"))
            self.sparing.warn(log, "closing a connection within a message: too much is unfinished in all")
            largest.give_up_partial()

    def forget(self, connection: Connection) -> None:
        """A TCP connection is gone."""
        self.connections.discard(connection)
        self.draining.discard(connection)
        if self.stopping and not self.draining:
            self.emptied.set()

    # --- sessions ---

    def enter(self, connection: Connection, admission: Admission, response: Response) -> None:
        """Begin a session: it is answered once its device is stored.

        Raises:
            Refusal: the user has too many connections, or the device was denied or revoked.
        """
        identity, turn = admission.identity, self.turn
        active = devices.may_enter(self, identity.user, identity.device)
        count = len(self.hub.of_user(identity.user)) + len(self.pending.of_user(identity.user))
        if count >= self.settings.limits["connections_per_user"]:
            raise Refusal(429, "This user has too many connections.")
        session = Session(
            connection,
            identity.user,
            identity.device,
            expires=keepalive.session_end(self, identity.expires),
            bucket=Bucket(self.rate, connection.heard),
            legacy=admission.legacy and self.settings.legacy_frames,
            pending=not active,
        )
        connection.session = session
        mark = turn.mark
        turn.do(connection, partial(connection.accept, response))
        self.begin(session, mark, partial(self._not_entered, connection, session))

    def begin(self, session: Session, mark: int, otherwise: Callable[[], None]) -> None:
        """Serve a session from now on, or let it wait if its device is pending.

        Args:
            mark: since when all that was said depends on the commit of this; see `Turn.bind`.
            otherwise: what happens if the commit fails.
        """
        self.store.used = False
        (self.pending if session.pending else self.hub).add(session)
        try:
            if session.pending:
                devices.entered_pending(self, session)
            else:
                if self.mailboxes.register(session.user, session.device):
                    self.store.note_change()
                for begin in ON_ENTER:
                    begin(self, session)
        except StoreError:
            pass  # the commit will fail, too
        if self.store.used:
            self.turn.bind(mark, session.link, otherwise)
        if not session.pending:
            session.cursor = 0
            self.resume(session)

    def _not_entered(self, connection: Connection, session: Session) -> None:
        session.closed = True
        self.hub.remove(session)
        self.pending.remove(session)
        connection.refuse(Refusal(503, "The server cannot store anything now."))

    def resume(self, session: Session) -> None:
        """Go on sending what waits for a session's device."""
        self.turn.afterwards(partial(messages.drain, self, session), session.link)

    def resume_all(self, session: Session) -> None:
        """A client has read: go on sending whatever there is for it."""
        if session.cursor is not None:
            self.resume(session)
        if session.unseen:
            self.turn.afterwards(partial(presence.show_contacts, self, session), session.link)

    def end(self, session: Session, code: int, reason: str) -> None:
        """Close a session's connection after what was said; nothing more is taken from it."""
        session.closed = True
        self.turn.do(session.link, partial(session.link.close, code, reason))

    def leave(self, session: Session) -> None:
        """A session's connection is gone."""
        session.closed = True
        if session.pending:
            self.pending.remove(session)
            return
        self.hub.remove(session)
        mark, self.store.used = self.turn.mark, False
        try:
            for finish in ON_LEAVE:
                finish(self, session)
        except StoreError:
            pass
        if self.store.used:
            self.turn.bind(mark, session.link, _nothing)

    def durably(self, change: Callable[[], T]) -> T:
        """Make a change that no frame asks for. When this returns it is stored, and what came before it said.

        Raises:
            StoreError: nothing was changed.
        """
        self.turn.flush()
        try:
            result = change()
            self.store.note_change()
            return result
        finally:
            self.store.commit()

    def _server_error(self, message_id: str | None) -> bytes:
        text = "the server could not store this; it may be sent again"
        return self.frames.error(SERVER_ERROR, text, about=message_id)


def _nothing() -> None:
    """What happens instead when the commit of a farewell fails: the connection is gone anyway."""
