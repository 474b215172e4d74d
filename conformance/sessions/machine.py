"""The model as a Hypothesis state machine: it chooses the steps, and shrinks what failed to the fewest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from relaykit.conformance.sessions import model
from relaykit.conformance.sessions.moves import MOVES, chosen
from relaykit.conformance.sessions.state import DEVICES, USERS, State, Step

T = TypeVar("T")
_ROW = 5
"""So often one move is made in a row: Hypothesis begins with the plainest choices, and some sessions have few
moves to choose from. More of the same leads nowhere."""


class Run(Protocol):
    """A session under way, as the machine sees it. Both methods raise where the model does not agree."""

    state: State
    over: bool

    def count(self, move: str) -> None: ...

    def perform(self, step: Step) -> None: ...

    def end(self, *, failed: bool) -> None: ...


class SessionMachine(RuleBasedStateMachine):
    """Chooses the steps of one session. `begin` is set by `search`."""

    begin: Callable[[], Run]

    def __init__(self) -> None:
        super().__init__()
        self.session = type(self).begin()
        self.failed = False
        self.made: list[str] = []

    @property
    def over(self) -> bool:
        """Whether the session takes no more steps."""
        last = self.made[-_ROW:]
        return self.session.over or (len(last) == _ROW and len(set(last)) == 1)

    @initialize(absent=st.sets(st.sampled_from(DEVICES)), legacy=st.sets(st.sampled_from(tuple(USERS))))
    def start(self, absent: set[str], legacy: set[str]) -> None:
        """Everybody connects, but for a few; some ask for the deprecated frames, where there are any."""
        for user in sorted(legacy) if self.session.state.rules.legacy else ():
            self.do(Step("make_legacy", "", {"user": user}))
        for device in DEVICES:
            if device not in absent:
                self.do(Step("connect", device))

    @precondition(lambda self: self.over)
    @rule()
    def nothing_more(self) -> None:
        """A session that is over takes no steps."""

    def do(self, step: Step) -> None:
        """Carry out a step, if it can be: what was drawn with it may have left it no room."""
        if self.session.over or not model.possible(self.session.state, step):
            return
        try:
            self.session.perform(step)
        except BaseException:
            self.failed = True
            raise

    def teardown(self) -> None:
        self.session.end(failed=self.failed)


def _rule_for(name: str, copy: int) -> Any:
    move = MOVES[name]

    def step(self: SessionMachine, data: st.DataObject) -> None:
        def draw(options: Sequence[T]) -> T:
            return data.draw(st.sampled_from(options))

        steps = chosen(name, self.session.state, draw)
        self.made.append(name)
        self.session.count(name)
        for each in steps:
            self.do(each)

    step.__name__ = f"{name}_{copy}"  # each is left out of some sessions for itself
    step.__qualname__ = f"SessionMachine.{step.__name__}"
    possible = precondition(lambda self: not self.over and move.possible(self.session.state))
    return possible(rule(data=st.data())(step))


for _name, _move in MOVES.items():
    for _copy in range(_move.weight):
        setattr(SessionMachine, f"move_{_name}_{_copy}", _rule_for(_name, _copy))


def search(begin: Callable[[], Run], seed_: str, sessions: int, steps: int) -> None:
    """Run sessions until one fails, and shrink that one.

    Args:
        begin: makes the next session.
        seed_: from which the choices follow.
        sessions: how many at most.
        steps: of a session, at most.

    Raises:
        whatever `Run` raises, for the shortest session that raises it.
    """
    made = type("Sessions", (SessionMachine,), {"begin": staticmethod(begin)})
    run_state_machine_as_test(
        seed(seed_)(made),
        settings=settings(
            max_examples=sessions,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            report_multiple_bugs=False,
            print_blob=False,
            verbosity=Verbosity.quiet,
            suppress_health_check=list(HealthCheck),
        ),
    )
