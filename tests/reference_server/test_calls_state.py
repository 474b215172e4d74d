"""The rules of calls, without a server: events in, effects out, and what always holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from relaykit.reference_server.calls_state import (
    ANSWER,
    BUSY,
    END,
    ICE,
    OFFER,
    REJECT,
    SIGNALS,
    CallTable,
    Effect,
    GraceTimer,
    PassOn,
    Refuse,
    RingTimer,
    Start,
    Stop,
    Tell,
)

BOTH = frozenset(("phone", "laptop"))
RING = RingTimer("alice", "bob")


def only(*devices: str) -> frozenset[str]:
    return frozenset(devices)


def end(to: str, about: str, devices: Iterable[str] | None, reason: str) -> Tell:
    return Tell(END, to, about, None if devices is None else frozenset(devices), reason=reason)


def elsewhere(but: str, reason: str) -> Tell:
    return Tell(END, "bob", "alice", but=but, reason=reason)


def ringing() -> CallTable:
    """Alice's phone calls bob, who has two devices."""
    table = CallTable()
    assert table.signal(OFFER, "alice", "phone", "bob", BOTH) == (PassOn(), Start(RING))
    return table


def talking() -> CallTable:
    """Bob's laptop has answered."""
    table = ringing()
    answered = table.signal(ANSWER, "bob", "laptop", "alice", BOTH)
    assert answered == (PassOn(only("phone")), Stop(RING), elsewhere("laptop", "answered_elsewhere"))
    return table


def is_free(table: CallTable, *users: str) -> bool:
    return all(table.of(user) is None for user in users)


def test_a_call_counts_from_the_offer_on_for_both_sides() -> None:
    table = ringing()
    for target in ("alice", "bob"):
        busy = (Tell(BUSY, "carol", target, only("tablet")),)
        assert table.signal(OFFER, "carol", "tablet", target, BOTH) == busy
    assert table.of("carol") is None


def test_somebody_without_a_connection_counts_as_busy_and_no_call_begins() -> None:
    table = CallTable()
    assert table.signal(OFFER, "alice", "phone", "bob", frozenset()) == (
        Tell(BUSY, "alice", "bob", only("phone")),
    )
    assert is_free(table, "alice", "bob")


@pytest.mark.parametrize("make", [ringing, talking])
def test_who_is_in_a_call_cannot_offer_another_and_hears_of_a_busy_target_first(
    make: Callable[[], CallTable],
) -> None:
    table = make()
    (refused,) = table.signal(OFFER, "bob", "phone", "carol", BOTH)
    assert isinstance(refused, Refuse)
    assert is_free(table, "carol")
    table.signal(OFFER, "dave", "tv", "carol", BOTH)
    assert table.signal(OFFER, "bob", "phone", "carol", BOTH) == (Tell(BUSY, "bob", "carol", only("phone")),)


def test_until_the_answer_the_callee_is_all_devices_and_the_caller_the_calling_one() -> None:
    table = ringing()
    assert table.signal(ICE, "alice", "phone", "bob", BOTH) == (PassOn(None),)
    assert table.signal(ICE, "bob", "laptop", "alice", BOTH) == (PassOn(only("phone")),)


def test_after_the_answer_the_two_devices_talk() -> None:
    table = talking()
    for kind in (OFFER, ANSWER, ICE):
        assert table.signal(kind, "alice", "phone", "bob", BOTH) == (PassOn(only("laptop")),)
        assert table.signal(kind, "bob", "laptop", "alice", BOTH) == (PassOn(only("phone")),)


@pytest.mark.parametrize("kind", SIGNALS)
def test_other_devices_have_no_say_in_a_call(kind: str) -> None:
    for table, user, device, target in (
        (ringing(), "alice", "laptop", "bob"),
        (talking(), "alice", "laptop", "bob"),
        (talking(), "bob", "phone", "alice"),
    ):
        (refused,) = table.signal(kind, user, device, target, BOTH)
        assert isinstance(refused, Refuse)
        assert not is_free(table, "alice", "bob")


