"""What recipients see of who sent something, and when, whatever its frame claims (source: Message Format).

One case for each way in which what one client sends comes before the eyes of another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from relaykit.conformance.arranging import control
from relaykit.conformance.context import Context, Device
from relaykit.conformance.fence import fence
from relaykit.conformance.matching import compare
from relaykit.conformance.registry import Probe, probe
from relaykit.conformance.talk import UNPADDED
from relaykit.conformance.values import fresh_uuid
from relaykit.pointers import at_pointer

_CLAIMED_YEAR = "1999"
_CLAIMED_TIME = f"{_CLAIMED_YEAR}-01-01T00:00:00Z"
_WHO = ("ENV-08", "AUTH-17")
_WHERE = ("ENV-09",)
_WHEN = ("ENV-10",)


@dataclass(frozen=True, slots=True)
class _Scene:
    """Who takes part: `false` is somebody in whose name, and from whose device, nothing was sent."""

    context: Context
    sender: Device
    target: Device
    false: Device
    group: str
    conversation: str


Payload = Callable[[_Scene, int], dict[str, Any]]
"""The payload of the n-th frame, from 0."""


@dataclass(frozen=True, slots=True)
class _Way:
    """A way from one client to another.

    Attributes:
        name: of its case.
        what: is sent, for readers.
        kind: type of the client's frame.
        payload: of that.
        arrives: patterns of frames as which it may come.
        capabilities: beyond core.
        operations: of the control interface that it takes: they make contacts, a group, a conversation.
        own: it goes to another device of the same user.
        waits: whom it is for is away meanwhile, and gets it later.
    """

    name: str
    what: str
    kind: str
    payload: Payload
    arrives: tuple[Mapping[str, Any], ...]
    capabilities: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    own: bool = False
    waits: bool = False


def _to_user(scene: _Scene, _n: int) -> dict[str, Any]:
    return {"receiver_id": scene.target.user.id, "ciphertext": UNPADDED, "message_type": "text"}


def _to_group(scene: _Scene, _n: int) -> dict[str, Any]:
    return {"group_id": scene.group, "ciphertext": UNPADDED, "message_type": "text"}


def _deprecated(scene: _Scene, n: int) -> dict[str, Any]:
    content = {"encrypted_content": UNPADDED, "message_type": "text"}
    return {"recipient_id": scene.target.user.id, **content, **_dated(n)}


def _typing(scene: _Scene, n: int) -> dict[str, Any]:
    return {"conversation_id": scene.conversation, "is_typing": n % 2 == 0, **_dated(n)}


def _media_key(scene: _Scene, n: int) -> dict[str, Any]:
    media = f"media-{fresh_uuid(scene.context.rng)}"
    key = {"encrypted_key": UNPADDED, "algorithm": "AES-256-GCM"}
    return {"media_id": media, "recipient_id": scene.target.user.id, **key, **_dated(n)}


def _dated(n: int) -> dict[str, Any]:
    """The first frame claims a time in its payload too, where that may."""
    return {"timestamp": _CLAIMED_TIME} if n == 0 else {}


def _presence(_scene: _Scene, n: int) -> dict[str, Any]:
    return {"status": ("busy", "away")[n % 2]}


def _signal(**more: Any) -> Payload:
    return lambda scene, _n: {"target_id": scene.target.user.id, **more}


def _sync(**more: Any) -> Payload:
    return lambda scene, _n: {"target_device_id": scene.target.id, **more}


_SIGNALS: Mapping[str, Payload] = {
    "call_offer": _signal(call_type="audio", sdp="v=0"),
    "call_answer": _signal(sdp="v=0"),
    "call_reject": _signal(reason="not_now"),
    "call_end": _signal(reason="hung_up"),
    "call_busy": _signal(reason="on_the_phone"),
    "ice_candidate": _signal(candidate={"candidate": ""}),
}
_SYNCS: Mapping[str, Payload] = {
    "sync_request": _sync(),
    "sync_data": _sync(encrypted_data=UNPADDED),
    "sync_ack": _sync(),
}


def _ways() -> Iterable[_Way]:
    deliver = ({"type": "deliver"},)
    yield _Way("message", "a message", "send", _to_user, deliver)
    yield _Way("waiting-message", "a message that waited", "send", _to_user, deliver, waits=True)
    either, group, made = (*deliver, {"type": "group_message"}), ("groups",), ("create_group",)
    for name, waits in (("group-message", False), ("waiting-group-message", True)):
        what = f"a message to a group{' that waited' if waits else ''}"
        yield _Way(name, what, "send", _to_group, either, group, made, waits=waits)
    old = ("legacy_frames",)
    yield _Way("deprecated-message", "a deprecated message", "message", _deprecated, deliver, old)
    for name, capabilities, operations in (
        ("typing", ("typing",), ("conversation",)),
        ("group-typing", ("typing", "groups"), ("create_group", "conversation")),
    ):
        what = f"a typing indicator{' in a group' if 'groups' in capabilities else ''}"
        yield _Way(name, what, "typing", _typing, ({"type": "typing"},), capabilities, operations)
    # What greets a newcomer says `online`.
    seen = tuple({"type": "presence", "payload": {"status": status}} for status in ("busy", "away"))
    yield _Way("presence", "a presence", "presence", _presence, seen, ("presence",), ("add_contact",))
    yield _Way("media-key", "a media key", "media_key", _media_key, ({"type": "media_key"},), ("media_keys",))
    for capability, kinds in (("calls", _SIGNALS), ("sync", _SYNCS)):
        for kind, payload in kinds.items():
            name, arrives, own = kind.replace("_", "-"), ({"type": kind},), capability == "sync"
            yield _Way(name, f"the frame {kind}", kind, payload, arrives, (capability,), own=own)


async def _arranged(context: Context, way: _Way) -> _Scene:
    """The scene, with everybody connected."""
    context.about = frozenset(pattern["type"] for pattern in way.arrives)  # a presence is not passed over
    if way.own:
        sender, target = context.user("mallory", ("phone", "laptop")).devices.values()
    else:
        sender, target = context.device("mallory"), context.device("bob")
    false = context.device("alice")
    for device in (sender, target, false):
        await device.connect()
    if "add_contact" in way.operations:
        # Whoever believes the claim has somebody to tell, too.
        for device in (sender, false):
            await control(context, "add_contact", {"user_id": device.user.id, "contact_id": target.user.id})
    members = [device.user.id for device in (sender, target, false)]
    group = conversation = ""
    if "create_group" in way.operations:
        group = str((await control(context, "create_group", {"members": members}))["group_id"])
    if "conversation" in way.operations:
        of = {"group_id": group} if group else {"members": members[:2]}
        conversation = str((await control(context, "conversation", of))["conversation_id"])
    return _Scene(context, sender, target, false, group, conversation)


async def _judge(context: Context, way: _Way) -> None:
    scene = await _arranged(context, way)
    sender, target = scene.sender, scene.target
    if way.waits:
        await target.live.close(context.env.waits.reply)
    claims = ({"timestamp": _CLAIMED_TIME}, {"sender_id": scene.false.user.id}, {"device_id": scene.false.id})
    for number, claimed in enumerate(claims):
        if not sender.live.alive:  # after repeated violations a server may close
            await sender.connect()
        frame = {"type": way.kind, **claimed, "payload": way.payload(scene, number)}
        if way.kind == "send":
            frame["message_id"] = fresh_uuid(context.rng)
        sender.live.accounted = True
        sender.live.send(frame)
        sender.acted = True
        # A false claim may be corrected or refused: what counts is what comes.
        await fence(context, [sender] if way.waits else [target])
    if way.waits:
        await target.connect()
        await fence(context, [target])
    came = [f for f in target.live.frames if any(compare(pattern, f) is None for pattern in way.arrives)]
    if not came:
        said = f"{way.what} with no claim but a timestamp did not come"
        context.fail((), said, expected=way.arrives[0], actual="nothing", actor=target.label)
    for frame in came:
        _look(scene, frame)


def _look(scene: _Scene, frame: Mapping[str, Any]) -> None:
    """Judge what a frame that came says of its origin."""
    user, device = scene.sender.user.id, scene.sender.id
    # Of devices it may also name the one that it is for: an envelope does not say which it means.
    for requirements, what, pointers, wanted, right in (
        (_WHO, "sender", ("/sender_id", "/payload/sender_id", "/payload/user_id"), user, _among(user)),
        (_WHERE, "device", ("/device_id",), device, _among(device, scene.target.id)),
        (_WHEN, "time", ("/timestamp", "/payload/timestamp"), "the server's time", _not_as_claimed),
    ):
        said = [value for pointer in pointers if (value := at_pointer(frame, pointer)) is not None]
        wrong = next((value for value in said if not right(str(value))), None)
        if wrong is not None:
            scene.context.fail(
                requirements,
                f"{frame['type']} names {wrong} as its {what}, which is not the true one",
                expected=wanted,
                actual=frame,
                actor=scene.target.label,
            )
        elif said:
            scene.context.prove(requirements, scene.target.label)


def _among(*ids: str) -> Callable[[str], bool]:
    return lambda value: value.lower() in {each.lower() for each in ids}


def _not_as_claimed(value: str) -> bool:
    return not value.startswith(_CLAIMED_YEAR)


def _case(way: _Way) -> Probe:
    async def run(context: Context) -> None:
        await _judge(context, way)

    dated = () if way.kind == "presence" else _WHEN
    return probe(
        f"false-claims-{way.name}",
        title=f"{way.what[:1].upper()}{way.what[1:]} names its true sender, device and time",
        area="envelope",
        requirements=(*_WHO, *_WHERE, *dated),
        catches="A server that stamps what it passes on with what the client's frame says of its origin.",
        capabilities=way.capabilities,
        operations=way.operations,
        frames=(way.kind, *(pattern["type"] for pattern in way.arrives)),
    )(run)


CASES = tuple(_case(way) for way in _ways())
