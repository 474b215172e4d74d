"""Which steps a session may take next: well-timed, ill-timed and hostile ones.

Each move says whether it is possible now, and chooses one step with the help of `draw`, which picks from a
sequence whose plainest member comes first: Hypothesis shrinks towards that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from relaykit.conformance.sessions import frames
from relaykit.conformance.sessions.device_moves import DEVICE_MOVES
from relaykit.conformance.sessions.frames import INVALID, SIGNALS, SYNCS
from relaykit.conformance.sessions.move import Draw, Move
from relaykit.conformance.sessions.move import who as _who
from relaykit.conformance.sessions.signaling import sides
from relaykit.conformance.sessions.state import DEVICES, USERS, Message, State, Step, user_of

_MOST = 8
"""Groups and conversations of a session: enough to mix them up."""
_FAULTS = 5
"""Invalid frames on one connection: after repeated violations a server may close it."""


def _peers(state: State, user: str) -> tuple[str, ...]:
    """Other users that the target knows: what is sent to unknown ones is not judged."""
    return tuple(other for other in state.others(user) if other in state.known)


def _absent(state: State) -> tuple[str, ...]:
    """Devices that may connect, and have not."""
    out = state.online.keys() | state.visiting | state.denied | state.revoked
    return tuple(d for d in DEVICES if d not in out)


def _connect(state: State, draw: Draw) -> Step:
    return Step("connect", draw(_absent(state)))


def _drop(state: State, draw: Draw) -> Step:
    return Step(
        "drop", draw((*state.everyone_online(), *sorted(state.visiting))), {"abort": draw((False, True))}
    )


def _reconnect(state: State, draw: Draw) -> tuple[Step, ...]:
    who = _who(state, draw)
    return Step("drop", who, {"abort": draw((False, True))}), Step("connect", who)


def _send(state: State, draw: Draw) -> Step:
    who, number = _who(state, draw), state.next()
    return Step("send", who, {"to": draw(_peers(state, user_of(who))), "m": number, "c": number})


def _write_old(state: State, draw: Draw) -> Step:
    who, number = _who(state, draw), state.next()
    content = next(n for n in iter(state.next, None) if not frames.has_media(n))
    to = draw(_peers(state, user_of(who)))
    return Step("write_old", who, {"to": to, "m": -number, "c": content})


def _burst(state: State, draw: Draw) -> Step:
    who = _who(state, draw)
    to = draw(_peers(state, user_of(who)))
    return Step("burst", who, {"to": to, "ms": tuple(state.next() for _ in range(draw((2, 3, 5))))})


def _send_to_group(state: State, draw: Draw) -> Step:
    who, number = _who(state, draw), state.next()
    return Step("send", who, {"group": draw(tuple(state.groups)), "m": number, "c": number})


def _claims(device: str) -> tuple[str, ...]:
    """False identities: other users, and other devices."""
    user = user_of(device)
    return (*(other for other in USERS if other != user), *(d for d in DEVICES if d != device))


def _send_falsely(state: State, draw: Draw) -> Step:
    step = _send(state, draw)
    return Step("send", step.who, {**step.with_, "claim": draw(_claims(step.who))})


def _resendable(state: State) -> tuple[Message, ...]:
    return tuple(m for m in state.messages.values() if not m.vague and state.devices(m.sender))


def _resend(state: State, draw: Draw) -> Step:
    message = draw(_resendable(state))
    who = draw(state.devices(message.sender))
    where = {"group": message.group} if message.group else {"to": draw(_peers(state, message.sender))}
    return Step("resend", who, {**where, "m": message.number, "c": state.next()})


def _foreign(state: State) -> tuple[tuple[str, Message], ...]:
    """Devices, and messages of others that they could name."""
    return tuple(
        (device, message)
        for message in state.messages.values()
        for device in state.everyone_online()
        if user_of(device) != message.sender
    )


def _steal(state: State, draw: Draw) -> Step:
    who, message = draw(_foreign(state))
    to = draw(_peers(state, user_of(who)))
    return Step("steal", who, {"to": to, "m": message.number, "c": state.next()})


def _ackable(state: State) -> tuple[tuple[str, int], ...]:
    """Devices, and messages that they have got: those not acknowledged yet come first."""
    found = [
        (device, message.number, done)
        for message in state.messages.values()
        if not message.vague
        for device, done in message.waiting.items()
        if device in state.online
    ]
    return tuple((device, number) for device, number, _ in sorted(found, key=lambda each: each[2]))


def _ack(state: State, draw: Draw) -> Step:
    who, number = draw(_ackable(state))
    return Step("ack", who, {"m": number})


def _strange(state: State) -> tuple[tuple[str, int], ...]:
    """Devices, and messages that are none of their user's business."""
    return tuple(
        (device, message.number)
        for message in state.messages.values()
        for device in state.everyone_online()
        if user_of(device) not in message.receivers
    )


