"""What is wrong with what came of a step, and whose requirement that is. No sockets, no Hypothesis."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from support.sessions import everybody, go, send

from relaykit.conformance.sessions import frames, judging, model, problems
from relaykit.conformance.sessions.commands import show_cut_short
from relaykit.conformance.sessions.state import State, Step


def problem(state: State, step: Step, **came: list[Any]) -> problems.Problem | None:
    """Take a step, of which this came (`bob_phone` for `bob.phone`)."""
    arrived = {device.replace("_", "."): frames_ for device, frames_ in came.items()}
    match = judging.best(model.branches(state, step), (), arrived, lambda value: value)
    model.take(state, step, match.branch)
    same = problems.Words(lambda value: value, lambda value: value)
    return problems.find(state, step, match, (), same)


ACK = frames.sent_ack(1)
DELIVER = frames.deliver("alice", 1, 1, to="bob")[0]


@pytest.mark.parametrize(
    ("came", "kind", "requirement"),
    [
        ({"alice_phone": [], "bob_phone": [DELIVER]}, "missing", "MSG-12"),
        ({"alice_phone": [ACK], "bob_phone": []}, "missing", "MSG-16"),
        ({"alice_phone": [ACK], "bob_phone": [DELIVER, DELIVER]}, "unexpected", "MSG-20"),
        ({"alice_phone": [ACK], "bob_phone": [DELIVER], "carol_phone": [DELIVER]}, "unexpected", "PRIV-01"),
        ({"alice_phone": [ACK], "bob_phone": [DELIVER, ACK]}, "unexpected", "MSG-13"),
        (
            {"alice_phone": [ACK], "bob_phone": [{**DELIVER, "sender_id": "${carol.id}"}]},
            "missing",
            "ENV-08",
        ),
        (
            {
                "alice_phone": [ACK],
                "bob_phone": [{**DELIVER, "payload": {**DELIVER["payload"], "ciphertext": "${c[7]}"}}],
            },
            "missing",
            "MSG-18",
        ),
        (
            {
                "alice_phone": [
                    ACK,
                    {"type": "status_update", "message_id": "${m[1]}", "payload": {"status": "delivered"}},
                ],
                "bob_phone": [DELIVER],
            },
            "unexpected",
            "MSG-22",
        ),
    ],
)
def test_a_problem_names_the_requirement(came: dict[str, list[Any]], kind: str, requirement: str) -> None:
    state = everybody("alice.laptop", "bob.laptop")
    found = problem(state, send(1), **came)
    assert found is not None
    assert (found.kind, found.req[0]) == (kind, requirement)


@pytest.mark.parametrize("to", ["bob", "carol"])
def test_a_message_that_is_sent_again_and_comes_again_is_just_that_whoever_gets_it(to: str) -> None:
    state = everybody("alice.laptop", "bob.laptop")
    go(state, send(1))
    again = Step("resend", "alice.phone", {"to": to, "m": 1, "c": 2})
    came = {f"{to}_phone": [frames.deliver("alice", 1, 2, to=to)[0]]}
    found = problem(state, again, alice_phone=[ACK], **came)
    assert found is not None
    assert (found.kind, found.req) == ("unexpected", ("MSG-35",))


def test_a_stolen_id_that_is_acknowledged_must_be_delivered() -> None:
    steal = Step("steal", "carol.phone", {"to": "bob", "m": 1, "c": 2})
    delivered = [frames.deliver("carol", 1, 2, to="bob")[0]]

    def came(acks: list[Any], delivers: list[Any]) -> problems.Problem | None:
        state = everybody("alice.laptop")
        go(state, send(1))
        return problem(state, steal, carol_phone=acks, bob_phone=delivers, bob_laptop=delivers)

    dropped = came([ACK], [])
    assert dropped is not None
    assert (dropped.kind, dropped.req[0]) == ("missing", "MSG-16")
    assert came([ACK], delivered) is None
    assert came([], []) is None


def returned(state: State, *came: Any) -> problems.Problem | None:
    """What is wrong where bob's phone goes, and these frames come to it when it is back."""
    go(state, Step("drop", "bob.phone"))
    return problem(state, Step("connect", "bob.phone"), alice_phone=[], bob_phone=list(came), carol_phone=[])


CHANGED = {**DELIVER, "payload": {**DELIVER["payload"], "ciphertext": "${c[7]}"}}


