"""Which requirement does a frame break that nobody could expect? Asked when one has come, and only then."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from relaykit.conformance.codes import AUTH_FAILED, RATE_LIMITED
from relaykit.conformance.matching import compare
from relaykit.conformance.sessions import frames, messaging
from relaykit.conformance.sessions.state import Expected, Message, State, Step, user_of

_MESSAGE = re.compile(r"\$\{(?:m\[([0-9]+)\]|o([0-9]+))(?:\|upper)?\}")
_REQUEST = re.compile(r"\$\{r([0-9]+)\.request_id(?:\|upper)?\}")
_SIGNAL_REQ = ("CALL-16",)
_PENDING = ("device_approved", "device_denied", "error", "heartbeat_ack", "ping")
"""All that a device gets before it is approved."""


def stray(state: State, step: Step | None, device: str, frame: Any) -> tuple[str, ...]:
    """The requirements that a frame breaks by coming to a device.

    Args:
        state: after the step.
        step: the step during which it came; None: after the last one.
        frame: with references for identifiers, as templates have them.
    """
    if not isinstance(frame, Mapping):
        return ("ENV-03",)
    kind = frame.get("type")
    if device in state.visiting and kind not in _PENDING:
        return ("DEV-21",)
    if step is not None and step.move == "flood" and _about(frame, step):
        return ("LIM-09",)
    if step is not None and step.move == "plead" and _about(frame, step):
        return ("DEV-25",)
    if step is not None and step.move == "revoke" and user_of(step.with_["device"]) == user_of(device):
        return ("DEV-34",) if kind != "device_approval_request" else ("DEV-07",)
    legacy = user_of(device) in state.legacy
    if legacy and kind in ("deliver", "status_update"):
        return ("LEG-08", "LEG-06" if kind == "deliver" else "LEG-07")
    if legacy and kind in ("message", "message_status"):
        kind = "deliver" if kind == "message" else "status_update"
    inner = frame.get("payload")
    payload: Mapping[str, Any] = inner if isinstance(inner, Mapping) else {}
    refused = step is not None and step.move == "invalid" and kind != "error"
    if step is not None and refused and (_about(frame, step) or kind == "sent_ack"):
        return ("VAL-12",)
    match kind:
        case "deliver" | "group_message":
            return _deliver(state, step, device, frame)
        case "status_update":
            return _status(state, step, device, frame)
        case "sent_ack":
            return ("MSG-13",) if step is None or device != step.who else _acknowledged(step)
        case "error":
            return _error(state, step, device, payload)
        case "typing":
            return _typing(state, step, device, payload)
        case "media_key":
            return ("MED-05",) if _came_back(step, device) else ("MED-04",)
        case "sync_request" | "sync_data" | "sync_ack":
            return _sync(step, device)
        case "user_online" | "user_offline" | "presence":
            return _presence(state, device, str(kind), payload)
        case "heartbeat_ack":
            return ("KEEP-04",)
        case _ if kind in frames.SIGNALS:
            return _signal(step, device)
        case "message" | "message_status":
            return ("LEG-08",) if state.has("legacy_frames") else ("LEG-11",)
        case "device_approved" | "device_denied":
            return ("DEV-16",) if device in state.decided_once else ("DEV-14",)
        case "device_approval_request":
            shown = _REQUEST.fullmatch(str(payload.get("request_id")))
            return ("DEV-10",) if shown and int(shown[1]) in state.expired else ("DEV-07",)
        case _:
            return ("ENV-04",)


def cause(state: State, expected: Expected) -> tuple[str, ...]:
    """What is broken rather than the frame's own requirements, as it is missing for the sake of other steps.

    Shrinking leaves only those steps without which it would come.
    """
    number = named(expected.forms[0]) if expected.forms[0].get("type") != "sent_ack" else 0
    return (*state.meddled.get(number, ()), *expected.cause)


def _about(frame: Mapping[str, Any], step: Step) -> bool:
    """Whether a frame is about the message of a step."""
    return frames.message(step.with_["m"]) in str(frame)


def _came_back(step: Step | None, device: str) -> bool:
    return step is not None and step.who == device


def _acknowledged(step: Step) -> tuple[str, ...]:
    if step.with_.get("group"):
        return ("VAL-20",)
    return ("MSG-36", "MSG-37") if step.move == "steal" else ("VAL-11",)


def named(frame: Mapping[str, Any]) -> int:
    """The number of the message that a frame is about; 0: none of the session's."""
    payload = frame.get("payload")
    inner = payload.get("message_id") if isinstance(payload, Mapping) else None
    found = _MESSAGE.fullmatch(str(frame.get("message_id") or inner or ""))
    if found is None:
        return 0
    return int(found[1]) if found[1] else -int(found[2])


