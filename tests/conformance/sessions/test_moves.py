"""Which steps sessions take: valid ones and broken ones on purpose, and mostly what is open. No sockets."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby

from support.sessions import CONTROLS, everybody, go

from relaykit.conformance.grammar import VarSpec
from relaykit.conformance.sessions import frames, machine, model, signaling
from relaykit.conformance.sessions.moves import MOVES, chosen, possible
from relaykit.conformance.sessions.state import USERS, Rules, State, Step, user_of
from relaykit.conformance.values import Scope
from relaykit.schemas import load_catalogue

IDS = {"id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}
GROUP = {
    "group_id": "group-6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "conversation_id": "conv-6ba7b810-9dad-11d1-80b4-00c04fd430c8",
}


def valid(state: State, step: Step) -> list[bool]:
    """Whether what a step sends is valid by the schemas, with identifiers in the place of references."""
    variables = {name: VarSpec(name, kind, None) for name, kind in frames.VARS.items()}
    users = {user: {**IDS, **dict.fromkeys(devices, IDS)} for user, devices in USERS.items()}
    scope = Scope("seed", users, variables)
    scope.given |= {f"g{number}": GROUP for number in state.groups}
    scope.given |= {f"v{number}": GROUP for number in state.conversations}
    scope.given |= {f"o{-n}": f"6ba7b810-9dad-11d1-80b4-{-n:012}" for n in state.messages if n < 0}
    return [load_catalogue().validate(scope.fill(content), "c2s").valid for content in frames.all_sent(step)]


def walk(state: State, rng: random.Random, steps: int, seen: Callable[[State, Step], None]) -> set[str]:
    """Take so many moves, each as likely as it weighs; which ones.

    Args:
        seen: is told of each step before it is taken.
    """
    made: set[str] = set()
    for _ in range(steps):
        name = rng.choice(possible(state))
        for step in chosen(name, state, rng.choice):
            seen(state, step)
            go(state, step)
        made.add(name)
    return made


def test_moves_make_valid_frames_or_invalid_ones_on_purpose_and_reach_all_there_is() -> None:
    rng = random.Random(1)
    moves: set[str] = set()
    transitions: set[str] = set()

    def look(state: State, step: Step) -> None:
        if step.move not in (*model.CONTROLS, *model.ARRIVALS):
            assert set(valid(state, step)) == {step.move != "invalid"}, step

    for _ in range(600):
        absent = rng.choice([(), (), ("bob.phone", "bob.laptop"), ("alice.laptop",)])
        state = everybody(*absent, flood=3, crowd=8, expires=True, restarts=rng.random() < 0.2)
        moves |= walk(state, rng, 40, look)
        transitions |= set(state.transitions)
    assert moves == set(MOVES)
    assert set(model.TRANSITIONS) - transitions == set()


def test_what_is_open_is_mostly_gone_on_with() -> None:
    """Calls are answered, and those end; what was delivered is read; members write, and users get devices."""
    rng = random.Random(2)
    reached: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    for _ in range(150):
        state = everybody(*rng.choice([(), ("bob.phone", "bob.laptop")]))
        walk(state, rng, 30, lambda _, step: sent.update([step.with_.get("type") or step.move]))
        reached.update(state.transitions)
    ended = sum(reached[f"call: answered → free by {kind}"] for kind in signaling.ENDS)
    assert reached["call: ringing → answered"] * 6 > reached["call: free → ringing"]
    assert ended * 4 > reached["call: ringing → answered"]
    read = reached["message: sent → read"] + reached["message: delivered → read"]
    assert read * 5 > reached["message: new → sent"]
    assert reached["message: waits for a first device"] * 3 > reached["user: made without a device"]
    assert reached["sync: passed on"] * 5 > sum(sent[kind] for kind in frames.SYNCS)
    assert reached["typing: passed on"] * 2 > sent["typing"]


def test_nobody_gets_more_connections_than_the_target_file_says() -> None:
    """Not even while two of one device overlap, or the target may count one that was cut."""
    rng = random.Random(3)
    most: Counter[str] = Counter()
    for limit in (1, 2):
        for _ in range(40):
            state = State(replace(everybody().rules, connections=limit))
            for _ in range(60):
                name = rng.choice(possible(state))
                for step in chosen(name, state, rng.choice):
                    if not model.possible(state, step):
                        continue
                    user = user_of(step.who) if step.who else ""
                    there = {d for d in (*state.online, *state.visiting) if user_of(d) == user}
                    more = step.move in ("connect", "connect_again", "learn", "knock")
                    assert len(there) + more <= limit, step
                    assert not step.with_.get("abort") or len(there) < limit, step
                    go(state, step)
                    most[step.move] += 1
    assert min(most["connect"], most["connect_again"], most["drop"], most["send"]) > 10, most


@dataclass(slots=True)
class Rehearsal:
    """A session without a target: what the model permits comes of each step."""

    state: State
    played: list[list[str]]
    over: bool = False

    def count(self, move: str) -> None:
        self.played[-1].append(move)

    def perform(self, step: Step) -> None:
        go(self.state, step)

    def end(self, *, failed: bool) -> None:
        assert not failed


def test_sessions_end_where_they_would_only_repeat_one_move() -> None:
    played: list[list[str]] = []

    def begin() -> Rehearsal:
        played.append([])
        rules = Rules(frozenset(load_catalogue().protocol.capabilities), frozenset(CONTROLS))
        return Rehearsal(State(rules), played)

    machine.search(begin, "1", 60, 30)
    rows = [len(list(same)) for moves in played for _, same in groupby(moves)]
    assert max(rows) == 5
    assert sum(len(moves) for moves in played) > 300, "but they do not end at once"


def test_what_goes_on_with_a_call_or_a_message_is_chosen_more_often_than_what_begins_nothing() -> None:
    state = everybody()
    go(state, Step("send", "alice.phone", {"to": "bob", "m": 1, "c": 1}))
    go(state, Step("signal", "alice.phone", {"type": "call_offer", "to": "bob", "n": 2}))
    chances = Counter(possible(state))
    assert min(chances[name] for name in ("hang_up", "answer", "take", "ack", "read")) > chances["pong"] > 0


def test_hanging_up_ends_a_call_and_then_the_same_or_others_call() -> None:
    seen: set[tuple[str, ...]] = set()
    callers: set[str] = set()
    for seed in range(60):
        state = everybody()
        go(state, Step("signal", "alice.phone", {"type": "call_offer", "to": "bob", "n": 1}))
        steps = chosen("hang_up", state, random.Random(seed).choice)
        seen.add(tuple("end" if s.with_["type"] in signaling.ENDS else s.with_["type"] for s in steps))
        callers |= {step.who for step in steps if step.with_["type"] == "call_offer"}
    ends = {("end",), ("call_answer", "end")}
    assert seen == ends | {(*each, "call_offer") for each in ends}
    assert {"carol.phone", "bob.phone"} <= callers


def test_what_is_sent_to_a_group_is_acknowledged_by_strangers_and_by_members() -> None:
    state, rng = everybody(), random.Random(1)
    go(state, Step("create_group", "", {"group": 1, "users": ("alice", "bob")}))
    replies: Counter[tuple[str, bool]] = Counter()
    for _ in range(100):
        sent, *after = chosen("send_to_group", state, rng.choice)
        assert sent.move == "send"
        replies.update((step.move, user_of(step.who) in ("alice", "bob")) for step in after)
        assert all(user_of(step.who) != user_of(sent.who) or step.who == "carol.phone" for step in after)
    assert set(replies) == {(move, member) for move in ("ack", "read") for member in (True, False)}
    assert possible(state).count("send_to_group") > possible(state).count("create_group")
