"""The model of devices: approval, revocation, two connections of one, deprecated frames. No sockets."""

from __future__ import annotations

from typing import Any

import pytest
from support.sessions import could, everybody, go, got, send

from relaykit.conformance.sessions import blame, devices, frames, model
from relaykit.conformance.sessions.operations import operation_of
from relaykit.conformance.sessions.state import EXPIRY_S, State, Step

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


def expiring(*, there: bool) -> State:
    """A request that expires soon, and whether its device is connected."""
    state = everybody("alice.laptop", expires=True)
    go(state, Step("ask", "", {"device": "alice.laptop", "r": 7, "soon": True}))
    if there:
        go(state, Step("connect", "alice.laptop"))
    return state


EXPIRE = Step("expire", "", {"device": "alice.laptop", "r": 7})


def test_a_request_that_nobody_decides_in_time_counts_as_denied() -> None:
    """The device should be told, and need not be; then it stays refused, and the request is gone."""
    state = expiring(there=True)
    expired = go(state, EXPIRE)
    assert (got(expired), could(expired)) == (
        [],
        {("alice.laptop", "device_denied"), ("alice.laptop", "error")},
    )
    assert not model.possible(state, EXPIRE)
    assert not model.possible(state, Step("connect", "alice.laptop"))
    assert model.possible(state, Step("knock", "alice.laptop"))
    assert devices.shut_out(state, "alice.laptop") == ("DEV-17", "DEV-28")
    assert blame.stray(state, None, "alice.phone", frames.request(7)) == ("DEV-10",)
    assert blame.stray(state, None, "alice.phone", frames.request(8)) == ("DEV-07",)
    assert not state.soon, "another may be made that expires soon"


def test_a_device_that_was_away_when_its_request_expired_may_be_told_when_it_comes() -> None:
    state = expiring(there=False)
    assert could(go(state, EXPIRE)) == set()
    assert not model.possible(state, Step("knock", "alice.laptop")), "first it may be told"
    told = go(state, Step("learn", "alice.laptop"))
    assert (got(told), could(told)) == ([], {("alice.laptop", "device_denied"), ("alice.laptop", "error")})
    assert model.possible(state, Step("knock", "alice.laptop"))


def test_only_what_is_meant_to_expires_and_never_while_somebody_rings() -> None:
    late = everybody("alice.laptop", expires=True)
    go(late, ask())
    assert not model.possible(late, EXPIRE)
    state = expiring(there=True)
    assert model.possible(state, EXPIRE)
    go(state, Step("signal", "bob.phone", {"type": "call_offer", "to": "carol", "n": 9}))
    assert not model.possible(state, EXPIRE), "the call would ring out"


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
    go(state, Step("write_old", "bob.phone", {"to": "alice", "m": -4, "c": 4}))
    branch = go(state, Step("connect", "alice.laptop"))
    assert got(branch) == []
    ids = {form["message_id"] for each in branch.may for form in each.forms if form["type"] == "deliver"}
    assert ids == {frames.message(2), frames.message(-4)}
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


def test_what_does_not_come_to_a_second_connection_is_put_down_to_that() -> None:
    state = everybody()
    go(state, send(1, "bob.phone", "alice"))
    (again,) = go(state, Step("connect_again", "alice.phone")).must
    assert (again.req[0], again.cause) == ("OFF-03", ("CONN-14",))


def test_a_crowd_is_as_many_as_are_permitted_of_a_user_whose_devices_are_all_known() -> None:
    def may_come(count: int, *absent: str) -> bool:
        return model.possible(everybody(*absent, crowd=5), Step("crowd", "alice.phone", {"count": count}))

    assert may_come(3)
    assert not may_come(2)
    assert not may_come(4)
    assert not may_come(4, "alice.laptop"), "it would be younger than those of the crowd"
    state = everybody("alice.laptop", crowd=5)
    pending(state)
    assert not model.possible(state, Step("crowd", "alice.phone", {"count": 4})), "one is not approved yet"


def test_a_killed_target_forgets_calls_that_nobody_could_end() -> None:
    state = everybody("bob.laptop", restarts=True)
    go(state, send(1))
    go(state, Step("signal", "alice.phone", {"type": "call_offer", "to": "bob", "n": 2}))
    go(state, Step("drop", "bob.phone"))
    assert (state.abandoned, state.muddled) == ({"bob": "alice"}, {"alice", "bob"})
    go(state, Step("restart"))
    assert (state.abandoned, state.muddled) == ({}, set())


def test_a_request_that_is_to_expire_says_so() -> None:
    _, arguments, name = operation_of(Step("ask", "", {"device": "alice.laptop", "r": 7, "soon": True}))
    assert (arguments["expires_in"], name) == (EXPIRY_S, "r7")
    assert "expires_in" not in operation_of(ask())[1]


def test_what_came_between_approval_and_first_connection_may_come_at_each_later_one() -> None:
    state = everybody("alice.laptop")
    pending(state)
    go(state, decide(approved=True))
    number = state.next()
    go(state, send(number, "bob.phone", to="alice"))
    may_come = ("alice.laptop", "deliver")
    assert may_come in could(go(state, Step("connect", "alice.laptop")))
    assert may_come in could(go(state, Step("connect_again", "alice.laptop")))
    go(state, Step("drop", "alice.laptop"))
    assert may_come in could(go(state, Step("connect", "alice.laptop")))
