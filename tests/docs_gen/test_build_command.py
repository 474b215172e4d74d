"""`relaykit docs build`: results of a report, what it writes, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from relaykit.docs_gen import build, commands_help
from relaykit.docs_gen.commands import docs
from relaykit.docs_gen.suite import Results, read_report
from relaykit.errors import UsageError
from relaykit.schemas import load_catalogue


def _report(folder: Path) -> Path:
    report = {
        "target": {"name": "a <b>bold</b> server"},
        "cases": [{"id": "message-life", "verdict": "fail"}],
        "requirements": [{"id": "MSG-12", "verdict": "pass"}, {"id": "MSG-16", "verdict": "fail"}],
    }
    path = folder / "report.json"
    path.write_text(json.dumps(report), "utf-8")
    return path


def test_a_report_shows_the_last_results(tmp_path: Path, files: Mapping[str, str]) -> None:
    results = read_report(_report(tmp_path))
    now = build.site_files(build.documentation(load_catalogue(), results))
    assert "v-fail" in now["scenarios/message-life.html"]
    assert "v-pass" in now["requirements/messages.html"]
    assert "v-fail" in now["frames/c2s/send.html"]
    assert "last result: fail" in now["requirements/messages.md"]
    assert "a &lt;b&gt;bold&lt;/b&gt; server" in now["requirements/index.html"]
    assert "v-fail" not in files["scenarios/message-life.html"]
    assert read_report(None) == Results()


@pytest.mark.parametrize(
    ("text", "said"), [("{", "not JSON"), ("[]", "not a report"), ('{"a":1}', "no list of cases")]
)
def test_what_is_no_report_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match=said):
        read_report(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_report(tmp_path / "missing.json")


def _run(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(docs, ["build", *map(str, arguments)], standalone_mode=False)
    if done.exception:
        raise done.exception
    return int(done.return_value or 0), done.output


def test_build_writes_checks_and_removes_only_its_own(tmp_path: Path) -> None:
    out = tmp_path / "docs"
    code, output = _run("--markdown", "--out", out, "--check")
    assert code == 1
    assert "missing" in output
    assert not out.exists()
    assert _run("--markdown", "--out", out)[0] == 0
    assert _run("--markdown", "--out", out, "--check")[0] == 0

    (out / "guides" / "mine.md").write_text("mine")
    (out / "llms.txt").write_text("changed")
    manifest = out / build.MANIFEST
    (out / "guides" / "gone.md").write_text("of an earlier build")
    manifest.write_text(manifest.read_text() + "guides/gone.md\n../outside.txt\n")
    (tmp_path / "outside.txt").write_text("untouched")
    code, output = _run("--markdown", "--out", out, "--check")
    assert code == 1
    assert "llms.txt: out of date" in output
    assert "gone.md: no longer made" in output
    assert _run("--markdown", "--out", out)[0] == 0
    assert not (out / "guides" / "gone.md").exists()
    assert (out / "guides" / "mine.md").read_text() == "mine"
    assert (tmp_path / "outside.txt").read_text() == "untouched"
    assert _run("--markdown", "--out", out, "--check")[0] == 0


def test_build_writes_one_file_beside_others(tmp_path: Path) -> None:
    (tmp_path / "other.html").write_text("other")
    assert _run("--single-file", "--out", tmp_path / "all.html")[0] == 0
    assert {path.name for path in tmp_path.iterdir()} == {"all.html", "other.html"}
    assert _run("--single-file", "--out", tmp_path / "all.html", "--check")[0] == 0


def test_build_refuses_what_makes_no_sense(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        _run("--single-file", "--markdown")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        _run("--out", tmp_path / "file" / "site")


def test_a_catalogue_of_ones_own_is_drawn(changed: Path, tmp_path: Path) -> None:
    path = changed / "frames/s2c/ping.schema.json"
    schema = {**json.loads(path.read_text("utf-8")), "title": "Are you still there, old friend"}
    path.write_text(json.dumps(schema), "utf-8")
    assert _run("--catalogue", changed, "--out", tmp_path / "site")[0] == 0
    assert "old friend" in (tmp_path / "site/frames/s2c/ping.html").read_text("utf-8")


def test_help_is_the_same_whatever_ran_before(files: Mapping[str, str], tmp_path: Path) -> None:
    assert CliRunner().invoke(docs, ["diff", "--help"]).exit_code == 0
    assert _run("--markdown", "--out", tmp_path)[0] == 0
    (said,) = (text for name, text in commands_help.rendered() if name == "relaykit docs diff")
    assert "-h, --help" in said
    assert said in files["guides/commands.md"]
