"""What a person reads: the likely cause first, few long blocks, nothing that was not asked, errors early."""

from __future__ import annotations

import asyncio
import io
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from fixtures.fakes import minimal, opens_and_is_silent, sockets
from rich.console import Console
from support.suite import QUICK, all_cases, as_report, by_id, judge, make_target, relaykit

from relaykit.conformance import terminal
from relaykit.conformance.launch import free_port, launched
from relaykit.conformance.results import RunResult, Verdict
from relaykit.conformance.setup import Given
from relaykit.conformance.setup import make_target as target_of
from relaykit.errors import UsageError
from relaykit.schemas import load_catalogue


def printed(data: dict[str, Any], *, verbose: bool = False) -> str:
    out = io.StringIO()
    terminal.show(data, Console(file=out, width=300), verbose=verbose)
    return out.getvalue()


def test_a_target_without_heartbeats_is_told_so_before_anything_else() -> None:
    async def main() -> tuple[str, RunResult]:
        async with sockets(opens_and_is_silent) as url:
            target = make_target(url, timing={**QUICK, "reply_ms": 100})
            result = await judge(target, all_cases("area:messages", "heartbeat-is-answered"))
        return printed(as_report(result, target)), result

    text, result = asyncio.run(main())
    assert text.startswith(" FIRST  the target answers no `heartbeat` (KEEP-03)")
    assert result.notes[0] == result.hints[0]
    blocks, lines = len(re.findall("^  transcript", text, re.MULTILINE)), text.count("\n FAIL ")
    assert blocks == 20 < lines == result.count(Verdict.FAIL)
    assert "--verbose shows all of each" in text
    assert "KEEP-03" not in "".join(judged_right().notes)


def judged_right(**more: Any) -> RunResult:
    async def main() -> RunResult:
        async with minimal().running() as url:
            return await judge(make_target(url, timing=QUICK), all_cases("message-life"), **more)

    return asyncio.run(main())


def test_verbose_shows_every_failure_whole() -> None:
    async def main() -> str:
        async with sockets(opens_and_is_silent) as url:
            target = make_target(url, timing={**QUICK, "reply_ms": 50})
            result = await judge(target, all_cases("area:messages"))
        return printed(as_report(result, target), verbose=True)

    text = asyncio.run(main())
    assert len(re.findall("^  transcript", text, re.MULTILINE)) == text.count("\n FAIL ") > 20


def test_a_limit_of_frames_that_nobody_stated_is_named_as_a_cause() -> None:
    limits: dict[str, float] = {"burst": 3, "frames_per_second": 2}

    async def main(**stated: Any) -> RunResult:
        async with minimal(limits=limits).running() as url:
            return await judge(make_target(url, timing=QUICK, **stated), all_cases("message-life"))

    result = asyncio.run(main())
    assert "state limits.frames_per_second and limits.burst" in result.hints[0]
    assert "message-life" in result.hints[0]
    assert "`rate_limited` came" in by_id(result)["message-life"].findings[0].message
    kept = asyncio.run(main(pacing={"frames_per_second": 100}))
    assert not kept.hints, "who states a pace has thought of it"


def test_a_run_of_one_case_speaks_of_that_case_alone() -> None:
    assert [each.case.id for each in judged_right(gathered=False).cases] == ["message-life"]
    assert len(judged_right().cases) > 1


def test_a_shape_that_is_wrong_is_told_in_a_run_of_one_case_too() -> None:
    async def main() -> RunResult:
        async with minimal("offset-time").running() as url:
            return await judge(make_target(url, timing=QUICK), all_cases("message-life"), gathered=False)

    shapes = [each for each in asyncio.run(main()).cases if each.case.kind == "shape"]
    assert shapes
    assert all(each.findings for each in shapes)


def test_where_nothing_was_executed_nothing_passes() -> None:
    async def main() -> RunResult:
        async with minimal().running() as url:
            return await judge(make_target(url, timing=QUICK), all_cases("area:calls"))

    result = asyncio.run(main())
    assert result.count(Verdict.PASS) == 0
    assert result.count(Verdict.NOT_APPLICABLE) == len(result.cases)


