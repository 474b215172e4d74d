"""The model of devices: approval, revocation, two connections of one, deprecated frames. No sockets."""

from __future__ import annotations

from typing import Any

import pytest
from support.sessions import could, everybody, go, got, send

from relaykit.conformance.sessions import blame, frames, model
from relaykit.conformance.sessions.state import State, Step

REQUEST = ("alice.phone", "device_approval_request")


def ask(device: str = "alice.laptop") -> Step:
    return Step("ask", "", {"device": device, "r": 7})


def decide(*, approved: bool, device: str = "alice.laptop") -> Step:
    return Step("decide", "", {"device": device, "r": 7, "approved": approved})


def revoke(device: str) -> Step:
    return Step("revoke", "", {"device": device})


def pending(state: State) -> None:
    go(state, ask())
    go(state, Step("connect", "alice.laptop"))


def test_the_primary_device_alone_is_asked_at_once_or_when_it_returns() -> None:
    assert got(go(everybody("alice.laptop"), ask())) == [REQUEST]
    state = everybody("alice.laptop")
    go(state, Step("drop", "alice.phone"))
    assert got(go(state, ask())) == []
    assert REQUEST in got(go(state, Step("connect", "alice.phone")))
    again = go(state, Step("connect_again", "alice.phone"))
    assert REQUEST not in got(again), "it has been shown"
    assert REQUEST in could(again), "it may be shown once more"


def test_a_primary_that_has_just_connected_may_be_shown_a_request_as_new_and_as_open() -> None:
    asked = go(everybody("alice.laptop"), ask())
    assert got(asked) == [REQUEST]
    assert could(asked) == {REQUEST}


def test_a_pending_device_connects_and_neither_gets_nor_does_anything() -> None:
    state = everybody("alice.laptop")
    go(state, Step("contact", "", {"users": ("alice", "carol")}))
    go(state, ask())
    assert got(go(state, Step("connect", "alice.laptop"))) == []
    assert not model.possible(state, send(1, "alice.laptop"))
    assert "alice.laptop" not in {who for who, _ in got(go(state, send(2, "bob.phone", "alice")))}
    assert got(go(state, Step("plead", "alice.laptop", {"to": "bob", "m": 3, "c": 3}))) == [
        ("alice.laptop", "error")
    ]
    assert ("carol.phone", "user_offline") in got(go(state, Step("drop", "alice.phone"))), (
        "it is not there yet"
    )
    stray = frames.deliver("bob", 2, 2, to="alice")[0]
    assert blame.stray(state, None, "alice.laptop", stray) == ("DEV-21",)


@pytest.mark.parametrize("approved", [True, False])
def test_a_decision_is_told_once_to_the_new_device(approved: bool) -> None:
    kind = "device_approved" if approved else "device_denied"
    state = everybody("alice.laptop")
    pending(state)
    assert got(go(state, decide(approved=approved))) == [("alice.laptop", kind)]
    if approved:
        assert got(go(state, Step("connect", "alice.laptop"))) == []
        assert blame.stray(state, None, "alice.laptop", {"type": kind}) == ("DEV-16",)
    else:
        assert not model.possible(state, Step("connect", "alice.laptop"))
        assert model.possible(state, Step("knock", "alice.laptop"))


def test_a_decision_made_while_the_device_was_away_is_told_when_it_connects() -> None:
    state = everybody("alice.laptop")
    go(state, ask())
    assert got(go(state, decide(approved=True))) == []
    assert got(go(state, Step("connect", "alice.laptop"))) == [("alice.laptop", "device_approved")]
    state = everybody("alice.laptop")
    go(state, ask())
    go(state, decide(approved=False))
    assert not model.possible(state, Step("knock", "alice.laptop")), "first it is told"
    assert got(go(state, Step("learn", "alice.laptop"))) == [("alice.laptop", "device_denied")]
    assert model.possible(state, Step("knock", "alice.laptop"))


def test_a_device_that_is_served_as_soon_as_it_is_approved_may_hear_what_waited_for_its_user() -> None:
    state = everybody("alice.laptop")
    pending(state)
    go(state, send(1))
    go(state, Step("drop", "alice.phone"))
    go(state, Step("ack", "bob.phone", {"m": 1}))
    assert ("alice.laptop", "status_update") in could(go(state, decide(approved=True)))


def test_an_approved_device_gets_no_backlog_and_may_get_what_came_since() -> None:
    state = everybody("alice.laptop")
    go(state, send(1, "bob.phone", "alice"))
    pending(state)
    state.fresh = 1
    go(state, decide(approved=True))
    go(state, send(2, "bob.phone", "alice"))
    branch = go(state, Step("connect", "alice.laptop"))
    assert got(branch) == []
    ids = {form["message_id"] for each in branch.may for form in each.forms if form["type"] == "deliver"}
    assert ids == {frames.message(2)}
    assert ("alice.laptop", "deliver") in got(go(state, send(3, "bob.phone", "alice")))


