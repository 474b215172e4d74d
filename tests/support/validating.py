"""`relaykit validate` as its users run it, and what they give it to check."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parents[1] / "data"
COMMAND = [sys.executable, "-c", "from relaykit.cli import main; main()", "validate"]
HEARTBEAT = {"type": "heartbeat"}
PING = {"type": "ping"}
WRONG = {"type": "presence", "payload": {"status": "onlin"}}


def run(*arguments: object, stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], input=stdin, capture_output=True, timeout=100, check=False, cwd=cwd
    )
    assert b"Traceback" not in done.stderr
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def report(*arguments: object, stdin: bytes = b"") -> dict[str, Any]:
    """The JSON report."""
    result: dict[str, Any] = json.loads(run(*arguments, "--format", "json", stdin=stdin).stdout)
    return result


def counts(result: dict[str, Any]) -> tuple[int, int, int, int]:
    return result["checked"], result["valid"], result["invalid"], result["warnings"]


def places(result: dict[str, Any]) -> list[tuple[int, int, str | None]]:
    return [(frame["line"], frame["index"], frame["type"]) for frame in result["frames"]]


def ndjson(*frames: Any) -> bytes:
    return b"".join(
        (frame if isinstance(frame, bytes) else json.dumps(frame).encode()) + b"\n" for frame in frames
    )
