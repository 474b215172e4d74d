"""Health, metrics, and the way out: what is counted, what it says, and that shutting down loses nothing."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.control import bench
from support.process import SECRET, ServerProcess, run
from support.raw import TEXT, Raw, encode, request
from support.server import Running, frame, in_loop, message, new_id, running_server

from relaykit.reference_server.connection import Connection
from relaykit.reference_server.counters import BOUNDS_S, Durations
from relaykit.schemas import load_catalogue
from relaykit.tokens import mint

HEARTBEAT = frame("heartbeat")


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def metrics(server: Running) -> dict[str, float]:
    """Samples by name and label value, as Prometheus reads them."""
    url = server.server.metrics_url
    assert url is not None
    status, text = await get(url)
    assert status == 200
    return {
        " ".join((sample.name.removeprefix("relaykit_"), *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def health(server: Running) -> str:
    assert server.server.metrics_url is not None
    return server.server.metrics_url.replace("/metrics", "/healthz")


@in_loop
async def test_what_is_counted() -> None:
    async with running_server(metrics_port=0) as server:
        alice, bob = await server.pair()
        sent = message(bob.user)
        await alice.send(sent, HEARTBEAT, "{", message("nobody"))
        await alice.expect("sent_ack")
        await alice.expect("heartbeat_ack")
        await alice.expect_error("invalid_message")
        await alice.receive()
        await bob.expect("deliver")
        raw = await Raw.open(server.port)
        assert (await raw.request("/ws?token=x")).status == 401
        assert (await raw.ended()) == b""
        found = await metrics(server)
        await raw.close()
    assert found["sessions"] == 2
    assert found["connections"] >= 2
    assert found["waiting_messages"] == 1
    assert found["frames_received_total send"] == 1
    assert found["frames_received_total heartbeat"] == 1
    assert found["frames_sent_total deliver"] == 1
    assert found["frames_sent_total error"] == found["errors_sent_total invalid_message"] == 2
    assert found["handshakes_refused_total 401"] == 1
    assert found["slow_readers_dropped_total"] == found["commits_failed_total"] == 0
    assert found["commit_seconds_count"] == found["commit_seconds_bucket +Inf"] >= 2
    assert found["commit_seconds_sum"] > 0
    assert found["unread_bytes"] == found["partial_bytes"] == 0
    assert found["process_resident_memory_bytes"] > 0


@in_loop
async def test_what_is_not_whole_is_shown_and_whom_the_bound_on_all_drops_is_counted() -> None:
    async with running_server(metrics_port=0, max_unread_bytes=65_536) as server:
        raw = await Raw.open(server.port)
        user = new_id()
        assert (await raw.request(f"/ws?token={server.token(user, new_id())}")).status == 101
        await raw.send(encode(TEXT, b"x" * 5000, fin=False))
        await server.until(lambda: server.app.partial > 0)
        assert (await metrics(server))["partial_bytes"] == 5000
        raw.writer.transport.pause_reading()
        (connection,) = server.app.connections
        narrow = connection._transport.get_extra_info("socket")
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        (session,) = server.app.hub.of_user(user)
        for _ in range(1000):
            if connection not in server.app.connections:
                break
            server.app.turn.send(session, b"x" * 50_000)
            await asyncio.sleep(0)
        await server.until(lambda: not server.app.connections)
        assert (await metrics(server))["slow_readers_dropped_total"] == 1
        await raw.close()


@in_loop
async def test_labels_are_the_catalogues_and_no_client_can_make_up_one() -> None:
    async with running_server(metrics_port=0, limits={"burst": 10_000}) as server:
        alice, _ = await server.pair()
        for number in range(100):
            await alice.send(frame(f"made_up_{number}"), frame("deliver"))
        for _ in range(200):
            await alice.expect("error")
        found = await metrics(server)
    types = {f"{d} {t}" for d, t in load_catalogue().frames}
    for name in found:
        if match := re.match(r"frames_(received|sent)_total (.*)", name):
            assert f"{'c2s' if match[1] == 'received' else 's2c'} {match[2]}" in types
    assert found["errors_sent_total invalid_message"] == 200
    assert alice.user not in str(found)


@in_loop
async def test_a_slow_reader_is_counted() -> None:
    limits = {"burst": 10_000, "frames_per_second": 10_000}
    async with running_server(metrics_port=0, max_outgoing_bytes=65536, limits=limits) as server:
        alice, bob = await server.pair()
        bob.socket.transport.pause_reading()
        async with asyncio.timeout(30):
            while server.app.hub.of_user(bob.user):
                await alice.send(*(message(bob.user, ciphertext="A" * 60_000) for _ in range(5)))
                for _ in range(5):
                    await alice.expect("sent_ack")
        assert (await metrics(server))["slow_readers_dropped_total"] == 1
        bob.socket.transport.abort()


@in_loop
async def test_health_while_the_store_fails_and_after() -> None:
    async with running_server(metrics_port=0) as server:
        alice, bob = await server.pair()
        assert await get(health(server)) == (200, '{"status":"ok"}')
        server.app.store.inject_fault(1)
        await alice.send(message(bob.user))
        await alice.expect("error")
        assert await get(health(server)) == (503, '{"status":"store failing"}')
        found = await metrics(server)
        assert found["commits_failed_total"] == 1
        assert "waiting_messages" not in found  # nobody knows
        await alice.send(message(bob.user))
        await alice.expect("sent_ack")
        assert await get(health(server)) == (200, '{"status":"ok"}')
        assert (await metrics(server))["waiting_messages"] == 1


@in_loop
async def test_the_control_interface_has_them_too_without_its_token() -> None:
    async with bench() as control:
        url = control.server.server.control_url
        assert await get(f"{url}/healthz") == (200, '{"status":"ok"}')
        status, text = await get(f"{url}/metrics")
        assert (status, "relaykit_sessions 0.0" in text) == (200, True)
        assert (await get(f"{url}/create_user"))[0] == 401


@in_loop
async def test_nothing_is_counted_for_nobody() -> None:
    async with running_server() as server:
        await server.connect()
        assert server.server.metrics_url is None
        assert [type(one) for one in server.app.connections] == [Connection]


def test_durations_fall_into_their_classes() -> None:
    durations = Durations()
    for seconds in (0.0, BOUNDS_S[0], BOUNDS_S[0] * 1.01, BOUNDS_S[-1], 99.0):
        durations.note(seconds)
    assert durations.counts == [2, 1, *(0,) * (len(BOUNDS_S) - 3), 1, 1]
    assert durations.total_s == pytest.approx(BOUNDS_S[0] * 2.01 + BOUNDS_S[-1] + 99)


# --- shutting down ---


@in_loop
async def test_a_drain_says_all_that_is_queued_and_takes_no_one_in() -> None:
    async with running_server(metrics_port=0, shutdown_timeout_s=60) as server:
        alice, bob = await server.pair()
        # Bob does not read, and so does not answer the close either: the drain lasts.
        bob.socket.transport.pause_reading()
        slow = await Raw.open(server.port)
        await server.until(lambda: len(server.app.connections) == 3)
        sent = [message(bob.user, ciphertext="A" * 1000) for _ in range(50)]
        await alice.send(*sent)
        for one in sent:
            await alice.expect("sent_ack", message_id=one["message_id"])
        port, stopping = server.port, asyncio.create_task(server.server.stop())
        await server.until(lambda: server.app.stopping)
        assert await get(health(server)) == (503, '{"status":"draining"}')
        assert (await alice.closed()).code == 1001
        assert (await slow.response()).status == 503  # it had not asked yet
        late = await Raw.open(server.port)
        token = server.token(new_id(), new_id())
        assert (await late.request(f"/ws?token={token}")).status == 503
        for raw in (slow, late):
            await raw.close()
        assert not stopping.done()
        bob.socket.transport.resume_reading()
        for one in sent:
            await bob.expect("deliver", message_id=one["message_id"])
        assert (await bob.closed()).code == 1001
        await stopping
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await Raw.open(port)


@in_loop
async def test_newcomers_do_not_prolong_a_drain() -> None:
    async with running_server(metrics_port=0, shutdown_timeout_s=60) as server:
        token = server.token(new_id(), new_id())
        raw = await Raw.open(server.port)
        await raw.request(f"/ws?token={token}")
        stopping = asyncio.create_task(server.server.stop())
        assert await raw.until_close() == 1001
        newcomer = await Raw.open(server.port)  # and says nothing
        await raw.send(encode(8, b"\x03\xe9"))
        await asyncio.wait_for(stopping, 5)
        assert await newcomer.ended() == b""
        for one in (raw, newcomer):
            await one.close()


@in_loop
async def test_a_signal_drains_the_process(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, "--metrics-port", "0", RELAYKIT_SERVE_SHUTDOWN_TIMEOUT_S="30") as server:
        raw = await Raw.open(server.port)
        token = mint(user_id=new_id(), device_id=new_id(), key=SECRET)
        await raw.request(f"/ws?token={token}")
        await raw.send(encode(TEXT, b'{"type":"heartbeat"}'))
        await raw.receive()
        shown = re.search(r"metrics: (http://127\.0\.0\.1:\d+)/metrics", server.log.read_text())
        assert shown is not None
        assert (await get(f"{shown[1]}/healthz"))[0] == 200
        server.signal(signal.SIGTERM)
        assert await raw.until_close() == 1001
        assert await get(f"{shown[1]}/healthz") == (503, '{"status":"draining"}')
        late = await Raw.open(server.port)
        await late.send(request(f"/ws?token={token}"))
        assert (await late.response()).status == 503
        await raw.send(encode(8, b"\x03\xe9"))
        assert await asyncio.to_thread(server.wait) == 0
        for one in (raw, late):
            await one.close()


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        result = run("serve", "--port", "0", "--metrics-port", str(server.port))
    assert (result.returncode, "give another --metrics-port" in result.stderr) == (2, True)
