"""`relaykit list`, `relaykit explain` and the help: what a reader asks before anything runs."""

from __future__ import annotations

import asyncio
import json

from support.suite import relaykit


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


def test_the_help_teaches() -> None:
    ended = asyncio.run(relaykit("test", "--help"))
    for part in ("--launch", "Exit codes", "not-applicable", "area:", "RELAYKIT_SECRET", "relaykit test -t"):
        assert part in ended.out
