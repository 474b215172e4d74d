"""Whether verdicts hold: failures run again, repetition; an end after so many failures, pauses, leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from fixtures import fakes
from support.suite import QUICK, all_cases, as_report, by_id, judge, make_target

from relaykit.conformance.applicable import on_loopback
from relaykit.conformance.reports.text import steadiness, steadiness_text
from relaykit.conformance.results import Case, CaseResult, RunResult, Stability, Verdict


def judged(cases: tuple[Case, ...], *faults: str, **settings: object) -> RunResult:
    async def main() -> RunResult:
        async with fakes.minimal(*faults).running() as url:
            return await judge(make_target(url, timing=QUICK), cases, **{"retries": 3, **settings})

    return asyncio.run(main())


def failing(plan: str) -> tuple[tuple[Case, ...], list[str]]:
    """A case that fails (`f`) or passes (`p`) in its runs, as planned; and what its runs' users were."""
    (case,) = all_cases("heartbeat-is-answered")
    left, users = list(plan), []

    async def run(context: object) -> None:
        users.append(context.device("alice").id)
        if left.pop(0) == "f":
            context.fail((), "it is its turn", actual="nothing")

    return (replace(case, run=run),), users


def test_a_failure_runs_again_alone_with_fresh_users() -> None:
    for plan, said in (
        ("ffff", "deterministic"),
        ("fppp", "flaky 0/3"),
        ("ffpp", "flaky 1/3"),
        ("fpff", "flaky 2/3"),
    ):
        cases, users = failing(plan)
        result = by_id(judged(cases))["heartbeat-is-answered"]
        assert result.verdict is Verdict.FAIL, plan  # a flake stays a failure
        assert str(result.stability) == said
        assert len(set(users)) == 4


def test_what_passes_or_is_expected_to_fail_is_not_run_again() -> None:
    cases, users = failing("p")
    assert by_id(judged(cases))["heartbeat-is-answered"].stability is None
    assert len(users) == 1

    async def main() -> RunResult:
        expected = [{"case": "heartbeat-is-answered", "reason": "we know"}]
        async with fakes.minimal().running() as url:
            return await judge(make_target(url, expected_failures=expected), cases, retries=3)

    cases, users = failing("f")
    assert by_id(asyncio.run(main()))["heartbeat-is-answered"].expected_failure == "we know"
    assert len(users) == 1


def several(count: int, *, slow: bool = False, exclusive: bool = False) -> tuple[Case, ...]:
    """Cases that always fail, and take a moment for it."""
    (case,) = all_cases("heartbeat-is-answered")

    async def fail(context: object) -> None:
        await context.wait(asyncio.get_running_loop().time() + 0.05)
        context.fail((), "always", actual="nothing")

    name = "slow" if slow else "alone" if exclusive else "quick"
    return tuple(
        replace(case, id=f"{name}-{number}", run=fail, slow=slow, exclusive=exclusive)
        for number in range(count)
    )


def test_every_failure_runs_again_though_there_is_no_time_to_run_each_alone() -> None:
    cases = (*several(12), *several(2, exclusive=True), *several(2, slow=True))
    result = judged(cases, retry_s=0.01)
    found = by_id(result)
    runs = [found[case.id].stability for case in cases if not case.slow]
    assert all(each is not None and not each.flaky for each in runs)
    assert {each.alone for each in runs if each is not None} == {True, False}
    assert {each.runs for each in runs if each is not None and not each.alone} == {2}
    for number in range(2):
        alone, slow = found[f"alone-{number}"].stability, found[f"slow-{number}"]
        assert alone is not None
        assert alone.alone, "what must run alone does"
        assert slow.stability is None
        assert "--retry-time 0" in slow.not_run_again
    assert any("2 of 16 failures were not run again: slow" in note for note in result.notes)
    data = as_report(result, make_target("ws://127.0.0.1:1/ws"))
    case = next(case for case in data["cases"] if case["id"] == "slow-0")
    assert steadiness(case) == "not run again"
    assert steadiness_text(case).startswith("slow, and the 0.01 s for running failures again were over")


