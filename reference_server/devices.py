"""Approval and revocation of devices (source: 4, 5, Message Authentication; decisions, section 3).

A device whose approval is asked for is pending: it may connect and is told the decision, and nothing else.
Its sessions wait in `app.pending`, where nobody who looks for a user's sessions finds them.
"""

from __future__ import annotations

import logging
import secrets
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from relaykit.reference_server.devices_store import ACTIVE, DENIED, PENDING, Request
from relaykit.reference_server.handshake import Refusal
from relaykit.reference_server.refused import AUTH_FAILED
from relaykit.reference_server.session import Session
from relaykit.reference_server.store import StoreError

if TYPE_CHECKING:
    from relaykit.reference_server.app import App

log = logging.getLogger(__name__)

KEEP_ALIVES = frozenset({"heartbeat", "pong"})
"""What a pending device may send."""
NOT_YET = "this device is not approved yet"

_APPROVED = "This device is approved."
_DENIED = "This device was denied."
_LAPSED = "Nobody approved this device in time."
_RETRY_S = 1.0  # until a store that failed is tried again


class Conflict(Exception):
    """The state of a device or request does not permit what is asked."""


# --- at the door ---


def may_enter(app: App, user: str, device: str) -> bool:
    """Whether a device is served in full; if not, it may only wait for its decision.

    Raises:
        Refusal: it is not let in at all.
    """
    expire_due(app)
    try:
        standing = app.devices.standing(user, device)
        if standing in (ACTIVE, PENDING):
            return standing == ACTIVE
        if standing == DENIED and app.devices.untold(user, device):
            return False  # to be told, and then closed
    except StoreError:
        raise Refusal(503, "The server cannot read anything now.") from None
    raise Refusal(401, f"Authentication failed: this device was {standing}.")


def entered(app: App, session: Session) -> None:
    """An approved device connects: it is told that it is, and shown what it is to decide."""
    decision = app.devices.take_decision(session.user, session.device)
    if decision is not None:
        _tell(app, session, decision.request, approved=decision.approved)
    if session.device == app.devices.primary(session.user):
        _show(app, app.devices.open_of(session.user), [session])


def entered_pending(app: App, session: Session) -> None:
    """A device that is not approved connects: if it was denied meanwhile it is told, and closed."""
    decision = app.devices.take_decision(session.user, session.device)
    if decision is not None:
        _tell(app, session, decision.request, approved=False)
        _turn_out(app, [session], _DENIED)


# --- what is asked for and decided out of band; each is durable when it returns ---


def ask(
    app: App, user: str, device: str, *, lifetime_s: float | None = None, about: Mapping[str, str]
) -> Request:
    """Ask for the approval of a device.

    Args:
        lifetime_s: seconds until the request lapses, if not as configured.
        about: what is known of the device, by the fields of `device_approval_request`.

    Raises:
        Conflict: the device is approved, or its request is open.
        StoreError: nothing was changed.
    """
    expire_due(app)
    standing = app.devices.standing(user, device)
    if standing == ACTIVE and device in app.devices.approved(user):
        raise Conflict("this device is approved already")
    if standing == PENDING:
        raise Conflict("a request for this device is open already")
    lifetime_s = app.settings.timing["approval_lifetime_s"] if lifetime_s is None else lifetime_s
    expires = int((app.clock.now() + lifetime_s) * 1000) / 1000  # as exact as what is told
    request_id = f"req-{uuid.uuid4()}"
    shown = {
        "request_id": request_id,
        "device_name": "New device",
        "device_type": "unknown",
        **about,
        "code": f"{secrets.randbelow(1_000_000):06}",
        "expires_at": app.clock.stamp(expires),
    }
    request = Request(request_id, user, device, expires, shown)
    app.durably(partial(app.devices.ask, request))
    _arm(app)
    _show_to_primary(app, user, [request])
    return request


def decide(app: App, request_id: str, *, approved: bool) -> None:
    """Decide an open request.

    Raises:
        KeyError: there is no such request.
        Conflict: it is decided, withdrawn or has lapsed.
        StoreError: nothing was changed.
    """
    expire_due(app)
    _close(app, _open_request(app, request_id), approved=approved, text=_APPROVED if approved else _DENIED)