def test_a_revoked_device_is_told_ended_and_refused_and_the_others_go_on() -> None:
    state = everybody()
    go(state, send(1, "bob.phone", "alice"))
    assert got(go(state, revoke("alice.phone"))) == [("alice.phone", "error")]
    assert not model.possible(state, Step("connect", "alice.phone"))
    assert model.possible(state, Step("knock", "alice.phone"))
    assert not model.possible(state, revoke("alice.laptop")), "a user's last device stays"
    assert got(go(state, send(2, "bob.phone", "alice"))) == [
        ("bob.phone", "sent_ack"),
        ("alice.laptop", "deliver"),
    ]
    told = {device for device, kind in got(go(state, Step("ack", "alice.laptop", {"m": 1})))}
    assert told == {"bob.phone", "bob.laptop"}


def test_a_revoked_last_connection_is_heard_of_and_ends_a_call() -> None:
    state = everybody("alice.laptop")
    go(state, Step("connect", "alice.laptop"))
    go(state, Step("drop", "alice.laptop"))
    go(state, Step("contact", "", {"users": ("alice", "carol")}))
    go(state, Step("signal", "alice.phone", {"type": "call_offer", "to": "bob", "n": 1}))
    assert set(got(go(state, revoke("alice.phone")))) == {
        ("alice.phone", "error"),
        ("carol.phone", "user_offline"),
        ("bob.phone", "call_end"),
        ("bob.laptop", "call_end"),
    }


def test_a_flood_has_no_effect_and_its_errors_are_as_many_as_the_target_likes() -> None:
    state = everybody(flood=250)
    step = Step("flood", "alice.phone", {"to": "bob", "m": 1, "c": 1, "count": 250})
    assert len(frames.all_sent(step)) == 251
    assert got(go(state, step)) == [("alice.phone", "error")]
    assert 1 not in state.messages
    limited = {"type": "error", "payload": {"error_code": "rate_limited"}}
    assert limited in model.tolerated(state, "alice.phone")
    assert limited not in model.tolerated(state, "bob.phone")
    assert [branch.name for branch in model.branches(everybody(), step)] == ["limited", "limited_before"]
    assert blame.stray(state, step, "bob.phone", frames.deliver("alice", 1, 1, to="bob")[0]) == ("LIM-09",)


def test_after_a_restart_what_was_acknowledged_comes_and_what_was_arranged_is_not_judged() -> None:
    state = everybody(restarts=True)
    go(state, Step("contact", "", {"users": ("alice", "carol")}))
    go(state, send(1))
    go(state, Step("restart"))
    branch = go(state, Step("connect", "bob.phone"))
    assert got(branch) == [("bob.phone", "deliver")]
    assert branch.must[0].cause[0] == "MSG-15"
    assert got(go(state, Step("connect", "alice.phone"))) == [], "who is whose contact may be forgotten"
    assert {"type": "user_online"} in model.tolerated(state, "carol.phone")
    assert not model.possible(state, Step("restart")), "once in a session"


def test_a_second_connection_gets_what_waits_and_nobody_hears_of_it() -> None:
    state = everybody()
    go(state, Step("contact", "", {"users": ("alice", "carol")}))
    go(state, send(1, "bob.phone", "alice"))
    branch = go(state, Step("connect_again", "alice.phone"))
    assert got(branch) == [("alice.phone", "deliver")]
    assert not {kind for who, kind in could(branch) if who == "carol.phone"} & {"user_online", "user_offline"}
    go(state, Step("signal", "alice.phone", {"type": "call_offer", "to": "bob", "n": 1}))
    assert not model.possible(state, Step("connect_again", "alice.phone")), "whose call it then is, is open"


def test_legacy_connections_get_the_deprecated_forms_and_others_the_present_ones() -> None:
    state = everybody("bob.phone", "bob.laptop")
    go(state, Step("make_legacy", "", {"user": "bob"}))
    go(state, Step("connect", "bob.phone"))
    branch = go(state, send(1))
    assert got(branch) == [("alice.phone", "sent_ack"), ("bob.phone", "message")]
    assert branch.must[1].forms[0]["payload"]["encrypted_content"] == frames.ciphertext(1)
    assert {kind for _, kind in got(go(state, Step("ack", "bob.phone", {"m": 1})))} == {"status_update"}
    go(state, send(2, "bob.phone", "alice"))
    assert got(go(state, Step("ack", "alice.phone", {"m": 2}))) == [("bob.phone", "message_status")]
    present: dict[str, Any] = frames.deliver("alice", 1, 1, to="bob")[0]
    assert blame.stray(state, None, "bob.phone", present) == ("LEG-08", "LEG-06")
    assert blame.stray(state, None, "alice.phone", {"type": "message"}) == ("LEG-08",)
