"""`relaykit init` and `relaykit doctor`: the way of a new implementer to the first run."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import time
from datetime import date
from pathlib import Path

import pytest
from fixtures import fakes
from support.control import TOKEN, bench
from support.server import SECRET, running_server
from support.suite import Ended, relaykit

from relaykit.config import parse_yaml, problems
from relaykit.conformance.capabilities import Tried
from relaykit.conformance.settling import settled, with_quiet
from relaykit.conformance.starting import CONTROLS, TOKENS, Answers, target_text
from relaykit.conformance.target import target_schema
from relaykit.reference_server.tls import make_certificate
from relaykit.schemas import load_catalogue

CATALOGUE = load_catalogue()
DAY = date(2026, 1, 31)


@pytest.mark.parametrize(("tokens", "control"), tuple(itertools.product(TOKENS, CONTROLS)))
def test_whatever_is_answered_gives_a_valid_file(tokens: str, control: str) -> None:
    for algorithm in ("HS256", "ES256"):
        text = target_text(
            Answers("ws://127.0.0.1:1/ws", 'my "server": 1', tokens, algorithm, control, {"groups"}),
            CATALOGUE,
        )
        assert not problems(parse_yaml(text), target_schema(CATALOGUE))
        assert parse_yaml(text).data["capabilities"]["groups"] is True
        assert all(len(line) < 120 for line in text.splitlines())


def test_what_is_commented_out_is_valid_too() -> None:
    text = target_text(Answers("ws://127.0.0.1:1/ws"), CATALOGUE)
    head, _, rest = text.partition("# limits:")
    lines = [line.removeprefix("# ") for line in ("# limits:" + rest).splitlines()]
    settings = "\n".join(
        line
        for line in lines
        if line.startswith((" ", "limits:", "timing:", "pacing:", "expected_failures:"))
    )
    assert not problems(parse_yaml(head + settings), target_schema(CATALOGUE))


def test_what_is_not_answered_is_left_to_be_tried(tmp_path: Path) -> None:
    def stated(*words: str) -> set[object]:
        path = tmp_path / "t.yaml"
        made = asyncio.run(relaykit("init", str(path), "--force", "--url", "wss://127.0.0.1:9/ws", *words))
        assert made.code == 0, made
        assert "# tls:" in path.read_text()
        return set(parse_yaml(path.read_text()).data["capabilities"].values())

    assert stated() == {"probe"}
    assert stated("--capability", "calls") == {True, False}
    assert stated("--capability", "none") == {False}
    assert stated("--capability", "all") == {True}


def test_init_writes_once_and_says_what_is_next(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"

    def init(*words: str) -> Ended:
        return asyncio.run(relaykit("init", str(path), *words))

    made = init("--url", "ws://127.0.0.1:9/ws", "--capability", "groups", "--control", "http")
    assert made.code == 0, made
    assert f"relaykit doctor -t {path}" in made.out
    first = path.read_text()
    again = init("--url", "ws://127.0.0.1:10/ws")
    assert again.code == 2
    assert "--force" in again.err
    assert path.read_text() == first
    assert init("--url", "ws://127.0.0.1:10/ws", "--force").code == 0
    assert path.read_text() != first


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--url", "http://127.0.0.1"], "--url http://127.0.0.1"),
        (["--url", "ws://127.0.0.1", "--capability", "grups"], "did you mean 'groups'"),
    ],
)
def test_init_refuses_what_would_not_work(tmp_path: Path, words: list[str], said: str) -> None:
    ended = asyncio.run(relaykit("init", str(tmp_path / "t.yaml"), *words))
    assert (ended.code, said in ended.err) == (2, True), ended
    assert not (tmp_path / "t.yaml").exists()


def test_init_asks_a_server_that_is_there_what_it_serves(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"

    async def main() -> Ended:
        async with bench() as served:
            return await relaykit("init", str(path), "--url", served.server.url, RELAYKIT_SECRET=SECRET)

    ended = asyncio.run(main())
    assert ended.code == 0, ended
    stated = parse_yaml(path.read_text()).data["capabilities"]
    assert stated["media_keys"] is True
    assert stated["calls"] is True
    assert stated["groups"] == "probe", "without control nobody can tell"
    assert "served: calls" in ended.out
    assert "could not be told" in ended.out
    lines = {line.split(":")[0].strip(): line for line in path.read_text().splitlines()}
    assert "; tried 2" in lines["calls"]
    assert "could not be told: needs create_group" in lines["groups"]
    assert not problems(parse_yaml(path.read_text()), target_schema(CATALOGUE))


def test_init_says_why_it_could_not_ask(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    ended = asyncio.run(relaykit("init", str(path), "--url", "ws://127.0.0.1:9/ws"))
    assert "could not be tried" in ended.out
    assert "RELAYKIT_SECRET is not set" in ended.out
    assert f"relaykit doctor -t {path} --write" in ended.out
    untried = asyncio.run(relaykit("init", str(path), "--force", "--url", "ws://127.0.0.1:9/ws", "--no-try"))
    assert "could not be tried" not in untried.out


def test_doctor_writes_what_it_found_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"

    async def main() -> tuple[Ended, str]:
        async with fakes.minimal().running() as url:
            text = (
                f"url: {url}  # here\n"
                "tokens: {mint: {secret: {env: RELAYKIT_SECRET}}}\n"
                "capabilities: {groups: true, calls: probe,\n  sync: probe}   # as of today\n"
                "timing: {reply_ms: 1500, quiet_ms: 60}\n"
            )
            path.write_text(text)
            return await relaykit("doctor", "-t", str(path), "--write", RELAYKIT_SECRET=fakes.SECRET), text

    ended, text = asyncio.run(main())
    assert ended.code == 0, ended
    assert path.read_text() == text.replace("probe", "false")
    assert "not served: calls, sync" in ended.out
    alone = asyncio.run(relaykit("doctor", "--url", "ws://127.0.0.1:9/ws", "--write"))
    assert (alone.code, "give one with -t" in alone.err) == (2, True)


def test_what_trying_said_stands_behind_each_capability() -> None:
    text = "capabilities:\n  calls: probe  # Calls\n  sync: probe\n  typing: true  # Typing\n"
    first = settled(text, [Tried("calls", False, "call-life: nothing\ncame"), Tried("sync", True, "x")], DAY)
    assert first == (
        "capabilities:\n  calls: false  # Calls; tried 2026-01-31, not served: call-life: nothing came\n"
        "  sync: true  # tried 2026-01-31, x\n  typing: true  # Typing\n"
    )
    # A target's words may hold anything; a file that holds it could not be read.
    assert parse_yaml(settled(text, [Tried("calls", False, "nothing\x1b\0")], DAY)).data
    # What could not be told is tried again another day.
    open_ = settled(text, [Tried("calls", False, "needs more", told=False)], DAY)
    assert "calls: probe  # Calls; tried 2026-01-31, could not be told: needs more\n" in open_
    assert "calls: true  # Calls; tried 2026-01-31, now\n" in settled(
        open_, [Tried("calls", True, "now")], DAY
    )


def test_a_slow_server_gets_the_quiet_window_that_it_needs() -> None:
    text = with_quiet(target_text(Answers("ws://127.0.0.1:1/ws"), CATALOGUE), 1200, 400.4)
    assert parse_yaml(text).data["timing"] == {"quiet_ms": 1200}
    assert "  quiet_ms: 1200  # a heartbeat took 400 ms" in text


def examined(*faults: str, more: tuple[str, ...] = ()) -> Ended:
    async def main() -> Ended:
        async with fakes.minimal(*faults).running() as url:
            return await relaykit("doctor", "--url", url, *more, RELAYKIT_SECRET=fakes.SECRET)

    return asyncio.run(main())


def test_doctor_finds_a_sound_server_sound() -> None:
    ended = examined()
    assert ended.code == 0, ended
    for line in ("ok     connection", "ok     token", "ok     handshake", "ok     fence", "ok     clock"):
        assert line in ended.out
    assert "A run can be started: relaykit test --url" in ended.out


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        ("no-heartbeat", 0, "note   fence: a heartbeat is not answered within"),
        ("closes-on-heartbeat", 0, "note   fence: a heartbeat is not answered but by an end: closed (1003)"),
        ("clock-ahead", 0, "note   clock: the target's clock is +1800"),
    ],
)
def test_doctor_names_what_a_run_would_suffer_from(fault: str, code: int, said: str) -> None:
    ended = examined(fault, more=("--timeout-factor", "0.5"))
    assert ended.code == code, ended
    assert said in ended.out
    assert "→ " in ended.out


def test_doctor_tries_the_capabilities_that_are_left_open(tmp_path: Path) -> None:
    async def main() -> Ended:
        async with bench() as served:
            (tmp_path / "t.yaml").write_text(
                f"url: {served.server.url}\n"
                "tokens: {mint: {secret: {env: RELAYKIT_SECRET}}}\n"
                "capabilities: {media_keys: probe, groups: probe}\n"
            )
            return await relaykit("doctor", "-t", os.fspath(tmp_path / "t.yaml"), RELAYKIT_SECRET=SECRET)

    ended = asyncio.run(main())
    assert ended.code == 0, ended
    assert "ok     capability media_keys: media-key-" in ended.out
    assert "note   capability groups: needs create_group" in ended.out


def test_doctor_says_where_it_ends() -> None:
    async def main() -> tuple[Ended, Ended]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        nobody = await relaykit("doctor", "--url", f"ws://127.0.0.1:{port}/ws", RELAYKIT_SECRET="x" * 20)
        async with fakes.minimal().running() as url:
            return nobody, await relaykit(
                "doctor", "--url", url, RELAYKIT_SECRET="another secret than its own"
            )

    nobody, refused = asyncio.run(main())
    assert nobody.code == refused.code == 3
    assert "FAILED connection" in nobody.out
    assert "→ is the server running there?" in nobody.out
    assert "ok     connection" in refused.out
    assert "FAILED handshake" in refused.out
    assert "check algorithm and secret" in refused.out
    assert "eyJ" not in refused.out + refused.err


def answering(head: str) -> fakes.Talk:
    """A web server that gives this answer to everybody."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    return talk


