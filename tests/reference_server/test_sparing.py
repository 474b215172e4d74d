"""The log does not grow as fast as clients can make it."""

from __future__ import annotations

import logging

import pytest

from relaykit.reference_server.clock import Clock
from relaykit.reference_server.sparing import AGAIN_S, MOST_NAMED, Sparing

log = logging.getLogger(__name__)


def test_a_warning_is_said_at_once_and_then_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    sparing = Sparing(clock)
    for number in range(5):
        sparing.warn(log, "closing no. %d", number)
        sparing.warn(log, "refusing %s", "connections")
    assert caplog.messages == ["closing no. 0", "refusing connections"]
    clock.advance(AGAIN_S)
    for number in range(5, 7):
        sparing.warn(log, "closing no. %d", number)
    assert caplog.messages[2:] == ["closing no. 5; 4 more since it was said"]
    clock.advance(AGAIN_S)
    sparing.warn(log, "closing no. %d", 7)
    clock.advance(AGAIN_S)
    sparing.warn(log, "closing no. %d", 8)
    assert caplog.messages[3:] == ["closing no. 7; 1 more since it was said", "closing no. 8"]


def test_each_of_a_few_whom_a_warning_is_about_is_named(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    sparing = Sparing(clock)
    for _ in range(2):
        for number in range(MOST_NAMED + 2):
            sparing.warn(log, "refusing user %d", number, about=number)
    assert caplog.messages == [f"refusing user {number}" for number in range(MOST_NAMED)]
    clock.advance(AGAIN_S)
    for number in (1, 2):
        sparing.warn(log, "refusing user %d", number, about=number)
    unsaid = MOST_NAMED + 4
    assert caplog.messages[MOST_NAMED:] == [
        f"refusing user 1; {unsaid} more since it was said",
        "refusing user 2",
    ]
