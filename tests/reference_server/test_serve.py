"""The command: configuration, signals, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
from pathlib import Path

import jwt
import pytest
from support.process import COMMAND, DEADLINE, SECRET, ServerProcess, environment, run
from support.raw import Raw, request
from support.server import Peer, frame, in_loop, message, new_id
from websockets.asyncio.client import connect

from relaykit.errors import UsageError
from relaykit.reference_server.server import Server
from relaykit.reference_server.settings import defaults
from relaykit.reference_server.store import Store
from relaykit.schemas import load_catalogue
from relaykit.tokens import mint

USER, DEVICE = new_id(), new_id()


async def client(url: str, user: str, device: str) -> Peer:
    token = mint(user_id=user, device_id=device, key=SECRET)
    return Peer(user, device, await connect(f"{url}?token={token}", proxy=None))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@in_loop
async def test_a_signal_closes_connections_and_loses_nothing(tmp_path: Path, number: signal.Signals) -> None:
    store = str(tmp_path / "store.db")
    with ServerProcess(tmp_path, "--store", store, "--check-output") as server:
        assert server.ready == {
            "url": server.url,
            "pid": server.process.pid,
            "control_url": None,
            "docs_url": None,
        }
        alice = await client(server.url, USER, DEVICE)
        bob_id, phone = new_id(), new_id()
        sent = [message(bob_id) for _ in range(100)]
        await alice.send(*sent)
        server.signal(number)
        assert (await alice.closed()).code == 1001
        assert await asyncio.to_thread(server.wait) == 0
        acknowledged = [got["message_id"] for got in alice.taken if got["type"] == "sent_ack"]
    left = {name for name in os.listdir(tmp_path) if name.startswith("store.db")}  # noqa: PTH208
    assert left == {"store.db", "store.db-mark"}  # a clean shutdown leaves nothing in a log
    with ServerProcess(tmp_path, "--store", store) as server:
        bob = await client(server.url, bob_id, phone)
        await bob.send(frame("heartbeat"))
        delivered = []
        while len(delivered) < len(acknowledged):
            got = await bob.receive()
            if got["type"] == "deliver":
                delivered.append(got["message_id"])
        assert delivered == acknowledged
        await bob.close()


@in_loop
async def test_a_second_signal_does_not_wait_for_clients(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, RELAYKIT_SERVE_SHUTDOWN_TIMEOUT_S="60") as server:
        raw = await Raw.open(server.port)
        assert (
            await raw.request(f"/ws?token={mint(user_id=USER, device_id=DEVICE, key=SECRET)}")
        ).status == 101
        server.signal(signal.SIGTERM)
        assert await raw.until_close() == 1001  # which this client does not answer
        server.signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.wait) == 130
        await raw.close()


def test_two_servers_on_one_store(tmp_path: Path) -> None:
    store = str(tmp_path / "store.db")
    with ServerProcess(tmp_path, "--store", store) as server:
        second = run("serve", "--port", "0", "--store", store)
        assert second.returncode == 2
        assert "in use by another server" in second.stderr
        assert "Traceback" not in second.stderr
        server.signal(signal.SIGKILL)
        server.wait()
    with ServerProcess(tmp_path, "--store", store):
        pass  # the lock of a killed server does not stay


def test_a_damaged_store_is_a_mistake_of_the_user(tmp_path: Path) -> None:
    catalogue = load_catalogue()
    names = ("whole", "damaged", "ruined", "other")
    whole, damaged, ruined, other = (tmp_path / f"{name}.db" for name in names)
    Store(str(whole)).close()
    with contextlib.closing(sqlite3.connect(whole)) as database:
        (page,) = database.execute("PRAGMA page_size").fetchone()
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (version,) = database.execute("PRAGMA user_version").fetchone()
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'messages'").fetchone()
    data = whole.read_bytes()
    damaged.write_bytes(data[: (root - 1) * page] + b"\xab" * page + data[root * page :])
    ruined.write_bytes(data[:page] + b"\xab" * (len(data) - page))  # of the schema, too
    with contextlib.closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE mine (x)")
        database.execute(f"PRAGMA application_id = {application}")
        database.execute(f"PRAGMA user_version = {version}")
    # Whether opening it or reading from it finds out first is not the point.
    for path, words in (
        (damaged, "a damaged store: "),
        (other, ".*no such table"),
        (ruined, ".*damaged"),
    ):
        for _ in range(2):  # the file is left closed and unlocked
            with pytest.raises(UsageError, match=f"{path.name}: {words}"):
                Server(defaults(catalogue.protocol, store=str(path)), catalogue, [])
    result = run("serve", "--port", "0", "--store", str(damaged))
    assert (result.returncode, "Traceback" in result.stderr) == (2, False), result.stderr
    assert f"{damaged}: a damaged store: " in result.stderr


def test_mistakes_are_told_in_one_line(tmp_path: Path) -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    port = str(taken.getsockname()[1])
    config = tmp_path / "serve.yaml"
    config.write_text("port: 0\nlimts:\n  burst: 5\n")
    (tmp_path / "key.pem").write_text("no key")
    keys = tmp_path / "keys.yaml"
    keys.write_text("keys: [{algorithm: RS256, pem: {file: key.pem}}]\n")
    key_set = tmp_path / "set.yaml"
    key_set.write_text("keys:\n- {algorithm: HS256, secret: {env: HOME}}\n- {jwks: {file: key.pem}}\n")
    struck, opened = tmp_path / "struck.yaml", tmp_path / "opened.yaml"
    struck.write_text("faults:\n- drop\n- drp\n")
    opened.write_text("origins: [app.example]\n")
    for arguments, words in (
        (["--port", port], "cannot listen on 127.0.0.1"),
        (["--port", port], "give another --port"),
        (["--host", "203.0.113.7", "--port", "0"], "cannot listen on 203.0.113.7"),
        (["--host", "203.0.113.7", "--port", "0"], "give a --host that is an address of this machine"),
        (["--store", str(tmp_path / "no" / "store.db")], "folder of the store does not exist"),
        (["--config", str(config)], "serve.yaml:2: /limts: unknown key 'limts' (did you mean 'limits'?)"),
        (["--config", str(tmp_path / "none.yaml")], "none.yaml"),
        (["--config", str(keys)], f"keys.yaml:1: /keys/0: {tmp_path / 'key.pem'}: not a key for RS256"),
        (["--config", str(key_set)], f"set.yaml:3: /keys/1: {tmp_path / 'key.pem'}: not a JWKS"),
        (["--limits", "brust=5"], "unknown key 'brust' (did you mean 'burst'?)"),
        (["--limits", "burst=0"], "less than the minimum"),
        (["--limits", "burst=x"], '--limits burst: "x" is not of type'),
        (["--limits", "burst"], "not NAME=VALUE"),
        (["--timing", "ring_timeout_s=soon"], "--timing ring_timeout_s: "),
        (
            ["--secret-file", str(tmp_path / "none")],
            f"--secret-file: {tmp_path / 'none'}: the secret cannot be read",
        ),
        (["--ready-file", str(tmp_path / "no" / "ready")], "ready file cannot be written"),
        (["--host", "a" * 70], "cannot listen on aaa"),
        (["--host", "ü..x"], "no name of a host has an empty part"),
        (["--control-port", "0", "--control-host", "ü..x", "--control-remote"], "has an empty part"),
        (["--limits", "\udcff=1"], "is not NAME=VALUE"),
        (["--fault", ""], '--fault: "" is shorter'),
        (["--origin", ""], '--origin: "" is shorter'),
        (
            ["--config", str(struck)],
            "struck.yaml:3: /faults/1: fault 'drp': there is no fault 'drp' (did you",
        ),
        (["--config", str(struck), "--fault", "drp"], "relaykit: fault 'drp': there is no fault 'drp'"),
        (["--config", str(opened)], "opened.yaml:1: /origins/0: origin 'app.example': browsers send none"),
    ):
        result = run("serve", *arguments, RELAYKIT_SERVE_PORT="0", RELAYKIT_CONTROL_TOKEN="token-of-a-test")
        assert result.returncode == 2, (arguments, result.stderr)
        assert words in result.stderr, (arguments, result.stderr)
        assert "Traceback" not in result.stderr, result.stderr
    result = run("serve", RELAYKIT_SERVE_PROT="1")
    assert (result.returncode, "did you mean 'RELAYKIT_SERVE_PORT'?" in result.stderr) == (2, True)
    result = run("serve", RELAYKIT_SERVE_CONTROL_TOKEN="a secret of mine")
    assert (result.returncode, "RELAYKIT_CONTROL_TOKEN" in result.stderr) == (2, True)
    assert "a secret of mine" not in result.stderr
    for variable in ("RELAYKIT_SERVE_STORE", "RELAYKIT_SECRET"):
        result = run("serve", **{"RELAYKIT_SERVE_PORT": "0", variable: "\udcff"})  # a byte of no UTF-8
        assert (result.returncode, "not UTF-8" in result.stderr) == (2, True), result.stderr
    result = run("serve", "--log-format", "json", "--port", port, RELAYKIT_SECRET="short")
    warning = json.loads(result.stderr.splitlines()[0])
    assert (warning["level"], "shorter than 32 bytes" in warning["message"]) == ("warning", True)
    taken.close()


@in_loop
async def test_a_key_that_is_made_is_shown_once_and_never_logged(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, RELAYKIT_SECRET="") as server:
        assert server.process.stdout is not None
        secret = server.process.stdout.readline().decode().split()[-1]
        token = mint(user_id=USER, device_id=DEVICE, key=secret)
        async with asyncio.timeout(DEADLINE), connect(f"{server.url}?token={token}", proxy=None) as opened:
            await opened.send(json.dumps(frame("heartbeat")))
            assert json.loads(await opened.recv())["type"] == "heartbeat_ack"
        assert secret not in server.log.read_text()


_READY = {"url": "ws://127.0.0.1:1/ws"}


@pytest.mark.parametrize("left", ["", json.dumps({**_READY, "pid": -1}), "gone"])
def test_a_ready_file_of_an_earlier_server_is_not_taken_for_this_one(left: str, tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    if left == "gone":
        ended = subprocess.Popen(["true"])
        ended.wait()
        left = json.dumps({**_READY, "pid": ended.pid})
    ready.write_text(left)
    result = run(
        "serve", "--port", "0", "--ready-file", str(ready), "--store", str(tmp_path / "no" / "store.db")
    )
    assert (result.returncode, ready.exists()) == (2, False)


@pytest.mark.parametrize(
    "text", ["What I know.\n", "{}", "[1]", '{"pid": 1}', json.dumps({**_READY, "pid": True}), "1" * 5000]
)
def test_a_start_that_fails_leaves_what_is_no_ready_file(text: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text(text)
    result = run(
        "serve", "--port", "0", "--ready-file", str(notes), "--store", str(tmp_path / "no" / "store.db")
    )
    assert (result.returncode, notes.read_text()) == (2, text)


def test_the_ready_file_of_a_server_that_runs_survives_one_that_cannot_start(tmp_path: Path) -> None:
    store, file = ("--store", str(tmp_path / "store.db")), tmp_path / "ready.json"
    with ServerProcess(tmp_path, *store) as server:
        before = server.ready
        for wrong in (store, ("--port", str(server.port))):
            result = run("serve", "--port", "0", *wrong, "--ready-file", str(file))
            assert (result.returncode, json.loads(file.read_text())) == (2, before), result.stderr
        assert before["pid"] == server.process.pid


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- 2>&-"])
def test_it_serves_though_somebody_has_closed_a_standard_stream(closed: str) -> None:
    words = shlex.join([*COMMAND, "serve", "--port", "0", "-v"])
    process = subprocess.Popen(
        ["sh", "-c", f"exec {words} {closed}"],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    told = process.stderr if " >&-" in f" {closed}" else process.stdout
    assert told is not None
    try:
        port = next(
            int(found[1]) for line in told if (found := re.search(rb"ws://127.0.0.1:([0-9]+)/", line))
        )
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(request("/ws"))
            assert b" 401 " in raw.recv(1000)
        process.terminate()
        process.communicate(timeout=DEADLINE)
        assert process.returncode == 0
    finally:
        process.kill()


def test_configuration_in_layers(tmp_path: Path) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text("port: 1\nserver_id: file\nstore: file.db\nlimits: {burst: 1, frames_per_second: 1}\n")
    shown = run(
        *("serve", "--config", str(config), "--store", "flag.db", "--limits", "burst=3", "--print-config"),
        RELAYKIT_SERVE_LIMITS_FRAMES_PER_SECOND="2",
        RELAYKIT_SERVE_STORE="environment.db",
        RELAYKIT_SERVE_PORT="2",
    )
    assert shown.returncode == 0, shown.stderr
    again = tmp_path / "again.yaml"
    again.write_text(shown.stdout)
    store = f"store: {Path('flag.db').absolute()}"
    for line in ("port: 2", "server_id: file", store, "  burst: 3", "  frames_per_second: 2"):
        assert line in shown.stdout.splitlines()
    assert run("serve", "--config", str(again), "--print-config").stdout == shown.stdout


@pytest.mark.parametrize("lifetime", ["nan", "inf", "1e400", "soon"])
def test_a_token_lives_for_a_number_of_seconds(lifetime: str) -> None:
    result = run("token", "--user", USER, "--device", DEVICE, "--lifetime", lifetime)
    assert (result.returncode, "Traceback" in result.stderr) == (2, False)


def test_a_short_key_is_said_in_one_line() -> None:
    result = run("token", "--user", USER, "--device", DEVICE, RELAYKIT_SECRET="short")
    assert (result.returncode, result.stderr.count("\n"), "shorter than" in result.stderr) == (0, 1, True)


def test_the_token_command(tmp_path: Path) -> None:
    result = run("token", "--user", USER, "--device", DEVICE, "--kid", "k", "--lifetime", "60")
    claims = jwt.decode(result.stdout.strip(), SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["device_id"], claims["exp"] - claims["iat"]) == (USER, DEVICE, 60)
    key = tmp_path / "key"
    key.write_text("another signing key that is long enough\n")
    result = run("token", "--user", USER, "--device", DEVICE, "--secret-file", str(key))
    assert jwt.decode(result.stdout.strip(), "another signing key that is long enough", algorithms=["HS256"])
    result = run("token", "--user", "alice", "--device", DEVICE)
    assert (result.returncode, "--user: 'alice' is not a UUID" in result.stderr) == (2, True)


def test_secrets_stay_out_of_the_log(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "-v") as server:
        token = mint(user_id=USER, device_id=DEVICE, key="a wrong key that is surely long enough")
        with socket.create_connection(("127.0.0.1", server.port)) as raw:
            raw.sendall(f"GET /ws?token={token} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert b" 401 " in raw.recv(4096)
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        log = server.log.read_text()
    assert "refused with 401" in log
    assert "eyJ" not in log
    assert SECRET not in log
