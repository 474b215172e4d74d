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
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a report"),
        ('{"a":1}', "no list of cases"),
        ('{"cases":[],"requirements":null}', "its requirements are no list"),
        ('{"cases":[],"requirements":5}', "its requirements are no list"),
    ],
)
def test_what_is_no_report_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match=said):
        read_report(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_report(tmp_path / "missing.json")


def test_pages_say_of_which_run_the_verdicts_are(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    report = {
        **json.loads(_report(tmp_path).read_text("utf-8")),
        "kit": {"name": "relaykit", "version": "9.8"},
        "protocol": {"catalogue": "another"},
        "started": "2026-01-02T03:04:05.000Z",
    }
    path.write_text(json.dumps(report), "utf-8")
    code, output = _run("--markdown", "--report", path, "--out", tmp_path / "docs")
    assert (code, "warning: " in output, "another edition" in output) == (0, True, True)
    told = (tmp_path / "docs/requirements/messages.md").read_text("utf-8")
    assert "2026-01-02T03:04:05.000Z, relaykit 9.8, judged by another edition" in told
    report["protocol"] = {"catalogue": load_catalogue().digest}
    path.write_text(json.dumps(report), "utf-8")
    code, output = _run("--report", path, "--out", tmp_path / "site")
    assert (code, "warning" in output) == (0, False)
    page = (tmp_path / "site/scenarios/message-life.html").read_text("utf-8")
    assert "last results: a &lt;b&gt;bold&lt;/b&gt; server, 2026-01-02T03:04:05.000Z, relaykit 9.8<" in page


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


def test_the_single_file_goes_where_it_is_sent(tmp_path: Path) -> None:
    assert _run("--single-file", "--out", f"{tmp_path}/new/")[0] == 0
    assert _run("--single-file", "--out", tmp_path)[0] == 0
    written = (tmp_path / "site.html").read_text("utf-8")
    assert (tmp_path / "new/site.html").read_text("utf-8") == written
    code, output = _run("--single-file", "--out", "-")
    assert (code, output) == (0, written)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--out", ""),
        ("--out", "-"),
        ("--single-file", "--out", " "),
        ("--single-file", "--check", "--out", "-"),
    ],
)
def test_a_place_that_is_none_is_refused(
    arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="--out"):
        _run(*arguments)
    assert list(tmp_path.iterdir()) == []


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
