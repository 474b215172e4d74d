"""Other people's tools from npm, for second opinions: `tests/tools` says which, at which version."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

TOOLS = Path(__file__).parents[1] / "tools"
_INSTALL = ("ci", "--silent", "--no-audit", "--no-fund")


@cache
def node_tools() -> Path:
    """The folder node_modules, filled by `npm ci` if nobody has. Without npm the test is skipped.

    RELAYKIT_REQUIRE=node (as in CI) makes that a failure.
    """
    modules = TOOLS / "node_modules"
    lock = TOOLS / "package-lock.json"
    with (TOOLS / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # test processes that run side by side install it once
        done = modules / ".package-lock.json"
        if not done.is_file() or done.stat().st_mtime < lock.stat().st_mtime:
            _install()
            done.touch()
    return modules


def _install() -> None:
    npm = shutil.which("npm")
    if npm is None:
        _lacking("no npm on this machine")
    ended = subprocess.run(
        [npm, *_INSTALL], cwd=TOOLS, capture_output=True, text=True, timeout=110, check=False
    )
    if ended.returncode:
        _lacking(f"npm cannot install the tools of the tests: {ended.stderr.strip()[-300:]}")


def _lacking(reason: str) -> None:
    if "node" in os.environ.get("RELAYKIT_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


def run_node(script: str, *arguments: str, given: Any = None) -> Any:
    """Run a CommonJS script that may require any of the tools; what it prints is JSON.

    Args:
        given: what it reads from standard input, as JSON.
    """
    modules = node_tools()
    node = shutil.which("node") or "node"
    ended = subprocess.run(
        [node, "-e", script, *arguments],
        input="" if given is None else json.dumps(given),
        env={**os.environ, "NODE_PATH": str(modules)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout)
