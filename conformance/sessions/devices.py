"""The model of devices: approval, revocation, deprecated frames, and two connections of one."""

from __future__ import annotations

from dataclasses import replace

from relaykit.conformance.codes import AUTH_FAILED, an_error
from relaykit.conformance.sessions import frames, messaging, relays, signaling
from relaykit.conformance.sessions.state import (
    ONLINE,
    Branch,
    Change,
    Expected,
    State,
    Step,
    error,
    may,
    must,
    user_of,
)

_REFUSED = an_error(AUTH_FAILED)


def ask(state: State, step: Step) -> tuple[Branch, ...]:
    """Approval is asked for: the primary device is shown that, now or when it returns."""
    device, number = step.with_["device"], step.with_["r"]
    primary = state.primary(user_of(device))
    here = primary is not None and primary in state.online

    def change(new: State) -> None:
        new.pending[device] = number
        if step.with_.get("soon"):
            new.soon.add(number)
        if not here:
            new.unshown.add(number)
        new.reached(f"device: approval asked for, primary {'there' if here else 'away'}")

    if not here or primary is None:
        return (Branch("asked", change=change),)
    frame = frames.request(number)
    shown = must((primary,), frame, req=("DEV-06", "DEV-08"))
    # Where it has just connected, it may be shown that as what was open then, too (DEV-11).
    return (Branch("asked", shown, may((primary,), frame), change),)


def decide(state: State, step: Step) -> tuple[Branch, ...]:
    """A request is decided: the new device is told, and leaves; it is served when it comes back, or never."""
    device, approved, number = step.with_["device"], step.with_["approved"], step.with_["r"]
    user, here = user_of(device), step.with_["device"] in state.visiting
    told: tuple[Expected, ...] = ()
    overheard: tuple[Expected, ...] = ()
    if here:
        told = must((device,), frames.decision(number, approved), req="DEV-12" if approved else "DEV-13")
        overheard = error(device)
        if approved:  # it may be served at once, until it leaves
            came, went = (frames.presence_of(user, kind) for kind in ("user_online", "user_offline"))
            watchers = state.watchers(user)
            overheard += (*may(watchers, came), *may(watchers, went))
            overheard += relays.shown(state, watchers, user, *(() if state.devices(user) else (ONLINE,)))
            overheard += relays.newcomer(state, device)
            overheard += tuple(Expected(device, each.forms) for each in state.told.get(user, ()))

    def change(new: State) -> None:
        new.pending.pop(device, None)
        new.unshown.discard(number)
        new.visiting.discard(device)
        new.decided_once.add(device)
        if not here:
            new.decided[device] = number, approved
        if approved:
            new.approved[device] = new.since[device] = new.fresh
            if here:
                relays.noted_leaving(new, device, heard=False)  # it may have been there
        else:
            new.denied.add(device)
        new.reached(f"device: {'approved' if approved else 'denied'} while {'there' if here else 'away'}")

    return (Branch("decided", told, overheard, change),)


def expire(state: State, step: Step) -> tuple[Branch, ...]:
    """Nobody decides in time: that counts as denied, and the new device should be told, now or later."""
    device, number = step.with_["device"], step.with_["r"]
    here = device in state.visiting

    def change(new: State) -> None:
        new.pending.pop(device, None)
        new.unshown.discard(number)
        new.soon.discard(number)
        new.visiting.discard(device)
        new.expired.add(number)
        new.decided_once.add(device)
        new.denied.add(device)
        new.lapsed.add(device)
        if not here:
            new.decided[device] = number, False
        new.reached(f"device: lapsed while {'there' if here else 'away'}")

    told = (*may((device,), frames.decision(number, approved=False)), *error(device)) if here else ()
    return (Branch("expired", may=told, change=change),)


def visit(state: State, step: Step) -> Branch:
    """A pending device connects: it is kept alive, and gets nothing."""

    def change(new: State) -> None:
        new.visiting.add(step.who)
        new.reached("device: pending → connected")

    return Branch("pending", may=error(step.who), change=change)


def leave(step: Step) -> Branch:
    """A pending device goes: nobody hears of that."""
    return Branch("pending", change=lambda new: new.visiting.discard(step.who))


def plead(_: State, step: Step) -> tuple[Branch, ...]:
    """A pending device sends what it may not: it is refused, and nobody gets it."""
    refused = must((step.who,), _REFUSED, req=("DEV-24", "DEV-25"))
    return (Branch("refused", refused, change=lambda new: new.reached("device: pending, refused")),)


def learn(state: State, step: Step) -> tuple[Branch, ...]:
    """A device that was denied while it was away connects, and is told; then it leaves."""
    number, _ = state.decided[step.who]

    def change(new: State) -> None:
        del new.decided[step.who]
        new.reached("device: denied, told later")

    frame = frames.decision(number, approved=False)
    if step.who in state.lapsed:
        return (Branch("told", may=(*may((step.who,), frame), *error(step.who)), change=change),)
    told = must((step.who,), frame, req=("DEV-15", "DEV-13"))
    return (Branch("told", told, error(step.who), change),)


