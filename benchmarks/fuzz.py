"""Fuzzed frames per second, end to end against the reference server, and the ratio to a stock client's loop.

    python benchmarks/fuzz.py [--frames 200000] [--repeat 3]

Both send the same kinds of frames over 24 connections, 24 frames to a heartbeat, and judge what comes back:
the fuzzer as `relaykit fuzz` does; the loop with a `websockets` client for each connection, which parses what
comes and counts errors. The server keeps its store in memory and runs as a process of its own. Wanted are
20,000 frames/s on two cores that do nothing else: the load is printed, since on a busy machine the CPU times
per frame that stand beside the rates say more, the client's (the fuzzer's with its start) and the server's;
the greater of the two is what one core of a quiet machine needs for a frame.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import orjson
from server_client import SECRET, reference, started
from websockets.asyncio.client import connect

from relaykit.conformance.fuzz.generator import Generator, Who, uuid
from relaykit.conformance.fuzz.link import Room
from relaykit.conformance.fuzz.making import Maker
from relaykit.conformance.fuzz.oracle import Oracle
from relaykit.conformance.fuzz.sizes import Sizes
from relaykit.schemas import load_catalogue
from relaykit.tokens import mint

CONNECTIONS, BATCH = 24, 24
WANTED = 20_000
"""Frames per second, on two quiet cores."""


class Idle:
    """Stands in for a link: whose frames a maker makes."""

    def __init__(self, who: Who) -> None:
        self.who, self.room = who, Room()
        self.interval = type("Interval", (), {"acks": set()})()


@dataclass(frozen=True)
class Rate:
    """Frames per second, and CPU microseconds of client and server for each."""

    per_second: float
    client_us: float
    server_us: float


def rated(run: Callable[[str], tuple[int, float, float]]) -> Rate:
    """Run a client, which says how many frames it sent, in how many seconds, with how much CPU time."""
    with started(*reference(":memory:")) as target:
        before = target.cpu()
        count, seconds, cpu = run(target.url)
        return Rate(count / seconds, cpu / count * 1e6, (target.cpu() - before) / count * 1e6)


async def stock(url: str, frames: int) -> tuple[int, float, float]:
    """The loop."""
    catalogue = load_catalogue()
    generator, oracle = Generator(catalogue, frozenset({"core"}), "bench"), Oracle(catalogue)
    types = sorted(catalogue.types("c2s") | catalogue.types("s2c"))
    count = 0

    async def one(number: int) -> None:
        nonlocal count
        rng = random.Random(number)
        who = Who(*(uuid(rng, f"{number:08x}") for _ in range(3)))
        token = mint(user_id=who.user, device_id=who.device, key=SECRET, lifetime_s=3600)
        maker = Maker(generator, oracle, types, f"bench-{number}", (), Sizes(65536, 1024, stated=True))
        async with connect(f"{url}?token={quote(token)}", compression=None) as socket:
            while count < frames:
                batch = maker.batch(Idle(who), BATCH)  # type: ignore[arg-type]
                for sent in batch.sent:
                    await socket.send(sent.data, text=True)
                await socket.send('{"type":"heartbeat"}')
                acks, errors = 0, 0
                while acks < batch.beats:
                    kind = orjson.loads(await socket.recv())["type"]
                    acks += kind == "heartbeat_ack"
                    errors += kind == "error"
                count += len(batch.sent) + 1

    begun, used = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one(number) for number in range(CONNECTIONS)))
    return count, time.perf_counter() - begun, time.process_time() - used


def fuzzed(url: str, frames: int, folder: Path) -> tuple[int, float, float]:
    """`relaykit fuzz`."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    words = (
        "fuzz",
        "--url",
        url,
        "--secret-file",
        str(secret),
        "--frames",
        str(frames),
        "--format",
        "json",
    )
    made = (sys.executable, "-c", "from relaykit.cli import main; main()", *words, "--out", str(folder))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended = subprocess.run(
        [*made, "--connections", str(CONNECTIONS)],
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    data = json.loads(ended.stdout)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return int(data["frames"]), float(data["duration_s"]), cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} before the first run, {os.cpu_count()} cores")
    rates: dict[str, list[Rate]] = {"relaykit fuzz": [], "stock client": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeat):
            rates["relaykit fuzz"].append(rated(lambda url: fuzzed(url, options.frames, Path(folder))))
            rates["stock client"].append(rated(lambda url: asyncio.run(stock(url, options.frames))))
    middle: dict[str, list[float]] = {}
    for name, found in rates.items():
        each = [(r.per_second, r.client_us, r.server_us) for r in found]
        middle[name] = [statistics.median(values) for values in zip(*each, strict=True)]
        rate, client, server = middle[name]
        all_rates = ", ".join(f"{r.per_second:.0f}" for r in found)
        cpu = f"CPU per frame: client {client:.0f} µs, server {server:.0f} µs"
        print(f"{name:14} {rate:8,.0f} frames/s ({all_rates}); {cpu}")
    ours, theirs = middle["relaykit fuzz"], middle["stock client"]
    print(f"ratio {ours[0] / theirs[0]:.2f}; by the client's CPU time {theirs[1] / ours[1]:.2f}")
    print(f"{ours[0] / WANTED:.2f} of the {WANTED:,} frames/s wanted; load {os.getloadavg()[0]:.1f} after it")


if __name__ == "__main__":
    main()
