"""A target that dies is noticed, named and started again; the case that did it is found, the others go on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from fixtures import fake_process, fakes
from support.suite import PATIENT, QUICK, all_cases, as_report, make_target, scenario_cases

from relaykit.conformance import api, deaths
from relaykit.conformance.context import Context
from relaykit.conformance.deaths import Deaths, unanswered
from relaykit.conformance.environment import Environment
from relaykit.conformance.gathered import STAYS_UP
from relaykit.conformance.isolating import Isolation
from relaykit.conformance.launch import free_port, launched
from relaykit.conformance.reports.text import rerun
from relaykit.conformance.results import Case, CaseResult, RunResult, Verdict
from relaykit.conformance.run import Settings, environment, run_session
from relaykit.schemas import load_catalogue

KILLING = "derived/unknown-type/envelope/prototype"
HARMLESS = """
- id: harmless-{n}
  title: A heartbeat is answered, whatever others do
  area: keepalive
  catches: Nothing, it is for a test.
  actors: {{alice: {{}}}}
  steps:
    - repeat:
        n: 20
        steps:
          - send: {{as: alice, frame: {{type: heartbeat}}}}
          - expect: {{as: alice, frame: {{type: heartbeat_ack}}, req: KEEP-03}}
"""
DEADLY = """
- id: deadly-{n}
  title: Words that a server has to bear
  area: validation
  catches: Nothing, it is for a test.
  actors: {{alice: {{}}}}
  steps:
    - send: {{as: alice, raw: '"{words}"', invalid: true}}
    - expect: {{as: alice, frame: {{type: error}}, req: VAL-01}}
