"""Connections come no faster than the target file permits."""

from __future__ import annotations

import asyncio

from fixtures import fakes
from support.suite import all_cases, judge, make_target

from relaykit.conformance.pacing import Pace
from relaykit.conformance.results import Verdict


def test_turns_keep_their_distance() -> None:
    async def main() -> list[float]:
        pace, times = Pace(50), [asyncio.get_running_loop().time()]

        async def one() -> None:
            await pace.turn()
            times.append(asyncio.get_running_loop().time())

        await asyncio.gather(*(one() for _ in range(6)))
        return times

    times = asyncio.run(main())
    # The first turn is at once; each further one at least 20 ms later, less what a clock's tick is.
    assert times[-1] - times[0] >= 0.095


def test_a_run_is_no_faster_than_permitted() -> None:
    async def main() -> tuple[float, int]:
        server = fakes.minimal()
        async with server.running() as url:
            target = make_target(url, pacing={"connections_per_second": 20})
            started = asyncio.get_running_loop().time()
            result = await judge(target, all_cases("message-life", "delivered-once"))
            took = asyncio.get_running_loop().time() - started
        assert {case.verdict for case in result.cases if case.case.kind != "shape"} == {Verdict.PASS}
        return took, len(server.handshakes)

    took, connections = asyncio.run(main())
    assert connections >= 5
    assert took >= (connections - 1) / 20
