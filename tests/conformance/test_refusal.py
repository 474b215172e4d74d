"""Refusals and their forms: a connection that is merely cut is none, and no sign that the target has died."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fixtures import fakes
from support.suite import QUICK, all_cases, judge, make_target, scenario_cases
from websockets.asyncio.server import ServerConnection

from relaykit.conformance.context import CaseStop, Context, present
from relaykit.conformance.refusal import tried
from relaykit.conformance.results import RunResult, Verdict
from relaykit.conformance.run import Settings, environment
from relaykit.schemas import load_catalogue

COMES_BACK = """\
- id: under-test
  title: A device that must not come back
  area: authentication
  catches: Nothing at all, it is for a test.
  actors: {alice: {}}
  steps:
    - drop: {as: alice}
    - connect: {as: alice, refused: true, req: AUTH-01}
"""


async def against(fault: str, *cases: str) -> RunResult:
    async with fakes.minimal(*fault.split()).running() as url:
        return await judge(make_target(url, timing=QUICK), all_cases(*cases))


def broken(result: RunResult) -> dict[str, str]:
    return {row.id: row.verdict for row in result.requirements if row.verdict in ("fail", "warn")}


@pytest.mark.parametrize("fault", ["cut", "cut-open"])
@pytest.mark.parametrize(
    ("case", "unproven"),
    [
        ("refusal-form", "CONN-10"),
        ("token-malformed-claims", "AUTH-10"),
        ("token-in-other-places", "AUTH-01"),
    ],
)
def test_a_connection_that_is_merely_cut_is_no_refusal(fault: str, case: str, unproven: str) -> None:
    result = asyncio.run(against(fault, case))
    assert broken(result) == {"CONN-19": "fail"}
    assert "as if the server had fallen over it" in result.cases[0].findings[0].message
    (row,) = (row for row in result.requirements if row.id == unproven)
    assert row.verdict == "untested"


def test_a_server_that_cuts_whoever_brings_no_token_is_not_taken_for_dead() -> None:
    result = asyncio.run(against("cut no-ack", "refusal-form", "message-life", "token-absent"))
    said = [finding.message for case in result.cases for finding in case.findings]
    assert said and not [message for message in said if "answers no handshake" in message]


@pytest.mark.parametrize(
    ("code", "verdict", "requirement"),
    [(None, Verdict.FAIL, "CONN-19"), (1008, Verdict.WARN, "AUTH-01")],
    ids=["cut", "bare close"],
)
def test_a_device_that_must_not_come_back(
    tmp_path: Path, code: int | None, verdict: Verdict, requirement: str
) -> None:
    path, obedient, seen = tmp_path / "s.yaml", fakes.Obedient(), set[str]()
    path.write_text(COMES_BACK)

    async def once(socket: ServerConnection) -> None:
        assert socket.request is not None
        shown = socket.request.headers.get("Authorization", "")
        if shown not in seen:
            seen.add(shown)
            await obedient.handle(socket)
        elif code is None:
            socket.transport.abort()
        else:
            await socket.close(code)

    async def main() -> RunResult:
        async with fakes.sockets(once) as url:
            return await judge(make_target(url, timing=QUICK), scenario_cases(path))

    result = asyncio.run(main())
    assert result.cases[0].verdict is verdict
    assert [finding.requirement for finding in result.cases[0].findings] == [requirement]


def test_a_target_that_cannot_be_reached_is_said_and_ends_the_case() -> None:
    async def main() -> None:
        env = environment(make_target("ws://127.0.0.1:9/ws", timing=QUICK), load_catalogue(), Settings())
        context = Context(env, all_cases("refusal-form")[0])
        with pytest.raises(CaseStop):
            await tried(context, present(env, None, "header"), "alice", req=("CONN-07",))
        (outcome,) = context.outcomes
        assert (outcome.ok, outcome.requirements, outcome.blame) == (False, ("CONN-07",), "environment")
        await env.close()

    asyncio.run(main())
