"""What connections cost the reference server: memory of idle ones, CPU of accepting one, a large group.

    python benchmarks/server_connections.py [--idle 2000] [--repeat 3] [--crowd 5000] [--members 1000]

Memory and CPU are the server process's own, beside those of a stock `websockets` server that verifies the
same token (compression off in both). Connections are opened one after the other, by devices that have been
there before: accepting is all the server does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import time
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from server_client import Client, Target, connect, masked, new_store, reference, started, stock

CONTROL = "control-token-of-the-benchmarks"
COMMANDS = {
    "stock": stock("accept"),
    "relaykit": reference(":memory:"),
}


@dataclass
class Cost:
    """KiB per idle connection, and µs of CPU to accept one."""

    memory: float
    cpu: float


async def idle(target: Target, count: int) -> Cost:
    """Open connections and leave them alone."""
    devices = [(str(uuid.uuid4()), str(uuid.uuid4())) for _ in range(count)]
    for device in devices:
        (await connect(target, *device)).transport.abort()
    clients = [await connect(target, *device) for device in devices[: count // 2]]
    rss, cpu = target.rss(), target.cpu()
    clients += [await connect(target, *device) for device in devices[count // 2 :]]
    opened = count - count // 2
    cost = Cost((target.rss() - rss) / opened / 1024, (target.cpu() - cpu) / opened * 1e6)
    for client in clients:
        client.transport.abort()
    return cost


def control(url: str, operation: str, **request: object) -> dict[str, Any]:
    """One operation of the control interface; its answer."""
    headers = {"Authorization": f"Bearer {CONTROL}", "Content-Type": "application/json"}
    body = json.dumps(request).encode()
    call = urllib.request.Request(f"{url}/{operation}", body, headers)
    with urllib.request.urlopen(call) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


@dataclass
class Crowd:
    """A group message to many: seconds to connect them, and ms until its acknowledgement, until the last
    member has it, and of CPU (medians of 10, store on the disk)."""

    opened: float
    ack: float
    whole: float
    cpu: float


async def crowd(target: Target, control_url: str, count: int, members: int) -> Crowd:
    """A group message to `members` of `count` idle connections, repeated."""
    users = [str(uuid.uuid4()) for _ in range(count)]
    clients: list[Client] = []
    begun = time.perf_counter()
    for start in range(0, count, 50):
        clients += await asyncio.gather(*(connect(target, user) for user in users[start : start + 50]))
    opened = time.perf_counter() - begun
    group = f"group-{uuid.uuid4()}"
    await asyncio.to_thread(
        control, control_url, "create_group", group_id=group, members=users[: members + 1]
    )
    sender, others = clients[0], clients[1 : members + 1]
    acks, all_, cpus = [], [], []
    for _ in range(10):
        payload = {"group_id": group, "ciphertext": "q83v" * 58, "message_type": "text"}
        frame = {"type": "send", "message_id": str(uuid.uuid4()), "payload": payload}
        for other in others:
            other.await_frames(1)
        begun, used = time.perf_counter(), target.cpu()
        sender.begin([masked(json.dumps(frame).encode())], 1, 1)
        await sender.finished
        acks.append(time.perf_counter() - begun)
        await asyncio.gather(*(other.finished for other in others))
        all_.append(time.perf_counter() - begun)
        cpus.append(target.cpu() - used)
    ack, whole, cpu = (statistics.median(values) * 1e3 for values in (acks, all_, cpus))
    for client in clients:
        client.transport.abort()
    return Crowd(opened, ack, whole, cpu)


def measure_crowd(count: int, members: int) -> Crowd:
    """Start a server with its control interface, and let `crowd` run."""
    with new_store() as store:
        ready = Path(store).with_name("ready.json")
        key = Path(store).with_name("control")
        key.write_text(CONTROL)
        more = ("--control-port", "0", "--control-token-file", str(key), "--ready-file", str(ready))
        with started(*reference(store, *more)) as target:
            while not ready.exists():
                time.sleep(0.01)
            control_url = json.loads(ready.read_text())["control_url"]
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                return runner.run(crowd(target, control_url, count, members))


def measure_idle(count: int, repeat: int) -> dict[str, Cost]:
    """What a connection costs each server: medians."""
    costs: dict[str, list[Cost]] = {name: [] for name in COMMANDS}
    for _ in range(repeat):
        for name, command in COMMANDS.items():
            with started(*command) as target, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                costs[name].append(runner.run(idle(target, count)))
    return {
        name: Cost(statistics.median(one.memory for one in all_), statistics.median(one.cpu for one in all_))
        for name, all_ in costs.items()
    }


def raise_limit() -> None:
    """Let this process and those that it starts have as many open files as may be."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--idle", type=int, default=2000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--crowd", type=int, default=5000)
    parser.add_argument("--members", type=int, default=1000)
    arguments = parser.parse_args()
    raise_limit()
    costs = measure_idle(arguments.idle, arguments.repeat)
    print(f"{'':12}{'KiB per idle connection':>26}{'× stock':>9}{'µs per accept':>16}{'× stock':>9}")
    for name in COMMANDS:
        cost, base = costs[name], costs["stock"]
        ratio, accept = cost.memory / base.memory, cost.cpu / base.cpu
        print(f"{name:12}{cost.memory:26.1f}{ratio:9.2f}{cost.cpu:16.0f}{accept:9.2f}")
    result = measure_crowd(arguments.crowd, arguments.members)
    print(f"{arguments.crowd} connections in {result.opened:.1f} s.")
    print(f"A group message to {arguments.members} of them: acknowledged after {result.ack:.0f} ms, with all")
    print(
        f"members after {result.whole:.0f} ms, {result.cpu:.0f} ms of CPU (medians of 10, store on the disk)"
    )


if __name__ == "__main__":
    main()
