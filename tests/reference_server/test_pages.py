"""`relaykit serve --dev` serves the documentation, with a console that can connect at once."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.process import ServerProcess, run
from support.server import in_loop
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from relaykit.reference_server.dev import DEVICES, GROUP, USERS

pytestmark = pytest.mark.xdist_group("pages")  # one server is enough for them

HOLDER = re.compile(r'<script type="application/json" id="relay-dev">(.*?)</script>')


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("pages"), "--dev", "--no-log-frames") as process:
        yield process


async def get(url: str, **headers: str) -> tuple[int, str, Any]:
    timeout = aiohttp.ClientTimeout(60)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(url, headers=headers) as answer,
    ):
        return answer.status, await answer.text(), answer.headers


@in_loop
async def test_the_pages_are_served(server: ServerProcess) -> None:
    root = server.ready["docs_url"]
    for path, said, kind in (
        ("", "<!doctype html>", "text/html"),
        ("frames/c2s/send", "<code>send</code>", "text/html"),
        ("frames/c2s/send.html", "<code>send</code>", "text/html"),
        ("assets/site.css", ":root", "text/css"),
        ("downloads/frames.d.ts", "ClientSend", "text/plain"),
    ):
        status, text, headers = await get(root + path)
        assert (status, headers["Content-Type"]) == (200, f"{kind}; charset=utf-8"), path
        assert said in text, path
        assert headers["X-Content-Type-Options"] == "nosniff"
    for path in ("nowhere", "%2e%2e/%2e%2e/etc/passwd", "assets/"):
        assert (await get(root + path))[0] == 404, path


@in_loop
async def test_the_console_has_tokens_that_work(server: ServerProcess) -> None:
    status, text, headers = await get(server.ready["docs_url"] + "console")
    assert (status, headers["Cache-Control"]) == (200, "no-store")
    given = json.loads(HOLDER.findall(text)[0])
    assert given["url"] == server.url
    assert set(given["people"]) == {"alice phone", "alice laptop", "bob phone", "bob laptop"}
    assert given["peers"]["alice phone"]["user"] == USERS["bob"]
    assert given["peers"]["alice phone"]["device"] == DEVICES["alice", "laptop"]
    assert given["peers"]["bob phone"]["group"] == GROUP
    token = given["people"]["alice phone"]
    origin = server.ready["docs_url"].rstrip("/")
    async with connect(server.url, subprotocols=["Bearer", token], origin=origin, proxy=None) as socket_:
        await socket_.send('{"type":"heartbeat"}')
        assert json.loads(await socket_.recv())["type"] == "heartbeat_ack"


@in_loop
async def test_a_page_under_another_name_reads_nothing(server: ServerProcess) -> None:
    root = server.ready["docs_url"]
    port = root.rstrip("/").rpartition(":")[2]
    assert (await get(root + "console", Host="evil.example"))[0] == 403
    assert (await get(root + "console", Host=f"evil.example:{port}"))[0] == 403
    assert (await get(root + "console", Host=f"127.0.0.1.evil.example:{port}"))[0] == 403
    assert (await get(root + "console", Host=f"localhost:{port}"))[0] == 200


@in_loop
async def test_without_people_the_pages_are_served_on_demand(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--docs-port", "0") as server:
        _, text, _ = await get(server.ready["docs_url"] + "console")
        given = json.loads(HOLDER.findall(text)[0])
        assert given == {"url": server.url, "people": {}, "peers": {}}
    with ServerProcess(tmp_path) as server:
        assert server.ready["docs_url"] is None


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = run("serve", "--port", "0", "--docs-port", port)
    assert ended.returncode == 2
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert "--docs-port" in ended.stderr


@in_loop
async def test_the_console_may_connect_whatever_origins_are_permitted(tmp_path: Path) -> None:
    arguments = ("--dev", "--no-log-frames", "--origin", "https://app.example")
    with ServerProcess(tmp_path, *arguments) as server:
        port = server.ready["docs_url"].rstrip("/").rpartition(":")[2]
        _, text, _ = await get(server.ready["docs_url"] + "console")
        token = json.loads(HOLDER.findall(text)[0])["people"]["alice phone"]
        for own in (f"http://127.0.0.1:{port}", f"http://localhost:{port}", "https://app.example"):
            async with connect(server.url, subprotocols=["Bearer", token], origin=own, proxy=None):
                pass
        for other in ("http://127.0.0.1:1", f"http://127.0.0.1.evil.example:{port}", "null"):
            with pytest.raises(InvalidStatus):
                await connect(server.url, subprotocols=["Bearer", token], origin=other, proxy=None)