def expire(app: App, request_id: str) -> None:
    """Let an open request lapse now; raises as `decide` does."""
    expire_due(app)
    _close(app, _open_request(app, request_id), approved=False, text=_LAPSED)


def revoke(app: App, user: str, device: str) -> None:
    """Refuse a device from now on and close its connections; the oldest of the others may become primary.

    Raises:
        StoreError: nothing was changed.
    """
    before = app.devices.primary(user)
    app.durably(partial(app.devices.revoke, user, device))
    _turn_out(app, _sessions(app, user, device), "this device was revoked")
    if app.devices.primary(user) != before:
        _show_to_primary(app, user, app.devices.open_of(user))


# --- time ---


def start(app: App) -> None:
    """Let requests lapse from now on, those first whose time ran out while the server was down."""
    expire_due(app)
    _arm(app)


def look(app: App) -> None:
    """Notice that the wall clock was set past the end of a request: its timer knows nothing of that."""
    if app.devices.timer is not None and app.clock.now() >= app.devices.due:
        _on_timer(app)


def expire_due(app: App) -> None:
    """Let every request lapse whose time is over. If the store fails it is tried again later."""
    now = app.clock.now()
    try:
        for request in app.devices.open():
            if request.expires <= now:
                _close(app, request, approved=False, text=_LAPSED)
    except StoreError:
        log.warning("requests for approval could not be let lapse; trying again")


def _arm(app: App) -> None:
    timer, app.devices.timer = app.devices.timer, None
    if timer is not None:
        timer.cancel()
    try:
        expiries = [request.expires for request in app.devices.open()]
    except StoreError:
        expiries = [0.0]
    if expiries:
        delay = min(expiries) - app.clock.now()
        # What is overdue could not be stored: that is tried again, but not all the time.
        delay = max(0.001, delay) if delay > 0 else _RETRY_S
        app.devices.due = app.clock.now() + delay
        app.devices.timer = app.clock.call_later(delay, _on_timer, app)


def _on_timer(app: App) -> None:
    expire_due(app)
    _arm(app)


# --- inside ---


def _open_request(app: App, request_id: str) -> Request:
    found = app.devices.find(request_id)
    if found is None:
        raise KeyError(request_id)
    if isinstance(found, str):
        raise Conflict(f"this request is {found} already")
    return found


def _close(app: App, request: Request, *, approved: bool, text: str) -> None:
    sessions = [
        session for session in app.pending.of_device(request.user, request.device) if not session.closed
    ]
    app.durably(partial(app.devices.close, request, approved=approved, told=bool(sessions)))
    _arm(app)
    if not sessions:
        return
    # Told once: if the device has several connections, the newest one hears it.
    _tell(app, sessions[-1], request.id, approved=approved, text=text)
    if not approved:
        _turn_out(app, sessions, text)
        return
    for session in sessions:
        app.pending.remove(session)
        session.pending = False
        app.begin(session, app.turn.mark, lambda: None)


def _tell(app: App, session: Session, request_id: str, *, approved: bool, text: str | None = None) -> None:
    kind = "device_approved" if approved else "device_denied"
    payload = {"request_id": request_id, "message": text or (_APPROVED if approved else _DENIED)}
    app.turn.send(session, app.frames.make(kind, payload))


def _turn_out(app: App, sessions: Sequence[Session], text: str) -> None:
    for session in sessions:
        if not session.closed:
            app.turn.send(session, app.frames.error(AUTH_FAILED, text, reconnect=False))
            app.end(session, 1008, text)


def _sessions(app: App, user: str, device: str) -> list[Session]:
    return app.hub.of_device(user, device) + app.pending.of_device(user, device)


def _show_to_primary(app: App, user: str, requests: Sequence[Request]) -> None:
    primary = app.devices.primary(user)
    if primary is not None:
        _show(app, requests, app.hub.of_device(user, primary))


def _show(app: App, requests: Sequence[Request], sessions: Sequence[Session]) -> None:
    now = app.clock.now()
    for request in requests:
        if request.expires > now:
            data = app.frames.make("device_approval_request", dict(request.shown))
            for session in sessions:
                app.turn.send(session, data)
