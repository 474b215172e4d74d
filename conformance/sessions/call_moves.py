"""Moves of calls: those that go their way, from one offer to the next, and stray and hostile signaling."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from relaykit.conformance.sessions.frames import SIGNALS
from relaykit.conformance.sessions.move import Draw, Move, claims, needs, peers, prefer
from relaykit.conformance.sessions.move import who as who_of
from relaykit.conformance.sessions.signaling import ENDS, sides
from relaykit.conformance.sessions.state import USERS, Call, State, Step, user_of


def _signalled(state: State, who: str, kind: str, to: str) -> Step:
    return Step("signal", who, {"type": kind, "to": to, "n": state.next()})


def _callable(state: State) -> tuple[tuple[str, str], ...]:
    """Devices of free users, and other free users who are there."""
    free = [u for u in USERS if u not in state.calls and u not in state.muddled and state.devices(u)]
    return tuple((d, to) for me in free for d in state.devices(me) for to in free if to != me)


def _call(state: State, draw: Draw) -> tuple[Step, ...]:
    """A call, which may be answered or declined at once."""
    who, to = draw(_callable(state))
    reply = draw((None, "call_answer", "call_reject", "call_busy"))
    offer = _signalled(state, who, "call_offer", to)
    if reply is None:
        return (offer,)
    return offer, _signalled(state, draw(state.devices(to)), reply, user_of(who))


def _signals(state: State) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """Who may send which signaling frames to whom, apart from partners in a call, and be judged by it."""
    found: list[tuple[str, str, tuple[str, ...]]] = []
    for device in state.everyone_online():
        me = user_of(device)
        for to in peers(state, me):
            if {me, to} & state.muddled or me in state.calls:
                continue
            kinds = ("call_offer",) if to in state.calls else tuple(k for k in SIGNALS if k != "call_offer")
            found.append((device, to, kinds))
    return tuple(found)


def _signal(state: State, draw: Draw) -> Step:
    busy = tuple(each for each in _signals(state) if each[1] in state.calls)
    who, to, kinds = prefer(draw, busy, _signals(state))
    return _signalled(state, who, draw(kinds), to)


def _signal_wildly(state: State, draw: Draw) -> Step:
    who = who_of(state, draw)
    to = draw(peers(state, user_of(who)))
    return _signalled(state, who, draw(SIGNALS), to)


def _open(state: State, draw: Draw) -> tuple[Call, str, str]:
    """A call that is going on, a user in it (the callee comes first), and one of their devices in it."""
    call = draw(tuple(state.calls.values()))
    me = draw((call.callee, call.caller))
    return call, me, draw(sides(state, call, me) or state.devices(me))


def _answer(state: State, draw: Draw) -> Step:
    """What belongs to a call that is going on, from either side."""
    call, me, who = _open(state, draw)
    kinds = ("call_answer", "call_reject", "call_end", "call_busy", "ice_candidate", "call_offer")
    return _signalled(state, who, draw(kinds), call.other(me))


def _hang_up(state: State, draw: Draw) -> tuple[Step, ...]:
    """A call is answered if it rings, and it ends: so both are free to call, and for others to call."""
    call, me, who = _open(state, draw)
    steps: tuple[Step, ...] = ()
    if call.answered is None and draw((False, True)):
        taker = who if me == call.callee else draw(sides(state, call, call.callee))
        steps = (_signalled(state, taker, "call_answer", call.caller),)
    steps = (*steps, _signalled(state, who, draw(ENDS), call.other(me)))
    both = (call.caller, call.callee)
    engaged = {*both, *state.calls, *state.muddled}
    others = tuple(d for d in state.everyone_online() if user_of(d) not in engaged)
    own = tuple(device for user in both for device in state.devices(user))
    again = prefer(draw, others, own)
    to = draw(tuple(user for user in both if user != user_of(again)))
    return (*steps, _signalled(state, again, "call_offer", to)) if draw((True, False)) else steps


def _signal_falsely(state: State, draw: Draw) -> Step:
    within = draw((True, False))
    step = _answer(state, draw) if state.calls and within else _signal_wildly(state, draw)
    return Step("signal", step.who, {**step.with_, "claim": draw(claims(step.who))})


CALL_MOVES: Mapping[str, Move] = MappingProxyType(
    {
        "call": Move(lambda s: s.has("calls") and bool(_callable(s)), _call, weight=2),
        "signal": Move(lambda s: s.has("calls") and bool(_signals(s)), _signal),
        "signal_wildly": Move(needs("calls"), _signal_wildly),
        "answer": Move(lambda s: bool(s.calls), _answer, weight=2),
        "hang_up": Move(lambda s: bool(s.calls), _hang_up, weight=2),
        "signal_falsely": Move(needs("calls"), _signal_falsely),
    }
)
