"""Fuzzed frames per second, end to end against the reference server, and the ratio to a stock client's loop.

    python benchmarks/fuzz.py [--seconds 10] [--repeat 3]

Both send the same kinds of frames over 24 connections, 24 frames to a heartbeat, and judge what comes back:
the fuzzer as `relaykit fuzz` does; the loop with a `websockets` client for each connection, which parses what
comes and counts errors. The server keeps its store in memory and runs as a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import orjson
from server_client import SECRET, reference, started
from websockets.asyncio.client import connect

from relaykit.conformance.fuzz.generator import Generator, Who, uuid
from relaykit.conformance.fuzz.making import Maker
from relaykit.conformance.fuzz.oracle import Oracle
from relaykit.schemas import load_catalogue
from relaykit.tokens import mint

CONNECTIONS, BATCH = 24, 24


class Idle:
    """Stands in for a link: whose frames a maker makes."""

    def __init__(self, who: Who) -> None:
        self.who = who
        self.interval = type("Interval", (), {"acks": set()})()


async def stock(url: str, seconds: float) -> float:
    """Frames per second of the loop."""
    catalogue = load_catalogue()
    generator, oracle = Generator(catalogue, frozenset({"core"}), "bench"), Oracle(catalogue)
    types = sorted(catalogue.types("c2s") | catalogue.types("s2c"))
    end, count = time.perf_counter() + seconds, 0

    async def one(number: int) -> None:
        nonlocal count
        rng = random.Random(number)
        who = Who(*(uuid(rng, f"{number:08x}") for _ in range(3)))
        token = mint(user_id=who.user, device_id=who.device, key=SECRET, lifetime_s=3600)
        maker = Maker(generator, oracle, types, f"bench-{number}", (), 65536)
        async with connect(f"{url}?token={quote(token)}", compression=None) as socket:
            while time.perf_counter() < end:
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

    begun = time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(CONNECTIONS)))
    return count / (time.perf_counter() - begun)


def fuzzed(url: str, seconds: float, folder: Path) -> float:
    """Frames per second of `relaykit fuzz`."""
    secret = folder / "secret"
    secret.write_text(SECRET)
    words = (
        "fuzz",
        "--url",
        url,
        "--secret-file",
        str(secret),
        "--seconds",
        str(seconds),
        "--format",
        "json",
    )
    made = (sys.executable, "-c", "from relaykit.cli import main; main()", *words, "--out", str(folder))
    ended = subprocess.run(
        [*made, "--connections", str(CONNECTIONS)], stdout=subprocess.PIPE, text=True, check=False
    )
    data = json.loads(ended.stdout)
    assert not data["findings"], data["findings"]
    return float(data["frames_per_second"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    rates: dict[str, list[float]] = {"relaykit fuzz": [], "stock client": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeat):
            with started(*reference(":memory:")) as target:
                rates["relaykit fuzz"].append(fuzzed(target.url, options.seconds, Path(folder)))
            with started(*reference(":memory:")) as target:
                rates["stock client"].append(asyncio.run(stock(target.url, options.seconds)))
    for name, found in rates.items():
        print(f"{name:14} {statistics.median(found):8.0f} frames/s  ({', '.join(f'{r:.0f}' for r in found)})")
    ratio = statistics.median(rates["relaykit fuzz"]) / statistics.median(rates["stock client"])
    print(f"ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
