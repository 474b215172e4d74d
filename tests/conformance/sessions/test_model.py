"""The model of sessions: what a step leads to, by the protocol decisions. No sockets, no Hypothesis."""

from __future__ import annotations

from typing import Any

from support.sessions import could, everybody, go, got, send

from relaykit.conformance.sessions import frames, judging, model
from relaykit.conformance.sessions.state import Step


def test_a_message_reaches_every_device_of_its_receiver() -> None:
    state = everybody("bob.laptop")
    go(state, Step("connect", "bob.laptop"))
    branch = go(state, send(1))
    assert got(branch) == [
        ("alice.phone", "sent_ack"),
        ("bob.phone", "deliver"),
        ("bob.laptop", "deliver"),
    ]
    assert ("alice.laptop", "deliver") in could(branch)  # copies are not judged


def test_a_false_name_is_refused_or_set_right() -> None:
    branches = model.branches(everybody(), send(1, claim="carol"))
    assert [branch.name for branch in branches] == ["served", "refused"]
    assert branches[0].must[1].forms[0]["sender_id"] == "${alice.id}"
    assert got(branches[1]) == [("alice.phone", "error")]


def test_statuses_come_once_each_and_to_all_devices_of_the_sender() -> None:
    state = everybody()
    go(state, send(1))
    told = [("alice.phone", "status_update"), ("alice.laptop", "status_update")]
    assert got(go(state, Step("ack", "bob.phone", {"m": 1}))) == told
    assert got(go(state, Step("ack", "bob.laptop", {"m": 1}))) == []
    assert got(go(state, Step("read", "bob.laptop", {"ms": (1,)}))) == told
    assert got(go(state, Step("read", "bob.phone", {"ms": (1,)}))) == []


def test_reading_may_be_told_as_delivery_first_but_never_after() -> None:
    state = everybody("alice.laptop")
    go(state, send(1))
    branch = go(state, Step("read", "bob.phone", {"ms": (1,)}))
    delivered, read = frames.status_update(1, "delivered"), frames.status_update(1, "read")

    def fit(*came: Any) -> judging.Match:
        return judging.fit(branch, (), {"alice.phone": came}, lambda value: value)

    assert fit(delivered, read).rank[0] == 0
    assert fit(read).rank[0] == 0
    assert fit(read, delivered).strays == [("alice.phone", delivered)]
    assert fit(delivered).missing


def test_acknowledgments_of_strangers_change_nothing_and_tell_nobody() -> None:
    state = everybody()
    go(state, send(1))
    for step in (
        Step("ack", "carol.phone", {"m": 1}),
        Step("ack", "alice.laptop", {"m": 1}),
        Step("read", "carol.phone", {"ms": (1,)}),
        Step("ack", "bob.phone", {"m": 0}),
    ):
        branch = go(state, step)
        assert got(branch) == []
        assert could(branch) <= {(step.who, "error")}
    assert state.messages[1].status == {"bob": "sent"}
    assert state.messages[1].waiting == {"bob.phone": False, "bob.laptop": False}


def test_what_waits_comes_again_until_this_device_acknowledges_it() -> None:
    state = everybody()
    go(state, send(1))
    go(state, send(2))
    go(state, Step("ack", "bob.phone", {"m": 1}))
    for device, numbers in (("bob.phone", [2]), ("bob.laptop", [1, 2])):
        go(state, Step("drop", device))
        branch = go(state, Step("connect", device))
        ids = [each.forms[0]["message_id"] for each in branch.must if each.forms[0]["type"] == "deliver"]
        assert ids == [frames.message(number) for number in numbers]


def test_a_later_device_gets_no_backlog_and_a_first_one_gets_it_all() -> None:
    state = everybody("bob.phone", "bob.laptop")
    go(state, Step("create_user", "", {"user": "bob"}))
    go(state, send(1))
    assert ("bob.phone", "deliver") in got(go(state, Step("connect", "bob.phone")))
    assert got(go(state, Step("connect", "bob.laptop"))) == []


def test_nothing_is_sent_to_users_whom_the_target_does_not_know() -> None:
    state = everybody("bob.phone", "bob.laptop")
    assert not model.possible(state, send(1))
    assert model.possible(state, send(1, to="carol"))


