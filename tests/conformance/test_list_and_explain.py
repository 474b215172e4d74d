"""`relaykit list`, `relaykit explain` and the help: what a reader asks before anything runs."""

from __future__ import annotations

import asyncio
import json

from support.suite import every_case, relaykit

from relaykit.conformance.cases import select
from relaykit.schemas import load_catalogue


def test_list_shows_cases_as_text_and_json() -> None:
    ended = asyncio.run(relaykit("list", "--run", "area:messages"))
    assert ended.code == 0
    assert "message-life" in ended.out
    assert "token-unsigned" not in ended.out
    ended = asyncio.run(relaykit("list", "--run", "token-*", "--format", "json"))
    cases = {case["id"]: case for case in json.loads(ended.out)}
    assert cases["token-unsigned"]["requirements"][0] == "AUTH-05"
    assert cases["token-unsigned"]["source"].split(":")[0].endswith("tokens.py")


def test_explain_knows_requirements_and_cases() -> None:
    ended = asyncio.run(relaykit("explain", "msg-12"))
    assert ended.code == 0
    for part in ("MSG-12 (MUST)", "source", "documented", "proved by", "message-life", "get wrong", "  - "):
        assert part in ended.out
    ended = asyncio.run(relaykit("explain", "message-life"))
    assert "alice ──▶ server   send" in ended.out
    assert "in any order:" in ended.out
    assert "[MSG-12]" in ended.out
    assert "what servers get wrong" in ended.out
    ended = asyncio.run(relaykit("explain", "mesage-life"))
    assert ended.code == 2
    assert "did you mean 'message-life'?" in ended.err


def test_what_only_reports_show_is_explained_and_listed() -> None:
    for name, said in {
        "dialect-sent-ack": "what the target file's `dialect` had to change",
        "shape-deliver": "the shape of every such frame",
        "shape-messages": "Every message that arrives is a frame",
        "target-stays-up": "deaths of the target",
    }.items():
        ended = asyncio.run(relaykit("explain", name))
        assert (ended.code, said in ended.out) == (0, True), ended
        assert f"--run {name}" in ended.out
    ended = asyncio.run(relaykit("list", "--run", "dialect*"))
    assert "dialect-sent-ack" in ended.out
    assert "message-life" not in ended.out
    ended = asyncio.run(relaykit("list", "--run", "shape-sent*", "--run", "message-life", "--format", "json"))
    assert {case["id"]: case["kind"] for case in json.loads(ended.out)} == {
        "message-life": "scenario",
        "shape-sent-ack": "shape",
    }


def test_what_others_show_runs_those_that_can_show_it() -> None:
    catalogue = load_catalogue()
    run = {case.id for case in select(catalogue, every_case(), run=["dialect-sent-ack"], profile="default")}
    assert run == {c.id for c in every_case() if "sent_ack" in c.frames and not c.slow}
    # A pattern that fits cases chooses those, whatever else it fits.
    assert [case.id for case in select(catalogue, every_case(), run=["*-delivery-ack"])] == [
        "refuses-bad-delivery-ack"
    ]


def test_the_help_teaches() -> None:
    ended = asyncio.run(relaykit("test", "--help"))
    for part in ("--launch", "Exit codes", "not-applicable", "area:", "RELAYKIT_SECRET", "relaykit test -t"):
        assert part in ended.out
