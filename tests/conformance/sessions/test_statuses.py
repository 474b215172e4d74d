"""The model of presence statuses: which one holds, and who may still be shown which. No sockets."""

from __future__ import annotations

from typing import Any

import pytest
from support.sessions import everybody, go

from relaykit.conformance.sessions import blame, frames, judging
from relaykit.conformance.sessions.state import Branch, State, Step

WATCHER = "alice.phone"


def contacts(*absent: str, **changes: Any) -> State:
    """Alice and bob are contacts; alice's phone watches, and carol does not matter."""
    state: State = everybody("alice.laptop", *absent, **changes)
    go(state, Step("contact", "", {"users": ("alice", "bob")}))
    return state


def sets(status: str, device: str = "bob.phone") -> Step:
    return Step("presence", device, {"status": status})


def shown(branch: Branch, device: str = WATCHER, user: str = "bob") -> set[str]:
    """The statuses of a user that a device may, or must, be shown as a step is taken."""
    forms = [form for each in (*branch.must, *branch.may) if each.to == device for form in each.forms]
    mine = [form["payload"] for form in forms if form["type"] == "presence"]
    return {payload["status"] for payload in mine if payload["user_id"] == frames.user(user)}


def test_a_status_holds_while_any_device_stays_and_none_sets_another() -> None:
    state = contacts("bob.laptop")
    go(state, sets("away"))
    assert shown(go(state, Step("connect", "bob.laptop"))) == {"away"}
    assert shown(go(state, Step("drop", "bob.phone"))) == {"away"}
    assert shown(go(state, Step("connect", "alice.laptop")), "alice.laptop") == {"away"}
    go(state, sets("busy", "bob.laptop"))
    assert shown(go(state, Step("connect_again", WATCHER))) == {"busy"}
    wrong = frames.status_of("bob", "online")
    assert blame.stray(state, None, WATCHER, wrong) == ("PRES-17",)


def test_a_status_ends_with_the_last_connection_as_contacts_hear() -> None:
    state = contacts("bob.laptop")
    go(state, sets("away"))
    assert shown(go(state, Step("drop", "bob.phone"))) == {"offline"}
    assert shown(go(state, Step("connect", "alice.laptop")), "alice.laptop") == {"offline"}
    assert "away" not in shown(go(state, Step("connect", "bob.phone")))
    go(state, Step("drop", "alice.laptop"))
    assert shown(go(state, Step("connect", "alice.laptop")), "alice.laptop") == {"online"}
    assert blame.stray(state, None, WATCHER, frames.status_of("bob", "away")) == ("PRES-18",)


def test_it_ends_with_a_revoked_device_that_was_the_last_one_there() -> None:
    state = contacts()
    go(state, sets("away"))
    go(state, Step("drop", "bob.laptop"))
    go(state, Step("revoke", "", {"device": "bob.phone"}))
    go(state, Step("connect", "bob.laptop"))
    assert shown(go(state, Step("connect", "alice.laptop")), "alice.laptop") == {"online"}


@pytest.mark.parametrize("grace", [True, False])
def test_it_may_hold_or_have_ended_where_nobody_has_heard_that_the_user_had_left(grace: bool) -> None:
    """The target may have a grace, or not have noticed yet."""
    state = contacts("bob.laptop", presence_is_prompt=not grace)
    go(state, sets("away"))
    if not grace:
        go(state, Step("drop", WATCHER))
    go(state, Step("drop", "bob.phone"))
    assert shown(go(state, Step("connect", "alice.laptop")), "alice.laptop") == {"away", "online", "offline"}
    go(state, Step("connect", "bob.phone"))
    go(state, Step("drop", "alice.laptop"))
    assert shown(go(state, Step("connect", "alice.laptop")), "alice.laptop") == {"away", "online"}
    go(state, sets("busy"))
    go(state, Step("drop", "alice.laptop"))
    assert shown(go(state, Step("connect", "alice.laptop")), "alice.laptop") == {"busy"}


def test_a_refused_status_does_not_hold() -> None:
    state = contacts("bob.laptop")
    go(state, Step("presence", "bob.phone", {"status": "away", "claim": "carol"}), "refused")
    assert shown(go(state, Step("connect", "alice.laptop")), "alice.laptop") == {"online"}


def test_who_becomes_a_contact_later_may_be_shown_the_status_that_holds() -> None:
    state = contacts("bob.laptop")
    go(state, sets("away"))
    met = go(state, Step("contact", "", {"users": ("bob", "carol")}))
    assert shown(met, "carol.phone") == {"away"}


def after(state: State, *steps: Step) -> list[str]:
    """What the watcher could still be shown of bob if it had been told no more than it must."""
    pool: list[judging.Item] = []
    for step in steps:
        branch = go(state, step)
        came = [each.forms[0] for each in branch.must if each.to == WATCHER]
        match = judging.fit(branch, pool, {WATCHER: came}, lambda value: value)
        assert match.complete
        pool = match.open_
    mine = [form for item in pool if item.expected.to == WATCHER for form in item.forms]
    return [form["payload"]["status"] for form in mine if form["type"] == "presence"]


def test_what_could_be_shown_before_comes_no_more_once_another_status_is_told() -> None:
    seen = Step("connect", "bob.laptop"), Step("drop", "bob.laptop")
    state = contacts("bob.laptop")
    assert after(state, sets("away"), *seen) == ["away", "away", "away"], "as set, and as what holds"
    assert after(contacts("bob.laptop"), sets("away"), *seen, sets("busy")) == []


def test_what_could_be_shown_before_comes_no_more_once_the_user_is_said_to_be_gone() -> None:
    left = after(
        contacts("bob.laptop"), sets("away"), Step("drop", "bob.phone"), Step("connect", "bob.phone")
    )
    assert "away" not in left


def test_a_device_that_has_just_come_may_be_shown_as_what_holds_what_was_set_since() -> None:
    state = contacts("bob.laptop")
    go(state, sets("away"))
    go(state, Step("connect_again", WATCHER))
    assert frames.status_of("bob", "busy") in [each.forms[0] for each in go(state, sets("busy")).may]
    assert go(state, sets("away")).may == ()


def test_a_device_that_was_approved_while_it_waited_may_have_been_there() -> None:
    state = contacts("bob.laptop")
    go(state, Step("drop", "bob.phone"))
    go(state, Step("ask", "", {"device": "bob.laptop", "r": 7}))
    go(state, Step("connect", "bob.laptop"))
    go(state, Step("decide", "", {"device": "bob.laptop", "r": 7, "approved": True}))
    assert shown(go(state, Step("connect", "alice.laptop")), "alice.laptop") == {"online", "offline"}
