"""No scenario holds against a server what is not judged, or what is right in any year to come."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping

import pytest
from support.control import TOKEN, bench
from support.server import SECRET
from support.suite import PATIENT, all_cases, judge, make_target

from relaykit.conformance.grammar import Expect, Match, walk
from relaykit.conformance.results import RunResult
from relaykit.reference_server import messages
from relaykit.reference_server.app import App
from relaykit.reference_server.session import Session
from relaykit.schemas import load_catalogue


def test_a_server_that_copies_to_the_senders_other_devices_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    acknowledge = messages._acknowledge

    def copying(app: App, session: Session, message_id: str, at: str) -> None:
        acknowledge(app, session, message_id, at)
        payload = {"receiver_id": session.user, "ciphertext": "q83v", "message_type": "text"}
        copy = app.frames.deliver(json.dumps(payload), message_id, session.user, at)
        for other in app.hub.of_user(session.user):
            if other.device != session.device and not other.legacy:
                app.turn.send(other, copy)

    async def main() -> RunResult:
        monkeypatch.setattr(messages, "_acknowledge", copying)
        several = [
            case
            for case in all_cases("kind:scenario")
            if case.scenario
            and not case.slow
            and any(len(actor.devices) > 1 for actor in case.scenario.actors.values())
        ]
        async with bench() as served:
            target = make_target(
                served.server.url,
                tokens={"mint": {"secret": {"value": SECRET}}},
                control={"http": {"url": served.server.server.control_url, "token": {"value": TOKEN}}},
                capabilities=dict.fromkeys(load_catalogue().protocol.capabilities, True),
                timing=PATIENT,
            )
            return await judge(target, several)

    result = asyncio.run(main())
    found = [(case.case.id, finding.message) for case in result.cases for finding in case.findings]
    assert not found


def test_a_timestamp_of_any_year_is_as_good_as_one_of_today() -> None:
    patterns = {
        part["timestamp"].pattern
        for case in all_cases("kind:scenario")
        if case.scenario
        for step in walk(case.scenario.steps)
        if isinstance(step, Expect)
        for part in (step.frame, step.frame.get("payload"))
        if isinstance(part, Mapping) and isinstance(part.get("timestamp"), Match)
    }
    assert patterns
    for year in range(2025, 2100):
        for pattern in patterns:
            assert re.search(pattern, f"{year}-01-01T00:00:00Z"), (pattern, year)
