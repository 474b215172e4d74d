"""What many defects do: change frames on their way out, wrap a handler, widen a relay, loosen a schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import orjson

from relaykit.reference_server import app as app_
from relaykit.reference_server import relay
from relaykit.reference_server.app import App
from relaykit.reference_server.connection import Connection
from relaykit.reference_server.defects.seams import SeamError, Seams
from relaykit.reference_server.dispatch import Dispatcher
from relaykit.reference_server.ledger import Entry
from relaykit.reference_server.mailbox import Mailboxes
from relaykit.reference_server.session import Session
from relaykit.schemas import Catalogue, load_catalogue, thaw
from relaykit.schemas.validation import Judge

Apply = Callable[[Seams], None]
Frame = dict[str, Any]
Change = Callable[[Frame, Session, App], object]
"""(frame, whom it goes to, server) → what goes out instead: a frame, bytes, several of them, or None."""
Handler = Callable[..., None]

BASE64_PAIRS = bytes.maketrans(b"+/", b"-_")


# --- frames on their way out ---


def sending(kinds: str | Sequence[str], change: Change) -> Apply:
    """Frames of these types (`*`: all) leave changed."""
    wanted = (kinds,) if isinstance(kinds, str) else tuple(kinds)

    def apply(seams: Seams) -> None:
        def put(original: Callable[[Connection, bytes], None], self: Connection, data: bytes) -> None:
            session = self.session
            frame = orjson.loads(data) if session is not None else {}
            if session is None or (frame["type"] not in wanted and wanted != ("*",)):
                original(self, data)
                return
            for one in _several(change(frame, session, self._app)):
                original(self, one if isinstance(one, bytes) else orjson.dumps(one))

        seams.around(Connection, "put", put)

    return apply


def _several(result: object) -> Iterable[Any]:
    if result is None:
        return ()
    return result if isinstance(result, (list, tuple)) else (result,)


def dropping(kind: str, when: Callable[[Frame, Session, App], bool] = lambda *_: True) -> Apply:
    """Frames of a type never leave, or not when something is so."""
    return sending(kind, lambda frame, to, app: None if when(frame, to, app) else frame)


def doubling(kind: str, when: Callable[[Frame], bool] = lambda _: True) -> Apply:
    """Frames of a type leave twice."""
    return sending(kind, lambda frame, _to, _app: [frame, frame] if when(frame) else frame)


def lacking(kind: str, pointer: str) -> Apply:
    """Frames of a type leave without one of their fields."""

    def change(frame: Frame, _to: Session, _app: App) -> Frame:
        holder, name = _holder(frame, pointer)
        if holder is not None:
            holder.pop(name, None)
        return frame

    return sending(kind, change)


def saying(kinds: str | Sequence[str], pointer: str, value: Any) -> Apply:
    """Frames of a type leave with another value in a field: a given one, or `value(the true one)`."""

    def change(frame: Frame, _to: Session, _app: App) -> Frame:
        holder, name = _holder(frame, pointer)
        if holder is not None:
            made = value(holder.get(name)) if callable(value) else value
            holder[name] = made
        return frame

    return sending(kinds, change)


def altering(kind: str, pointer: str, alter: Callable[[Any], Any]) -> Apply:
    """Frames of a type leave with a field altered, where they have it."""

    def change(frame: Frame, _to: Session, _app: App) -> Frame:
        holder, name = _holder(frame, pointer)
        if holder is not None and holder.get(name) is not None:
            holder[name] = alter(holder[name])
        return frame

    return sending(kind, change)


def _holder(frame: Frame, pointer: str) -> tuple[Frame | None, str]:
    *way, name = pointer.split("/")[1:]
    holder: Any = frame
    for step in way:
        holder = holder.get(step) if isinstance(holder, dict) else None
    return (holder, name) if isinstance(holder, dict) else (None, name)


def reencoded(value: str) -> str:
    """Base64 as a library would write the same bytes again: one alphabet, and no padding."""
    return value.encode().translate(BASE64_PAIRS).decode().rstrip("=")


# --- frames of clients ---


def receiving(change: Callable[..., None]) -> Apply:
    """`change(original, connection, data, text)` takes the payload of each WebSocket message."""

    def apply(seams: Seams) -> None:
        def message(original: Callable[..., None], self: Connection, data: Any, text: bool = True) -> None:
            change(original, self, data, text)

        # All messages pass there, the plain ones too.
        seams.around(Connection, "_reader", lambda _original, self, session: self._message)
        seams.around(Connection, "_message", message)

    return apply


def handling(kinds: str | Sequence[str], wrapper: Handler) -> Apply:
    """`wrapper(original, app, session, frame)` handles valid frames of these types (`*`: of all)."""

    def apply(seams: Seams) -> None:
        known = load_catalogue().types("c2s")
        wanted = known if kinds == "*" else (kinds,) if isinstance(kinds, str) else tuple(kinds)
        for kind in wanted:
            if kind not in known:
                raise SeamError(f"clients send no {kind!r}")

        def made(original: Callable[..., None], self: Dispatcher, app: App) -> None:
            original(self, app)
            for kind in wanted:
                self._handlers[kind] = partial(wrapper, self._handlers[kind])

        seams.around(Dispatcher, "__init__", made)

    return apply


def relaying(
    kinds: str | Sequence[str], choose: Callable[[App, Session, Frame, list[Session]], Iterable[Session]]
) -> Apply:
    """Relayed frames of these types go to whom `choose(app, sender, frame, rightly)` says."""
    wanted = (kinds,) if isinstance(kinds, str) else tuple(kinds)

    def apply(seams: Seams) -> None:
        def pass_on(
            original: Handler,
            app: App,
            session: Session,
            kind: str,
            frame: Frame,
            sessions: Iterable[Session],
        ) -> None:
            if kind in wanted:
                sessions = list(choose(app, session, frame, list(sessions)))
            original(app, session, kind, frame, sessions)

        seams.around(relay, "pass_on", pass_on)

    return apply


def echoing(kinds: str | Sequence[str]) -> Apply:
    """What a connection has relayed comes back to it, too, as the others get it."""
    wanted = (kinds,) if isinstance(kinds, str) else tuple(kinds)

    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        original(app, session, frame)
        data = app.frames.make(
            frame["type"],
            dict(frame["payload"]),
            user=session.user,
            device=session.device,
            message=frame.get("message_id"),
        )
        app.turn.send(session, data)

    return handling(wanted, wrapper)


def only_first_device(_app: App, _session: Session, _frame: Frame, rightly: list[Session]) -> list[Session]:
    """Of each user the first connection alone."""
    return list({session.user: session for session in reversed(rightly)}.values())


def nobody(*_: object) -> list[Session]:
    """Nobody at all."""
    return []


def everybody(app: App, _session: Session, _frame: Frame, _rightly: list[Session]) -> list[Session]:
    """Everybody who is connected."""
    return list(app.hub)


def own_devices_too(app: App, session: Session, _frame: Frame, rightly: list[Session]) -> list[Session]:
    """The sender's other devices, too."""
    return [*rightly, *(one for one in app.hub.of_user(session.user) if one not in rightly)]


