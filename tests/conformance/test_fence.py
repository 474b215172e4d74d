"""What shows that nothing came: a heartbeat of the observer's own, or a later message from who acted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fixtures import fakes
from support.suite import PATIENT, all_cases, by_id, judge, make_target, scenario_cases

from relaykit.conformance.results import Case, CaseResult, Verdict

SHORT = """\
- id: own-short
  title: Nothing reaches a stranger
  catches: A server that broadcasts.
  area: privacy
  actors: {alice: {}, bob: {}, mallory: {}}
  vars: {m: uuid, c: base64}
  steps:
    - send:
        as: alice
        frame:
          type: send
          message_id: "${m}"
          payload: {receiver_id: "${bob.id}", ciphertext: "${c}", message_type: text}
    - expect: {as: alice, frame: {type: sent_ack}, req: MSG-02}
    - none: {actors: [mallory], req: PRIV-01}
"""


def judged(case: Case, fence: str, *faults: str) -> CaseResult:
    async def main() -> CaseResult:
        async with fakes.minimal(*faults).running() as url:
            target = make_target(url, timing={**PATIENT, "fence": fence})
            return by_id(await judge(target, [case]))[case.id]

    return asyncio.run(main())


def test_a_later_message_finds_what_comes_long_after_a_heartbeat(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(SHORT)
    (case,) = scenario_cases(tmp_path / "own.yaml")
    # Passed on in order, but long after heartbeats are answered: the observer's own heartbeat marks nothing.
    assert judged(case, "heartbeat", "slow-fanout", "leak").verdict is Verdict.PASS
    for faults in (("slow-fanout", "leak"), ("slow-fanout", "leak", "no-heartbeat")):
        found = judged(case, "frame", *faults)
        assert "PRIV-01" in {finding.requirement for finding in found.findings}, found
    assert judged(case, "frame", "slow-fanout").verdict is Verdict.PASS


@pytest.mark.parametrize("name", ["stranger-hears-nothing", "message-life", "redelivery-until-acknowledged"])
def test_the_suites_own_messages_are_seen_by_no_scenario(name: str) -> None:
    (case,) = all_cases(name)
    result = judged(case, "frame")
    assert result.verdict is Verdict.PASS, result.findings
    marks = [line for line in result.transcript if line.kit and isinstance(line.frame, dict)]
    senders = {m.frame["message_id"]: m.actor.split(".")[0] for m in marks if m.frame["type"] == "send"}
    came = [m for m in marks if m.frame["type"] == "deliver"]
    assert senders
    assert {m.frame["message_id"] for m in came} == set(senders)
    assert len([m for m in marks if m.frame["type"] == "delivery_ack"]) == len(came)
    # Nobody writes back by it: two who have written to each other would be in contact.
    pairs = {(senders[m.frame["message_id"]], m.actor.split(".")[0]) for m in came}
    assert not {(two, one) for one, two in pairs} & pairs


BOTH_ACT = """\
    - expect: {as: bob, frame: {type: deliver, message_id: "${m}"}, req: MSG-16}
    - none: {actors: [bob], req: MSG-20}
    - send: {as: bob, frame: {type: delivery_ack, message_id: "${m}"}}
    - expect: {as: alice, frame: {type: status_update}, req: MSG-21}
    - none: {actors: [alice], req: MSG-23}
"""


def test_no_message_of_the_suites_own_goes_back_where_one_went(tmp_path: Path) -> None:
    head, _, _ = SHORT.rpartition("    - none:")
    (tmp_path / "own.yaml").write_text(head + BOTH_ACT)
    result = judged(scenario_cases(tmp_path / "own.yaml")[0], "frame")
    assert result.verdict is Verdict.PASS, result.findings
    marks = [line for line in result.transcript if line.kit and isinstance(line.frame, dict)]
    came = [line for line in marks if line.frame["type"] == "deliver"]
    assert "bob" in {line.actor for line in came}
    assert "alice" not in {line.actor for line in came}, "they would be in contact by that"
