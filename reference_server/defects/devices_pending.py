"""Defects in what pending devices are told, and in what they can do: one for each kind of frame."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

from relaykit.reference_server import messages, presence
from relaykit.reference_server.app import App
from relaykit.reference_server.calls_state import SIGNALS
from relaykit.reference_server.defects import Defect
from relaykit.reference_server.defects.blocks import Apply, Frame, Handler, handling, relaying
from relaykit.reference_server.defects.devices_more import in_effect, refusing_pending
from relaykit.reference_server.defects.seams import Seams, swapped
from relaykit.reference_server.session import Session

_SYNC = ("sync_request", "sync_data", "sync_ack")


def _pending_too(app: App, sessions: Iterable[Session]) -> list[Session]:
    """Sessions, and what is pending of the same users."""
    rightly = list(sessions)
    return [*rightly, *(one for user in {s.user for s in rightly} for one in app.pending.of_user(user))]


def _relayed(kinds: Collection[str]) -> Apply:
    return relaying(tuple(kinds), lambda app, _session, _frame, rightly: _pending_too(app, rightly))


def _synchronised(original: Handler, app: App, session: Session, frame: Frame) -> None:
    waiting = app.pending.of_device(session.user, frame["payload"]["target_device_id"].lower())
    if not waiting:
        original(app, session, frame)
    for one in waiting:
        data = app.frames.make(
            frame["type"], dict(frame["payload"]), user=session.user, device=session.device
        )
        app.turn.send(one, data)


def _statuses(seams: Seams) -> None:
    def tell(original: Callable[..., None], app: App, sessions: Iterable[Session], *more: Any) -> None:
        original(app, _pending_too(app, sessions), *more)

    seams.around(messages, "_tell_status", tell)


def _groups(seams: Seams) -> None:
    def deliver(original: Callable[..., None], app: App, user: str, data: bytes) -> None:
        original(app, user, data)
        if b'"group_message"' in data:
            for session in app.pending.of_user(user):
                app.turn.send(session, data)

    seams.around(messages, "_deliver", deliver)


def _presence(seams: Seams) -> None:
    def tell(original: Callable[..., None], app: App, user: str, kind: str, payload: Frame) -> None:
        original(app, user, kind, dict(payload))
        data = app.frames.make(kind, payload, user=user)
        for contact in presence._contacts(app, user):
            for session in app.pending.of_user(contact):
                app.turn.send(session, data)

    seams.around(presence, "_tell_contacts", tell)


TOLD = tuple(
    Defect(f"pending-device-gets-{what}", f"A pending device gets {said}.", ("DEV-21",), apply)
    for what, said, apply in (
        ("calls", "the signaling of its user's calls", _relayed(SIGNALS)),
        ("statuses", "the status of its user's messages", _statuses),
        ("groups", "the messages of its user's groups", _groups),
        ("presence", "the presence of its user's contacts", _presence),
        ("typing", "typing indicators", _relayed(["typing"])),
        ("media-keys", "media keys", _relayed(["media_key"])),
        ("sync", "sync frames", handling(_SYNC, _synchronised)),
    )
)


def _served(kinds: Collection[str]) -> Apply:
    """Of a pending device these types are served as of any other."""

    def change(original: Handler, it: Any, session: Session, frame: Frame) -> None:
        with swapped(session, "pending", session.pending and frame["type"] not in kinds):
            original(it, session, frame)

    return refusing_pending(change)


def _effective(kinds: Collection[str]) -> Apply:
    """These types are refused, and have their effect all the same."""

    def change(original: Handler, it: Any, session: Session, frame: Frame) -> None:
        if frame["type"] in kinds:
            in_effect(original, it, session, frame)
        else:
            original(it, session, frame)

    return refusing_pending(change)


_KINDS: dict[str, Collection[str]] = {
    "calls": SIGNALS,
    "presence": ("presence",),
    "typing": ("typing",),
    "media-keys": ("media_key",),
    "sync": _SYNC,
    "deprecated-messages": ("message",),
}
SERVED = tuple(
    Defect(
        f"pending-device-served-{what}",
        f"A pending device may send {' and '.join(kinds)}.",
        ("DEV-24",),
        _served(kinds),
    )
    for what, kinds in _KINDS.items()
)
IN_EFFECT = tuple(
    Defect(
        f"pending-device-has-effect-{what}",
        f"What a pending device sends as {' and '.join(kinds)} is refused, and has its effect all the same.",
        ("DEV-25",),
        _effective(kinds),
    )
    for what, kinds in _KINDS.items()
)
