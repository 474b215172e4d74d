"""The model of calls (decisions, section 3, Calls). Where the decisions leave a choice, it judges nothing.

Users whose calls it has lost track of are *muddled*: signaling to and from them is permitted, and not asked
for, until none of their devices is connected any more: where a target ends calls at once. One that allows a
grace for that may know them for longer than a session lasts.
"""

from __future__ import annotations

from collections.abc import Iterable

from relaykit.conformance.sessions import frames
from relaykit.conformance.sessions.state import (
    Branch,
    Call,
    Change,
    Expected,
    State,
    Step,
    error,
    may,
    must,
    user_of,
)

ENDS = ("call_reject", "call_end", "call_busy")


def signal(state: State, step: Step) -> tuple[Branch, ...]:
    """A signaling frame, from a device to a user."""
    kind, me, to = step.with_["type"], user_of(step.who), step.with_["to"]
    if step.with_.get("claim"):
        honest = signal(state, Step(step.move, step.who, {**step.with_, "claim": None}))
        return (*honest, Branch("refused", must((step.who,), {"type": "error"}, req=("ENV-08", "AUTH-17"))))
    if me in state.muddled or to in state.muddled:
        return (_muddled(state, step, (me, to)),)
    mine, theirs = state.calls.get(me), state.calls.get(to)
    if mine is not None and mine.other(me) == to:
        return _within(state, step, mine)
    if kind == "call_offer":
        return _offer(state, step, mine, theirs)
    if mine is None and theirs is None:
        return (_without_a_call(state, step),)
    # Between users one of whom is in a call with somebody else: relayed, but to which devices?
    return (_muddled(state, step, ()),)


def _offer(state: State, step: Step, mine: Call | None, theirs: Call | None) -> tuple[Branch, ...]:
    me, to, device = user_of(step.who), step.with_["to"], step.who
    if mine is not None:
        # An offer by someone already in a call: not judged.
        return (_muddled(state, step, (me, to, mine.other(me))),)
    busy = busy_frame(to)
    if theirs is not None:
        others = may((d for d in state.devices(me) if d != device), busy)

        def is_busy(new: State) -> None:
            new.reached("call: target is busy")

        return (Branch("busy", must((device,), busy, req=("CALL-20", "CALL-23")), others, is_busy),)
    ringing = state.devices(to)
    if not ringing:
        # Busy, an error or silence; and who knows whether the caller counts as calling.
        return (_muddled(state, step, (me, to)),)

    def change(new: State) -> None:
        new.calls[me] = new.calls[to] = Call(me, device, to, set(ringing))
        new.reached("call: free → ringing")

    rung = relayed(step, ringing, ("CALL-07", "CALL-08", "CALL-13", "CALL-15"))
    return (Branch("rings", rung, change=change),)


def _within(state: State, step: Step, call: Call) -> tuple[Branch, ...]:
    """A frame between the two sides of a call."""
    kind, me, to, device = step.with_["type"], user_of(step.who), step.with_["to"], step.who
    rings_for_me = call.answered is None and me == call.callee
    if not rings_for_me and device not in sides(state, call, me):
        # From a device that is not in the call: the decisions do not say.
        return (_muddled(state, step, (me, to)),)
    needed = sides(state, call, to)
    rest = [d for d in state.devices(to) if d not in needed]
    there = relayed(step, needed, _requirements(kind, call))
    spare = relayed(step, rest, ())
    if kind == "call_offer" and rings_for_me:

        def crossed(new: State) -> None:
            new.calls[me].crossed.add(device)
            new.reached("call: offers crossed")

        return (
            Branch("first_wins", must((device,), busy_frame(to), req="CALL-26"), error(device)),
            Branch("crossing_relayed", there, spare, crossed),
        )
    if kind == "call_answer" and me == call.caller and call.answered is None and call.crossed:
        return (_crossing_answered(state, step, call),)
    mates = [d for d in state.devices(me) if d != device]
    elsewhere = may(mates, {"type": "call_end", "sender_id": frames.user(to)})
    if kind == "call_answer" and rings_for_me:

        def answered(new: State) -> None:
            new.calls[me].answered = device
            new.reached("call: ringing → answered")

        return (Branch("answered", there, (*spare, *elsewhere), answered),)
    if kind in ENDS:
        was = "ringing" if call.answered is None else "answered"

        def ended(new: State) -> None:
            _forget(new, call)
            new.reached(f"call: {was} → free by {kind}")

        return (Branch("ended", there, (*spare, *(elsewhere if rings_for_me else ())), ended),)

    def again(new: State) -> None:
        if kind == "call_offer":
            new.calls[to].ringing |= set(needed)
            new.reached("call: renegotiated")

    return (Branch("in_call", there, spare, again),)


