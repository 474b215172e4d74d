"""The ports for HTTP: what comes slowly, or never to an end, is answered and closed."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.control import TOKEN
from support.raw import Raw
from support.server import in_loop, running_server

from relaykit.errors import UsageError
from relaykit.reference_server import control, http
from relaykit.reference_server.store import Store

AUTH = f"Authorization: Bearer {TOKEN}\r\n"


@asynccontextmanager
async def ports(**changes: object) -> AsyncIterator[tuple[int, int, int]]:
    """The ports of control, metrics and documentation."""
    settings = {"control_port": 0, "control_token": TOKEN, "metrics_port": 0, "docs_port": 0, **changes}
    async with running_server(**settings) as running:
        urls = (running.server.control_url, running.server.metrics_url, running.server.docs_url)
        first, second, third = (urlsplit(url or "").port or 0 for url in urls)
        yield first, second, third


@pytest.mark.parametrize("taken", ["port", "docs_port"])
@in_loop
async def test_a_server_that_cannot_start_leaves_nothing_open(tmp_path: Path, taken: str) -> None:
    store = str(tmp_path / "store.db")
    async with ports() as (free, _, _):
        pass
    async with running_server() as other:
        settings = {"store": store, "control_port": free, "control_token": TOKEN, taken: other.port}
        with pytest.raises(UsageError, match="cannot listen"):
            async with running_server(**settings):
                pass
        with pytest.raises(ConnectionRefusedError):
            await Raw.open(free)
        Store(store).close()  # not locked


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (http, control):
        monkeypatch.setattr(module, "REQUEST_S", 0.1)


BEGUN = {"nothing": b"", "half a head": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-One: 1"}


@pytest.mark.parametrize("begun", BEGUN)
@in_loop
async def test_a_request_that_never_comes_to_an_end_is_answered_with_408_and_closed(
    impatient: None, begun: str
) -> None:
    async with ports() as found:
        for port in found:
            raw = await Raw.open(port)
            await raw.send(BEGUN[begun])
            assert (await raw.response()).status == 408
            assert await raw.ended() == b""
            await raw.close()


@in_loop
async def test_a_body_that_is_shorter_than_it_says_is_answered_with_408_and_closed(impatient: None) -> None:
    async with ports() as (port, _, _):
        raw = await Raw.open(port)
        await raw.send(f"POST /reset HTTP/1.1\r\nHost: x\r\n{AUTH}Content-Length: 100\r\n\r\n{{".encode())
        answer = await raw.response()
        assert answer.status == 408
        assert b"took too long" in answer.body
        assert answer.headers["connection"] == "close"
        await raw.close()


_BROKEN = f"POST /reset HTTP/1.1\r\nHost: x\r\n{AUTH}"
NO_REQUESTS = {
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
    "no words of HTTP": b"what is this\r\n\r\n",
    "a length below zero": f"{_BROKEN}Content-Length: -5\r\n\r\n".encode(),
    "no chunk": f"{_BROKEN}Transfer-Encoding: chunked\r\n\r\nZZ\r\n".encode(),
    "no chunk, later": f"{_BROKEN}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\nZZ\r\n".encode(),
}


@pytest.mark.parametrize("sent", NO_REQUESTS)
@in_loop
async def test_what_is_no_request_is_answered_with_400_and_no_error_of_ours(
    caplog: pytest.LogCaptureFixture, sent: str
) -> None:
    async with ports() as found:
        for port in found if AUTH.encode() not in NO_REQUESTS[sent] else found[:1]:
            raw = await Raw.open(port)
            await raw.send(NO_REQUESTS[sent])
            assert (await raw.response()).status == 400
            await raw.close()
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


@in_loop
async def test_a_body_that_breaks_amid_its_chunks_is_answered(impatient: None) -> None:
    """With 408, where aiohttp tells nobody of it."""
    async with ports() as (port, _, _):
        raw = await Raw.open(port)
        await raw.send(f"{_BROKEN}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n".encode())
        await raw.send(b"ZZ\r\n")
        assert (await raw.response()).status in (400, 408)
        await raw.close()


@pytest.mark.parametrize("head", ["GET /healthz", "POST /healthz", "POST /reset", "GET /nothing"])
@in_loop
async def test_who_announces_a_body_that_nobody_asked_for_is_answered_at_once(head: str) -> None:
    async with ports() as found:
        for port in found[:2]:  # the documentation is made when it is first asked for, which takes long
            raw = await Raw.open(port)
            await raw.send(f"{head} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n".encode())
            assert (await raw.response()).status in (200, 401, 404, 405)
            await raw.close()


@in_loop
async def test_a_request_that_is_one_too_many_is_answered_with_503(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_MOST_CONNECTIONS", 3)
    async with ports() as (_, port, _):
        others = [await Raw.open(port) for _ in range(3)]
        for other in others:
            await other.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await other.response()).status == 200
        late = await Raw.open(port)
        assert (await late.response()).status == 503
        assert await late.ended() == b""
        await others[0].close()
        for raw in (*others, late):
            await raw.close()


@pytest.mark.parametrize(
    "junk",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: 1\r\n" * 10_000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"1" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"1" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /reset HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["tls", "headers", "header", "line", "length", "smuggling"],
)
@in_loop
async def test_what_is_no_request_is_answered_with_400(junk: bytes) -> None:
    async with ports() as found:
        for port in found:
            raw = await Raw.open(port)
            await raw.send(junk)
            assert (await raw.response()).status == 400
            await raw.close()