def _ack_strangely(state: State, draw: Draw) -> Step:
    who, number = draw((*_strange(state), (_who(state, draw), 0)))
    return Step("ack", who, {"m": number})


def _read(state: State, draw: Draw) -> Step:
    who, number = draw(_ackable(state))
    mine = tuple(n for device, n in _ackable(state) if device == who and n != number)
    more = {number, *(draw((number, *mine)) for _ in range(2))}
    return Step("read", who, {"ms": tuple(sorted(more))})


def _read_strangely(state: State, draw: Draw) -> Step:
    step = _ack_strangely(state, draw)
    mine = tuple(n for device, n in _ackable(state) if device == step.who)
    return Step("read", step.who, {"ms": tuple(sorted({step.with_["m"], draw((step.with_["m"], *mine))}))})


def _typing(state: State, draw: Draw) -> Step:
    who, number = _who(state, draw), draw(tuple(state.conversations))
    poses = draw((None, *_peers(state, user_of(who))))
    return Step("typing", who, {"v": number, "on": draw((True, False)), "poses": poses})


def _media_key(state: State, draw: Draw) -> Step:
    who = _who(state, draw)
    return Step("media_key", who, {"to": draw(_peers(state, user_of(who))), "c": state.next()})


def _callable(state: State) -> tuple[tuple[str, str], ...]:
    """Devices of free users, and other free users who are there."""
    free = [u for u in USERS if u not in state.calls and u not in state.muddled and state.devices(u)]
    return tuple((d, to) for me in free for d in state.devices(me) for to in free if to != me)


def _call(state: State, draw: Draw) -> Step:
    who, to = draw(_callable(state))
    return Step("signal", who, {"type": "call_offer", "to": to, "n": state.next()})


def _signals(state: State) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """Who may send which signaling frames to whom, apart from partners in a call, and be judged by it."""
    found: list[tuple[str, str, tuple[str, ...]]] = []
    for device in state.everyone_online():
        me = user_of(device)
        for to in _peers(state, me):
            if {me, to} & state.muddled or me in state.calls:
                continue
            kinds = ("call_offer",) if to in state.calls else tuple(k for k in SIGNALS if k != "call_offer")
            found.append((device, to, kinds))
    return tuple(found)


def _signal(state: State, draw: Draw) -> Step:
    who, to, kinds = draw(_signals(state))
    return Step("signal", who, {"type": draw(kinds), "to": to, "n": state.next()})


def _signal_wildly(state: State, draw: Draw) -> Step:
    who = _who(state, draw)
    to = draw(_peers(state, user_of(who)))
    return Step("signal", who, {"type": draw(SIGNALS), "to": to, "n": state.next()})


def _answer(state: State, draw: Draw) -> Step:
    """What belongs to a call that is going on, from either side."""
    call = draw(tuple(state.calls.values()))
    me = draw((call.callee, call.caller))
    who = draw(sides(state, call, me) or state.devices(me))
    kinds = ("call_answer", "call_reject", "call_end", "call_busy", "ice_candidate", "call_offer")
    return Step("signal", who, {"type": draw(kinds), "to": call.other(me), "n": state.next()})


def _signal_falsely(state: State, draw: Draw) -> Step:
    step = _signal_wildly(state, draw)
    return Step("signal", step.who, {**step.with_, "claim": draw(_claims(step.who))})


def _sync(state: State, draw: Draw) -> Step:
    who = _who(state, draw)
    kin = tuple(d for d in DEVICES if user_of(d) == user_of(who) and d != who)
    rest = tuple(d for d in DEVICES if d not in kin)
    return Step("sync", who, {"type": draw(SYNCS), "to": draw((*kin, *rest)), "c": state.next()})


def _presence(state: State, draw: Draw) -> Step:
    who = _who(state, draw)
    claim = draw((None, *_peers(state, user_of(who))))
    return Step("presence", who, {"status": draw(("away", "busy", "online")), "claim": claim})


def _invalid(state: State, draw: Draw) -> Step:
    who = draw(tuple(d for d in state.everyone_online() if state.invalid.get(d, 0) < _FAULTS))
    number = state.next()
    to = draw(_peers(state, user_of(who)))
    return Step("invalid", who, {"fault": draw(INVALID), "to": to, "m": number, "c": number})


# --- the control interface ---


def _known(state: State) -> tuple[str, ...]:
    return tuple(user for user in USERS if user in state.known)


def _unknown(state: State) -> tuple[str, ...]:
    return tuple(user for user in USERS if user not in state.known)


def _some(state: State, draw: Draw) -> tuple[str, ...]:
    """Two or three users."""
    known = _known(state)
    pairs = tuple((a, b) for i, a in enumerate(known) for b in known[i + 1 :])
    return draw((*pairs, known) if len(known) > 2 else pairs)


