"""`relaykit serve --dev`, as a client developer meets it, and the log of what passes."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.process import COMMAND, DEADLINE, SECRET, ServerProcess, environment, run
from support.server import Peer, client, frame, in_loop, message
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from relaykit.reference_server.dev import DEVICES, GROUP, USERS, kept_key
from relaykit.reference_server.settings import defaults
from relaykit.schemas import load_catalogue
from relaykit.tokens import mint

HEARTBEAT = frame("heartbeat")


async def until(peer: Peer, kind: str) -> dict[str, Any]:
    """The next frame of a type; who is online is said in between."""
    while (got := await peer.receive())["type"] != kind:
        assert got["type"] in ("user_online", "user_offline", "presence"), got
    return got


# --- the people ---


@in_loop
async def test_alice_and_bob_can_do_everything_with_each_other(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--dev", "--check-output", "--no-log-frames") as server:
        facts = server.ready["dev"]
        assert facts["users"]["alice"]["devices"] == {
            "phone": DEVICES["alice", "phone"],
            "laptop": DEVICES["alice", "laptop"],
        }
        alice = await client(server.url, "alice", "phone")
        bob, laptop = await client(server.url, "bob", "phone"), await client(server.url, "bob", "laptop")
        assert (await until(alice, "user_online"))["payload"]["user_id"] == bob.user  # they are contacts
        await alice.send(message(bob.user))
        await until(alice, "sent_ack")
        for device in (bob, laptop):
            await until(device, "deliver")
        await alice.send(message(None, group_id=GROUP))
        assert (await until(laptop, "group_message"))["payload"]["group_id"] == facts["group_id"] == GROUP
        for conversation in facts["conversations"].values():
            await bob.send(frame("typing", {"conversation_id": conversation, "is_typing": True}))
            assert (await until_typing(alice))["payload"]["conversation_id"] == conversation
        for peer in (alice, bob, laptop):
            await peer.close()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


async def until_typing(peer: Peer) -> dict[str, Any]:
    while (got := await peer.receive())["type"] != "typing":
        pass
    return got


@in_loop
async def test_a_durable_store_lives_on_whatever_was_tried_in_it(tmp_path: Path) -> None:
    store = tmp_path / "chat.db"
    arguments = ("--dev", "--store", str(store))
    control = {"RELAYKIT_CONTROL_TOKEN": "t0ken", "RELAYKIT_SECRET": ""}
    with ServerProcess(tmp_path, *arguments, **control) as server:
        kept = store.with_name("chat.db.key")
        assert kept.stat().st_mode & 0o777 == 0o600
        key = kept.read_text().strip()
        first = server.ready["dev"]
        alice = await client(server.url, "alice", "phone", key)
        await alice.send(message(USERS["bob"]))
        await until(alice, "sent_ack")
        async with aiohttp.ClientSession(headers={"Authorization": "Bearer t0ken"}) as session:
            for operation, arguments_ in (
                ("revoke_device", {"user_id": USERS["alice"], "device_id": DEVICES["alice", "phone"]}),
                ("remove_member", {"group_id": GROUP, "user_id": USERS["bob"]}),
            ):
                async with session.post(f"{server.ready['control_url']}/{operation}", json=arguments_) as got:
                    assert got.status == 200, await got.text()
        assert (await alice.closed()).code == 1008
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
    with ServerProcess(tmp_path, *arguments, **control) as server:
        assert server.ready["dev"] == first
        alice = await client(server.url, "alice", "phone", key)
        bob = await client(server.url, "bob", "phone", key)
        await until(bob, "deliver")  # it waited
        await alice.send(message(None, group_id=GROUP))
        await until(bob, "group_message")
        for peer in (alice, bob):
            await peer.close()


@pytest.mark.parametrize("left", ["", "\n"])
def test_an_empty_file_holds_no_key(left: str, tmp_path: Path) -> None:
    settings = defaults(load_catalogue().protocol, store=str(tmp_path / "chat.db"))
    file = tmp_path / "chat.db.key"
    file.write_text(left)
    key = kept_key(settings)
    assert key is not None
    assert (len(key) >= 32, kept_key(settings), file.read_text()) == (True, key, f"{key}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["chat.db.key"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_key_is_never_there_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = defaults(load_catalogue().protocol, store=str(tmp_path / "chat.db"))
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):  # the end, before the last step
            kept_key(settings)
    assert not (tmp_path / "chat.db.key").exists()
    assert kept_key(settings) == kept_key(settings)


@in_loop
async def test_a_page_from_a_file_may_connect_in_development_only(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--dev") as server:
        await (await client(server.url, "alice", "phone", origin="null")).close()
        with pytest.raises(InvalidStatus):
            await client(server.url, "alice", "phone", origin="https://evil.example")
    app_only = ("--dev", "--origin", "https://app.example")
    with ServerProcess(tmp_path, *app_only) as server, pytest.raises(InvalidStatus):
        await client(server.url, "alice", "phone", origin="null")
    with ServerProcess(tmp_path) as server, pytest.raises(InvalidStatus):
        await client(server.url, "alice", "phone", origin="null")


# --- what is shown ---


@contextmanager
def on_a_terminal(
    folder: Path, *arguments: str, stream: str = "stderr", **env: str
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server of which one stream is a terminal, the other a pipe: the process, and what the terminal shows
    until it is ready."""
    primary, secondary = pty.openpty()
    ready = folder / "ready.json"
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: secondary}
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--ready-file", str(ready), *arguments],
        env=environment(TERM="xterm", **env),
        stdout=streams["stdout"],
        stderr=streams["stderr"],
    )
    os.close(secondary)
    shown, until = b"", time.monotonic() + DEADLINE
    try:
        while not ready.exists() or select.select([primary], [], [], 0)[0]:
            assert time.monotonic() < until, shown
            if select.select([primary], [], [], 0.05)[0]:
                shown += os.read(primary, 65536)
        yield process, shown.decode()
    finally:
        process.kill()
        process.wait()
        for pipe in filter(None, (process.stdout, process.stderr)):
            pipe.close()
        os.close(primary)


