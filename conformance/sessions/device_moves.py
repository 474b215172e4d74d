"""Moves of devices (two connections of one, approval, revocation), and hard times: floods and restarts."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from relaykit.conformance.sessions import model
from relaykit.conformance.sessions.move import Draw, Move
from relaykit.conformance.sessions.state import DEVICES, State, Step, user_of

_SEEN = "pending", "decided", "approved", "denied", "revoked"


def _single(state: State) -> tuple[str, ...]:
    """Connected devices that are in no call: a call's frames go to one connection, or to both."""
    again = (Step("connect_again", device) for device in state.everyone_online())
    return tuple(step.who for step in again if model.possible(state, step))


def _newcomers(state: State) -> tuple[str, ...]:
    """Devices that have never been seen, of users who have others."""
    return tuple(
        device
        for device in DEVICES
        if (known := state.known.get(user_of(device)))
        and device not in known
        and not any(device in getattr(state, each) for each in _SEEN)
    )


def _offers(state: State) -> bool:
    needed = ("request_device_approval", "decide_device_approval")
    return state.has("devices") and all(state.offers(name) for name in needed)


def _ask(state: State, draw: Draw) -> tuple[Step, ...]:
    """Approval is asked for; and the device may come at once, and try what it may not."""
    device, number, other = draw(_newcomers(state)), state.next(), state.next()
    others = tuple(user for user in state.known if user != user_of(device)) or (user_of(device),)
    soon = state.rules.expires and not state.soon and draw((False, True))
    steps = (
        Step("ask", "", {"device": device, "r": number, **({"soon": True} if soon else {})}),
        Step("connect", device),
        Step("plead", device, {"to": draw(others), "m": other, "c": other}),
    )
    return steps[: draw((1, 2, 3))]


def _decide(state: State, draw: Draw) -> tuple[Step, ...]:
    """A request is decided; and the device may try at once what it may do now."""
    device, approved = draw(tuple(state.pending)), draw((True, False))
    there = device in state.visiting
    then = Step("connect", device) if approved else Step("knock" if there else "learn", device)
    decided = Step("decide", "", {"device": device, "r": state.pending[device], "approved": approved})
    return (decided, then, *((Step("drop", device), then) if approved else ()))[: draw((1, 2, 4))]


def _expiring(state: State) -> tuple[Step, ...]:
    steps = (Step("expire", "", {"device": d, "r": number}) for d, number in state.pending.items())
    return tuple(step for step in steps if model.possible(state, step))


def _expire(state: State, draw: Draw) -> tuple[Step, ...]:
    """A request expires; and the device may try at once what it may do now."""
    step = draw(_expiring(state))
    device = step.with_["device"]
    then = Step("knock" if device in state.visiting else "learn", device)
    return (step, then)[: draw((1, 2))]


def _crowding(state: State) -> tuple[Step, ...]:
    steps = (
        Step("crowd", d, {"count": state.rules.crowd - len(state.devices(user_of(d)))})
        for d in state.everyone_online()
    )
    return tuple(step for step in steps if model.possible(state, step))


def _revoke(state: State, draw: Draw) -> tuple[Step, ...]:
    device = draw(_revocable(state))
    return (Step("revoke", "", {"device": device}), Step("knock", device))[: draw((1, 2))]


def _plead(state: State, draw: Draw) -> Step:
    who, number = draw(tuple(sorted(state.visiting))), state.next()
    to = draw(tuple(u for u in state.known if u != user_of(who)) or (user_of(who),))
    return Step("plead", who, {"to": to, "m": number, "c": number})


def _uninformed(state: State) -> tuple[str, ...]:
    return tuple(d for d in state.decided if model.possible(state, Step("learn", d)))


def _shut_out(state: State) -> tuple[str, ...]:
    return tuple(d for d in DEVICES if model.possible(state, Step("knock", d)))


def _revocable(state: State) -> tuple[str, ...]:
    return tuple(device for known in state.known.values() if len(known) > 1 for device in known)


def _flooding(state: State) -> tuple[str, ...]:
    """Devices whose connection has not sent too much yet: a server may end it after a sustained flood."""
    return tuple(d for d in state.everyone_online() if state.line(d) not in state.flooded)


def _flood(state: State, draw: Draw) -> Step:
    who, number = draw(_flooding(state)), state.next()
    to = draw(tuple(u for u in state.known if u != user_of(who)))
    return Step("flood", who, {"to": to, "m": number, "c": number, "count": state.rules.flood})


def _restartable(state: State) -> bool:
    rules = state.rules
    return rules.restarts and bool(state.messages) and model.possible(state, Step("restart"))


DEVICE_MOVES: Mapping[str, Move] = MappingProxyType(
    {
        "connect_again": Move(
            lambda s: bool(_single(s)), lambda s, draw: Step("connect_again", draw(_single(s)))
        ),
        "ask": Move(lambda s: _offers(s) and bool(_newcomers(s)), _ask),
        "decide": Move(lambda s: bool(s.pending), _decide, weight=2),
        "expire": Move(lambda s: bool(_expiring(s)), _expire, weight=2),
        "plead": Move(lambda s: bool(s.visiting), _plead),
        "learn": Move(
            lambda s: bool(_uninformed(s)), lambda s, draw: Step("learn", draw(_uninformed(s))), weight=2
        ),
        "knock": Move(lambda s: bool(_shut_out(s)), lambda s, draw: Step("knock", draw(_shut_out(s)))),
        "flood": Move(lambda s: s.rules.flood > 0 and len(s.known) > 1 and bool(_flooding(s)), _flood),
        "crowd": Move(
            lambda s: s.rules.crowd > 0 and bool(_crowding(s)),
            lambda s, draw: draw(_crowding(s)),
        ),
        "restart": Move(_restartable, lambda _, __: Step("restart")),
        "revoke": Move(
            lambda s: s.has("devices") and s.offers("revoke_device") and bool(_revocable(s)),
            _revoke,
        ),
    }
)
