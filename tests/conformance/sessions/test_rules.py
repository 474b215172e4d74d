"""What sessions know of a target, from its target file alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from relaykit.conformance.aiming import aim
from relaykit.conformance.sessions.rules import rules_of
from relaykit.conformance.sessions.state import Rules
from relaykit.conformance.setup import Given
from relaykit.schemas import load_catalogue

TARGET = """
url: ws://127.0.0.1:9/ws
tokens: {mint: {secret: {env: RELAYKIT_SECRET}}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RELAYKIT_SECRET", "the signing key of the tests, long enough")
    return tmp_path


def rules(folder: Path, *lines: str) -> Rules:
    file = folder / "target.yaml"
    file.write_text(TARGET + "\n".join(lines))
    catalogue = load_catalogue()
    target = aim(catalogue, Given(file, None, None, None, (), {})).target
    environment: Any = SimpleNamespace(target=target, catalogue=catalogue)
    return rules_of(environment)


def test_only_what_a_target_file_states_of_limits_is_gone_beyond(folder: Path) -> None:
    assert (rules(folder).crowd, rules(folder).flood) == (0, 0)
    stated = rules(folder, "limits: {connections_per_user: 9, frames_per_second: 20, burst: 30}")
    assert (stated.crowd, stated.flood) == (9, 70)
    many = rules(folder, "limits: {connections_per_user: 900, frames_per_second: 2000, burst: 3000}")
    assert (many.crowd, many.flood) == (0, 0), "too many to be steps of a session"
    assert rules(folder, "limits: {connections_per_user: 5}").crowd == 0, "as many as there are devices"


def test_messages_that_wait_may_be_as_few_as_the_protocol_lets_them_where_no_file_says(folder: Path) -> None:
    assert rules(folder).waiting == 1
    assert rules(folder, "limits: {waiting_per_user: 10000}").waiting == 10000


def test_requests_expire_where_the_clock_can_be_moved_and_silence_ends_nothing(folder: Path) -> None:
    control = "control: {command: {run: [control], operations: [advance_clock]}}"
    assert not rules(folder).expires
    assert rules(folder, control, "timing: {idle_timeout_s: 90}").expires
    assert not rules(folder, control, "timing: {idle_timeout_s: 30}").expires
