"""What has to come of a valid frame, and to whom: by the catalogue's routes, or by what the type is for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relaykit.conformance.derived.binding import OTHER_DEVICE, PEER, SENDER
from relaykit.schemas import Catalogue

_SHOWS: Mapping[str, tuple[str, ...]] = {
    "send": ("MSG-16", "MSG-18", "MSG-19"),
    "send to a group": ("GRP-02", "GRP-06", "GRP-07"),
    "delivery_ack": ("MSG-21",),
    "read_receipt": ("MSG-24", "MSG-26"),
    "heartbeat": ("KEEP-03",),
    "pong": ("KEEP-06",),
    "presence": ("PRES-15",),
    "typing": ("TYP-02", "TYP-06"),
    "media_key": ("MED-02", "MED-06", "MED-07"),
    "call_offer": ("CALL-07", "CALL-13", "CALL-15"),
    "call_answer": ("CALL-09", "CALL-13", "CALL-15"),
    "call_reject": ("CALL-09", "CALL-15"),
    "call_end": ("CALL-09", "CALL-15"),
    "call_busy": ("CALL-10", "CALL-15"),
    "ice_candidate": ("CALL-09", "CALL-14"),
    "sync_request": ("SYNC-04", "SYNC-08"),
    "sync_data": ("SYNC-04", "SYNC-07", "SYNC-08"),
    "sync_ack": ("SYNC-04", "SYNC-08"),
    "message": ("LEG-04", "LEG-09"),
}
"""Which requirements it shows that the effect of a frame came, and came unchanged. A relayed type that is not
here shows those that its frame from the server names."""
_OBSERVER = {"user": PEER, "conversation": PEER, "contacts": PEER, "device": OTHER_DEVICE}


@dataclass(frozen=True, slots=True)
class Effect:
    """A frame that somebody must get.

    Attributes:
        who: label of the device.
        any_of: patterns, one of which it must match.
        requirements: what it breaks if it does not come.
    """

    who: str
    any_of: tuple[Mapping[str, Any], ...]
    requirements: tuple[str, ...]


def effect_requirements(catalogue: Catalogue, frame: str, template: Mapping[str, Any]) -> tuple[str, ...]:
    """What a case shows that gets all effects of its frame."""
    acknowledged = ("MSG-12",) if frame in ("send", "message") else ()
    return (*acknowledged, *_shown(catalogue, frame, template))


def _shown(catalogue: Catalogue, frame: str, template: Mapping[str, Any]) -> tuple[str, ...]:
    if frame == "send" and template["payload"].get("group_id"):
        return _SHOWS["send to a group"]
    relayed = catalogue.frames.get(("s2c", frame))
    return _SHOWS.get(frame, relayed.requirements if relayed else ())


def effects(catalogue: Catalogue, frame: Mapping[str, Any], owners: Mapping[str, str]) -> Iterable[Effect]:
    """What must come of a frame.

    Args:
        frame: as it is sent.
        owners: messages that the sender got → label of the device that sent them.
    """
    kind = str(frame["type"])
    payload: Mapping[str, Any] = frame.get("payload") or {}
    shows = _shown(catalogue, kind, frame)
    route = catalogue.frame("c2s", kind).route
    if route is not None:
        yield Effect(_OBSERVER[route.to], ({"type": kind, "payload": _relayed(payload)},), shows)
        return
    match kind:
        case "send":
            yield _acknowledged({"message_id": frame["message_id"]})
            yield Effect(PEER, _delivered(frame, payload), shows)
        case "message":
            yield _acknowledged({})
            content = {"ciphertext": payload["encrypted_content"], "message_type": payload["message_type"]}
            yield Effect(PEER, ({"type": "deliver", "payload": content},), shows)
        case "delivery_ack":
            yield _status(frame["message_id"], "delivered", owners, shows)
        case "read_receipt":
            for name in payload["message_ids"]:
                yield _status(name, "read", owners, shows)
        case "heartbeat":
            yield Effect(SENDER, ({"type": "heartbeat_ack"},), shows)


def _acknowledged(more: Mapping[str, Any]) -> Effect:
    return Effect(SENDER, ({"type": "sent_ack", "payload": {"status": "sent"}, **more},), ("MSG-12",))


def _delivered(frame: Mapping[str, Any], payload: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    as_sent = {"type": "deliver", "message_id": frame["message_id"], "payload": payload}
    if not payload.get("group_id"):
        return (as_sent,)
    content = {name: value for name, value in payload.items() if name not in ("ciphertext", "receiver_id")}
    content |= {"encrypted_content": payload["ciphertext"], "message_id": frame["message_id"]}
    return as_sent, {"type": "group_message", "payload": content}


def _status(name: str, status: str, owners: Mapping[str, str], shows: tuple[str, ...]) -> Effect:
    pattern = {"type": "status_update", "message_id": name, "payload": {"status": status}}
    return Effect(owners[name.lower()], (pattern,), shows)


def _relayed(payload: Mapping[str, Any]) -> dict[str, Any]:
    """A client's payload as its recipients get it: the server's time stands in place of the client's."""
    return {name: value for name, value in payload.items() if name != "timestamp"}
