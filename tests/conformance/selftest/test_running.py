"""How defects are chosen and put to the suite, and how their servers are started."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from support.suite import every_case

from relaykit.conformance.launch import free_port, free_ports, launched
from relaykit.conformance.selftest.nursery import nursery
from relaykit.conformance.selftest.running import Plan
from relaykit.conformance.selftest.seeded import PROGRAM, Listing, Seeded, Setup, prepare, some_of
from relaykit.errors import KitDefect
from relaykit.schemas import load_catalogue

CATALOGUE = load_catalogue()
AREAS = ("calls", "groups", "messages", "typing")
MANY = tuple(
    Seeded(f"{area}-{number}", "It is wrong.", area, ("MSG-12",), "standard")
    for area, count in zip(AREAS, (40, 3, 60, 1), strict=True)
    for number in range(count)
)


def plan(folder: Path, *, full: bool = False) -> Plan:
    listing = Listing(PROGRAM, MANY, {})
    return Plan(CATALOGUE, listing, every_case(), full, 2, 1.0, folder, "seed")


def test_a_sample_is_of_different_areas_and_the_seed_decides_it() -> None:
    four = some_of(MANY, 4, "x")
    assert {each.area for each in four} == set(AREAS)
    assert some_of(MANY, 4, "x") == four
    assert any(some_of(MANY, 4, str(number)) != four for number in range(5))
    assert len(some_of(MANY, 50, "x")) == 50
    assert some_of(MANY, 1000, "x") == MANY


def test_ports_that_were_chosen_once_are_not_chosen_again(tmp_path: Path) -> None:
    """Whoever got one need not listen there yet."""
    target = {"url": "ws://127.0.0.1:{port}/ws", "tokens": {"mint": {"secret": {"env": "KEY"}}}}
    listing = Listing(PROGRAM, (), {"plain": Setup({"port": "{port}"}, target, {}, True)})
    taken: set[int] = set()
    for times in (1, 2):
        server = prepare(listing, "sound", "plain", tmp_path, {"KEY": "k" * 32}, {}, taken)
        assert len(taken) == 2 * times
        assert urlsplit(server.target.url).port in taken


def test_the_narrowest_claims_come_first_and_all_claims_before_the_end(tmp_path: Path) -> None:
    defect = Seeded("lenient", "All is taken.", "validation", ("VAL-08",), "standard")
    rounds = plan(tmp_path).against(defect)
    claiming = {case.id for case in every_case() if "VAL-08" in case.requirements}
    assert len(rounds[0].cases) < len(claiming)
    assert any(case.id in claiming for case in rounds[0].cases)
    assert claiming <= {case.id for each in rounds for case in each.cases}
    assert len(plan(tmp_path, full=True).against(defect)) == 1


def test_what_frames_prove_by_their_shape_is_tried_where_such_frames_come(tmp_path: Path) -> None:
    defect = Seeded("offer-halved", "A call_offer lacks its sdp.", "calls", ("CALL-01",), "standard")
    first = plan(tmp_path).against(defect)[0]
    assert any(case.kind == "scenario" and "call_offer" in case.frames for case in first.cases)


def test_each_requirement_that_is_broken_has_cases_in_the_first_round(tmp_path: Path) -> None:
    two = Seeded("two", "Two things are wrong.", "messages", ("MSG-12", "TYP-04"), "standard")
    named = {name for case in plan(tmp_path).against(two)[0].cases for name in case.requirements}
    assert {"MSG-12", "TYP-04"} <= named


def command(name: str, port: int, folder: Path) -> str:
    config = folder / "server.yaml"
    config.write_text("keys: [{algorithm: HS256, secret: {env: RELAYKIT_SECRET}}]\n")
    return f"{' '.join(PROGRAM)} {name} --config {config} --port {port}"


def test_no_port_is_handed_out_twice() -> None:
    first = free_ports(200)
    assert len(set(first)) == 200
    assert not set(free_ports(200, set(first))) & set(first)


@pytest.mark.skipif(sys.platform != "linux", reason="servers are forked on Linux alone")
def test_forked_servers_are_processes_like_others(tmp_path: Path) -> None:
    async def scene() -> None:
        port = free_port()
        url, secret = f"ws://127.0.0.1:{port}/ws", {"RELAYKIT_SECRET": "x" * 40}
        async with nursery(PROGRAM, tmp_path) as start:
            line = command("no-sent-ack", port, tmp_path)
            async with launched(line, url, environment=secret, seconds=60, start=start) as server:
                assert "seeded defect no-sent-ack" in server.tail[0]
                before = server.memory_bytes()
                assert before is not None and before > 0
                server.kill()
                await server.end()
                assert server.ended == "was killed by SIGKILL"
                await server.restart()
                assert server.ended is None
            assert server.ended is not None
            wrong = await start((*PROGRAM, "no-such-defect"), secret)
            assert await wrong.wait() == 2
            assert wrong.stdout is not None
            assert b"there is no defect" in await wrong.stdout.read()

    asyncio.run(scene())


@pytest.mark.skipif(sys.platform != "linux", reason="servers are forked on Linux alone")
def test_no_forked_server_outlives_its_run(tmp_path: Path) -> None:
    async def scene() -> None:
        async with nursery(PROGRAM, tmp_path) as start:
            words = command("none", free_port(), tmp_path).split()
            left = await start(words, {"RELAYKIT_SECRET": "x" * 40})
        assert await left.wait() in (0, -signal.SIGTERM, -signal.SIGKILL)
        with pytest.raises(KitDefect, match="gone"):
            await start(words, {})

    asyncio.run(scene())
