"""Files in one step: what stands there is kept as what it is."""

from __future__ import annotations

import json
import os
import shlex
import stat
import subprocess
from pathlib import Path

import pytest
from support.process import COMMAND, DEADLINE, environment, run

from relaykit.reference_server import one_step


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    file, link, dangling = tmp_path / "file", tmp_path / "link", tmp_path / "dangling"
    file.write_text("before")
    link.symlink_to("file")
    dangling.symlink_to("made")
    one_step.write(link, "after")
    one_step.write(dangling, "new")
    assert link.is_symlink()
    assert file.read_text() == "after"
    assert (tmp_path / "made").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file", "link", "made"]
    one_step.remove(link)
    assert link.is_symlink()
    assert not file.exists()


def test_a_pipe_is_written_into_and_stays() -> None:
    """As `--ready-file /dev/stdout`: what such a link names cannot be resolved."""
    reads, writes = os.pipe()
    path = Path(f"/dev/fd/{writes}")
    one_step.write(path, "text")
    one_step.remove(path)
    assert os.read(reads, 100) == b"text"
    os.close(reads)
    os.close(writes)


def test_a_file_that_a_descriptor_has_open_is_written_behind_what_it_holds(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    with file.open("w") as opened:
        opened.write("before\n")
        opened.flush()
        link.symlink_to(f"/dev/fd/{opened.fileno()}")
        one_step.write(link, "after\n")
        one_step.remove(link)
        assert file.read_text() == "before\nafter\n"
        file.unlink()
        one_step.write(link, "removed\n")  # no new file takes the name that the system tells for this one
        one_step.remove(link)
    assert [one.name for one in tmp_path.iterdir()] == ["link"]


@pytest.mark.parametrize(("redirection", "way"), [(">", "name"), (">>", "link")])
def test_the_file_that_standard_output_goes_to_is_written_behind_what_it_holds(
    redirection: str, way: str, tmp_path: Path
) -> None:
    """As `relaykit serve --ready-file /dev/stdout >> serve.log`."""
    log, link = tmp_path / "serve.log", tmp_path / "link"
    log.write_text("an earlier run\n")
    link.symlink_to("/proc/self/fd/1" if Path("/proc/self/fd").exists() else "/dev/fd/1")
    ready = link if way == "link" else log
    words = shlex.join([*COMMAND, "serve", "--port", "0", "-v", "--ready-file", str(ready)])
    command = f"exec {words} {redirection} {shlex.quote(str(log))}"
    process = subprocess.Popen(["sh", "-c", command], env=environment(), stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        for line in process.stderr:  # the ready file is written before this
            if b"serving on" in line:
                break
        process.terminate()
        process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
    *lines, last = log.read_text().split("\n")
    assert last == ""  # what is logged behind it does not stand in its line
    assert lines[:-2] == (["an earlier run"] if redirection == ">>" else [])
    assert json.loads(lines[-1])["url"] == lines[-2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "serve.log"]


def test_a_failed_start_leaves_the_file_that_standard_error_goes_to(tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    log.write_text("an earlier run\n")
    for option in (["--ready-file"], ["--tls-self-signed", "--tls-ca-out"]):
        command = [*COMMAND, "serve", "--port", "0", *option, str(log), "--store", str(tmp_path / "no" / "x")]
        with log.open("a") as opened:
            assert subprocess.run(command, env=environment(), stderr=opened, timeout=DEADLINE).returncode == 2
    text = log.read_text()
    assert text.count("an earlier run\n") == 1
    assert text.count("relaykit: ") == 2


def test_a_pipe_that_nobody_reads_is_refused_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="No such device"):
        one_step.write(path, "text")
    one_step.remove(path)
    for option in (["--ready-file"], ["--tls-self-signed", "--tls-ca-out"]):
        result = run("serve", "--port", "0", *option, str(path))
        assert result.returncode == 2, result.stderr
        assert "cannot be written: nobody reads this pipe" in result.stderr
        assert stat.S_ISFIFO(path.stat().st_mode)
    assert [one.name for one in tmp_path.iterdir()] == ["pipe"]
