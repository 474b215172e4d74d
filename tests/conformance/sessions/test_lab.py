"""Where sessions run: what becomes of a launched target that does not go on."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from relaykit.conformance.aiming import aim
from relaykit.conformance.launch import ports_for
from relaykit.conformance.sessions.lab import Lab
from relaykit.conformance.sessions.state import Step
from relaykit.conformance.setup import Given
from relaykit.schemas import load_catalogue

PROCESS = shlex.join([sys.executable, str(Path(__file__).parents[2] / "fixtures" / "fake_process.py")])
TARGET = """
tokens: {mint: {secret: {env: RELAYKIT_SECRET}}}
capabilities: {calls: false, media_keys: false, presence: false, sync: false, legacy_frames: false}
timing: {reply_ms: 700, connect_ms: 2000}
"""


def laboratory(folder: Path, fault: str, more: str = "") -> Lab:
    file = folder / "target.yaml"
    file.write_text(TARGET + more)
    launch = f"{PROCESS} {{port}} {fault}"
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
