"""axe-core, which finds what keeps people with disabilities out: npm puts it once, into a cache folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

VERSION = "4.14.1"
_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@cache
def axe_source() -> str:
    """The script. The folder is $RELAYKIT_CACHE, or relaykit-tests in the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "relaykit-tests"
    folder = Path(os.environ.get("RELAYKIT_CACHE") or default)
    script = folder / f"axe-{VERSION}" / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists():
        npm = shutil.which("npm")
        assert npm, "npm is needed once, to install axe-core"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            # Test processes that run side by side install it once.
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not script.exists():
                words = ("install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts")
                prefix = str(script.parents[2])
                Path(prefix).mkdir(exist_ok=True)
                subprocess.run(
                    [npm, *words, "--prefix", prefix, f"axe-core@{VERSION}"],
                    check=True,
                    capture_output=True,
                    timeout=100,
                )
    return script.read_text("utf-8")


def violations(page: Any) -> list[str]:
    """What axe finds on a page of playwright, as lines that say where."""
    # Not as a script element: a page's content security policy would rightly refuse it.
    page.evaluate(axe_source())
    found = page.evaluate("tags => axe.run({runOnly: {type: 'tag', values: tags}})", _RULES)["violations"]
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found
        for node in each["nodes"][:5]
    ]