@in_loop
async def test_what_a_terminal_shows_works_as_it_stands(tmp_path: Path) -> None:
    with on_a_terminal(tmp_path, "--dev", RELAYKIT_SECRET="") as (process, shown):
        urls = re.findall(r"(?:phone|laptop) +(ws://\S+)", shown)
        assert len(urls) == 4
        peers = [Peer("", "", await connect(url, proxy=None)) for url in urls]
        sample = re.search(r'\{"type": "send".*\}', shown)
        assert sample is not None
        await peers[0].send(sample[0])
        await until(peers[0], "sent_ack")
        await until(peers[2], "deliver")
        command = re.search(r"(\S+) -m websockets '(\S+)'", shown)
        assert command is not None
        assert (command[1], command[2]) == (sys.executable, urls[0])
        curl = re.search(r"curl -H 'Authorization: (.*)' -d '(.*)' ([\w:/.]+)", shown)
        assert curl is not None
        async with (
            aiohttp.ClientSession(headers={"Authorization": curl[1]}) as session,
            session.post(curl[3], data=curl[2]) as answer,
        ):
            assert len((await answer.json())["connections"]) == 4
        for peer in peers:
            await peer.close()
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        address = process.stdout.read()  # alone, for scripts
        assert re.fullmatch(rb"ws://127\.0\.0\.1:\d+/ws\n", address)
        assert f"listening on {address.decode().strip()}" in shown