# --- what is kept for later ---


def keeping(kinds: str | Sequence[str], field: str, *, of_device: bool = False) -> Apply:
    """Relayed frames wait for a target who is away, and come when it connects.

    Args:
        field: of the payload that names the target.
        of_device: whether that is a device of the sender.
    """
    wanted = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    kept: dict[str, list[bytes]] = {}

    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        target = frame["payload"][field].lower()
        there = app.hub.of_device(session.user, target) if of_device else app.hub.of_user(target)
        if there:
            original(app, session, frame)
            return
        data = app.frames.make(
            frame["type"], dict(frame["payload"]), user=session.user, device=session.device
        )
        kept.setdefault(target, []).append(data)

    def hand_out(app: App, session: Session) -> None:
        for data in kept.pop(session.device if of_device else session.user, []):
            app.turn.send(session, data)

    def apply(seams: Seams) -> None:
        handling(wanted, wrapper)(seams)
        on_enter(hand_out)(seams)

    return apply


def on_enter(then: Callable[[App, Session], object]) -> Apply:
    """Something more happens when an approved device's session begins."""

    def apply(seams: Seams) -> None:
        def begin(original: Handler, self: App, session: Session, mark: int, otherwise: Any) -> None:
            original(self, session, mark, otherwise)
            if not session.pending:
                self.turn.afterwards(lambda: then(self, session), session.link)

        seams.around(App, "begin", begin)

    return apply


