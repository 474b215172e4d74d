"""The model of hard times: a flood, a crowd of connections, and a target that is killed and started again."""

from __future__ import annotations

from dataclasses import replace

from relaykit.conformance.codes import RATE_LIMITED, an_error
from relaykit.conformance.sessions import frames, messaging
from relaykit.conformance.sessions.state import Branch, State, Step, must

LIMITED = an_error(RATE_LIMITED)


def flood(state: State, step: Step) -> tuple[Branch, ...]:
    """A device sends more than it may, and a message behind that: it is told so.

    The message has no effect; or its whole effect, where so much time has passed that it may be sent again.
    """
    told = must((step.who,), LIMITED, req=("LIM-07", "LIM-10"))
    late, *full = messaging.send(state, step)
    refused = tuple(each for branch in full for each in branch.must)

    def noted(new: State) -> None:
        new.flooded.add(new.line(step.who))
        new.reached("limits: flood refused")

    def accepted(new: State) -> None:
        late.change(new)
        noted(new)

    return (
        Branch("limited", told, refused, noted),
        Branch("limited_before", (*told, *late.must), late.may, accepted),
    )


def tolerated(state: State, device: str) -> tuple[frames.Template, ...]:
    """One error may stand for several frames; or each of them gets its own."""
    return (LIMITED,) if flooded(state, device) else ()


def flooded(state: State, device: str) -> bool:
    """Whether a device's connection has sent more than it may."""
    return device in state.online and state.line(device) in state.flooded


def crowd(_: State, step: Step) -> tuple[Branch, ...]:
    """A user has as many connections as the target permits: one more is refused, and nothing else happens.

    Whether they are served, and that one is refused, sees the driver; afterwards all the new ones go.
    """
    return (Branch("crowded", change=lambda new: new.reached("limits: connection beyond the limit refused")),)


def restart(_: State, __: Step) -> tuple[Branch, ...]:
    """The target is killed and started again: what it had acknowledged comes to those who connect again.

    What was arranged through the control interface may be gone, and with it who is whose contact.
    """

    def change(new: State) -> None:
        new.rules = replace(new.rules, capabilities=new.rules.capabilities - {"presence", "groups", "typing"})
        new.restarted = True
        for lost in (new.online, new.groups, new.conversations, new.calls):
            lost.clear()
        new.contacts.clear()
        new.muddled.clear()
        new.abandoned.clear()
        new.visiting.clear()
        for message in new.messages.values():
            message.vague = message.vague or message.group is not None
        new.reached("target: killed and started again")

    return (Branch("restarted", change=change),)
