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