@pytest.mark.parametrize(
    ("head", "said", "advice"),
    [
        ("200 OK", "opens no session (header: HTTP 200 OK", "no WebSocket: check host, port and path"),
        ("404 Not Found", "opens no session", "no WebSocket: check host, port and path"),
        ("302 Found\r\nLocation: wss://example.test/ws", "HTTP 302 Found, to wss://example.test/ws", "`url`"),
        ("403 Forbidden", "takes none of our tokens", "headers: {Origin: …}"),
        ("429 Too Many Requests", "opens no session", "pacing.connections_per_second"),
        ("502 Bad Gateway", "opens no session", "a proxy before it"),
        ("401 No\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT", "takes none of our tokens", "its clock is +"),
        ("401 No\r\nDate: yesterday", "takes none of our tokens", "check algorithm and secret"),
    ],
)
def test_doctor_tells_refusals_apart(head: str, said: str, advice: str) -> None:
    async def main() -> Ended:
        async with fakes.raw(answering(head)) as url:
            return await relaykit("doctor", "--url", url, RELAYKIT_SECRET=fakes.SECRET)

    ended = asyncio.run(main())
    assert ended.code == 3, ended
    failed, hint = ended.out.partition("FAILED handshake")[2].splitlines()[:2]
    assert said in failed
    assert advice in hint
    assert "Traceback" not in ended.out + ended.err