@pytest.mark.parametrize("kind", [REJECT, END, BUSY])
def test_before_the_answer_either_side_frees_both(kind: str) -> None:
    table = ringing()
    assert table.signal(kind, "alice", "phone", "bob", BOTH) == (PassOn(None), Stop(RING))
    assert is_free(table, "alice", "bob")
    table = ringing()
    assert table.signal(kind, "bob", "phone", "alice", BOTH) == (
        PassOn(only("phone")),
        Stop(RING),
        elsewhere("phone", "rejected_elsewhere"),
    )
    assert is_free(table, "alice", "bob")


@pytest.mark.parametrize("kind", [REJECT, END, BUSY])
def test_after_the_answer_either_side_frees_both(kind: str) -> None:
    for user, device, target, to in (
        ("alice", "phone", "bob", "laptop"),
        ("bob", "laptop", "alice", "phone"),
    ):
        table = talking()
        assert table.signal(kind, user, device, target, BOTH) == (PassOn(only(to)),)
        assert is_free(table, "alice", "bob")


def test_of_two_offers_that_cross_the_first_stands() -> None:
    table = ringing()
    assert table.signal(OFFER, "bob", "phone", "alice", BOTH) == (Tell(BUSY, "bob", "alice", only("phone")),)
    answered = table.signal(ANSWER, "bob", "phone", "alice", BOTH)
    assert answered[0] == PassOn(only("phone"))


def test_a_further_offer_rings_on_devices_that_came_later_and_starts_no_second_timer() -> None:
    table = CallTable()
    table.signal(OFFER, "alice", "phone", "bob", only("phone"))
    assert table.signal(OFFER, "alice", "phone", "bob", BOTH) == (PassOn(None),)
    assert table.left("bob", "phone") == (Start(GraceTimer("bob", "phone")),)
    assert table.expired(GraceTimer("bob", "phone")) == ()
    assert not is_free(table, "bob")


def test_a_call_that_nobody_answers_ends_for_both() -> None:
    table = ringing()
    assert table.expired(RING) == (
        Stop(RING),
        end("alice", "bob", ["phone"], "no_answer"),
        end("bob", "alice", None, "no_answer"),
    )
    assert is_free(table, "alice", "bob")


def test_a_ring_timer_of_another_call_ends_nothing() -> None:
    assert talking().expired(RING) == ()
    table = ringing()
    assert table.expired(RingTimer("bob", "alice")) == ()
    assert table.expired(RingTimer("alice", "carol")) == ()
    assert CallTable().expired(RING) == ()
    assert not is_free(table, "alice", "bob")


def test_it_rings_on_until_the_last_device_that_rang_is_gone() -> None:
    table = ringing()
    assert table.expired(GraceTimer("bob", "phone")) == ()
    assert not is_free(table, "alice", "bob")
    assert table.expired(GraceTimer("bob", "laptop")) == (
        Stop(RING),
        end("alice", "bob", ["phone"], "connection_lost"),
    )
    assert is_free(table, "alice", "bob")


def test_a_caller_who_is_gone_ends_the_ringing_everywhere() -> None:
    table = ringing()
    assert table.expired(GraceTimer("alice", "phone")) == (
        Stop(RING),
        end("bob", "alice", None, "connection_lost"),
    )
    assert is_free(table, "alice", "bob")


def test_a_side_that_is_gone_ends_the_call_for_the_other() -> None:
    assert talking().expired(GraceTimer("alice", "phone")) == (
        end("bob", "alice", ["laptop"], "connection_lost"),
    )
    table = talking()
    assert table.expired(GraceTimer("bob", "laptop")) == (end("alice", "bob", ["phone"], "connection_lost"),)
    assert is_free(table, "alice", "bob")


def test_only_devices_in_the_call_matter_when_they_leave() -> None:
    table = talking()
    assert table.left("bob", "phone") == table.left("alice", "laptop") == table.left("carol", "tv") == ()
    assert table.expired(GraceTimer("bob", "phone")) == ()
    assert table.left("bob", "laptop") == (Start(GraceTimer("bob", "laptop")),)
    assert not is_free(table, "alice", "bob")


