"""Files in one step: what stands there is kept as what it is."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from support.process import run

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
