"""The documentation: how fast it is built, how large it is, and what Lighthouse says of it.

    python benchmarks/docs.py [--runs 3] [--no-lighthouse]

Builds the site and the single file in processes of their own (the first build warms caches and is not
counted), weighs them gzipped, serves them compressed on loopback, and has Lighthouse judge a frame's page and
the single file as a phone sees them. Needs Node.js, npm and a Chromium; `npm ci` is run where
it has not been.
Exit code 1 if a bound is not kept.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COMMAND = (sys.executable, "-c", "from relaykit.cli import main; main()")
CATEGORIES = ("performance", "accessibility", "best-practices")
BOUNDS = {"performance": 98, "accessibility": 100, "best-practices": 100}
PAGE, SINGLE = "frames/c2s/send.html", "single.html"


def built(folder: Path, runs: int) -> tuple[list[float], list[float]]:
    """Build the site and the single file; seconds of each warm build of the site, by the clock and of CPU."""
    took, cpu = [], []
    for number in range(runs + 1):
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*COMMAND, "docs", "build", "--out", str(folder)], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if number:
            took.append(time.perf_counter() - started)
            cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    single = str(folder / SINGLE)
    subprocess.run(
        [*COMMAND, "docs", "build", "--single-file", "--out", single], check=True, capture_output=True
    )
    return took, cpu


def weight(*paths: Path) -> float:
    """Kilobytes, gzipped."""
    return sum(len(gzip.compress(path.read_bytes())) for path in paths) / 1024


def loaded(page: Path) -> tuple[list[Path], list[Path]]:
    """What a page loads: its scripts, and everything."""
    text = page.read_text("utf-8")
    found = [
        (page.parent / name).resolve() for name in re.findall(r'(?:src|href)="([^"]+\.(?:js|css))"', text)
    ]
    return [path for path in found if path.suffix == ".js"], [page, *found]


class _Handler(SimpleHTTPRequestHandler):
    """Serves files compressed, as any web server does."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        body = gzip.compress(path.read_bytes())
        self.send_response(200)
        self.send_header("Content-Type", f"{self.guess_type(str(path))}; charset=utf-8")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *words: _Handler(*words, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def lighthouse(url: str, out: Path) -> Mapping[str, float]:
    """One run: category → points."""
    program = HERE / "lighthouse" / "node_modules" / ".bin" / "lighthouse"
    if not program.exists():
        words = ["npm", "ci", "--silent", "--no-audit", "--no-fund"]
        subprocess.run(words, cwd=HERE / "lighthouse", check=True)
    names = ("chromium", "chromium-browser", "google-chrome")
    chrome = next((found for name in names if (found := shutil.which(name))), None)
    if chrome is None:
        raise SystemExit("no Chromium on this machine: use --no-lighthouse")
    flags = "--headless=new --no-sandbox --disable-gpu"
    command = [
        *(str(program), url, "--quiet", "--output=json", f"--output-path={out}"),
        *(f"--chrome-flags={flags}", f"--only-categories={','.join(CATEGORIES)}"),
    ]
    subprocess.run(command, check=True, env={**os.environ, "CHROME_PATH": chrome})
    report = json.loads(out.read_text("utf-8"))
    for name in ("accessibility", "best-practices"):
        for audit in report["categories"][name]["auditRefs"]:
            found = report["audits"][audit["id"]]
            if audit["weight"] and found["score"] not in (None, 1):
                print(f"    {name}: {audit['id']}: {found['title']}")
    return {name: 100 * report["categories"][name]["score"] for name in CATEGORIES}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-lighthouse", action="store_true")
    arguments = parser.parse_args()
    kept = True

    def tell(what: str, value: float, unit: str, bound: float, *, least: bool = False) -> None:
        nonlocal kept
        good = value >= bound if least else value <= bound
        kept = kept and good
        sign = "≥" if least else "≤"
        print(f"{what:44} {value:8.2f} {unit:3} {sign} {bound:g} {'' if good else '  NOT KEPT'}")

    with tempfile.TemporaryDirectory(prefix="relaykit-docs-") as name:
        folder = Path(name)
        took, cpu = built(folder, arguments.runs)
        tell("full build, warm, median", statistics.median(took), "s", 1.0)
        print(f"{'  of which CPU time, median':44} {statistics.median(cpu):8.2f} s   (the rest: load)")
        pages = sorted(path for path in folder.rglob("*.html") if path.name != SINGLE)
        tell("largest page, all told, gzipped", max(weight(*loaded(page)[1]) for page in pages), "KB", 60)
        tell("a frame's page, all told, gzipped", weight(*loaded(folder / PAGE)[1]), "KB", 60)
        tell("scripts of a page at most, gzipped", max(weight(*loaded(p)[0]) for p in pages), "KB", 25)
        tell("single file, gzipped", weight(folder / SINGLE), "KB", 250)
        if arguments.no_lighthouse:
            return 0 if kept else 1
        with served(folder) as root:
            for page in (PAGE, SINGLE):
                runs = [lighthouse(f"{root}/{page}", folder / "run.json") for _ in range(arguments.runs)]
                for category in CATEGORIES:
                    points = statistics.median(run[category] for run in runs)
                    tell(f"{page}: {category}, median", points, "", BOUNDS[category], least=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
