"""One turn of the event loop: all that arrived in it is handled, committed once, and only then answered.

Handlers change the store and say what is to be sent; nothing leaves before the commit. If the commit fails,
every frame that had to do with the store is answered with `server_error` instead, and had no effect.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from relaykit.reference_server.clock import Clock
from relaykit.reference_server.session import Link, Session
from relaykit.reference_server.store import Store, StoreError

log = logging.getLogger(__name__)

# What one turn may read, and say: a loop may read megabytes of tiny frames from each client at a time.
_MOST_READ = 4 * 1024 * 1024  # bytes
_MOST_SAID = 8192
_MOST_TURNS = 100  # at once: so many batches of what waits, say, if a client reads them as fast

Action = Callable[[], object]
"""Something to do with a connection in its place among the frames, such as closing it."""
_Item = tuple[Link, bytes | Action]
_Stretch = tuple[int, int, Link, Action | str | None]


class Turn:
    """Collects what one turn says, and says it after the commit."""

    def __init__(self, store: Store, clock: Clock, server_error: Callable[[str | None], bytes]) -> None:
        self._store = store
        self._clock = clock
        self._now: str | None = None
        self._server_error = server_error
        self._scheduled = False
        self._read = 0  # bytes
        self._said: list[_Item] = []
        # Stretches of _said that depend on the commit, and what takes their place if it fails: an action, or
        # an error for the frame that asked for them.
        self._bound: list[_Stretch] = []
        self._afterwards: list[tuple[Link | None, Action]] = []
        self.unwritten: list[Link] = []
        """Links with queued output; they put themselves here."""

    def send(self, to: Session, frame: bytes) -> None:
        """Say one frame."""
        if not self._scheduled:
            self.schedule()
        self._said.append((to.link, frame))

    def do(self, link: Link, action: Action) -> None:
        """Do something with a connection, in its place among the frames."""
        self._said.append((link, action))
        self.schedule()

    def afterwards(self, action: Action, link: Link | None = None) -> None:
        """Do something when this turn's writes are safe and its frames are queued.

        Args:
            link: the connection that it is for, if it is for one.
        """
        self._afterwards.append((link, action))
        self.schedule()

    def now(self) -> str:
        """What messages of this turn are stamped with: they have arrived together."""
        now = self._now
        if now is None:
            self._now = now = self._clock.stamp()
        return now

    @property
    def mark(self) -> int:
        """A place in what is being said; see `bind` and `retract`."""
        return len(self._said)

    def retract(self, mark: int) -> None:
        """Take back all that was said since `mark`."""
        del self._said[mark:]

    def bind(self, mark: int, link: Link, otherwise: Action | str | None) -> None:
        """Let all that was said since `mark` depend on the commit.

        Args:
            otherwise: what happens if it fails: an action, or `server_error` in answer to the frame with this
                `message_id`, if it has one. (Not the frame itself: a turn of many would keep them all.)
        """
        self._bound.append((mark, len(self._said), link, otherwise))

    def schedule(self) -> None:
        """See that the turn ends. Call it whenever something has arrived."""
        if not self._scheduled:
            self._scheduled = True
            # Runs when all that the loop has read by now has been handled.
            asyncio.get_running_loop().call_soon(self.flush)

    def relieve(self, size: int) -> None:
        """Note that `size` bytes were read and handled; the turn ends early if they have become too many."""
        self._read += size
        if self._read > _MOST_READ or len(self._said) > _MOST_SAID:
            self.flush()

    def flush(self) -> None:
        """End the turn: commit, then say what there is to say."""
        self._scheduled = False
        self._read = 0
        self._now = None
        said, self._said = self._said, []
        bound, self._bound = self._bound, []
        if self._store.dirty:
            try:
                self._store.commit()
            except StoreError:
                said = self._without(said, bound)
        # What fails for one costs nobody else what was said to them.
        for link, item in said:
            try:
                if type(item) is bytes:
                    link.put(item)
                else:
                    item()  # type: ignore[operator]
            except Exception:
                _drop(link)
        if self._afterwards:
            afterwards, self._afterwards = self._afterwards, []
            for whose, action in afterwards:
                try:
                    action()
                except Exception:
                    _drop(whose)
        unwritten, self.unwritten = self.unwritten, []
        for link in unwritten:
            try:
                link.write_out()
            except Exception:
                _drop(link)

    def settle(self) -> None:
        """End the turn, and those that its end brings about: that a session has ended is told to others."""
        for _ in range(_MOST_TURNS):
            if not self._scheduled:
                return
            self.flush()

    def _without(self, said: list[_Item], bound: list[_Stretch]) -> list[_Item]:
        kept: list[_Item] = []
        position = 0
        for start, end, link, otherwise in bound:
            kept += said[position:start]
            position = end
            kept.append((link, otherwise if callable(otherwise) else self._server_error(otherwise)))
        return kept + said[position:]


def _drop(link: Link | None) -> None:
    """End the connection that an exception, the one at hand, leaves in a state that nobody knows."""
    log.exception("what was to be said to a connection fails")
    if link is not None:
        with contextlib.suppress(Exception):
            link.abort()
