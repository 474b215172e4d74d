"""The clock: what it says, its timers, and moving it."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import pytest
from support.server import in_loop

import relaykit.reference_server
from relaykit.reference_server.clock import Clock


@in_loop
async def test_advancing_runs_timers_in_order_each_at_its_own_time() -> None:
    clock = Clock()
    start = clock.monotonic()
    seen: list[tuple[str, int]] = []

    def note(name: str) -> None:
        seen.append((name, round(clock.monotonic() - start)))
        if name == "b":
            clock.call_later(5, note, "from b")

    for delay, name in ((30, "c"), (10, "a"), (20, "b"), (10, "a2"), (100, "late")):
        clock.call_later(delay, note, name)
    withdrawn = clock.call_later(15, note, "withdrawn")
    withdrawn.cancel()
    withdrawn.cancel()
    wall = clock.now()
    clock.advance(50)
    assert seen == [("a", 10), ("a2", 10), ("b", 20), ("from b", 25), ("c", 30)]
    assert 50 <= clock.now() - wall < 51
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)
    clock.close()


@in_loop
async def test_timers_also_run_by_themselves_and_after_the_clock_was_moved() -> None:
    clock = Clock()
    first, second = asyncio.Event(), asyncio.Event()
    clock.call_later(3600, first.set)
    clock.call_later(3600.02, second.set)
    clock.call_later(0.001, clock.advance, 3599.99)
    await asyncio.wait_for(first.wait(), 5)
    await asyncio.wait_for(second.wait(), 5)
    clock.close()


@in_loop
async def test_what_is_to_be_read_comes_before_timers_though_the_process_stands_still_twice() -> None:
    clock, reads = Clock(), asyncio.Event()
    seen: list[str] = []
    clock.call_later(0.01, seen.append, "timer")
    clock.call_later(0.02, reads.set)
    for _ in range(2):
        time.sleep(0.3)  # noqa: ASYNC251  (what a SIGSTOP does)
        clock._tick()  # the event loop may come to its timers before it comes to what is to be read
        assert seen == []
    asyncio.get_running_loop().call_soon(seen.append, "read")
    await asyncio.wait_for(reads.wait(), 5)
    assert seen == ["read", "timer"]
    clock.close()


@in_loop
async def test_a_breath_that_another_timer_replaces_is_not_taken_for_the_next_one() -> None:
    clock = Clock()
    seen: list[str] = []
    late = clock.call_later(0.01, seen.append, "withdrawn")
    time.sleep(0.3)  # noqa: ASYNC251
    clock._tick()
    late.cancel()
    clock.advance(0.1)
    clock.call_later(0.01, seen.append, "timer")
    time.sleep(0.3)  # noqa: ASYNC251
    clock._tick()
    assert seen == []
    clock.close()


@in_loop
async def test_timers_run_at_last_though_the_process_is_always_late() -> None:
    clock = Clock()
    seen: list[str] = []
    clock.call_later(0.01, seen.append, "timer")
    for _ in range(20):
        if seen:
            break
        time.sleep(0.2)  # noqa: ASYNC251
        clock._tick()
    assert seen == ["timer"]
    clock.close()


@in_loop
async def test_a_failing_timer_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    seen: list[int] = []
    clock.call_later(1, lambda: 1 / 0)
    clock.call_later(1, seen.append, 2)
    clock.advance(2)
    assert seen == [2]
    assert "a timer failed" in caplog.text


@in_loop
async def test_cancelled_timers_do_not_pile_up() -> None:
    clock = Clock()
    for _ in range(10_000):
        clock.call_later(3600, print).cancel()
    assert len(clock._heap) < 200
    clock.close()


def test_stamps_are_rfc_3339() -> None:
    clock = Clock()
    assert clock.stamp(0) == "1970-01-01T00:00:00.000Z"
    assert clock.stamp(1764831600.0625) == "2025-12-04T07:00:00.062Z"
    assert clock.stamp(1e12) == clock.stamp(1e300) == "9999-12-31T23:59:59.000Z"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", clock.stamp())


def test_nothing_else_in_the_server_reads_time_or_sets_timers() -> None:
    folder = Path(relaykit.reference_server.__file__).parent
    for path in folder.glob("*.py"):
        if path.name != "clock.py":
            text = path.read_text()
            assert not re.search(
                r"\btime\.(time|monotonic|perf_counter)\b|^import time|datetime\.now|loop\.time", text
            ), path
            assert not re.search(r"loop\(\)\.call_(later|at)|loop\.call_(later|at)", text), path
