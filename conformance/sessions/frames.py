"""The frames of a session, as templates: what a step sends, and what others get for it.

References stand for identifiers, as in scenario files: `${m[3]}` is the third message, `${c[3]}` a content,
`${g1.group_id}` the group that a control step named `g1`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from relaykit.conformance.sessions.state import Step

Template = dict[str, Any]
VARS: Mapping[str, Any] = MappingProxyType({"m": "uuid", "c": "base64", "u": "uuid", "x": "media"})
"""The variables that templates refer to."""
SIGNALS = ("call_offer", "call_answer", "ice_candidate", "call_reject", "call_end", "call_busy")
SYNCS = ("sync_request", "sync_data", "sync_ack")


def user(name: str) -> str:
    return f"${{{name}.id}}"


def device(name: str) -> str:
    return f"${{{name}.id}}"


def message(number: int) -> str:
    """A message's id; of number 0, which was never sent, the unknown one; below 0, the name it is given."""
    if number < 0:
        return f"${{{named_by_target(number)}}}"
    return f"${{m[{number}]}}" if number else "${u[1]}"


def named_by_target(number: int) -> str:
    """What an id is called that the target made up."""
    return f"o{-number}"


def ciphertext(number: int) -> str:
    return f"${{c[{number}]}}"


def group(number: int) -> str:
    return f"${{g{number}.group_id}}"


def conversation(number: int) -> str:
    return f"${{v{number}.conversation_id}}"


def all_sent(step: Step) -> tuple[Template | str, ...]:
    """All that a step sends, in order.

    Raises:
        KeyError: the step sends nothing.
    """
    if step.move == "flood":
        return (*({"type": "pong"} for _ in range(step.with_["count"])), _send(step.with_))
    if step.move == "burst":
        return tuple(_send({"to": step.with_["to"], "m": n, "c": n}) for n in step.with_["ms"])
    return (sent(step),)


def sent(step: Step) -> Template | str:
    """What a step sends: a frame, or text that is none.

    Raises:
        KeyError: the step sends nothing, or several frames.
    """
    made = _invalid(step) if step.move == "invalid" else _MAKERS[step.move](step.with_)
    claim = step.with_.get("claim")
    if isinstance(made, dict) and claim:
        if "." in claim:
            return {**made, "device_id": device(claim)}
        return {**made, "sender_id": user(claim)}
    return made


def _send(with_: Mapping[str, Any]) -> Template:
    where: Template = (
        {"group_id": group(with_["group"])} if with_.get("group") else {"receiver_id": user(with_["to"])}
    )
    payload = {**where, "ciphertext": ciphertext(with_["c"]), **kind_of(with_["c"])}
    return {"type": "send", "message_id": message(with_["m"]), "payload": payload}


def has_media(number: int) -> bool:
    """Whether the message with this content has media."""
    return number % 3 == 0


def kind_of(number: int) -> Template:
    """What the payload of a message says beside its content: some are texts, some have media."""
    if not has_media(number):
        return {"message_type": "text"}
    return {"message_type": "image", "media_id": "${x}", "media_type": "image/png"}


def _typing(with_: Mapping[str, Any]) -> Template:
    payload: Template = {"conversation_id": conversation(with_["v"]), "is_typing": with_["on"]}
    if with_.get("poses"):
        payload["user_id"] = user(with_["poses"])
    return {"type": "typing", "payload": payload}


def _signal(with_: Mapping[str, Any]) -> Template:
    return {"type": with_["type"], "payload": signal_payload(with_["type"], with_["to"], with_["n"])}


def signal_payload(kind: str, to: str, number: int) -> Template:
    """The payload of a signaling frame; the number makes it one of a kind."""
    payload: Template = {"target_id": user(to)}
    match kind:
        case "call_offer":
            payload |= {"call_type": "audio", "sdp": f"v=0 {number}"}
        case "call_answer":
            payload["sdp"] = f"v=0 {number}"
        case "ice_candidate":
            payload["candidate"] = {"candidate": f"candidate:{number}"}
        case _:
            payload["reason"] = f"reason_{number}"
    return payload


def _sync(with_: Mapping[str, Any]) -> Template:
    payload = {"target_device_id": device(with_["to"])}
    if with_["type"] == "sync_data":
        payload["encrypted_data"] = ciphertext(with_["c"])
    return {"type": with_["type"], "payload": payload}


def media_key(with_: Mapping[str, Any]) -> Template:
    return {
        "type": "media_key",
        "payload": {
            "media_id": "${x}",
            "recipient_id": user(with_["to"]),
            "encrypted_key": ciphertext(with_["c"]),
            "algorithm": "AES-256-GCM",
        },
    }


def _write_old(with_: Mapping[str, Any]) -> Template:
    to, content = user(with_["to"]), ciphertext(with_["c"])
    return {
        "type": "message",
        "payload": {"recipient_id": to, "encrypted_content": content, "message_type": "text"},
    }


