"""Random clients for a long time: does memory stay flat, and is every promise kept?

    python benchmarks/soak.py [--seconds 600] [--messages 300000] [--users 12] [--seed 1] [--remembered 20000]

Clients connect, drop, send, acknowledge, read, type, call, flood within the limits, read slowly, and talk
nonsense, all drawn from the seed (what the server's timing makes of it is not). The server is the reference
server with its store on the disk. Ends with 1 if a message that was acknowledged to its sender did not reach
every device of its recipients, or one came again that a device had acknowledged, or the server failed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import sys
import time
import uuid
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from server_client import SECRET, Target, new_store, reference, started
from server_connections import CONTROL, control
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from relaykit.tokens import mint

Frame = dict[str, Any]
_SDP = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
# What no client should send. The last two end the connection.
NONSENSE: tuple[str | bytes, ...] = (
    "", "[]", "{", "null", '{"type":"send"}', '{"type":"nonsense"}', '{"type":"heartbeat","type":"pong"}',
    '{"type":"deliver","payload":{}}', '{"type":"typing","payload":{"conversation_id":"x","is_typing":1}}',
    "[" * 200, '{"type":"heartbeat","extra":NaN}', b"binary", "x" * 70_000, b"\xff\xfe",
)  # fmt: skip


@dataclass(eq=False)
class Device:
    """A device, and what it knows of its messages: owed to it, with it, acknowledged by it beyond doubt."""

    user: str
    id: str
    rng: random.Random
    owed: set[str] = field(default_factory=set)
    got: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)


@dataclass
class World:
    """Everybody, and the books that are kept of what was promised to them."""

    url: str
    devices: list[Device]
    users: list[str]
    group: str
    conversation: str
    most: int
    over: asyncio.Event = field(default_factory=asyncio.Event)
    unanswered: dict[str, tuple[Device, Frame]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def recipients(self, device: Device, payload: Frame) -> list[Device]:
        to = payload.get("receiver_id")
        return [other for other in self.devices if (other.user == to if to else other.user != device.user)]

    def breaks(self, what: str) -> None:
        self.broken.append(what)
        self.over.set()


class Visit:
    """One connection of a device."""

    def __init__(self, world: World, device: Device, socket: ClientConnection) -> None:
        self.world, self.device, self.socket, self.rng = world, device, socket, device.rng
        self.acked: list[str] = []  # not known to be stored yet
        self.asked: deque[list[str]] = deque()  # those that the answer to a heartbeat will confirm
        self.nap = 0.0
        self.thorough = False  # whether every message is acknowledged

    async def say(self, kind: str, payload: Frame | None = None, message_id: str | None = None) -> None:
        frame: Frame = {"type": kind}
        if message_id is not None:
            frame["message_id"] = message_id
        if payload is not None:
            frame["payload"] = payload
        text = json.dumps(frame)
        half = len(text) // 2
        await self.socket.send([text[:half], text[half:]] if self.rng.random() < 0.05 else text)

    async def listen(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for data in self.socket:
                await self.hear(json.loads(data))
                if self.nap:
                    nap, self.nap = self.nap, 0.0
                    await asyncio.sleep(nap)

    async def hear(self, frame: Frame) -> None:
        kind, message_id, world = frame["type"], frame.get("message_id"), self.world
        world.counts[kind] += 1
        if kind in ("deliver", "group_message"):
            await self.take(message_id or frame["payload"]["message_id"])
        elif kind == "sent_ack" and message_id in world.unanswered:
            for other in world.recipients(*world.unanswered.pop(message_id)):
                if message_id not in other.got and message_id not in other.done:
                    other.owed.add(message_id)
        elif kind == "heartbeat_ack":
            confirmed = self.asked.popleft()
            self.device.done.update(confirmed)
            self.device.got.difference_update(confirmed)
        elif kind == "error" and frame["payload"]["error_code"] == "server_error":
            world.breaks(f"the server failed: {frame['payload']['message']}")
        elif kind == "error" and frame["payload"]["error_code"] == "rate_limited":
            await self.socket.close()  # which of the frames were not taken is not to be known

    async def take(self, message_id: str) -> None:
        device = self.device
        if message_id in device.done:
            self.world.breaks(f"{message_id} came again to {device.id}, which had acknowledged it")
        device.owed.discard(message_id)
        device.got.add(message_id)
        chance = self.rng.random()
        if self.thorough or chance < 0.75:
            await self.say("delivery_ack", message_id=message_id)
        elif chance < 0.9:
            await self.say("read_receipt", {"message_ids": [message_id]})
        else:
            return  # it comes again with the next connection
        self.acked.append(message_id)

    # --- what a client may do ---

    async def write(self) -> None:
        payload: Frame = {
            "ciphertext": "q83v" * self.rng.choice((1, 20, 58, 58, 2000)),
            "message_type": "text",
        }
        if self.rng.random() < 0.95:
            payload["receiver_id"] = self.other()
        else:
            payload["group_id"] = self.world.group
        message_id = str(uuid.UUID(int=self.rng.getrandbits(128), version=4))
        await self.post(message_id, payload)

    async def post(self, message_id: str, payload: Frame) -> None:
        world = self.world
        if world.counts["send"] >= world.most:
            world.over.set()
            return
        world.counts["send"] += 1
        # Noted first: the message may be there even if its acknowledgement never comes.
        world.unanswered[message_id] = (self.device, payload)
        await self.say("send", payload, message_id)

    async def flood(self) -> None:
        for _ in range(self.rng.randint(50, 150)):
            await self.write()

    async def check(self) -> None:
        self.asked.append(self.acked)
        self.acked = []
        await self.say("heartbeat")

    async def read_slowly(self) -> None:
        self.nap = self.rng.uniform(0.5, 5)

    async def talk_nonsense(self) -> None:
        nonsense = self.rng.choice(NONSENSE)
        await self.socket.send(nonsense, text=True if nonsense == b"\xff\xfe" else None)

    async def type(self) -> None:
        typing = {"conversation_id": self.world.conversation, "is_typing": self.rng.random() < 0.5}
        await self.say("typing", typing)

    async def be(self) -> None:
        await self.say("presence", {"status": self.rng.choice(("online", "away"))})

    async def call(self) -> None:
        kind = self.rng.choice(("call_offer", "call_answer", "call_reject", "call_busy", "call_end"))
        payload: Frame = {"target_id": self.other()}
        if kind in ("call_offer", "call_answer"):
            payload["sdp"] = _SDP
        if kind == "call_offer":
            payload["call_type"] = "audio"
        await self.say(kind, payload)

    def other(self) -> str:
        return self.rng.choice(self.world.users)


ACTIONS: dict[Callable[[Visit], Awaitable[None]], int] = {
    Visit.write: 60, Visit.check: 15, Visit.type: 8, Visit.call: 8, Visit.talk_nonsense: 4, Visit.be: 3,
    Visit.read_slowly: 1, Visit.flood: 1,
}  # fmt: skip


async def visit(world: World, device: Device) -> None:
    """Connect, do this and that, and go, politely or not."""
    rng = device.rng
    async with opened(world, device) as (here, listening):
        deadline = time.monotonic() + rng.expovariate(1 / 8)
        with contextlib.suppress(ConnectionClosed):
            lost = [(key, payload) for key, (by, payload) in world.unanswered.items() if by is device]
            for message_id, payload in lost[:50]:
                await here.post(message_id, payload)
            while time.monotonic() < deadline and not world.over.is_set() and not listening.done():
                (action,) = rng.choices(list(ACTIONS), list(ACTIONS.values()))
                await action(here)
                await asyncio.sleep(rng.expovariate(1 / 0.08))
            if rng.random() < 0.5:
                here.socket.transport.abort()


@contextlib.asynccontextmanager
async def opened(world: World, device: Device) -> Any:
    token = mint(user_id=device.user, device_id=device.id, key=SECRET)
    world.counts["connections"] += 1
    async with connect(
        f"{world.url}?token={token}", compression=None, proxy=None, ping_interval=None, close_timeout=2
    ) as socket:
        here = Visit(world, device, socket)
        listening = asyncio.create_task(here.listen())
        try:
            yield here, listening
        finally:
            listening.cancel()
            await asyncio.wait([listening])


async def live(world: World, device: Device) -> None:
    """Come and go until it is over."""
    while not world.over.is_set():
        try:
            await visit(world, device)
        except InvalidStatus as error:
            why = (error.response.body or b"").decode(errors="replace").strip()
            world.breaks(f"the server lets {device.id} in no more: {error}: {why}")
        except (OSError, ConnectionClosed) as error:
            world.counts[type(error).__name__] += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(world.over.wait(), device.rng.expovariate(1 / 2))


async def settle(world: World, device: Device) -> None:
    """Fetch all that is owed to a device, acknowledge it, and see that none of it comes again."""
    for thorough in (True, False):
        async with opened(world, device) as (here, listening):
            here.thorough = thorough
            with contextlib.suppress(TimeoutError, ConnectionClosed):
                async with asyncio.timeout(60):
                    await until(lambda: not device.owed and not listening.done())
                    await here.check()  # answered after what waited
                    await until(lambda h=here: not h.asked)
    if device.owed:
        world.breaks(f"{len(device.owed)} messages acknowledged to their senders never came to {device.id}")


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def watch(world: World, target: Target, seconds: float, samples: list[tuple[float, float]]) -> None:
    """Note the server's memory (MB) as time (minutes) goes by, and end it all in the end."""
    begun = time.monotonic()
    while not world.over.is_set():
        now = time.monotonic() - begun
        samples.append((now / 60, target.rss() / 1e6))
        if len(samples) % 60 == 1:
            counts = world.counts
            print(
                f"{now:6.0f} s {samples[-1][1]:7.1f} MB  sent {counts['send']}, acknowledged"
                f" {counts['sent_ack']}, delivered {counts['deliver'] + counts['group_message']}",
                flush=True,
            )
        if now >= seconds:
            world.over.set()
        await asyncio.sleep(0.5)


