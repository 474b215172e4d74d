"""Defects in what others may learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from websockets.http11 import Request

from relaykit.reference_server import messages
from relaykit.reference_server.app import App
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import Frame, Handler, entry_of, handling, sending
from relaykit.reference_server.defects.messages_status import current_status
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.handshake import Admission, Door
from relaykit.reference_server.ids import key_of
from relaykit.reference_server.refused import Refused
from relaykit.reference_server.session import Session


def _to_everybody(original: Callable[..., None], app: App, user: str, data: bytes) -> None:
    original(app, user, data)
    if b'"type":"deliver"' in data:
        sender = orjson.loads(data)["sender_id"]
        for session in app.hub:
            if session.user not in (user, sender) and session.cursor is None:
                app.turn.send(session, data)


def _status_to_everybody(original: Callable[..., None], app: App, sessions: Any, *words: str) -> None:
    told = list(sessions)
    original(app, [*told, *(session for session in app.hub if session not in told)], *words)


def _status_to_receiver(original: Callable[..., None], app: App, sessions: Any, *words: str) -> None:
    told = list(sessions)
    recipient = words[1]
    others = [session for session in app.hub.of_user(recipient) if session not in told]
    original(app, [*told, *others], *words)


def _telling_of_others(original: Handler, app: App, session: Session, frame: Frame) -> None:
    """An acknowledgement of somebody else's message is refused; one of an unknown message is not."""
    names = [frame["message_id"]] if "message_id" in frame else []
    if frame["type"] == "read_receipt":
        names = frame["payload"]["message_ids"]
    for name in names:
        key = key_of(name)
        if entry_of(app.mailboxes, key) and current_status(app.mailboxes, key, session.user) is None:
            raise Refused("this message is not for you")
    original(app, session, frame)


LEAKS = (
    Defect(
        "message-to-everybody",
        "A direct message reaches everybody who is connected.",
        ("PRIV-01",),
        lambda seams: seams.around(messages, "_deliver", _to_everybody),
    ),
    Defect(
        "status-to-everybody",
        "A status_update reaches everybody who is connected.",
        ("PRIV-02",),
        lambda seams: seams.around(messages, "_tell_status", _status_to_everybody),
    ),
    Defect(
        "status-to-the-receiver",
        "A status_update reaches the receiver of the message, too.",
        ("PRIV-02",),
        lambda seams: seams.around(messages, "_tell_status", _status_to_receiver),
    ),
    Defect(
        "foreign-ack-refused",
        "An acknowledgement of somebody else's message is refused, one of an unknown message is not.",
        ("PRIV-03",),
        handling(("delivery_ack", "read_receipt"), _telling_of_others),
    ),
)


@defect("errors-repeat-the-token", "An error repeats the client's token.", "PRIV-04")
def errors_repeat_the_token(seams: Seams) -> None:
    tokens: dict[tuple[str, str], str] = {}

    def token(original: Callable[..., Any], self: Door, headers: Any, parameters: Any) -> Any:
        found = original(self, headers, parameters)
        last[:] = [found[0]]
        return found

    def examine(original: Callable[..., Admission], self: Door, request: Request) -> Admission:
        admission = original(self, request)
        tokens[admission.identity.user, admission.identity.device] = last[0]
        return admission

    def change(frame: Frame, to: Session, _app: App) -> Frame:
        frame["payload"]["message"] += f" (session of {tokens.get((to.user, to.device))})"
        return frame

    last: list[str] = []
    seams.around(Door, "_token", token)
    seams.around(Door, "examine", examine)
    sending("error", change)(seams)
