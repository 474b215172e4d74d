"""Shared by all tests: `support` is importable, and what a machine lacks is skipped with its reason."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

_NEEDS = {
    "browser": (("chromium", "chromium-browser", "google-chrome"), "no Chromium on this machine"),
    "node": (("node",), "no Node.js on this machine"),
}


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As a shell leaves it for what runs in the background. Tests of Ctrl-C start processes, which inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests whose tool is missing, unless RELAYKIT_REQUIRE (as in CI) names the tool: then they fail."""
    required = os.environ.get("RELAYKIT_REQUIRE", "").split(",")
    for need, (programs, reason) in _NEEDS.items():
        if need in required or any(shutil.which(program) for program in programs):
            continue
        for item in items:
            if item.get_closest_marker(need):
                item.add_marker(pytest.mark.skip(reason=reason))
