"""pytest fixtures for those who write clients: the reference server, as a process of its own.

    # conftest.py
    pytest_plugins = ["relaykit.pytest_fixtures"]

    # test_client.py
    def test_a_message_arrives(relay_server):
        alice, bob = relay_server.user(), relay_server.user()
        client = MyClient(alice.url)               # ws://127.0.0.1:PORT/ws?token=…
        ...
        relay_server.control("create_group", members=[alice.id, bob.id])

`relay_server` lives for the whole run; users are new in each test, so that tests do not see each other.
`start_relay_server("--limits", "burst=5")` starts further ones, with the options of `relaykit serve`.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from relaykit import tokens

_STARTS_S = 60.0
_ENDS_S = 10.0
_COMMAND = (sys.executable, "-c", "from relaykit.cli import main; main()", "serve")


@dataclass(frozen=True, slots=True)
class User:
    """A user and one device of theirs.

    Attributes:
        id, device_id: UUIDs.
        token: of the device; for `Authorization: Bearer` or the subprotocol.
        url: the server's address with the token in it.
    """

    id: str
    device_id: str
    token: str
    url: str


class RelayServer:
    """A running reference server.

    Attributes:
        url: where clients connect, without a token.
        control_url, control_token: the control interface.
        secret: the key (HS256) that tokens are signed with.
        process: it, to kill or stop; `pid` in it.
        log: file with what it writes on standard error.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.secret = secrets.token_hex(32)
        self.control_token = secrets.token_urlsafe(32)
        self.log = folder / "server.log"
        ready = folder / "ready.json"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAYKIT_")}
        own = {"RELAYKIT_SECRET": self.secret, "RELAYKIT_CONTROL_TOKEN": self.control_token}
        ports = ("--port", "0", "--control-port", "0")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603
                [*_COMMAND, *ports, "--ready-file", str(ready), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**kept, **own},
            )
        assert self.process.stdout is not None
        # Its address on standard output says that it listens; the end of that, that it does not.
        readable, _, _ = select.select([self.process.stdout], [], [], _STARTS_S)
        line = self.process.stdout.readline() if readable else b""
        if not line.strip():
            self.stop()
            raise RuntimeError(f"the reference server did not start:\n{self.log.read_text(errors='replace')}")
        self.url = line.decode().strip()
        self.control_url = self._control_url(ready)

    def _control_url(self, ready: Path) -> str:
        # Written right before or after the address is printed.
        for _ in range(int(_STARTS_S * 100)):
            with contextlib.suppress(OSError, ValueError):
                return str(json.loads(ready.read_text())["control_url"])
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(0.01)
                break
        raise RuntimeError(f"the reference server did not start:\n{self.log.read_text(errors='replace')}")

    def user(self, user_id: str | None = None, device_id: str | None = None, **options: Any) -> User:
        """A user with a token; a new one, unless ids are given. `options`: see `relaykit.tokens.mint`."""
        user_id, device_id = user_id or str(uuid4()), device_id or str(uuid4())
        token = tokens.mint(user_id=user_id, device_id=device_id, **{"key": self.secret, **options})
        return User(user_id, device_id, token, f"{self.url}?token={token}")

    def control(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Carry out an operation of the control interface, such as `create_group`.

        Raises:
            RuntimeError: it was refused; with its answer.
        """
        request = urllib.request.Request(  # noqa: S310 - an address of our own
            f"{self.control_url}/{operation}",
            data=json.dumps(arguments).encode(),
            headers={"Authorization": f"Bearer {self.control_token}", "Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_ENDS_S) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            said = error.read(2000).decode(errors="replace")
            raise RuntimeError(f"{operation}: HTTP {error.code} {said}") from None
        return answer

    def stop(self) -> None:
        """End it: politely, and after some seconds by force."""
        self.process.terminate()
        try:
            self.process.wait(_ENDS_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()


@pytest.fixture(scope="session")
def start_relay_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RelayServer]]:
    """Start a reference server with options of `relaykit serve`; all are stopped at the end of the run."""
    started: list[RelayServer] = []

    def start(*arguments: str) -> RelayServer:
        server = RelayServer(tmp_path_factory.mktemp("relay_server"), *arguments)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def relay_server(start_relay_server: Callable[..., RelayServer]) -> RelayServer:
    """The reference server, for the whole run."""
    return start_relay_server()
