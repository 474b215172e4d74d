"""Guides say of the suite and of frames what is so."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from relaykit.conformance.probes import backlog, crowds, floods, sizes
from relaykit.docs_gen import build
from relaykit.schemas import load_catalogue


@pytest.fixture(scope="module")
def files() -> Mapping[str, str]:
    return build.markdown_files(build.documentation(load_catalogue()))


def test_the_guide_to_limits_states_what_the_suite_tries(files: Mapping[str, str]) -> None:
    said = files["guides/limits.md"].partition("## Limits and the suite")[2]
    assert f"up to {backlog._MOST} waiting messages" in said
    assert f"{crowds._MOST} connections of a user" in said
    assert f"a burst and a rate of {floods._LARGEST} frames together" in said
    assert f"frames of {sizes._LARGEST // 2**20} MiB" in said


@pytest.mark.parametrize(
    ("guide", "word"), [("connecting", '"auth_failed"'), ("groups", '"group_id": "group-')]
)
def test_the_first_example_of_a_guide_is_of_what_it_speaks(
    files: Mapping[str, str], guide: str, word: str
) -> None:
    assert word in files[f"guides/{guide}.md"].partition("```json")[2].partition("```")[0]


def test_a_probe_says_on_which_targets_it_judges(files: Mapping[str, str]) -> None:
    about = files["scenarios/probes.md"].partition("## tls-versions\n")[2].partition("\n## ")[0]
    assert "Where: The target is reached by wss://." in about
