"""A reference server inside the test's own event loop, and clients for it (the stock `websockets` client)."""

from __future__ import annotations

import asyncio
import functools
import json
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from relaykit.reference_server import dev
from relaykit.reference_server import settings as settings_
from relaykit.reference_server.app import App
from relaykit.reference_server.auth import Key, make_key
from relaykit.reference_server.server import Server
from relaykit.schemas import Catalogue, load_catalogue
from relaykit.tokens import mint

SECRET = "the signing key of the tests, long enough"
DEADLINE = 5.0
CIPHERTEXT = "q83vASNFZ4k="
new_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop


def new_id() -> str:
    return str(uuid.uuid4())


def new_group() -> str:
    return f"group-{new_id()}"


def frame(kind: str, payload: Mapping[str, Any] | None = None, **envelope: Any) -> dict[str, Any]:
    """A client's frame; envelope fields given as None are left out."""
    whole = {"type": kind, **{name: value for name, value in envelope.items() if value is not None}}
    return whole if payload is None else {**whole, "payload": dict(payload)}


def message(receiver: str | None, message_id: str | None = None, **payload: Any) -> dict[str, Any]:
    """A `send` frame."""
    content = {"receiver_id": receiver, "ciphertext": CIPHERTEXT, "message_type": "text", **payload}
    return frame("send", content, message_id=message_id or new_id())


@dataclass
class Closed:
    code: int
    reason: str


@dataclass
class Peer:
    """One connected device of a user."""

    user: str
    device: str
    socket: ClientConnection
    taken: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, *frames: Mapping[str, Any] | str | bytes) -> None:
        for one in frames:
            await self.socket.send(one if isinstance(one, str | bytes) else json.dumps(one))

    async def receive(self) -> dict[str, Any]:
        """The next frame; the deadline is the test's, not a pause."""
        data = await asyncio.wait_for(self.socket.recv(), DEADLINE)
        assert isinstance(data, str)
        self.taken.append(json.loads(data))
        return self.taken[-1]

    async def expect(self, kind: str, **envelope: Any) -> dict[str, Any]:
        """The next frame, which must be of this type, with these fields of the envelope."""
        got = await self.receive()
        assert got["type"] == kind, got
        for name, value in envelope.items():
            assert got.get(name) == value, got
        return got

    async def expect_error(self, code: str, about: str | None = None) -> dict[str, Any]:
        got = await self.expect("error")
        assert got["payload"]["error_code"] == code, got
        assert got.get("message_id") == about, got
        return got

    async def silent(self, *others: Peer) -> None:
        """Nothing has come: the answer to a heartbeat is the next frame. The others' heartbeats go first,
        so that whatever they caused has been said by then."""
        for peer in (*others, self):
            await peer.send(frame("heartbeat"))
            await peer.expect("heartbeat_ack")

    async def closed(self) -> Closed:
        """Wait until the server closes; frames that come before that are left out."""
        try:
            while True:
                await self.receive()
        except ConnectionClosed:
            return Closed(self.socket.close_code or 1006, self.socket.close_reason or "")

    async def close(self) -> None:
        await self.socket.close()


@dataclass
class Running:
    """A server, and how to reach it."""

    server: Server
    peers: list[Peer] = field(default_factory=list)

    @property
    def app(self) -> App:
        return self.server.app

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def port(self) -> int:
        return self.server.port

    def token(self, user: str, device: str, **more: Any) -> str:
        return mint(user_id=user, device_id=device, **{"key": SECRET, "now": self.app.clock.now(), **more})

    async def connect(
        self, user: str | None = None, device: str | None = None, *, query: str = "", **options: Any
    ) -> Peer:
        """Connect a device; a new user and a new device unless they are named."""
        user, device = user or new_id(), device or new_id()
        token = self.token(user, device)
        return await self.connect_with(token, user, device, query=query, **options)

    async def connect_with(
        self, token: str, user: str = "", device: str = "", *, query: str = "", **options: Any
    ) -> Peer:
        """Connect with a token of one's own making."""
        # Without a bound on what it has not taken, a client can close at once.
        options = {"compression": None, "proxy": None, "ping_interval": None, "max_queue": None, **options}
        peer = Peer(user, device, await connect(f"{self.url}?token={token}{query}", **options))
        self.peers.append(peer)
        return peer

    async def reconnect(self, peer: Peer) -> Peer:
        """End a device's connection and connect it again."""
        await peer.close()
        return await self.connect(peer.user, peer.device)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Let the loop turn until something is so, which no frame tells."""
        async with asyncio.timeout(DEADLINE):
            while not condition():  # noqa: ASYNC110  (there is nothing to wait for but the condition)
                await asyncio.sleep(0)

    async def pair(self) -> tuple[Peer, Peer]:
        """Two users with a device each."""
        return await self.connect(), await self.connect()

    async def __aenter__(self) -> Self:
        await self.server.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for peer in self.peers:
            await peer.socket.close()
        await self.server.stop()


async def client(url: str, name: str, device: str, key: str = SECRET, **options: Any) -> Peer:
    """A device of one of the people of `--dev`, connected to a server of another process."""
    user_id, device_id = dev.USERS[name], dev.DEVICES[name, device]
    token = mint(user_id=user_id, device_id=device_id, key=key)
    return Peer(user_id, device_id, await connect(f"{url}?token={token}", proxy=None, **options))


@asynccontextmanager
async def running_server(
    *,
    catalogue: Catalogue | None = None,
    keys: list[Key] | None = None,
    control_token: str | None = None,
    **changes: Any,
) -> AsyncIterator[Running]:
    """A server on a free port, whose every outgoing frame is checked. `changes` are settings."""
    catalogue = catalogue or load_catalogue()
    settings = settings_.defaults(
        catalogue.protocol, **{"port": 0, "check_output": True, "server_id": "test", **changes}
    )
    async with Running(
        Server(settings, catalogue, keys or [make_key("HS256", SECRET)], control_token)
    ) as running:
        yield running
    assert running.app.frames.defects == []


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an async test in a loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(test(*args, **kwargs))

    run.in_loop = True  # for conftest: run it on every kind of loop
    return run
