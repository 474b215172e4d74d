"""Flaky and deterministic failures, and who is to blame, in every form of the report."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console
from support.reports import VALIDATOR, case, finding, make

from relaykit.conformance import terminal
from relaykit.conformance.report import to_junit
from relaykit.conformance.reports.html import to_html
from relaykit.conformance.reports.markdown import to_markdown
from relaykit.conformance.reports.sarif import to_sarif
from relaykit.conformance.reports.text import rerun

FLAKY = {"result": "flaky", "runs": 3, "same": 1, "alone": True}
STEADY = {"result": "deterministic", "runs": 3, "same": 3, "alone": True}


def failing(**more: Any) -> dict[str, Any]:
    data = make([case("message-life", "fail", **more)])
    VALIDATOR.validate(data)
    return data


def on_terminal(data: dict[str, Any]) -> str:
    console = Console(width=160, highlight=False)
    with console.capture() as captured:
        terminal.show(data, console)
    return captured.get()


@pytest.mark.parametrize(
    "form", [on_terminal, to_html, to_markdown, to_sarif, to_junit], ids=lambda f: f.__name__
)
def test_each_form_names_a_flake_and_what_is_deterministic(form: Any) -> None:
    said = form(failing(stability=FLAKY))
    text = said if isinstance(said, str) else said.decode()
    assert "flaky 1/3" in text.lower()
    assert "it failed again in 1 of 3 runs alone" in text
    said = form(failing(stability=STEADY))
    text = said if isinstance(said, str) else said.decode()
    assert "deterministic" in text.lower()
    assert "flaky" not in text.lower().replace(".flaky", "").replace('class="flaky"', "")


@pytest.mark.parametrize(
    "form", [on_terminal, to_html, to_markdown, to_sarif, to_junit], ids=lambda f: f.__name__
)
@pytest.mark.parametrize(
    ("blame", "words"),
    [
        ("kit", "the kit, not the target"),
        ("environment", "the environment"),
        ("unspecified", "the source leaves this open"),
    ],
)
def test_each_form_says_who_is_to_blame(form: Any, blame: str, words: str) -> None:
    data = make([case("message-life", "fail", findings=[finding(blame=blame)])])
    said = form(data)
    assert words in (said if isinstance(said, str) else said.decode())


def test_a_flake_in_company_only_is_told_as_such() -> None:
    data = failing(stability={**FLAKY, "same": 0})
    assert "beside other cases, and in none of 3 runs alone" in on_terminal(data)
    data = failing(stability={"result": "flaky", "runs": 5, "same": 2, "alone": False})
    assert "fail in 2 of 5 runs" in on_terminal(data)


def test_a_flake_is_still_a_failure_for_machines() -> None:
    data = failing(stability=FLAKY)
    root = ElementTree.fromstring(to_junit(data))
    failure = root.find(".//testcase/failure")
    assert failure is not None
    assert failure.get("message", "").startswith("[flaky 1/3] ")
    (result,) = json.loads(to_sarif(data))["runs"][0]["results"]
    assert result["level"] == "error"
    assert result["properties"]["stability"] == "flaky 1/3"


def test_a_death_in_company_is_run_again_with_all_suspects() -> None:
    found = finding(None, actual={"died": "the target was killed", "suspects": ["one", "two"]})
    data = make([case("target-stays-up", "fail", kind="run", findings=[found], transcript=[])])
    assert "--run one --run two" in rerun(data, data["cases"][0])


def test_only_who_launches_a_server_may_use_its_seed_again() -> None:
    """One that runs on knows the seed's users and messages by now."""
    for more, again in (({}, False), ({"launch": "serve --port {port}"}, True)):
        data = make([case("message-life", "fail")])
        data["options"] |= more
        assert ("--seed" in rerun(data, data["cases"][0])) is again
