"""Nodes of a cluster, headers with templates, frames at a pace."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections import Counter
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jwt
import pytest
from fixtures import fakes
from support.suite import QUICK, all_cases, as_report, by_id, judge, make_target
from websockets.asyncio.server import serve

from relaykit.config import Document
from relaykit.conformance.endpoints import at_node
from relaykit.conformance.results import RunResult, Verdict
from relaykit.conformance.target import Target, read_target
from relaykit.errors import UnreachableError, UsageError
from relaykit.schemas import load_catalogue

CORE = ("message-life", "delivered-once", "redelivery-until-acknowledged")


def verdicts(result: RunResult) -> dict[str, Verdict]:
    return {case.case.id: case.verdict for case in result.cases if case.case.kind != "shape"}


def test_nodes_that_share_their_state_pass_and_each_gets_its_part() -> None:
    async def main() -> tuple[RunResult, list[int]]:
        server = fakes.minimal()
        served: list[int] = [0, 0, 0]

        def counted(node: int) -> Any:
            async def handle(socket: Any) -> None:
                served[node] += 1
                await server.handle(socket)

            return handle

        nodes = [
            await serve(
                counted(number),
                "127.0.0.1",
                0,
                process_request=server.answer,
                select_subprotocol=server.choose,
                ping_interval=None,
            )
            for number in range(3)
        ]
        urls = [f"ws://127.0.0.1:{node.sockets[0].getsockname()[1]}/ws" for node in nodes]
        try:
            return await judge(make_target(urls), all_cases(*CORE, "carrier-*")), served
        finally:
            for node in nodes:
                node.close()

    result, served = asyncio.run(main())
    assert set(verdicts(result).values()) == {Verdict.PASS}, result
    assert all(count >= 3 for count in served), served


def test_nodes_that_do_not_share_their_state_are_found() -> None:
    async def main() -> RunResult:
        async with fakes.minimal().running() as one, fakes.minimal().running() as two:
            target = make_target([one, two], timing=QUICK)
            return await judge(target, all_cases("message-life", "carrier-query"))

    result = asyncio.run(main())
    assert verdicts(result) == {"message-life": Verdict.FAIL, "carrier-query": Verdict.PASS}
    events = [line.event for line in by_id(result)["message-life"].transcript if line.event]
    assert len({event for event in events if event.startswith("goes to ws://")}) == 2


def test_a_node_that_is_not_there_is_named() -> None:
    async def main() -> None:
        async with fakes.minimal().running() as one:
            target = make_target([one, "ws://127.0.0.1:1/ws"])
            await judge(target, all_cases("message-life"))

    with pytest.raises(UnreachableError, match=r"ws://127\.0\.0\.1:1/ws"):
        asyncio.run(main())


def test_an_address_moves_to_another_node_with_its_query() -> None:
    assert at_node("ws://a/ws?token=t", "ws://a/ws", "ws://b/ws") == "ws://b/ws?token=t"
    assert at_node("ws://a/ws?x=1&token=t", "ws://a/ws?x=1", "ws://b/ws") == "ws://b/ws?token=t"
    assert at_node("ws://a/ws?token=t", "ws://a/ws", "ws://b/ws?x=1") == "ws://b/ws?x=1&token=t"
    assert at_node("ws://a/ws", "ws://a/ws", "ws://b/ws") == "ws://b/ws"
    # Another path than the target's is a case's own matter: it stays where it is.
    assert at_node("ws://a/wsx", "ws://a/ws", "ws://b/ws") == "ws://a/wsx"


def test_headers_are_filled_in_for_each_connection() -> None:
    async def main(seed: str) -> list[Any]:
        server = fakes.minimal()
        async with server.running() as url:
            headers = {
                "X-Forwarded-For": "{random_ipv4}",
                "X-Who": "{user_id}/{device_id}",
                "X-Other": "{braces} stay",
                "Host": "example.test",
            }
            result = await judge(make_target(url, headers=headers), all_cases("message-life"), seed=seed)
        assert verdicts(result) == {"message-life": Verdict.PASS}
        # Whether the target lives is looked at without a token.
        return [each.headers for each in server.handshakes if "Authorization" in each.headers]

    seen = asyncio.run(main("one"))
    addresses = [headers["X-Forwarded-For"] for headers in seen]
    assert len(set(addresses)) == len(addresses)
    assert all(ipaddress.IPv4Address(address).is_global for address in addresses)
    assert {headers["X-Other"] for headers in seen} == {"{braces} stay"}
    assert {headers["Host"] for headers in seen} == {"example.test"}
    for headers in seen:
        token = headers["Authorization"].removeprefix("Bearer ")
        claims = jwt.decode(token, options={"verify_signature": False})
        assert headers["X-Who"] == f"{claims['sub']}/{claims['device_id']}"
    assert addresses == [headers["X-Forwarded-For"] for headers in asyncio.run(main("one"))]


def test_claims_are_filled_in_for_each_token() -> None:
    async def main() -> list[Any]:
        server = fakes.minimal()
        async with server.running() as url:
            claims = {
                "uid": "user:{user_id}",
                "nbf": "{now}",
                "jti": "{random_uuid}",
                "scope": ["device:{device_id}"],
                "iat": None,
            }
            tokens = {"mint": {"secret": {"value": fakes.SECRET}, "claims": claims}}
            result = await judge(make_target(url, tokens=tokens), all_cases("message-life"))
        assert verdicts(result)["message-life"] is Verdict.PASS
        return [
            jwt.decode(h["Authorization"].removeprefix("Bearer "), options={"verify_signature": False})
            for h in (request.headers for request in server.handshakes)
            if "Authorization" in h
        ]

    seen = asyncio.run(main())
    for claims in seen:
        assert claims["uid"] == f"user:{claims['sub']}"
        assert claims["scope"] == [f"device:{claims['device_id']}"]
        assert type(claims["nbf"]) is int
        assert "iat" not in claims
    assert max(Counter(claims["jti"] for claims in seen).values()) == 1


def test_a_header_may_be_a_secret_that_is_in_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_KEY", "a-key-of-the-gateway-{braces}")

    async def main() -> tuple[fakes.Minimal, Target, RunResult]:
        server = fakes.minimal()
        async with server.running() as url:
            target = make_target(url, headers={"X-Api-Key": {"env": "GATEWAY_KEY"}, "X-Plain": "plain"})
            return server, target, await judge(target, all_cases("message-life"))

    server, target, result = asyncio.run(main())
    seen = {each.headers.get("X-Api-Key") for each in server.handshakes if "Authorization" in each.headers}
    assert seen == {"a-key-of-the-gateway-{braces}"}
    assert target.secrets[-1] == "a-key-of-the-gateway-{braces}"
    assert "plain" not in target.secrets
    assert "a-key-of" not in json.dumps(as_report(result, target))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"headers": {"X": "{random_ip4}"}}, "/headers/X: unknown name {random_ip4} (did you mean"),
        ({"headers": {"X Y": "z"}}, "/headers"),
        ({"headers": {"X": "a\nb"}}, "/headers/X"),
        ({"headers": {"X": 1}}, "/headers/X"),
        ({"headers": {"X": {"enw": "Y"}}}, "/headers/X"),
        ({"headers": {"X": {"env": "NO_SUCH_VARIABLE"}}}, "the environment variable NO_SUCH"),
        ({"headers": {"X": {"value": "a\nb"}}}, "no header can hold this secret"),
        ({"legacy": {"headers": {"X": {"file": "no-such-file"}}}}, "no-such-file: the secret cannot be read"),
        ({"url": ["ws://a/ws", "wss://b/ws"]}, "either all of them wss://, or none"),
        ({"url": ["ws://a/ws", "ws://b:99999/ws"]}, "/url/1: not a usable address"),
        ({"url": []}, "/url"),
        ({"tls": {"key": "k.pem"}}, "/tls"),
        (
            {"tokens": {"mint": {"secret": {"value": "x"}, "claims": {"a": ["{userid}"]}}}},
            "/tokens/mint/claims/a/0: unknown name {userid} (did you mean 'user_id'?)",
        ),
    ],
)
def test_what_is_wrong_is_said(more: dict[str, Any], said: str) -> None:
    data = {"url": "ws://127.0.0.1:1/ws", "tokens": {"mint": {"secret": {"value": "x"}}}, **more}
    with pytest.raises(UsageError) as caught:
        read_target(
            Document("t.yaml", data, MappingProxyType({})), load_catalogue(), base=Path()
        ).tls_context()
    assert said in str(caught.value)


def test_frames_come_at_the_pace_that_the_target_wants() -> None:
    async def main() -> tuple[RunResult, dict[Any, list[float]]]:
        times: dict[Any, list[float]] = {}
        server = fakes.minimal()
        whole = server.frame

        async def frame(peer: Any, data: str | bytes) -> None:
            times.setdefault(peer, []).append(asyncio.get_running_loop().time())
            await whole(peer, data)

        server.frame = frame
        async with server.running() as url:
            # A case that sends for longer than a case may take: waiting for the pace is no time of the case.
            target = make_target(
                url, pacing={"frames_per_second": 20}, timing={"reply_ms": 1500, "quiet_ms": 50, "case_s": 2}
            )
            cases = all_cases("message-life", "refuses-bad-send", "redelivery-until-acknowledged")
            return await judge(target, cases), times

    result, times = asyncio.run(main())
    assert set(verdicts(result).values()) == {Verdict.PASS}, result
    assert max(len(each) for each in times.values()) > 5
    for each in times.values():
        # Never more than the pace: n frames take the distance of n - 1, less the jitter of a busy machine.
        assert each[-1] - each[0] >= (len(each) - 1) / 20 - 0.04