@pytest.mark.parametrize("style", ["text", "json"])
def test_what_is_told_stands_on_the_terminal_in_order_wherever_the_log_goes(
    tmp_path: Path, style: str
) -> None:
    options = ("--dev", "--log-format", style, "--verbose", "--metrics-port", "0")
    with on_a_terminal(tmp_path, *options, stream="stdout", RELAYKIT_SECRET="") as (process, shown):
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        written = process.stderr.read().decode()
    order = ("ws://", "signing key", "alice  ", "bob  ", "and type", "who is there", "metrics:")
    places = [shown.index(what) for what in order]
    assert places == sorted(places), shown
    assert places[0] == 0
    lines = written.splitlines()
    assert any("shutting down" in line for line in lines)
    for what in (*order[1:4], "listening on"):
        assert what not in written  # the log and nothing else
    if style == "json":
        assert all(json.loads(line)["level"] for line in lines)


def test_the_command_for_python_trusts_the_certificate_that_was_made(tmp_path: Path) -> None:
    with on_a_terminal(tmp_path, "--dev", "--tls-self-signed") as (process, shown):
        command = re.search(r"SSL_CERT_FILE=(\S+) \S+ -m websockets 'wss://\S+'", shown)
        assert command is not None, shown
        authority = Path(command[1])
        assert f"trust it by {authority}" in shown
        ended = subprocess.run(
            ["sh", "-c", command[0]],
            env=environment(TERM="xterm"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert "Connected to wss://" in ended.stdout, ended
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
        assert not authority.parent.exists()


def test_tokens_are_for_the_terminal_only(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--dev") as server:
        assert "eyJ" not in json.dumps(server.ready)
        shown = server.log.read_text()
    assert "eyJ" not in shown
    assert "token=" not in shown
    assert "elsewhere set RELAYKIT_SECRET" in shown
    assert shown.index(f"listening on {server.url}\n") < shown.index("alice")
    with ServerProcess(tmp_path, "--dev", RELAYKIT_SECRET="") as server:
        assert server.ready
        server.signal(signal.SIGTERM)
        assert server.process.stdout is not None
        assert server.process.stdout.read() == b""  # behind the address: no key that was made
    assert GROUP in shown


def test_names_are_known_to_faults_in_development(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--dev", "--fault", "drop@deliver,user=bob,device=phone:1"):
        pass
    result = run("serve", "--port", "0", "--fault", "drop@deliver,user=bob")
    assert (result.returncode, "names are known with --dev only" in result.stderr) == (2, True)


# --- a browser ---

PAGE = """<!doctype html><title>t</title><script>
const url = decodeURIComponent(location.hash.slice(1)), [address, token] = url.split('?token=');
const socket = new WebSocket(address, ['Bearer', token]);
window.got = [];
socket.onmessage = event => window.got.push(JSON.parse(event.data));
socket.onopen = () => { window.opened = socket.protocol; socket.send(JSON.stringify({type: 'heartbeat'})) };
socket.onclose = event => { window.ended = event.code };
</script>"""


@pytest.mark.browser
@in_loop
async def test_a_page_from_a_file_talks_to_it(tmp_path: Path) -> None:
    async_api = pytest.importorskip("playwright.async_api")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    page_file = tmp_path / "page.html"
    page_file.write_text(PAGE)
    with ServerProcess(tmp_path, "--dev", "--check-output") as server:
        token = mint(user_id=USERS["alice"], device_id=DEVICES["alice", "phone"], key=SECRET)
        async with async_api.async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = await browser.new_page()
            await page.goto(f"{page_file.as_uri()}#{server.url}?token={token}")
            await page.wait_for_function("window.got.some(f => f.type === 'heartbeat_ack')")
            assert await page.evaluate("window.opened") == "Bearer"
            bob = await client(server.url, "bob", "phone")
            await bob.send(message(USERS["alice"], ciphertext="aGVsbG8="))
            await page.wait_for_function("window.got.some(f => f.type === 'deliver')")
            await page.wait_for_function("window.got.some(f => f.type === 'user_online')")
            await bob.close()
            server.signal(signal.SIGTERM)
            await page.wait_for_function("window.ended === 1001")
            await browser.close()
        assert server.wait() == 0
        assert "alice.phone → heartbeat" in server.log.read_text()