def test_the_same_id_again_is_acknowledged_and_a_stolen_one_leaves_the_original_alone() -> None:
    state = everybody()
    go(state, send(1))
    again = Step("resend", "alice.laptop", {"to": "bob", "m": 1, "c": 2})
    assert got(go(state, again)) == [("alice.laptop", "sent_ack")]
    steal = Step("steal", "carol.phone", {"to": "bob", "m": 1, "c": 3})
    assert [b.name for b in model.branches(state, steal)] == ["refused", "accepted"]
    delivered = ["deliver", "deliver"]
    assert [kind for _, kind in got(go(state, steal, "accepted"))] == ["sent_ack", *delivered]
    go(state, Step("drop", "bob.phone"))
    (deliver,) = go(state, Step("connect", "bob.phone")).must
    assert deliver.forms == frames.deliver("alice", 1, 1, to="bob")


def test_groups_reach_current_members_in_either_form() -> None:
    state = everybody()
    go(state, Step("create_group", "", {"group": 9, "users": ("alice", "bob")}))
    branch = go(state, send(1, group=9))
    assert {expected.to for expected in branch.must} == {"alice.phone", "bob.phone", "bob.laptop"}
    assert [form["type"] for form in branch.must[1].forms] == ["group_message", "deliver"]
    outside = go(state, send(2, "carol.phone", group=9))
    assert (got(outside), could(outside)) == ([], {("carol.phone", "error")})
    go(state, Step("remove_member", "", {"group": 9, "user": "bob"}))
    go(state, Step("add_member", "", {"group": 9, "user": "carol"}))
    assert {expected.to for expected in go(state, send(3, group=9)).must} == {"alice.phone", "carol.phone"}


def test_contacts_alone_hear_of_comings_and_goings() -> None:
    state = everybody()
    go(state, Step("contact", "", {"users": ("alice", "bob")}))
    assert got(go(state, Step("drop", "alice.phone"))) == []
    heard = [("bob.phone", "user_offline"), ("bob.laptop", "user_offline")]
    assert got(go(state, Step("drop", "alice.laptop"))) == heard
    heard = [("bob.phone", "user_online"), ("bob.laptop", "user_online")]
    assert got(go(state, Step("connect", "alice.laptop"))) == heard


def test_with_a_grace_nobody_has_to_hear_of_it() -> None:
    state = everybody(presence_is_prompt=False)
    go(state, Step("contact", "", {"users": ("alice", "carol")}))
    branch = go(state, Step("drop", "carol.phone"))
    assert got(branch) == []
    assert ("alice.phone", "user_offline") in could(branch)


def test_users_who_wrote_to_each_other_are_contacts() -> None:
    state = everybody()
    go(state, send(1, to="carol"))
    assert got(go(state, Step("presence", "carol.phone", {"status": "away"}))) == []
    go(state, send(2, "carol.phone", "alice"))
    branch = go(state, Step("presence", "carol.phone", {"status": "busy"}))
    assert got(branch) == [("alice.phone", "presence"), ("alice.laptop", "presence")]


def signal(kind: str, who: str, to: str, number: int = 1) -> Step:
    return Step("signal", who, {"type": kind, "to": to, "n": number})


def test_a_call_rings_everywhere_and_makes_both_sides_busy() -> None:
    state = everybody()
    assert got(go(state, signal("call_offer", "alice.phone", "bob"))) == [
        ("bob.phone", "call_offer"),
        ("bob.laptop", "call_offer"),
    ]
    for target in ("alice", "bob"):
        busy = go(state, signal("call_offer", "carol.phone", target))
        assert got(busy) == [("carol.phone", "call_busy")]
        assert could(busy) == set()
    assert got(go(state, signal("call_answer", "bob.laptop", "alice"))) == [("alice.phone", "call_answer")]
    assert got(go(state, signal("ice_candidate", "alice.phone", "bob"))) == [("bob.laptop", "ice_candidate")]
    assert got(go(state, Step("drop", "bob.laptop", {"abort": True}))) == [("alice.phone", "call_end")]
    assert state.calls == {}


def test_offers_that_cross_are_relayed_or_answered_with_busy() -> None:
    state = everybody("bob.laptop", "alice.laptop")
    go(state, signal("call_offer", "alice.phone", "bob"))
    names = [b.name for b in model.branches(state, signal("call_offer", "bob.phone", "alice"))]
    assert names == ["first_wins", "crossing_relayed"]


def test_who_answers_the_offer_that_crossed_its_own_may_end_the_ringing_elsewhere() -> None:
    state = everybody("alice.laptop")
    go(state, signal("call_offer", "alice.phone", "bob"))
    go(state, signal("call_offer", "bob.phone", "alice"), "crossing_relayed")
    answered = go(state, signal("call_answer", "alice.phone", "bob"))
    assert got(answered) == [("bob.phone", "call_answer")]
    assert could(answered) == {("bob.laptop", "call_answer"), ("bob.laptop", "call_end")}
    assert state.muddled == {"alice", "bob"}, "whether that answers the call the decisions do not say"


