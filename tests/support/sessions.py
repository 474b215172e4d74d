"""The model of sessions in tests: states, and the steps that lead to them."""

from __future__ import annotations

from typing import Any

from relaykit.conformance.sessions import model
from relaykit.conformance.sessions.state import DEVICES, Branch, Rules, State, Step
from relaykit.schemas import load_catalogue

CONTROLS = (
    *("create_user", "add_contact", "create_group", "add_member", "remove_member", "conversation"),
    *("request_device_approval", "decide_device_approval", "revoke_device"),
)


def everybody(*absent: str, **changes: Any) -> State:
    """A state in which all devices but some are connected."""
    capabilities = frozenset(load_catalogue().protocol.capabilities)
    state = State(Rules(capabilities, frozenset(CONTROLS), **changes))
    for device in DEVICES:
        if device not in absent:
            go(state, Step("connect", device))
    return state


def go(state: State, step: Step, branch: str | None = None) -> Branch:
    """Take a step, in one of the permitted ways."""
    assert model.possible(state, step), step
    found = model.branches(state, step)
    chosen = next(b for b in found if branch in (None, b.name))
    model.take(state, step, chosen)
    return chosen


def send(number: int, who: str = "alice.phone", to: str = "bob", **more: Any) -> Step:
    return Step("send", who, {"to": to, "m": number, "c": number, **more})


def got(branch: Branch) -> list[tuple[str, str]]:
    """Who must get what."""
    return [(expected.to, expected.forms[0]["type"]) for expected in branch.must]


def could(branch: Branch) -> set[tuple[str, str]]:
    """Who may get what."""
    return {(expected.to, form["type"]) for expected in branch.may for form in expected.forms}
