"""Do verdicts hold? Many runs of the suite against the reference server, while other cores are kept busy.

    python benchmarks/steady.py [--runs 100] [--busy 1] [--profile default] [--run PATTERN] [--out FOLDER]

Starts `relaykit serve` once (store in memory, every capability, control interface) and judges it many times,
each time with other users. A failing case is not run again: whatever differs is counted and shown, with
what was wrong; `--out` keeps the report of each run in which something did. Ends with 1 if anything differed.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from suite import start, target

from relaykit.conformance.api import as_report
from relaykit.conformance.cases import PROFILES, load_cases, select
from relaykit.conformance.report import to_json
from relaykit.conformance.results import RunResult
from relaykit.conformance.run import Settings, run_session
from relaykit.schemas import load_catalogue


def spin() -> None:
    """Keep a core busy until killed."""
    while True:
        pass


def usual(verdicts: dict[str, Counter[str]]) -> dict[str, str]:
    return {name: counts.most_common(1)[0][0] for name, counts in verdicts.items()}


def differing(result: RunResult, expected: dict[str, str]) -> list[str]:
    """The cases whose verdict is not the usual one, each with why, in a line."""
    lines = []
    for each in result.cases:
        if expected.get(each.case.id, each.verdict.value) != each.verdict.value:
            why = each.findings[0].message if each.findings else each.reason
            lines.append(f"{each.case.id}: {each.verdict.value} ({why[:300]})")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--busy", type=int, default=1, help="cores to keep busy")
    parser.add_argument("--jobs", type=int, default=None)
    parser.add_argument("--profile", choices=PROFILES, default="default")
    parser.add_argument("--run", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--skip", action="append", default=[], metavar="PATTERN")
    parser.add_argument("--out", type=Path, help="folder for the reports of runs in which something differed")
    options = parser.parse_args()
    catalogue = load_catalogue()
    cases = select(
        catalogue, load_cases(catalogue), run=options.run, skip=options.skip, profile=options.profile
    )
    busy = [multiprocessing.Process(target=spin, daemon=True) for _ in range(options.busy)]
    verdicts: dict[str, Counter[str]] = {}
    differed = 0
    with tempfile.TemporaryDirectory() as folder:
        process, addresses = start(Path(folder))
        for each in busy:
            each.start()
        try:
            aimed = target(addresses, catalogue)
            for number in range(1, options.runs + 1):
                settings = Settings(f"steady-{time.time_ns()}", concurrency=options.jobs)
                result = asyncio.run(run_session(aimed, catalogue, cases, settings))
                for case in result.cases:
                    verdicts.setdefault(case.case.id, Counter())[case.verdict.value] += 1
                lines = differing(result, usual(verdicts))
                differed += bool(lines)
                print(f"run {number}: {result.duration_s:.1f} s, {len(lines)} differ", flush=True)
                for line in lines:
                    print(f"    {line}", flush=True)
                if lines and options.out:
                    options.out.mkdir(parents=True, exist_ok=True)
                    report = to_json(as_report(result, aimed))
                    (options.out / f"run-{number}.json").write_bytes(report)
        finally:
            for each in busy:
                each.kill()
            process.terminate()
            process.wait(10)
    unsteady = {name: counts for name, counts in verdicts.items() if len(counts) > 1}
    for name, counts in sorted(unsteady.items()):
        print(f"{name}: {', '.join(f'{count} {verdict}' for verdict, count in counts.most_common())}")
    print(
        f"{options.runs} runs of {len(cases)} cases with {options.busy} busy: "
        f"{len(unsteady)} cases differ, in {differed} runs"
    )
    sys.exit(1 if unsteady else 0)


if __name__ == "__main__":
    main()
