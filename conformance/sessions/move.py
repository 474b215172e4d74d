"""What a move is: a kind of step that a session may take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from relaykit.conformance.sessions.state import State, Step

T = TypeVar("T")


class Draw(Protocol):
    """Picks one of several."""

    def __call__(self, options: Sequence[T], /) -> T: ...


@dataclass(frozen=True, slots=True)
class Move:
    """One kind of step.

    Attributes:
        possible: whether there is such a step now.
        choose: one such step, or several that belong together.
        hostile: whether it is what an honest client would not do.
    """

    possible: Callable[[State], bool]
    choose: Callable[[State, Draw], Step | tuple[Step, ...]]
    hostile: bool = False


def who(state: State, draw: Draw) -> str:
    return draw(state.everyone_online())
