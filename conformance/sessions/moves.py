"""Which steps a session may take next: well-timed, ill-timed and hostile ones.

Each move says whether it is possible now, and chooses one step with the help of `draw`, which picks from a
sequence whose plainest member comes first: Hypothesis shrinks towards that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from relaykit.conformance.sessions import frames
from relaykit.conformance.sessions.call_moves import CALL_MOVES
from relaykit.conformance.sessions.device_moves import DEVICE_MOVES
from relaykit.conformance.sessions.frames import INVALID, SYNCS
from relaykit.conformance.sessions.move import Draw, Move, claims, needs, peers, prefer, two
from relaykit.conformance.sessions.move import who as _who
from relaykit.conformance.sessions.state import DEVICES, USERS, Message, State, Step, user_of

_MOST = 8
"""Groups and conversations of a session: enough to mix them up."""
_FAULTS = 5
"""Invalid frames on one connection: after repeated violations a server may close it."""


def _absent(state: State) -> tuple[str, ...]:
    """Devices that may connect, and have not."""
    out = state.online.keys() | state.visiting | state.denied | state.revoked
    return tuple(d for d in DEVICES if d not in out and state.has_room(user_of(d)))


def _connect(state: State, draw: Draw) -> Step:
    absent = _absent(state)
    expected = {device for m in state.messages.values() for device, done in m.waiting.items() if not done}
    expected |= {d for m in state.messages.values() for d in absent if user_of(d) in m.backlog}
    return Step("connect", prefer(draw, tuple(d for d in absent if d in expected), absent))


def _drop(state: State, draw: Draw) -> Step:
    return Step(
        "drop", draw((*state.everyone_online(), *sorted(state.visiting))), {"abort": draw((False, True))}
    )


def _reconnect(state: State, draw: Draw) -> tuple[Step, ...]:
    who = _who(state, draw)
    return Step("drop", who, {"abort": draw((False, True))}), Step("connect", who)


def _message(state: State, draw: Draw) -> Step:
    who, number = _who(state, draw), state.next()
    return Step("send", who, {"to": draw(peers(state, user_of(who))), "m": number, "c": number})


def _send(state: State, draw: Draw) -> tuple[Step, ...]:
    """A message, which may be acknowledged, or read, at once."""
    sent, reply = _message(state, draw), draw((None, "ack", "read"))
    there, number = state.devices(sent.with_["to"]), sent.with_["m"]
    if reply is None or not there:
        return (sent,)
    return sent, Step(reply, draw(there), {"m": number} if reply == "ack" else {"ms": (number,)})


def _write_old(state: State, draw: Draw) -> Step:
    who, number = _who(state, draw), state.next()
    content = next(n for n in iter(state.next, None) if not frames.has_media(n))
    to = draw(peers(state, user_of(who)))
    return Step("write_old", who, {"to": to, "m": -number, "c": content})


def _burst(state: State, draw: Draw) -> Step:
    who = _who(state, draw)
    to = draw(peers(state, user_of(who)))
    return Step("burst", who, {"to": to, "ms": tuple(state.next() for _ in range(draw((2, 3, 5))))})


def _send_to_group(state: State, draw: Draw) -> tuple[Step, ...]:
    """A message to a group, which others may acknowledge, or read, at once: strangers to it, and members."""
    group, number = draw(tuple(state.groups)), state.next()
    members = tuple(d for d in state.everyone_online() if user_of(d) in state.groups[group])
    who = prefer(draw, members, state.everyone_online())
    strangers = tuple(d for d in state.everyone_online() if user_of(d) not in state.groups[group])
    steps = [Step("send", who, {"group": group, "m": number, "c": number})]
    for others in (strangers, tuple(d for d in members if user_of(d) != user_of(who))):
        reply = draw((None, "ack", "read")) if others else None
        if reply is not None:
            steps.append(Step(reply, draw(others), {"m": number} if reply == "ack" else {"ms": (number,)}))
    return tuple(steps)


def _send_falsely(state: State, draw: Draw) -> Step:
    step = _message(state, draw)
    return Step("send", step.who, {**step.with_, "claim": draw(claims(step.who))})


def _resendable(state: State) -> tuple[Message, ...]:
    return tuple(m for m in state.messages.values() if not m.vague and state.devices(m.sender))


def _resend(state: State, draw: Draw) -> Step:
    """A message again: as it was, or to somebody else, or with another content."""
    reached = [m for m in _resendable(state) if any(map(state.devices, m.receivers))]
    message = prefer(draw, reached, _resendable(state))
    who = draw(state.devices(message.sender))
    others = peers(state, message.sender)
    to = prefer(draw, tuple(user for user in message.receivers if user in others), others)
    where = {"group": message.group} if message.group else {"to": to}
    return Step("resend", who, {**where, "m": message.number, "c": draw((state.next(), message.content))})


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
    others = peers(state, user_of(who))
    to = prefer(draw, [user for user in others if state.devices(user)], others)
    return Step("steal", who, {"to": to, "m": message.number, "c": state.next()})


def _ackable(state: State) -> tuple[tuple[str, int], ...]:
    """Connected devices, and messages that they have got."""
    return tuple(
        (device, message.number)
        for message in state.messages.values()
        if not message.vague
        for device in message.waiting
        if device in state.online
    )


def _open(state: State) -> tuple[tuple[str, int], ...]:
    """Those of them that the device has not acknowledged."""
    return tuple((d, number) for d, number in _ackable(state) if not state.messages[number].waiting[d])


def _unread(state: State) -> tuple[tuple[str, int], ...]:
    """Those of them that the device's user has not read."""
    messages = state.messages
    return tuple((d, n) for d, n in _ackable(state) if messages[n].status.get(user_of(d)) != "read")


