"""The suite inside pytest: as somebody else's project runs it, which has packages of the same names."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fixtures import fakes

PLUGIN = ("-p", "relaykit.conformance.pytest_plugin")
TARGET = """\
url: {url}
tokens: {{mint: {{secret: {{env: RELAYKIT_SECRET}}}}}}
timing: {{reply_ms: 3000, quiet_ms: 60, connect_ms: 3000, case_s: 20}}
"""


class Ended:
    """How pytest ended, and what it wrote."""

    def __init__(self, code: int, out: str, folder: Path) -> None:
        self.code = code
        self.out = out
        self.folder = folder

    def outcomes(self) -> dict[str, str]:
        """Test → passed, failed, skipped, or xfailed, from the JUnit file."""
        found = {}
        for case in ElementTree.parse(self.folder / "junit.xml").iter("testcase"):
            kinds = {child.tag: child for child in case}
            if "skipped" in kinds:
                kind = "xfailed" if kinds["skipped"].get("type") == "pytest.xfail" else "skipped"
            else:
                kind = "failed" if {"failure", "error"} & set(kinds) else "passed"
            found[case.get("name", "")] = kind
        return found


def project(folder: Path) -> Path:
    """A project of somebody else, whose own packages are called as folders of ours."""
    for name in ("schemas", "conformance"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("MINE = True\n")
    (folder / "test_own.py").write_text(
        "import conformance, schemas\ndef test_own(): assert schemas.MINE and conformance.MINE\n"
    )
    return folder


async def run(folder: Path, *words: str, secret: str = fakes.SECRET) -> Ended:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("RELAYKIT_", "PYTEST_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pytest", "-rA", "--junitxml=junit.xml", "-p", "no:cacheprovider", *words),
        cwd=folder,
        env={**kept, "RELAYKIT_SECRET": secret},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(90):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), folder)


@asynccontextmanager
async def target(folder: Path, *faults: str, more: str = "") -> AsyncIterator[Path]:
    """A project with a target file for a server that runs meanwhile."""
    async with fakes.minimal(*faults).running() as url:
        path = project(folder) / "target.yaml"
        path.write_text(TARGET.format(url=url) + more)
        yield path


def pytest_run(folder: Path, *words: str, faults: tuple[str, ...] = (), more: str = "") -> Ended:
    async def main() -> Ended:
        async with target(folder, *faults, more=more):
            return await run(folder, *PLUGIN, *words)

    return asyncio.run(main())


def test_cases_are_items_beside_the_projects_own_tests(tmp_path: Path) -> None:
    words = ("--relay-target", "target.yaml", "--relay-run", "message-*", "--relay-run", "group-*")
    ended = pytest_run(tmp_path, *words, "--relay-report", "json=report.json")
    assert ended.code == 0, ended.out
    found = ended.outcomes()
    assert found["test_own"] == "passed"
    assert found["message-life"] == "passed"
    assert found["shapes"] == "passed"
    assert {found[name] for name in found if name.startswith("group-")} == {"skipped"}
    assert "the target does not declare groups" in ended.out
    assert "target.yaml::message-life" in ended.out
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["options"]["target_file"] == "target.yaml"
    assert {case["id"] for case in data["cases"] if case["kind"] == "scenario"} <= set(found)
    assert "core cannot be claimed" in ended.out


def test_a_failure_is_told_as_such_and_how_to_see_it_again(tmp_path: Path) -> None:
    words = ("--relay-target", "target.yaml", "--relay-run", "message-life", "--relay-seed", "abc")
    ended = pytest_run(tmp_path, *words, faults=("leak", "offset-time"))
    assert ended.code == 1
    found = ended.outcomes()
    assert (found["message-life"], found["shapes"], found["test_own"]) == ("failed", "failed", "passed")
    assert "breaks PRIV-01 (MUST" in ended.out
    assert "    sent      " in ended.out
    assert "again: relaykit test -t target.yaml --run message-life" in ended.out
    assert "Traceback" not in ended.out
    assert "eyJ" not in ended.out
    assert "FAILED target.yaml::message-life - mallory got a frame of type 'deliver'" in ended.out


def test_expected_failures_are_xfailed_and_stale_ones_fail(tmp_path: Path) -> None:
    more = (
        "expected_failures:\n  - {case: message-life, reason: on the list}\n"
        "  - {case: heartbeat-is-answered, reason: was once so}\n"
    )
    words = ("--relay-target", "target.yaml", "--relay-run", "message-life", "--relay-run", "heartbeat-*")
    ended = pytest_run(tmp_path, *words, faults=("no-ack",), more=more)
    found = ended.outcomes()
    assert (found["message-life"], found["expectations"]) == ("xfailed", "failed"), ended.out
    assert "on the list" in ended.out
    assert "heartbeat-is-answered is expected to fail (was once so), but passes" in ended.out
    assert ended.code == 1


def test_one_case_by_its_name_and_by_its_requirement(tmp_path: Path) -> None:
    async def main() -> tuple[Ended, Ended, Ended]:
        async with target(tmp_path):
            options = (*PLUGIN, "--relay-target", "target.yaml")
            return (
                await run(tmp_path, *options, "target.yaml::message-life"),
                await run(tmp_path, *options, "-k", "message-life or test_own"),
                await run(tmp_path, *options, "-m", "not relay"),
            )

    one, two, none = asyncio.run(main())
    assert one.code == two.code == none.code == 0, (one.out, two.out, none.out)
    assert "1 passed" in one.out
    assert "2 passed" in two.out
    assert "target.yaml::" not in none.out


def test_no_target_fails_once_and_skips_the_rest(tmp_path: Path) -> None:
    (project(tmp_path) / "target.yaml").write_text(TARGET.format(url="ws://127.0.0.1:1/ws"))
    ended = asyncio.run(run(tmp_path, *PLUGIN, "--relay-target", "target.yaml", "--relay-run", "message-*"))
    found = list(ended.outcomes().values())
    assert found.count("failed") == 1
    assert found.count("passed") == 1  # the project's own test
    assert found.count("skipped") == len(found) - 2
    assert "is the server running there?" in ended.out


def test_a_target_that_is_launched_is_stopped(tmp_path: Path) -> None:
    (project(tmp_path) / "target.yaml").write_text(TARGET.format(url="ws://127.0.0.1:{port}/ws"))
    serve = f"{sys.executable} -c 'from relaykit.cli import main; main()' serve --port {{port}}"
    words = ("--relay-target", "target.yaml", "--relay-launch", serve, "--relay-run", "message-life")
    ended = asyncio.run(run(tmp_path, *PLUGIN, *words))
    assert ended.code == 0, ended.out
    assert ended.outcomes()["message-life"] == "passed"
    assert "Loop" not in ended.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--relay-run", "x"), "which server? give --relay-target FILE"),
        (("--relay-target", "nowhere.yaml"), "nowhere.yaml: cannot be read"),
        (("--relay-url", "ws://127.0.0.1:1/ws", "--relay-profile", "huge"), "'--relay-profile'"),
        (("--relay-url", "ws://127.0.0.1:1/ws", "--relay-run", "mesage-*"), "no case fits"),
        (("--relay-url", "ws://127.0.0.1:1/ws", "-n", "2"), "leave out -n"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    ended = asyncio.run(run(project(tmp_path), *PLUGIN, *words))
    assert ended.code == 4, ended.out
    assert said in ended.out
    assert "Traceback" not in ended.out


def test_with_workers_all_cases_are_one_workers(tmp_path: Path) -> None:
    words = ("--relay-target", "target.yaml", "--relay-run", "message-*", "-n", "2", "--dist", "loadgroup")
    ended = pytest_run(tmp_path, *words)
    assert ended.code == 0, ended.out
    assert "passed" in ended.out


def test_ctrl_c_ends_the_run_behind_it(tmp_path: Path) -> None:
    async def main() -> tuple[int, str]:
        async with fakes.raw(fakes.never_answers) as url:
            (project(tmp_path) / "target.yaml").write_text(
                TARGET.format(url=url).replace("connect_ms: 3000", "connect_ms: 60000")
            )
            words = ("-v", "-p", "no:cacheprovider", *PLUGIN, "--relay-target", "target.yaml")
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-u", "-m", "pytest", *words),
                cwd=tmp_path,
                env={**os.environ, "RELAYKIT_SECRET": fakes.SECRET},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            assert process.stdout is not None
            said = b""
            async with asyncio.timeout(60):
                while b"target.yaml::" not in said:
                    said += await process.stdout.read(4096)
                process.send_signal(signal.SIGINT)
                rest = await process.stdout.read()
                return await process.wait(), (said + rest).decode()

    code, out = asyncio.run(main())
    assert code == 2, out
    assert "KeyboardInterrupt" in out
