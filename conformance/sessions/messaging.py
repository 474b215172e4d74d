"""The model of messages: sending, acknowledging, reading, delivering again (decisions, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from relaykit.conformance.sessions import frames, relays
from relaykit.conformance.sessions.state import (
    Branch,
    Expected,
    Message,
    State,
    Step,
    error,
    may,
    must,
    user_of,
)


def send(state: State, step: Step) -> tuple[Branch, ...]:
    """A new message, perhaps under a false name: then it is refused, or comes from the true sender.

    Where as many wait as may, it can be refused, too (LIM-20).
    """
    shut_out = _is_shut_out(state, step)
    served = _refused(step) if shut_out else _accepted(state, step)
    if step.with_.get("claim"):
        refused = Branch("refused", must((step.who,), {"type": "error"}, req=("ENV-08", "AUTH-17")))
        return served, refused
    return (served,) if shut_out else (served, *_full(state, step, (served,)))


def _full(state: State, step: Step, parts: Sequence[Branch]) -> tuple[Branch, ...]:
    """As many messages wait as may: from one of these on, all can be refused, and have no effect (LIM-20)."""
    bound, receivers = state.rules.waiting, _receivers(state, step)
    waiting = max(map(state.waiting_for, receivers), default=0)
    return tuple(
        _refused_from(step, parts, taken)
        for taken in reversed(range(len(parts)))
        if bound and waiting + taken >= bound
    )


def _refused_from(step: Step, parts: Sequence[Branch], taken: int) -> Branch:
    served, refused = _together(parts[:taken]), must((step.who,), {"type": "error"}, req="LIM-20")

    def change(new: State) -> None:
        served.change(new)
        new.reached("message: refused, as many wait")

    needed = (*served.must, *refused * (len(parts) - taken))
    return replace(served, name="full", must=needed, change=change, whole=True)


def _together(parts: Sequence[Branch]) -> Branch:
    """Several messages that are served one after the other."""

    def change(new: State) -> None:
        for part in parts:
            part.change(new)

    needed = tuple(expected for part in parts for expected in part.must)
    return Branch("served", needed, tuple(e for part in parts for e in part.may), change)


def _receivers(state: State, step: Step) -> tuple[str, ...]:
    sender, group = user_of(step.who), step.with_.get("group")
    return tuple(u for u in state.groups[group] if u != sender) if group else (step.with_["to"],)


def _is_shut_out(state: State, step: Step) -> bool:
    number = step.with_.get("group")
    return number is not None and user_of(step.who) not in state.groups[number]


def _refused(step: Step) -> Branch:
    # GRP-09, GRP-10: it reaches nobody; an error should come.
    return Branch("shut_out", may=error(step.who))


def write_old(state: State, step: Step) -> tuple[Branch, ...]:
    """A message in the deprecated form: sent like any other, under a name that the target gives it."""
    served = _accepted(state, step)
    ack, *reached = served.must

    def change(new: State) -> None:
        served.change(new)
        new.reached("message: sent in the deprecated form")

    must_come = (
        replace(ack, cause=("LEG-05",)),
        *(replace(each, cause=("LEG-04",)) for each in reached),
    )
    return replace(served, must=must_come, change=change), *_full(state, step, (served,))


def _accepted(state: State, step: Step) -> Branch:
    sender, with_ = user_of(step.who), step.with_
    number, group = with_["m"], with_.get("group")
    receivers = _receivers(state, step)
    message = Message(number, sender, receivers, group, with_["c"], state.line(step.who))
    needed: list[Expected] = list(must((step.who,), frames.sent_ack(number), req="MSG-12"))
    for receiver in receivers:
        forms = frames.deliver(sender, number, with_["c"], to=receiver, group_=group)
        req = ("GRP-02", "GRP-03", "GRP-06") if group else ("MSG-16", "MSG-17", "MSG-18")
        needed += [Expected(d, forms, req, message.line) for d in state.devices(receiver)]
        message.status[receiver] = "sent"
        message.seen |= set(state.devices(receiver))
        message.waiting |= dict.fromkeys(state.known[receiver], False)
        if not state.known[receiver]:
            message.backlog.add(receiver)
    # Whether the sender's other devices get a copy is not judged.
    mine = [d for d in state.devices(sender) if d != step.who]
    copies = may(mine, *frames.deliver(sender, number, with_["c"], to=receivers[0] if receivers else sender))
    if group:
        copies = may(mine, *frames.deliver(sender, number, with_["c"], group_=group))
    more: list[Expected] = []

    def change(new: State) -> None:
        new.messages[number] = message
        if group is None:
            _wrote(new, sender, receivers[0])
        new.reached(f"message: new → sent{' to a group' if group else ''}")

    if group is None and (receivers[0], sender) in state.writers:
        # Those who become contacts may hear of each other.
        more += _acquainted(state, sender, receivers[0])
    return Branch("served", tuple(needed), (*copies, *more), change)


def _acquainted(state: State, one: str, other: str) -> list[Expected]:
    found: list[Expected] = []
    for a, b in ((one, other), (other, one)):
        found += relays.came_or_shown(state, state.devices(a), b)
        if b in state.uncertain:
            found += may(state.devices(a), frames.presence_of(b, "user_offline"))
    return found


def acquainted(state: State, one: str, other: str) -> tuple[Expected, ...]:
    """What two users may hear when they become contacts."""
    return tuple(_acquainted(state, one, other))


def _wrote(state: State, sender: str, receiver: str) -> None:
    state.writers.add((sender, receiver))
    if (receiver, sender) in state.writers:
        state.befriend(sender, receiver)


def burst(state: State, step: Step) -> tuple[Branch, ...]:
    """Several new messages, one right after the other: they arrive in that order."""
    parts = [
        _accepted(state, Step("send", step.who, {"to": step.with_["to"], "m": number, "c": number}))
        for number in step.with_["ms"]
    ]
    return _together(parts), *_full(state, step, parts)


def resend(state: State, step: Step) -> tuple[Branch, ...]:
    """The same sender and `message_id` again, with another content: acknowledged, and nothing else."""
    number = step.with_["m"]
    message = state.messages.get(number)
    if message is None or message.sender != user_of(step.who):
        return steal(state, step) if message else send(state, step)
    if message.group is not None and message.sender not in state.groups[message.group]:
        return (Branch("shut_out", may=(*error(step.who), *may((step.who,), frames.sent_ack(number)))),)
    reached = must((step.who,), frames.sent_ack(number), req="MSG-33")
    return (Branch("again", reached, change=lambda new: new.reached("message: sent again")),)


def steal(state: State, step: Step) -> tuple[Branch, ...]:
    """A `send` under somebody else's `message_id`: to be refused, and the original must stay as it is."""
    number, thief = step.with_["m"], user_of(step.who)
    if number not in state.messages:
        return send(state, step)
    if state.messages[number].sender == thief:
        return resend(state, step)

    def fails(new: State) -> None:
        new.sought.add(number)
        new.reached("message: id taken, refused")

    refused = Branch("refused", may=error(step.who), change=fails)

    def change(new: State) -> None:
        new.sought.add(number)
        new.stolen.setdefault(number, []).append((thief, step.with_["to"]))

    # It should be refused; but what is acknowledged instead must be delivered like any other message.
    taken = must((step.who,), frames.sent_ack(number), req="MSG-12")
    to = step.with_["to"]
    reached = must(
        state.devices(to), *frames.deliver(thief, number, step.with_["c"], to=to), req=("MSG-16", "MSG-36")
    )
    return refused, Branch("accepted", (*taken, *reached), change=change)


