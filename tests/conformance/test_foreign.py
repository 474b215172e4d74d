"""Servers that are not ours, judged whole through their target files alone.

Each is found to break what its `findings.yaml` lists, requirement by requirement, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from support.suite import Ended, relaykit

from relaykit.config import load_yaml

FOREIGN = Path(__file__).parents[1] / "fixtures" / "foreign"
SECRETS = {
    "FOREIGN_SECRET": "a foreign secret of the tests, long enough",
    "FOREIGN_CONTROL_TOKEN": "a-foreign-control-token",
}
# Their options, and the same in their target files: nobody waits for half a minute.
QUICK = "--ping-interval 1.5 --idle-timeout 5"
TIMES = {"ping_interval_s": "1.5", "idle_timeout_s": "5"}


def judged(
    tmp_path: Path, server: str, launch: str, *words: str, seconds: float = 240, **timing: str
) -> dict[str, Any]:
    """The report on a server whose target file is as its author wrote it, but for these times."""
    text = (FOREIGN / server / "target.yaml").read_text()
    for name, value in timing.items():
        text, count = re.subn(rf"(?m)^(  {name}:) .*$", rf"\1 {value}", text)
        assert count == 1, name
    target, out = tmp_path / "target.yaml", tmp_path / "report.json"
    target.write_text(text.replace("control.js", str(FOREIGN / server / "control.js")))
    report = ("--report", f"json={out}")
    # The tables are about verdicts, which no run of a failure once more changes.
    words = ("test", "-t", str(target), "--launch", launch, "-j", "16", "--retries", "0", *report, *words)
    ended = asyncio.run(relaykit(*words, seconds=seconds, **SECRETS))
    assert out.exists(), ended
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def broken(data: dict[str, Any]) -> dict[str, str]:
    """The requirements that were broken, each with its verdict."""
    return {
        row["id"]: row["verdict"]
        for row in data["requirements"]
        if row["verdict"] in ("fail", "warn", "error")
    }


def listed(table: dict[str, Any]) -> dict[str, str]:
    return {name: verdict for verdict in ("fail", "warn") for name in table.get(verdict, ())}


def findings(server: str) -> Any:
    return load_yaml(FOREIGN / server / "findings.yaml").data


def said(data: dict[str, Any]) -> str:
    """All findings in short, for whoever reads that a test failed."""
    lines = [
        f"{case['id']}: {finding['requirement']} {finding['message'][:150]}"
        for case in data["cases"]
        for finding in case["findings"]
    ]
    return "\n".join(lines)


@pytest.mark.timeout(300)
def test_the_aiohttp_server_is_as_its_table_says(tmp_path: Path) -> None:
    server = FOREIGN / "aiohttp_server" / "server.py"
    store = f"--database {tmp_path / 'messages.sqlite3'}"
    # It may close after repeated violations (VAL-14), and does so.
    options = f"{QUICK} --bad-frames 3"
    launch = f"{sys.executable} {server} {store} {options} --port {{port}} --control-port {{control_port}}"
    data = judged(tmp_path, "aiohttp_server", launch, "--profile", "full", **TIMES)
    assert broken(data) == listed(findings("aiohttp_server")), said(data)
    assert data["summary"]["pass"] > 225
    assert {case["id"] for case in data["cases"] if case["verdict"] == "fail"} == {
        "unmasked-frame",
        "token-large-claims",
    }


@pytest.mark.node
@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.timeout(300)
def test_the_node_server_is_as_its_table_says(tmp_path: Path) -> None:
    folder = FOREIGN / "node_server"
    if not (folder / "node_modules" / "ws").is_dir():
        pytest.skip("needs `npm ci` in the folder of the Node server")
    control = f"--control-file {tmp_path}/control-{{port}}.json"
    launch = f"node {folder / 'server.js'} {QUICK} --port {{port}} {control}"
    data = judged(tmp_path, "node_server", launch, "--profile", "full", **TIMES)
    assert broken(data) == listed(findings("node_server")), said(data)
    assert data["summary"]["pass"] > 200
    durability = {case["id"] for case in data["cases"] if case["verdict"] == "fail"}
    assert durability == {"survives-sigkill", "shutdown", "kept-across-a-restart"}


WRONG = f"{sys.executable} {FOREIGN / 'wrong_server' / 'server.py'} {QUICK} --port {{port}}"
TABLE = findings("wrong_server")


def expected(*deviations: str) -> dict[str, str]:
    """What these deviations break, and what the server breaks without any."""
    verdicts = listed(TABLE["always"])
    for name in deviations:
        for requirement, verdict in listed(TABLE["deviations"][name]).items():
            if verdicts.get(requirement) != "fail":
                verdicts[requirement] = verdict
    hidden = {
        requirement for name in deviations for requirement in TABLE["deviations"][name].get("hides", ())
    }
    return {requirement: verdict for requirement, verdict in verdicts.items() if requirement not in hidden}


QUICKER = {"quiet_ms": "60", "reply_ms": "2500"}
"""Nothing is late without `slow`, so that the quiet window may be short."""
ALL = [name for name in TABLE["deviations"] if name != "slow"]


@pytest.mark.timeout(300)
def test_all_deviations_at_once_are_found_and_nothing_else(tmp_path: Path) -> None:
    # Silence is judged by cases that wait for it.
    launch = f"{WRONG} --without slow"
    data = judged(tmp_path, "wrong_server", launch, "--profile", "full", **QUICKER, **TIMES)
    assert broken(data) == expected(*ALL), said(data)


@pytest.mark.parametrize("deviations", TABLE["together"], ids=lambda names: names[0])
@pytest.mark.timeout(300)
def test_each_deviation_of_the_wrong_server_is_found_and_nothing_else(
    tmp_path: Path, deviations: list[str]
) -> None:
    launch = f"{WRONG} --only {','.join(deviations)}"
    data = judged(tmp_path, "wrong_server", launch, **QUICKER, **TIMES)
    assert broken(data) == expected(*deviations), said(data)


def test_all_deviations_stand_in_the_table_and_each_shows_by_something_of_its_own() -> None:
    names = [
        entry["name"] for entry in load_yaml(FOREIGN / "wrong_server" / "expected.yaml").data["deviations"]
    ]
    assert sorted(TABLE["deviations"]) == sorted(names)
    among_all = TABLE["seen_among_all"]
    assert sorted(sum(TABLE["together"], ["slow", *among_all])) == sorted(names)
    for group, looked_for in ((ALL, among_all), *((group, group) for group in TABLE["together"])):
        for name in looked_for:
            others = expected(*(other for other in group if other != name))
            assert expected(*group) != others, f"{name} would not be missed"


@pytest.mark.timeout(300)
def test_slowness_is_no_fault(tmp_path: Path) -> None:
    chosen = [word for area in ("messages", "keepalive", "envelope") for word in ("--run", f"area:{area}")]
    # What is killed loses everything, as the table says; here that would only be waited for once more.
    chosen += ["--skip", "survives-sigkill", "-j", "32"]
    data = judged(tmp_path, "wrong_server", f"{WRONG} --only slow", *chosen, **TIMES)
    assert set(broken(data)) <= set(listed(TABLE["always"])), said(data)
    assert data["summary"]["pass"] > 25


FAST = "--rate 100000 --burst 100000"
"""For fuzzing: what limits frames is fuzzed slowly."""


@pytest.mark.timeout(200)
def test_fuzzing_finds_nothing_in_a_server_that_is_right(tmp_path: Path) -> None:
    """It spells identifiers in upper case, fans out late, and closes connections after some violations."""
    server = FOREIGN / "aiohttp_server"
    text = (server / "target.yaml").read_text()
    limits = "frames_per_second: 200, burst: 500"
    assert limits in text
    target = tmp_path / "target.yaml"
    target.write_text(text.replace(limits, "frames_per_second: 100000, burst: 100000"))

    async def fuzzed(seed: str, bad_frames: int, *words: str) -> Ended:
        ports = "--port {port} --control-port {control_port}"
        launch = f"{sys.executable} {server / 'server.py'} {FAST} --bad-frames {bad_frames} {ports}"
        out = str(tmp_path / seed)
        options = ("-t", str(target), "--launch", launch, "--seed", seed, "--format", "json", "--out", out)
        return await relaykit("fuzz", *options, *words, seconds=120, **SECRETS)

    async def main() -> list[Ended]:
        frames = ("--frames", "1500", "--connections", "6")
        return await asyncio.gather(
            fuzzed("a", 100, *frames),
            fuzzed("b", 30, *frames),
            fuzzed("c", 2, "--sessions", "--frames", "150"),
        )

    for ended in asyncio.run(main()):
        data = json.loads(ended.out)
        assert not data["findings"], data["findings"]
        assert ended.code == 0, ended
