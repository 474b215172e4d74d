"""Where sessions run: what becomes of a launched target that does not go on."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.sessions import everybody

from relaykit.conformance.aiming import aim
from relaykit.conformance.launch import ports_for
from relaykit.conformance.sessions.crowding import see_limit
from relaykit.conformance.sessions.lab import Lab
from relaykit.conformance.sessions.problems import LimitMet
from relaykit.conformance.sessions.state import Step
from relaykit.conformance.setup import Given
from relaykit.schemas import load_catalogue

PROCESS = shlex.join([sys.executable, str(Path(__file__).parents[2] / "fixtures" / "fake_process.py")])
TARGET = """
tokens: {mint: {secret: {env: RELAYKIT_SECRET}}}
capabilities: {calls: false, media_keys: false, presence: false, sync: false, legacy_frames: false}
timing: {reply_ms: 700, connect_ms: 2000}
"""


REFERENCE = f"{sys.executable} -m relaykit.reference_server.defects none --port {{port}} --store :memory:"


def laboratory(folder: Path, fault: str, more: str = "", launch: str = "") -> Lab:
    file = folder / "target.yaml"
    file.write_text(TARGET + more)
    launch = launch or f"{PROCESS} {{port}} {fault}"
    catalogue = load_catalogue()
    return Lab(aim(catalogue, Given(file, None, None, launch, (), ports_for(launch))), catalogue)


def test_a_message_behind_a_flood_may_be_taken_late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it waited, the connection was permitted one more frame: then it has all its effect."""
    monkeypatch.setenv("RELAYKIT_SECRET", "the signing key of the tests, long enough")
    flood = Step("flood", "alice.phone", {"to": "bob", "m": 1, "c": 1, "count": 9})
    limits = "limits: {frames_per_second: 2, burst: 5}\n"
    with laboratory(tmp_path, "slow-behind-pongs", limits) as lab:
        for more in ((), (Step("heartbeat", "bob.phone"),)):
            played = lab.play((Step("connect", "alice.phone"), Step("connect", "bob.phone"), flood, *more))
            assert played.problem is None, played
            taken = [done.branch.name for done in played.log if done.step is flood]
            assert taken == ["limited_before"]


def test_connections_that_nobody_stated_are_learnt_and_no_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAYKIT_SECRET", "the signing key of the tests, long enough")
    program = tuple(Step("connect", f"alice.{device}") for device in ("phone", "laptop"))
    launch = f"{REFERENCE} --limits connections_per_user=1"
    with laboratory(tmp_path, "", launch=launch) as lab:
        first, second = lab.play(program), lab.play(program)
        assert (first.problem, "state its limits.connections_per_user" in first.over) == (None, True), first
        assert (second.problem, second.over, second.skipped) == (None, "", 1), "it is not tried again"
    with laboratory(tmp_path, "", "limits: {connections_per_user: 4}", launch) as lab:
        refused = lab.play(program).problem
        assert refused is not None
        assert refused.kind == "refused", "it permits fewer than its file states"


def test_a_message_may_be_refused_where_as_many_wait_as_is_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAYKIT_SECRET", "the signing key of the tests, long enough")
    everybody_here = (Step("connect", "alice.phone"), Step("connect", "bob.phone"))
    first, second = (Step("send", "alice.phone", {"to": "bob", "m": n, "c": n}) for n in (1, 2))
    burst = Step("burst", "alice.phone", {"to": "bob", "ms": (3, 4, 5)})
    program = (*everybody_here, first, second, Step("ack", "bob.phone", {"m": 1}), burst)
    launch = f"{REFERENCE} --limits waiting_per_user=1"
    for stated, taken in (
        ("", "full"),
        ("limits: {waiting_per_user: 1}", "full"),
        ("limits: {waiting_per_user: 2}", ""),
    ):
        with laboratory(tmp_path, "", stated, launch) as lab:
            played = lab.play(program)
            assert (played.problem is None) == bool(taken), played
            branches = {str(done.step): done.branch.name for done in played.log}
            assert branches.get(str(second)) == branches.get(str(burst)) == (taken or None)


def test_a_connection_is_refused_for_a_limit_only_beside_another_one() -> None:
    full: Any = {"type": "error", "payload": {"error_code": "rate_limited"}}
    silent: Any = SimpleNamespace(stated=frozenset())
    alone = everybody("alice.phone", "alice.laptop")
    for said in ("HTTP 429 Too Many Requests", full):
        see_limit(silent, alone, "alice.phone", said, cut=False)
        for cut, state, most in ((True, alone, 1), (False, everybody(), 2)):
            with pytest.raises(LimitMet) as met:
                see_limit(silent, state, "alice.phone", said, cut=cut)
            assert met.value.connections == most
    see_limit(silent, everybody(), "alice.phone", "HTTP 403 Forbidden", cut=False)


def test_a_target_that_hangs_is_killed_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAYKIT_SECRET", "the signing key of the tests, long enough")
    program = (
        Step("connect", "alice.phone"),
        Step("connect", "bob.phone"),
        Step("send", "alice.phone", {"to": "bob", "m": 1, "c": 1}),
    )
    with laboratory(tmp_path, "freezes") as lab:
        for _ in range(2):
            played = lab.play(program)
            assert played.program == program, "it serves those who connect"
            assert played.problem is not None
            assert played.problem.kind == "hang"
            assert "answers no handshake any more" in played.problem.message
            assert played.problem.died, "whatever it breaks, it is the same the next time"
            assert lab.hangs
