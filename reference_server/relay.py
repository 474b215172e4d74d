"""The one relay: types that declare a route in the catalogue are passed on, with the stamps it declares.

The client's payload goes on unchanged but for the stamps; it never comes back to the connection it came from.
Adding a relayed type takes a schema file and no code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from relaykit.errors import KitDefect
from relaykit.reference_server.refused import Refused
from relaykit.reference_server.session import Session
from relaykit.schemas import FrameSpec

if TYPE_CHECKING:
    from relaykit.reference_server.app import App

Frame = dict[str, Any]
_Target = Callable[["App", Session, str], Iterable[Session]]
Choice = Callable[["App", Session, Frame, str, Sequence[Session]], Sequence[Session]]
"""What else a type means: (app, session, frame, value of the route, whom it leads to) → who gets it."""


def make_relay(
    app: App, spec: FrameSpec, choose: Choice | None = None
) -> Callable[[App, Session, Frame], None]:
    """The handler of a relayed type.

    Args:
        choose: for a type that the server does not only pass on.

    Raises:
        KitDefect: the server knows no such route, or nothing of this type can be sent to clients.
    """
    assert spec.route is not None
    if spec.route.to not in _TARGETS or ("s2c", spec.type) not in app.catalogue.frames:
        raise KitDefect(
            f"{spec.source}: cannot be relayed to {spec.route.to!r}, or there is no s2c {spec.type!r}"
        )
    kind, target = spec.type, _TARGETS[spec.route.to]
    path = spec.route.by.split("/")[1:] if spec.route.by else []

    def relay(app: App, session: Session, frame: Frame) -> None:
        value: Any = frame
        for part in path:
            value = value[part]
        value = value if path else ""
        sessions: Sequence[Session] = list(target(app, session, value))
        if choose is not None:
            sessions = choose(app, session, frame, value, sessions)
        pass_on(app, session, kind, frame, sessions)

    return relay


def pass_on(app: App, session: Session, kind: str, frame: Frame, sessions: Iterable[Session]) -> None:
    """Send a client's frame to other sessions, stamped."""
    others = [other for other in sessions if other is not session]
    if others:
        data = app.frames.make(
            kind,
            frame.get("payload"),
            user=session.user,
            device=session.device,
            message=frame.get("message_id"),
        )
        for other in others:
            app.turn.send(other, data)


def _to_user(app: App, _session: Session, value: str) -> Iterable[Session]:
    return app.hub.of_user(value.lower())


def _to_device(app: App, session: Session, value: str) -> Iterable[Session]:
    device = value.lower()
    if app.mailboxes.box(session.user, device) is None:
        raise Refused("no such device among your own")
    return app.hub.of_device(session.user, device)


def _to_conversation(app: App, session: Session, value: str) -> Iterable[Session]:
    members = app.people.conversation_members(value.lower())
    if session.user not in members:
        raise Refused("no such conversation, or you are not a member of it")
    return [other for member in members if member != session.user for other in app.hub.of_user(member)]


def _to_contacts(app: App, session: Session, _value: str) -> Iterable[Session]:
    return [other for contact in app.people.contacts(session.user) for other in app.hub.of_user(contact)]


_TARGETS: dict[str, _Target] = {
    "user": _to_user,
    "device": _to_device,
    "conversation": _to_conversation,
    "contacts": _to_contacts,
}