def _ack(state: State, draw: Draw) -> Step:
    who, number = prefer(draw, _open(state), _ackable(state))
    return Step("ack", who, {"m": number})


def _take(state: State, draw: Draw) -> tuple[Step, ...]:
    """A message is acknowledged and read, at once or bit by bit; then another of the user's devices comes."""
    who, number = draw(_open(state))
    ack, read = Step("ack", who, {"m": number}), Step("read", who, {"ms": (number,)})
    steps = draw(((ack,), (read,), (ack, read)))
    others = tuple(
        device
        for device, done in state.messages[number].waiting.items()
        if user_of(device) == user_of(who) and device != who and not done
    )
    coming = tuple(d for d in others if d in state.online or d in _absent(state))
    if not coming or draw((False, True)):
        return steps
    other = draw(coming)
    return (*steps, *((Step("drop", other),) if other in state.online else ()), Step("connect", other))


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
    who, number = prefer(draw, _unread(state), _ackable(state))
    mine = tuple(n for device, n in _ackable(state) if device == who and n != number)
    more = {number, *(draw((number, *mine)) for _ in range(2))}
    return Step("read", who, {"ms": tuple(sorted(more))})


def _read_strangely(state: State, draw: Draw) -> Step:
    step = _ack_strangely(state, draw)
    mine = tuple(n for device, n in _ackable(state) if device == step.who)
    return Step("read", step.who, {"ms": tuple(sorted({step.with_["m"], draw((step.with_["m"], *mine))}))})


def _typing(state: State, draw: Draw) -> Step:
    number = draw(tuple(state.conversations))
    members = tuple(d for d in state.everyone_online() if user_of(d) in state.members(number))
    who = prefer(draw, members, state.everyone_online())
    poses = draw((None, *peers(state, user_of(who))))
    return Step("typing", who, {"v": number, "on": draw((True, False)), "poses": poses})


def _media_key(state: State, draw: Draw) -> Step:
    who = _who(state, draw)
    return Step("media_key", who, {"to": draw(peers(state, user_of(who))), "c": state.next()})


def _sync(state: State, draw: Draw) -> Step:
    who = _who(state, draw)
    kin = tuple(d for d in DEVICES if user_of(d) == user_of(who) and d != who)
    to = prefer(draw, tuple(d for d in kin if d in state.online), DEVICES)
    return Step("sync", who, {"type": draw(SYNCS), "to": to, "c": state.next()})


