"""The model of what is passed on as it is (typing, media keys, device synchronisation), and of presence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from relaykit.conformance.sessions import frames
from relaykit.conformance.sessions.state import (
    OFFLINE,
    ONLINE,
    Branch,
    Expected,
    State,
    Step,
    error,
    may,
    must,
    user_of,
)


def typing(state: State, step: Step) -> tuple[Branch, ...]:
    """`typing` reaches the other members of the conversation, from members alone."""
    me, with_ = user_of(step.who), step.with_
    members = state.members(with_["v"])
    if me not in members:
        return (Branch("shut_out", may=error(step.who)),)
    frame = {
        "type": "typing",
        "payload": {
            "conversation_id": frames.conversation(with_["v"]),
            "user_id": frames.user(me),
            "is_typing": with_["on"],
        },
    }
    devices = [device for user in members if user != me for device in state.devices(user)]
    served = Branch(
        "served",
        must(devices, frame, req=("TYP-02", "TYP-03", "TYP-06")),
        change=lambda new: new.reached("typing: passed on"),
    )
    if with_.get("poses") or with_.get("claim"):
        refused = must((step.who,), {"type": "error"}, req=("TYP-07", "ENV-08"))
        return served, Branch("refused", refused)
    return (served,)


def media_key(state: State, step: Step) -> tuple[Branch, ...]:
    """`media_key` reaches every connected device of its recipient, and may wait for the others."""
    to = step.with_["to"]
    frame = frames.media_key(step.with_)
    devices = state.devices(to)

    def change(new: State) -> None:
        new.told.setdefault(to, []).append(Expected("", (frame,)))
        new.reached(f"media key: {'passed on' if devices else 'recipient away'}")

    reached = must(devices, frame, req=("MED-02", "MED-03", "MED-06", "MED-07"))
    return (Branch("served", reached, () if devices else error(step.who), change),)


def sync(state: State, step: Step) -> tuple[Branch, ...]:
    """A sync frame reaches the one device that it names, if that is another one of the same user."""
    me, to = user_of(step.who), step.with_["to"]
    if user_of(to) != me or to == step.who or to not in state.online:
        foreign = "stranger's device" if user_of(to) != me else "away" if to != step.who else "itself"
        return (
            Branch(
                "nobody_there", may=error(step.who), change=lambda new: new.reached(f"sync: target {foreign}")
            ),
        )
    payload = frames.sent(step)["payload"]  # type: ignore[index]
    frame = {
        "type": step.with_["type"],
        "sender_id": frames.user(me),
        "device_id": frames.device(step.who),
        "payload": payload,
    }
    reached = must((to,), frame, req=("SYNC-04", "SYNC-07", "SYNC-08"))
    return (Branch("served", reached, change=lambda new: new.reached("sync: passed on")),)


def presence(state: State, step: Step) -> tuple[Branch, ...]:
    """A status reaches the user's contacts, and holds; the user's own other devices may hear of it.

    Where a contact's device has just come, it may be shown the status as what holds, too.
    """
    me, status = user_of(step.who), step.with_["status"]
    frame = frames.status_of(me, status)
    own = [device for device in state.devices(me) if device != step.who]
    fresh = [device for device in state.watchers(me) if (device, me) in state.greeted]
    told = must(state.watchers(me), frame, req=("PRES-15", "PRES-16"))
    reached = tuple(each if each.to in fresh else _in_line(each, me) for each in told)

    def change(new: State) -> None:
        new.statuses[me] = (status,)
        new.greeted -= {(device, me) for device in fresh}
        new.reached("presence: status set")

    again = (_in_line(each, me) for each in may(fresh, frame))
    served = Branch("served", reached, (*may(own, frame), *again), change)
    if step.with_.get("claim"):
        return served, Branch("refused", must((step.who,), {"type": "error"}, req=("ENV-08", "PRES-16")))
    return (served,)


def came(state: State, device: str) -> tuple[tuple[Expected, ...], tuple[Expected, ...]]:
    """A device connects: who must, and who may, hear of it."""
    if not state.has("presence"):
        return (), ()
    user = user_of(device)
    told = newcomer(state, device)
    if state.devices(user):
        return (), (*told, *shown(state, state.watchers(user), user))
    status = shown(state, state.watchers(user), user, ONLINE)  # not only `offline`, as until now
    frame = frames.presence_of(user, "user_online")
    if user in state.uncertain or not state.rules.presence_is_prompt:
        late = may(state.watchers(user), frames.presence_of(user, "user_offline"))
        return (), (*told, *status, *late, *may(state.watchers(user), frame))
    return must(state.watchers(user), frame, req=("PRES-05", "PRES-16")), (*told, *status)


def newcomer(state: State, device: str) -> tuple[Expected, ...]:
    """The presence of contacts, which a server may send a device that connects."""
    found: list[Expected] = []
    for contact in state.contacts_of(user_of(device)):
        found += came_or_shown(state, (device,), contact)
        found += shown(state, (device,), contact)
        if contact in state.uncertain:
            found += may((device,), frames.presence_of(contact, "user_offline"))
    return tuple(found)


def went(state: State, device: str) -> tuple[tuple[Expected, ...], tuple[Expected, ...]]:
    """A device leaves: who must, and who may, hear of it."""
    if not state.has("presence"):
        return (), ()
    user = user_of(device)
    if state.devices(user) != (device,):
        return (), shown(state, state.watchers(user), user)
    status = may(state.watchers(user), frames.status_of(user, OFFLINE))
    frame = frames.presence_of(user, "user_offline")
    if not state.rules.presence_is_prompt:
        return (), (*status, *may(state.watchers(user), frame))
    told = must(state.watchers(user), frame, req=("PRES-06", "PRES-16"))
    return tuple(_in_line(each, user) for each in told), status


def shown(state: State, devices: Iterable[str], user: str, *more: str) -> tuple[Expected, ...]:
    """Each of these devices may be shown a status of a user that holds now, or one of these others."""
    return tuple(_in_line(each, user) for each in may(devices, *_statuses(state, user, *more)))


def came_or_shown(state: State, devices: Iterable[str], user: str) -> tuple[Expected, ...]:
    """Each of these devices may be told that a user is there, or be shown which status holds."""
    forms = (frames.presence_of(user, "user_online"), *_statuses(state, user))
    return tuple(_in_line(each, user) for each in may(devices, *forms))


def _in_line(expected: Expected, user: str) -> Expected:
    """It comes in its turn: what a device could be shown of a user before comes no more after it."""
    return replace(expected, line=f"presence {user}")


def _statuses(state: State, user: str, *more: str) -> list[frames.Template]:
    return [frames.status_of(user, status) for status in dict.fromkeys((*state.shown(user), *more))]


def noted_coming(state: State, device: str) -> None:
    """A device is connected from now on; what its user had set is over if contacts saw them leave."""
    user = user_of(device)
    if user in state.uncertain:
        state.statuses[user] = tuple(dict.fromkeys((*state.held(user), ONLINE)))
        state.uncertain.discard(user)
    state.greeted |= {(device, contact) for contact in state.contacts_of(user)}


def noted_leaving(state: State, device: str, *, heard: bool) -> None:
    """A device has gone; with the last one the status ends, if anybody heard that the target noticed."""
    user = user_of(device)
    if state.devices(user):
        return
    if heard:
        state.statuses.pop(user, None)
    else:
        state.uncertain.add(user)
