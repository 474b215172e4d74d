"""Limits stated at their least: what needs more is untestable, and nobody is blamed for keeping them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from fixtures.fakes import minimal
from support.suite import PATIENT, QUICK, all_cases, by_id, judge, make_target

from relaykit.conformance.applicable import connections_of_a_user
from relaykit.conformance.pacing import BurstPace
from relaykit.conformance.restraint import Restraint
from relaykit.conformance.results import Case, RunResult, Verdict
from relaykit.conformance.stops import UntestableError

CASES = (
    "message-life",
    "stranger-hears-nothing",
    "redelivery-until-acknowledged",
    "same-device-twice",
    "derived/send/payload.receiver_id/upper-case",
    "derived/unknown-type/envelope/long",
    "derived/send/envelope/far-too-deep",
    "foreign-origin",
)
LEAST: dict[str, dict[str, float]] = {
    "connections_per_user": {"connections_per_user": 1},
    "waiting_per_user": {"waiting_per_user": 1},
    "max_frame_bytes": {"max_frame_bytes": 1024},
    "burst": {"burst": 3, "frames_per_second": 20},
}


def run(limits: dict[str, float], stated: dict[str, float], cases: tuple[Case, ...]) -> RunResult:
    async def go() -> RunResult:
        async with minimal(limits=limits).running() as url:
            timing = PATIENT if stated else QUICK
            return await judge(make_target(url, limits=stated, timing=timing), cases)

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("limit", "cases"),
    [
        ("connections_per_user", {*CASES[:2], "same-device-twice", *CASES[4:7]}),
        ("waiting_per_user", {CASES[4], CASES[5], "message-life"}),
        ("max_frame_bytes", {CASES[5], CASES[6]}),
        ("burst", set[str]()),
    ],
)
def test_who_keeps_the_least_is_not_blamed(limit: str, cases: set[str]) -> None:
    found = by_id(run(LEAST[limit], LEAST[limit], all_cases(*CASES)))
    bad = {name: each.findings for name, each in found.items() if each.verdict is Verdict.FAIL}
    assert not bad
    untestable = {name for name, each in found.items() if each.verdict is Verdict.UNTESTABLE}
    assert untestable <= cases
    assert bool(untestable) == bool(cases)
    assert all(f"limits.{limit}" in found[name].reason for name in untestable)
    assert len({found[name].reason for name in untestable}) <= 1, "one reason, one line in a summary"


@pytest.mark.parametrize("limit", LEAST)
def test_a_limit_that_is_not_stated_restrains_nothing(limit: str) -> None:
    result = run(LEAST[limit], {}, all_cases(*CASES[:1], *CASES[4:6]))
    # What is refused for a frame's size, or as a further connection, tells of a limit (see `unstated`); that
    # a second message is refused, or a fourth frame, does not.
    telling = limit in ("max_frame_bytes", "connections_per_user")
    shown = Verdict.UNTESTABLE if telling else Verdict.FAIL
    assert result.count(shown), "a server that keeps a limit nobody was told of does not pass"


def test_a_case_that_is_about_a_limit_goes_beyond_it() -> None:
    limits: dict[str, float] = {"max_frame_bytes": 1024}
    found = by_id(run(limits, limits, all_cases("frame-beyond-the-limit")))
    assert found["frame-beyond-the-limit"].verdict is Verdict.PASS


RAW = ("binary-message", "invalid-utf8", "fragments-are-joined")


def test_what_is_sent_raw_keeps_the_limits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, bool]] = []
    monkeypatch.setattr(Restraint, "text", lambda _, size: asked.append((size, False)))
    turns: list[object] = []
    reserve = BurstPace.reserve
    monkeypatch.setattr(BurstPace, "reserve", lambda pace: turns.append(pace) or reserve(pace))
    run({}, {"burst": 100, "frames_per_second": 100}, all_cases(*RAW))
    beats = sum(size == len(b'{"type":"heartbeat"}') for size, _ in asked)
    assert len(asked) - beats >= 5, "a binary message, a text, fragments twice, and a whole frame before them"
    assert turns


def test_one_connection_of_a_user_is_enough_to_judge_that_limit_by() -> None:
    limits: dict[str, float] = {"connections_per_user": 1}
    found = by_id(run(limits, limits, all_cases("connections-of-a-user", "connections-of-others")))
    bad = [each.findings for each in found.values() if each.verdict is not Verdict.PASS]
    assert not bad


def test_frames_keep_below_the_rate_and_their_order() -> None:
    async def main() -> tuple[list[float], float]:
        waited: list[float] = []
        pace = BurstPace(100, 10, waited.append)
        turns = [pace.reserve() for _ in range(20)]
        assert turns == sorted(turns)
        assert pace.lag == pytest.approx(turns[-1], abs=0.05)
        return turns, sum(waited)

    turns, waited = asyncio.run(main())
    assert turns[:7] == [0.0] * 7
    assert turns[-1] == pytest.approx(13 / 80, abs=0.02)
    assert waited == pytest.approx(turns[-1], abs=0.02)


def test_what_a_case_has_found_stays_though_it_cannot_go_on() -> None:
    case = next(iter(all_cases("message-life")))
    limits: dict[str, float] = {"connections_per_user": 1}

    async def breaks(context: Any) -> None:
        context.fail(("MSG-12",), "wrong")
        for device in context.user("alice", ("phone", "laptop")).devices.values():
            await device.connect()

    found = run(limits, limits, (replace(case, run=breaks, scenario=None),)).cases[0]
    assert found.verdict is Verdict.FAIL


def test_a_scenario_whose_users_need_more_connections_connects_nobody() -> None:
    server, limits = minimal(limits={"connections_per_user": 1}), {"connections_per_user": 1}

    async def go() -> RunResult:
        async with server.running() as url:
            cases = all_cases("message-life", "error-to-nobody-else", "device-primary-was-away")
            return await judge(make_target(url, limits=limits, timing=PATIENT), cases)

    found = by_id(asyncio.run(go()))
    for name in ("message-life", "error-to-nobody-else"):
        assert "limits.connections_per_user: 1" in found[name].reason
        assert not found[name].transcript


def test_connections_that_follow_each_other_are_one() -> None:
    scenarios = {case.id: case.scenario for case in all_cases("area:*") if case.scenario is not None}
    assert connections_of_a_user(scenarios["message-life"]) == 2
    assert connections_of_a_user(scenarios["redelivery-until-acknowledged"]) == 1
    assert connections_of_a_user(scenarios["device-primary-was-away"]) == 2


def restrained(most: int) -> Restraint:
    target = make_target("ws://127.0.0.1:9/ws", limits={"waiting_per_user": most})
    return Restraint(target, all_cases("message-life")[0])


def sent(name: str, **whom: str) -> dict[str, Any]:
    return {"type": "send", "message_id": name, "payload": whom}


def nobody(_: str) -> tuple[str, ...]:
    return ()


def test_a_message_to_a_group_may_wait_for_everybody() -> None:
    restraint = restrained(3)
    for name, whom in (("1", {"receiver_id": "bob"}), ("2", {"group_id": "g"}), ("3", {"group_id": "g"})):
        restraint.frame(sent(name, **whom), "alice", nobody)
    with pytest.raises(UntestableError, match="waiting_per_user: 3"):
        restraint.frame(sent("4", receiver_id="bob"), "alice", nobody)


@pytest.mark.parametrize("devices", [(), ("phone",)], ids=["of another case", "of this one"])
def test_what_is_acknowledged_waits_no_longer(devices: tuple[str, ...]) -> None:
    restraint = restrained(1)
    restraint.frame(sent("A1", receiver_id="bob"), "alice", lambda _: devices)
    restraint.frame({"type": "delivery_ack", "message_id": "a1"}, "phone", lambda _: devices)
    restraint.frame(sent("2", receiver_id="bob"), "alice", lambda _: devices)


def test_what_one_device_acknowledged_waits_for_the_other() -> None:
    restraint = restrained(1)
    restraint.frame(sent("1", receiver_id="bob"), "alice", lambda _: ("phone", "laptop"))
    restraint.frame({"type": "read_receipt", "payload": {"message_ids": ["1"]}}, "phone", nobody)
    with pytest.raises(UntestableError):
        restraint.frame(sent("2", receiver_id="bob"), "alice", lambda _: ("phone", "laptop"))