def _read(with_: Mapping[str, Any]) -> Template:
    return {"type": "read_receipt", "payload": {"message_ids": [message(number) for number in with_["ms"]]}}


_MAKERS: Mapping[str, Any] = MappingProxyType(
    {
        "send": _send,
        "write_old": _write_old,
        "resend": _send,
        "steal": _send,
        "plead": _send,
        "ack": lambda with_: {"type": "delivery_ack", "message_id": message(with_["m"])},
        "read": _read,
        "typing": _typing,
        "media_key": media_key,
        "signal": _signal,
        "sync": _sync,
        "presence": lambda with_: {"type": "presence", "payload": {"status": with_["status"]}},
        "heartbeat": lambda _: {"type": "heartbeat"},
        "pong": lambda _: {"type": "pong"},
    }
)

INVALID = ("no_json", "array", "no_type", "unknown", "server_only", "other_case", "missing", "null", "number")
"""Ways in which a frame can be broken that every server has to refuse."""


def _invalid(step: Step) -> Template | str:
    """A message that would reach somebody, had it not one fault."""
    whole = _send(step.with_)
    match step.with_["fault"]:
        case "no_json":
            return '{"type":"send",'
        case "array":
            return "[" + _as_text(whole) + "]"
        case "no_type":
            return {key: value for key, value in whole.items() if key != "type"}
        case "unknown":
            return {**whole, "type": "sends"}
        case "server_only":
            return {**whole, "type": "deliver"}
        case "other_case":
            return {**whole, "type": "Send"}
        case "missing":
            payload = {key: value for key, value in whole["payload"].items() if key != "ciphertext"}
            return {**whole, "payload": payload}
        case "null":
            return {**whole, "payload": None}
        case _:
            return {**whole, "payload": {**whole["payload"], "message_type": 7}}


def _as_text(frame: Template) -> str:
    return json.dumps(frame)


# --- what others get ---


def deliver(
    sender: str, number: int, content: int, *, to: str = "", group_: int | None = None
) -> tuple[Template, ...]:
    """The forms in which a message arrives: one for a direct one, two for one to a group."""
    if group_ is None:
        payload = {"receiver_id": user(to), "ciphertext": ciphertext(content), **kind_of(content)}
        return (
            {
                "type": "deliver",
                "message_id": message(number),
                "sender_id": user(sender),
                "payload": payload,
            },
        )
    common = {"group_id": group(group_), **kind_of(content)}
    inner = {
        "message_id": message(number),
        "sender_id": user(sender),
        "encrypted_content": ciphertext(content),
    }
    return (
        {"type": "group_message", "payload": {**common, **inner}},
        {
            "type": "deliver",
            "message_id": message(number),
            "sender_id": user(sender),
            "payload": {**common, "ciphertext": ciphertext(content)},
        },
    )


def request(number: int) -> Template:
    """What the primary device is shown of a request."""
    name = f"r{number}"
    payload = {"request_id": f"${{{name}.request_id}}", "code": f"${{{name}.code}}"}
    return {"type": "device_approval_request", "payload": payload}


def decision(number: int, approved: bool) -> Template:
    """What a new device is told."""
    kind = "device_approved" if approved else "device_denied"
    return {"type": kind, "payload": {"request_id": f"${{r{number}.request_id}}"}}


def as_legacy(forms: Iterable[Mapping[str, Any]]) -> tuple[Template, ...]:
    """The same frames as a legacy connection gets them."""
    found: list[Template] = []
    for form in forms:
        payload = form.get("payload", {})
        match form["type"]:
            case "deliver":
                inner = {key: form[key] for key in ("message_id", "sender_id") if key in form}
                if "ciphertext" in payload:
                    inner["encrypted_content"] = payload["ciphertext"]
                    inner["message_type"] = payload["message_type"]
                found.append({"type": "message", "payload": inner})
            case "status_update":
                inner = {"message_id": form["message_id"], **payload}
                found.append({"type": "message_status", "payload": inner})
            case _:
                found.append(dict(form))
    return tuple(found)


def sent_ack(number: int) -> Template:
    """It tells the name of a message that has none before."""
    named = {"message_id": message(number)} if number >= 0 else {}
    return {"type": "sent_ack", **named, "payload": {"status": "sent"}}


def status_update(number: int, status: str) -> Template:
    return {"type": "status_update", "message_id": message(number), "payload": {"status": status}}


def presence_of(name: str, kind: str) -> Template:
    """`user_online` or `user_offline` of a user."""
    return {"type": kind, "sender_id": user(name), "payload": {"user_id": user(name)}}


def status_of(name: str, status: str) -> Template:
    """A user's `presence`."""
    return {"type": "presence", "payload": {"user_id": user(name), "status": status}}
