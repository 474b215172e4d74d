"""`relaykit report` and `--report`, as somebody types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from fixtures import fakes
from support.reports import VALIDATOR, case, make, row
from support.suite import relaykit

from relaykit.conformance.reports.commands import report
from relaykit.conformance.reports.formats import FORMATS, parse_report
from relaykit.errors import UsageError


def run(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(report, words, standalone_mode=False, input=stdin)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    made = {
        "good": make([case("a"), case("b")]),
        "bad": make([case("a"), case("b", "fail")], [row(verdict="fail")]),
        "more": make([case("c")]),
    }
    paths = {}
    for name, data in made.items():
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(data))
        paths[name] = str(path)
    return paths


@pytest.mark.parametrize(
    ("kind", "name", "holds"),
    [
        ("html", "x.html", "<!doctype html>"),
        ("markdown", "x.md", "## ❌"),
        ("sarif", "x.sarif", '"2.1.0"'),
        ("badge", "x.svg", "<svg"),
        ("badge", "x.json", "schemaVersion"),
        ("junit", "x.xml", "<testsuites"),
    ],
)
def test_a_report_is_rendered_afterwards(
    kind: str, name: str, holds: str, files: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "new" / name
    assert run(kind, files["bad"], "-o", str(path)).return_value == 0
    assert holds in path.read_text("utf-8")
    if name != "x.json":
        assert holds in run(kind, files["bad"]).stdout
        assert holds in run(kind, "-", stdin=Path(files["bad"]).read_text()).stdout


def test_diff_exits_with_1_where_something_got_worse(files: dict[str, str], tmp_path: Path) -> None:
    worse = run("diff", files["good"], files["bad"])
    assert worse.return_value == 1
    assert "pass → fail" in worse.stdout
    assert run("diff", files["bad"], files["good"]).return_value == 0
    out = tmp_path / "diff.json"
    assert run("diff", files["good"], files["bad"], "--format", "json", "-o", str(out)).return_value == 1
    assert json.loads(out.read_text())["worse"] is True
    assert run("diff", files["good"], files["good"], "--format", "markdown").stdout.startswith("## ✅")


def test_merge_writes_one_report_and_any_form_of_it(files: dict[str, str], tmp_path: Path) -> None:
    out, page = tmp_path / "all.json", tmp_path / "all.html"
    done = run("merge", files["bad"], files["more"], "-o", str(out), "--report", f"html={page}")
    assert done.return_value == 0
    data = json.loads(out.read_text())
    VALIDATOR.validate(data)
    assert data["summary"]["pass"] == 2
    assert "1 case failed" in page.read_text("utf-8")
    VALIDATOR.validate(json.loads(run("merge", files["bad"], files["more"]).stdout))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "no JSON"),
        (b"[]", "no report"),
        (b'{"kit": {}}', "no report"),
        (b"\xff", "no JSON"),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_report_is_told_so(content: bytes | None, said: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    for words in (("html", str(path)), ("diff", str(path), str(path)), ("merge", str(path))):
        with pytest.raises(UsageError, match=said):
            raise run(*words).exception or AssertionError(words)


def test_a_token_that_found_its_way_into_a_report_goes_no_further(tmp_path: Path) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"
    path = tmp_path / "x.json"
    path.write_text(json.dumps(make(notes=[f"token {token}"], server_log=[token])))
    for kind in FORMATS:
        if kind != "json":
            assert "eyJ" not in run(kind, str(path)).stdout
    assert "eyJ" not in run("merge", str(path)).stdout


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("htlm=x", "did you mean 'html'"),
        ("html", "html=FILE"),
        ("html=", "html=FILE"),
        ("badge=x.png", ".svg or .json"),
    ],
)
def test_a_wrong_format_is_refused_before_anything_runs(spec: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace(".", r"\.")):
        parse_report(spec)


def test_a_run_writes_every_format(tmp_path: Path) -> None:
    import asyncio

    async def main() -> None:
        async with fakes.minimal("leak").running() as url:
            names = {
                "json": "r.json",
                "html": "r.html",
                "markdown": "r.md",
                "sarif": "r.sarif",
                "badge": "b.svg",
            }
            words = [
                word for kind, name in names.items() for word in ("--report", f"{kind}={tmp_path / name}")
            ]
            ended = await relaykit(
                "test", "--url", url, "--run", "message-life", *words, RELAYKIT_SECRET=fakes.SECRET
            )
            assert ended.code == 1, ended.err
            for name in names.values():
                content = (tmp_path / name).read_text("utf-8")
                assert content
                assert fakes.SECRET not in content
                assert "eyJ" not in content
            data: dict[str, Any] = json.loads((tmp_path / "r.json").read_text())
            VALIDATOR.validate(data)
            # Both clocks are this machine's.
            assert abs(data["target"]["clock_skew_s"]) < 30
            again = f"relaykit test --url {url} --run message-life"
            assert again in (tmp_path / "r.html").read_text("utf-8")

    asyncio.run(main())
