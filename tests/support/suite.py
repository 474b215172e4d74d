"""Running the suite in tests: against the fakes in the test's own loop, or as a command."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from fixtures.fakes import SECRET

from relaykit.config import Document
from relaykit.conformance.cases import from_scenario, load_cases, select
from relaykit.conformance.judge import JUDGE_ALL, Rules
from relaykit.conformance.loader import load_files
from relaykit.conformance.report import report
from relaykit.conformance.results import Case, CaseResult, RunResult
from relaykit.conformance.run import Settings, exit_code, run_session
from relaykit.conformance.target import Target, read_target
from relaykit.redaction import Redactor
from relaykit.schemas import load_catalogue

QUICK = {"reply_ms": 1000, "quiet_ms": 60, "connect_ms": 3000, "case_s": 15}
"""Waits for tests in which something fails to come: a moment, for a busy machine may stand still so long."""
HASTY = {"reply_ms": 300, "quiet_ms": 60, "connect_ms": 500, "case_s": 5}
"""Waits for tests of servers that are good for nothing, in which no answer has to be taken in time."""
PATIENT = {"reply_ms": 3000, "quiet_ms": 60, "connect_ms": 3000, "case_s": 20}
"""Waits for tests in which everything comes."""


def make_target(url: str | list[str], *, timing: dict[str, Any] | None = None, **more: Any) -> Target:
    data = {
        "url": url,
        "tokens": {"mint": {"secret": {"value": SECRET}}},
        "timing": timing or PATIENT,
        **more,
    }
    document = Document("target.yaml", data, MappingProxyType({}))
    return read_target(document, load_catalogue(), base=Path.cwd())


@cache
def every_case() -> tuple[Case, ...]:
    return load_cases(load_catalogue())


def all_cases(*patterns: str) -> tuple[Case, ...]:
    return select(load_catalogue(), every_case(), run=patterns)


def scenario_cases(path: Path) -> tuple[Case, ...]:
    catalogue = load_catalogue()
    return tuple(from_scenario(catalogue, scenario) for scenario in load_files(catalogue, [path]))


async def judge(
    target: Target,
    cases: Sequence[Case],
    *,
    rules: Rules = JUDGE_ALL,
    seed: str = "test",
    jobs: int | None = None,
    retries: int = 0,
    **settings: Any,
) -> RunResult:
    how = Settings(seed, rules, 1.0, jobs, retries=retries, **settings)
    return await run_session(target, load_catalogue(), cases, how)


def by_id(result: RunResult) -> dict[str, CaseResult]:
    return {case.case.id: case for case in result.cases}


def as_report(result: RunResult, target: Target, fail_on: Iterable[str] = ()) -> dict[str, Any]:
    code = exit_code(result, frozenset(fail_on))
    return report(result, target, load_catalogue(), Redactor(*target.secrets), code)


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


async def relaykit(*words: str, seconds: float = 100, before: str = "", **environment: str) -> Ended:
    """Run the command line, while the test's own servers go on; `before` it some Python in its process."""
    process = await start(*words, before=before, **environment)
    async with asyncio.timeout(seconds):
        out, err = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def start(*words: str, before: str = "", **environment: str) -> asyncio.subprocess.Process:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("RELAYKIT_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        f"{before}\nfrom relaykit.cli import main; main()",
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**inherited, **environment},
    )
