"""Tokens that the suite does not sign: fetched over HTTP or by a command, or fixed ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiohttp import web
from fixtures import fakes
from support.control import TOKEN, bench
from support.server import SECRET
from support.suite import PATIENT, all_cases, as_report, by_id, judge, make_target

from relaykit.config import load_yaml
from relaykit.conformance.context import Context
from relaykit.conformance.issuing import Issuer, TokenError
from relaykit.conformance.results import RunResult, Verdict
from relaykit.conformance.run import Settings, environment
from relaykit.conformance.stops import UntestableError
from relaykit.conformance.target import Target, read_target
from relaykit.conformance.token_spec import Identity
from relaykit.errors import UnreachableError, UsageError
from relaykit.schemas import load_catalogue
from relaykit.tokens import mint

ISSUER_KEY = "the key of the issuer"


@asynccontextmanager
async def issuer(**changes: Any) -> AsyncIterator[dict[str, Any]]:
    """An HTTP interface that gives out tokens, and the `tokens` of a target file for it."""

    async def give(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer {ISSUER_KEY}":
            return web.json_response({"error": "who are you?"}, status=401)
        body = await request.json()
        token = mint(user_id=body["who"]["user"], device_id=request.query["device"], key=fakes.SECRET)
        return web.json_response({"data": {"token": token}})

    app = web.Application()
    app.router.add_post("/tokens", give)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]
    http = {
        "url": f"http://127.0.0.1:{port}/tokens?device={{device_id}}",
        "bearer": {"value": ISSUER_KEY},
        "body": {"who": {"user": "{user_id}"}},
        "pointer": "/data/token",
        **changes,
    }
    try:
        yield {"fetch": {"http": http}}
    finally:
        await runner.cleanup()


def without_minting(url: str, tokens: dict[str, Any], **more: Any) -> Target:
    return make_target(url, tokens=tokens, **more)


def untestable(result: RunResult) -> dict[str, str]:
    return {c.case.id: c.reason for c in result.cases if c.verdict is Verdict.UNTESTABLE}


def bad(result: RunResult) -> dict[str, list[str]]:
    wrong = (Verdict.FAIL, Verdict.ERROR)
    return {c.case.id: [f.message for f in c.findings] for c in result.cases if c.verdict in wrong}


def test_every_case_can_live_with_fetched_tokens() -> None:
    async def main() -> tuple[RunResult, Target]:
        async with fakes.minimal().running() as url, issuer() as tokens:
            target = without_minting(url, tokens)
            cases = [
                c for c in all_cases("area:authentication", "area:connection", "area:messages") if not c.slow
            ]
            return await judge(target, cases, jobs=8), target

    result, target = asyncio.run(main())
    assert not bad(result)
    reasons = untestable(result)
    assert not [name for name, reason in reasons.items() if "no token was obtained" in reason], reasons
    verdicts = {case.case.id: case.verdict for case in result.cases}
    # Tampering goes as far as it can without the key; what must be signed is not judged, and never passed.
    for name in ("token-garbage", "token-signature", "token-unsigned", "token-brings-key", "message-life"):
        assert verdicts[name] is Verdict.PASS, (name, by_id(result)[name])
    for name in (
        "token-expired",
        "token-without-identity",
        "token-malformed-claims",
        "token-other-algorithm",
    ):
        assert "tokens that the suite signs itself" in reasons[name]
    shown = json.dumps(as_report(result, target))
    assert ISSUER_KEY not in shown
    assert "eyJ" not in shown


@pytest.mark.parametrize(
    ("fault", "case"), [("no-verification", "token-signature"), ("no-verification", "token-unsigned")]
)
def test_tampering_still_finds_who_does_not_verify(fault: str, case: str) -> None:
    async def main() -> RunResult:
        async with fakes.minimal(fault).running() as url, issuer() as tokens:
            return await judge(without_minting(url, tokens), all_cases(case))

    assert asyncio.run(main()).cases[0].verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bearer": {"value": "wrong"}}, 'HTTP 401 {"error": "who are you?"}'),
        ({"pointer": "/token"}, "the answer has no text at /token"),
        ({"url": "http://127.0.0.1:1/"}, "127.0.0.1:1"),
    ],
)
def test_an_issuer_that_gives_nothing_ends_the_run_with_its_reason(
    changes: dict[str, Any], said: str
) -> None:
    async def main() -> None:
        async with fakes.minimal().running() as url, issuer(**changes) as tokens:
            await judge(without_minting(url, tokens), all_cases("message-life"))

    with pytest.raises(UnreachableError) as error:
        asyncio.run(main())
    assert "no token was given out" in str(error.value)
    assert said in str(error.value)


BY_LIFETIME = """\
import sys
from relaykit.tokens import mint
_, user, device, key, seconds = sys.argv
print(mint(user_id=user, device_id=device, key=key, lifetime_s=int(seconds)))
"""


@pytest.mark.parametrize(
    ("words", "verdict"), [(["{lifetime_s}"], Verdict.PASS), (["3600"], Verdict.UNTESTABLE)]
)
def test_a_source_that_is_asked_for_lifetimes_gives_short_ones(
    tmp_path: Path, words: list[str], verdict: Verdict
) -> None:
    (tmp_path / "issue.py").write_text(BY_LIFETIME)

    async def main() -> RunResult:
        async with bench() as server:
            run = [sys.executable, str(tmp_path / "issue.py"), "{user_id}", "{device_id}", SECRET, *words]
            control = {"http": {"url": server.server.server.control_url, "token": {"value": TOKEN}}}
            target = without_minting(server.server.url, {"fetch": {"command": {"run": run}}}, control=control)
            # The one needs a token that lasts for minutes, which an hour is enough for.
            return await judge(target, all_cases("token-expires-in-session", "silence-times-out"))

    found = by_id(asyncio.run(main()))
    assert found["token-expires-in-session"].verdict is verdict, found["token-expires-in-session"]
    assert found["silence-times-out"].verdict is Verdict.PASS, found["silence-times-out"]
    if verdict is Verdict.UNTESTABLE:
        assert "valid for 20 s: with {lifetime_s} in tokens.fetch" in found["token-expires-in-session"].reason


COMMAND = """\
import sys
from relaykit.tokens import mint
_, user, device, key = sys.argv
print(mint(user_id=user, device_id=device, key=key))
"""


def test_a_command_gives_tokens(tmp_path: Path) -> None:
    (tmp_path / "issue.py").write_text(COMMAND)

    async def main(words: list[str]) -> RunResult:
        run = [sys.executable, str(tmp_path / "issue.py"), *words]
        async with fakes.minimal().running() as url:
            tokens = {"fetch": {"command": {"run": run}}}
            return await judge(without_minting(url, tokens), all_cases("message-life"))

    result = asyncio.run(main(["{user_id}", "{device_id}", fakes.SECRET]))
    assert result.cases[0].verdict is Verdict.PASS, result.cases[0]
    with pytest.raises(UnreachableError, match="ended with exit status 1"):
        asyncio.run(main(["too", "few"]))


def fixed(*counts: int) -> dict[str, Any]:
    """So many users, with so many devices each."""
    users = []
    for number, count in enumerate(counts):
        user = f"00000000-0000-4000-8000-{number:012d}"
        devices = [f"00000000-0000-4000-9000-{number:06d}{device:06d}" for device in range(count)]
        users.append(
            {
                "user_id": user,
                "devices": [
                    {"device_id": d, "token": {"value": mint(user_id=user, device_id=d, key=fakes.SECRET)}}
                    for d in devices
                ],
            }
        )
    return {"identities": users}


def test_fixed_identities_are_shared_one_case_at_a_time() -> None:
    server = fakes.minimal()

    async def main(tokens: dict[str, Any]) -> RunResult:
        async with server.running() as url:
            named = ("area:messages", "stranger-hears-nothing", "token-signature", "token-expired")
            cases = [c for c in all_cases(*named) if not c.slow]
            return await judge(without_minting(url, tokens), cases, jobs=16)

    result = asyncio.run(main(fixed(1, 1, 2)))
    reasons = untestable(result)
    verdicts = {case.case.id: case.verdict for case in result.cases}
    assert not bad(result)
    assert verdicts["message-life"] is Verdict.PASS, by_id(result)["message-life"]
    assert verdicts["token-signature"] is Verdict.PASS
    assert "tokens that the suite signs itself" in reasons["token-expired"]
    assert "more users than tokens.identities lists" in reasons["stranger-hears-nothing"]
    ids = {str(user["user_id"]) for user in fixed(1, 1, 2)["identities"]}
    assert set(server.devices) <= ids
    # Alone, there is nobody to write to.
    reasons = untestable(asyncio.run(main(fixed(1))))
    assert "one with 2 devices is missing" in reasons["message-life"]


class Late(fakes.Minimal):
    """No fault: it answers heartbeats before it delivers what was to be delivered first."""

    tasks: ClassVar[set[asyncio.Task[None]]] = set()

    async def write(self, peer: fakes.Peer, frame: dict[str, Any]) -> None:
        async def later() -> None:
            await asyncio.sleep(0.01)
            await super(Late, self).write(peer, frame)

        if frame["type"] == "deliver":
            self.tasks.add(asyncio.create_task(later()))
        else:
            await super().write(peer, frame)


def test_what_waits_for_fixed_users_is_taken_in_though_it_comes_late() -> None:
    names = ("offline-after-an-abrupt-loss", "redelivery-until-acknowledged", "message-life", "read-once")

    async def main() -> RunResult:
        async with Late().running() as url:
            timing = {**PATIENT, "quiet_ms": 200}
            return await judge(without_minting(url, fixed(1, 1, 2), timing=timing), all_cases(*names))

    result = asyncio.run(main())
    assert not bad(result)
    assert {by_id(result)[name].verdict for name in names} == {Verdict.PASS}


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ({"fetch": {}}, "/tokens/fetch"),
        ({"identities": []}, "/tokens/identities"),
        ({"fetch": {"command": {"run": ["x"]}}, "identities": fixed(1)["identities"]}, "/tokens"),
        ({"fetch": {"http": {"url": "ftp://x"}}}, "/tokens/fetch/http/url"),
        ({"identities": [*fixed(1)["identities"], *fixed(1)["identities"]]}, "listed twice"),
    ],
)
def test_wrong_descriptions(tmp_path: Path, tokens: dict[str, Any], said: str) -> None:
    path = tmp_path / "target.yaml"
    path.write_text(json.dumps({"url": "ws://127.0.0.1:1", "tokens": tokens, "timing": PATIENT}))
    with pytest.raises(UsageError, match=said):
        read_target(load_yaml(path), load_catalogue(), base=tmp_path)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import itertools\nfor _ in itertools.repeat(0): print('x' * 100000)", "printed more than 1048576"),
        ("import sys, time\nprint('half', flush=True)\ntime.sleep(60)", "did not end within"),
        ("print('not a\\ntoken')", "what was given out is no token"),
        ("import sys\nsys.stdout.buffer.write(bytes(range(256)))", "what was given out is no token"),
        ("print('')", "what was given out is no token"),
        ("print('x' * 100000)", "what was given out is no token"),
        ("import sys\nsys.stderr.write('y' * 3000000 + 'the end')\nsys.exit(3)", "exit status 3: yyy"),
    ],
)
def test_a_command_that_gives_no_token_is_bounded_and_named(tmp_path: Path, program: str, said: str) -> None:
    (tmp_path / "issue.py").write_text(program)

    async def main() -> None:
        tokens = {"fetch": {"command": {"run": [sys.executable, str(tmp_path / "issue.py")]}}}
        issuer = Issuer(make_target("ws://127.0.0.1:1/ws", tokens=tokens).tokens, 1.0, lambda _: None)
        with pytest.raises(TokenError) as caught:
            await issuer.token("u", "d")
        assert said in str(caught.value)
        assert len(str(caught.value)) < 600

    asyncio.run(main())


def test_what_a_command_has_started_ends_with_it(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)

    async def main() -> None:
        words = ["sh", "-c", f"sleep 600 > '{alive}'; true"]
        tokens = {"fetch": {"command": {"run": words}}}
        issuer = Issuer(make_target("ws://127.0.0.1:1/ws", tokens=tokens).tokens, 1.0, lambda _: None)
        with pytest.raises(TokenError, match="did not end within"):
            await issuer.token("u", "d")

    asyncio.run(main())
    assert select.select([reader], [], [], 20)[0], "something that the command started still runs"
    assert os.read(reader, 1) == b""
    os.close(reader)


def test_who_has_more_devices_is_kept_for_who_needs_them() -> None:
    rich, poor = Identity("rich", {"one": "token", "two": "token"}), Identity("poor", {"three": "token"})
    issuer = Issuer((rich, poor), 1.0, lambda _: None)
    assert [issuer.lease(1), issuer.lease(1)] == [poor, rich]
    issuer.give_back((rich, poor))
    assert issuer.lease(2) == rich
    with pytest.raises(UntestableError, match="one with 2 devices is missing"):
        issuer.lease(2)


def test_an_answer_without_end_is_not_read_to_the_end() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(b"x" * 65536)
        return response

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/tokens", endless)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        tokens = {"fetch": {"http": {"url": f"http://127.0.0.1:{port}/tokens"}}}
        issuer = Issuer(make_target("ws://127.0.0.1:1/ws", tokens=tokens).tokens, 10.0, lambda _: None)
        try:
            with pytest.raises(TokenError, match="longer than 1048576 bytes"):
                await issuer.token("u", "d")
        finally:
            await issuer.close()
            await runner.cleanup()

    asyncio.run(main())


def test_a_token_is_given_out_once_until_the_clock_is_moved() -> None:
    asked: list[int] = []

    class Counting(Issuer):
        async def token(self, user_id: str, device_id: str, lifetime_s: int = 3600) -> str:
            asked.append(lifetime_s)
            return f"token {len(asked)}"

    async def main() -> list[str]:
        target = without_minting("ws://127.0.0.1:9/ws", {"fetch": {"command": {"run": ["true"]}}})
        env = environment(target, load_catalogue(), Settings())
        env.issuer = Counting(target.tokens, 1, lambda _: None)
        device = Context(env, all_cases("message-life")[0]).device("alice")
        given = [await device.issued(), await device.issued()]
        env.clock_offset_s = 3600.0  # by which it may have expired
        given += [await device.issued(), await device.issued(20)]
        await env.close()
        return given

    assert asyncio.run(main()) == ["token 1", "token 1", "token 2", "token 3"]
