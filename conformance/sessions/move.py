"""What a move is: a kind of step that a session may take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from relaykit.conformance.sessions.state import DEVICES, USERS, State, Step, user_of

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
        weight: how much more often it is chosen than others: what goes on with something open leads further.
    """

    possible: Callable[[State], bool]
    choose: Callable[[State, Draw], Step | tuple[Step, ...]]
    weight: int = 1


def who(state: State, draw: Draw) -> str:
    return draw(state.everyone_online())


def peers(state: State, user: str) -> tuple[str, ...]:
    """Other users that the target knows: what is sent to unknown ones is not judged."""
    return tuple(other for other in state.others(user) if other in state.known)


def claims(device: str) -> tuple[str, ...]:
    """False identities: other users, and other devices."""
    user = user_of(device)
    return (*(other for other in USERS if other != user), *(d for d in DEVICES if d != device))


def prefer(draw: Draw, best: Sequence[T], every: Sequence[T]) -> T:
    """Mostly one of the best, if there are any, and now and then any one at all."""
    mostly = draw((True, True, True, False))
    return draw(best if best and mostly else every)


def two(state: State) -> bool:
    """Somebody is there, and there is somebody else to write to."""
    return bool(state.online) and len(state.known) > 1


def needs(capability: str) -> Callable[[State], bool]:
    return lambda state: two(state) and state.has(capability)
