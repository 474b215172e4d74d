"""The runner against small servers: a right one passes, a fault fails, hopeless ones end in bounded time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from fixtures import fakes
from support.suite import HASTY, QUICK, all_cases, by_id, judge, make_target, scenario_cases

from relaykit.conformance import wire
from relaykit.conformance.results import Verdict

CORE = ("message-life", "stranger-hears-nothing", "redelivery-until-acknowledged", "ack-by-a-stranger")


def test_a_right_server_passes() -> None:
    async def main() -> None:
        async with fakes.minimal().running() as url:
            cases = all_cases(
                *CORE, "carrier-*", "token-*", "refusal-form", "refuses-bad-send", "heartbeat-*"
            )
            result = await judge(make_target(url), cases)
        bad = {r.case.id: r.findings or r.reason for r in result.cases if r.verdict is not Verdict.PASS}
        # The fake reads a claim that stands twice as most libraries do, holds no public key, and has no clock
        # that could be moved.
        assert set(bad) <= {"token-claim-twice", "token-key-confusion", "token-expires-in-session"}, bad
        assert by_id(result)["token-claim-twice"].verdict is Verdict.WARN

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fault", "case", "requirement"),
    [
        ("no-ack", "message-life", "MSG-12"),
        ("leak", "message-life", "PRIV-01"),
        ("late-leak", "message-life", "PRIV-01"),
        ("twice", "message-life", "MSG-20"),
        ("believes-sender", "acts-as-its-own-user", "AUTH-17"),
        ("ack-by-anyone", "ack-by-a-stranger", None),
        ("no-verification", "token-signature", "AUTH-03"),
        ("no-verification", "token-unsigned", "AUTH-05"),
        ("echoes-token", "carrier-header", "CONN-06"),
        ("selects-nothing", "carrier-subprotocol", "CONN-05"),
        ("server-error", "refusal-form", "CONN-08"),
        ("error-open", "refusal-form", "CONN-09"),
        ("closes-on-bad", "refuses-bad-send", None),
        ("silent-on-bad", "refuses-bad-send", None),
        ("forwards-bad", "refuses-bad-send", None),
        ("offset-time", "shape-sent-ack", "VAL-26"),
        ("no-timestamp", "shape-sent-ack", "MSG-06"),
        ("array", "shape-messages", "ENV-03"),
        ("binary", "shape-messages", "ENV-01"),
    ],
)
def test_a_fault_is_found(fault: str, case: str, requirement: str | None) -> None:
    async def main() -> None:
        wanted = "message-life" if case.startswith("shape-") else case
        async with fakes.minimal(fault).running() as url:
            result = await judge(make_target(url, timing={**QUICK, "quiet_ms": 150}), all_cases(wanted))
        found = by_id(result)[case]
        assert found.verdict is Verdict.FAIL, found
        if requirement is not None:
            assert requirement in {finding.requirement for finding in found.findings}

    asyncio.run(main())


def test_warnings_for_what_only_should_be() -> None:
    async def main() -> None:
        for fault, case in (("bare-close", "refusal-form"), ("extra-field", "shape-sent-ack")):
            async with fakes.minimal(fault).running() as url:
                result = await judge(
                    make_target(url, timing=QUICK), all_cases("refusal-form", "message-life")
                )
            assert by_id(result)[case].verdict is Verdict.WARN, case
            assert by_id(result)["message-life"].verdict is Verdict.PASS

    asyncio.run(main())


def test_a_misshapen_frame_is_reported_once_and_hides_nothing() -> None:
    async def main() -> None:
        async with fakes.minimal("offset-time").running() as url:
            result = await judge(make_target(url), all_cases(*CORE))
        cases = by_id(result)
        assert all(cases[name].verdict is Verdict.PASS for name in CORE)
        (finding,) = cases["shape-deliver"].findings
        assert finding.requirement == "VAL-26"
        assert "times" in finding.message
        table = {row.id: row.verdict for row in result.requirements}
        assert table["VAL-26"] == "fail"

    asyncio.run(main())


def test_a_slow_server_passes() -> None:
    async def main() -> None:
        async with fakes.minimal("slow").running() as url:
            result = await judge(make_target(url), all_cases("message-life"))
        assert by_id(result)["message-life"].verdict is Verdict.PASS

    asyncio.run(main())


def test_a_server_that_registers_connections_late_is_waited_for() -> None:
    async def main() -> None:
        async with fakes.minimal("registers-late").running() as url:
            result = await judge(make_target(url), all_cases("message-life"))
        assert by_id(result)["message-life"].verdict is Verdict.PASS

    asyncio.run(main())


def test_without_heartbeats_absence_is_judged_by_waiting() -> None:
    async def main() -> None:
        async with fakes.minimal("no-heartbeat", "leak").running() as url:
            result = await judge(
                make_target(url, timing=QUICK), all_cases("message-life", "heartbeat-is-answered")
            )
        assert any("heartbeat" in note for note in result.notes)
        cases = by_id(result)
        assert "PRIV-01" in {finding.requirement for finding in cases["message-life"].findings}
        assert cases["heartbeat-is-answered"].verdict is Verdict.FAIL

    asyncio.run(main())


@pytest.mark.parametrize(
    "handle", [fakes.opens_and_is_silent, fakes.babbles, fakes.breaks_websocket], ids=lambda f: f.__name__
)
def test_a_hopeless_server_gets_verdicts_in_bounded_time(
    handle: Callable[[fakes.ServerConnection], object],
) -> None:
    async def main() -> None:
        started = time.monotonic()
        async with fakes.sockets(handle) as url:
            cases = all_cases()
            result = await judge(make_target(url, timing=HASTY), cases)
        assert len([r for r in result.cases if r.case.kind != "shape"]) == len(cases)
        assert result.count(Verdict.ERROR) == 0, [
            r.findings for r in result.cases if r.verdict is Verdict.ERROR
        ]
        # No case passes for want of evidence. What only SHOULD be answered, and was not, is a warning.
        assert not [r.case.id for r in result.cases if r.verdict is Verdict.PASS and r.case.kind != "shape"]
        assert any(r.verdict is Verdict.FAIL for r in result.cases)
        # Cases wait side by side: all of them take hardly longer than the slowest.
        assert time.monotonic() - started < 60

    asyncio.run(main())


@pytest.mark.parametrize(("bound", "value"), [("_FLOOD", 500), ("_FLOOD_BYTES", 20_000)])
def test_a_server_that_floods_is_cut_off(monkeypatch: pytest.MonkeyPatch, bound: str, value: int) -> None:
    monkeypatch.setattr(wire, bound, value)

    async def main() -> None:
        async with fakes.sockets(fakes.floods) as url:
            result = await judge(make_target(url), all_cases("message-life"))
        assert result.count(Verdict.ERROR) == 0
        found = by_id(result)["message-life"]
        assert found.verdict is Verdict.FAIL
        assert "floods" in found.findings[0].message

    asyncio.run(main())


def test_a_server_that_closes_at_random_gets_verdicts() -> None:
    async def main() -> None:
        async with fakes.minimal("random-close", seed=7).running() as url:
            cases = all_cases()
            result = await judge(make_target(url, timing=HASTY), cases)
        assert result.count(Verdict.ERROR) == 0, [
            r.findings for r in result.cases if r.verdict is Verdict.ERROR
        ]
        failed = [r for r in result.cases if r.verdict is Verdict.FAIL]
        assert failed
        assert any("cut" in finding.message for r in failed for finding in r.findings)

    asyncio.run(main())


def test_a_target_that_goes_away_is_noticed_and_every_case_gets_a_verdict() -> None:
    async def main() -> None:
        server = fakes.minimal()
        context: AbstractAsyncContextManager[str] = server.running()
        url = await context.__aenter__()
        gone = asyncio.Event()
        original = server.send

        async def dying(peer: fakes.Peer, frame: dict[str, object]) -> None:
            await original(peer, frame)
            gone.set()

        server.send = dying
        cases = all_cases("area:messages", "area:offline", "area:validation")
        running = asyncio.ensure_future(judge(make_target(url, timing=QUICK), cases, jobs=2))
        await gone.wait()
        await context.__aexit__(None, None, None)
        result = await running
        ids = {r.case.id for r in result.cases}
        assert {case.id for case in cases} <= ids
        reasons = [r.reason for r in result.cases if r.verdict is Verdict.UNTESTABLE]
        assert any("no longer accepts connections" in reason for reason in reasons)
        assert any("no longer accepts connections" in note for note in result.notes)
        blamed = {f.blame for r in result.cases if r.verdict is Verdict.FAIL for f in r.findings}
        assert "environment" in blamed

    asyncio.run(main())


def test_the_same_seed_makes_the_same_users() -> None:
    async def users(seed: str) -> set[str]:
        server = fakes.minimal()
        async with server.running() as url:
            await judge(make_target(url), all_cases("message-life"), seed=seed)
        return set(server.devices)

    async def main() -> None:
        one, same, other = await users("a"), await users("a"), await users("b")
        assert one == same
        assert not one & other

    asyncio.run(main())


def test_cases_that_must_be_alone_run_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        """
- id: moves-the-clock
  title: A case that moves the clock
  area: keepalive
  catches: Nothing, it is for a test.
  actors: {alice: {}}
  steps:
    - advance: 5
    - send: {as: alice, frame: {type: heartbeat}}
    - expect: {as: alice, frame: {type: heartbeat_ack}, req: KEEP-03}