def _presence(state: State, draw: Draw) -> tuple[Step, ...]:
    """A status, mostly of somebody whom contacts see, and who may leave then, and come again."""
    watched = tuple(d for d in state.everyone_online() if state.watchers(user_of(d)))
    who = prefer(draw, watched, state.everyone_online())
    claim = draw((None, *peers(state, user_of(who))))
    step = Step("presence", who, {"status": draw(("away", "busy", "online")), "claim": claim})
    if not draw((False, False, True)):
        return (step,)
    left = (Step("drop", device, {"abort": False}) for device in state.devices(user_of(who)))
    return step, *left, Step("connect", who)


def _invalid(state: State, draw: Draw) -> Step:
    who = draw(tuple(d for d in state.everyone_online() if state.invalid.get(d, 0) < _FAULTS))
    number = state.next()
    to = draw(peers(state, user_of(who)))
    return Step("invalid", who, {"fault": draw(INVALID), "to": to, "m": number, "c": number})


# --- the control interface ---


def _known(state: State) -> tuple[str, ...]:
    return tuple(user for user in USERS if user in state.known)


def _unknown(state: State) -> tuple[str, ...]:
    return tuple(user for user in USERS if user not in state.known)


def _create_user(state: State, draw: Draw) -> tuple[Step, ...]:
    """A user without a device, who may be written to at once; then the first device may come."""
    user = draw(_unknown(state))
    made = Step("create_user", "", {"user": user})
    if not state.online or draw((False, True)):
        return (made,)
    number = state.next()
    sent = Step("send", _who(state, draw), {"to": user, "m": number, "c": number})
    first = tuple(d for d in _absent(state) if user_of(d) == user)
    comes = draw((True, False))
    return (made, sent, *((Step("connect", draw(first)),) if first and comes else ()))


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


MOVES: Mapping[str, Move] = MappingProxyType(
    {
        "connect": Move(lambda s: bool(_absent(s)), _connect),
        "drop": Move(_online, _drop),
        "reconnect": Move(_online, _reconnect),
        **DEVICE_MOVES,
        "send": Move(two, _send),
        "burst": Move(two, _burst),
        "write_old": Move(needs("legacy_frames"), _write_old),
        "send_to_group": Move(lambda s: _online(s) and bool(s.groups), _send_to_group, weight=3),
        "send_falsely": Move(two, _send_falsely),
        "send_again": Move(lambda s: bool(_resendable(s)), _resend, weight=2),
        "steal_id": Move(lambda s: bool(_foreign(s)), _steal, weight=2),
        "ack": Move(lambda s: bool(_ackable(s)), _ack, weight=2),
        "take": Move(lambda s: bool(_open(s)), _take, weight=3),
        "ack_strangely": Move(_online, _ack_strangely),
        "read": Move(lambda s: bool(_ackable(s)), _read, weight=2),
        "read_strangely": Move(_online, _read_strangely),
        "typing": Move(lambda s: needs("typing")(s) and bool(s.conversations), _typing),
        "media_key": Move(needs("media_keys"), _media_key),
        **CALL_MOVES,
        "sync": Move(needs("sync"), _sync),
        "presence": Move(needs("presence"), _presence),
        "heartbeat": Move(_online, lambda s, draw: Step("heartbeat", _who(s, draw))),
        "pong": Move(_online, lambda s, draw: Step("pong", _who(s, draw))),
        "invalid": Move(lambda s: two(s) and any(s.invalid.get(d, 0) < _FAULTS for d in s.online), _invalid),
        "create_user": Move(lambda s: s.offers("create_user") and bool(_unknown(s)), _create_user, weight=3),
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


def possible(state: State) -> tuple[str, ...]:
    """The moves that can be made, each as often as it weighs."""
    return tuple(name for name, move in MOVES.items() if move.possible(state) for _ in range(move.weight))


def chosen(name: str, state: State, draw: Draw) -> tuple[Step, ...]:
    """The steps of a move that can be made."""
    steps = MOVES[name].choose(state, draw)
    return steps if isinstance(steps, tuple) else (steps,)
