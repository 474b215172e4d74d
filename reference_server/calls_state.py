"""Who is in a call with whom: the rules of call signaling, free of I/O (decisions, section 3, Calls).

Events go in, effects come out; what carries them out is `calls`. There is no call ID, so a call belongs to a
pair of users, and a user is in one call at most. Users and devices are UUIDs in lower case.

Where the decisions leave a choice: somebody without a connection counts as busy; of two offers that cross,
the second gets call_busy; the caller's side is the calling device alone, the other side, once it has
answered, the answering one; what other devices of the two users send each other meanwhile is refused.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

OFFER, ANSWER, ICE = "call_offer", "call_answer", "ice_candidate"
REJECT, END, BUSY = "call_reject", "call_end", "call_busy"
SIGNALS = (OFFER, ANSWER, ICE, REJECT, END, BUSY)

NO_ANSWER = "no_answer"
ANSWERED_ELSEWHERE = "answered_elsewhere"
REJECTED_ELSEWHERE = "rejected_elsewhere"
CONNECTION_LOST = "connection_lost"


@dataclass(frozen=True, slots=True)
class RingTimer:
    """How long a call may ring."""

    caller: str
    callee: str


@dataclass(frozen=True, slots=True)
class GraceTimer:
    """How long a device that is in a call may be away."""

    user: str
    device: str


Timer = RingTimer | GraceTimer


@dataclass(frozen=True, slots=True)
class PassOn:
    """Pass the frame that came on to these devices of its target; None: to all that are connected."""

    devices: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer the frame that came with an error; it has no effect."""

    text: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Say something in the server's own name.

    Attributes:
        kind: call_end or call_busy.
        to: the user who gets it.
        about: the user who is at the other end.
        devices: which devices get it; None: all that are connected.
        but: the one that does not.
    """

    kind: str
    to: str
    about: str
    devices: frozenset[str] | None = None
    but: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Start a timer, in place of the same one if it runs."""

    timer: Timer


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop a timer."""

    timer: Timer


Effect = PassOn | Refuse | Tell | Start | Stop


@dataclass(slots=True)
class Call:
    """A call that rings, or was answered.

    Attributes:
        ringing: the callee's devices that the offer went to; those that went away are taken out.
        answered_by: the callee's device that answered.
    """

    caller: str
    caller_device: str
    callee: str
    ringing: set[str] = field(default_factory=set)
    answered_by: str | None = None

    def other(self, user: str) -> str:
        """The user at the other end."""
        return self.callee if user == self.caller else self.caller

    def rings_for(self, user: str) -> bool:
        """Whether it still rings, and this is the user who is called."""
        return user == self.callee and self.answered_by is None

    def devices(self, user: str) -> frozenset[str] | None:
        """The user's devices that take part; None: whichever are connected."""
        if user == self.caller:
            return frozenset((self.caller_device,))
        return None if self.answered_by is None else frozenset((self.answered_by,))

    def holds(self, user: str, device: str) -> bool:
        """Whether the call may be lost with this device."""
        if self.rings_for(user):
            return device in self.ringing
        return device in (self.devices(user) or ())


class CallTable:
    """All calls of one server."""

    def __init__(self) -> None:
        self._of: dict[str, Call] = {}

    def of(self, user: str) -> Call | None:
        """The call a user is in."""
        return self._of.get(user)

    def __len__(self) -> int:
        """How many users are in a call."""
        return len(self._of)

    def signal(
        self, kind: str, user: str, device: str, target: str, connected: AbstractSet[str]
    ) -> tuple[Effect, ...]:
        """A device has sent a signaling frame.

        Args:
            kind: the frame's type.
            target: the user it is for.
            connected: the target's devices that are connected now.
        """
        call = self._of.get(user)
        if user == target:
            return (PassOn(),)  # between somebody's own devices: no call
        if call is not None and call.other(user) == target:
            return self._within(call, kind, user, device, connected)
        if kind == OFFER:
            return self._offer(user, device, target, connected)
        return (PassOn(),)

    def left(self, user: str, device: str) -> tuple[Effect, ...]:
        """A device has lost a connection."""
        call = self._of.get(user)
        return (Start(GraceTimer(user, device)),) if call is not None and call.holds(user, device) else ()

    def expired(self, timer: Timer, *, present: bool = False) -> tuple[Effect, ...]:
        """A timer has run out.

        Args:
            present: whether the device of a `GraceTimer` is connected.
        """
        if isinstance(timer, RingTimer):
            return self._unanswered(timer)
        return () if present else self._gone(timer)

    # --- offers ---

    def _offer(self, user: str, device: str, target: str, connected: AbstractSet[str]) -> tuple[Effect, ...]:
        if target in self._of or not connected:
            return (_busy(user, device, target),)
        if user in self._of:
            return (Refuse("you are in a call with somebody else; end that one first"),)
        self._of[user] = self._of[target] = Call(user, device, target, set(connected))
        return PassOn(), Start(RingTimer(user, target))

    # --- between the two sides of a call ---

    def _within(
        self, call: Call, kind: str, user: str, device: str, connected: AbstractSet[str]
    ) -> tuple[Effect, ...]:
        rings, target = call.rings_for(user), call.other(user)
        if not rings and not call.holds(user, device):
            return (Refuse("this call is on another of your devices"),)
        if rings and kind == OFFER:
            return (_busy(user, device, target),)  # the caller's offer was first
        pass_on = PassOn(call.devices(target))
        if kind == OFFER and call.rings_for(target):
            call.ringing |= connected
        elif rings and kind == ANSWER:
            call.answered_by = device
            return pass_on, Stop(_ring(call)), _elsewhere(call, device, ANSWERED_ELSEWHERE)
        elif kind in (REJECT, END, BUSY):
            effects = (pass_on, *self._forget(call))
            return (*effects, _elsewhere(call, device, REJECTED_ELSEWHERE)) if rings else effects
        return (pass_on,)

    # --- ends that nobody asked for ---

    def _unanswered(self, timer: RingTimer) -> tuple[Effect, ...]:
        call = self._of.get(timer.caller)
        if call is None or not call.rings_for(timer.callee):
            return ()
        return (*self._forget(call), *(_end(call, user, NO_ANSWER) for user in (call.caller, call.callee)))

    def _gone(self, timer: GraceTimer) -> tuple[Effect, ...]:
        call = self._of.get(timer.user)
        if call is None or not call.holds(timer.user, timer.device):
            return ()
        call.ringing.discard(timer.device)
        if call.rings_for(timer.user) and call.ringing:
            return ()  # it goes on ringing on the others
        return (*self._forget(call), _end(call, call.other(timer.user), CONNECTION_LOST))

    def _forget(self, call: Call) -> tuple[Effect, ...]:
        del self._of[call.caller], self._of[call.callee]
        return (Stop(_ring(call)),) if call.answered_by is None else ()


def _ring(call: Call) -> RingTimer:
    return RingTimer(call.caller, call.callee)


def _busy(user: str, device: str, target: str) -> Tell:
    return Tell(BUSY, to=user, about=target, devices=frozenset((device,)))


def _end(call: Call, user: str, reason: str) -> Tell:
    return Tell(END, to=user, about=call.other(user), devices=call.devices(user), reason=reason)


def _elsewhere(call: Call, device: str, reason: str) -> Tell:
    return Tell(END, to=call.callee, about=call.caller, but=device, reason=reason)
