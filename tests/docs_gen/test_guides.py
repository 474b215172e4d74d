"""Guides say of the suite and of frames what is so."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from relaykit.conformance.probes import backlog, crowds, floods, sizes
from relaykit.docs_gen import build
from relaykit.schemas import load_catalogue


@pytest.fixture(scope="module")
def documentation() -> build.Documentation:
    return build.documentation(load_catalogue())


@pytest.fixture(scope="module")
def files(documentation: build.Documentation) -> Mapping[str, str]:
    return build.site_files(documentation)


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


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("Getting started", "index.html"),
        ("RELAYKIT_SECRET", "guides/server.html#what-the-suite-gives-you"),
        ("{control_port}", "guides/"),
        ("--launch", "guides/"),
        ("untestable", "guides/"),
        ("smoke", "guides/suite.html"),
        ("profile", "guides/suite.html"),
        ("Durable", "guides/server.html#4-messages"),
        ("JSON Schema", "reference/downloads.html"),
        ("uuid", "reference/types.html#uuid"),
        ("pacing", "guides/target-file.html#key-pacing"),
        ("advance_clock", "guides/control.html#control-advance_clock"),
        ("inject_fault", "guides/control.html#control-inject_fault"),
        ("survives-sigkill", "scenarios/probes.html#survives-sigkill"),
    ],
)
def test_what_the_guides_speak_of_is_found(
    documentation: build.Documentation, files: Mapping[str, str], name: str, place: str
) -> None:
    links = [href for title, _, href, _ in build.search_entries(documentation.site) if title == name]
    assert any(href.startswith(place) for href in links), links
    for href in links:
        page, _, anchor = href.partition("#")
        assert not anchor or f'id="{anchor}"' in files[page]