def test_a_device_that_came_back_in_time_keeps_its_call() -> None:
    table = talking()
    assert table.expired(GraceTimer("bob", "laptop"), present=True) == ()
    assert not is_free(table, "alice", "bob")


@pytest.mark.parametrize("kind", [ANSWER, ICE, REJECT, END, BUSY])
def test_signaling_without_a_call_is_passed_on_and_changes_nothing(kind: str) -> None:
    table = ringing()
    assert table.signal(kind, "carol", "tv", "dave", only("tv")) == (PassOn(None),)
    assert table.signal(kind, "carol", "tv", "bob", BOTH) == (PassOn(None),)
    assert table.signal(kind, "alice", "phone", "carol", BOTH) == (PassOn(None),)
    assert len(table) == 2


@pytest.mark.parametrize("kind", SIGNALS)
def test_between_somebodys_own_devices_there_is_no_call(kind: str) -> None:
    table = CallTable()
    assert table.signal(kind, "alice", "phone", "alice", BOTH) == (PassOn(None),)
    assert len(table) == 0


USERS = ("alice", "bob", "carol")
DEVICES = ("phone", "laptop")
user, device = st.sampled_from(USERS), st.sampled_from(DEVICES)


class AnyOrder(RuleBasedStateMachine):
    """Whatever happens in whatever order: who is in a call, who rings, which timers run."""

    @initialize()
    def begin(self) -> None:
        self.table = CallTable()
        self.online = {name: set(DEVICES) for name in USERS}
        self.timers: set[RingTimer | GraceTimer] = set()

    def follow(self, effects: Iterable[Effect]) -> tuple[Effect, ...]:
        effects = tuple(effects)
        for effect in effects:
            if isinstance(effect, Start):
                self.timers.add(effect.timer)
            elif isinstance(effect, Stop):
                self.timers.discard(effect.timer)
            elif isinstance(effect, Tell):
                assert effect.to != effect.about
        return effects

    @rule(kind=st.sampled_from(SIGNALS), user=user, device=device, peer=user)
    def signal(self, kind: str, user: str, device: str, peer: str) -> None:
        if device not in self.online[user]:
            return
        before = self.table.of(user)
        effects = self.follow(self.table.signal(kind, user, device, peer, frozenset(self.online[peer])))
        passed = [effect for effect in effects if isinstance(effect, PassOn)]
        spoken = [effect for effect in effects if isinstance(effect, Refuse | Tell)]
        assert len(passed) <= 1
        assert passed or spoken  # nothing vanishes
        if isinstance(effects[0], Refuse):
            assert len(effects) == 1
            assert self.table.of(user) is before

    @rule(user=user, device=device)
    def leave(self, user: str, device: str) -> None:
        if device in self.online[user]:
            self.online[user].discard(device)
            self.follow(self.table.left(user, device))

    @rule(user=user, device=device)
    def enter(self, user: str, device: str) -> None:
        self.online[user].add(device)

    @rule(data=st.data())
    def run_out(self, data: st.DataObject) -> None:
        if self.timers:
            timer = data.draw(st.sampled_from(sorted(self.timers, key=repr)))
            self.timers.discard(timer)
            present = isinstance(timer, GraceTimer) and timer.device in self.online[timer.user]
            self.follow(self.table.expired(timer, present=present))

    @invariant()
    def calls_have_two_sides(self) -> None:
        for name in USERS:
            call = self.table.of(name)
            if call is not None:
                assert call.caller != call.callee
                assert self.table.of(call.other(name)) is call

    @invariant()
    def every_call_can_end_by_itself(self) -> None:
        for name in USERS:
            call = self.table.of(name)
            if call is None:
                continue
            ring = RingTimer(call.caller, call.callee)
            assert (ring in self.timers) == (call.answered_by is None)
            for device in call.devices(name) or call.ringing:
                assert device in self.online[name] or GraceTimer(name, device) in self.timers

    @invariant()
    def nothing_rings_without_a_call(self) -> None:
        for timer in self.timers:
            if isinstance(timer, RingTimer):
                call = self.table.of(timer.caller)
                assert call is not None
                assert call.callee == timer.callee


AnyOrder.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, database=None)
TestAnyOrder = AnyOrder.TestCase
