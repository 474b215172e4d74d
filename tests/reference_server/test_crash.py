"""SIGKILL under load: no acknowledged message is lost, and nothing a device acknowledged comes again.

RELAYKIT_KILLS says how often (a few times by default; 50 for the record).
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from support.process import SECRET, ServerProcess
from support.server import Peer, frame, in_loop, message, new_id
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from relaykit.tokens import mint

KILLS = int(os.environ.get("RELAYKIT_KILLS", "3"))
LIMITS = ("burst=1000000", "frames_per_second=1000000", "waiting_per_user=1000000")


@dataclass
class Side:
    """One user with one device, over all restarts."""

    user: str = field(default_factory=new_id)
    device: str = field(default_factory=new_id)

    async def connect(self, url: str) -> Peer:
        token = mint(user_id=self.user, device_id=self.device, key=SECRET)
        socket = await connect(f"{url}?token={token}", proxy=None, compression=None, max_queue=None)
        return Peer(self.user, self.device, socket)


@dataclass
class Account:
    """What the clients know: sent, acknowledged by the server, received, acknowledged to it for certain."""

    sent: list[str] = field(default_factory=list)
    stored: set[str] = field(default_factory=set)
    received: set[str] = field(default_factory=set)
    settled: set[str] = field(default_factory=set)
    again: list[str] = field(default_factory=list)
    goal: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)


async def sender(peer: Peer, receiver: str, account: Account) -> None:
    """Send without pause, a window of 32 messages at a time."""
    window = asyncio.Semaphore(32)

    async def read() -> None:
        while True:
            got = await peer.receive()
            if got["type"] == "sent_ack":
                account.stored.add(got["message_id"])
                if len(account.stored) >= account.goal:
                    account.reached.set()
                window.release()

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read())
        while not reading.done():
            await window.acquire()
            one = message(receiver)
            account.sent.append(one["message_id"])
            await peer.send(one)


async def receiver(peer: Peer, account: Account) -> None:
    """Acknowledge every second message. A heartbeat's answer proves that the acknowledgements before it are
    committed: the server answers in order, and only after the commit."""
    pending: list[str] = []
    asked: deque[list[str]] = deque()
    count = 0
    while True:
        got = await peer.receive()
        if got["type"] == "heartbeat_ack":
            account.settled.update(asked.popleft())
        elif got["type"] == "deliver":
            message_id = got["message_id"]
            if message_id in account.settled:
                account.again.append(message_id)
            account.received.add(message_id)
            count += 1
            if count % 2:
                pending.append(message_id)
                await peer.send(frame("delivery_ack", message_id=message_id))
            if count % 20 == 0:
                asked.append(pending)
                pending = []
                await peer.send(frame("heartbeat"))


@pytest.mark.timeout(60 + KILLS * 10)
@in_loop
async def test_a_killed_server_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    arguments = ["--store", str(tmp_path / "store.db")]
    for limit in LIMITS:
        arguments += ["--limits", limit]
    alice, bob, account = Side(), Side(), Account()
    chance = random.Random(7)
    for _ in range(KILLS):
        with ServerProcess(tmp_path, *arguments) as server:
            writing, reading = await alice.connect(server.url), await bob.connect(server.url)
            account.goal = len(account.stored) + chance.randrange(20, 400)
            account.reached.clear()
            with pytest.raises(BaseExceptionGroup) as ended:
                async with asyncio.TaskGroup() as group:
                    group.create_task(sender(writing, bob.user, account))
                    group.create_task(receiver(reading, account))
                    await account.reached.wait()
                    server.signal(signal.SIGKILL)
            assert ended.value.split(ConnectionClosed)[1] is None
            await asyncio.to_thread(server.wait)
    assert account.again == []
    with ServerProcess(tmp_path, *arguments) as server:
        reading = await bob.connect(server.url)
        last: set[str] = set()
        missing = account.stored - account.received
        unsettled = account.stored - account.settled
        while not missing <= last or not last:
            got = await reading.receive()
            last.add(got["message_id"])
            if last >= unsettled:
                break
        assert missing <= last
        assert not last & account.settled
        await reading.close()
    print(
        f"{KILLS} kills: {len(account.sent)} sent, {len(account.stored)} acknowledged, none lost; "
        f"{len(account.settled)} acknowledged by the device, none came again"
    )
