"""Shrinking step by step: what does not matter goes, the extraordinary gives way to the ordinary."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest

from relaykit.conformance.sessions.driver import Done
from relaykit.conformance.sessions.keeping import polished
from relaykit.conformance.sessions.lab import Played
from relaykit.conformance.sessions.problems import Problem
from relaykit.conformance.sessions.state import Branch, Step

PLAIN = Step("send", "alice.phone", {"to": "bob", "m": 1, "c": 1})
FALSE = Step("send", "alice.phone", {"to": "bob", "m": 1, "c": 1, "claim": "carol"})
AGAIN, AWAY, BACK = (Step(move, "bob.phone") for move in ("connect_again", "drop", "connect"))
ACK = Step("ack", "bob.phone", {"m": 1})
READ = Step("read", "bob.phone", {"ms": (1, 2)})
Program = Sequence[Step]


def played(program: Program, *, fails: bool = True) -> Played:
    problem = Problem("missing", "bob.phone", ("MSG-16",), "it did not come") if fails else None
    return Played(problem, tuple(Done(step, Branch("served"), {}) for step in program[:-1]), program[-1])


def shrunk(program: Program, fails: Callable[[Program], bool], seconds: float = 60.0) -> tuple[Step, ...]:
    """What is left of a session; `fails` tells of a shorter one."""
    told: list[Played] = []

    def play(steps: Program) -> Played:
        return played(steps, fails=bool(steps) and fails(steps)) if steps else played(program, fails=False)

    until = time.monotonic() + seconds
    best = polished(play, played(program), lambda tried: tried.problem is not None, until, told.append)
    assert best is (told[-1] if told else best), "each that is better is told"
    return best.program


def moves(program: Program) -> list[str]:
    return [step.move for step in program]


def test_a_second_connection_gives_way_to_coming_back_where_that_fails_as_well() -> None:
    either = (["drop", "connect"], ["connect_again"], ["send", "connect_again"])
    assert shrunk((FALSE, AGAIN), lambda p: moves(p) in either) == (AWAY, BACK)
    assert shrunk((PLAIN, AGAIN), lambda p: moves(p)[-1] == "connect_again") == (AGAIN,)


def test_false_names_and_messages_that_do_not_matter_go() -> None:
    assert shrunk((FALSE, READ), lambda p: moves(p) in (["send", "read"], ["send", "ack"])) == (PLAIN, ACK)
    left = shrunk((FALSE, READ), lambda p: moves(p) == ["send", "read"] and 2 in p[1].with_["ms"])
    assert left == (PLAIN, Step("read", "bob.phone", {"ms": (2,)}))


def test_the_deprecated_form_gives_way_to_the_present_one_with_all_that_speaks_of_it() -> None:
    old = Step("write_old", "alice.phone", {"to": "bob", "m": -1, "c": 1})
    read = Step("read", "bob.phone", {"ms": (-1,)})
    left = shrunk((old, read), lambda p: moves(p) in (["write_old", "read"], ["send", "read"]))
    assert left == (PLAIN, Step("read", "bob.phone", {"ms": (1,)}))


def test_it_ends_in_time_with_the_best_until_then() -> None:
    assert shrunk((FALSE, AGAIN), lambda _: True, seconds=-1) == (FALSE, AGAIN)


def test_ctrl_c_comes_through() -> None:
    def interrupted(_: Program) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shrunk((FALSE, AGAIN), interrupted)


def test_what_takes_long_to_play_is_left_out_first() -> None:
    tried: list[list[str]] = []

    def play(steps: Program) -> Played:
        tried.append(moves(steps))
        return played(steps, fails="restart" not in moves(steps))

    program = (PLAIN, AWAY, Step("restart"), BACK)
    polished(
        play, played(program), lambda each: each.problem is not None, time.monotonic() + 60, lambda _: None
    )
    assert tried[0] == ["send", "drop", "connect"]


def test_a_try_that_is_no_better_is_not_taken() -> None:
    """Steps that others build on come back: such a try is the session as it was."""
    program, told = (PLAIN, AWAY, BACK), list[Played]()
    whole = played(program)
    polished(lambda _: whole, whole, lambda _: True, time.monotonic() + 60, told.append)
    assert told == []