def _deliver(state: State, step: Step | None, device: str, frame: Mapping[str, Any]) -> tuple[str, ...]:
    message, user = state.messages.get(named(frame)), user_of(device)
    if message is None:
        if step is not None and step.move == "write_old":
            return ("LEG-05", "LEG-04")
        if step is not None and step.with_.get("group"):
            return ("GRP-10", "GRP-09")
        return ("VAL-20",) if step is None or step.move != "steal" else ("MSG-37",)
    if step is not None and step.move == "resend" and step.with_["m"] == message.number:
        return ("MSG-35",)
    if user not in message.receivers:
        if user == message.sender:
            return ("GRP-08",) if message.group else ("PRIV-01",)
        return ("GRP-11", "GRP-12", "GRP-14") if message.group else ("PRIV-01",)
    late = step is not None and step.move in ("connect", "connect_again") and step.who == device
    if not _is_the_same(state, message, user, frame):
        if message.number in state.sought:
            return ("MSG-37",)
        return (*(("OFF-06",) if late else ()), *_changed(message, frame))
    if device in state.decided_once and device not in message.waiting:
        return ("DEV-27",)
    if late:
        if message.waiting.get(device):
            return ("MSG-30", "OFF-04") if message.status.get(user) == "read" else ("OFF-04",)
        if device not in message.waiting:
            return ("OFF-08",)
    if step is not None and step.move == "steal":
        return ("MSG-37",)
    return ("GRP-04", "GRP-05") if message.group else ("MSG-20",)


def _is_the_same(state: State, message: Message, user: str, frame: Mapping[str, Any]) -> bool:
    forms = messaging.forms_of(message, user)
    if user in state.legacy:
        forms = frames.as_legacy(forms)
    return any(compare(form, frame) is None for form in forms)


def _changed(message: Message, frame: Mapping[str, Any]) -> tuple[str, ...]:
    """It is the right message, but not as it was sent."""
    payload = frame.get("payload")
    payload = payload if isinstance(payload, Mapping) else {}
    if frames.user(message.sender) not in (frame.get("sender_id"), payload.get("sender_id")):
        return ("ENV-08", "AUTH-17")
    content = payload.get("ciphertext", payload.get("encrypted_content"))
    if content != frames.ciphertext(message.content):
        return ("GRP-06",) if message.group else ("MSG-18", "MSG-34")
    return ("GRP-07",) if message.group else ("MSG-19",)


def _status(state: State, step: Step | None, device: str, frame: Mapping[str, Any]) -> tuple[str, ...]:
    message = state.messages.get(named(frame))
    payload = frame.get("payload")
    status = payload.get("status") if isinstance(payload, Mapping) else None
    if message is None:
        return ("PRIV-02",)
    if message.sender != user_of(device):
        return ("PRIV-02", "MSG-42", "MSG-43")
    if step is not None and step.move in ("ack", "read") and user_of(step.who) not in message.receivers:
        return ("MSG-42", "MSG-38") if step.move == "ack" else ("MSG-43", "MSG-39")
    if message.number in state.meddled and "read" not in message.status.values():
        return state.meddled[message.number]
    reached = set(message.status.values())
    if message.group:
        return ("GRP-18",)
    if status == "read":
        return ("MSG-25",) if reached == {"read"} else ("MSG-39", "MSG-43")
    if status == "delivered":
        if "sent" in reached:
            return ("MSG-22",)
        return ("MSG-31",) if reached == {"read"} else ("MSG-23",)
    return ("MSG-07",)


def _error(state: State, step: Step | None, device: str, payload: Mapping[str, Any]) -> tuple[str, ...]:
    if step is None or device != step.who:
        return ("ERR-06",)
    if step.move in ("invalid", "ack", "read", "steal") or step.with_.get("claim"):
        return ("ERR-04",)
    if payload.get("error_code") == RATE_LIMITED:
        return ("LIM-06",)
    if payload.get("error_code") == AUTH_FAILED:
        return ("AUTH-19",)
    return ("VAL-22",) if step.move != "pong" else ("KEEP-06",)


def _typing(state: State, step: Step | None, device: str, payload: Mapping[str, Any]) -> tuple[str, ...]:
    if step is None or step.move != "typing":
        return ("TYP-09", "TYP-04")
    if user_of(step.who) not in state.members(step.with_["v"]):
        return ("TYP-08", "GRP-20")
    if step.who == device:
        return ("TYP-05",)
    if payload.get("user_id") != frames.user(user_of(step.who)):
        return ("TYP-07", "ENV-08")
    return ("TYP-04",)


def _sync(step: Step | None, device: str) -> tuple[str, ...]:
    if step is None or step.move != "sync":
        return ("SYNC-10",)
    if step.who == device:
        return ("SYNC-09",)
    return ("SYNC-05",) if user_of(step.who) == user_of(device) else ("SYNC-06",)


def _signal(step: Step | None, device: str) -> tuple[str, ...]:
    if step is None or step.move != "signal":
        return ("CALL-18", *_SIGNAL_REQ) if step is not None and step.move == "connect" else _SIGNAL_REQ
    if step.who == device:
        return ("CALL-17",)
    if step.with_["type"] == "call_offer":
        return ("CALL-21", *_SIGNAL_REQ)
    return _SIGNAL_REQ


def _presence(state: State, device: str, kind: str, payload: Mapping[str, Any]) -> tuple[str, ...]:
    about = next((u for u in state.known if payload.get("user_id") == frames.user(u)), None)
    if about is None or about not in state.contacts_of(user_of(device)):
        if kind == "presence":
            return ("PRES-13",)
        wrote = about is not None and any({about, user_of(device)} == set(pair) for pair in state.writers)
        return ("PRES-12", "PRES-10") if wrote else ("PRES-12",)
    if kind == "user_online":
        return ("PRES-07",)
    if kind == "user_offline":
        return ("PRES-08",)
    if payload.get("status") in state.shown(about):
        return ("PRES-16",)
    return ("PRES-17",) if about in state.statuses else ("PRES-18",)
