"""`relaykit validate`, as its users run it: its choices, and every way to end."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.validating import COMMAND, HEARTBEAT, PING, WRONG, counts, ndjson, places, report, run

# --- how it ends --------------------------------------------------------------------------------------------


def test_exit_codes(write: Any, tmp_path: Path) -> None:
    valid, invalid = write("valid.json", HEARTBEAT), write("invalid.json", WRONG)
    assert run(valid).returncode == 0
    assert run(valid, invalid).returncode == 1
    assert run(write("warned.json", {**PING, "x": 1})).returncode == 0
    assert run(write("warned.json", {**PING, "x": 1}), "--strict").returncode == 1
    nothing = run(write("empty.json", b""))
    assert nothing.returncode == 4
    assert "empty.json: it is empty" in nothing.stderr
    assert run(tmp_path / "no*.json").returncode == 4
    for arguments in (
        [],
        [tmp_path / "missing.json"],
        [valid, "--format", "pdf"],
        [valid, "--direction", "up"],
    ):
        done = run(*arguments)
        assert done.returncode == 2, arguments
        assert len(done.stderr.splitlines()) < 8


def test_nothing_is_checked_where_a_name_is_misspelt(write: Any, tmp_path: Path) -> None:
    done = run(write("invalid.json", WRONG), tmp_path / "missing.json")
    assert done.returncode == 2
    assert done.stdout == "", "nobody shall take it for the whole of what was asked for"
    assert f"{tmp_path / 'missing.json'}: no such file" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read(write: Any) -> None:
    path = write("secret.json", HEARTBEAT)
    path.chmod(0)
    _unreadable(path, write("fine.json", HEARTBEAT))


def test_a_device_that_cannot_be_read(write: Any) -> None:
    if not Path("/proc/self/mem").exists():
        pytest.skip("no /proc on this machine")
    _unreadable(Path("/proc/self/mem"), write("fine.json", HEARTBEAT))


def _unreadable(path: Path, fine: Path) -> None:
    done = run(fine, path)
    assert done.returncode == 2
    assert f"{path}: cannot be read" in done.stderr
    assert "1 file could not be read" in done.stdout, "the others are checked all the same"


def test_an_invalid_frame_counts_for_more_than_a_file_that_cannot_be_read(write: Any) -> None:
    if not Path("/proc/self/mem").exists():
        pytest.skip("no /proc on this machine")
    assert run(write("wrong.json", WRONG), "/proc/self/mem").returncode == 1


def test_fail_fast_stops_at_the_first_invalid_frame(write: Any) -> None:
    path = write("many.ndjson", ndjson(HEARTBEAT, {**PING, "x": 1}, WRONG, WRONG, HEARTBEAT))
    result = report(path, path.with_name("many.ndjson"), "--fail-fast")
    assert counts(result) == (3, 2, 1, 1)
    assert places(result) == [(2, 1, "ping"), (3, 2, "presence")]


def test_all_lists_valid_frames_too(write: Any) -> None:
    path = write("two.ndjson", ndjson(HEARTBEAT, WRONG))
    assert len(report(path)["frames"]) == 1
    assert [frame["valid"] for frame in report(path, "--all")["frames"]] == [True, False]


@pytest.mark.parametrize("engine", ["jsonschema-rs", "jsonschema", "both"])
def test_engines_report_the_same(write: Any, engine: str) -> None:
    path = write("two.ndjson", ndjson(HEARTBEAT, WRONG, {**PING, "x": 1}, {"type": "send"}))
    assert report(path, "--engine", engine) == report(path)


def test_disagreeing_validators_are_exit_5(write: Any) -> None:
    code = (
        "import jsonschema; from relaykit.schemas import validation; from relaykit.cli import main;"
        "validation.Judge.reference = jsonschema.Draft202012Validator({}); main()"
    )
    path = write("wrong.ndjson", ndjson(HEARTBEAT, WRONG))
    done = subprocess.run(
        [sys.executable, "-c", code, "validate", str(path), "--engine", "both"],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 5
    assert f"{path.as_posix()}:2: c2s presence: the validators disagree" in done.stderr


def test_a_reader_that_goes_away_is_no_error(write: Any) -> None:
    path = write("many.ndjson", ndjson(*[WRONG] * 20_000))
    process = subprocess.Popen([*COMMAND, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) != 0


def test_interrupted_it_sums_up_what_was_done() -> None:
    process = subprocess.Popen(
        [*COMMAND, "-", "--format", "json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    # The report is buffered: give it enough to write something, then interrupt it waiting for more.
    process.stdin.write(ndjson(*[WRONG] * 2000))
    process.stdin.flush()
    head = b""
    while len(head) < 1000:
        head += process.stdout.read(1000)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130
    result = json.loads(head + out)
    assert result["checked"] == result["invalid"] == len(result["frames"]) > 0
    assert b"interrupted" in error
    assert b"Traceback" not in error


def test_frames_on_a_pipe_are_judged_as_they_come() -> None:
    process = subprocess.Popen(
        [*COMMAND, "-", "--fail-fast"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    process.stdin.write(ndjson(HEARTBEAT, WRONG))
    process.stdin.flush()
    assert process.wait(60) == 1  # although the pipe is still open
    process.communicate()


# --- reports ------------------------------------------------------------------------------------------------


def test_help_teaches() -> None:
    text = run("--help").stdout
    for word in ("NDJSON", "HAR", "Markdown", "Examples", "--fail-fast", "Exit codes", "session.har"):
        assert word in text


def test_a_terminal_shows_how_far_it_is_until_it_ends() -> None:
    terminal, its_end = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "-", "--output", os.devnull],
        stdin=subprocess.PIPE,
        stderr=its_end,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(its_end)
    assert process.stdin is not None
    shown, given, lines = b"", 0, ndjson(*[HEARTBEAT] * 1000)
    ends = time.monotonic() + 60
    while b" frames" not in shown and time.monotonic() < ends:
        process.stdin.write(lines)
        process.stdin.flush()
        given += 1000
        while select.select([terminal], [], [], 0.02)[0]:
            shown += os.read(terminal, 4096)
    assert b" frames" in shown
    process.stdin.close()
    with contextlib.suppress(OSError):  # as a terminal ends on Linux
        while more := os.read(terminal, 4096):
            shown += more
    os.close(terminal)
    assert process.wait(60) == 0
    assert f"{given:,} frames checked".encode() in shown
    hidden, back = b"\x1b[?25l", b"\x1b[?25h"
    assert shown.rfind(hidden) < shown.rfind(back), "the cursor is back"
