"""Defects in the deprecated frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from relaykit.reference_server import legacy, messages
from relaykit.reference_server.app import App
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import (
    Frame,
    Handler,
    altering,
    handling,
    lacking,
    loosened,
    reencoded,
    sending,
)
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.session import Session

OLD = "message"

SHAPES = (
    *(
        Defect(
            f"legacy-message-without-{name.replace('_', '-')}",
            f"A message of the older form lacks its {name}.",
            ("LEG-02",),
            lacking(OLD, f"/payload/{name}"),
        )
        for name in (
            *("message_id", "sender_id", "conversation_id", "encrypted_content", "timestamp", "message_type"),
        )
    ),
    Defect(
        "legacy-attachment-without-size",
        "An attachment of a message of the older form has no size.",
        ("LEG-02",),
        sending(OLD, lambda frame, *_: _with_attachment(frame)),
    ),
    *(
        Defect(
            f"message-status-without-{name.replace('_', '-')}",
            f"A message_status lacks its {name}.",
            ("LEG-03",),
            lacking("message_status", f"/payload/{name}"),
        )
        for name in ("message_id", "status", "timestamp", "recipient_id")
    ),
)


def _with_attachment(frame: Frame) -> Frame:
    medium = frame["payload"].get("metadata", {}).get("media_id", f"media-{frame['payload']['message_id']}")
    frame["payload"]["attachments"] = [
        {"media_id": medium, "content_type": "application/octet-stream", "encrypted": True}
    ]
    return frame


def _untyped(original: Handler, app: App, session: Session, frame: Frame) -> None:
    frame["payload"].setdefault("message_type", "text")
    original(app, session, frame)


@defect("client-message-without-type", "A client's message without a message_type is a text.", "LEG-01")
def client_message_without_type(seams: Seams) -> None:
    loosened(OLD, "/properties/payload/required/message_type")(seams)
    handling(OLD, _untyped)(seams)


def _by_the_clients_name(_original: Handler, app: App, session: Session, frame: Frame) -> None:
    """The sent_ack names nothing that the client knows, or what it made up itself."""
    mark = app.turn.mark
    _original(app, session, frame)
    for place, (link, item) in enumerate(app.turn._said[mark:], mark):
        if isinstance(item, bytes) and b'"sent_ack"' in item and link is session.link:
            ack = orjson.loads(item)
            ack["message_id"] = frame.get("message_id", "00000000-0000-4000-8000-000000000000")
            app.turn._said[place] = link, orjson.dumps(ack)


def _acknowledged_only(_original: Handler, app: App, session: Session, _frame: Frame) -> None:
    app.turn.send(
        session,
        app.frames.make("sent_ack", {"status": "sent"}, message="6f1c0a52-0d8a-4b52-9a55-3a3b8a1f0c11"),
    )


SENDING = (
    Defect(
        "legacy-message-dropped",
        "A client's message is acknowledged, and never delivered.",
        ("LEG-04",),
        handling(OLD, _acknowledged_only),
    ),
    Defect(
        "legacy-ack-of-another",
        "The sent_ack for a client's message names another message_id than recipients see.",
        ("LEG-05",),
        handling(OLD, _by_the_clients_name),
    ),
    Defect(
        "legacy-content-reencoded",
        "The encrypted_content of an older message is decoded and encoded again.",
        ("LEG-09",),
        altering(OLD, "/payload/encrypted_content", reencoded),
    ),
    Defect(
        "legacy-message-ignored",
        "Without the deprecated frames, a client's message is not answered.",
        ("LEG-10",),
        handling(OLD, lambda *_: None),
        setup="no-legacy",
    ),
)


@defect("legacy-gets-deliver", "A legacy connection gets deliver in place of message.", "LEG-06")
def legacy_gets_deliver(seams: Seams) -> None:
    seams.around(legacy, "rewritten", lambda _original, app, data: data)


def _telling(change: Callable[..., None]) -> Callable[[Seams], None]:
    def apply(seams: Seams) -> None:
        def tell(original: Callable[..., None], app: App, sessions: Any, *words: str) -> None:
            change(original, app, list(sessions), *words)

        seams.around(messages, "_tell_status", tell)

    return apply


def _now(app: App, session: Session, message_id: str, recipient: str, status: str, at: str) -> None:
    payload = {"status": status, "recipient_id": recipient}
    data = app.frames.make("status_update", payload, user=recipient, message=message_id, at=at)
    app.turn.send(session, data)


def _present_form(original: Callable[..., None], app: App, sessions: list[Session], *words: str) -> None:
    original(app, [session for session in sessions if not session.legacy], *words)
    for session in sessions:
        if session.legacy:
            _now(app, session, *words)


def _both_forms(original: Callable[..., None], app: App, sessions: list[Session], *words: str) -> None:
    original(app, sessions, *words)
    for session in sessions:
        if session.legacy:
            _now(app, session, *words)


STATUSES = (
    Defect(
        "legacy-gets-status-update",
        "A legacy connection gets status_update in place of message_status.",
        ("LEG-07",),
        _telling(_present_form),
    ),
    Defect(
        "legacy-status-in-both-forms",
        "A legacy connection gets status updates in both forms.",
        ("LEG-08",),
        _telling(_both_forms),
    ),
)


@defect("legacy-message-in-both-forms", "A legacy connection gets messages in both forms.", "LEG-08")
def legacy_message_in_both_forms(seams: Seams) -> None:
    def deliver(original: Callable[..., None], app: App, user: str, data: bytes) -> None:
        original(app, user, data)
        for session in app.hub.of_user(user):
            if session.legacy and session.cursor is None:
                app.turn.send(session, data)

    seams.around(messages, "_deliver", deliver)


@defect(
    "legacy-without-being-asked",
    "A server that has no deprecated frames sends status updates in the older form.",
    "LEG-11",
    setup="no-legacy",
)
def legacy_without_being_asked(seams: Seams) -> None:
    def change(frame: Frame, _to: Session, _app: App) -> Frame:
        payload = {**frame["payload"], "message_id": frame["message_id"], "timestamp": frame["timestamp"]}
        return {"type": "message_status", "payload": payload}

    sending("status_update", change)(seams)


@defect(
    "legacy-message-without-being-asked",
    "A server that has no deprecated frames delivers messages in the older form.",
    "LEG-11",
    setup="no-legacy",
)
def legacy_message_without_being_asked(seams: Seams) -> None:
    def change(frame: Frame, _to: Session, app: App) -> object:
        return legacy.rewritten(app, orjson.dumps(frame))

    sending("deliver", change)(seams)
