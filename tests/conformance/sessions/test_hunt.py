"""Fuzzed sessions against real servers, as a user has them: `relaykit fuzz --sessions`."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from fixtures import fakes
from support.suite import Ended, relaykit, start

from relaykit.conformance.launch import free_port, launched

SECRET = "the signing key of the tests, long enough"
PORTS = "--port {port} --control-port {control_port} --store :memory:"
SERVE = f"{shlex.quote(sys.executable)} -m relaykit.reference_server.defects"
PROCESS = (
    f"{shlex.quote(sys.executable)} {shlex.quote(str(Path('tests/fixtures/fake_process.py').resolve()))}"
)
# Patient where something comes; the reference server is prompt, so that nothing is missed for want of time.
TARGET = "tokens: {mint: {secret: {env: RELAYKIT_SECRET}}}\ntiming: {reply_ms: 8000, connect_ms: 15000}\n"


def target_file(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "target.yaml"
    path.write_text(TARGET)
    return path


async def command(folder: Path, launch: str, *words: str) -> Ended:
    """A command against a server that it starts itself, with everything that the protocol has."""
    target = ("-t", str(target_file(folder)), "--capability", "all", "--launch", launch)
    return await relaykit(*words, *target, RELAYKIT_SECRET=SECRET, seconds=110)


async def fuzzed(folder: Path, launch: str, *words: str) -> dict[str, Any]:
    options = ("--sessions", "--seed", "1", "--most", "1", "--out", str(folder / "found"), "--format", "json")
    ended = await command(folder, launch, "fuzz", *options, *words)
    assert ended.code in (0, 1), ended
    data: dict[str, Any] = json.loads(ended.out)
    assert data["exit_code"] == ended.code
    return data


SEEDED = {
    "sent-ack-to-all-devices": "MSG-13",
    "strangers-hear-who-comes": "PRES-12",
    "signaling-comes-back": "CALL-17",
    "closed-on-bad-input": "VAL-13",
}
"""Defects → the requirement that sessions find broken; each shows soon, and by what comes, not by waiting."""


@pytest.mark.timeout(400)
def test_seeded_defects_are_found_shrunk_written_and_replayed(tmp_path: Path) -> None:
    """Each file reproduces its defect where it was found, and shows it as fixed on the good server."""

    async def main() -> None:
        every = await asyncio.gather(
            *(fuzzed(tmp_path / defect, f"{SERVE} {defect} {PORTS}", "--seconds", "90") for defect in SEEDED)
        )
        files: list[str] = []
        for requirement, data in zip(SEEDED.values(), every, strict=True):
            (found,) = data["findings"]
            assert found["requirement"] == requirement
            assert found["actions"] <= 5
            assert (found["steady"], found["replayed"]) == (True, "reproduced")
            files.append(found["file"])
        first = next(iter(SEEDED))
        for server, code, outcomes in ((first, 1, {"reproduced"}), ("none", 0, {"fixed"})):
            words = (*(files[:1] if code else files), "--format", "json")
            ended = await command(tmp_path, f"{SERVE} {server} {PORTS}", "replay", *words)
            assert ended.code == code, ended
            assert {each["outcome"] for each in json.loads(ended.out)["scenarios"]} == outcomes

    asyncio.run(main())


def test_the_good_server_agrees_with_the_model(tmp_path: Path) -> None:
    async def main() -> None:
        data = await fuzzed(tmp_path, f"{SERVE} none {PORTS}", "--frames", "200")
        assert data["findings"] == []
        assert data["exit_code"] == 0
        assert data["steps"] > 0
        assert data["transitions"]["message: new → sent"] > 0
        assert not (tmp_path / "found").exists()

    asyncio.run(main())


def test_a_rate_that_nobody_stated_ends_sessions_and_is_no_finding(tmp_path: Path) -> None:
    limits = "--limits frames_per_second=20 --limits burst=20"
    data = asyncio.run(fuzzed(tmp_path, f"{SERVE} none {PORTS} {limits}", "--seconds", "5"))
    assert data["findings"] == []
    (why,) = [reason for reason in data["cut_short_by"] if "rate_limited" in reason]
    assert "state its limits.frames_per_second" in why


def test_a_crash_is_a_finding_and_the_target_is_started_again(tmp_path: Path) -> None:
    async def main() -> None:
        words = ("--sessions", "--seed", "1", "--seconds", "60", "--most", "1", "--format", "json")
        launch = ("--launch", f"{PROCESS} {{port}} dies", "--out", str(tmp_path))
        ended = await relaykit("fuzz", *words, *launch, RELAYKIT_SECRET=SECRET, seconds=100)
        (found,) = json.loads(ended.out)["findings"]
        assert found["kind"] == "closed"
        assert "ended with exit status 3" in found["message"]
        assert found["actions"] == 1
        assert found["replayed"] == "reproduced"

    asyncio.run(main())


def test_a_target_that_freezes_is_found_and_does_not_hold_it_up(tmp_path: Path) -> None:
    """It is made shorter for as long as three replies may take: then it is replayed, and that is all."""

    async def main() -> Ended:
        file = target_file(tmp_path)
        file.write_text(TARGET.replace("reply_ms: 8000", "reply_ms: 1000"))
        words = ("--sessions", "--seed", "1", "--seconds", "1", "--most", "1", "--format", "json")
        aim = ("-t", str(file), "--launch", f"{PROCESS} {{port}} freezes", "--out", str(tmp_path))
        return await relaykit("fuzz", *words, *aim, RELAYKIT_SECRET=SECRET, seconds=100)

    data = json.loads(asyncio.run(main()).out)
    (found,) = data["findings"]
    assert (found["kind"], found["replayed"], found["steady"]) == ("hang", "reproduced", True)
    assert "answers no handshake any more" in found["message"]
    assert 0 < found["at_s"] < data["duration_s"] < 16, "though 15 s more are there for what was found"


def test_a_target_of_somebody_else_that_dies_is_one_finding_and_the_end(tmp_path: Path) -> None:
    """Nobody starts it again: what was played until then is left as it was, and nothing more is tried."""

    async def main() -> Ended:
        port = free_port()
        url, environment = f"ws://127.0.0.1:{port}/ws", {"RELAYKIT_SECRET": SECRET}
        async with launched(f"{PROCESS} {port} dies", url, environment=environment, seconds=30):
            words = ("--sessions", "--seed", "1", "--seconds", "90", "--timeout-factor", "0.5", "--url", url)
            words = (*words, "--out", str(tmp_path), "--format", "json")
            return await relaykit("fuzz", *words, RELAYKIT_SECRET=SECRET, seconds=100)

    data = json.loads(asyncio.run(main()).out)
    (found,) = data["findings"]
    assert "accepts no connections any more" in found["message"]
    assert Path(found["file"]).exists()
    assert any("did not come back" in note for note in data["notes"])
    assert data["duration_s"] < 60, "it does not go on until its time is up"


def test_a_server_with_less_to_offer_can_be_fuzzed_as_well(tmp_path: Path) -> None:
    """One that runs already, without control interface and capabilities: messages are all there is."""

    async def main() -> None:
        async with fakes.minimal().running() as url:
            words = ("--seed", "1", "--frames", "100", "--out", str(tmp_path / "found"), "--format", "json")
            ended = await relaykit("fuzz", "--sessions", "--url", url, *words, RELAYKIT_SECRET=fakes.SECRET)
            data = json.loads(ended.out)
            assert "typing" not in data["moves"]
            assert data["memory_mb"] == []
            assert data["steps"] > 0

    asyncio.run(main())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tells no memory of other processes")
def test_a_server_that_forgets_nothing_is_found(tmp_path: Path) -> None:
    async def main() -> None:
        words = (
            "--launch",
            f"{PROCESS} {{port}} hoards",
            "--frames",
            "300",
            "--seed",
            "1",
            "--format",
            "json",
        )
        ended = await relaykit("fuzz", "--sessions", *words, "--out", str(tmp_path), RELAYKIT_SECRET=SECRET)
        data = json.loads(ended.out)
        memory = [each for each in data["findings"] if each["kind"] == "memory"]
        assert len(memory) == 1, data
        assert "MB after half of all" in memory[0]["message"]
        assert ended.code == data["exit_code"] == 1

    asyncio.run(main())


def test_what_cannot_be_fuzzed_is_said_without_a_traceback(tmp_path: Path) -> None:
    async def main() -> None:
        ended = await relaykit("fuzz", "--sessions", "--url", "ws://127.0.0.1:9/ws", RELAYKIT_SECRET=SECRET)
        assert (ended.code, "cannot be reached" in ended.err) == (3, True), ended
        fixed = tmp_path / "fixed.yaml"
        fixed.write_text(
            "url: ws://127.0.0.1:9/ws\n"
            "tokens:\n  identities:\n"
            "    - user_id: 00000000-0000-4000-8000-000000000001\n"
            "      devices:\n"
            "        - {device_id: 00000000-0000-4000-8000-00000000000a, token: {value: abcdefgh}}\n"
        )
        ended = await relaykit("fuzz", "--sessions", "-t", str(fixed))
        assert (ended.code, "fresh users" in ended.err) == (2, True), ended

    asyncio.run(main())


@pytest.mark.timeout(300)
def test_ctrl_c_ends_with_a_summary(tmp_path: Path) -> None:
    async def main() -> None:
        words = ("-t", str(target_file(tmp_path)), "--launch", f"{SERVE} none {PORTS}", "--seconds", "600")
        process = await start("fuzz", "--sessions", *words, RELAYKIT_SECRET=SECRET)
        assert process.stderr is not None
        try:
            async with asyncio.timeout(90):
                assert b"seed" in await process.stderr.readline()
                await process.stderr.readline()  # the first line of progress: it is under way
            process.send_signal(signal.SIGINT)
            out, err = await asyncio.wait_for(process.communicate(), 60)
        finally:
            if process.returncode is None:
                os.kill(process.pid, signal.SIGKILL)
        assert process.returncode == 130, err.decode()
        assert "interrupted: nothing found" in out.decode()
        assert "Traceback" not in out.decode() + err.decode()

    asyncio.run(main())
