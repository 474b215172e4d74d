"""Before the first case: what is no target, which carrier works, and by whose clock tokens are made."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from fixtures import fakes
from support.suite import QUICK, all_cases, by_id, judge, make_target

from relaykit.conformance.preflight import skew_of
from relaykit.conformance.results import Verdict
from relaykit.errors import UnreachableError

CORE = ("message-life", "stranger-hears-nothing", "redelivery-until-acknowledged", "ack-by-a-stranger")


@pytest.mark.parametrize(
    ("talk", "said"),
    [
        (fakes.never_answers, "no answer to the handshake"),
        (fakes.says_rubbish, "no valid WebSocket handshake"),
        (fakes.hangs_up, "ends each without answering"),
        (fakes.refuses, "takes none of our tokens"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_no_target_is_said_before_the_first_case(talk: fakes.Talk, said: str) -> None:
    async def main() -> None:
        async with fakes.raw(talk) as url:
            with pytest.raises(UnreachableError, match=said) as caught:
                await judge(make_target(url, timing=QUICK), all_cases("message-life"))
        assert caught.value.hint

    asyncio.run(main())


def test_a_wrong_secret_is_said_as_such() -> None:
    async def main() -> None:
        other = {"mint": {"secret": {"value": "quite another secret, long enough"}}}
        async with fakes.minimal().running() as url:
            with pytest.raises(UnreachableError, match="takes none of our tokens") as caught:
                await judge(make_target(url, tokens=other), all_cases("message-life"))
        assert "secret" in str(caught.value.hint)

    asyncio.run(main())


def test_the_carrier_that_works_is_used() -> None:
    async def main() -> None:
        server = fakes.minimal()
        plain = server.token

        def query_only(request: fakes.Request) -> str | None:
            return plain(request) if "token=" in request.path else None

        server.token = query_only
        async with server.running() as url:
            result = await judge(
                make_target(url), all_cases("message-life", "carrier-header", "carrier-query")
            )
        assert result.carrier == "query"
        cases = by_id(result)
        assert cases["message-life"].verdict is Verdict.PASS
        assert cases["carrier-query"].verdict is Verdict.PASS
        assert cases["carrier-header"].verdict is Verdict.FAIL

    asyncio.run(main())


def test_a_carrier_whose_connection_ends_without_a_word_is_not_the_one_that_works() -> None:
    async def main() -> None:
        server = fakes.minimal("bare-close")
        plain = server.token
        server.token = lambda request: plain(request) if "token=" in request.path else None
        async with server.running() as url:
            result = await judge(make_target(url), all_cases("message-life", "carrier-header"))
        assert result.carrier == "query"
        assert "header: opened, then closed (1008)" in result.notes[0]
        cases = by_id(result)
        assert cases["message-life"].verdict is Verdict.PASS
        assert {finding.requirement for finding in cases["carrier-header"].findings} == {"CONN-03"}

    asyncio.run(main())


def test_every_token_answered_by_a_bare_close_is_said_before_the_first_case() -> None:
    async def main() -> None:
        other = {"mint": {"secret": {"value": "quite another secret, long enough"}}}
        async with fakes.minimal("bare-close").running() as url:
            with pytest.raises(
                UnreachableError, match=r"takes none of our tokens .*closed \(1008\)"
            ) as caught:
                await judge(make_target(url, tokens=other), all_cases("message-life"))
        assert "secret" in str(caught.value.hint)

    asyncio.run(main())


def test_a_target_that_ends_whoever_sends_a_heartbeat_is_judged_by_the_first_carrier() -> None:
    async def main() -> None:
        async with fakes.minimal("closes-on-heartbeat").running() as url:
            result = await judge(make_target(url, timing=QUICK), all_cases("acknowledged-*"))
        assert result.carrier == "header"
        assert any("a heartbeat is not answered (closed (1003))" in note for note in result.notes)

    asyncio.run(main())


@pytest.mark.parametrize("after", [0.0, 0.3, 0.6, 0.99])
def test_a_clock_that_tells_whole_seconds_has_the_same_skew_whenever_it_is_asked(after: float) -> None:
    assert skew_of(1000.0, 1.0, 1000.0 + after) == 0
    assert skew_of(1000.0, 1.0, 1000.0 + after + 0.2) == 0, "its answer takes a while"
    assert abs(skew_of(1060.0, 1.0, 1000.0 + after) - 60) <= 1
    assert skew_of(1000.0 + after + 0.25, 0.001, 1000.0 + after) == pytest.approx(0.25, abs=0.002)


def test_tokens_follow_the_clock_that_judges_them() -> None:
    async def main() -> None:
        short = {"mint": {"secret": {"value": fakes.SECRET}, "lifetime_s": 2400}}
        for fault, said in (
            ("clock-ahead", "made by its clock"),
            ("clock-behind", "made by its clock"),
            ("stamps-ahead", "by another"),
        ):
            async with fakes.minimal(fault).running() as url:
                result = await judge(
                    make_target(url, tokens=short), all_cases("message-life", "token-expired")
                )
            (note,) = result.notes
            assert said in note
            assert {by_id(result)[name].verdict for name in ("message-life", "token-expired")} == {
                Verdict.PASS
            }

    asyncio.run(main())


def test_a_clock_that_was_moved_beyond_the_life_of_tokens_is_asked_for(tmp_path: Path) -> None:
    adapter = tmp_path / "control.py"
    adapter.write_text(
        f"""
from datetime import UTC, datetime, timedelta

class Adapter:
    def advance_clock(self, seconds):
        return {{"now": (datetime.now(UTC) + timedelta(seconds={fakes.AHEAD_S})).isoformat()[:23] + "Z"}}
"""
    )
    control = {"python": {"adapter": f"{adapter}:Adapter"}}
    short = {"mint": {"secret": {"value": fakes.SECRET}, "lifetime_s": 600}}

    async def main() -> None:
        async with fakes.minimal("clock-ahead").running() as url:
            with pytest.raises(UnreachableError, match="takes none of our tokens"):
                await judge(make_target(url, tokens=short), all_cases("message-life"))
            target = make_target(url, tokens=short, control=control)
            result = await judge(target, all_cases("message-life", "token-expired"))
        assert {by_id(result)[name].verdict for name in ("message-life", "token-expired")} == {Verdict.PASS}
        assert [note for note in result.notes if "made by its clock" in note]

    asyncio.run(main())