def staying(finish: Callable[[App, Session], None], stays: Callable[[Session], bool]) -> Apply:
    """One of what is done when a session has ended is not done for some of them.

    Args:
        finish: of `app.ON_LEAVE`.
    """

    def left(app: App, session: Session) -> None:
        if not stays(session):
            finish(app, session)

    def apply(seams: Seams) -> None:
        if finish not in app_.ON_LEAVE:
            raise SeamError(f"{finish} is not done at the end of a session")
        seams.put(app_, "ON_LEAVE", tuple(left if one is finish else one for one in app_.ON_LEAVE))

    return apply


def was_cut(session: Session) -> bool:
    """Whether a session has ended without a closing handshake."""
    link: Any = session.link
    return link._protocol.close_rcvd is None


# --- JSON and schemas ---


def decoding(change: Callable[[Callable[[bytes], Frame], Catalogue, bytes], Frame]) -> Apply:
    """`change(rightly, catalogue, data)` parses text, in place of `rightly(data)`."""

    def apply(seams: Seams) -> None:
        def decode(
            original: Callable[..., Frame], self: Catalogue, data: bytes, *, wary: bool = False
        ) -> Frame:
            return change(partial(original, self, wary=wary), self, data)

        seams.around(Catalogue, "decode", decode)

    return apply


def loosened(kinds: str | Sequence[str], *constraints: str) -> Apply:
    """Frames of a client that violate a constraint are taken.

    Args:
        constraints: JSON pointers into the type's bundled schema; the last step may be a name in a list.
    """

    def apply(seams: Seams) -> None:
        catalogue = load_catalogue()
        judges = dict(catalogue._judges)
        for kind in (kinds,) if isinstance(kinds, str) else kinds:
            spec = catalogue.frame("c2s", kind)
            schema = thaw(spec.bundled)
            for pointer in constraints:
                _cut(schema, pointer)
            judges["c2s", kind] = Judge(replace(spec, bundled=schema), catalogue.protocol.faults["c2s"])
        seams.put(catalogue, "_judges", judges)

    return apply


def tightened(kinds: str | Sequence[str], pointer: str, value: Any) -> Apply:
    """Frames of clients that are valid are refused: the schema says something else at a place.

    Args:
        pointer: JSON pointer into the bundled schema to something that is there.
        value: what stands there instead.
    """

    def apply(seams: Seams) -> None:
        catalogue = load_catalogue()
        judges = dict(catalogue._judges)
        for kind in (kinds,) if isinstance(kinds, str) else kinds:
            spec = catalogue.frame("c2s", kind)
            schema = thaw(spec.bundled)
            way, _, last = pointer.rpartition("/")
            holder = _at(schema, way)
            if last not in holder:
                raise SeamError(f"the schema of {kind} has nothing at {pointer}")
            holder[last] = value
            judges["c2s", kind] = Judge(replace(spec, bundled=schema), catalogue.protocol.faults["c2s"])
        seams.put(catalogue, "_judges", judges)

    return apply


def _at(schema: Any, pointer: str) -> Any:
    try:
        for step in pointer.split("/")[1:]:
            schema = schema[int(step)] if isinstance(schema, list) else schema[step]
    except (KeyError, ValueError, IndexError) as error:
        raise SeamError(f"the schema has nothing at {pointer}") from error
    return schema


def _cut(schema: Any, pointer: str) -> None:
    way, _, last = pointer.rpartition("/")
    holder = _at(schema, way)
    try:
        if isinstance(holder, list):
            holder.remove(last) if last in holder else holder.pop(int(last))
        else:
            del holder[last]
    except (KeyError, ValueError, IndexError) as error:
        raise SeamError(f"the schema has nothing at {pointer}") from error


def both(*changes: Apply) -> Apply:
    """One defect that needs more than one change."""

    def apply(seams: Seams) -> None:
        for change in changes:
            change(seams)

    return apply


def entry_of(boxes: Mailboxes, key: bytes) -> Entry | None:
    """What is known of a message, if it exists."""
    return boxes._ledger.find(key)
