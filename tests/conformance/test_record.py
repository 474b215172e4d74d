"""The choke point: what every arriving message is judged by, whichever case it comes in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.suite import every_case

from relaykit.conformance.judge import JUDGE_ALL, shape_cases
from relaykit.conformance.record import INTERNALS, Recorder, ShapeBook
from relaykit.schemas import load_catalogue

CATALOGUE = load_catalogue()


def findings(message: str) -> list[tuple[str | None, str]]:
    book = ShapeBook()
    payload: dict[str, Any] = {
        "error_code": "server_error",
        "message": message,
        "timestamp": "2026-03-01T09:30:00Z",
        "reconnect": True,
    }
    Recorder(CATALOGUE, book, "some-case").arrived(
        "alice", json.dumps({"type": "error", "payload": payload}).encode()
    )
    results = shape_cases(CATALOGUE, book, JUDGE_ALL)
    return [(finding.requirement, finding.severity) for result in results for finding in result.findings]


@pytest.mark.parametrize(
    "said",
    [
        'Traceback (most recent call last):\n  File "/srv/relay/hub.py", line 7',
        "hub.js:112 cannot read properties of undefined",
        "no such file: /var/../home/relay/key",
        "<Session object at 0x7f3a91>",
        "INSERT INTO messages VALUES (?, ?) failed",
    ],
)
def test_an_error_that_tells_of_the_servers_inside_is_found_in_any_case(said: str) -> None:
    assert findings(said) == [("ERR-08", "fail")]


@pytest.mark.parametrize(
    "said", ["the payload has no ciphertext", "select a receiver from your contacts", "24/7"]
)
def test_what_an_error_may_say(said: str) -> None:
    assert not findings(said)


def test_the_case_about_it_looks_for_the_same() -> None:
    (case,) = (case for case in every_case() if case.id == "error-says-no-internals")
    assert case.scenario is not None
    assert case.scenario.vars["harmless"].argument == rf"(?s)\A(?!.*{INTERNALS})"


def named(data: str) -> set[tuple[str, str | None]]:
    book = ShapeBook()
    Recorder(CATALOGUE, book, "some-case").arrived("alice", data.encode())
    results = shape_cases(CATALOGUE, book, JUDGE_ALL)
    return {(each.case.id, finding.requirement) for each in results for finding in each.findings}


def test_a_field_that_a_server_adds_to_an_envelope_has_its_form() -> None:
    stamped = '{"type": "heartbeat_ack", "timestamp": "2026-03-01T09:30:00Z", "sender_id": %s}'
    assert named(stamped % json.dumps("server")) == {
        ("shape-heartbeat-ack", "ENV-12"),
        ("shape-heartbeat-ack", "VAL-23"),
    }
    assert not named(stamped % json.dumps("6ba7b810-9dad-11d1-80b4-00c04fd430c8"))


def test_a_field_that_the_type_demands_breaks_the_form_alone() -> None:
    ack = '{"type": "heartbeat_ack", "timestamp": "yesterday"}'
    assert ("shape-heartbeat-ack", "ENV-12") not in named(ack)


def test_frames_joined_by_line_breaks_are_several_frames_and_no_bad_json() -> None:
    ping = '{"type": "ping"}'
    assert named(f"{ping}\n{ping}") == {("shape-messages", "ENV-03")}
    assert named(f"{ping}\n{{") == {("shape-messages", "ENV-02")}