def test_what_had_no_turn_is_counted_and_not_listed() -> None:
    async def main() -> tuple[RunResult, dict[str, Any]]:
        async with minimal("no-ack").running() as url:
            target = make_target(url, timing=QUICK)
            cases = all_cases("area:messages")
            result = await judge(target, cases, jobs=1, max_fail=1)
        return result, as_report(result, target)

    result, data = asyncio.run(main())
    waiting = [each.case.id for each in result.cases if not each.ran]
    assert len(waiting) > 5
    text = printed(data)
    assert f"not run {len(waiting)}: the run was stopped after 1 failures (--max-fail)" in text
    assert f"{len(waiting)} not run" in data["outcome"]["text"]
    assert waiting[-1] not in text


def test_a_report_that_cannot_be_written_is_refused_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in (tmp_path, tmp_path / "file" / "report.json"):
        # Nothing listens there: exit 3 would mean that it was tried.
        words = ("test", "--url", "ws://127.0.0.1:9/ws", "--report", f"json={name}")
        ended = asyncio.run(relaykit(*words, RELAYKIT_SECRET="s" * 32))
        assert ended.code == 2, ended
        assert str(name) in ended.err
    made = tmp_path / "new" / "folder" / "report.json"
    words = ("test", "--url", "ws://127.0.0.1:9/ws", "--report", f"json={made}")
    assert asyncio.run(relaykit(*words, RELAYKIT_SECRET="s" * 32)).code == 3


def given(tmp_path: Path, text: str, launch: str = "server --port {port}") -> Given:
    file = tmp_path / "target.yaml"
    file.write_text(text)
    return Given(file, None, None, launch, (), {"port": 5})


def test_an_address_that_the_launched_server_was_not_told_is_refused(tmp_path: Path) -> None:
    tokens = "tokens: {mint: {secret: {value: abc}}}"
    with pytest.raises(UsageError, match="--launch tells the server to listen at a free port") as raised:
        target_of(given(tmp_path, f"url: ws://127.0.0.1:8999/ws\n{tokens}"), load_catalogue())
    assert "{port}" in str(raised.value.hint)
    right = given(tmp_path, f"url: 'ws://127.0.0.1:{{port}}/ws'\n{tokens}")
    assert target_of(right, load_catalogue())[0].url == "ws://127.0.0.1:5/ws"
    fixed = given(tmp_path, f"url: ws://127.0.0.1:8999/ws\n{tokens}", "server --port 8999")
    assert target_of(fixed, load_catalogue())[0].url == "ws://127.0.0.1:8999/ws"


def test_a_missing_secret_tells_that_the_suite_can_make_one_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RELAYKIT_SECRET", raising=False)
    text = "url: 'ws://127.0.0.1:{port}/ws'\ntokens: {mint: {secret: {env: RELAYKIT_SECRET}}}"
    with pytest.raises(UsageError, match="RELAYKIT_SECRET is not set") as raised:
        target_of(given(tmp_path, text), load_catalogue())
    assert "leave `tokens` out" in str(raised.value.hint)


SERVER = """\
import asyncio, sys
async def main():
    try:
        raise ValueError("a fault of ours")
    except ValueError:
        import traceback; traceback.print_exc(); traceback.print_exc()
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
asyncio.run(main())
"""


def test_exceptions_that_a_launched_target_wrote_of_are_noted(tmp_path: Path) -> None:
    script = tmp_path / "server.py"

    async def main(text: str) -> tuple[str | None, list[str]]:
        script.write_text(text)
        port = free_port()
        command = f"{sys.executable} {script} {port}"
        async with launched(command, f"ws://127.0.0.1:{port}/ws", environment={}, seconds=20) as server:
            pass
        return server.crash_note, server.first_crash

    note, lines = asyncio.run(main(SERVER))
    assert "2 times" in str(note)
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == "ValueError: a fault of ours"
    quiet = SERVER.replace("traceback.print_exc()", "print('fine')")
    assert asyncio.run(main(quiet)) == (None, [])


def test_broken_rules_are_named_however_long_their_texts() -> None:
    bad = [{"id": "a-case", "findings": [{"severity": "fail", "requirement": "VAL-08"}]}]
    console = Console(width=60)
    with console.capture() as shown:
        console.print(terminal._broken(bad, {"VAL-08": "a long text " * 30}))
    assert any(line.startswith("VAL-08") and "1  a long text" in line for line in shown.get().splitlines())