# --- acknowledgments ---


def ack(state: State, step: Step) -> tuple[Branch, ...]:
    """A `delivery_ack`: a receiver's, or one that changes nothing and tells nobody."""
    device, number = step.who, step.with_["m"]
    message = state.messages.get(number)
    user = user_of(device)
    if message is None or user not in message.receivers:
        return (_ignored(step, number),)
    if _is_vague(state, message, device):
        return (_vague(message, device),)
    first = not message.waiting[device] and message.status[user] == "sent"
    needed, more = _status(state, message, user, "delivered") if first else ((), ())

    def change(new: State) -> None:
        mine = new.messages[number]
        mine.waiting[device] = True
        if first:
            mine.status[user] = "delivered"
            _remember(new, mine, "delivered")
            new.reached("message: sent → delivered")
        else:
            new.reached("message: acknowledged again")

    return (Branch("served", needed, (*more, *error(device)), change),)


def read(state: State, step: Step) -> tuple[Branch, ...]:
    """A `read_receipt` for several messages; it is the device's acknowledgment as well."""
    device, user = step.who, user_of(step.who)
    needed: list[Expected] = []
    more: list[Expected] = list(error(device))
    changed: list[int] = []
    for number in step.with_["ms"]:
        message = state.messages.get(number)
        if message is None or user not in message.receivers:
            continue
        if _is_vague(state, message, device):
            continue
        changed.append(number)
        if message.status[user] == "read":
            continue
        if message.status[user] == "sent":
            more += _status(state, message, user, "delivered", only_may=True)[1]
        wanted, extra = _status(state, message, user, "read")
        needed += wanted
        more += extra

    def change(new: State) -> None:
        for number in changed:
            mine = new.messages[number]
            mine.waiting[device] = True
            if mine.status[user] != "read":
                new.reached(f"message: {mine.status[user]} → read")
                mine.status[user] = "read"
                _remember(new, mine, "read")
        for number in step.with_["ms"]:
            mine_ = new.messages.get(number)
            if number not in changed and mine_ is not None:
                if user in mine_.receivers:
                    mine_.vague = True
                else:
                    new.meddled.setdefault(number, ("MSG-39", "MSG-43"))
        if not changed:
            new.reached("message: read by a stranger")

    return (Branch("served", tuple(needed), tuple(more), change),)


