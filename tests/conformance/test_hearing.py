"""That nothing comes to somebody, or of what they do, shows nothing of a target that is deaf to them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from fixtures.fakes import Minimal, Peer, minimal
from support.suite import QUICK, by_id, judge, make_target, scenario_cases

from relaykit.conformance.results import CaseResult, Verdict

HEAD = """
- id: quiet
  title: A stranger neither hears nor tells
  area: privacy
  catches: Nothing, it is for a test.
  actors: {alice: {}, bob: {}, mallory: {devices: [phone, laptop]}}
  vars: {m: uuid, c: base64}
  steps:
    - send:
        as: alice
        frame:
          type: send
          message_id: "${m}"
          payload: {receiver_id: "${bob.id}", ciphertext: "${c}", message_type: text}
    - expect: {as: alice, frame: {type: sent_ack, message_id: "${m}"}, req: MSG-12}
    - expect: {as: bob, frame: {type: deliver, message_id: "${m}"}, req: MSG-16}
"""
HEARS = '    - none: {actors: ["mallory.*"], req: PRIV-01}\n'
ACKS = '    - send: {as: mallory.phone, frame: {type: delivery_ack, message_id: "${m}"}}\n'
TELLS = "    - none: {actors: [alice, bob], req: MSG-42}\n"


class DeafTo(Minimal):
    """Gives nothing to users with several devices, or (`mute`) takes nothing from them but heartbeats."""

    mute = False

    def has_several(self, user: str) -> bool:
        return len(self.devices.get(user, ())) > 1

    async def write(self, peer: Peer, frame: dict[str, Any]) -> None:
        if self.mute or frame["type"] in ("heartbeat_ack", "error") or not self.has_several(peer.user):
            await super().write(peer, frame)

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        if not self.mute or "heartbeat" in str(data) or not self.has_several(peer.user):
            await super().frame(peer, data)


class Mute(DeafTo):
    mute = True


def quiet(tmp_path: Path, server: Minimal, *steps: str, **more: Any) -> CaseResult:
    path = tmp_path / "s.yaml"
    path.write_text(HEAD + "".join(steps))

    async def main() -> CaseResult:
        async with server.running() as url:
            return by_id(await judge(make_target(url, timing=QUICK, **more), scenario_cases(path)))["quiet"]

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("server", "steps", "said"),
    [
        (DeafTo, (HEARS,), "mallory.phone got nothing, but nothing reaches it: nor did a message by alice"),
        (Mute, (ACKS, TELLS), "nothing came of what mallory.phone sent, but it is not heard"),
    ],
)
def test_a_server_that_is_deaf_to_somebody_does_not_pass_by_that(
    tmp_path: Path, server: type[Minimal], steps: tuple[str, ...], said: str
) -> None:
    found = quiet(tmp_path, server(), *steps)
    assert found.verdict is Verdict.FAIL
    assert {finding.requirement for finding in found.findings} == {"MSG-17"}
    assert found.findings[0].message.startswith(said)
    assert quiet(tmp_path, minimal(), *steps).verdict is Verdict.PASS


def test_each_device_must_hear(tmp_path: Path) -> None:
    found = quiet(tmp_path, DeafTo(), HEARS)
    assert {finding.actor for finding in found.findings} == {"mallory.phone", "mallory.laptop"}


def test_who_is_alone_hears_from_somebody_new(tmp_path: Path) -> None:
    found = quiet(tmp_path, DeafTo(), "    - drop: {as: alice}\n    - drop: {as: bob}\n", HEARS)
    assert "a message by envoy" in found.findings[0].message
    assert "envoy" in {line.actor for line in found.transcript}


def test_a_rate_that_nobody_stated_is_no_deafness(tmp_path: Path) -> None:
    # Alice's heartbeats and her message; the one at the end is one too many.
    found = quiet(tmp_path, minimal(limits={"burst": 3, "frames_per_second": 0.1}), HEARS)
    assert found.verdict is Verdict.PASS, found.findings
    assert any("rate_limited" in str(line.frame) for line in found.transcript)


def test_a_legacy_connection_gets_messages_in_a_form_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text((HEAD + HEARS).replace("mallory: {", "mallory: {legacy: true, "))

    async def main() -> CaseResult:
        async with DeafTo().running() as url:
            target = make_target(url, timing=QUICK, legacy={"query": "frames=1"})
            return by_id(await judge(target, scenario_cases(path)))["quiet"]

    assert asyncio.run(main()).verdict is Verdict.PASS


ADAPTER = """\
class Adapter:
    def inject_fault(self, count):
        return {}
"""


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ("c: base64", "c: {base64: '${limits.burst}'}"),
        ("  vars:", "  requires: {control: [inject_fault]}\n  vars:"),
    ],
    ids=["a limit", "a fault"],
)
def test_where_a_message_may_be_refused_none_is_sent(tmp_path: Path, was: str, now: str) -> None:
    path, adapter = tmp_path / "s.yaml", tmp_path / "adapter.py"
    path.write_text((HEAD + HEARS).replace(was, now))
    adapter.write_text(ADAPTER)

    async def main() -> CaseResult:
        async with DeafTo().running() as url:
            control = {"python": {"adapter": f"{adapter}:Adapter"}}
            limits = {"burst": 200, "frames_per_second": 50}
            target = make_target(url, timing=QUICK, control=control, limits=limits)
            return by_id(await judge(target, scenario_cases(path)))["quiet"]

    assert asyncio.run(main()).verdict is Verdict.PASS


class Hangs(Minimal):
    """Closes the connection on which a message is to reach a user with several devices."""

    async def write(self, peer: Peer, frame: dict[str, Any]) -> None:
        if frame["type"] == "deliver" and len(self.devices.get(peer.user, ())) > 1:
            await peer.socket.close(1011)
        else:
            await super().write(peer, frame)


def test_a_connection_that_ends_meanwhile_is_no_deafness(tmp_path: Path) -> None:
    found = quiet(tmp_path, Hangs(), HEARS)
    assert found.verdict is Verdict.FAIL
    assert {finding.requirement for finding in found.findings} == {None}
    assert {finding.actor for finding in found.findings} == {"mallory.phone", "mallory.laptop"}
    assert all("closed (1011" in finding.message for finding in found.findings)
