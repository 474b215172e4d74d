"""Cases per second of `relaykit test` against the reference server, both on this machine.

    python benchmarks/suite.py [--runs 5] [--jobs 32] [--profile full] [--slowest 10] [--cpu]

Starts `relaykit serve` (store in memory, every capability, control interface), then runs the whole suite
several times. Executed cases count: those that pass, fail or warn. Duration: from the first handshake to the
last verdict, loading and reports left out. The server's CPU time tells who is the bottleneck.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import MappingProxyType

from relaykit.config import Document
from relaykit.conformance.cases import PROFILES, load_cases, select
from relaykit.conformance.results import RunResult, Verdict
from relaykit.conformance.run import Settings, run_session
from relaykit.conformance.target import Target, read_target
from relaykit.schemas import Catalogue, load_catalogue

SECRET = "the secret of a benchmark, long enough"
TOKEN = "the-control-token-of-a-benchmark"
EXECUTED = (Verdict.PASS, Verdict.FAIL, Verdict.WARN)


def start(folder: Path) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
    """The reference server as a process; its addresses, once it listens."""
    ready = folder / "ready.json"
    words = ("serve", "--port", "0", "--control-port", "0", "--ready-file", str(ready))
    process = subprocess.Popen(
        [sys.executable, "-c", "from relaykit.cli import main; main()", *words],
        env={**os.environ, "RELAYKIT_SECRET": SECRET, "RELAYKIT_CONTROL_TOKEN": TOKEN},
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not ready.exists() or not ready.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the reference server did not start")
        time.sleep(0.02)
    return process, json.loads(ready.read_text())


def target(addresses: dict[str, str], catalogue: Catalogue) -> Target:
    protocol = catalogue.protocol
    data = {
        "url": addresses["url"],
        "tokens": {"mint": {"secret": {"value": SECRET}}},
        "control": {"http": {"url": addresses["control_url"], "token": {"value": TOKEN}}},
        "capabilities": dict.fromkeys(protocol.capabilities, True),
        "limits": {name: limit.default for name, limit in protocol.limits.items() if not limit.fixed},
        "legacy": {"query": "frames=1"},
    }
    return read_target(Document("benchmark", data, MappingProxyType({})), catalogue, base=Path.cwd())


def executed(result: RunResult) -> int:
    return sum(case.verdict in EXECUTED for case in result.cases if case.case.kind != "shape")


def server_cpu(process: subprocess.Popen[bytes]) -> float:
    """CPU seconds of the server so far (Linux)."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=None)
    parser.add_argument("--profile", choices=PROFILES, default="default")
    parser.add_argument("--slowest", type=int, default=0, help="name the slowest cases of the last run")
    parser.add_argument("--cpu", action="store_true", help="show where the suite's CPU time goes (slower)")
    options = parser.parse_args()
    catalogue = load_catalogue()
    began = time.perf_counter()
    cases = select(catalogue, load_cases(catalogue), profile=options.profile)
    print(f"loading and checking {len(cases)} cases: {time.perf_counter() - began:.2f} s")
    rates: list[float] = []
    seconds: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        process, addresses = start(Path(folder))
        try:
            for number in range(options.runs):
                own, other = time.process_time(), server_cpu(process)
                settings = Settings(f"benchmark-{time.time_ns()}", concurrency=options.jobs)
                profile = cProfile.Profile()
                if options.cpu:
                    profile.enable()
                result = asyncio.run(run_session(target(addresses, catalogue), catalogue, cases, settings))
                profile.disable()
                count = executed(result)
                rates.append(count / result.duration_s)
                seconds.append(result.duration_s)
                suite, server = time.process_time() - own, server_cpu(process) - other
                print(
                    f"run {number + 1}: {count} cases in {result.duration_s:.2f} s = "
                    f"{rates[-1]:.0f} cases/s; CPU: suite {suite:.2f} s, server {server:.2f} s; "
                    f"{result.count(Verdict.FAIL)} fail, {result.count(Verdict.ERROR)} error"
                )
            if options.cpu:
                pstats.Stats(profile).sort_stats("tottime").print_stats(35)
            for each in sorted(result.cases, key=lambda case: -case.duration_ms)[: options.slowest]:
                alone = " (alone)" if each.case.exclusive else ""
                print(f"{each.duration_ms:>9.0f} ms  {each.case.id}{alone}")
        finally:
            process.terminate()
            process.wait(10)
    print(
        f"median of {options.runs}, profile {options.profile}: {statistics.median(rates):.0f} cases/s, "
        f"{statistics.median(seconds):.1f} s in all (load {os.getloadavg()[0]:.1f})"
    )


if __name__ == "__main__":
    main()