async def soak(target: Target, control_url: str, arguments: argparse.Namespace) -> bool:
    """All of it; whether every promise was kept."""
    rng = random.Random(arguments.seed)

    def new_id() -> str:
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))

    users = [new_id() for _ in range(arguments.users)]
    devices = [Device(user, new_id(), random.Random(rng.random())) for user in users for _ in range(2)]
    for user in users:
        mine = [device.id for device in devices if device.user == user]
        control(control_url, "create_user", user_id=user, devices=mine)
    group = control(control_url, "create_group", members=users)["group_id"]
    conversation = control(control_url, "conversation", group_id=group)["conversation_id"]
    world = World(target.url, devices, users, group, conversation, arguments.messages)
    samples: list[tuple[float, float]] = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch(world, target, arguments.seconds, samples))
        for device in devices:
            tasks.create_task(live(world, device))
    await asyncio.gather(*(settle(world, device) for device in devices))
    report(world, samples)
    return not world.broken


def report(world: World, samples: list[tuple[float, float]]) -> None:
    warm, late = (
        [sample for sample in samples if sample[0] >= samples[-1][0] * part] for part in (1 / 3, 2 / 3)
    )
    counts = world.counts
    for kind, count in sorted(counts.items()):
        print(f"{count:9} {kind}")
    print(f"{len(world.unanswered):9} sends whose answer was lost with the connection")
    print(f"{sum(len(device.done) for device in world.devices):9} acknowledged by a device for certain")
    sizes = [size for _, size in samples]
    print(f"memory: {sizes[0]:.1f} MB at first, {warm[0][1]:.1f} when warm, {sizes[-1]:.1f} at last")
    for part, when in ((warm, "after the first third"), (late, "in the last third")):
        if len(part) > 1:
            slope = statistics.linear_regression(*zip(*part, strict=True)).slope
            print(f"slope {when}: {slope:+.2f} MB/min")
    for what in world.broken:
        print(f"BROKEN: {what}")
    print("broken" if world.broken else "every promise was kept")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--messages", type=int, default=300_000)
    parser.add_argument("--users", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--remembered", type=int, default=20_000, help="messages that the server remembers")
    arguments = parser.parse_args()
    # Memory can only be flat once as much is remembered as may be, which is a million by default.
    os.environ["RELAYKIT_SERVE_REMEMBERED_MESSAGES"] = str(arguments.remembered)
    with new_store() as store:
        ready, key = Path(store).with_name("ready.json"), Path(store).with_name("control")
        key.write_text(CONTROL)
        limits = ("--limits", "burst=5000", "--limits", "frames_per_second=1000")
        more = (*limits, "--control-port", "0", "--control-token-file", str(key), "--ready-file", str(ready))
        with started(*reference(store, *more)) as target:
            while not ready.exists():
                time.sleep(0.01)
            control_url = json.loads(ready.read_text())["control_url"]
            kept = asyncio.run(soak(target, control_url, arguments))
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