def test_a_call_may_ring_on_or_end_when_the_last_device_that_it_rings_on_goes() -> None:
    state = everybody("alice.laptop", "bob.laptop")
    go(state, signal("call_offer", "alice.phone", "bob"))
    gone = go(state, Step("drop", "bob.phone"))
    assert got(gone) == []
    assert ("alice.phone", "call_end") in could(gone)
    for move in ("connect", "drop", "connect"):
        go(state, Step(move, "bob.phone"))
        assert state.muddled == {"alice", "bob"}, "until the caller goes it may ring there again"
    go(state, Step("drop", "alice.phone"))
    go(state, Step("drop", "bob.phone"))
    assert not state.muddled


def test_who_comes_back_within_the_grace_may_be_in_the_call_still() -> None:
    state = everybody("alice.laptop", calls_end_promptly=False)
    go(state, signal("call_offer", "alice.phone", "bob"))
    for move in ("drop", "connect"):
        go(state, Step(move, "alice.phone"))
    assert got(go(state, signal("call_offer", "alice.phone", "carol"))) == []


def test_what_the_decisions_leave_open_is_not_judged() -> None:
    state = everybody()
    go(state, signal("call_offer", "alice.phone", "bob"))
    branch = go(state, signal("call_offer", "alice.phone", "carol"))
    assert (branch.name, got(branch)) == ("not_judged", [])
    assert state.muddled == {"alice", "bob", "carol"}
    assert {"type": "call_busy"} in model.tolerated(state, "bob.phone")
    for device in ("alice.phone", "alice.laptop"):
        go(state, Step("drop", device))
    assert "alice" not in state.muddled


def test_sync_reaches_the_one_device_and_typing_the_other_members() -> None:
    state = everybody()
    sync = {"type": "sync_data", "c": 1}
    assert got(go(state, Step("sync", "bob.phone", {**sync, "to": "bob.laptop"}))) == [
        ("bob.laptop", "sync_data")
    ]
    assert got(go(state, Step("sync", "bob.phone", {**sync, "to": "carol.phone"}))) == []
    go(state, Step("conversation", "", {"v": 1, "users": ("alice", "carol")}))
    assert got(go(state, Step("typing", "alice.phone", {"v": 1, "on": True}))) == [("carol.phone", "typing")]
    assert got(go(state, Step("typing", "bob.phone", {"v": 1, "on": True}))) == []


def test_where_as_many_wait_as_may_a_message_can_be_refused_and_then_has_no_effect() -> None:
    state = everybody(waiting=2)
    go(state, send(1))
    assert [branch.name for branch in model.branches(state, send(2))] == ["served"]
    burst = Step("burst", "alice.phone", {"to": "bob", "ms": (2, 3, 4)})
    full = model.branches(state, burst)[1:]
    acks = [[kind for who, kind in got(branch) if who == "alice.phone"] for branch in full]
    assert acks == [["sent_ack", "sent_ack", "error"], ["sent_ack", "error", "error"]]
    model.take(state, burst, full[1])
    assert set(state.messages) == {1, 2}
    old = Step("write_old", "alice.phone", {"to": "bob", "m": -5, "c": 5})
    group = {"group": 9, "users": ("alice", "bob", "carol")}
    go(state, Step("create_group", "", group))
    for step in (
        send(5),
        send(5, "carol.phone"),
        old,
        Step("send", "alice.phone", {"group": 9, "m": 5, "c": 5}),
    ):
        assert [branch.name for branch in model.branches(state, step)] == ["served", "full"], step
    assert [branch.name for branch in model.branches(state, send(5, to="carol"))] == ["served"]
    go(state, Step("ack", "bob.phone", {"m": 1}))
    assert len(model.branches(state, send(5))) == 2, "it still waits for bob's other device"
    go(state, Step("ack", "bob.laptop", {"m": 1}))
    assert len(model.branches(state, send(5))) == 1


def test_a_message_that_nobody_refuses_and_nobody_gets_was_lost() -> None:
    state = everybody(waiting=1)
    go(state, send(1))
    found = model.branches(state, send(2))
    error = {"type": "error", "payload": {"error_code": "rate_limited"}}
    for came, name in (((), "served"), ((error,), "full")):
        match = judging.best(found, (), {"alice.phone": came}, lambda value: value)
        assert (match.branch.name, match.complete) == (name, bool(came))
