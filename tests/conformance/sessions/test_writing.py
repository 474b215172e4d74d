"""Scenarios of sessions that failed: whatever a session does, a file can say it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from support.sessions import everybody, go, send

from relaykit.conformance.reproduce import Reproduction, load, write
from relaykit.conformance.sessions import frames, model, writing
from relaykit.conformance.sessions.driver import Done
from relaykit.conformance.sessions.moves import chosen, possible
from relaykit.conformance.sessions.problems import Problem
from relaykit.conformance.sessions.state import DEVICES, Branch, State, Step
from relaykit.schemas import load_catalogue

CATALOGUE = load_catalogue()
REFUSED = ("connect", "connect_again", "crowd")


def connected(state: State) -> list[Done]:
    """How those who are connected came."""
    return [Done(Step("connect", device), Branch("served"), {}) for device in state.everyone_online()]


def written(log: list[Done], last: Step | None, problem: Problem) -> Reproduction:
    return writing.reproduction(CATALOGUE, "sessions", log, last, problem, ("a note",))


def problem(kind: str, device: str, req: str, **more: Any) -> Problem:
    return Problem(kind, device, (req,), "something is wrong", **more)


def after(*program: Step, last: Step, found: Problem) -> list[dict[str, Any]]:
    """The scenario of a session in which everybody is there, these steps go well and the last fails."""
    state = everybody(crowd=7, expires=True, restarts=True)
    log = [*connected(state), *(Done(step, go(state, step), {}) for step in program)]
    assert model.possible(state, last)
    return [dict(line) for line in written(log, last, found).steps]


def test_whatever_a_session_does_can_be_said(tmp_path: Path) -> None:
    """Every move, as a step on the way and as the one that fails, in files that load."""
    rng = random.Random(5)
    before: set[str] = set()
    failed: set[str] = set()
    for _ in range(180):
        state = everybody(*rng.sample(DEVICES, 1), flood=3, crowd=8, expires=True, restarts=True)
        log = connected(state)
        for _ in range(14):
            name = rng.choice(possible(state))
            for step in chosen(name, state, rng.choice):
                log.append(Done(step, go(state, step), {}))
        last = log.pop().step
        online = state.everyone_online()
        who = last.who if not online or last.who in online else online[0]
        if not who or (last.move == "drop" and not online):
            continue  # nobody is there whom it could befall
        found = rng.choice(
            [
                problem("missing", who, "MSG-16", expected=(frames.sent_ack(1),)),
                problem("unexpected", who, "MSG-20", actual={"type": "ping"}),
                problem("closed", who, "KEEP-03"),
                problem("hang", who, "KEEP-03", expected=({"type": "heartbeat_ack"},)),
            ]
        )
        if last.move in REFUSED or last.move == "knock":
            found = problem("served" if last.move == "knock" else "refused", who, "CONN-14")
        load(write(tmp_path, written(log, last, found), CATALOGUE), CATALOGUE)
        before |= {done.step.move for done in log}
        failed.add(last.move)
    assert {"connect_again", "learn", "restart", "crowd", "expire", "write_old"} <= before
    assert {"connect_again", "knock", "crowd"} <= failed


def test_a_second_connection_of_a_device_is_one_that_overlaps() -> None:
    again = Step("connect_again", "bob.phone")
    waiting = problem("missing", "bob.phone", "OFF-01", expected=frames.deliver("alice", 1, 1, to="bob"))
    steps = after(send(1), last=again, found=waiting)
    assert steps[-2] == {"connect": {"as": "bob.phone", "overlap": True}}
    assert steps[-1]["expect"]["req"] == ["OFF-01"]
    (step,) = after(last=again, found=problem("refused", "bob.phone", "CONN-13"))
    assert step == {"connect": {"as": "bob.phone", "overlap": True, "req": ["CONN-13"]}}


def test_a_restart_is_a_step_of_its_own_and_a_message_follows() -> None:
    lost = problem("missing", "bob.phone", "MSG-15", expected=frames.deliver("alice", 1, 1, to="bob"))
    steps = after(send(1), Step("restart"), last=Step("connect", "bob.phone"), found=lost)
    assert steps[-3:-1] == [{"restart": "kill"}, {"connect": {"as": "bob.phone"}}]


def test_a_connection_that_ends_is_asked_first_and_looked_at_then() -> None:
    """Both name the requirement: which of the two fails depends on how soon the target closes."""
    steps = after(last=send(1), found=problem("closed", "bob.phone", "VAL-13"))
    assert steps[-3] == {"send": {"as": "bob.phone", "frame": {"type": "heartbeat"}}}
    assert steps[-2]["expect"]["frame"] == {"type": "heartbeat_ack"}
    assert steps[-1]["none"]["open"]
    assert steps[-2]["expect"]["req"] == steps[-1]["none"]["req"] == ["VAL-13"]


def test_a_device_that_is_told_of_its_denial_connects_for_a_moment() -> None:
    state = everybody("bob.laptop")
    log = connected(state)
    for step in (
        Step("ask", "", {"device": "bob.laptop", "r": 7}),
        Step("decide", "", {"device": "bob.laptop", "r": 7, "approved": False}),
        Step("learn", "bob.laptop"),
    ):
        log.append(Done(step, go(state, step), {}))
    knock = Step("knock", "bob.laptop")
    *_, learns, told, leaves, refused = written(log, knock, problem("served", "bob.laptop", "DEV-28")).steps
    assert learns == {"connect": {"as": "bob.laptop", "brief": True}}
    assert told["expect"]["frame"]["type"] == "device_denied"
    assert leaves == {"drop": {"as": "bob.laptop"}}
    assert refused == {"connect": {"as": "bob.laptop", "refused": True, "req": ["DEV-28"]}}
    *_, learns, told = written(
        log[:-1], Step("learn", "bob.laptop"), problem("missing", "bob.laptop", "DEV-15", expected=(DENIED,))
    ).steps
    assert learns["connect"]["req"] == told["expect"]["req"] == ["DEV-15"], "whether or not it gets that far"


DENIED = frames.decision(7, approved=False)


def test_a_crowd_has_devices_of_its_own_and_names_the_limit() -> None:
    state = everybody(crowd=7)
    crowd = Step("crowd", "alice.phone", {"count": 5})
    assert model.possible(state, crowd)
    made = written(connected(state), crowd, problem("served", "alice.phone", "LIM-02"))
    assert made.steps[-1] == {"connect": {"as": "alice.x6", "refused": True, "req": ["LIM-02"]}}
    assert [line["connect"]["as"] for line in made.steps[:-1]] == [f"alice.x{n}" for n in range(1, 6)]
    assert made.actors["alice"]["devices"][-1] == "x6"
    assert made.actors["alice"]["connect"] == ["phone", "laptop"]
    assert made.vars["limit_connections_per_user"] == {"value": "${limits.connections_per_user}"}


def test_a_name_that_the_target_gives_is_captured_where_it_tells_it() -> None:
    old = Step("write_old", "alice.phone", {"to": "bob", "m": -4, "c": 4})
    twice = problem("unexpected", "alice.phone", "MSG-22", actual=frames.status_update(-4, "delivered"))
    steps = after(old, last=Step("ack", "bob.phone", {"m": -4}), found=twice)
    captured = next(line["expect"] for line in steps if "expect" in line)
    assert captured["frame"] == {"type": "sent_ack", "payload": {"status": "sent"}}
    assert captured["capture"] == {"o4": "/message_id"}
    assert {"send": {"as": "bob.phone", "frame": {"type": "delivery_ack", "message_id": "${o4}"}}} in steps


def test_a_name_that_was_never_learnt_is_made_up() -> None:
    state = everybody()
    strange = Step("ack", "bob.phone", {"m": -4})
    told = problem("unexpected", "alice.phone", "PRIV-02", actual=frames.status_update(-4, "delivered"))
    assert written(connected(state), strange, told).vars == {"o4": "uuid"}


def test_what_came_before_and_need_not_have_come_is_no_news_at_the_end() -> None:
    state = everybody()
    log = connected(state)
    status = frames.status_update(1, "read")
    for step in (
        Step("create_group", "", {"group": 9, "users": ("alice", "carol")}),
        Step("send", "alice.phone", {"group": 9, "m": 1, "c": 1}),
        Step("read", "carol.phone", {"ms": (1,)}),
    ):
        log.append(Done(step, go(state, step), {"alice.phone": [status]} if step.move == "read" else {}))
    again = problem("unexpected", "alice.phone", "GRP-18", actual=status)
    steps = written(log, Step("read", "carol.phone", {"ms": (1,)}), again).steps
    came = {"any_of": [[{"expect": {"as": "alice.phone", "frame": status, "skip": True}}], []]}
    assert steps.index(came) < len(steps) - 2
    assert steps[-1] == {"none": {"actors": ["alice.phone"], "req": ["GRP-18"]}}


def test_who_has_sent_too_much_goes_on_with_another_connection_if_at_all() -> None:
    state = everybody(flood=3)
    flood = Step("flood", "alice.phone", {"to": "bob", "m": 1, "c": 1, "count": 3})

    def connects(last: Step) -> list[str]:
        log = [*connected(state), Done(flood, model.branches(state, flood)[0], {})]
        lost = problem("missing", last.who, "MSG-12", expected=(frames.sent_ack(2),))
        return [line["connect"]["as"] for line in written(log, last, lost).steps if "connect" in line]

    assert connects(send(2)) == ["alice.phone"]
    assert connects(send(2, "carol.phone")) == []


def test_from_an_acknowledgment_that_is_missing_nothing_is_learnt() -> None:
    old = Step("write_old", "alice.phone", {"to": "bob", "m": -1, "c": 1})
    missing = problem("missing", "alice.phone", "MSG-12", expected=(frames.sent_ack(-1),))
    *before, (last) = after(last=old, found=missing)
    assert last["expect"]["req"] == ["MSG-12"]
    assert not any("capture" in body for line in (*before, last) for body in line.values())
