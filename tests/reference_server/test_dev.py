"""`relaykit serve --dev`, as a client developer meets it, and the log of what passes."""

from __future__ import annotations

import io
import json
import logging
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
from support.server import Peer, frame, in_loop, message, new_id, running_server
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from relaykit.redaction import Redactor
from relaykit.reference_server import logs
from relaykit.reference_server.dev import DEVICES, GROUP, USERS
from relaykit.tokens import mint

HEARTBEAT = frame("heartbeat")


async def client(url: str, name: str, device: str, key: str = SECRET, **options: Any) -> Peer:
    user_id, device_id = USERS[name], DEVICES[name, device]
    token = mint(user_id=user_id, device_id=device_id, key=key)
    return Peer(user_id, device_id, await connect(f"{url}?token={token}", proxy=None, **options))


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
def on_a_terminal(folder: Path, *arguments: str, **env: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A server whose standard error is a terminal: the process, and what it shows until it is ready."""
    primary, secondary = pty.openpty()
    ready = folder / "ready.json"
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", "--ready-file", str(ready), *arguments],
        env=environment(TERM="xterm", **env),
        stdout=subprocess.PIPE,
        stderr=secondary,
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
        assert process.stdout is not None
        process.stdout.close()
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
        assert re.match(rb"ws://127\.0\.0\.1:\d+/ws\n", process.stdout.read())  # the first line, for scripts


def test_tokens_are_for_the_terminal_only(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--dev") as server:
        assert "eyJ" not in json.dumps(server.ready)
        shown = server.log.read_text()
    assert "eyJ" not in shown
    assert "token=" not in shown
    assert GROUP in shown


def test_names_are_known_to_faults_in_development(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--dev", "--fault", "drop@deliver,user=bob,device=phone:1"):
        pass
    result = run("serve", "--port", "0", "--fault", "drop@deliver,user=bob")
    assert (result.returncode, "names are known with --dev only" in result.stderr) == (2, True)


# --- the log ---


@contextmanager
def logged(style: str, *, terminal: bool = False) -> Iterator[io.StringIO]:
    """What the server writes to its log."""
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    root, traffic = logging.getLogger(), logging.getLogger(logs.TRAFFIC)
    before = (list(root.handlers), root.level, traffic.level)
    redactor = Redactor()
    redactor.add(SECRET)
    # `set_up` replaces the handlers; pytest's own come back afterwards.
    root.handlers.clear()
    try:
        logs.set_up(redactor, style=style, verbose=False, stream=stream)
        yield stream
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        traffic.setLevel(before[2])


async def traffic(style: str, *frames: Any, terminal: bool = False) -> tuple[str, dict[str, Any]]:
    """What is logged while Alice sends frames, the last of them answered; and one message of hers to Bob."""
    sent = message(USERS["bob"], ciphertext="q83vASNFZ4k" * 20)
    with logged(style, terminal=terminal) as stream:
        async with running_server(dev=True) as server:
            alice = await server.connect(USERS["alice"], DEVICES["alice", "phone"])
            await alice.send(sent, *frames, HEARTBEAT)
            await until_ack(alice)
            await alice.close()
        return stream.getvalue(), sent


async def until_ack(peer: Peer) -> None:
    while (await peer.receive())["type"] != "heartbeat_ack":
        pass


def line(text: str, *words: str) -> str:
    """The one line with these words."""
    found = [one for one in text.splitlines() if all(word in one for word in words)]
    assert len(found) == 1, (words, text)
    return found[0]


@in_loop
async def test_each_frame_is_a_readable_line() -> None:
    text, sent = await traffic("text", "no { JSON", b"\x00\x01")
    short = sent["message_id"][:8]
    shown = line(text, "alice.phone → send ")
    assert re.match(r"\d\d:\d\d:\d\d\.\d{3} alice\.phone → send +id=", shown)
    assert (
        f"id={short}… receiver_id=bob ciphertext=q83vASNFZ4kq83vASNFZ4kq8… (220) message_type=text" in shown
    )
    assert f"id={short}… status=sent" in line(text, "alice.phone ← sent_ack ")
    assert "error_code=invalid_message" in line(text, "← error", "binary")
    line(text, "alice.phone → (no JSON object)", "9 bytes: no { JSON")
    line(text, "alice.phone → (binary)", "2 bytes")
    line(text, "alice.phone connected")
    line(text, "alice.phone gone, closed by the client: 1000")
    assert "\x1b" not in text


@in_loop
async def test_the_log_says_why_a_handshake_was_refused_and_who_ended_a_connection() -> None:
    with logged("text") as stream:
        async with running_server(dev=True) as server:
            with pytest.raises(InvalidStatus):
                await server.connect(origin="https://elsewhere.example")
            with pytest.raises(InvalidStatus):
                await server.connect_with("no-token")
            large = await server.connect(USERS["alice"], DEVICES["alice", "phone"])
            await large.send("x" * 70_000)
            await large.closed()
            cut = await server.connect(USERS["bob"], DEVICES["bob", "phone"])
            cut.socket.transport.abort()
            rude = await server.connect(USERS["bob"], DEVICES["bob", "laptop"])
            await rude.socket.close(4000, "\u202e\r\nfake line")
            await server.until(lambda: not server.app.connections)
    text = stream.getvalue()
    line(text, "handshake refused with 403: This Origin is not permitted.")
    line(text, "handshake refused with 401: Authentication failed")
    line(text, "alice.phone gone, closed by the server: 1009 more than 65536 bytes")
    line(text, "bob.phone gone, cut")
    line(text, "bob.laptop gone, closed by the client: 4000", "fake line")


@in_loop
async def test_on_a_terminal_it_has_colours_that_no_client_can_set() -> None:
    evil = frame("heartbeat", {"\x1b[31mx": "\x1b]0;title\x07\u202e\r\nfake line"})
    text, _ = await traffic("text", evil, "\x1b[2J", terminal=True)
    assert line(text, "→ send").startswith("\x1b[36m")
    assert line(text, "← sent_ack").startswith("\x1b[32m")
    assert set(re.findall(r"\x1b\[(\d*)m", text)) <= {"36", "32", "2", "33", "0"}
    assert not re.search(r"\x1b\[(?!\d+m)|\x1b\]|\x07|\r|\u202e", text)
    assert not [one for one in text.splitlines() if one.startswith("fake")]


@in_loop
async def test_as_json_each_line_is_an_object_with_the_whole_frame(tmp_path: Path) -> None:
    text, sent = await traffic("json", "no { JSON")
    entries = [json.loads(one) for one in text.splitlines()]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["at"]) for entry in entries)
    frames = [entry for entry in entries if "frame" in entry]
    assert frames[0]["frame"] == sent
    assert frames[0]["direction"] == "c2s"
    assert (frames[0]["user"], frames[0]["device"]) == (USERS["alice"], DEVICES["alice", "phone"])
    assert {"c2s", "s2c"} == {entry["direction"] for entry in frames}
    assert [entry["frame"] for entry in frames if isinstance(entry["frame"], str)] == ["no { JSON"]
    recorded = tmp_path / "log.ndjson"
    recorded.write_text(
        "".join(json.dumps(entry) + "\n" for entry in frames if isinstance(entry["frame"], dict))
    )
    assert run("validate", str(recorded)).returncode == 0


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize(
    "deep",
    [
        '{"type":' + '{"a":' * 980 + "1" + "}" * 981,
        '{"a":' + "[" * 900 + "]" * 900 + "}",
        '{"a":' + "[" * 5000 + "]" * 5000 + "}",
    ],
    ids=["type", "arrays", "too deep to parse"],
)
@in_loop
async def test_what_is_nested_too_deeply_to_be_shown_is_judged_all_the_same(deep: str, style: str) -> None:
    with logged(style) as stream:
        async with running_server(dev=True) as server:
            alice = await server.connect(USERS["alice"], DEVICES["alice", "phone"])
            await alice.send(deep)
            await alice.expect_error("invalid_message")
            await alice.silent()
            await alice.close()
        text = stream.getvalue()
    # Whether it could be shown depends on how deep this Python's stack is; a line it has in any case.
    assert len(re.findall('"c2s"' if style == "json" else "→", text)) == 2, text
    if style == "json":
        assert all(json.loads(one) for one in text.splitlines())


@pytest.mark.parametrize("style", ["text", "json"])
@in_loop
async def test_no_secret_gets_into_the_log(style: str) -> None:
    token = mint(user_id=new_id(), device_id=new_id(), key=SECRET)
    frames = [frame("heartbeat", {"token": token}), f"?token={token}", frame("heartbeat", {SECRET: SECRET})]
    text, _ = await traffic(style, *frames)
    assert "eyJ" not in text
    assert SECRET not in text
    assert "redacted" in text


@in_loop
async def test_every_line_of_the_json_log_is_json(tmp_path: Path) -> None:
    with ServerProcess(
        tmp_path, "--dev", "--log-format", "json", "-v", "--fault", "drop@heartbeat_ack:1"
    ) as server:
        alice = await client(server.url, "alice", "phone")
        await alice.send(HEARTBEAT, HEARTBEAT)
        await until_ack(alice)
        await alice.close()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        text = server.log.read_text()
        assert server.process.stdout is not None
        shown = server.process.stdout.read().decode()
    assert GROUP in shown  # what people are told stands behind the address
    assert SECRET not in shown
    entries = [json.loads(one) for one in text.splitlines()]
    assert any(entry.get("message", "").startswith("fault drop@heartbeat_ack:1 strikes") for entry in entries)
    assert any(entry.get("event") == "gone" for entry in entries)


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