@pytest.mark.parametrize(
    ("scheme", "faults", "said"),
    [("wss", (), "ws:// in place of wss://?"), ("ws", ("tls",), "wss:// instead of ws://?")],
)
def test_doctor_knows_tls_from_none(tmp_path: Path, scheme: str, faults: tuple[str, ...], said: str) -> None:
    async def main() -> Ended:
        async with running_server(tls_self_signed=bool(faults)) as server:
            url = f"{scheme}://127.0.0.1:{server.port}/ws"
            return await relaykit("doctor", "--url", url, RELAYKIT_SECRET=SECRET)

    ended = asyncio.run(main())
    assert ended.code == 3, ended
    assert said in ended.out


def test_doctor_says_that_an_authority_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"

    async def main() -> tuple[Ended, Ended]:
        async with running_server(tls_self_signed=True) as server:
            bare = await relaykit("doctor", "--url", server.url, RELAYKIT_SECRET=SECRET)
            other = make_certificate(time.time())
            (tmp_path / "ca.pem").write_bytes(other.authority)
            tokens = "tokens: {mint: {secret: {env: RELAYKIT_SECRET}}}"
            path.write_text(f"url: {server.url}\n{tokens}\ntls: {{ca_file: ca.pem}}\n")
            return bare, await relaykit("doctor", "-t", str(path), RELAYKIT_SECRET=SECRET)

    advice = ("state tls.ca_file in the target file", "ca.pem does not hold the authority")
    for ended, said in zip(asyncio.run(main()), advice, strict=True):
        assert ended.code == 3, ended
        assert "FAILED connection" in ended.out
        assert said in ended.out


@pytest.mark.parametrize(
    ("tokens", "code", "said"),
    [
        (
            "{fetch: {command: {run: [echo, garbage]}}}",
            3,
            "is the token that was given out one of this server's",
        ),
        ("{fetch: {command: {run: [sleep, '60']}}}", 3, "FAILED token: sleep did not end within"),
        ("{mint: {algorithm: RS256, key: {file: t.yaml}}}", 2, "t.yaml:2: the key cannot sign tokens"),
        ("{mint: {algorithm: EdDSA, key: {value: x}}}", 2, "EdDSA needs a private key in PEM"),
    ],
)
def test_doctor_finds_tokens_that_are_none(tmp_path: Path, tokens: str, code: int, said: str) -> None:
    async def main() -> Ended:
        async with fakes.minimal().running() as url:
            (tmp_path / "t.yaml").write_text(f"url: {url}\ntokens: {tokens}\n")
            return await relaykit("doctor", "-t", os.fspath(tmp_path / "t.yaml"), "--timeout-factor", "0.2")

    ended = asyncio.run(main())
    assert ended.code == code, ended
    assert said in ended.out + ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize(
    ("token", "code", "said"),
    [(TOKEN, 0, "ok     provisioning: decide_device_approval"), ("wrong", 3, "token: it is refused")],
)
def test_doctor_tries_provisioning(tmp_path: Path, token: str, code: int, said: str) -> None:
    async def main() -> Ended:
        async with bench() as served:
            (tmp_path / "t.yaml").write_text(
                f"url: {served.server.url}\n"
                "tokens: {mint: {secret: {env: RELAYKIT_SECRET}}}\n"
                f"control: {{http: {{url: '{served.server.server.control_url}', token: {{env: C}}}}}}\n"
            )
            path = os.fspath(tmp_path / "t.yaml")
            return await relaykit("doctor", "-t", path, RELAYKIT_SECRET=SECRET, C=token)

    ended = asyncio.run(main())
    assert ended.code == code, ended
    assert said in ended.out
    # What would be said of each operation is said once.
    assert ended.out.count("FAILED") == (token != TOKEN)
