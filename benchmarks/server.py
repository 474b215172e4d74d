"""The reference server's figures in one table: what is wanted, what was measured, and whether it is met.

    python benchmarks/server.py [--count 20000] [--repeat 7] [--crowd 5000]

Ratios are against the stock `websockets` server, within this run, with the same client and loop; for how
they are taken see server_throughput.py and server_connections.py. The wanted ratios are of throughput
(by wall) and are judged only on a machine that did nothing else before. Those by CPU stand beside them for
machines that did.
"""

from __future__ import annotations

import argparse
import os

from server_connections import measure_crowd, measure_idle, raise_limit
from server_throughput import DISK, ECHO, MEMORY, NAMES, ROUTE, SHAPES, Table, measure_all

QUIET = 0.5
"""Load of the machine up to which its throughput is judged."""
# Throughput against another server: by server, the other, and the number of the shape.
WANTED = {
    (DISK, ECHO, 0): 0.8,
    (MEMORY, ECHO, 0): 1.3,
    (MEMORY, ROUTE, 0): 2.0,
    (DISK, ECHO, 1): 0.9,
    (MEMORY, ECHO, 1): 1.6,
}


def show(what: str, wanted: str, measured: str, met: bool | None) -> None:
    verdict = {True: "met", False: "NOT met", None: "not judged"}[met]
    print(f"{what:62}{wanted:>14}  {measured:34}{verdict}", flush=True)


def show_throughput(tables: list[Table], *, quiet: bool) -> None:
    titles = list(SHAPES)
    for (name, base, number), wanted in WANTED.items():
        ratio = tables[number].ratio(name, base)
        measured = f"{ratio.wall:.2f} × by wall, {ratio.cpu:.2f} × by CPU"
        met = ratio.wall >= wanted if quiet else None
        show(f"{name} against {base}, {titles[number]}", f"≥ {wanted} ×", measured, met)


def show_connections(idle: int, crowd: int, members: int) -> None:
    costs = measure_idle(idle, 3)
    mine, other = costs["relaykit"], costs["stock"]
    memory, cpu = mine.memory / other.memory, mine.cpu / other.cpu
    show("memory of an idle connection", "≤ 8 KiB", f"{mine.memory:.1f} KiB", mine.memory <= 8)
    show("the same, against stock", "≤ 0.6 ×", f"{memory:.2f} ×", memory <= 0.6)
    show("CPU of accepting a connection, against stock", "≤ 0.85 ×", f"{cpu:.2f} ×", cpu <= 0.85)
    result = measure_crowd(crowd, members)
    what = f"{crowd} idle connections, a group message to {members}"
    show(what, "completes", f"ack {result.ack:.0f} ms, all {result.whole:.0f} ms", True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--idle", type=int, default=2000)
    parser.add_argument("--crowd", type=int, default=5000)
    parser.add_argument("--members", type=int, default=1000)
    arguments = parser.parse_args()
    raise_limit()
    before = os.getloadavg()[0]
    tables = [measure_all(shape, arguments.count, arguments.repeat) for shape in SHAPES.values()]
    show_throughput(tables, quiet=before <= QUIET)
    show_connections(arguments.idle, arguments.crowd, arguments.members)
    load = max(table.median(name, "client_load") for table in tables for name in NAMES)
    print(f"\nThe client needed at most {load:.2f} of a core: below 1.0 it waited for the servers.")
    print(f"Load of the machine before the run: {before:.1f}; above {QUIET}, throughput is not judged.")


if __name__ == "__main__":
    main()
