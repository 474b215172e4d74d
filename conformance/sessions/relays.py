"""The model of what is passed on as it is (typing, media keys, device synchronisation), and of presence."""

from __future__ import annotations

from relaykit.conformance.sessions import frames
from relaykit.conformance.sessions.state import Branch, Expected, State, Step, error, may, must, user_of


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
    """A status reaches the user's contacts; the user's own other devices may hear of it."""
    me, status = user_of(step.who), step.with_["status"]
    frame = frames.status_of(me, status)
    own = [device for device in state.devices(me) if device != step.who]
    reached = must(state.watchers(me), frame, req=("PRES-15", "PRES-16"))
    served = Branch("served", reached, may(own, frame), lambda new: new.reached("presence: status set"))
    if step.with_.get("claim"):
        return served, Branch("refused", must((step.who,), {"type": "error"}, req=("ENV-08", "PRES-16")))
    return (served,)


def came(state: State, device: str) -> tuple[tuple[Expected, ...], tuple[Expected, ...]]:
    """A device connects: who must, and who may, hear of it."""
    if not state.has("presence"):
        return (), ()
    user = user_of(device)
    told = newcomer(state, device)
    status = may(state.watchers(user), frames.status_of(user))
    if state.devices(user):
        return (), (*told, *status)
    frame = frames.presence_of(user, "user_online")
    if user in state.uncertain or not state.rules.presence_is_prompt:
        late = may(state.watchers(user), frames.presence_of(user, "user_offline"))
        return (), (*told, *status, *late, *may(state.watchers(user), frame))
    return must(state.watchers(user), frame, req=("PRES-05", "PRES-16")), (*told, *status)


def newcomer(state: State, device: str) -> tuple[Expected, ...]:
    """The presence of contacts, which a server may send a device that connects."""
    found: list[Expected] = []
    for contact in state.contacts_of(user_of(device)):
        found += may((device,), frames.status_of(contact), frames.presence_of(contact, "user_online"))
        found += may((device,), frames.status_of(contact))
        if contact in state.uncertain:
            found += may((device,), frames.presence_of(contact, "user_offline"))
    return tuple(found)


def went(state: State, device: str) -> tuple[tuple[Expected, ...], tuple[Expected, ...]]:
    """A device leaves: who must, and who may, hear of it."""
    if not state.has("presence"):
        return (), ()
    user = user_of(device)
    status = may(state.watchers(user), frames.status_of(user))
    if state.devices(user) != (device,):
        return (), status
    frame = frames.presence_of(user, "user_offline")
    if not state.rules.presence_is_prompt:
        return (), (*status, *may(state.watchers(user), frame))
    return must(state.watchers(user), frame, req=("PRES-06", "PRES-16")), status