"""
    )

    async def main() -> None:
        (case,) = scenario_cases(path)
        assert case.exclusive
        async with fakes.minimal().running() as url:
            result = await judge(make_target(url), [case])
        found = by_id(result)["moves-the-clock"]
        assert found.verdict is Verdict.UNTESTABLE
        assert "advance_clock" in found.reason

    asyncio.run(main())


def test_a_defect_of_the_kit_is_an_error_and_ends_nothing_else() -> None:
    from dataclasses import replace

    async def broken(_: object) -> None:
        raise ZeroDivisionError("a bug")

    async def main() -> None:
        cases = all_cases("message-life", "ack-by-a-stranger")
        cases = (replace(cases[0], run=broken), cases[1])
        async with fakes.minimal().running() as url:
            result = await judge(make_target(url), cases)
        found = by_id(result)
        assert found[cases[0].id].verdict is Verdict.ERROR
        assert found[cases[0].id].findings[0].blame == "kit"
        assert found[cases[1].id].verdict is Verdict.PASS

    asyncio.run(main())


def test_a_case_that_does_not_end_is_ended() -> None:
    from dataclasses import replace

    async def endless(_: object) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        (case,) = all_cases("message-life")
        async with fakes.minimal().running() as url:
            target = make_target(url, timing={**QUICK, "case_s": 0.2})
            result = await judge(target, [replace(case, run=endless)])
        found = by_id(result)["message-life"]
        assert found.verdict is Verdict.FAIL
        assert "did not end" in found.findings[0].message

    asyncio.run(main())


def test_pings_that_cross_a_close_are_no_defect() -> None:
    async def pings(socket: fakes.ServerConnection) -> None:
        async for _ in socket:
            await socket.send(f'{{"type":"heartbeat_ack","timestamp":"{fakes.now()}"}}')
            for _ in range(500):
                await socket.send('{"type":"ping"}')

    async def main() -> None:
        caught: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: caught.append(context))
        async with fakes.sockets(pings) as url:
            result = await judge(make_target(url, timing=HASTY), all_cases("close-is-answered"))
        assert not caught, caught
        assert result.count(Verdict.ERROR) == 0

    asyncio.run(main())
