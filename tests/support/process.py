"""`relaykit serve` as a process of its own: for signals, crashes and exit codes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

SECRET = "the signing key of the tests, long enough"
DEADLINE = 20.0
COMMAND = (sys.executable, "-c", "from relaykit.cli import main; main()")


def environment(**more: str) -> dict[str, str]:
    """The environment of a command: no settings but those given, and the tests' signing key."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAYKIT_")}
    return {**kept, "RELAYKIT_SECRET": SECRET, **more}


def run(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends by itself."""
    return subprocess.run(
        [*COMMAND, *arguments], env=environment(**env), capture_output=True, text=True, timeout=DEADLINE
    )


class ServerProcess:
    """A server process; it has announced its address when the constructor returns."""

    def __init__(self, folder: Path, *arguments: str, **env: str) -> None:
        self._ready = folder / "ready.json"
        self._ready.unlink(missing_ok=True)
        self.log = folder / "serve.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*COMMAND, "serve", "--port", "0", "--ready-file", str(self._ready), *arguments],
                env=environment(**env),
                stdout=subprocess.PIPE,
                stderr=log,
            )
        assert self.process.stdout is not None
        # The address on standard output is the event to wait for; the ready file is written right after.
        readable, _, _ = select.select([self.process.stdout], [], [], DEADLINE)
        self.url = self.process.stdout.readline().decode().strip() if readable else ""
        if not self.url:
            self.process.kill()
            raise AssertionError(self.log.read_text())

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].split("/")[0])

    @property
    def ready(self) -> dict[str, Any]:
        """The ready file's content."""
        until = time.monotonic() + DEADLINE
        while not self._ready.exists() and time.monotonic() < until:
            os.sched_yield()
        content: dict[str, Any] = json.loads(self._ready.read_text())
        return content

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit code."""
        return self.process.wait(DEADLINE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)
        assert self.process.stdout is not None
        self.process.stdout.close()