def _strangers(state: State) -> tuple[tuple[str, str], ...]:
    known = _known(state)
    return tuple(
        (a, b) for i, a in enumerate(known) for b in known[i + 1 :] if frozenset((a, b)) not in state.contacts
    )


def _joinable(state: State) -> tuple[tuple[int, str], ...]:
    return tuple((g, u) for g, members in state.groups.items() for u in _known(state) if u not in members)


def _leavable(state: State) -> tuple[tuple[int, str], ...]:
    return tuple((g, u) for g, members in state.groups.items() if len(members) > 1 for u in members)


def _membership(move: str, options: Callable[[State], tuple[tuple[int, str], ...]]) -> Move:
    def choose(state: State, draw: Draw) -> Step:
        group, user = draw(options(state))
        return Step(move, "", {"group": group, "user": user})

    return Move(lambda state: state.offers(move) and bool(options(state)), choose)


def _conversation(state: State, draw: Draw) -> Step:
    groups = tuple(state.groups) if state.has("groups") else ()
    number = state.next()
    chosen = draw((None, *groups))
    if chosen is None:
        return Step("conversation", "", {"v": number, "users": _some(state, draw)})
    return Step("conversation", "", {"v": number, "group": chosen})


def _online(state: State) -> bool:
    return bool(state.online)


def _two(state: State) -> bool:
    """Somebody is there, and there is somebody else to write to."""
    return bool(state.online) and len(state.known) > 1


def _needs(capability: str) -> Callable[[State], bool]:
    return lambda state: _two(state) and state.has(capability)


MOVES: Mapping[str, Move] = MappingProxyType(
    {
        "connect": Move(lambda s: bool(_absent(s)), _connect),
        "drop": Move(_online, _drop),
        "reconnect": Move(_online, _reconnect),
        **DEVICE_MOVES,
        "send": Move(_two, _send),
        "burst": Move(_two, _burst),
        "write_old": Move(_needs("legacy_frames"), _write_old),
        "send_to_group": Move(lambda s: _online(s) and bool(s.groups), _send_to_group),
        "send_falsely": Move(_two, _send_falsely, hostile=True),
        "send_again": Move(lambda s: bool(_resendable(s)), _resend),
        "steal_id": Move(lambda s: bool(_foreign(s)), _steal, hostile=True),
        "ack": Move(lambda s: bool(_ackable(s)), _ack),
        "ack_strangely": Move(_online, _ack_strangely, hostile=True),
        "read": Move(lambda s: bool(_ackable(s)), _read),
        "read_strangely": Move(_online, _read_strangely, hostile=True),
        "typing": Move(lambda s: _needs("typing")(s) and bool(s.conversations), _typing),
        "media_key": Move(_needs("media_keys"), _media_key),
        "call": Move(lambda s: s.has("calls") and bool(_callable(s)), _call),
        "signal": Move(lambda s: s.has("calls") and bool(_signals(s)), _signal),
        "signal_wildly": Move(_needs("calls"), _signal_wildly, hostile=True),
        "answer": Move(lambda s: bool(s.calls), _answer),
        "signal_falsely": Move(_needs("calls"), _signal_falsely, hostile=True),
        "sync": Move(_needs("sync"), _sync),
        "presence": Move(_needs("presence"), _presence),
        "heartbeat": Move(_online, lambda s, draw: Step("heartbeat", _who(s, draw))),
        "pong": Move(_online, lambda s, draw: Step("pong", _who(s, draw))),
        "invalid": Move(
            lambda s: _two(s) and any(s.invalid.get(d, 0) < _FAULTS for d in s.online), _invalid, hostile=True
        ),
        "create_user": Move(
            lambda s: s.offers("create_user") and bool(_unknown(s)),
            lambda s, draw: Step("create_user", "", {"user": draw(_unknown(s))}),
        ),
        "contact": Move(
            lambda s: s.offers("add_contact") and bool(_strangers(s)),
            lambda s, draw: Step("contact", "", {"users": draw(_strangers(s))}),
        ),
        "create_group": Move(
            lambda s: (
                s.offers("create_group") and s.has("groups") and len(s.groups) < _MOST and len(_known(s)) > 1
            ),
            lambda s, draw: Step("create_group", "", {"group": s.next(), "users": _some(s, draw)}),
        ),
        "add_member": _membership("add_member", _joinable),
        "remove_member": _membership("remove_member", _leavable),
        "conversation": Move(
            lambda s: (
                s.offers("conversation")
                and s.has("typing")
                and len(s.conversations) < _MOST
                and len(_known(s)) > 1
            ),
            _conversation,
        ),
    }
)
"""Every move by its name."""
