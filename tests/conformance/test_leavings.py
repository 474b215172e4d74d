"""What a run made on a server that runs on: taken back where that can be, said where not, not in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from fixtures import fakes
from support.control import TOKEN, Bench, bench
from support.server import SECRET
from support.suite import PATIENT, all_cases, as_report, every_case, judge, make_target

from relaykit.conformance.cases import select
from relaykit.conformance.control import ControlFailedError, ControlMissingError, ControlRefusedError
from relaykit.conformance.leavings import Leavings, take_back
from relaykit.conformance.preflight import Readiness
from relaykit.conformance.results import Case, RunResult, Verdict
from relaykit.conformance.run import Session, Settings, environment
from relaykit.conformance.target import Target
from relaykit.schemas import load_catalogue

SOMEBODY = "00000000-0000-4000-8000-000000000001"


def target(server: Bench, **more: Any) -> Target:
    protocol = load_catalogue().protocol
    control = {"http": {"url": server.server.server.control_url, "token": {"value": TOKEN}}}
    return make_target(
        server.server.url,
        timing=PATIENT,
        tokens={"mint": {"secret": {"value": SECRET}}},
        control=control,
        capabilities=dict.fromkeys(protocol.capabilities, True),
        limits={name: limit.default for name, limit in protocol.limits.items() if not limit.fixed},
        legacy={"query": "frames=1"},
        **more,
    )


def wrong(result: RunResult) -> dict[str, Any]:
    bad = (Verdict.FAIL, Verdict.ERROR)
    return {c.case.id: [f.message for f in c.findings] for c in result.cases if c.verdict in bad}


def left(server: Bench) -> tuple[int, int]:
    """How many groups and open requests the server knows."""
    read = server.server.app.store.read
    ((groups,),) = read("SELECT count(DISTINCT room) FROM members WHERE room LIKE 'group-%'")
    ((requests,),) = read("SELECT count(*) FROM approvals WHERE state = 'open'")
    return groups, requests


def chosen() -> Sequence[Case]:
    """What a run of the default profile is, but for most of the derived cases."""
    cases = select(load_catalogue(), every_case(), profile="default")
    derived = [case for case in cases if case.kind == "derived"]
    return (*(case for case in cases if case.kind != "derived"), *derived[::20])


def test_two_runs_against_a_server_that_runs_on() -> None:
    async def main() -> None:
        async with bench() as server:
            group = (await server.do("create_group", members=[SOMEBODY]))["group_id"]
            for number in (1, 2):
                result = await judge(target(server), chosen(), seed=f"run {number}")
                assert not wrong(result)
                assert left(server) == (1, 0), "what was there before stays, and nothing else"
                assert server.server.app.people.members(group)
                tidied = result.tidied
                assert tidied is not None
                assert tidied.taken_back["groups"] > 10
                assert tidied.taken_back["open requests"] > 2
                assert set(tidied.left) == {"users"}
                assert tidied.clock_s > 60
                # The second run finds the clock as the first one left it, and says of its own part alone.
                (line,) = (note for note in result.notes if "left behind" in note)
                assert (
                    f"its clock {tidied.clock_s:g} s ahead (no operation puts it back; a new start does)"
                    in line
                )
                data = as_report(result, target(server))["tidied"]
                assert data["clock_s"] == tidied.clock_s

    asyncio.run(main())


@pytest.mark.parametrize(("tidy", "reset"), [("none", False), ("reset", True)])
def test_the_target_file_says_otherwise(tidy: str, reset: bool) -> None:
    async def main() -> tuple[RunResult, tuple[int, int]]:
        async with bench() as server:
            await server.do("create_group", members=[SOMEBODY])
            cases = all_cases("group-message-reaches-members", "device-pending")
            return await judge(target(server, tidy=tidy), cases), left(server)

    result, after = asyncio.run(main())
    assert result.tidied is not None
    assert result.tidied.reset is reset
    if reset:
        assert after == (0, 0), "it is forgotten, too, what others made"
        assert not result.tidied.left
    else:
        assert after[0] > 1
        assert after[1] == 1
        assert any("1 open request" in note for note in result.notes)


class Bad:
    """A control interface that does as told."""

    def __init__(self, answer: Exception | None) -> None:
        self.answer, self.called = answer, list[str]()

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        self.called.append(operation)
        if self.answer is None:
            await asyncio.Event().wait()
        assert self.answer is not None
        raise self.answer

    async def close(self) -> None:
        return


@pytest.mark.parametrize(
    ("answer", "groups", "called", "said"),
    [
        (ControlRefusedError("remove_member: HTTP 404 no such group"), 0, 3, ()),
        # Who is out of order is asked once.
        (ControlFailedError("remove_member: HTTP 500"), 2, 1, ("remove_member: HTTP 500",)),
        (ControlMissingError("not offered"), 2, 2, ()),
        (None, 2, 2, ("tidying took longer than 0.1 s",)),
    ],
)
def test_what_cannot_be_taken_back_is_said(
    answer: Exception | None, groups: int, called: int, said: tuple[str, ...]
) -> None:
    made = Leavings(groups={"group-1": {"a", "b"}, "group-2": {"a"}})

    def offers(name: str) -> bool:
        return name == "remove_member"

    bad = Bad(answer)
    tidied = asyncio.run(take_back(bad, made, "own", offers=offers, clock_s=0.0, seconds=0.1))
    assert len(bad.called) == called
    assert tidied.left.get("groups", 0) == groups
    assert tidied.why == said
    assert (tidied.in_words() is None) == (groups == 0)


def test_a_reset_that_is_not_offered_is_said_and_the_rest_is_tidied() -> None:
    made, bad = Leavings(groups={"group-1": {"a"}}), Bad(ControlMissingError("reset is not offered"))
    tidied = asyncio.run(take_back(bad, made, "reset", offers=lambda _: True, clock_s=0.0, seconds=5.0))
    assert bad.called == ["reset", "remove_member"]
    assert not tidied.reset
    assert "`tidy: reset` was asked for, but reset is not offered" in tidied.why[0]


def test_a_group_of_others_is_nothing_that_the_run_made() -> None:
    made = Leavings()
    for operation in ("add_member", "remove_member"):
        made.note(operation, {"group_id": "group-1", "user_id": "a"}, {"group_id": "group-1", "members": []})
    assert not made.groups


def test_who_joined_and_who_left_is_known_when_a_group_is_taken_back() -> None:
    made, group = Leavings(), {"group_id": "group-1"}
    made.note("create_group", {"members": ["a", "b"]}, group)
    made.note("add_member", {**group, "user_id": "c"}, group)
    made.note("remove_member", {**group, "user_id": "a"}, group)
    assert made.groups == {"group-1": {"b", "c"}}
    made.note("reset", {}, {})
    assert not made.groups


@pytest.mark.parametrize(("count", "called"), [(3, ["inject_fault"]), (0, [])])
def test_writes_that_were_made_to_fail_are_made_to_succeed_again(count: int, called: list[str]) -> None:
    made, bad = Leavings(), Bad(ControlMissingError("not offered"))
    made.note("inject_fault", {"count": count}, {})
    asyncio.run(take_back(bad, made, "own", offers=lambda _: True, clock_s=0.0, seconds=5.0))
    assert bad.called == called


def test_nothing_is_called_where_nothing_was_made() -> None:
    async def main() -> RunResult:
        async with fakes.minimal().running() as url:
            return await judge(make_target(url), all_cases("message-life"))

    result = asyncio.run(main())
    assert result.tidied is not None
    assert not result.tidied.taken_back
    assert result.tidied.in_words() is None


def test_a_clock_that_was_ahead_before_the_run_is_not_of_its_making() -> None:
    async def main() -> float:
        env = environment(make_target("ws://127.0.0.1:9/ws"), load_catalogue(), Settings())
        env.clock_offset_s = 90.0  # as preflight found it
        session = Session(env, Settings(), Readiness("header", True, 1.0, 90.0, ()))
        env.clock_offset_s += 30.0
        await session.tidy()
        await env.close()
        assert session.tidied is not None
        return session.tidied.clock_s

    assert asyncio.run(main()) == 30.0
