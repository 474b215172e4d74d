"""Capabilities that the target file leaves open: tried before the first case, and what was found is said."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fixtures import fakes
from support.control import TOKEN, bench
from support.server import SECRET
from support.suite import PATIENT, QUICK, all_cases, as_report, every_case, judge, make_target

from relaykit.conformance.capabilities import tells_what_is_served
from relaykit.conformance.results import OPEN_CONNECTION, CaseResult, Finding, RunResult, Verdict
from relaykit.conformance.target import Target
from relaykit.schemas import load_catalogue

OPEN = dict.fromkeys(("groups", "presence", "typing", "media_keys", "calls", "sync", "devices"), "probe")


def verdicts(result: RunResult) -> dict[str, Verdict]:
    return {case.case.id: case.verdict for case in result.cases}


def run(url: str, *cases: str, **more: Any) -> Any:
    async def main() -> tuple[RunResult, Target]:
        target = make_target(url, capabilities=OPEN, **more)
        return await judge(target, all_cases(*cases), try_all=True), target

    return main()


def test_what_a_server_serves_is_found_and_judged() -> None:
    async def main() -> tuple[RunResult, Target]:
        async with bench() as served:
            control = {"http": {"url": served.server.server.control_url, "token": {"value": TOKEN}}}
            tokens = {"mint": {"secret": {"value": SECRET}}}
            found: tuple[RunResult, Target] = await run(
                served.server.url,
                "media-*",
                "group-*",
                "call-*",
                tokens=tokens,
                control=control,
                timing=PATIENT,
            )
            return found

    result, target = asyncio.run(main())
    data = as_report(result, target)
    tried = data["target"]["tried"]
    assert {name for name, found in tried.items() if found["served"]} == set(OPEN), tried
    assert set(data["target"]["capabilities"]) == {"core", *OPEN}
    assert all(any(name in note and "served" in note for note in result.notes) for name in OPEN)
    assert Verdict.NOT_APPLICABLE not in verdicts(result).values()
    assert Verdict.FAIL not in verdicts(result).values(), result.unexpected


def test_what_it_does_not_serve_is_not_applicable_with_what_was_tried() -> None:
    async def main() -> tuple[RunResult, Target]:
        async with fakes.minimal().running() as url:
            found: tuple[RunResult, Target] = await run(url, "media-*", "group-*", timing=QUICK)
            return found

    result, target = asyncio.run(main())
    data = as_report(result, target)
    tried = data["target"]["tried"]
    assert not any(found["served"] for found in tried.values()), tried
    assert "bob expected media_key; nothing came within" in tried["media_keys"]["said"]
    assert "no control interface" in tried["groups"]["said"]
    assert data["target"]["capabilities"] == ["core"]
    shown = {name: verdict for name, verdict in verdicts(result).items() if not name.startswith("shape-")}
    assert set(shown.values()) == {Verdict.NOT_APPLICABLE}
    claims = {claim["name"]: claim["verdict"] for claim in data["outcome"]["profiles"]}
    assert claims["groups"] == "not-declared"


@pytest.mark.parametrize(
    ("said", "expected", "tells"),
    [
        ("alice cannot send: closed (4401)", OPEN_CONNECTION, False),
        ("bob expected media_key, but closed (1003)", {"type": "media_key"}, True),
    ],
)
def test_a_connection_that_was_not_there_to_send_tells_nothing_of_what_is_served(
    said: str, expected: Any, tells: bool
) -> None:
    """A target file that says `false` for that would silence those cases for good."""
    finding = Finding(None, "MUST", None, "fail", "target", said, expected, None, "", "alice", 0.0)
    result = CaseResult(all_cases("message-life")[0], Verdict.FAIL, (finding,))
    assert tells_what_is_served(result) is tells


def test_every_case_needs_the_capabilities_of_its_requirements() -> None:
    """What a target does not declare is not judged, but that what is malformed is refused."""
    catalogue = load_catalogue()
    for case in every_case():
        needed = {catalogue.requirements[name].capability for name in case.requirements} - {None}
        assert needed <= case.capabilities or case.id.startswith("refuses-bad-"), case.id
