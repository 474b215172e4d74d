"""Guides say of the suite and of frames what is so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from relaykit.conformance.loader import load_files
from relaykit.conformance.probes import backlog, crowds, floods, sizes
from relaykit.docs_gen import build
from relaykit.docs_gen.guides import ORDER, read_guide
from relaykit.docs_gen.material import Material
from relaykit.docs_gen.suite import Told
from relaykit.errors import UsageError
from relaykit.schemas import load_catalogue

ROOT = Path(__file__).parents[2]
NOTHING = Told((), {}, "", {})


def test_the_guide_to_limits_states_what_the_suite_tries(files: Mapping[str, str]) -> None:
    said = files["guides/limits.md"].partition("## Limits and the suite")[2]
    assert f"up to {backlog._MOST} waiting messages" in said
    assert f"{crowds._MOST} connections of a user" in said
    assert f"a burst and a rate of {floods._LARGEST} frames together" in said
    assert f"frames of {sizes._LARGEST // 2**20} MiB" in said


def test_the_client_of_the_guide_asks_after_the_interval_of_the_catalogue(files: Mapping[str, str]) -> None:
    interval = load_catalogue().protocol.timing["ping_interval_s"].default
    asks = re.search(r"silent > ([0-9_]+)\) this\.#frame\(\{ type: \"heartbeat\"", files["guides/client.md"])
    assert asks is not None
    assert int(asks[1]) == 1000 * interval


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
        ("relaykit serve", "guides/commands.html#relaykit-serve"),
        ("survives-sigkill", "scenarios/probes.html#survives-sigkill"),
    ],
)
def test_what_the_guides_speak_of_is_found(
    documentation: build.Documentation, files: Mapping[str, str], name: str, place: str
) -> None:
    rows = build.search_entries(documentation.site, ".html")
    links = [row["href"] for row in rows if row["title"] == name]
    assert any(href.startswith(place) for href in links), links
    for href in links:
        page, _, anchor = href.partition("#")
        assert not anchor or f'id="{anchor}"' in files[page]


def test_a_guide_that_names_what_does_not_exist_fails_with_its_place(
    documentation: build.Documentation,
) -> None:
    material = Material(documentation.drawer.names, documentation.site.frames, {}, {}, {}, NOTHING)
    for line, said in (
        ("::limit", "no part 'limit'.*did you mean 'limits'"),
        ("::scenario nowhere", "no scenario 'nowhere'"),
        ("::rules XYZ", "no requirement or area 'XYZ'"),
        ("::frames nothing", "no frame or area called nothing"),
        ("::file nothing.js", "no file 'nothing.js'"),
        ("::example c2s/nothing", "no frame 'c2s/nothing'"),
        ("::example c2s/send:absent-word", "no example of c2s/send holds 'absent-word'"),
    ):
        with pytest.raises(UsageError, match=rf"guides/x\.md:6: .*{said}"):
            read_guide("x", f"# X\n\nAbout.\n\nWords.\n{line}\n", material)
    with pytest.raises(UsageError, match=r"x\.md:1: "):
        read_guide("x", "No title\n", material)


def test_the_checklist_for_servers_names_what_the_smallest_run_judges_and_nothing_else(
    files: Mapping[str, str],
) -> None:
    page = files["guides/suite.md"].partition("## Checklist")[2]
    named = set(re.findall(r"\| \[([A-Z]+-[0-9]+)\]", page))
    assert named >= {"CONN-04", "AUTH-09", "VAL-01", "MSG-12", "OFF-08", "KEEP-03", "ERR-04", "PRIV-03"}
    groups, crash, needs_control, floods = "GRP-02", "MSG-14", "OFF-07", "LIM-07"
    assert named.isdisjoint({groups, crash, needs_control, floods})
    public_key, second_key, origins, tls = "AUTH-06", "AUTH-23", "CONN-15", "TRAN-01"
    assert named.isdisjoint({public_key, second_key, origins, tls})


def test_the_guide_to_errors_says_of_each_code_what_to_do(
    documentation: build.Documentation, files: Mapping[str, str]
) -> None:
    advice = files["guides/errors.md"].partition("## What to do")[2]
    for code in documentation.catalogue.protocol.error_codes:
        assert f"| `{code}` |" in advice


def test_every_key_of_a_target_file_says_what_it_means(files: Mapping[str, str]) -> None:
    rows = [line for line in files["guides/target-file.md"].splitlines() if '<a id="key-' in line]
    assert len(rows) > 40
    assert [row for row in rows if row.rstrip().endswith("|  |")] == []


def test_guides_and_their_order_are_complete() -> None:
    assert {path.stem for path in (ROOT / "docs_gen/guides").glob("*.md")} == set(ORDER)


def test_the_scenario_that_the_guide_to_fuzzing_shows_is_one(
    files: Mapping[str, str], tmp_path: Path
) -> None:
    shown = files["guides/fuzzing.md"].partition("```yaml\n")[2].partition("```")[0]
    path = tmp_path / "found.yaml"
    path.write_text(shown)
    (scenario,) = load_files(load_catalogue(), [path])
    assert scenario.requirements == ("MSG-38", "OFF-03")
