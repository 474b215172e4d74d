"""A correct server whose users are given beforehand (`tokens.identities`): nobody is blamed for the past."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Sequence
from typing import Any

import pytest
from support.control import TOKEN, bench
from support.server import SECRET, message
from support.suite import PATIENT, all_cases, by_id, every_case, judge, make_target

from relaykit.conformance.cases import select
from relaykit.conformance.fresh import needs_fresh
from relaykit.conformance.results import Case, RunResult, Verdict
from relaykit.conformance.target import Target
from relaykit.schemas import load_catalogue
from relaykit.tokens import mint

pytestmark = pytest.mark.xdist_group("shared users")  # one worker plays what several tests look at

PEOPLE = (2, 2, 2, 1, 1)
"""Devices of each user."""
SAMPLE = 80
"""Every so manieth derived case: one by one, all of them take minutes."""
TIMING = {**PATIENT, "quiet_ms": 5}
"""Here what comes has come before the next heartbeat is answered."""


def identities(people: Sequence[int] = PEOPLE) -> list[dict[str, Any]]:
    users = []
    for number, count in enumerate(people, 1):
        user = f"00000000-0000-4000-8000-{number:012d}"
        devices = [f"00000000-0000-4000-9000-{number:06d}{device:06d}" for device in range(count)]
        tokens = {d: mint(user_id=user, device_id=d, key=SECRET, lifetime_s=86_400) for d in devices}
        listed = [{"device_id": device, "token": {"value": token}} for device, token in tokens.items()]
        users.append({"user_id": user, "devices": listed})
    return users


def target(url: str, control_url: str | None, people: Sequence[int] = PEOPLE) -> Target:
    protocol = load_catalogue().protocol
    more: dict[str, Any] = {}
    if control_url is not None:
        more["control"] = {"http": {"url": control_url, "token": {"value": TOKEN}}}
    return make_target(
        url,
        timing=TIMING,
        tokens={"identities": identities(people)},
        capabilities=dict.fromkeys(protocol.capabilities, True),
        limits={name: limit.default for name, limit in protocol.limits.items() if not limit.fixed},
        legacy={"query": "frames=1"},
        **more,
    )


def sample() -> tuple[Case, ...]:
    """All of the profile `full`, but of the many derived cases some."""
    chosen = select(load_catalogue(), every_case(), profile="full")
    derived = [case for case in chosen if case.kind == "derived"]
    return (*(case for case in chosen if case.kind != "derived"), *derived[::SAMPLE])


@functools.cache
def runs(control: bool) -> Sequence[RunResult]:
    """Two runs, one after the other, against one server; without a control interface one is enough."""

    async def main() -> list[RunResult]:
        async with bench() as server:
            url = server.server.server.control_url if control else None
            described = target(server.server.url, url)
            count = 2 if control else 1
            return [await judge(described, sample(), seed=f"run {number}") for number in range(count)]

    return asyncio.run(main())


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("control", "number"), [(True, 1), (True, 2), (False, 1)])
def test_a_correct_server_with_given_users_has_no_failure(control: bool, number: int) -> None:
    result = runs(control)[number - 1]
    wrong = (Verdict.FAIL, Verdict.ERROR)
    bad = {c.case.id: [f.message for f in c.findings] for c in result.cases if c.verdict in wrong}
    assert not bad
    assert result.count(Verdict.PASS) > 200


def test_what_cannot_be_shown_with_given_users_is_never_passed() -> None:
    known = {case.id: case for case in every_case()}
    reasons = {c.case.id: c.reason for c in runs(True)[1].cases if c.verdict is Verdict.UNTESTABLE}
    for name, said in (
        ("presence-hidden-from-strangers", "users who have never met"),
        ("server-only-notices", "users who have never met"),
        ("contacts-by-writing", "users who have never met"),
        ("presence-status-ends", "users who have never met"),
        ("served-from-first-use", "a device that the target has never seen"),
        ("new-device-without-backlog", "a device that the target has never seen"),
        ("first-device-gets-all", "a device that the target has never seen"),
        ("device-revoked", "users to use up"),
        ("device-denied", "users to use up"),
        ("silence-times-out", "users to use up"),
    ):
        assert said in reasons[name], (name, reasons.get(name))
        assert "tokens.mint or tokens.fetch" in reasons[name]
        assert needs_fresh(load_catalogue(), known[name]) == reasons[name]
    # What makes its people contacts itself is judged, and so is what passes notices over.
    for name in ("presence-of-a-broken-connection", "message-life", "group-conversation"):
        assert needs_fresh(load_catalogue(), known[name]) is None


def test_users_with_many_devices_are_kept_for_who_needs_them() -> None:
    async def main() -> RunResult:
        async with bench() as server:
            described = target(server.server.url, None, people=(2, 1))
            return await judge(described, all_cases("not-delivered-before-the-ack"))

    assert by_id(asyncio.run(main()))["not-delivered-before-the-ack"].verdict is Verdict.PASS


def test_what_an_earlier_run_left_behind_is_taken_in_first() -> None:
    """A message that waits, and the status that its acknowledgment makes wait for its sender."""

    names = ("message-life", "read-once", "delivered-once")

    async def main() -> RunResult:
        async with bench() as server:
            described = target(server.server.url, None)
            first, second = (user["user_id"] for user in identities()[-2:])
            devices = {user["user_id"]: user["devices"][0]["device_id"] for user in identities()}
            peer = await server.server.connect(first, devices[first])
            for number in range(3):
                await peer.send(message(second, f"00000000-0000-4000-a000-{number:012d}"))
                await peer.expect("sent_ack")
            await peer.close()
            return await judge(described, all_cases(*names))

    found = by_id(asyncio.run(main()))
    assert {name: found[name].verdict for name in names} == dict.fromkeys(names, Verdict.PASS)
