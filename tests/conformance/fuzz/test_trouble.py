"""`relaykit fuzz` with frames where a target is in trouble: it dies, or its control interface fails."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest
from fixtures.fakes import SECRET, Minimal, Peer, now
from support.suite import Ended, relaykit

from relaykit.conformance.fuzz.finding import Finding
from relaykit.conformance.fuzz.oracle import Duty
from relaykit.conformance.fuzz.trial import Failure, Template
from relaykit.conformance.launch import free_port, launched
from relaykit.schemas import load_catalogue

PROCESS = Path(__file__).parents[2] / "fixtures" / "fake_process.py"
TOKENS = "tokens: {mint: {secret: {env: RELAYKIT_SECRET}}}\n"
CORE = f"{TOKENS}capabilities: {json.dumps(dict.fromkeys(load_catalogue().protocol.capabilities, False))}\n"
WORDS = ("--connections", "6", "--seed", "1", "--format", "json", "--timeout-factor", "2")
SERVE = f"{sys.executable} -m relaykit.reference_server.defects"
TEMPLATE = Template(b"{}", Duty.REFUSE)
OPEN = " ".join(f"--limits {name}=1000000" for name in ("frames_per_second", "burst", "waiting_per_user"))


def core(folder: Path) -> Path:
    file = folder / "core.yaml"
    file.write_text(CORE)
    return file


def test_a_crash_of_a_launched_target_is_found(tmp_path: Path) -> None:
    launch = f"{sys.executable} {PROCESS} {{port}} dies-of-a-key"
    aim = ("-t", str(core(tmp_path)), "--launch", launch)
    words = (*aim, "--out", str(tmp_path), *WORDS, "--frames", "2500")
    ended = asyncio.run(relaykit("fuzz", *words, seconds=100, RELAYKIT_SECRET=SECRET))
    data = json.loads(ended.out)
    assert [each["kind"] for each in data["findings"]] == ["crash"], "one, whatever frames it shows with"
    assert data["findings"][0]["times"] > 1
    assert "__proto__" in data["findings"][0]["sent"]
    assert len(data["findings"][0]["sent"]) < 260, "made smaller"


def test_a_target_that_freezes_is_found_and_does_not_hold_it_up(tmp_path: Path) -> None:
    """What makes it freeze is looked for as long as three replies may take: then it ends, or goes on."""
    file = core(tmp_path)
    file.write_text(f"{CORE}timing: {{reply_ms: 1000, connect_ms: 20000}}\n")
    launch = f"{sys.executable} {PROCESS} {{port}} freezes-of-a-key"
    aim = ("-t", str(file), "--launch", launch, "--out", str(tmp_path / "out"))
    words = (*aim, *WORDS, "--timeout-factor", "1", "--seconds", "1", "--frames", "4000")
    ended = asyncio.run(relaykit("fuzz", *words, seconds=100, RELAYKIT_SECRET=SECRET))
    data = json.loads(ended.out)
    (finding,) = data["findings"]
    assert (finding["kind"], ended.code) == ("crash", 1), ended
    assert "answers no handshake" in finding["message"]
    assert finding["at_s"] > 0
    assert data["duration_s"] < 16, "though 15 s more are there for what was found"


NO_TIME = "from relaykit.conformance.fuzz import hunt; hunt.EXTRA_S = -1000"


def test_a_crash_for_which_no_time_is_left_is_shown_as_that(tmp_path: Path) -> None:
    launch = f"{sys.executable} {PROCESS} {{port}} dies-of-a-key"
    aim = ("-t", str(core(tmp_path)), "--launch", launch, "--out", str(tmp_path / "out"))
    words = (*aim, *WORDS, "--seconds", "4")
    ended = asyncio.run(relaykit("fuzz", *words, seconds=100, before=NO_TIME, RELAYKIT_SECRET=SECRET))
    finding = json.loads(ended.out)["findings"][0]
    assert (finding["kind"], ended.code) == ("crash", 1), ended
    assert "time was up before each was tried alone" in finding["message"]
    assert "time was up before each message was sent alone" in finding["no_file"]
    assert any("__proto__" in each["sent"] for each in finding["suspects"])


def test_what_a_target_of_somebody_else_had_got_when_it_died_is_left(tmp_path: Path) -> None:
    """Nobody starts it again: so nothing can be tried alone, and what it had got is all there is."""

    async def go() -> Ended:
        port = free_port()
        url = f"ws://127.0.0.1:{port}/ws"
        command, environment = f"{sys.executable} {PROCESS} {port} dies-of-a-key", {"RELAYKIT_SECRET": SECRET}
        async with launched(command, url, environment=environment, seconds=30):
            words = ("-t", str(core(tmp_path)), "--url", url, "--out", str(tmp_path / "out"), *WORDS)
            words = (*words, "--timeout-factor", "0.5", "--frames", "6000")
            return await relaykit("fuzz", *words, seconds=100, RELAYKIT_SECRET=SECRET)

    ended = asyncio.run(go())
    data = json.loads(ended.out)
    finding = data["findings"][0]
    assert (finding["kind"], finding["file"], ended.code) == ("crash", None, 1), ended
    assert any("__proto__" in each["sent"] for each in finding["suspects"])
    assert "did not come back" in finding["no_file"]
    assert f"--corpus {finding['suspects_folder']}" in finding["no_file"]
    assert len(list(Path(finding["suspects_folder"]).iterdir())) == len(finding["suspects"])


@pytest.mark.parametrize("starts", [2, 3])
def test_what_killed_a_target_that_does_not_come_back_is_shown_all_the_same(
    tmp_path: Path, starts: int
) -> None:
    """It is given up while its killer is looked for, or while that is made smaller."""
    log = tmp_path / "starts"
    wrapper = tmp_path / "some_starts.sh"
    wrapper.write_text(
        f'echo >> {log}; [ "$(wc -l < {log})" -le {starts} ] || exit 9\n'
        f'exec {sys.executable} {PROCESS} "$1" dies-of-a-key\n'
    )
    aim = ("-t", str(core(tmp_path)), "--launch", f"sh {wrapper} {{port}}")
    words = (*aim, "--out", str(tmp_path), *WORDS, "--frames", "4000")
    ended = asyncio.run(relaykit("fuzz", *words, seconds=100, RELAYKIT_SECRET=SECRET))
    data = json.loads(ended.out)
    (finding,) = data["findings"]
    assert (finding["kind"], ended.code) == ("crash", 1), ended
    assert any("does not come up again" in note for note in data["notes"])
    if starts == 3:
        assert finding["replayed"] is None
        assert "__proto__" in Path(finding["file"]).read_text()
    else:
        assert "did not come up again" in finding["message"]
        assert "--seed 1" in finding["no_file"]


def test_one_crash_is_one_finding_whatever_message_it_shows_with() -> None:
    def died(why: str, *broken: str, kind: str = "send", data: bytes = b"{}") -> Finding:
        return Finding("crash", "it died", broken, Failure(TEMPLATE, data, {}, (), ()), kind, died=why)

    first = died("status 3", "VAL-13")
    assert first.is_like(died("status 3", "VAL-05", "VAL-13", kind="typing", data=b"[]"))
    assert not first.is_like(died("status 3 KeyError", "VAL-13"))
    untold = Finding("crash", "it died; none alone does it", died="status 3")
    merged = untold.once_more(first).once_more(untold)
    assert (merged.failure, merged.times) == (first.failure, 3), "what shows it stays"


BUSY_ONCE = """\
import sys
from relaykit.reference_server.commands import serve
from relaykit.reference_server.people import People

