"""How many messages the reference server routes, as ratios to the stock `websockets` server.

    python benchmarks/server_throughput.py [--count 20000] [--repeat 5]

Every server runs on uvloop in a process of its own, every figure is a median over interleaved repetitions.
"load" is the share of one core that the client needed: well below 1.0, the server was the bottleneck.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import uvloop
from server_client import Run, echo, new_store, reference, route, started, stock

SHAPES = {"1 connection, window 64": (1, 64), "50 pairs, window 16": (50, 16)}
Measure = Callable[..., Coroutine[Any, Any, Run]]
SERVERS: dict[str, tuple[Measure, Callable[[], AbstractContextManager[tuple[str, ...]]]]] = {}


def measure(name: str, shape: tuple[int, int], count: int) -> Run:
    pairs, window = shape
    store: AbstractContextManager[str] = new_store() if name == "relaykit, disk" else nullcontext(":memory:")
    with store as path:
        if name.startswith("stock"):
            command, load = stock(name.split()[1]), echo if name == "stock echo" else route
        else:
            command, load = reference(path), route
        with started(*command) as target, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(load(target, pairs, window, count // 10))  # warm
            return runner.run(load(target, pairs, window, count))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    names = ("stock echo", "stock route", "relaykit, disk", "relaykit, memory")
    for title, shape in SHAPES.items():
        runs: dict[str, list[Run]] = {name: [] for name in names}
        for _ in range(arguments.repeat):
            for name in names:
                runs[name].append(measure(name, shape, arguments.count))
        print(f"\n{title}")
        print(f"{'':18}{'msg/s':>8}{'× echo':>8}{'× route':>9}{'server µs':>11}{'client µs':>11}{'load':>6}")
        rates = {name: statistics.median(run.rate for run in runs[name]) for name in names}
        for name in names:
            cpu, own, load = (
                statistics.median(getattr(run, what) for run in runs[name])
                for what in ("server_us", "client_us", "client_load")
            )
            echo_, route_ = rates[name] / rates["stock echo"], rates[name] / rates["stock route"]
            print(f"{name:18}{rates[name]:8.0f}{echo_:8.2f}{route_:9.2f}{cpu:11.1f}{own:11.1f}{load:6.2f}")


if __name__ == "__main__":
    main()
