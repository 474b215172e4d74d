"""The log of `relaykit serve`: each frame in a line, connections and refusals, as text and as JSON."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.process import DEADLINE, SECRET, ServerProcess, run
from support.raw import Raw, request
from support.server import Peer, client, frame, in_loop, message, new_id, running_server
from websockets.exceptions import InvalidStatus

from relaykit.redaction import Redactor
from relaykit.reference_server import logs
from relaykit.reference_server.dev import DEVICES, GROUP, USERS
from relaykit.tokens import mint

HEARTBEAT = frame("heartbeat")


@contextmanager
def logged(style: str, *, terminal: bool = False, stream: Any = None) -> Iterator[io.StringIO]:
    """What the server writes to its log."""
    if stream is None:
        stream = io.StringIO()
        stream.isatty = lambda: terminal
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
            ended = await server.connect(USERS["alice"], DEVICES["alice", "laptop"])
            (session,) = server.app.hub.of_device(ended.user, ended.device)
            server.app.end(session, 1008, "enough")
            await ended.closed()  # the client has answered the close frame
            cut = await server.connect(USERS["bob"], DEVICES["bob", "phone"])
            cut.socket.transport.abort()
            rude = await server.connect(USERS["bob"], DEVICES["bob", "laptop"])
            await rude.socket.close(4000, "\u202e\r\nfake line")
            await server.until(lambda: not server.app.connections)
    text = stream.getvalue()
    line(text, "handshake refused with 403: This Origin is not permitted.")
    line(text, "handshake refused with 401: Authentication failed")
    line(text, "alice.phone gone, closed by the server: 1009 more than 65536 bytes")
    line(text, "alice.laptop gone, closed by the server: 1008 enough")
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
    broken = [one for one in text.splitlines() if "no { JSON" in one]
    recorded.write_text("".join(f"{one}\n" for one in text.splitlines() if one not in broken))
    result = run("validate", str(recorded))
    assert result.returncode == 0, result.stdout
    others = len(entries) - len(frames)
    assert others > 0
    assert f"{others} log line{'s' * (others > 1)} passed over" in result.stdout


@in_loop
async def test_the_json_log_leaves_a_ciphertext_valid(tmp_path: Path) -> None:
    """Base64 of JSON begins as a token does."""
    ciphertext = base64.b64encode(b'{"text":"hello to you"}').decode()
    text, _ = await traffic("json", message(USERS["bob"], ciphertext=ciphertext))
    assert f'"{ciphertext}"' in text
    recorded = tmp_path / "log.ndjson"
    recorded.write_text(text)
    result = run("validate", str(recorded))
    assert result.returncode == 0, result.stdout


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
async def test_in_development_the_log_says_why_tls_fails(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--dev", "--tls-self-signed") as server:
        raw = await Raw.open(server.port)
        await raw.send(request("/ws"))
        await raw.ended()
        await raw.close()
        raw = await Raw.open(server.port)
        await raw.close()  # before it said anything
        async with asyncio.timeout(DEADLINE):
            while server.log.read_text().count("TLS handshake failed") < 2:  # noqa: ASYNC110  (of a process)
                await asyncio.sleep(0.01)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        line(server.log.read_text(), "TLS handshake failed: the client does not speak TLS")
        line(server.log.read_text(), "TLS handshake failed: the client is gone")


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


@pytest.mark.parametrize("style", ["text", "json"])
@in_loop
async def test_a_log_that_nobody_reads_stops_nobody(style: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_PATIENCE_MS", 50)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as stream, logged(style, stream=stream):
        async with running_server(dev=True, limits={"burst": 100_000}, check_output=False) as server:
            alice = await server.connect(USERS["alice"], DEVICES["alice", "phone"])
            for _ in range(60):  # far more than a pipe holds
                await alice.send(*[frame("heartbeat", {"x": "y" * 1000})] * 10, HEARTBEAT)
                await until_ack(alice)
            os.set_blocking(reading, False)
            before = _all(reader)
            await alice.send(HEARTBEAT)
            await until_ack(alice)
            after = _all(reader)
            await alice.close()
    lost = r"[1-9][0-9]* lines of the log were lost"
    assert not re.search(lost, before)
    assert re.search(lost, after)
    assert "heartbeat_ack" in after
    if style == "json":
        *whole, _cut = before.splitlines()
        assert all(json.loads(one) for one in (*whole, *after.split("\n", 1)[1].splitlines()))


def _all(reader: io.BufferedReader) -> str:
    return (reader.read() or b"").decode()


def test_a_line_of_which_the_end_was_lost_does_not_run_into_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_PATIENCE_MS", 50)
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w") as stream, logged("text", stream=stream):
        logging.getLogger("test").warning("first %s", "x" * (1 << 20))  # more than a pipe holds
        os.set_blocking(reading, False)
        (cut,) = _all(reader).splitlines()
        assert cut.endswith("xxx")
        logging.getLogger("test").warning("second")
        empty, lost, second = _all(reader).splitlines()
        assert empty == ""
        assert "1 lines of the log were lost" in lost
        assert second.endswith("WARNING second")


def test_a_log_whose_reader_is_gone_is_no_matter(capsys: pytest.CaptureFixture[str]) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, logged("text", stream=stream):
        os.close(reading)
        for _ in range(3):
            logging.getLogger("test").warning("nobody reads this")
    assert capsys.readouterr() == ("", "")