def _crossing_answered(state: State, step: Step, call: Call) -> Branch:
    """The caller answers the offer that crossed its own: whether that answers the call nobody says."""
    me, to = call.caller, call.callee
    needed = [d for d in call.crossed if d in state.online] if len(call.crossed) == 1 else []
    rest = [d for d in state.devices(to) if d not in needed]
    elsewhere = may(rest, {"type": "call_end", "sender_id": frames.user(me)})

    def unclear(new: State) -> None:
        _forget(new, call)
        new.muddled |= {me, to}
        new.reached("call: not judged")

    answer = relayed(step, needed, ("CALL-09",))
    return Branch("crossing_answered", answer, (*relayed(step, rest, ()), *elsewhere), unclear)


def _without_a_call(state: State, step: Step) -> Branch:
    devices = state.devices(step.with_["to"])
    if not devices:
        return Branch("nobody_there", may=error(step.who))
    return Branch(
        "without_a_call",
        relayed(step, devices, ("CALL-19", "CALL-09")),
        change=lambda new: new.reached("call: signaling without a call"),
    )


def _muddled(state: State, step: Step, users: tuple[str, ...]) -> Branch:
    """Whatever comes of it is permitted, to these two at least."""
    me, to = user_of(step.who), step.with_["to"]
    may_come = (
        *relayed(step, state.devices(to), ()),
        *error(step.who),
        *may(state.devices(me), busy_frame(to)),
    )

    def change(new: State) -> None:
        for user in users:
            new.muddled.add(user)
            call = new.calls.get(user)
            if call is not None:
                new.muddled |= {call.caller, call.callee}
                _forget(new, call)
        new.reached("call: not judged")

    return Branch("not_judged", may=may_come, change=change)


def sides(state: State, call: Call, user: str) -> tuple[str, ...]:
    """The user's connected devices that must get the call's frames."""
    if user == call.caller:
        return tuple(d for d in (call.device,) if d in state.online)
    if call.answered is not None:
        return tuple(d for d in (call.answered,) if d in state.online)
    return tuple(d for d in state.devices(user) if d in call.ringing)


def relayed(step: Step, devices: Iterable[str], req: tuple[str, ...]) -> tuple[Expected, ...]:
    """The step's frame, as these devices get it."""
    kind, to = step.with_["type"], step.with_["to"]
    pattern = {
        "type": kind,
        "sender_id": frames.user(user_of(step.who)),
        "payload": frames.signal_payload(kind, to, step.with_["n"]),
    }
    return tuple(Expected(device, (pattern,), req) for device in devices)


def busy_frame(user: str) -> frames.Template:
    """The server's own `call_busy` for a user."""
    return {"type": "call_busy", "payload": {"target_id": frames.user(user)}}


def _requirements(kind: str, call: Call) -> tuple[str, ...]:
    if kind == "call_offer":
        return ("CALL-25",)
    if kind == "call_busy":
        return ("CALL-10",)
    return ("CALL-09", "CALL-11" if call.answered is None else "CALL-12")


def _forget(state: State, call: Call) -> None:
    for user in (call.caller, call.callee):
        if state.calls.get(user) is not None:
            del state.calls[user]


# --- devices that come and go ---


def left(state: State, device: str) -> tuple[tuple[Expected, ...], tuple[Expected, ...], Change]:
    """A device is gone: what must and may come of it for a call, and what changes."""
    user = user_of(device)
    last = state.devices(user) == (device,)
    call = state.calls.get(user)

    def change(new: State) -> None:
        if last and new.rules.calls_end_promptly:  # else who comes back in time was never gone
            for callee in [each for each, caller in new.abandoned.items() if caller == user]:
                del new.abandoned[callee]
            if user not in new.abandoned:
                new.muddled.discard(user)

    if call is None or device not in sides(state, call, user):
        return (), (), change
    other = call.other(user)
    rings = call.answered is None and user == call.callee
    if rings and sides(state, call, user) != (device,):

        def rings_on(new: State) -> None:
            new.calls[user].ringing.discard(device)
            change(new)

        return (), (), rings_on
    frame = {
        "type": "call_end",
        "sender_id": frames.user(user),
        "payload": {"target_id": frames.user(other)},
    }
    needed = sides(state, call, other)
    rest = [d for d in state.devices(other) if d not in needed]
    if rings or not state.rules.calls_end_promptly:
        # A device that only rings is in no call yet: until the timeout its user may come back and answer.

        def unclear(new: State) -> None:
            _forget(new, call)
            new.muddled |= {user, other}
            if rings:
                new.abandoned[user] = other
            change(new)

        return (), may(state.devices(other), frame), unclear

    def ends(new: State) -> None:
        _forget(new, call)
        new.reached("call: ended by a device that left")
        change(new)

    return must(needed, frame, req=("CALL-35", "CALL-37", "CALL-38")), may(rest, frame), ends


def tolerated(state: State, device: str) -> tuple[frames.Template, ...]:
    """Patterns of what may come to a device at any time, since it is not judged any more."""
    if user_of(device) not in state.muddled:
        return ()
    return tuple({"type": kind} for kind in (*frames.SIGNALS,))