original, calls = People.conversation_of, []

def conversation_of(*given, **named):
    calls.append(given)
    if len(calls) == 3:
        raise RuntimeError("busy just now")
    return original(*given, **named)

People.conversation_of = conversation_of
serve.main(args=sys.argv[1:])
"""


def test_a_control_operation_that_fails_once_is_no_fault_of_what_is_fuzzed(tmp_path: Path) -> None:
    script = tmp_path / "busy_once.py"
    script.write_text(BUSY_ONCE)
    launch = f"{sys.executable} {script} --port {{port}} --control-port {{control_port}} {OPEN}"
    words = ("--launch", launch, "--capability", "all", "--out", str(tmp_path / "out"), "--frames", "3000")
    ended = asyncio.run(relaykit("fuzz", *words, *WORDS, seconds=100, RELAYKIT_SECRET=SECRET))
    data = json.loads(ended.out)
    assert (data["findings"], ended.code) == ([], 0)
    assert any(note.startswith("conversation failed") for note in data["notes"]), data["notes"]


@pytest.mark.parametrize("stated", [True, False], ids=["stated", "learnt"])
def test_a_bound_of_waiting_messages_is_kept_within_and_is_no_finding(tmp_path: Path, stated: bool) -> None:
    file = tmp_path / "target.yaml"
    file.write_text(f"{TOKENS}{'limits: {waiting_per_user: 5}' if stated else ''}\n")
    ports = "--port {port} --control-port {control_port} --store :memory:"
    few = OPEN.replace("waiting_per_user=1000000", "waiting_per_user=5")
    aim = ("-t", str(file), "--launch", f"{SERVE} none {ports} {few}", "--capability", "all")
    words = (*aim, "--out", str(tmp_path), *WORDS, "--seconds", "5")
    ended = asyncio.run(relaykit("fuzz", *words, RELAYKIT_SECRET=SECRET, seconds=100))
    data = json.loads(ended.out)
    assert (data["findings"], ended.code) == ([], 0), ended
    assert data["types_served"]["send"] > 0
    learnt = any("states no limits.waiting_per_user" in note for note in data["notes"])
    assert learnt == (not stated)


class QuotesHalves(Minimal):
    """Quotes half a character in the error about it."""

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        if re.search(r"(?<!\\)\\ud[89ab]", str(data)) and not load_catalogue().validate(data, "c2s").valid:
            payload = {"error_code": "invalid_message", "message": "MARK", "timestamp": now()}
            text = json.dumps({"type": "error", "payload": {**payload, "reconnect": False}})
            await peer.socket.send(text.replace("MARK", "\\ud800"))
        else:
            await super().frame(peer, data)


def test_half_a_character_that_is_passed_on_is_put_down_to_who_sent_it(tmp_path: Path) -> None:
    async def go() -> Ended:
        async with QuotesHalves().running() as url:
            aim = ("-t", str(core(tmp_path)), "--url", url, "--out", str(tmp_path))
            words = (*aim, *WORDS, "--frames", "3000", "--most", "1")
            return await relaykit("fuzz", *words, seconds=100, RELAYKIT_SECRET=SECRET)

    ended = asyncio.run(go())
    (finding,) = json.loads(ended.out)["findings"]
    assert (finding["kind"], [rule["id"] for rule in finding["requirements"]]) == ("shape", ["ENV-13"])
    assert (finding["replayed"], finding["no_file"]) == ("reproduced", None)
    assert "\\ud" in finding["sent"].lower()