def test_many_that_pass_alone_are_said_to_have_one_reason_first() -> None:
    (case,) = all_cases("heartbeat-is-answered")
    seen: set[str] = set()

    def once(name: str) -> Case:
        async def run(context: object) -> None:
            if name not in seen:
                seen.add(name)
                context.fail((), "it stood still", actual="nothing")

        return replace(case, id=name, run=run)

    result = judged(tuple(once(f"now-and-then-{number}") for number in range(5)))
    assert "5 cases failed at first, and none of them when it ran again, alone" in result.hints[0]
    assert "now-and-then-0" in result.hints[0]
    assert "--timeout-factor" in result.hints[0]
    seen.clear()
    assert not judged(tuple(once(f"now-and-then-{number}") for number in range(2))).hints


def test_without_a_bound_each_failure_runs_alone_as_often_as_asked() -> None:
    cases = (*several(6), *several(1, slow=True))
    found = by_id(judged(cases, retry_s=0, retries=2))
    assert {found[case.id].stability for case in cases} == {Stability(2, 2, alone=True)}


def test_retries_can_be_left_out() -> None:
    cases, users = failing("f")
    assert by_id(judged(cases, retries=0))["heartbeat-is-answered"].stability is None
    assert len(users) == 1


def test_an_unsteady_server_is_told_from_a_wrong_one() -> None:
    cases = all_cases("message-life")
    steady = by_id(judged(cases, "no-ack"))["message-life"]
    unsteady = by_id(judged(cases, "forgets-ack-1"))["message-life"]
    assert str(steady.stability) == "deterministic"
    assert str(unsteady.stability) == "flaky 0/3"
    assert steady.verdict is unsteady.verdict is Verdict.FAIL


def test_repeated_cases_whose_verdicts_differ_are_flaky() -> None:
    cases, users = failing("ppfpp")
    result = by_id(judged(cases, repeat=5))["heartbeat-is-answered"]
    assert result.verdict is Verdict.FAIL
    assert result.stability == Stability(5, 1, alone=False)
    assert len(users) == len(set(users)) == 5
    cases, _ = failing("ppp")
    assert str(by_id(judged(cases, repeat=3))["heartbeat-is-answered"].stability) == "deterministic"


def test_no_case_is_begun_after_so_many_failures() -> None:
    cases = all_cases("area:messages")
    result = judged(cases, "no-ack", max_fail=2, jobs=1, retries=0)
    mine = [r for r in result.cases if r.case.kind != "shape"]
    assert sum(r.verdict is Verdict.FAIL for r in mine) == 2
    assert len(mine) == len(cases)
    left = [r for r in mine if r.verdict is Verdict.UNTESTABLE and "--max-fail" in r.reason]
    assert left
    assert any("--max-fail" in note for note in result.notes)


def test_a_pause_finds_the_connections_open() -> None:
    server = fakes.minimal("no-ack")
    open_then: list[int] = []

    async def pause(result: CaseResult) -> None:
        assert result.transcript
        open_then.append(len(server.peers))

    async def main() -> None:
        async with server.running() as url:
            cases = all_cases("message-life")
            await judge(make_target(url, timing=QUICK), cases, pause=pause, jobs=1, retries=3)

    asyncio.run(main())
    assert len(open_then) == 1  # and it is not run again, for nobody wants to wait twice
    assert open_then[0] >= 2


def test_destructive_cases_need_leave_on_other_machines(monkeypatch: object) -> None:
    from relaykit.conformance import run

    def elsewhere(_: str) -> bool:
        return False

    set_: Callable[..., None] = monkeypatch.setattr
    set_(run, "on_loopback", elsewhere)
    (case,) = all_cases("heartbeat-is-answered")
    cases = (replace(case, destructive=True),)
    found = by_id(judged(cases))["heartbeat-is-answered"]
    assert found.verdict is Verdict.UNTESTABLE
    assert "--allow-destructive" in found.reason
    assert by_id(judged(cases, destructive=True))["heartbeat-is-answered"].verdict is Verdict.PASS


def test_what_is_on_this_machine() -> None:
    assert all(on_loopback(f"ws://{host}:1/ws") for host in ("127.0.0.1", "127.9.9.9", "[::1]", "localhost"))
    assert not any(on_loopback(f"wss://{host}/ws") for host in ("example.org", "10.0.0.1", "[2001:db8::1]"))


def test_some_cases_are_marked_as_destructive() -> None:
    marked = {case.id for case in all_cases() if case.destructive}
    assert {"rate-beyond-the-limit", "deflate-bomb", "survives-sigkill", "server-fault"} <= marked