def _is_vague(state: State, message: Message, device: str) -> bool:
    """Whether it is not judged what this device's acknowledgment does; it may have got two such messages."""
    twice = any(to == user_of(device) for _, to in state.stolen.get(message.number, ()))
    return message.vague or twice or device not in message.waiting


def _ignored(step: Step, number: int) -> Branch:
    def change(new: State) -> None:
        if number in new.messages:
            new.meddled.setdefault(number, ("MSG-38", "MSG-42"))
        new.reached("message: acknowledged by a stranger")

    return Branch("ignored", may=error(step.who), change=change)


def _vague(message: Message, device: str) -> Branch:
    """What this acknowledgment does is not judged, nor what becomes of the message from here on."""
    number = message.number

    def change(new: State) -> None:
        new.messages[number].vague = True

    return Branch("not_judged", may=error(device), change=change)


def tolerated(state: State, device: str) -> tuple[frames.Template, ...]:
    """Patterns of what may come to a device at any time, since it is not judged any more."""
    found: list[frames.Template] = []
    for message in state.messages.values():
        name = frames.message(message.number)
        if message.vague and message.sender == user_of(device):
            found.append({"type": "status_update", "message_id": name})
        for thief, _ in state.stolen.get(message.number, ()):
            found.append({"type": "deliver", "message_id": name, "sender_id": frames.user(thief)})
            if thief == user_of(device):
                found += [{"type": kind, "message_id": name} for kind in ("sent_ack", "status_update")]
    return tuple(found)


def _status(
    state: State, message: Message, receiver: str, status: str, *, only_may: bool = False
) -> tuple[tuple[Expected, ...], tuple[Expected, ...]]:
    """Who must, and who may, hear of a status."""
    devices = state.devices(message.sender)
    forms = (frames.status_update(message.number, status),)
    line = f"status {message.number} {receiver}"
    # Groups: once per recipient, or once in all. So none of them has to come.
    if only_may or message.group is not None:
        return (), tuple(Expected(device, forms, (), line) for device in devices)
    req = ("MSG-21", "MSG-27") if status == "delivered" else ("MSG-24", "MSG-27")
    return tuple(Expected(device, forms, req, line) for device in devices), ()


def _remember(state: State, message: Message, status: str) -> None:
    """An absent sender, or an absent device of a present one, may be told later."""
    told = state.told.setdefault(message.sender, [])
    told.append(Expected("", (frames.status_update(message.number, status),)))


# --- coming back ---


def delivered_again(
    state: State, device: str, *, first: bool
) -> tuple[Sequence[Expected], Sequence[Expected]]:
    """What waits for a device that connects: what it must get, and what it may."""
    user = user_of(device)
    needed: list[Expected] = []
    more: list[Expected] = []
    for message in state.messages.values():
        if user not in message.receivers:
            continue
        waits = message.waiting.get(device) is False or (first and user in message.backlog)
        if not waits:
            continue
        forms = forms_of(message, user)
        if message.vague or user in message.former:
            more += may((device,), *forms)
        else:
            mine = ("OFF-03", "OFF-01") if device in message.seen else ("OFF-01", "OFF-03")
            req = ("OFF-07",) if user in message.backlog else (*mine, "OFF-06")
            cause = ("MSG-15", "MSG-14") if state.restarted else ()
            needed.append(Expected(device, forms, req, message.line, cause))
    more += [Expected(device, told.forms) for told in state.told.get(user, ())]
    return needed, more


def forms_of(message: Message, user: str) -> tuple[frames.Template, ...]:
    """The forms in which a message reaches one of its receivers."""
    return frames.deliver(message.sender, message.number, message.content, to=user, group_=message.group)


def noted_seen(state: State, device: str) -> None:
    """A device that connects has got whatever waited for it, if only that."""
    for message in state.messages.values():
        if message.waiting.get(device) is False:
            message.seen.add(device)


def noted_device(state: State, device: str, *, first: bool) -> None:
    """A device is known from now on; a first one takes over what waited for its user."""
    user = user_of(device)
    for message in state.messages.values():
        if first and user in message.backlog:
            message.backlog.discard(user)
            message.waiting[device] = False
            state.reached("message: waits for a first device")