@pytest.mark.parametrize(
    ("before", "came", "kind", "requirements"),
    [
        ((), (), "missing", ("OFF-03", "OFF-01", "OFF-06")),
        ((Step("ack", "carol.phone", {"m": 1}),), (), "missing", ("MSG-38", "MSG-42")),
        ((Step("read", "carol.phone", {"ms": (1,)}),), (), "missing", ("MSG-39", "MSG-43")),
        ((Step("ack", "bob.phone", {"m": 1}),), (DELIVER,), "unexpected", ("OFF-04",)),
        ((Step("read", "bob.phone", {"ms": (1,)}),), (DELIVER,), "unexpected", ("MSG-30", "OFF-04")),
        ((), (CHANGED,), "missing", ("OFF-06", "MSG-18", "MSG-34")),
        ((Step("steal", "carol.phone", {"to": "bob", "m": 1, "c": 7}),), (CHANGED,), "missing", ("MSG-37",)),
    ],
)
def test_what_is_wrong_with_a_message_that_comes_again_is_put_down_to_what_was_done_to_it(
    before: tuple[Step, ...], came: tuple[Any, ...], kind: str, requirements: tuple[str, ...]
) -> None:
    state = everybody("alice.laptop", "bob.laptop")
    go(state, send(1))
    for step in before:
        go(state, step)
    found = returned(state, *came)
    assert found is not None
    assert found.kind == kind
    assert found.req[: len(requirements)] == requirements
    assert (found.plainly == "OFF-04") == ("OFF-04" in requirements), "shrinking may tell it from MSG-30"


def test_a_message_that_a_device_has_never_got_waited_for_it() -> None:
    state = everybody("alice.laptop", "bob.phone")
    go(state, Step("connect", "bob.phone"))
    go(state, Step("drop", "bob.phone"))
    go(state, send(1))
    (waiting,) = go(state, Step("connect", "bob.phone")).must
    assert waiting.req[0] == "OFF-01"


def test_a_message_in_the_deprecated_form_is_named_by_the_target_and_put_down_to_the_form() -> None:
    state = everybody("alice.laptop", "bob.laptop")
    ack, delivered = go(state, Step("write_old", "alice.phone", {"to": "bob", "m": -1, "c": 1})).must
    assert "message_id" not in ack.forms[0]
    assert (ack.cause, delivered.cause) == (("LEG-05",), ("LEG-04",))


def test_what_came_in_a_wrong_shape_is_not_missing() -> None:
    missing = problems.Problem("missing", "bob.phone", ("MSG-16",), "not there", ({"type": "deliver"},))
    shapes = [
        problems.Problem("shape", "bob.phone", ("VAL-23",), "odd", ({"type": kind},))
        for kind in ("deliver", "typing")
    ]
    assert [problems.is_missed_as(missing, shape) for shape in shapes] == [True, False]
    assert not problems.is_missed_as(replace(missing, kind="order"), shapes[0])


def test_a_death_is_one_problem_whichever_rule_it_breaks() -> None:
    cut = problems.Problem("closed", "bob.phone", ("KEEP-03",), "it was cut")
    refused = problems.Problem("refused", "alice.phone", ("AUTH-14",), "nobody is there")
    assert {cut.name, cut.key}.isdisjoint({refused.name, refused.key})
    dead = [replace(each, died="the launched target ended with exit status 3") for each in (cut, refused)]
    assert len({each.name for each in dead} | {each.key for each in dead}) == 1
    assert dead[0].name != replace(cut, died="the launched target was killed by SIGSEGV").name


def test_order_is_part_of_it() -> None:
    state = everybody("alice.laptop", "bob.laptop")
    burst = Step("burst", "alice.phone", {"to": "bob", "ms": (1, 2)})
    delivers = [frames.deliver("alice", number, number, to="bob")[0] for number in (2, 1)]
    acks = [frames.sent_ack(1), frames.sent_ack(2)]
    found = problem(state, burst, alice_phone=acks, bob_phone=delivers)
    assert found is not None
    assert (found.kind, found.req[0], found.device) == ("order", "MSG-41", "bob.phone")


def test_a_rate_that_is_lower_than_stated_ends_the_session() -> None:
    limited = {"type": "error", "payload": {"error_code": "rate_limited"}}
    with pytest.raises(problems.SessionOver):
        problem(everybody("alice.laptop", "bob.laptop"), send(1), alice_phone=[limited], bob_phone=[])


def test_one_session_that_is_cut_short_is_told_as_one() -> None:
    for count, said in ((1, "1 session was cut short"), (2, "2 sessions were cut short")):
        console = Console(file=io.StringIO(), width=100)
        show_cut_short({"cut_short": count, "cut_short_by": {}}, console)
        assert isinstance(console.file, io.StringIO)
        assert console.file.getvalue().startswith(said)