def knock(state: State, step: Step) -> tuple[Branch, ...]:
    """A revoked or denied device tries to connect; whether it is refused sees the driver."""
    what = "revoked" if step.who in state.revoked else "denied"
    return (
        Branch("refused", may=error(step.who), change=lambda new: new.reached(f"device: {what}, refused")),
    )


def shut_out(state: State, device: str) -> tuple[str, ...]:
    """The requirements that ask for a device's refusal."""
    if device in state.lapsed and device not in state.revoked:
        return ("DEV-17", "DEV-28")
    return ("DEV-31",) if device in state.revoked else ("DEV-28",)


def revoke(state: State, step: Step) -> tuple[Branch, ...]:
    """A device is revoked: it is told, and its connections end; the others go on."""
    device = step.with_["device"]
    user, here = user_of(device), device in state.online
    heard: tuple[Expected, ...] = ()
    overheard, ended, also = heard, heard, heard
    told = heard
    hang_up: Change | None = None
    if here:
        heard, overheard = relays.went(state, device)
        ended, also, hang_up = signaling.left(state, device)
        said = an_error(AUTH_FAILED, reconnect=False)
        told = must((device,), said, req=("DEV-30", "DEV-29"))
    others = [other for other in state.known[user] if other != device]
    again = () if device != state.primary(user) else shown_again(state, user, others[0])

    def change(new: State) -> None:
        if hang_up is not None:
            hang_up(new)
        if here:
            del new.online[device]
            relays.noted_leaving(new, device, heard=bool(heard))
        new.known[user].remove(device)
        new.revoked.add(device)
        if again:
            new.unshown -= {number for each, number in new.pending.items() if user_of(each) == user}
        for message in new.messages.values():
            message.waiting.pop(device, None)
        new.reached(f"device: revoked while {'connected' if here else 'away'}")

    return (Branch("revoked", (*told, *heard, *ended), (*overheard, *also, *again), change),)


def shown_again(state: State, user: str, device: str) -> tuple[Expected, ...]:
    """Open requests that a returning or newly promoted primary device may be shown once more."""
    numbers = [number for each, number in state.pending.items() if user_of(each) == user]
    return tuple(each for number in numbers for each in may((device,), frames.request(number)))


def returned(state: State, device: str) -> tuple[tuple[Expected, ...], tuple[Expected, ...]]:
    """A known or approved device connects: what of requests and decisions it must, and may, be told."""
    user, must_come = user_of(device), list[Expected]()
    decided = state.decided.get(device)
    if decided is not None:
        must_come += must((device,), frames.decision(*decided), req=("DEV-15", "DEV-12"))
    if device != state.primary(user):
        return tuple(must_come), ()
    for each, number in state.pending.items():
        if user_of(each) == user and number in state.unshown:
            must_come += must((device,), frames.request(number), req=("DEV-09", "DEV-06"))
    again = [each for each in shown_again(state, user, device) if not _is_among(each, must_come)]
    return tuple(must_come), tuple(again)


def _is_among(expected: Expected, others: list[Expected]) -> bool:
    return any(expected.forms == other.forms for other in others)


def since_approval(state: State, device: str) -> tuple[Expected, ...]:
    """Messages between a device's approval and its first connection: it may get them, then and later."""
    since, user = state.since.get(device), user_of(device)
    if since is None:
        return ()
    return tuple(
        each
        for message in state.messages.values()
        if abs(message.number) > since and user in message.receivers and device not in message.waiting
        for each in may((device,), *messaging.forms_of(message, user))
    )


def connect_again(state: State, step: Step) -> tuple[Branch, ...]:
    """A device connects a second time; the older connection is closed, by the target or by the device."""
    device = step.who
    waiting, more = messaging.delivered_again(state, device, first=False)
    waiting = [replace(each, cause=(*each.cause, "CONN-14")) for each in waiting]
    shown, again = returned(state, device)
    _, overheard = relays.came(state, device)

    def change(new: State) -> None:
        new.serial += 1
        new.online[device] = new.serial
        new.invalid[device] = 0
        relays.noted_coming(new, device)
        new.reached("device: connected twice")

    # On the older connection, as long as there are two, the same may come.
    twice = tuple(Expected(device, each.forms) for each in (*waiting, *shown))
    since = since_approval(state, device)
    return (Branch("served", (*waiting, *shown), (*more, *again, *overheard, *twice, *since), change),)


def make_legacy(_: State, step: Step) -> tuple[Branch, ...]:
    """From its next connection on, a user's devices ask for the deprecated frames."""
    return (Branch("made", change=lambda new: new.legacy.add(step.with_["user"])),)


def in_their_form(state: State, branch: Branch) -> Branch:
    """The same branch, where users with legacy connections get the deprecated forms."""
    if not state.legacy:
        return branch
    return replace(
        branch,
        must=tuple(_legacy(state, each) for each in branch.must),
        may=tuple(_legacy(state, each) for each in branch.may),
    )


def _legacy(state: State, expected: Expected) -> Expected:
    if user_of(expected.to) not in state.legacy:
        return expected
    return replace(expected, forms=frames.as_legacy(expected.forms))
