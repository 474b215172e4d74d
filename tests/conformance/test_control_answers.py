"""What a control interface answers is as its description says, or else the environment is to blame."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from fixtures.fakes import minimal
from support.server import new_id
from support.suite import all_cases, judge, make_target

from relaykit.conformance.arranging import control
from relaykit.conformance.context import CaseStop, Context, UntestableError
from relaykit.conformance.control import (
    Checked,
    ControlBarredError,
    ControlFailedError,
    ControlMisfitError,
    ControlMissingError,
    ControlRefusedError,
    open_control,
)
from relaykit.conformance.control_spec import HttpControl
from relaykit.conformance.results import RunResult
from relaykit.conformance.run import Settings, environment
from relaykit.schemas import load_catalogue

NEEDS_A_USER = "first-device-gets-all"


class Giving:
    """A control interface that answers with what it is told to."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return dict(self._answer)

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({}, "create_user: its answer is not as described: .user_id. is a required property"),
        ({"user_id": 7, "devices": [], "primary_device_id": None}, "described: /user_id: 7 is not"),
        ({"user_id": object(), "devices": [], "primary_device_id": None}, "described: it is not JSON"),
    ],
)
def test_an_answer_that_is_not_as_described_is_a_failure_of_control(answer: Any, said: str) -> None:
    with pytest.raises(ControlMisfitError, match=said):
        asyncio.run(Checked(Giving(answer)).call("create_user", {}))
    good = {"user_id": new_id(), "devices": [new_id()], "primary_device_id": None, "more": 1}
    assert asyncio.run(Checked(Giving(good)).call("create_user", {})) == good


COMMAND = """\
import json, sys
for line in sys.stdin:
    print(json.dumps({"id": json.loads(line)["id"], "result": {}}), flush=True)
"""
ADAPTER = """\
class Adapter:
    def create_user(self, **given):
        return {}
"""


@pytest.mark.parametrize("kind", ["python", "command", "http"])
def test_the_target_is_not_accused_for_an_answer_of_control(tmp_path: Path, kind: str) -> None:
    (tmp_path / "lazy.py").write_text(COMMAND if kind == "command" else ADAPTER)

    async def nothing(_: web.Request) -> web.Response:
        return web.json_response({})

    async def main() -> RunResult:
        app = web.Application()
        app.router.add_post("/{operation}", nothing)
        async with minimal().running() as url, TestServer(app) as served:
            spec: dict[str, Any] = {
                "python": {"adapter": f"{tmp_path / 'lazy.py'}:Adapter"},
                "command": {"run": [sys.executable, str(tmp_path / "lazy.py")]},
                "http": {
                    "url": str(served.make_url("")).rstrip("/"),
                    "token": {"value": "a token that nobody looks at"},
                },
            }
            return await judge(make_target(url, control={kind: spec[kind]}), all_cases(NEEDS_A_USER))

    (found,) = (each for each in asyncio.run(main()).cases if each.case.id == NEEDS_A_USER)
    (finding,) = found.findings
    assert (finding.blame, finding.requirement) == ("environment", None)
    assert "create_user: its answer is not as described" in finding.message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, ControlRefusedError),
        (409, ControlRefusedError),
        (401, ControlBarredError),
        (403, ControlBarredError),
        (429, ControlFailedError),
        (500, ControlFailedError),
    ],
)
def test_a_status_tells_what_is_refused_from_what_fails(status: int, kind: type[Exception]) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"error": "no such group"}, status=status)

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/{operation}", answer)
        async with TestServer(app) as served:
            over_http = open_control(HttpControl(str(served.make_url("")).rstrip("/"), None, None), 20)
            assert over_http is not None
            with pytest.raises(ControlFailedError, match=f"HTTP {status}.*no such group") as failed:
                await over_http.call("add_member", {})
            assert type(failed.value) is kind
            await over_http.close()

    asyncio.run(main())


def test_an_answer_that_is_too_long_is_not_taken_in() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"user_id": "u" * 2**21})

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/{operation}", answer)
        async with TestServer(app) as served:
            over_http = open_control(HttpControl(str(served.make_url("")).rstrip("/"), None, None), 20)
            assert over_http is not None
            with pytest.raises(ControlFailedError, match="longer than 1048576 bytes"):
                await over_http.call("create_user", {})
            await over_http.close()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (ControlRefusedError("HTTP 409, it is decided"), None),
        (ControlFailedError("no answer within 5 s"), CaseStop),
        (ControlMissingError("it does not offer that"), UntestableError),
    ],
    ids=["refused", "out of order", "missing"],
)
def test_what_may_be_refused_may_not_fail_otherwise(error: Exception, ends: type[Exception] | None) -> None:
    class Failing(Giving):
        async def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
            raise error

    async def main() -> None:
        env = environment(make_target("ws://127.0.0.1:9/ws"), load_catalogue(), Settings())
        env.control = Failing({})
        context = Context(env, all_cases("device-late-decision")[0])
        with pytest.raises(ends) if ends else contextlib.nullcontext():
            assert await control(context, "decide_device_approval", {}, may_refuse=True) == {}
        assert [outcome.blame for outcome in context.outcomes] == ["environment"] * (ends is CaseStop)
        if ends is None:
            with pytest.raises(CaseStop):
                await control(context, "decide_device_approval", {})
        await env.close()

    asyncio.run(main())
