"""The model: what a step of a session leads to, by the protocol.

Pure functions over plain data. A step has one permitted outcome, or several (`Branch`) where the protocol
leaves the target a choice; which one it took is seen from what arrives, and `take` goes on from there. What a
server only SHOULD do may happen here, and need not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from relaykit.conformance.codes import INVALID_MESSAGE, an_error
from relaykit.conformance.sessions import devices, frames, hardship, messaging, relays, signaling
from relaykit.conformance.sessions.state import DEVICES, USERS, Branch, State, Step, must, user_of

CONTROLS = (
    *("create_user", "contact", "create_group", "add_member", "remove_member", "conversation"),
    *("ask", "decide", "revoke"),
)
"""Steps that the control interface takes."""
ARRIVALS = (
    *("connect", "drop", "connect_again", "learn", "knock", "crowd", "make_legacy", "restart", "expire"),
)
"""Steps that send nothing."""


def possible(state: State, step: Step) -> bool:
    """Whether a step can be carried out at all: a shrunk session lacks steps that others built on."""
    with_ = step.with_
    if step.move in _BY_STANDING:
        return _BY_STANDING[step.move](state, step)
    if step.move not in CONTROLS and step.who not in state.online:
        return False
    group = with_.get("group")
    if group is not None and group not in state.groups and step.move != "create_group":
        return False
    if "v" in with_ and step.move != "conversation" and with_["v"] not in state.conversations:
        return False
    if with_.get("to") in USERS and with_["to"] not in state.known:
        return False  # what is sent to unknown users is not judged
    if step.move == "create_user":
        return with_["user"] not in state.known
    if step.move in ("contact", "create_group", "conversation"):
        return all(user in state.known for user in with_.get("users", ()))
    if step.move == "add_member":
        return with_["user"] in state.known and with_["user"] not in state.groups[with_["group"]]
    if step.move == "remove_member":
        return with_["user"] in state.groups[with_["group"]]
    return True


def _may_ask(state: State, device: str) -> bool:
    standing = (state.pending, state.decided, state.approved, state.denied, state.revoked)
    known = state.known.get(user_of(device), ())
    return bool(known) and device not in known and not any(device in each for each in standing)


_BY_STANDING: Mapping[str, Callable[[State, Step], bool]] = MappingProxyType(
    {
        "connect": lambda s, step: (
            step.who not in s.online
            and step.who not in s.visiting
            and step.who not in s.denied
            and step.who not in s.revoked
            and s.has_room(user_of(step.who))
        ),
        "connect_again": lambda s, step: (
            step.who in s.online and user_of(step.who) not in s.calls and s.has_room(user_of(step.who))
        ),
        # Of a connection that is cut the target may learn late, and count it for a while.
        "drop": lambda s, step: (
            (step.who in s.online or step.who in s.visiting)
            and (not step.with_.get("abort") or s.has_room(user_of(step.who)))
        ),
        "learn": lambda s, step: (
            step.who in s.denied and step.who in s.decided and s.has_room(user_of(step.who))
        ),
        "knock": lambda s, step: (
            (step.who in s.revoked or (step.who in s.denied and step.who not in s.decided))
            and s.has_room(user_of(step.who))
        ),
        # Devices that come later than those of a crowd would be younger than they are.
        "crowd": lambda s, step: (
            step.who in s.online
            and set(s.known[user_of(step.who)]) == {d for d in DEVICES if user_of(d) == user_of(step.who)}
            and len(s.devices(user_of(step.who))) + step.with_["count"] == s.rules.crowd
        ),
        "expire": lambda s, step: (
            s.pending.get(step.with_["device"]) == step.with_["r"]
            and step.with_["r"] in s.soon
            and not s.calls  # they ring out
        ),
        "plead": lambda s, step: step.who in s.visiting and step.with_["to"] in s.known,
        "ask": lambda s, step: _may_ask(s, step.with_["device"]),
        "decide": lambda s, step: s.pending.get(step.with_["device"]) == step.with_["r"],
        # A user's last device stays: what becomes of messages to nobody's device is not judged.
        "revoke": lambda s, step: (
            step.with_["device"] in (known := s.known.get(user_of(step.with_["device"]), []))
            and len(known) > 1
        ),
        # What becomes of open requests then is not judged.
        "restart": lambda s, _: not (s.restarted or s.pending or s.decided or s.approved),
        "make_legacy": lambda s, step: (
            step.with_["user"] not in s.known and not any(user_of(d) == step.with_["user"] for d in s.online)
        ),
    }
)
"""Steps for which it matters how a device stands with the target."""


def branches(state: State, step: Step) -> tuple[Branch, ...]:
    """The permitted outcomes of a step; of several, the plainest comes first."""
    return tuple(devices.in_their_form(state, each) for each in _MOVES[step.move](state, step))


def take(state: State, step: Step, branch: Branch) -> None:
    """Go on from this outcome."""
    branch.change(state)


def tolerated(state: State, device: str) -> tuple[frames.Template, ...]:
    """Patterns of what may come to a device at any time, since it is not judged."""
    undeclared = () if state.has("presence") else ("user_online", "user_offline", "presence")
    late = messaging.tolerated(state, device)
    return (
        *({"type": kind} for kind in undeclared),
        *(frames.as_legacy(late) if user_of(device) in state.legacy else late),
        *signaling.tolerated(state, device),
        *hardship.tolerated(state, device),
    )


# --- coming and going ---


def _connect(state: State, step: Step) -> tuple[Branch, ...]:
    device, user = step.who, user_of(step.who)
    if device in state.pending:
        return (devices.visit(state, step),)
    first = not state.known.get(user)
    new_device = device not in state.known.get(user, ())
    waiting, more = messaging.delivered_again(state, device, first=first)
    heard, overheard = relays.came(state, device)
    shown, again = devices.returned(state, device)
    since = devices.since_approval(state, device)

    def change(new: State) -> None:
        new.serial += 1
        if new.decided.pop(device, None) is not None:
            new.reached("device: approved, told later")
        new.approved.pop(device, None)
        if shown:
            new.unshown -= {number for each, number in new.pending.items() if user_of(each) == user}
        alone = not new.devices(user)
        new.online[device] = new.serial
        new.invalid[device] = 0
        if new_device:
            new.known.setdefault(user, []).append(device)
            messaging.noted_device(new, device, first=first)
        messaging.noted_seen(new, device)
        relays.noted_coming(new, device)
        new.reached(f"device: {'new' if new_device else 'away'} → online")
        if alone and heard:
            new.reached("presence: offline → online, told")

    return (Branch("served", (*waiting, *heard, *shown), (*more, *overheard, *again, *since), change),)


def _drop(state: State, step: Step) -> tuple[Branch, ...]:
    device, user = step.who, user_of(step.who)
    if device in state.visiting:
        return (devices.leave(step),)
    heard, overheard = relays.went(state, device)
    ended, also, hang_up = signaling.left(state, device)
    abort = bool(step.with_.get("abort"))

    def change(new: State) -> None:
        last = new.devices(user) == (device,)
        hang_up(new)
        del new.online[device]
        relays.noted_leaving(new, device, heard=bool(heard))
        new.reached(f"device: online → {'cut' if abort else 'away'}")
        if last and heard:
            new.reached("presence: online → offline, told")

    return (Branch("served", (*heard, *ended), (*overheard, *also), change),)


# --- what the control interface does ---


def _create_user(_: State, step: Step) -> tuple[Branch, ...]:
    def change(new: State) -> None:
        new.known.setdefault(step.with_["user"], [])
        new.reached("user: made without a device")

    return (Branch("served", change=change),)


def _contact(state: State, step: Step) -> tuple[Branch, ...]:
    one, other = step.with_["users"]

    def change(new: State) -> None:
        new.befriend(one, other)
        new.reached("contacts: made")

    return (Branch("served", may=messaging.acquainted(state, one, other), change=change),)


def _create_group(_: State, step: Step) -> tuple[Branch, ...]:
    def change(new: State) -> None:
        new.groups[step.with_["group"]] = list(step.with_["users"])
        new.reached("group: made")

    return (Branch("served", change=change),)


def _add_member(_: State, step: Step) -> tuple[Branch, ...]:
    group, user = step.with_["group"], step.with_["user"]

    def change(new: State) -> None:
        new.groups[group].append(user)
        for message in new.messages.values():
            if message.group == group:
                message.former.add(user)  # what waited may be gone, or come
        new.reached("group: member added")

    return (Branch("served", change=change),)


def _remove_member(_: State, step: Step) -> tuple[Branch, ...]:
    group, user = step.with_["group"], step.with_["user"]

    def change(new: State) -> None:
        new.groups[group].remove(user)
        for message in new.messages.values():
            if message.group == group:
                message.former.add(user)
        new.reached("group: member removed")

    return (Branch("served", change=change),)


def _conversation(_: State, step: Step) -> tuple[Branch, ...]:
    def change(new: State) -> None:
        group = step.with_.get("group")
        new.conversations[step.with_["v"]] = group if group is not None else list(step.with_["users"])
        new.reached("conversation: made")

    return (Branch("served", change=change),)


# --- the rest ---


def _invalid(_: State, step: Step) -> tuple[Branch, ...]:
    refused = an_error(INVALID_MESSAGE)

    def change(new: State) -> None:
        new.invalid[step.who] = new.invalid.get(step.who, 0) + 1
        new.reached(f"invalid: {step.with_['fault']} refused")

    return (Branch("refused", must((step.who,), refused, req=_FAULTS[step.with_["fault"]]), change=change),)


_FAULTS: Mapping[str, str] = MappingProxyType(
    {
        "no_json": "VAL-01",
        "array": "VAL-02",
        "no_type": "VAL-05",
        "unknown": "VAL-06",
        "other_case": "VAL-06",
        "server_only": "VAL-07",
        "missing": "VAL-08",
        "null": "VAL-08",
        "number": "VAL-08",
    }
)


def _heartbeat(_: State, step: Step) -> tuple[Branch, ...]:
    return (Branch("served", must((step.who,), {"type": "heartbeat_ack"}, req="KEEP-03")),)


def _pong(_: State, __: Step) -> tuple[Branch, ...]:
    return (Branch("served"),)


_MOVES: Mapping[str, Callable[[State, Step], tuple[Branch, ...]]] = MappingProxyType(
    {
        "connect": _connect,
        "connect_again": devices.connect_again,
        "drop": _drop,
        "flood": hardship.flood,
        "restart": hardship.restart,
        "ask": devices.ask,
        "decide": devices.decide,
        "expire": devices.expire,
        "crowd": hardship.crowd,
        "plead": devices.plead,
        "learn": devices.learn,
        "knock": devices.knock,
        "revoke": devices.revoke,
        "make_legacy": devices.make_legacy,
        "send": messaging.send,
        "write_old": messaging.write_old,
        "burst": messaging.burst,
        "resend": messaging.resend,
        "steal": messaging.steal,
        "ack": messaging.ack,
        "read": messaging.read,
        "typing": relays.typing,
        "media_key": relays.media_key,
        "signal": signaling.signal,
        "sync": relays.sync,
        "presence": relays.presence,
        "heartbeat": _heartbeat,
        "pong": _pong,
        "invalid": _invalid,
        "create_user": _create_user,
        "contact": _contact,
        "create_group": _create_group,
        "add_member": _add_member,
        "remove_member": _remove_member,
        "conversation": _conversation,
    }
)

TRANSITIONS = (
    *("device: new → online", "device: away → online", "device: online → away", "device: online → cut"),
    *("limits: flood refused", "limits: connection beyond the limit refused"),
    *("target: killed and started again", "message: sent in the deprecated form"),
    *("device: lapsed while there", "device: lapsed while away"),
    *("device: connected twice", "device: approval asked for, primary there"),
    *("device: approval asked for, primary away", "device: pending → connected", "device: pending, refused"),
    *(f"device: {what} while {where}" for what in ("approved", "denied") for where in ("there", "away")),
    *("device: approved, told later", "device: denied, told later", "device: denied, refused"),
    *("device: revoked while connected", "device: revoked while away", "device: revoked, refused"),
    *("message: new → sent", "message: new → sent to a group", "message: sent again"),
    *("message: sent → delivered", "message: sent → read", "message: delivered → read"),
    *("message: acknowledged again", "message: acknowledged by a stranger", "message: read by a stranger"),
    *("call: free → ringing", "call: ringing → answered", "call: target is busy", "call: renegotiated"),
    *(f"call: {was} → free by {kind}" for was in ("ringing", "answered") for kind in signaling.ENDS),
    *("call: signaling without a call", "call: ended by a device that left", "call: not judged"),
    *("presence: offline → online, told", "presence: online → offline, told", "presence: status set"),
    *("typing: passed on", "media key: passed on", "media key: recipient away", "contacts: made"),
    *("sync: passed on", "sync: target away", "sync: target itself", "sync: target stranger's device"),
    *("user: made without a device", "message: waits for a first device"),
    *("group: made", "group: member added", "group: member removed", "conversation: made"),
    *(f"invalid: {fault} refused" for fault in frames.INVALID),
)
"""What a session can reach, whatever choices the target makes."""
