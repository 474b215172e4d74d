"""The suite from Python: what the pytest plugin, `selftest` and `replay` are built on."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from fixtures import fake_process, fakes
from support.suite import PATIENT

from relaykit.conformance import api
from relaykit.errors import UnreachableError, UsageError

FAKE = Path(fake_process.__file__)


def described(url: str, **more: object) -> dict[str, object]:
    return {
        "url": url,
        "tokens": {"mint": {"secret": {"value": fakes.SECRET}}},
        "timing": PATIENT,
        **more,
    }


def test_cases_a_target_and_a_verdict() -> None:
    async def main() -> None:
        async with fakes.minimal("no-ack").running() as url:
            target = api.target(described(url))
            result = await api.judge(target, api.cases(run=["message-life", "heartbeat-is-answered"]))
        verdicts = {each.case.id: each.verdict for each in result.cases}
        assert verdicts["message-life"] is api.Verdict.FAIL
        assert verdicts["heartbeat-is-answered"] is api.Verdict.PASS
        data = api.as_report(result, target)
        assert data["outcome"]["exit_code"] == 1
        assert fakes.SECRET not in str(data)

    asyncio.run(main())


def test_cases_one_by_one() -> None:
    async def main() -> None:
        async with fakes.minimal().running() as url, api.session(api.target(described(url))) as session:
            seen = [
                await session.judge(case) for case in api.cases(run=["message-life", "heartbeat-is-answered"])
            ]
            result = session.conclude()
        assert [each.verdict for each in seen] == [api.Verdict.PASS] * 2
        ids = [each.case.id for each in result.cases]
        assert {"message-life", "heartbeat-is-answered", "shape-sent-ack"} <= set(ids)

    asyncio.run(main())


def test_a_target_file_and_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "target.yaml"
    path.write_text("url: ws://127.0.0.1:1/ws\ntokens: {mint: {secret: {value: a long enough secret}}}\n")
    assert api.target(path).url == "ws://127.0.0.1:1/ws"
    with pytest.raises(UsageError, match="capabilities"):
        api.target({"url": "ws://127.0.0.1:1/ws", "tokens": {"mint": {}}, "capabilities": {"flying": True}})


def test_nobody_there_is_said() -> None:
    nobody = api.target(described("ws://127.0.0.1:9/ws"))
    with pytest.raises(UnreachableError, match="cannot be reached"):
        api.run(nobody, api.cases(run=["message-life"]))


def test_a_target_that_is_launched() -> None:
    prepared = api.prepare(launch=f"{sys.executable} {FAKE} {{port}}", secret_file=None)
    assert prepared.launch is not None
    result = api.run(prepared.target, api.cases(run=["message-life"]), launch=prepared.launch)
    assert result.count(api.Verdict.FAIL) == 0
    assert not result.notes


DEAF = """\
import socket, sys
print("a line of its log", flush=True)
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    server.accept()[0].close()
"""


@pytest.mark.parametrize("by", ["run", "session"])
def test_what_a_launched_target_wrote_is_in_the_hint(tmp_path: Path, by: str) -> None:
    (tmp_path / "deaf.py").write_text(DEAF)
    prepared = api.prepare(launch=f"{sys.executable} {tmp_path / 'deaf.py'} {{port}}")

    async def one_by_one() -> None:
        async with api.session(prepared.target, launch=prepared.launch):
            raise AssertionError("there is nobody to talk to")

    with pytest.raises(UnreachableError) as caught:
        if by == "run":
            api.run(prepared.target, api.cases(run=["message-life"]), launch=prepared.launch)
        else:
            asyncio.run(one_by_one())
    assert "does it speak WebSocket there" in str(caught.value.hint)
    assert str(caught.value.hint).endswith("; its last lines:\n    a line of its log")
