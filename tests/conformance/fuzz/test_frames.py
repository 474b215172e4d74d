"""`relaykit fuzz` with frames: a server that is right is left in peace, each faulty one is found."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from fixtures.fakes import SECRET, Minimal, Peer, minimal, now
from support.suite import Ended, relaykit, start

from relaykit.schemas import load_catalogue

TOKENS = "tokens: {mint: {secret: {env: RELAYKIT_SECRET}}}\n"
CORE = f"{TOKENS}capabilities: {json.dumps(dict.fromkeys(load_catalogue().protocol.capabilities, False))}\n"
"""A target file for small servers: to try what else they might serve would take most of the time."""
WORDS = ("--connections", "6", "--seed", "1", "--format", "json", "--timeout-factor", "2")


def core(folder: Path) -> Path:
    file = folder / "core.yaml"
    file.write_text(CORE)
    return file


def fuzz(server: Minimal, tmp_path: Path, *words: str, before: str = "") -> tuple[Ended, dict[str, Any]]:
    if "-t" not in words:
        words = ("-t", str(core(tmp_path)), *words)

    async def go() -> Ended:
        async with server.running() as url:
            options = ("--url", url, "--out", str(tmp_path / "out"), *WORDS, *words)
            return await relaykit("fuzz", *options, seconds=100, before=before, RELAYKIT_SECRET=SECRET)

    ended = asyncio.run(go())
    assert ended.out.startswith("{"), ended
    return ended, json.loads(ended.out)


def found(data: dict[str, Any]) -> dict[str, set[str]]:
    kinds: dict[str, set[str]] = {}
    for each in data["findings"]:
        kinds.setdefault(each["kind"], set()).update(rule["id"] for rule in each["requirements"])
    return kinds


def test_a_server_that_is_right_agrees_with_the_oracle(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    ended, data = fuzz(minimal(), tmp_path, "--frames", "4000", "--corpus", str(corpus))
    assert data["findings"] == []
    assert ended.code == 0
    assert data["frames"] >= 4000
    assert min(data["must_be_refused"], data["must_be_accepted"], data["either"]) > 500
    assert data["must_close"] > 0
    assert data["constraints"]["reached"] > 50
    kept = sorted(corpus.iterdir())
    assert len(kept) == data["corpus"]["frames"] > 10
    _, again = fuzz(minimal(), tmp_path, "--frames", "2000", "--corpus", str(corpus))
    assert again["corpus"]["frames"] == len(kept) + again["corpus"]["added"]
    more = again["constraints"]["reached"] - data["constraints"]["reached"]
    assert again["corpus"]["added"] <= more, "what the folder reaches already is not added once more"
    assert again["constraints"]["reached"] >= data["constraints"]["reached"], "its frames are sent"
    assert again["findings"] == []


class Picky(Minimal):
    """Refuses null, which means the same as nothing."""

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        if '"group_id":null' in str(data) or '"media_id":null' in str(data):
            await self.error(peer.socket, "invalid_message")
        else:
            await super().frame(peer, data)


def test_one_that_refuses_what_is_valid_is_found(tmp_path: Path) -> None:
    _, data = fuzz(Picky(), tmp_path, "--frames", "3000", "--most", "1")
    assert found(data) == {"not-served": {"VAL-22"}}
    assert data["findings"][0]["replayed"] == "reproduced"
    assert "null" in data["findings"][0]["sent"]


def test_a_suspicion_for_which_no_time_is_left_is_a_note_and_no_finding(tmp_path: Path) -> None:
    """A connection may have ended because the target may end it: nothing was shown."""
    before = "from relaykit.conformance.fuzz import hunt; hunt.EXTRA_S = -1000"
    ended, data = fuzz(Picky(), tmp_path, "--seconds", "4", before=before)
    assert (data["findings"], ended.code) == ([], 0), ended
    assert any("time was up before" in note for note in data["notes"]), data["notes"]


class Hangs(Minimal):
    """Stops serving a connection that sends a certain key."""

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        if "__proto__" in str(data):
            await peer.socket.wait_closed()
        await super().frame(peer, data)


def test_a_hang_is_found(tmp_path: Path) -> None:
    _, data = fuzz(Hangs(), tmp_path, "--frames", "6000", "--most", "1", "--timeout-factor", "0.5")
    assert "VAL-13" in found(data)["connection"]
    assert "__proto__" in data["findings"][0]["sent"]


class HangsOnMedia(Minimal):
    """Stops serving a connection that sends a valid message with media."""

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        if '"media_type":"' in str(data) and load_catalogue().validate(data, "c2s").valid:
            await peer.socket.wait_closed()
        await super().frame(peer, data)


def test_what_a_valid_frame_does_to_one_server_is_no_fault_of_a_sound_one(tmp_path: Path) -> None:
    _, data = fuzz(HangsOnMedia(), tmp_path, "--frames", "6000", "--most", "1", "--timeout-factor", "0.5")
    (finding,) = data["findings"]
    assert (finding["kind"], finding["replayed"]) == ("connection", "reproduced")

    async def again() -> Ended:
        async with minimal().running() as url:
            words = ("replay", finding["file"], "--url", url, "--format", "json")
            return await relaykit(*words, RELAYKIT_SECRET=SECRET)

    ended = asyncio.run(again())
    assert [each["outcome"] for each in json.loads(ended.out)["scenarios"]] == ["fixed"], ended


SEEDED = {
    "violation-ignored": ("not-refused", "VAL-08"),
    "error-twice": ("not-refused", "ERR-04"),
    "unknown-message-field-forwarded": ("forwarded", "VAL-09"),
    "refused-message-delivered": ("forwarded", "VAL-12"),
    "bad-utf8-is-an-error": ("not-refused", "TRAN-08"),
    "deliver-twice": ("twice", "MSG-20"),
    "group-message-twice": ("twice", "MSG-20"),
    "numbered-acks": ("shape", "VAL-23"),
    "media-key-to-own-devices": ("forwarded", "MED-04"),
    "deliver-names-its-type-twice": ("shape", "ENV-13"),
}
"""Defects of the reference server → what frames find, and the requirement that it breaks."""
SERVE = f"{sys.executable} -m relaykit.reference_server.defects"
OPEN = " ".join(f"--limits {name}=1000000" for name in ("frames_per_second", "burst", "waiting_per_user"))


@pytest.mark.timeout(200)
def test_seeded_defects_are_found_made_small_and_replayed(tmp_path: Path) -> None:
    """Each file reproduces its defect, and shows it as fixed on the good server."""

    def launched(defect: str) -> tuple[str, ...]:
        ports = "--port {port} --control-port {control_port} --store :memory:"
        return "--launch", f"{SERVE} {defect} {ports} {OPEN}", "--capability", "all"

    async def found_in(defect: str) -> dict[str, Any]:
        words = ("--out", str(tmp_path / defect), *WORDS, "--frames", "12000", "--most", "1")
        ended = await relaykit("fuzz", *launched(defect), *words, RELAYKIT_SECRET=SECRET, seconds=150)
        assert ended.code == 1, ended
        (finding,) = json.loads(ended.out)["findings"]
        return dict(finding)

    async def main() -> None:
        findings = dict(
            zip(SEEDED, await asyncio.gather(*(found_in(defect) for defect in SEEDED)), strict=True)
        )
        for defect, (kind, requirement) in SEEDED.items():
            finding = findings[defect]
            assert finding["kind"] == kind, finding
            assert requirement in {rule["id"] for rule in finding["requirements"]}
            assert finding["replayed"] == "reproduced"
            assert len(finding["sent"]) < 260, "no more than it takes"
        files = [finding["file"] for finding in findings.values()]
        words = (*files, *launched("none"), "--format", "json")
        ended = await relaykit("replay", *words, RELAYKIT_SECRET=SECRET, seconds=60)
        assert ended.code == 0, ended
        assert [each["outcome"] for each in json.loads(ended.out)["scenarios"]] == ["fixed"] * len(SEEDED)

    asyncio.run(main())


class Limits(Minimal):
    """Permits forty frames per second and connection, keep-alives included, and ends what goes on and on."""

    async def error(self, socket: Any, code: str, about: str | None = None) -> None:
        if code == "rate_limited":
            payload = {"error_code": code, "message": "slower", "timestamp": now(), "reconnect": False}
            await socket.send(json.dumps({"type": "error", "payload": {**payload, "retry_after": 1}}))
        else:
            await super().error(socket, code, about)

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        moment = asyncio.get_running_loop().time()
        left, at, refused = getattr(peer, "bucket", (40.0, moment, 0))
        left, refused = min(40.0, left + (moment - at) * 40), refused if left < 1 else 0
        peer.bucket = left - (left >= 1), moment, refused + (left < 1)
        if left >= 1:
            await super().frame(peer, data)
        elif refused > 30:
            await peer.socket.close(1013)
        elif not refused:
            await self.error(peer.socket, "rate_limited")


def test_a_limit_slows_it_down_and_is_no_finding(tmp_path: Path) -> None:
    ended, data = fuzz(Limits(), tmp_path, "--frames", "400")
    assert not data["findings"], data["findings"]
    assert ended.code == 0
    assert data["frames"] >= 400
    assert any("limits frames" in note for note in data["notes"])


class Small(Minimal):
    """Takes no frame of more than 1,100 bytes, and says so with an error, or by closing the connection."""

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        if len(data) <= 1100:
            await super().frame(peer, data)
        elif "closes" in self.faults:
            await peer.socket.close(1009)
        else:
            await self.error(peer.socket, "invalid_message")


@pytest.mark.parametrize("fault", ["closes", "answers"])
def test_a_limit_of_size_that_nobody_stated_is_learnt_and_no_finding(tmp_path: Path, fault: str) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    message = {"type": "send", "message_id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "payload": {}}
    payload = {"receiver_id": message["message_id"], "ciphertext": "QUJD" * 400, "message_type": "text"}
    (corpus / "large.frame").write_text(json.dumps({**message, "payload": payload}))
    words = ("--corpus", str(corpus), "--timeout-factor", "1", "--frames", "4000")
    ended, data = fuzz(Small(frozenset({fault})), tmp_path, *words)
    assert data["findings"] == []
    assert ended.code == 0
    learnt = any("states no limits.max_frame_bytes" in note for note in data["notes"])
    assert learnt == (fault == "closes"), "an error for what may be refused anyway teaches nothing"


def test_what_else_lies_in_the_folder_of_frames_is_left_out_and_what_is_broken_is_used(
    tmp_path: Path,
) -> None:
    corpus = tmp_path / "corpus"
    (corpus / "folder.frame").mkdir(parents=True)
    os.mkfifo(corpus / "pipe.frame")
    (corpus / "lost.frame").symlink_to(tmp_path / "nothing")
    (corpus / "dump.frame").write_bytes(b"x" * (2**20 + 1))
    for name, data in (("empty", b""), ("bytes", b"\xff\x00"), ("frame", b'{"type":"heartbeat"}')):
        (corpus / f"{name}.frame").write_bytes(data)
    ended, found = fuzz(minimal(), tmp_path, "--frames", "500", "--corpus", str(corpus))
    assert ended.code == 0
    assert found["findings"] == []
    for name in ("folder", "pipe", "lost", "dump"):
        assert any(f"{name}.frame" in note for note in found["notes"])
    assert found["corpus"]["frames"] == found["corpus"]["added"] + 3


def test_a_failure_that_the_target_file_expects_is_shown_and_does_not_count(tmp_path: Path) -> None:
    expected = "expected_failures:\n" + "".join(
        f"  - {{requirement: {name}, reason: known since spring}}\n"
        for name in ("VAL-01", "VAL-02", "VAL-04", "VAL-05", "VAL-06", "VAL-07", "VAL-08", "ERR-04")
    )
    file = tmp_path / "target.yaml"
    file.write_text(f"{CORE}{expected}")
    ended, data = fuzz(minimal("silent-on-bad"), tmp_path, "--frames", "300", "-t", str(file))
    assert {each["expected_failure"] for each in data["findings"]} == {"known since spring"}
    assert ended.code == data["exit_code"] == 0
    assert not (tmp_path / "out").exists()


def test_a_polite_kill_ends_it_with_a_summary(tmp_path: Path) -> None:
    async def go() -> tuple[int, str, str]:
        async with minimal().running() as url:
            aim = ("-t", str(core(tmp_path)), "--url", url)
            options = (*aim, "--out", str(tmp_path), "--connections", "3", "--seconds", "90")
            process = await start("fuzz", *options, RELAYKIT_SECRET=SECRET)
            async with asyncio.timeout(60):
                assert process.stderr is not None
                first = await process.stderr.readline()
                line = await process.stderr.readline()  # the first line of progress
                process.send_signal(signal.SIGINT)
                out, _ = await process.communicate()
            assert process.returncode is not None
            return process.returncode, out.decode(), first.decode() + line.decode()

    code, out, said = asyncio.run(go())
    assert "seed" in said.splitlines()[0], "what is interrupted can be begun again"
    assert "frames" in said.splitlines()[1]
    assert code == 130
    assert "interrupted: nothing found" in out


def test_a_server_elsewhere_is_not_flooded_by_mistake() -> None:
    ended = asyncio.run(relaykit("fuzz", "--url", "ws://192.0.2.1:9/ws", RELAYKIT_SECRET=SECRET))
    assert ended.code == 2
    assert "--allow-destructive" in ended.err


def test_a_target_that_is_not_there_is_said_to_be_so() -> None:
    ended = asyncio.run(relaykit("fuzz", "--url", "ws://127.0.0.1:9/ws", RELAYKIT_SECRET=SECRET))
    assert ended.code == 3


class Stumbles(Minimal):
    """Says on long connections now and then, for no reason that a single message shows, that it was wrong."""

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        count = getattr(peer, "count", 0) + 1
        peer.count = count
        if count > 40 and count % 7 == 0:
            await self.error(peer.socket, "invalid_message")
        await super().frame(peer, data)


def test_what_no_message_shows_alone_says_how_to_see_it_again(tmp_path: Path) -> None:
    _, data = fuzz(Stumbles(), tmp_path, "--frames", "900", "--most", "1", "--timeout-factor", "0.5")
    (finding,) = data["findings"]
    assert (finding["kind"], finding["file"]) == ("unexplained", None)
    folder = tmp_path / "out" / "suspects-1-1"
    sent = [path.read_bytes().decode("utf-8", "backslashreplace") for path in sorted(folder.iterdir())]
    assert [each["sent"] for each in finding["suspects"]] == sent
    assert f"--seed 1 --corpus {folder}" in finding["no_file"], "how to look on"


@pytest.mark.parametrize("fault", ["no-ack", "twice"])
def test_what_is_wrong_with_valid_frames_is_found(tmp_path: Path, fault: str) -> None:
    async def go() -> Ended:
        async with minimal(fault).running() as url:
            aim = ("-t", str(core(tmp_path)), "--url", url)
            options = (*aim, "--out", str(tmp_path), *WORDS, "--frames", "1500", "--most", "1")
            return await relaykit("fuzz", *options, seconds=100, RELAYKIT_SECRET=SECRET)

    ended = asyncio.run(go())
    # Without acks nobody can be arranged at all; what comes twice shows in the accounts.
    assert ended.code == (3 if fault == "no-ack" else 1), ended
    if fault == "twice":
        (finding,) = json.loads(ended.out)["findings"]
        assert (finding["kind"], finding["replayed"], finding["no_file"]) == ("twice", "reproduced", None)


class TurnsHostile(Minimal):
    """Serves for a while, and then floods or closes whoever says anything."""

    how = "close"
    count = 0

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        self.count += 1
        if self.count < 1500:
            await super().frame(peer, data)
        elif self.how == "close":
            await peer.socket.close(1011)
        else:
            for _ in range(30_000):
                await peer.socket.send('{"type":"ping"}')
                await asyncio.sleep(0)


@pytest.mark.parametrize("how", ["close", "flood"])
def test_a_target_that_serves_nobody_any_more_is_a_finding_and_the_end(tmp_path: Path, how: str) -> None:
    server = TurnsHostile()
    server.how = how
    ended, data = fuzz(server, tmp_path, "--seconds", "60", "--timeout-factor", "1")
    (finding,) = data["findings"]
    assert (finding["kind"], ended.code) == ("connection", 1)
    assert "serves nobody any more" in finding["message"]
    assert data["trials"] < 30, "what shows nothing is not tried over and over"


class HangsUpOnMedia(Minimal):
    """Ends a connection that sends a valid message with media."""

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        if '"media_type":"' in str(data) and load_catalogue().validate(data, "c2s").valid:
            await peer.socket.close(1011)
        else:
            await super().frame(peer, data)


def test_a_connection_that_a_valid_frame_ends_is_reproduced(tmp_path: Path) -> None:
    _, data = fuzz(HangsUpOnMedia(), tmp_path, "--frames", "3000", "--most", "1", "--timeout-factor", "1")
    (finding,) = data["findings"]
    assert "media_type" in finding["sent"]
    assert finding["replayed"] == "reproduced"
