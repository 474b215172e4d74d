"""Defects in who is in a call, and in what the server says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from relaykit.reference_server import calls
from relaykit.reference_server.app import App
from relaykit.reference_server.calls_state import (
    BUSY,
    END,
    ICE,
    OFFER,
    REJECT,
    Call,
    CallTable,
    Effect,
    GraceTimer,
    PassOn,
    RingTimer,
    Start,
    Tell,
)
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import Frame, altering, dropping, staying, was_cut
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.session import Session

Effects = tuple[Effect, ...]
Signal = Callable[..., Effects]


def signalling(
    change: Callable[[CallTable, str, str, str, Effects, Call | None], Sequence[Effect]],
) -> Callable[[Seams], None]:
    """`change(table, kind, user, target, effects, call before)` says what a signaling frame brings about."""

    def apply(seams: Seams) -> None:
        def signal(
            original: Signal, self: CallTable, kind: str, user: str, device: str, target: str, connected: Any
        ) -> Effects:
            before = self.of(user)
            effects = original(self, kind, user, device, target, connected)
            return tuple(change(self, kind, user, target, effects, before))

        seams.around(CallTable, "signal", signal)

    return apply


def _busy_is_free(
    table: CallTable, kind: str, user: str, target: str, effects: Effects, _before: Call | None
) -> Sequence[Effect]:
    busy = table.of(target) is not None and any(isinstance(e, Tell) and e.kind == BUSY for e in effects)
    return (PassOn(),) if kind == OFFER and busy else effects


def _busy_and_told(
    table: CallTable, kind: str, user: str, target: str, effects: Effects, _before: Call | None
) -> Sequence[Effect]:
    busy = any(isinstance(e, Tell) and e.kind == BUSY for e in effects)
    return (PassOn(), *effects) if kind == OFFER and busy else effects


def _held(kind_held: str, *, by_callee: bool = False) -> Callable[[Seams], None]:
    """A frame that ends a call is passed on, and both sides go on counting as in a call."""

    def change(
        table: CallTable, kind: str, user: str, target: str, effects: Effects, before: Call | None
    ) -> Sequence[Effect]:
        if (
            kind == kind_held
            and before is not None
            and before.other(user) == target
            and (not by_callee or user == before.callee)
        ):
            table._of[before.caller] = table._of[before.callee] = before
        return effects

    return signalling(change)


def _ended_by_anybody(
    table: CallTable, kind: str, user: str, target: str, effects: Effects, _before: Call | None
) -> Sequence[Effect]:
    call = table.of(target)
    if kind in (REJECT, END, BUSY) and call is not None and user not in (call.caller, call.callee):
        table._forget(call)
    return effects


BUSY_ONES = (
    Defect(
        "call-ended-by-a-stranger",
        "Whoever a call_end, a call_reject or a call_busy is for is free, whoever sent it.",
        ("CALL-20",),
        signalling(_ended_by_anybody),
    ),
    Defect(
        "busy-is-rung",
        "A call_offer to somebody in a call with another is passed on, and the caller hears nothing.",
        ("CALL-20",),
        signalling(_busy_is_free),
    ),
    Defect(
        "busy-is-rung-all-the-same",
        "A call_offer that is answered with call_busy reaches its target all the same.",
        ("CALL-21",),
        signalling(_busy_and_told),
    ),
    Defect(
        "reject-does-not-free",
        "A call_reject frees nobody.",
        ("CALL-30",),
        _held(REJECT),
    ),
    Defect("end-does-not-free", "A call_end frees nobody.", ("CALL-31",), _held(END)),
    Defect(
        "busy-does-not-free",
        "The called user's call_busy frees nobody.",
        ("CALL-32",),
        _held(BUSY, by_callee=True),
    ),
)


@defect("ringing-is-free", "Users count as in a call from the answer on only.", "CALL-22")
def ringing_is_free(seams: Seams) -> None:
    def offer(
        original: Callable[..., Effects],
        self: CallTable,
        user: str,
        device: str,
        target: str,
        connected: Any,
    ) -> Effects:
        for name in (user, target):
            call = self._of.get(name)
            if call is not None and call.answered_by is None:
                self._of.pop(call.caller, None)
                self._of.pop(call.callee, None)
        return original(self, user, device, target, connected)

    seams.around(CallTable, "_offer", offer)


@defect("crossing-offers-cancel", "Of two offers that cross, both are answered with call_busy.", "CALL-26")
def crossing_offers_cancel(seams: Seams) -> None:
    def within(
        original: Callable[..., Effects],
        self: CallTable,
        call: Call,
        kind: str,
        user: str,
        device: str,
        connected: Any,
    ) -> Effects:
        effects = original(self, call, kind, user, device, connected)
        if kind == OFFER and call.rings_for(user):
            first = Tell(BUSY, to=call.caller, about=user, devices=frozenset((call.caller_device,)))
            return (*effects, first, *self._forget(call))
        return effects

    seams.around(CallTable, "_within", within)


def _telling(change: Callable[[Tell], Tell]) -> Callable[[Seams], None]:
    """What the server says of calls in its own name comes out changed."""

    def apply(seams: Seams) -> None:
        def tell(original: Callable[..., None], app: Any, effect: Tell) -> None:
            original(app, change(effect))

        seams.around(calls, "_tell", tell)

    return apply


def _misnaming(kind: str, *, sender: bool) -> Callable[[Seams], None]:
    """A frame that the server makes names the wrong user: as its sender, or as its target."""

    def apply(seams: Seams) -> None:
        def tell(original: Callable[..., None], app: Any, effect: Tell) -> None:
            if effect.kind != kind:
                original(app, effect)
                return
            rightly = effect.about if kind == BUSY else effect.to
            wrongly = effect.to if kind == BUSY else effect.about
            payload = {"target_id": rightly if sender else wrongly}
            if effect.reason is not None:
                payload["reason"] = effect.reason
            data = app.frames.make(kind, payload, user=effect.to if sender else effect.about)
            for session in app.hub.of_user(effect.to):
                fits = effect.devices is None or session.device in effect.devices
                if fits and session.device != effect.but:
                    app.turn.send(session, data)

        seams.around(calls, "_tell", tell)

    return apply


NAMES = (
    Defect(
        "made-busy-names-the-caller",
        "In a call_busy that the server makes, the target_id is the caller.",
        ("CALL-23",),
        _misnaming(BUSY, sender=False),
    ),
    Defect(
        "made-busy-from-the-caller",
        "In a call_busy that the server makes, the sender_id is the caller.",
        ("CALL-39",),
        _misnaming(BUSY, sender=True),
    ),
    Defect(
        "made-end-from-the-hearer",
        "In a call_end that the server makes, the sender_id is the user who gets it.",
        ("CALL-37",),
        _misnaming(END, sender=True),
    ),
    Defect(
        "made-end-for-the-other",
        "In a call_end that the server makes, the target_id is the other user.",
        ("CALL-38",),
        _misnaming(END, sender=False),
    ),
    Defect(
        "gone-is-not-told",
        "When a device in a call is gone, the other side is free, but hears nothing.",
        ("CALL-35",),
        _telling(lambda effect: replace(effect, devices=frozenset()) if _lost(effect) else effect),
    ),
)


def _lost(effect: Tell) -> bool:
    return effect.kind == END and effect.reason == "connection_lost"


@defect("rings-for-ever", "A call that nobody answers never ends.", "CALL-33")
def rings_for_ever(seams: Seams) -> None:
    signalling(
        lambda _table, _kind, _user, _target, effects, _before: [
            effect
            for effect in effects
            if not (isinstance(effect, Start) and isinstance(effect.timer, RingTimer))
        ]
    )(seams)


@defect(
    "gone-does-not-free",
    "When a device in a call is gone, the other side is not freed.",
    "CALL-36",
)
def gone_does_not_free(seams: Seams) -> None:
    def gone(original: Callable[..., Effects], self: CallTable, timer: GraceTimer) -> Effects:
        call = self.of(timer.user)
        effects = original(self, timer)
        if call is not None:
            self._of[call.other(timer.user)] = call
        return effects

    seams.around(CallTable, "_gone", gone)


def _ends(reason: str) -> Callable[[Frame, Session, App], bool]:
    return lambda frame, _to, _app: frame["payload"].get("reason") == reason


UNTOLD = (
    Defect(
        "answer-not-told-elsewhere",
        "When one device answers, the others go on ringing.",
        ("CALL-28",),
        dropping("call_end", _ends("answered_elsewhere")),
    ),
    Defect(
        "rejection-not-told-elsewhere",
        "When one device rejects, the others go on ringing.",
        ("CALL-29",),
        dropping("call_end", _ends("rejected_elsewhere")),
    ),
    Defect(
        "no-answer-not-told",
        "A call that nobody answers ends without a word.",
        ("CALL-34",),
        dropping("call_end", _ends("no_answer")),
    ),
)


# That the other side is not freed either cannot be told from the ring of a call that goes on.
GONE = (
    Defect(
        "cut-ends-no-call",
        "A device whose connection is cut, and not closed, remains in its call.",
        ("CALL-35",),
        staying(calls.left, was_cut),
    ),
    Defect(
        "closing-ends-no-call",
        "A device that closes its connection remains in its call.",
        ("CALL-35",),
        staying(calls.left, lambda session: not was_cut(session)),
    ),
)


def _in_ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def _all_in_ascii(value: Any) -> Any:
    if isinstance(value, str):
        return _in_ascii(value)
    if isinstance(value, dict):
        return {_in_ascii(name): _all_in_ascii(item) for name, item in value.items()}
    return [_all_in_ascii(item) for item in value] if isinstance(value, list) else value


ASCII = (
    Defect(
        "sdp-in-ascii",
        "In an sdp, what is not ASCII arrives as question marks.",
        ("CALL-13",),
        altering(OFFER, "/payload/sdp", _in_ascii),
    ),
    Defect(
        "candidate-in-ascii",
        "In a candidate, what is not ASCII arrives as question marks.",
        ("CALL-14",),
        altering(ICE, "/payload/candidate", _all_in_ascii),
    ),
)
