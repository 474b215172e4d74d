"""The door: path, origins, the three carriers of a token, and every reason to refuse."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from typing import Any

import jwt
import pytest
from support.raw import PING, PONG, TEXT, Raw, encode, request
from support.server import SECRET, Running, in_loop, new_id, running_server
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from relaykit.errors import UsageError
from relaykit.reference_server.handshake import origin_pattern
from relaykit.tokens import mint

USER, DEVICE = new_id(), new_id()


async def status_of(server: Running, path: str, *headers: tuple[str, str], **options: Any) -> int:
    """The status of the answer to a handshake; nothing that was sent may come back in it."""
    raw = await Raw.open(server.port)
    response = await raw.request(path, headers, **options)
    if response.status != 101:
        assert b"eyJ" not in response.body
        assert await raw.ended() == b""
        assert (response.headers.get("www-authenticate") == "Bearer") is (response.status == 401)  # RFC 9110
        assert (response.headers.get("sec-websocket-version") == "13") is (response.status == 426)
    await raw.close()
    return response.status


@in_loop
async def test_each_carrier_of_a_token_works() -> None:
    async with running_server() as server:
        token = server.token(USER, DEVICE)
        for path, headers in (
            (f"/ws?token={token}", ()),
            (f"/ws?a=b&token={token}&frames=0", ()),
            ("/ws", (("Authorization", f"Bearer {token}"),)),
            ("/ws", (("authorization", f"bearer   {token}"),)),
            ("/ws", (("Sec-WebSocket-Protocol", f"Bearer, {token}"),)),
            ("/ws", (("Sec-WebSocket-Protocol", "Bearer"), ("Sec-WebSocket-Protocol", token))),
            # All three, and they agree.
            (
                f"/ws?token={token}",
                (("Authorization", f"Bearer {token}"), ("Sec-WebSocket-Protocol", f"Bearer,{token}")),
            ),
        ):
            assert await status_of(server, path, *headers) == 101


@in_loop
async def test_the_subprotocol_is_selected_and_the_token_not_echoed() -> None:
    async with running_server() as server:
        token = server.token(USER, DEVICE)
        raw = await Raw.open(server.port)
        response = await raw.request("/ws", [("Sec-WebSocket-Protocol", f"Bearer, {token}")])
        assert response.status == 101
        assert response.headers["sec-websocket-protocol"] == "Bearer"
        assert token not in str(response)
        await raw.close()
        raw = await Raw.open(server.port)
        response = await raw.request(f"/ws?token={token}", [("Sec-WebSocket-Protocol", "chat")])
        assert response.status == 101
        assert "sec-websocket-protocol" not in response.headers
        await raw.close()
        # A client that checks: the stock one.
        async with connect(f"{server.url}", subprotocols=["Bearer", token], proxy=None) as socket:
            assert socket.subprotocol == "Bearer"


@in_loop
async def test_tokens_that_disagree_or_come_twice_are_refused() -> None:
    async with running_server() as server:
        one, other = server.token(USER, DEVICE), server.token(new_id(), new_id())
        for path, headers in (
            (f"/ws?token={one}", [("Authorization", f"Bearer {other}")]),
            (f"/ws?token={one}", [("Sec-WebSocket-Protocol", f"Bearer, {other}")]),
            ("/ws", [("Authorization", f"Bearer {one}"), ("Sec-WebSocket-Protocol", f"Bearer, {other}")]),
            (f"/ws?token={one}&token={one}", []),
            (f"/ws?token={one}&token={other}", []),
            ("/ws", [("Authorization", f"Bearer {one}"), ("Authorization", f"Bearer {one}")]),
            ("/ws", [("Sec-WebSocket-Protocol", f"Bearer, {one}, Bearer, {one}")]),
        ):
            assert await status_of(server, path, *headers) == 401


def forged(**changes: Any) -> str:
    options: dict[str, Any] = {"user_id": USER, "device_id": DEVICE, "key": SECRET}
    return mint(**{**options, **changes})


def unsigned() -> str:
    parts = [{"alg": "none", "typ": "JWT"}, {"sub": USER, "device_id": DEVICE, "exp": time.time() + 60}]
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts) + "."
    )


TAMPERED = forged()[:-6] + "AAAAAA"
# The last character of a signature has two bits that say nothing: another spelling of the same bytes.
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
RESPELT = (good := forged())[:-1] + _ALPHABET[_ALPHABET.index(good[-1]) ^ 1]
BAD_TOKENS = {
    "none": "",
    "garbage": "garbage",
    "dots": "a.b.c",
    "not ascii": "%C3%A9.b.c",
    "signature": TAMPERED,
    "another spelling": RESPELT,
    "padded": forged() + "%3D",
    "four parts": forged() + ".e30",
    "no signature": forged().rpartition(".")[0] + ".",
    "a space": forged() + "%20",
    "other key": forged(key="another key, just as long as the right one"),
    "unsigned": unsigned(),
    "algorithm": forged(algorithm="HS512", key=SECRET * 2),
    "no sub": forged(claims={"sub": None}),
    "no device": forged(claims={"device_id": None}),
    "no exp": forged(claims={"exp": None}),
    "sub is no uuid": forged(claims={"sub": "alice"}),
    "sub is a number": forged(claims={"sub": 7}),
    "device is no uuid": forged(claims={"device_id": DEVICE.replace("-", "")}),
    "device is a list": forged(claims={"device_id": [DEVICE]}),
    "exp is text": forged(claims={"exp": "9999999999"}),
    "exp is true": forged(claims={"exp": True}),
    "exp is huge": forged(claims={"exp": 1e999}),
    "exp is in milliseconds": forged(claims={"exp": 10**12}),
    "nbf is in milliseconds": forged(claims={"nbf": 10**12}),
    "iat is in milliseconds": forged(claims={"iat": 10**12}),
    "iat is text": forged(claims={"iat": "0"}),
    "expired": forged(lifetime_s=-61),
    "not yet": forged(claims={"nbf": int(time.time()) + 7200}),
    "nbf is text": forged(claims={"nbf": "0"}),
    "crit": forged(headers={"crit": ["x"], "x": 1}),
    "an array": jwt.api_jws.encode(b"[1]", SECRET, algorithm="HS256"),
}


@in_loop
async def test_bad_tokens_get_no_session() -> None:
    async with running_server() as server:
        for name, token in BAD_TOKENS.items():
            assert await status_of(server, f"/ws?token={token}") == 401, name
        assert await status_of(server, "/ws") == 401
        assert await status_of(server, "/ws", ("Authorization", "Basic YTpi")) == 401
        assert await status_of(server, "/ws", ("Sec-WebSocket-Protocol", "Bearer")) == 401
        assert len(server.app.hub) == 0


@in_loop
async def test_tokens_are_good_within_the_leeway() -> None:
    async with running_server() as server:
        assert await status_of(server, f"/ws?token={forged(lifetime_s=-50)}") == 101
        soon = forged(claims={"nbf": int(time.time()) + 50})
        assert await status_of(server, f"/ws?token={soon}") == 101
        fractions = forged(claims={"exp": time.time() + 10.5})
        assert await status_of(server, f"/ws?token={fractions}") == 101


@in_loop
async def test_the_clock_of_the_server_decides() -> None:
    async with running_server() as server:
        token = server.token(USER, DEVICE, lifetime_s=100)
        server.app.clock.advance(99)
        assert await status_of(server, f"/ws?token={token}") == 101
        server.app.clock.advance(100)
        assert await status_of(server, f"/ws?token={token}") == 401


@in_loop
async def test_identities_are_compared_without_case() -> None:
    async with running_server() as server:
        peer = await server.connect(USER.upper(), DEVICE.upper())
        (session,) = server.app.hub.of_user(USER)
        assert (session.user, session.device) == (USER, DEVICE)
        await peer.silent()


@in_loop
async def test_origins_are_checked() -> None:
    async with running_server(origins=("https://app.example", "http://localhost:*")) as server:
        path = f"/ws?token={server.token(USER, DEVICE)}"
        assert await status_of(server, path) == 101
        assert await status_of(server, path, ("Origin", "https://app.example")) == 101
        assert await status_of(server, path, ("Origin", "http://localhost:3000")) == 101
        for bad in (
            "https://evil.example",
            "https://app.example.evil.example",
            "null",
            "http://localhost",
            "http://localhost:",
            "http://localhost:3000.evil.example",
            "http://localhost:@evil",
            "http://localhost:3000@evil.example",
            "",
        ):
            assert await status_of(server, path, ("Origin", bad)) == 403, bad
        assert await status_of(server, path, ("Origin", "https://app.example"), ("Origin", "null")) == 403
    async with running_server(require_origin=True) as server:
        path = f"/ws?token={server.token(USER, DEVICE)}"
        assert await status_of(server, path) == 403
        assert await status_of(server, path, ("Origin", "http://localhost:8000")) == 101


@pytest.mark.parametrize(
    ("pattern", "origin", "fits"),
    [
        ("https://*.example", "https://app.example", True),
        ("https://*.example", "https://a.b.EXAMPLE", True),
        ("https://*.example", "https://evil/.example", False),
        ("https://*.example", "https://evil:1.example", False),
        ("https://*.example", "https://app.example:8443", False),
        ("https://*.example", "https://evil.com#.example", False),
        ("https://*.example", "https://evil.com?.example", False),
        ("https://*.example", "https://evil.com\\.example", False),
        ("https://*.example", "https://evil.com\t.example", False),
        ("https://app-*.example:*", "https://app-7.example:8443", True),
        ("https://app-*.example:*", "https://app-7.example", False),
        ("http://[::1]:*", "http://[::1]:80", True),
        ("http://[::1]:*", "http://[::1]:80\n", False),
        ("*", "http://anything.example:1", True),
    ],
)
def test_a_star_stands_for_a_port_or_a_part_of_a_host(pattern: str, origin: str, fits: bool) -> None:
    assert bool(origin_pattern(pattern).fullmatch(origin)) is fits


@pytest.mark.parametrize(
    "text",
    ["app.example", "https://app.example/", "https://app.example/path", "//app.example", "", "https://"],
)
def test_an_origin_that_no_browser_sends_is_a_mistake(text: str) -> None:
    with pytest.raises(UsageError, match="browsers send none like that"):
        origin_pattern(text)
    assert origin_pattern("null").fullmatch("null")
    assert origin_pattern("capacitor://localhost").fullmatch("capacitor://localhost")


@pytest.mark.parametrize("prefix", ["http://localhost", "WS://localhost:1"])
@in_loop
async def test_the_whole_url_may_stand_in_the_request(prefix: str) -> None:
    async with running_server() as server:
        assert await status_of(server, f"{prefix}/ws?token={server.token(USER, DEVICE)}") == 101
        assert await status_of(server, f"{prefix}/other?token={server.token(USER, DEVICE)}") == 404
        assert await status_of(server, prefix) == 404


@in_loop
async def test_other_paths_and_requests_that_are_no_handshake() -> None:
    async with running_server() as server:
        path = f"/ws?token={server.token(USER, DEVICE)}"
        assert await status_of(server, path.replace("/ws", "/")) == 404
        assert await status_of(server, path.replace("/ws", "/ws/")) == 404
        assert await status_of(server, path, method="POST") == 405
        assert await status_of(server, path, without=["Upgrade"]) == 426
        version = "Sec-WebSocket-Version"
        assert await status_of(server, path, (version, "8"), without=[version]) == 426  # RFC 6455, 4.2.2
        assert await status_of(server, path, without=[version]) == 426
        assert await status_of(server, path, without=["Sec-WebSocket-Key"]) == 400
        assert (
            await status_of(server, path, ("Sec-WebSocket-Key", "short"), without=["Sec-WebSocket-Key"])
            == 400
        )
        assert await status_of(server, path, without=["Host"]) == 400
        assert await status_of(server, path, ("Host", "localhost")) == 400
        assert await status_of(server, "/ws?" + "&".join("abcdefgh" * 8)) == 400


@in_loop
async def test_a_handshake_is_bounded_in_size_and_time() -> None:
    async with running_server() as server:
        path = f"/ws?token={server.token(USER, DEVICE)}"
        many = [(f"X-{i}", "x" * 1000) for i in range(30)]
        assert await status_of(server, path, *many) == 431
        assert await status_of(server, path, ("X-Long", "x" * 10_000)) == 431
        assert await status_of(server, path + "&x=" + "x" * 9000) == 414
        raw = await Raw.open(server.port)
        await raw.send(b"GET /ws HTTP/1.1\r\nHost: x\r\n")
        await server.until(lambda: bool(server.app.connections))
        server.app.clock.advance(server.app.settings.handshake_timeout_s + 1)
        assert (await raw.response()).status == 408
        assert await raw.ended() == b""
        await raw.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"GET /ws HTTP/1.1\nHost: x\n\n",
        b"GET /ws HTTP/1.1\r\nHost x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /ws HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /ws HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=["no-http", "line-feeds", "no-colon", "http-2", "body", "chunks", "tls"],
)
@in_loop
async def test_what_is_no_request_gets_400_and_the_end(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with running_server() as server:
        raw = await Raw.open(server.port)
        await raw.send(sent)
        assert (await raw.response()).status == 400
        assert await raw.ended() == b""
        await raw.close()
    assert "handshake refused with 400" in caplog.text


@in_loop
async def test_open_handshakes_and_connections_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    async with running_server(max_handshakes=2) as server:
        waiting = [await Raw.open(server.port) for _ in range(2)]
        await server.until(lambda: len(server.app.connections) == 2)
        for _ in range(2):
            extra = await Raw.open(server.port)
            with pytest.raises((ConnectionError, AssertionError)):
                assert await extra.ended() != b""
        assert caplog.text.count("refusing connections: 2 are open") == 1  # not for each of them
        await waiting.pop().close()
        await server.until(lambda: len(server.app.connections) == 1)
        await (await server.connect()).silent()
        await waiting.pop().close()


@in_loop
async def test_connections_per_user_are_limited() -> None:
    async with running_server(limits={"connections_per_user": 2}) as server:
        first = await server.connect(USER, DEVICE)
        await server.connect(USER)
        with pytest.raises(InvalidStatus) as refused:
            await server.connect(USER)
        assert refused.value.response.status_code == 429
        await (await server.connect()).silent()
        await first.close()
        await (await server.connect(USER)).silent()


@in_loop
async def test_frames_before_the_answer_are_refused() -> None:
    async with running_server() as server:
        head = request(f"/ws?token={server.token(USER, DEVICE)}")
        raw = await Raw.open(server.port)
        await raw.send(head, encode(TEXT, b'{"type":"heartbeat"}'))
        assert (await raw.response()).status == 400
        await raw.close()


@pytest.mark.parametrize(
    "broken",
    [encode(TEXT, b"{}", masked=False), encode(TEXT, b"{}", rsv=4), encode(TEXT, b"{}", length=2**63)],
    ids=["unmasked", "reserved-bit", "endless"],
)
@in_loop
async def test_broken_frames_before_the_answer_are_refused(
    broken: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_server() as server:
        raw = await Raw.open(server.port)
        await raw.send(request(f"/ws?token={server.token(USER, DEVICE)}"), broken)
        assert (await raw.response()).status == 400
        await raw.ended()
        await raw.close()
        await (await server.connect(USER)).silent()
    assert not [record for record in caplog.records if record.exc_info]


@in_loop
async def test_a_handshake_may_come_byte_by_byte() -> None:
    async with running_server() as server:
        raw = await Raw.open(server.port)
        for byte in request(f"/ws?token={server.token(USER, DEVICE)}"):
            await raw.send(bytes([byte]))
            await asyncio.sleep(0)
        assert (await raw.response()).status == 101
        await raw.send(encode(PING, b"x"))
        assert (await raw.receive()).opcode == PONG
        await raw.close()


@in_loop
async def test_permessage_deflate_is_accepted_unless_it_is_off() -> None:
    for compression in (True, False):
        async with running_server(compression=compression) as server:
            alice = await server.connect(compression="deflate")
            offered = "permessage-deflate" in alice.socket.response.headers.get(
                "Sec-WebSocket-Extensions", ""
            )
            assert offered is compression
            for _ in range(3):
                await alice.silent()
