"""How many messages the reference server routes, as ratios to the stock `websockets` server.

    python benchmarks/server_throughput.py [--count 20000] [--repeat 7]

Every server runs on uvloop in a process of its own. They are measured in turns, and each ratio is taken
within one turn; what is shown are medians of these. "by wall" is throughput: on a machine that does other
work it says little. "by CPU" compares the CPU time that the server processes spent on a message, which others
disturb less (they still cost caches). "load" is the share of one core that the client needed: well below 1.0,
it waited for the server.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import uvloop
from server_client import Run, echo, new_store, reference, route, started, stock

# Of a message in memory, 8 µs, the interpreter takes half, SQLite an eighth, the kernel an eighth, checking
# by the schema a tenth (half of that for the pattern of the ciphertext). Tried, and not kept, with its gain:
# - pages of 8 or 16 KiB: nothing.
# - frames stored as text, which the sqlite3 module binds without a copy: 1 %, for casts wherever one is read.
# - a turn's lists filled by the dispatcher itself, without calls: nothing that could be told from noise.
# - all ids in one compact hash table from the first on, no dict of recent ones: 5 % slower, by cache misses;
#   so it is with 4,096 recent ones at most.
# - the index of ids filled from Python, sorted there: 1.7 times the time of INSERT ... SELECT ... ORDER BY.
# - anyOf for oneOf in flattened schemas, and types as lists for anyOf with null: 0 to 0.03 µs.
# A commit in a thread, while the loop reads on, was not tried: a log that is long enough from the start has
# halved what there is to wait for.
SHAPES = {"1 connection, window 64": (1, 64), "50 pairs, window 16": (50, 16)}
ECHO, ROUTE, DISK, MEMORY = "stock echo", "stock route", "relaykit, disk", "relaykit, memory"
NAMES = (ECHO, ROUTE, DISK, MEMORY)


@dataclass(frozen=True)
class Ratio:
    """How a server compares with another, above 1 if it is faster: medians over all turns."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Table:
    """All runs of one shape, by server, in the order of the turns."""

    runs: dict[str, list[Run]]

    def ratio(self, name: str, base: str) -> Ratio:
        """Throughput of one server against another, and the inverse of its CPU time for a message."""
        both = list(zip(self.runs[name], self.runs[base], strict=True))
        return Ratio(
            statistics.median(mine.rate / other.rate for mine, other in both),
            statistics.median(other.server_us / mine.server_us for mine, other in both),
        )

    def median(self, name: str, what: str) -> float:
        """The median of one figure."""
        return statistics.median(getattr(run, what) for run in self.runs[name])


def measure(name: str, shape: tuple[int, int], count: int) -> Run:
    """One run against a fresh server."""
    pairs, window = shape
    store: AbstractContextManager[str] = new_store() if name == DISK else nullcontext(":memory:")
    with store as path:
        load = echo if name == ECHO else route
        command: Sequence[str] = stock(name.split()[1]) if name.startswith("stock") else reference(path)
        with started(*command) as target, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(load(target, pairs, window, count // 10))  # warm
            return runner.run(load(target, pairs, window, count))


def measure_all(shape: tuple[int, int], count: int, repeat: int) -> Table:
    """Every server in every turn."""
    runs: dict[str, list[Run]] = {name: [] for name in NAMES}
    for _ in range(repeat):
        for name in NAMES:
            runs[name].append(measure(name, shape, count))
    return Table(runs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=7)
    arguments = parser.parse_args()
    for title, shape in SHAPES.items():
        table = measure_all(shape, arguments.count, arguments.repeat)
        print(f"\n{title}")
        print(
            f"{'':18}{'msg/s':>8}{'× echo by wall':>16}{'by CPU':>8}{'× route by wall':>17}{'by CPU':>8}"
            f"{'server µs':>11}{'client µs':>11}{'load':>6}"
        )
        for name in NAMES:
            rate, cpu, own, load = (
                table.median(name, what) for what in ("rate", "server_us", "client_us", "client_load")
            )
            by_echo, by_route = table.ratio(name, ECHO), table.ratio(name, ROUTE)
            print(
                f"{name:18}{rate:8.0f}{by_echo.wall:16.2f}{by_echo.cpu:8.2f}{by_route.wall:17.2f}"
                f"{by_route.cpu:8.2f}{cpu:11.1f}{own:11.1f}{load:6.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
