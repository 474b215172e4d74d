"""Who keeps a limit of the size of frames that the target file does not state is not accused for that."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from fixtures.fakes import Minimal, Peer, minimal
from support.server import new_id
from support.suite import QUICK, all_cases, by_id, judge, make_target, scenario_cases

from relaykit.conformance.results import CaseResult, Verdict
from relaykit.schemas import load_catalogue

HEAD = """
- id: long
  title: A long ciphertext arrives
  area: messages
  catches: Nothing, it is for a test.
  actors: {alice: {}, bob: {}}
  vars: {m: uuid, n: uuid}
  steps:
"""
ERROR = "    - expect: {as: alice, frame: {type: error}, req: VAL-01}\n"
RUBBISH = "    - send: {as: alice, raw: nonsense, invalid: true}\n"


def sends(size: int, name: str = "m") -> str:
    payload = f'{{receiver_id: "${{bob.id}}", ciphertext: "{"A" * size}", message_type: text}}'
    frame = f'{{type: send, message_id: "${{{name}}}", payload: {payload}}}'
    return f"    - send: {{as: alice, frame: {frame}}}\n"


def acked(name: str = "m") -> str:
    frame = f'{{type: sent_ack, message_id: "${{{name}}}"}}'
    return f"    - expect: {{as: alice, frame: {frame}, req: MSG-12}}\n"


class Refuses(Minimal):
    """Answers what is larger than so much with `invalid_message`, and does not name it."""

    most = 1500

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        if len(data) > self.most:
            await self.error(peer.socket, "invalid_message")
        else:
            await super().frame(peer, data)


def long(tmp_path: Path, server: Minimal, *steps: str, **stated: Any) -> CaseResult:
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + "".join(steps))

    async def main() -> CaseResult:
        async with server.running() as url:
            result = await judge(make_target(url, timing=QUICK, **stated), scenario_cases(path))
        return by_id(result)["long"]

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("server", "how"),
    [
        (lambda: minimal(limits={"max_frame_bytes": 1500}), "closes with 1009"),
        (Refuses, "answers a valid one with invalid_message"),
    ],
)
def test_a_case_that_needs_larger_frames_is_untestable_and_says_what_to_state(
    tmp_path: Path, server: Any, how: str
) -> None:
    found = long(tmp_path, server(), sends(2000), acked())
    assert found.verdict is Verdict.UNTESTABLE, found.findings
    assert how in found.reason
    assert "state limits.max_frame_bytes in the target file" in found.reason
    # Who has stated a larger one does not keep it.
    stated = long(tmp_path, server(), sends(2000), acked(), limits={"max_frame_bytes": 4096})
    assert stated.verdict is Verdict.FAIL


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("code", ["closed", "refused"])
def test_no_limit_is_that_low(tmp_path: Path, code: str, large: bool) -> None:
    server = Refuses() if code == "refused" else minimal(limits={"max_frame_bytes": 500})
    if isinstance(server, Refuses):
        server.most = 500
    least = int(load_catalogue().protocol.limits["max_frame_bytes"].minimum)
    payload = {"receiver_id": new_id(), "ciphertext": "", "message_type": "text"}
    around = len(orjson.dumps({"type": "send", "message_id": new_id(), "payload": payload}))
    found = long(tmp_path, server, sends(least - around + 4 * large), acked())
    assert found.verdict is (Verdict.UNTESTABLE if large else Verdict.FAIL)


def test_what_was_found_before_stays_found(tmp_path: Path) -> None:
    missed = ERROR.replace("VAL-01", "CONN-11")  # no more than SHOULD, so that the case goes on
    found = long(tmp_path, Refuses(frozenset({"silent-on-bad"})), RUBBISH, missed, sends(2000), acked())
    assert found.verdict is Verdict.WARN
    assert [finding.requirement for finding in found.findings] == ["CONN-11"]


class RefusesSmall(Refuses):
    """Refuses, likewise, what is small."""

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        if "heartbeat" not in str(data) and len(data) < self.most:
            await self.error(peer.socket, "invalid_message")
        else:
            await Minimal.frame(self, peer, data)


def test_who_took_a_large_frame_has_refused_none(tmp_path: Path) -> None:
    found = long(tmp_path, RefusesSmall(), sends(2000), acked(), sends(4, "n"), acked("n"))
    assert found.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    "steps",
    [
        (sends(2000), acked(), RUBBISH, acked("n")),  # the error is for what came after it
        (sends(2000), RUBBISH, acked("n")),
    ],
)
def test_an_error_for_another_frame_is_no_excuse(tmp_path: Path, steps: tuple[str, ...]) -> None:
    found = long(tmp_path, minimal("no-ack" if len(steps) == 3 else ""), *steps)
    assert found.verdict is Verdict.FAIL


def test_derived_cases_know_both_forms() -> None:
    name = "derived/read_receipt/payload.message_ids/at-maxItems"

    async def main(**stated: Any) -> CaseResult:
        server = Refuses()
        server.most = 8000
        async with server.running() as url:
            target = make_target(url, timing={**QUICK, "case_s": 20}, **stated)
            return by_id(await judge(target, all_cases(name)))[name]

    found = asyncio.run(main())
    assert found.verdict is Verdict.UNTESTABLE, found.findings
    assert "answers a valid one with invalid_message" in found.reason
    assert asyncio.run(main(limits={"max_frame_bytes": 65536})).verdict is Verdict.FAIL
