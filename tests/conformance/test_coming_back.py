"""Steps about connections that overlap, that last a moment, and that a restart of the target ends."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path

import pytest
from fixtures import fakes
from support.suite import QUICK, by_id, judge, make_target, scenario_cases

from relaykit.conformance.cases import from_scenario
from relaykit.conformance.explain import sequence
from relaykit.conformance.launch import free_port, launched
from relaykit.conformance.loader import load_files
from relaykit.conformance.results import CaseResult, Verdict
from relaykit.errors import UsageError
from relaykit.schemas import load_catalogue

PROCESS = Path(__file__).parents[1] / "fixtures" / "fake_process.py"
HEAD = """\
- id: under-test
  title: A scenario that a test runs
  area: messages
  catches: Nothing at all, it is for a test.
  actors: {alice: {}, bob: {devices: [phone, laptop], connect: [phone]}}
  vars: {m: uuid, c: base64}
  steps:
"""
SEND = (
    'send: {as: alice, frame: {type: send, message_id: "${m}", '
    'payload: {receiver_id: "${bob.id}", ciphertext: "${c}", message_type: text}}}'
)
ACK = 'expect: {as: alice, frame: {type: sent_ack, message_id: "${m}"}}'
GETS = 'expect: {as: bob.phone, frame: {type: deliver, message_id: "${m}"}, req: MSG-15}'


def scenario(folder: Path, *steps: str) -> Path:
    path = folder / "s.yaml"
    path.write_text(HEAD + "".join(f"    - {step}\n" for step in steps))
    return path


def played(path: Path, server: fakes.Minimal) -> CaseResult:
    async def main() -> CaseResult:
        async with server.running() as url:
            return by_id(await judge(make_target(url, timing=QUICK), scenario_cases(path)))["under-test"]

    return asyncio.run(main())


def test_a_connection_that_overlaps_keeps_what_came_on_the_older_one(tmp_path: Path) -> None:
    again = "connect: {as: bob.phone, overlap: true, req: CONN-14}"
    got = played(scenario(tmp_path, SEND, ACK, again, GETS, GETS), fakes.minimal())
    assert got.verdict is Verdict.PASS, got.findings  # once on the older connection, once on the newer
    lost = played(scenario(tmp_path, SEND, ACK, again, GETS, GETS, GETS), fakes.minimal())
    assert lost.verdict is Verdict.FAIL


class Denies(fakes.Minimal):
    """Tells a user's second device something, and closes."""

    async def session(self, peer: fakes.Peer) -> None:
        if self.devices.get(peer.user, [peer.device]) == [peer.device]:
            await super().session(peer)
        else:
            await self.error(peer.socket, "auth_failed")
            await peer.socket.close(1008)


def test_a_brief_connection_may_end_as_soon_as_it_was_told_something(tmp_path: Path) -> None:
    rest = [
        "expect: {as: bob.laptop, frame: {type: error, payload: {error_code: auth_failed}}, req: MSG-15}",
        "expect_close: {as: bob.laptop, req: MSG-15}",
    ]
    got = played(scenario(tmp_path, "connect: {as: bob.laptop, brief: true, req: MSG-15}", *rest), Denies())
    assert got.verdict is Verdict.PASS, got.findings
    got = played(scenario(tmp_path, "connect: {as: bob.laptop}", *rest), Denies())
    assert got.verdict is Verdict.FAIL


def test_a_none_step_is_about_open_connections_where_it_says_so(tmp_path: Path) -> None:
    class HangsUp(fakes.Minimal):
        async def frame(self, peer: fakes.Peer, data: str | bytes) -> None:
            await super().frame(peer, data)
            if '"send"' in str(data):
                await peer.socket.close(1011)

    for more, broken in ((", open: true", "MSG-15"), ("", None)):
        none = f"none: {{actors: [alice], allow: [sent_ack], req: MSG-15{more}}}"
        got = played(scenario(tmp_path, SEND, none), HangsUp())
        assert [finding.requirement for finding in got.findings] == [broken]
        assert played(scenario(tmp_path, SEND, none), fakes.minimal()).verdict is Verdict.PASS


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_restart_ends_all_connections_and_what_was_in_memory(tmp_path: Path, how: str) -> None:
    rest = [f"restart: {how}", "connect: {as: bob.phone}", GETS]
    path = scenario(tmp_path, "drop: {as: bob.phone}", SEND, ACK, *rest)

    async def main() -> CaseResult:
        url = f"ws://127.0.0.1:{free_port()}/ws"
        words = f"{shlex.quote(sys.executable)} {shlex.quote(str(PROCESS))} {url.split(':')[2].split('/')[0]}"
        async with launched(words, url, environment={"RELAYKIT_SECRET": fakes.SECRET}, seconds=30):
            return by_id(await judge(make_target(url, timing=QUICK), scenario_cases(path)))["under-test"]

    result = asyncio.run(main())
    assert [finding.requirement for finding in result.findings] == ["MSG-15"], result.findings
    assert any(entry.event and "a new start" in str(entry.event) for entry in result.transcript)


def test_a_target_that_was_not_launched_is_not_restarted(tmp_path: Path) -> None:
    path = scenario(tmp_path, SEND, ACK, "restart: kill", "connect: {as: bob.phone}", GETS)
    result = played(path, fakes.minimal())
    assert result.verdict is Verdict.UNTESTABLE
    assert "--launch" in result.reason
    assert result.transcript == ()


def test_who_restarts_the_target_runs_alone_and_nowhere_else_without_leave(tmp_path: Path) -> None:
    path = scenario(tmp_path, SEND, "restart: stop", "connect: {as: bob.*}", GETS)
    (made,) = load_files(load_catalogue(), [path])
    case = from_scenario(load_catalogue(), made)
    assert case.exclusive
    assert case.destructive
    assert any("stopped and started again" in line for line in sequence(made))


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (["restart: kill", GETS], "bob.phone is not connected at this point"),
        (["restart: gently", GETS], "kill"),
        (["connect: {as: bob.laptop, overlap: true}", GETS], "bob.laptop is not connected at this point"),
        (["connect: {as: bob.phone, overlap: true, refused: true}", GETS], "connect"),
        (["connect: {as: bob.phone, overlap: true, brief: true}", GETS], "connect"),
    ],
)
def test_what_cannot_be_is_said_with_its_line(tmp_path: Path, steps: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        load_files(load_catalogue(), [scenario(tmp_path, *steps)])
    assert "s.yaml:8" in str(caught.value) or "s.yaml:9" in str(caught.value)
