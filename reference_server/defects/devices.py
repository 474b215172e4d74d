"""Defects in the approval of devices: what is asked, whom, and what the answer is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from relaykit.reference_server import devices
from relaykit.reference_server.app import App
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import (
    altering,
    dropping,
    lacking,
    on_enter,
    saying,
)
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.devices_store import Decision, Devices, Request
from relaykit.reference_server.handshake import Refusal
from relaykit.reference_server.session import Session

REQUEST = "device_approval_request"
DECISIONS = ("device_approved", "device_denied")

SHAPES = (
    *(
        Defect(
            f"approval-request-without-{name.replace('_', '-')}",
            f"A device_approval_request lacks its {name}.",
            ("DEV-01",),
            lacking(REQUEST, f"/payload/{name}"),
        )
        for name in ("request_id", "device_name", "device_type", "code", "expires_at")
    ),
    Defect(
        "approval-code-without-zeros",
        "An approval code is a number without leading zeros, of five digits here.",
        ("DEV-02",),
        altering(REQUEST, "/payload/code", lambda code: code[:5]),
    ),
    Defect(
        "approval-code-of-letters",
        "An approval code has letters in it.",
        ("DEV-02",),
        altering(REQUEST, "/payload/code", lambda code: f"{int(code):06X}"[:5] + "X"),
    ),
    Defect(
        "ip-address-with-port",
        "An ip_address has a port behind it.",
        ("DEV-03",),
        altering(REQUEST, "/payload/ip_address", lambda address: f"{address}:54321"),
    ),
    *(
        Defect(
            f"{kind.replace('_', '-')}-without-{name.replace('_', '-')}",
            f"A {kind} lacks its {name}.",
            ("DEV-04",),
            lacking(kind, f"/payload/{name}"),
        )
        for kind in DECISIONS
        for name in ("request_id", "message")
    ),
    Defect(
        "approval-shows-another-name",
        "A device_approval_request shows another device_name than was given.",
        ("DEV-08",),
        saying(REQUEST, "/payload/device_name", "Device"),
    ),
    Defect(
        "approval-shows-another-code",
        "A device_approval_request shows another code than the new device does.",
        ("DEV-08",),
        altering(REQUEST, "/payload/code", lambda code: code[::-1] if code[::-1] != code else "123456"),
    ),
    Defect(
        "approval-shows-another-request",
        "A device_approval_request names another request.",
        ("DEV-08",),
        saying(REQUEST, "/payload/request_id", "req-00000000-0000-4000-8000-000000000000"),
    ),
)


def _primary(change: Callable[[Devices, str, list[str]], str | None]) -> Callable[[Seams], None]:
    """Another device is the primary one."""

    def apply(seams: Seams) -> None:
        def primary(_original: Callable[..., str | None], self: Devices, user: str) -> str | None:
            return change(self, user, self.approved(user))

        seams.around(Devices, "primary", primary)

    return apply


def _showing(change: Callable[[App, Any, Any], Any]) -> Callable[[Seams], None]:
    """Open requests are shown to other sessions: `change(app, requests, sessions)` says which."""

    def apply(seams: Seams) -> None:
        def show(original: Callable[..., None], app: App, requests: Any, sessions: Any) -> None:
            original(app, requests, change(app, requests, sessions))

        seams.around(devices, "_show", show)

    return apply


def _all_of_the_user(app: App, requests: Any, sessions: Any) -> list[Session]:
    users = {request.user for request in requests}
    return [session for session in app.hub if session.user in users] if sessions else []


ASKING = (
    Defect(
        "newest-is-primary",
        "The newest device of a user is the primary one.",
        ("DEV-05",),
        _primary(lambda _devices, _user, approved: approved[-1] if approved else None),
    ),
    Defect("approval-not-asked", "Nobody is asked to approve a device.", ("DEV-06",), dropping(REQUEST)),
    Defect(
        "approval-shown-to-all",
        "All devices of the user are asked to approve a device.",
        ("DEV-07",),
        _showing(_all_of_the_user),
    ),
)


@defect("approval-asked-once", "A primary device that was away is not asked when it returns.", "DEV-09")
def approval_asked_once(seams: Seams) -> None:
    def open_of(original: Callable[..., list[Request]], self: Devices, user: str) -> list[Request]:
        return []

    seams.around(Devices, "open_of", open_of)


@defect("lapsed-approval-shown", "A request is shown to a primary device after its expiry.", "DEV-10")
def lapsed_approval_shown(seams: Seams) -> None:
    asked: list[Request] = []

    def ask(original: Callable[..., None], self: Devices, request: Request) -> None:
        original(self, request)
        asked.append(request)

    def enter(app: App, session: Session) -> None:
        now = app.clock.now()
        for request in asked:
            mine = request.user == session.user and session.device == app.devices.primary(session.user)
            if mine and request.expires <= now:
                app.turn.send(session, app.frames.make(REQUEST, dict(request.shown)))

    seams.around(Devices, "ask", ask)
    on_enter(enter)(seams)


def _tell_all(original: Callable[..., None], app: App, session: Session, *words: Any, **named: Any) -> None:
    for other in (session, *app.hub.of_user(session.user)):
        original(app, other, *words, **named)


TELLING = (
    Defect(
        "approval-not-told",
        "No device is told that it was approved.",
        ("DEV-12",),
        dropping("device_approved"),
    ),
    Defect(
        "denial-not-told", "A device is not told that it was denied.", ("DEV-13",), dropping("device_denied")
    ),
    Defect(
        "decision-told-to-all",
        "All devices of the user are told what was decided.",
        ("DEV-14",),
        lambda seams: seams.around(devices, "_tell", _tell_all),
    ),
)


@defect("decision-not-kept", "A device that was away is not told what was decided.", "DEV-15")
def decision_not_kept(seams: Seams) -> None:
    def take(original: Callable[..., Any], self: Devices, user: str, device: str) -> Any:
        original(self, user, device)
        return None

    seams.around(Devices, "take_decision", take)


@defect("decision-told-again", "A device is told what was decided at each connection.", "DEV-16")
def decision_told_again(seams: Seams) -> None:
    told: dict[tuple[str, str], Decision] = {}

    def take(original: Callable[..., Any], self: Devices, user: str, device: str) -> Any:
        found = original(self, user, device)
        if found is not None and found.approved:
            told[user, device] = found
        return found or told.get((user, device))

    def close(original: Callable[..., None], self: Devices, request: Request, *_: Any, **named: bool) -> None:
        original(self, request, **named)
        if named["approved"]:
            told[request.user, request.device] = Decision(request.id, approved=True)

    seams.around(Devices, "take_decision", take)
    seams.around(Devices, "close", close)


@defect("lapsed-device-is-approved", "A device whose request expires undecided is approved.", "DEV-17")
def lapsed_device_is_approved(seams: Seams) -> None:
    def close(
        original: Callable[..., None], app: App, request: Request, *_: Any, approved: bool, text: str
    ) -> None:
        original(app, request, approved=approved or text == devices._LAPSED, text=text)

    seams.around(devices, "_close", close)


@defect("late-decision-counts", "A decision after the expiry approves the device.", "DEV-19")
def late_decision_counts(seams: Seams) -> None:
    def decide(original: Callable[..., None], app: App, request_id: str, *_: Any, approved: bool) -> None:
        try:
            original(app, request_id, approved=approved)
        except devices.Conflict:
            rows = app.store.read("SELECT user, device FROM approvals WHERE id = ?", request_id)
            for user, device in rows if approved else ():
                app.durably(partial(app.devices.readmit, user, device))
            raise

    seams.around(devices, "decide", decide)


@defect("pending-device-refused", "A pending device cannot connect.", "DEV-20")
def pending_device_refused(seams: Seams) -> None:
    def may_enter(original: Callable[..., bool], app: App, user: str, device: str) -> bool:
        if not original(app, user, device):
            raise Refusal(401, "Authentication failed: this device is not approved.")
        return True

    seams.around(devices, "may_enter", may_enter)


@defect(
    "second-request-ends-the-first",
    "When approval is asked for a second device of a user, the request for the first lapses.",
    "DEV-09",
)
def second_request_ends_the_first(seams: Seams) -> None:
    def ask(original: Callable[..., Request], app: App, user: str, *device: str, **told: Any) -> Request:
        for request in app.devices.open_of(user):
            devices.expire(app, request.id)
        return original(app, user, *device, **told)

    seams.around(devices, "ask", ask)


@defect(
    "second-request-hides-the-first",
    "Of several open requests a primary device that returns is shown the newest one alone.",
    "DEV-09",
)
def second_request_hides_the_first(seams: Seams) -> None:
    def show(original: Callable[..., None], app: App, requests: Sequence[Request], *sessions: Any) -> None:
        original(app, requests[-1:], *sessions)

    seams.around(devices, "_show", show)


@defect("revoking-empties-all-boxes", "Revoking a device deletes what waits for its user's others.", "MSG-15")
def revoking_empties_all_boxes(seams: Seams) -> None:
    def revoke(original: Callable[..., None], self: Devices, user: str, device: str) -> None:
        original(self, user, device)
        self._mailboxes._settle()
        for box in self._mailboxes.boxes(user):
            self._store.write("DELETE FROM waiting WHERE box = ?", box.id)

    seams.around(Devices, "revoke", revoke)
