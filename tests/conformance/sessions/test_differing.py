"""The same sessions against two targets: `relaykit fuzz --against`."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from support.sessions import everybody, send
from support.suite import Ended, relaykit

from relaykit.conformance.fuzz.hunt import Limits
from relaykit.conformance.launch import free_port, launched
from relaykit.conformance.sessions import model
from relaykit.conformance.sessions.differing import Differential, Unspecified, common, differences, normal
from relaykit.conformance.sessions.driver import Done
from relaykit.conformance.sessions.state import Rules, Step

SECRET = "the signing key of the tests, long enough"
PYTHON = shlex.quote(sys.executable)
PORTS = "--port {port} --control-port {control_port} --store :memory:"
GOOD = f"{PYTHON} -m relaykit.reference_server.defects none {PORTS}"
OTHER = f"{PYTHON} {shlex.quote(str(Path('tests/fixtures/answering_idle_acks.py').resolve()))}"
TARGET = "tokens: {mint: {secret: {env: RELAYKIT_SECRET}}}\ntiming: {reply_ms: 8000, connect_ms: 15000}\n"
ACK = Step("ack", "carol.phone", {"m": 1})
ERROR = {"type": "error", "payload": {"error_code": "invalid_message", "message": "no"}}


def test_what_is_never_the_same_twice_is_no_difference() -> None:
    one = {"type": "error", "payload": {"message": "no", "timestamp": "2026-01-01T00:00:00Z"}}
    two = {"type": "error", "payload": {"message": "never", "timestamp": "2027-01-01T00:00:00.125Z"}}
    assert normal(one) == normal(two)
    asks = [{"type": "device_approval_request", "payload": {"code": code}} for code in ("042137", "999999")]
    assert normal(asks[0]) == normal(asks[1]), "a code is drawn by chance"
    made = {"request_id": "req-6ba7b810-9dad-11d1-80b4-00c04fd430c8"}
    assert normal(made) == {"request_id": "req-‹id›"}


def test_a_difference_is_the_same_whoever_shows_it() -> None:
    (first,) = differences(ACK, {"carol.phone": [ERROR]}, {})
    (second,) = differences(Step("ack", "bob.phone", {"m": 9}), {"bob.phone": [ERROR]}, {"bob.phone": []})
    assert first.signature == second.signature
    assert differences(ACK, {"carol.phone": [ERROR]}, {"carol.phone": [ERROR]}) == ()
    other = {**ERROR, "payload": {**ERROR["payload"], "error_code": "server_error"}}
    (third,) = differences(ACK, {"carol.phone": [ERROR]}, {"carol.phone": [other]})
    assert third.signature != first.signature


def test_stamps_and_the_spelling_of_ids_are_one_difference_whatever_they_are_on() -> None:
    typing = {"type": "typing", "sender_id": "${alice.id|upper}", "payload": {}}
    signatures = set()
    for step, frame in ((ACK, ERROR), (Step("typing", "alice.phone"), typing)):
        payload = {**frame["payload"], "media_id": None}
        stamped = {**frame, "server_id": "one", "sender_id": "${alice.id|upper}", "payload": payload}
        plain = {**frame, "sender_id": "${alice.id}"}
        plain_too = {"type": "status_update", "payload": {"status": "read"}}
        found = differences(step, {"bob.phone": [stamped, plain_too]}, {"bob.phone": [plain]})
        assert len(found) == 2, "and what else differs is told as well"
        signatures.add(found[0].signature)
    assert len(signatures) == 1
    (changed,) = differences(
        ACK, {"bob.phone": [typing]}, {"bob.phone": [{**typing, "sender_id": "${bob.id}"}]}
    )
    assert changed.signature not in signatures


def test_only_what_both_have_is_played() -> None:
    mine = Rules(frozenset({"core", "calls"}), frozenset({"create_group"}))
    other = Rules(frozenset({"core", "sync"}), frozenset(), presence_is_prompt=False)
    assert common(mine, other) == Rules(frozenset({"core"}), frozenset(), presence_is_prompt=False)


async def differed(folder: Path, mine: str, *words: str) -> dict[str, Any]:
    """What a target does differently from the good server."""
    target = folder / "target.yaml"
    target.write_text(TARGET)
    launches = ("--launch", mine, "--against-launch", GOOD)
    options = ("--seed", "1", "--most", "1", "--out", str(folder / "found"), "--format", "json")
    ended = await relaykit(
        *("fuzz", "-t", str(target), "--capability", "all"),
        *(*launches, *options, *words),
        RELAYKIT_SECRET=SECRET,
        seconds=200,
    )
    assert ended.code in (0, 1), ended
    data: dict[str, Any] = json.loads(ended.out)
    assert data["exit_code"] == ended.code
    return data


@pytest.mark.timeout(300)
def test_what_the_model_forbids_is_a_broken_requirement(tmp_path: Path) -> None:
    async def main() -> None:
        # Found by what comes, not by waiting for what does not.
        defect = f"{PYTHON} -m relaykit.reference_server.defects sent-ack-to-all-devices {PORTS}"
        data = await differed(tmp_path, defect, "--seconds", "120")
        (broken,) = data["broken"]
        assert (broken["by"], broken["requirement"], broken["replayed"]) == ("mine", "MSG-13", "reproduced")
        assert data["exit_code"] == 1

    asyncio.run(main())


@pytest.mark.timeout(300)
def test_what_the_model_permits_both_to_do_is_unspecified(tmp_path: Path) -> None:
    async def main() -> None:
        data = await differed(tmp_path, f"{OTHER} serve {PORTS}", "--frames", "250")
        assert data["broken"] == []
        assert data["exit_code"] == 0
        found = [each for each in data["unspecified"] if each["move"] == "ack"]
        assert found, data
        assert [frame["type"] for frame in found[0]["mine"]] == ["error"]
        assert found[0]["other"] == []

    asyncio.run(main())


def test_a_target_of_somebody_else_that_dies_is_said_and_ends_it(tmp_path: Path) -> None:
    """The second target is not started again by anybody: what it was found to do is shown all the same."""
    port, process = (
        free_port(),
        f"{PYTHON} {shlex.quote(str(Path('tests/fixtures/fake_process.py').resolve()))}",
    )
    mine, other = tmp_path / "mine.yaml", tmp_path / "other.yaml"
    mine.write_text("tokens: {mint: {secret: {env: RELAYKIT_SECRET}}}\ntiming: {reply_ms: 2000}\n")
    other.write_text(f"{mine.read_text()}url: ws://127.0.0.1:{port}/ws\n")

    async def main() -> Ended:
        url = f"ws://127.0.0.1:{port}/ws"
        async with launched(
            f"{process} {port} dies", url, environment={"RELAYKIT_SECRET": SECRET}, seconds=30
        ):
            aim = ("-t", str(mine), "--launch", f"{process} {{port}}", "--against", str(other))
            words = ("--seconds", "60", "--seed", "1", "--out", str(tmp_path / "found"), "--format", "json")
            return await relaykit("fuzz", *aim, *words, RELAYKIT_SECRET=SECRET, seconds=110)

    ended = asyncio.run(main())
    data = json.loads(ended.out)
    (broken,) = data["broken"]
    assert (broken["by"], ended.code) == ("other", 1), ended
    # While its process ends, its port may still take connections.
    gone = ("accepts no connections any more", "answers no handshake any more")
    assert any(words in broken["message"] for words in gone), broken
    assert any("did not come back" in note for note in data["notes"])


class Played:
    """A target in name only: what comes of each step is given, and which of the permitted ways it takes."""

    def __init__(self, came: dict[str, list[Any]], branch: int = 0) -> None:
        self.came, self.branch, self.played = came, branch, 0

    def begin(self) -> Any:
        return SimpleNamespace(state=everybody(), log=[])

    def start(self, session: Any, step: Step) -> Future[None]:
        branch = model.branches(session.state, step)[self.branch]
        model.take(session.state, step, branch)
        session.log.append(Done(step, branch, self.came))
        self.played += 1
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def linger(self, session: Any) -> None:
        return

    def end(self, session: Any, *, judge: bool) -> None:
        return


def test_a_session_goes_on_past_what_is_known_to_differ_until_the_targets_come_apart(tmp_path: Path) -> None:
    pongs = [Step("pong", "alice.phone")] * 5
    for step, others, counts in ((pongs[0], 0, 5), (send(1, claim="carol"), 1, 1)):
        mine, other = Played({"alice.phone": [ERROR]}), Played({}, others)
        search = Differential(cast(Any, mine), cast(Any, other), "1", Limits(60, None, 1), tmp_path)
        (known,) = differences(step, {"alice.phone": [ERROR]}, {})
        search.unspecified[known.signature] = Unspecified(known, "1", ())
        pair = search._play(lambda _, step=step: iter((step, *pongs[1:])))
        assert (pair.difference, mine.played) == (None, counts)
        assert search.unspecified[known.signature].count == 1 + counts
        assert search.replay((step, *pongs), known.signature).difference == known