"""


def cases(tmp_path: Path, *words: str, harmless: int = 6) -> Sequence[Case]:
    path = tmp_path / "s.yaml"
    path.write_text(
        "".join(DEADLY.format(n=n, words=each) for n, each in enumerate(words))
        + "".join(HARMLESS.format(n=n) for n in range(harmless))
    )
    return scenario_cases(path)


async def judged_launched(chosen: Sequence[Case], *, jobs: int | None = None) -> RunResult:
    prepared = api.prepare(launch=f"{sys.executable} {fake_process.__file__} {{port}} dies-of-words")
    assert prepared.launch is not None
    settings = Settings("test", concurrency=jobs, timeout_factor=2)
    return await api.judge(prepared.target, chosen, settings, launch=prepared.launch)


def verdicts(result: RunResult) -> dict[str, Verdict]:
    return {r.case.id: r.verdict for r in result.cases if r.case.kind != "shape"}


def test_the_deadly_case_is_isolated_and_the_others_go_on(tmp_path: Path) -> None:
    chosen = cases(tmp_path, "DIE", "hello")
    result = asyncio.run(judged_launched(chosen))
    seen = verdicts(result)
    assert seen.pop("deadly-0") is Verdict.FAIL
    assert set(seen.values()) == {Verdict.PASS}, seen
    assert set(seen) == {case.id for case in chosen} - {"deadly-0"}
    (deadly,) = (r for r in result.cases if r.case.id == "deadly-0")
    finding = deadly.findings[0]
    assert finding.blame == "target"
    assert "was killed by SIGABRT while this case ran alone" in finding.message
    assert "DIE" in finding.message  # what it was sent
    assert "fatal: a word too much" in finding.actual["its last lines"]
    assert any("deadly-0" in note for note in result.notes)


def test_a_death_a_moment_later_is_found_as_well(tmp_path: Path) -> None:
    result = asyncio.run(judged_launched(cases(tmp_path, "DIE LATER", harmless=4), jobs=2))
    seen = verdicts(result)
    assert seen.pop("deadly-0") is Verdict.FAIL
    assert set(seen.values()) == {Verdict.PASS}, seen


def test_a_case_that_takes_long_to_notice_a_death_hides_no_suspect(tmp_path: Path) -> None:
    hung: list[bool] = []

    async def hang(context: Context) -> None:
        if not hung:
            hung.append(True)
            await asyncio.Event().wait()
        context.prove(("KEEP-03",))

    slow = Case(id="slow", title="", area="keepalive", kind="probe", run=hang)
    prepared = api.prepare(launch=f"{sys.executable} {fake_process.__file__} {{port}} dies-of-words")
    assert prepared.launch is not None
    secret = prepared.launch.environment["RELAYKIT_SECRET"]
    target = make_target(
        prepared.target.url,
        timing={**PATIENT, "reply_ms": 1500, "case_s": 30},
        tokens={"mint": {"secret": {"value": secret}}},
    )
    chosen = [slow, *cases(tmp_path, "DIE LATER", harmless=0)]
    settings = Settings("test", concurrency=2)
    result = asyncio.run(api.judge(target, chosen, settings, launch=prepared.launch))
    assert verdicts(result) == {"slow": Verdict.PASS, "deadly-0": Verdict.FAIL}


def test_a_death_that_no_case_alone_brings_about_is_a_failure_of_its_own(tmp_path: Path) -> None:
    result = asyncio.run(judged_launched(cases(tmp_path, "DIE IN COMPANY")))
    seen = verdicts(result)
    assert seen.pop(STAYS_UP) is Verdict.FAIL
    assert set(seen.values()) == {Verdict.PASS}, seen
    (found,) = (r for r in result.cases if r.case.id == STAYS_UP)
    assert "deadly-0" in found.findings[0].actual["suspects"]
    assert "exit status 5" in found.findings[0].message


def test_a_target_that_hangs_is_as_good_as_dead(tmp_path: Path) -> None:
    async def main() -> RunResult:
        prepared = api.prepare(launch=f"{sys.executable} {fake_process.__file__} {{port}} dies-of-words")
        assert prepared.launch is not None
        timing = {"reply_ms": 2000, "quiet_ms": 60, "connect_ms": 1000, "case_s": 10}
        secret = prepared.launch.environment["RELAYKIT_SECRET"]
        target = make_target(
            prepared.target.url, timing=timing, tokens={"mint": {"secret": {"value": secret}}}
        )
        return await api.judge(target, cases(tmp_path, "HANG"), Settings("test"), launch=prepared.launch)

    result = asyncio.run(main())
    seen = verdicts(result)
    assert seen.pop("deadly-0") is Verdict.FAIL
    assert set(seen.values()) == {Verdict.PASS}, seen


def test_a_target_that_others_start_again_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missed = asyncio.Event()
    returned = deaths.returned

    async def noted(env: Environment) -> bool:
        missed.set()
        return await returned(env)

    monkeypatch.setattr(deaths, "returned", noted)

    async def main() -> RunResult:
        port = free_port()
        command = f"{sys.executable} {fake_process.__file__} {port} dies-of-words"
        url = f"ws://127.0.0.1:{port}/ws"
        environment = {"RELAYKIT_SECRET": fakes.SECRET}
        async with asyncio.TaskGroup() as group:
            up = asyncio.Event()

            async def supervise() -> None:
                while True:
                    async with launched(command, url, environment=environment, seconds=30) as server:
                        up.set()
                        await server.end()
                    await missed.wait()  # started again at once, it would not be missed
                    missed.clear()

            supervisor = group.create_task(supervise())
            await up.wait()

            async def judge() -> RunResult:
                # In a task of its own, to which the server is not one that it launched.
                target = make_target(url, timing={**PATIENT, "reply_ms": 4000})
                return await run_session(target, load_catalogue(), cases(tmp_path, "DIE"), Settings("test"))

            result = await judge()
            supervisor.cancel()
        return result

    result = asyncio.run(main())
    seen = verdicts(result)
    assert seen.pop("deadly-0") is Verdict.FAIL
    assert set(seen.values()) == {Verdict.PASS}, seen
    (found,) = (r for r in result.cases if r.case.id == "deadly-0")
    assert "no longer accepts connections" in found.findings[0].message


def test_a_target_that_dies_all_the_time_is_given_up(tmp_path: Path) -> None:
    chosen = cases(tmp_path, *["DIE"] * 14, harmless=1)
    result = asyncio.run(judged_launched(chosen, jobs=1))
    seen = list(verdicts(result).values())
    assert seen.count(Verdict.FAIL) >= 10
    assert seen.count(Verdict.UNTESTABLE) >= 3
    assert Verdict.PASS not in seen
    assert any("died 21 times" in note for note in result.notes)


def test_the_frame_that_a_derived_case_killed_the_target_with_is_in_its_report() -> None:
    """A derived case tries again with fresh users what has gone wrong: there is nobody to connect to then."""
    chosen = all_cases(KILLING, "derived/heartbeat/envelope/nan", "derived/pong/envelope/nan")
    prepared = api.prepare(launch=f"{sys.executable} {fake_process.__file__} {{port}} dies-of-a-key")
    assert prepared.launch is not None
    result = asyncio.run(api.judge(prepared.target, chosen, Settings("test"), launch=prepared.launch))
    data = as_report(result, prepared.target)
    (deadly,) = (case for case in data["cases"] if case["id"] == KILLING)
    assert deadly["verdict"] == "fail"
    finding = deadly["findings"][0]
    assert "ended with exit status 3 while this case ran alone" in finding["message"]
    assert "__proto__" in finding["message"]
    assert finding["sent"]["frame"]["type"] == "__proto__"
    lines = [line["frame"] for line in deadly["transcript"] if isinstance(line["frame"], dict)]
    assert any(frame.get("type") == "__proto__" for frame in lines)
    assert KILLING in rerun(data, deadly)
    others = [case for case in data["cases"] if case["id"] != KILLING and case["kind"] == "derived"]
    assert {case["verdict"] for case in others} == {"pass"}


@pytest.mark.parametrize("harmless", [0, 12])
def test_a_death_a_second_later_is_noticed_and_nobody_else_blamed(tmp_path: Path, harmless: int) -> None:
    """At the end of a run the target is watched for a while; who ran when it died is tried without others."""
    chosen = cases(tmp_path, "DIE A SECOND LATER", harmless=harmless)
    prepared = api.prepare(launch=f"{sys.executable} {fake_process.__file__} {{port}} dies-of-words")
    assert prepared.launch is not None
    settings = Settings("test", concurrency=2, late_s=2.0)
    result = asyncio.run(api.judge(prepared.target, chosen, settings, launch=prepared.launch))
    seen = verdicts(result)
    assert seen.pop("deadly-0") is Verdict.FAIL
    assert set(seen.values()) <= {Verdict.PASS}, seen
    (found,) = (each for each in result.cases if each.case.id == "deadly-0")
    assert "DIE A SECOND LATER" in found.findings[0].message


def test_who_cuts_whoever_brings_no_token_is_not_dead_and_who_cuts_all_is() -> None:
    async def asked(url: str) -> str | None:
        env = environment(make_target(url, timing=QUICK), load_catalogue(), Settings())
        try:
            return await unanswered(env)
        finally:
            await env.close()

    async def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def main() -> tuple[str | None, str | None]:
        async with (
            fakes.minimal("cut").running() as url,
            await asyncio.start_server(cut, "127.0.0.1") as deaf,
        ):
            port = deaf.sockets[0].getsockname()[1]
            return await asked(url), await asked(f"ws://127.0.0.1:{port}/ws")

    lives, dead = asyncio.run(main())
    assert lives is None
    assert dead is not None
    assert dead.startswith("accepts connections, but answers no handshake")


def test_only_deaths_that_nobody_provoked_count_against_a_target() -> None:
    async def main() -> None:
        async with fakes.minimal().running() as url:
            env = environment(make_target(url, timing=QUICK), load_catalogue(), Settings())
            deaths = Deaths(env)
            for _ in range(30):
                assert await deaths.revive("it died", provoked=True)
            came_back = [await deaths.revive("it died") for _ in range(21)]
            assert came_back == [True] * 20 + [False]
            assert env.gone == "the target died 21 times, and was not started again"
            await env.close()

    asyncio.run(main())


class Mortal(Deaths):
    """A target that dies of certain cases, by and by: after so many others have run, or (0) at once."""

    def __init__(self, deadly: dict[str, int]) -> None:
        self.deadly, self.ran, self.lives = deadly, list[str](), 1

    @property
    def gone(self) -> bool:
        return False

    async def run(self, case: Case) -> CaseResult:
        self.ran.append(case.id)
        return CaseResult(case, Verdict.PASS)

    async def look(self, *, closely: bool = False, patience_s: float = 0.0) -> str | None:
        since = {name: len(self.ran) - 1 - self.ran.index(name) for name in self.ran}
        dead = [name for name, later in self.deadly.items() if name in since]
        return "it died" if any(patience_s or since[name] >= self.deadly[name] for name in dead) else None

    async def revive(self, how: str, *, provoked: bool = False) -> bool:
        self.ran, self.lives = [], self.lives + 1
        return True

    def last_lines(self) -> list[str]:
        return []


@pytest.mark.parametrize(
    "deadly", [{}, {"c0": 0}, {"c7": 0}, {"c7": 5}, {"c99": 3}, {"c3": 40}, {"c3": 20, "c60": 0}]
)
def test_who_kills_a_target_by_and_by_is_found_by_halves(deadly: dict[str, int]) -> None:
    async def never(_: object) -> None:
        raise AssertionError

    every = [Case(id=f"c{n}", title="", area="", kind="scenario", run=never) for n in range(100)]
    target = Mortal(deadly)
    found = asyncio.run(Isolation(target, target.run, 1.0).search(every))
    assert {each.result.case.id for each in found.guilty} == set(deadly)
    assert not found.unexplained
    assert not set(found.harmless) & set(deadly)
    assert target.lives < 25


def test_a_target_that_came_back_has_its_clock_right_again() -> None:
    async def main() -> float:
        async with fakes.minimal().running() as url:
            env = environment(make_target(url), load_catalogue(), Settings())
            env.clock_offset_s = 90.0
            assert await Deaths(env).revive("the target died")
            await env.close()
            return env.clock_offset_s

    assert asyncio.run(main()) == 0.0
