"""The memory of the reference server while it is fuzzed, minute by minute.

    python benchmarks/memory.py [--frames 1000000] [--seconds 600] [--only frames-memory …]

Frames and sessions, each against the server as it is with its store in memory, and against one whose caches
hold next to nothing (`server_small.py`) with its store on the disk. The first keeps what it acknowledged, by
design: it must grow as its store does, until it remembers a million messages, and as its caches fill, which
hold 20,000 entries each. The second keeps none of that in memory, so that it has to stay flat.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from server_client import SECRET, UNLIMITED

HERE = Path(__file__).parent
PYTHON = shlex.quote(sys.executable)
AS_IT_IS = f"{PYTHON} -c 'from relaykit.cli import main; main()'"
SMALL = f"{PYTHON} {shlex.quote(str(HERE / 'server_small.py'))}"
RUNS = {
    "frames-memory": (AS_IT_IS, ":memory:"),
    "frames-small": (SMALL, "disk"),
    "sessions-memory": (AS_IT_IS, ":memory:"),
    "sessions-small": (SMALL, "disk"),
}


def resident(process: psutil.Process) -> float | None:
    """Megabytes of the server that a fuzzer has launched; None: there is none (any more)."""
    try:
        return max((child.memory_info().rss for child in process.children()), default=0) / 2**20 or None
    except psutil.Error:
        return None


def fuzzed(name: str, frames: int, seconds: float, folder: Path) -> None:
    """Fuzz one server, and print its memory every minute, or every tenth of a shorter time."""
    server, store = RUNS[name]
    path = str(folder / f"{name}.db") if store == "disk" else store
    sessions = name.startswith("sessions")
    limits = "" if sessions else " ".join(f"--limits {limit}" for limit in UNLIMITED)
    ports = "--port {port} --control-port {control_port}"
    words = ["--sessions", "--seconds", f"{seconds:g}"] if sessions else ["--frames", str(frames)]
    target = folder / "target.yaml"
    target.write_text("tokens: {mint: {secret: {env: RELAYKIT_SECRET}}}\n")
    started = time.monotonic()
    with (folder / f"{name}.json").open("w+") as out:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", "from relaykit.cli import main; main()", "fuzz", "-t", str(target)),
                *("--capability", "all", "--launch", f"{server} serve {ports} --store {path} {limits}"),
                *(*words, "--seed", "memory", "--out", str(folder), "--format", "json"),
            ],
            stdout=out,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "RELAYKIT_SECRET": SECRET},
        )
        samples: list[str] = []
        every = min(60.0, seconds / 10) if sessions else max(1.0, min(60.0, frames / 200_000))
        while True:
            try:
                process.wait(every)
                break
            except subprocess.TimeoutExpired:
                size = resident(psutil.Process(process.pid))
                if size is not None:
                    samples.append(f"{time.monotonic() - started:.0f} s {size:.1f}")
        out.seek(0)
        data = json.load(out)
    first, last = data["memory_mb"][0], data["memory_mb"][-1]
    half = data["memory_mb"][len(data["memory_mb"]) // 2]
    done = f"{data['sessions']:,} sessions" if sessions else f"{data['frames']:,} frames"
    found = f"{len(data['findings'])} found"
    print(f"{name:16} {done}, {found}; RSS {first} MB at first, {half} half-way, {last} at last", flush=True)
    print(f"{'':16} MB: {', '.join(samples)}; load {os.getloadavg()[0]:.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--only", nargs="*", choices=list(RUNS), default=list(RUNS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in options.only:
            fuzzed(name, options.frames, options.seconds, Path(folder))


if __name__ == "__main__":
    main()
