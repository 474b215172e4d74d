"""What several defects do to what the server says: something else where it refuses, or the second first."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from relaykit.reference_server.connection import Connection
from relaykit.reference_server.defects.blocks import Apply, Frame
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.dispatch import Dispatcher
from relaykit.reference_server.session import Session


def refusing(change: Callable[..., None]) -> Apply:
    """`change(original, dispatcher, session, code, text, frame)` runs where a frame is refused."""

    def apply(seams: Seams) -> None:
        def refuse(
            original: Callable[..., None],
            self: Dispatcher,
            session: Session,
            code: str,
            text: str,
            frame: Frame | None = None,
        ) -> None:
            change(original, self, session, code, text, frame)

        seams.around(Dispatcher, "_refuse", refuse)

    return apply


def overtaken(which: Callable[[bytes], bool], within_s: float) -> Apply:
    """Of two such frames to one connection that are so close on each other, the second goes out first."""

    def apply(seams: Seams) -> None:
        held: dict[Connection, bytes] = {}

        def put(original: Callable[[Connection, bytes], None], self: Connection, data: bytes) -> None:
            if not which(data):
                original(self, data)
            elif self in held:
                original(self, data)
                original(self, held.pop(self))
            else:
                held[self] = data
                self._app.clock.call_later(within_s, partial(let_go, original, self))

        def let_go(original: Callable[[Connection, bytes], None], connection: Connection) -> None:
            connection._app.turn.schedule()
            if connection in held:
                original(connection, held.pop(connection))

        seams.around(Connection, "put", put)

    return apply
