"""Who keeps a limit of connections or waiting messages that the target file does not state is not accused."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fixtures.fakes import Minimal, Peer, minimal
from support.server import new_id
from support.suite import QUICK, all_cases, by_id, judge, make_target, scenario_cases

from relaykit.conformance.record import Entry
from relaykit.conformance.restraint import RATE, Restraint
from relaykit.conformance.results import CaseResult, Verdict
from relaykit.conformance.stops import UntestableError
from relaykit.conformance.unstated import unstated
from relaykit.schemas import load_catalogue

HEAD = """
- id: it
  title: Something arrives
  area: messages
  catches: Nothing, it is for a test.
  actors: {alice: {}, bob: {devices: [phone, tablet]}}
  vars: {%s}
  steps:
"""
TABLET = "    - connect: {as: bob.tablet, req: AUTH-01}\n"
BOTH = "    - connect: {as: bob.phone}\n" + TABLET


def sends(count: int) -> str:
    steps = ""
    for number in range(count):
        payload = '{receiver_id: "${bob.id}", ciphertext: "eA==", message_type: text}'
        name = f'message_id: "${{m{number}}}"'
        steps += f"    - send: {{as: alice, frame: {{type: send, {name}, payload: {payload}}}}}\n"
        steps += f"    - expect: {{as: alice, frame: {{type: sent_ack, {name}}}, req: MSG-12}}\n"
    return steps


def run(tmp_path: Path, server: Minimal, *steps: str, count: int = 1, **stated: Any) -> CaseResult:
    path = tmp_path / "s.yaml"
    path.write_text(HEAD % ", ".join(f"m{number}: uuid" for number in range(count)) + "".join(steps))

    async def main() -> CaseResult:
        async with server.running() as url:
            result = await judge(make_target(url, timing=QUICK, **stated), scenario_cases(path))
        return by_id(result)["it"]

    return asyncio.run(main())


@dataclass
class Full(Minimal):
    """Refuses what is one too many with this code, in a frame that may name no message."""

    code: str = "invalid_message"
    named: bool = True

    async def error(self, socket: Any, code: str, message_id: str | None = None) -> None:
        code = self.code if code == "rate_limited" else code
        await super().error(socket, code, *([message_id] if self.named and message_id else []))


@dataclass
class Ends(Minimal):
    """Lets few connections of a user stay: the others get `rate_limited` and end."""

    most: int = 1

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        earlier = [each for each in self.peers if each.user == peer.user]
        if peer in earlier[self.most :]:
            await self.error(peer.socket, "rate_limited")
            await peer.socket.close(1008)
        else:
            await super().frame(peer, data)


@pytest.mark.parametrize(
    ("server", "how"),
    [
        (lambda most: minimal(limits={"connections_per_user": most}), "with HTTP 429"),
        (lambda most: Ends(most=most), "ends a further one with rate_limited"),
    ],
)
def test_a_further_connection_may_be_one_too_many(tmp_path: Path, server: Any, how: str) -> None:
    found = run(tmp_path, server(1), BOTH)
    assert found.verdict is Verdict.UNTESTABLE, found.findings
    assert how in found.reason
    assert "state limits.connections_per_user in the target file" in found.reason
    assert run(tmp_path, server(2), BOTH).verdict is not Verdict.UNTESTABLE
    # Who has stated a larger one does not keep it.
    stated = run(tmp_path, server(1), BOTH, limits={"connections_per_user": 4})
    assert stated.verdict is Verdict.FAIL


def test_a_first_connection_is_never_one_too_many_nor_is_one_that_is_refused_for_something_else() -> None:
    restraint = Restraint(make_target("ws://127.0.0.1:1/ws"), all_cases("message-life")[0])
    restraint.refused(0, 429)
    restraint.refused(1, 401)
    with pytest.raises(UntestableError):
        restraint.refused(1, 429)


def test_a_connection_that_was_cut_may_still_be_one(tmp_path: Path) -> None:
    @dataclass
    class Slow(Minimal):
        """Lets nobody come back: it takes who went for still there."""

        def answer(self, connection: Any, request: Any) -> Any:
            early = super().answer(connection, request)
            users = [(self.claims(each) or {}).get("sub") for each in self.handshakes]
            again = len(set(users)) > 2 and users.count(users[-1]) > 2  # who is tried out comes before
            return connection.respond(429, "too many\n") if again else early

    for abort, verdict in (("true", Verdict.UNTESTABLE), ("false", Verdict.FAIL)):
        drops = [f"    - drop: {{as: bob.{each}, abort: {abort}}}\n" for each in ("phone", "tablet")]
        found = run(tmp_path, Slow(), *drops, TABLET)
        assert found.verdict is verdict, (abort, found.reason, found.findings)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("code", ["invalid_message", "rate_limited", "server_error"])
def test_a_message_may_be_refused_to_somebody_for_whom_many_wait(
    tmp_path: Path, code: str, named: bool
) -> None:
    server = Full(limits={"waiting_per_user": 8}, code=code, named=named)
    found = run(tmp_path, server, BOTH, sends(10), count=10)
    assert found.verdict is Verdict.UNTESTABLE, found.findings
    assert f"refuses a message with {code} while many wait" in found.reason
    assert "state limits.waiting_per_user in the target file" in found.reason
    server = Full(limits={"waiting_per_user": 8}, code=code, named=named)
    stated = run(tmp_path, server, BOTH, sends(10), count=10, limits={"waiting_per_user": 100})
    assert stated.verdict is Verdict.FAIL


@pytest.mark.parametrize("most", [0, 7])
def test_no_message_is_refused_while_few_wait(tmp_path: Path, most: int) -> None:
    found = run(tmp_path, Full(limits={"waiting_per_user": most}), BOTH, sends(10), count=10)
    assert found.verdict is Verdict.FAIL


def test_what_was_acknowledged_does_not_wait(tmp_path: Path) -> None:
    acks = "".join(
        f'    - send: {{as: bob.{device}, frame: {{type: delivery_ack, message_id: "${{m{number}}}"}}}}\n'
        for number in range(9)
        for device in ("phone", "tablet")
    )

    @dataclass
    class Tired(Full):
        """Refuses the tenth message, whatever waits."""

        async def send(self, peer: Peer, frame: dict[str, Any]) -> None:
            if self.sends >= 9:
                await self.error(peer.socket, "invalid_message", frame["message_id"])
            else:
                await super().send(peer, frame)

    last = sends(10)[len(sends(9)) :]
    found = run(tmp_path, Tired(), BOTH, sends(9), last, count=10)
    assert found.verdict is Verdict.UNTESTABLE
    assert run(tmp_path, Tired(), BOTH, sends(9), acks, last, count=10).verdict is Verdict.FAIL


def test_derived_cases_say_what_to_state_as_well() -> None:
    many = "derived/read_receipt/payload.message_ids/at-maxItems"
    other = "derived/heartbeat/envelope/in-array"

    async def main(server: Minimal, *names: str) -> list[CaseResult]:
        async with server.running() as url:
            target = make_target(url, timing={**QUICK, "case_s": 20})
            found = by_id(await judge(target, [case for name in names for case in all_cases(name)]))
        return [found[name] for name in names]

    for server, names, limit in (
        (minimal(limits={"connections_per_user": 1}), (many, other), "connections_per_user"),
        (Ends(), (many, other), "connections_per_user"),
        (Full(limits={"waiting_per_user": 20}), (many,), "waiting_per_user"),
    ):
        for each in asyncio.run(main(server, *names)):
            assert each.verdict is Verdict.UNTESTABLE, each.findings
            assert f"state limits.{limit}" in each.reason


FRESH = {"receiver_id": new_id(), "ciphertext": "eA==", "message_type": "text"}


@pytest.mark.parametrize(
    ("limits", "code", "sent", "found"),
    [
        ((), "rate_limited", {}, True),
        (RATE, "rate_limited", {}, False),  # what is said of the rate is judged where that is the subject
        (RATE, "invalid_message", {}, True),
        ((), "invalid_message", {"message_id": "m0"}, False),  # it was accepted: nothing more comes to wait
        ((), "invalid_message", {"payload": {**FRESH, "ciphertext": 5}}, False),
        ((), "invalid_message", None, False),  # the error is for what was sent in its place
    ],
)
def test_which_refusal_may_be_for_what_waits(
    limits: tuple[str, ...], code: str, sent: dict[str, Any] | None, found: bool
) -> None:
    names = {f"m{number}": new_id() for number in range(9)}
    lines = []
    for name in list(names.values())[:8]:
        lines.append(("c2s", {"type": "send", "message_id": name, "payload": FRESH}))
        lines.append(("s2c", {"type": "sent_ack", "message_id": name}))
    last = {"type": "send", "message_id": "m8", "payload": FRESH, **(sent or {})}
    last["message_id"] = names[last["message_id"]]
    lines += [("c2s", last), *([("c2s", {"type": "nonsense"})] if sent is None else [])]
    lines.append(("s2c", {"type": "error", "payload": {"error_code": code}}))
    context: Any = SimpleNamespace(
        case=SimpleNamespace(limits=frozenset(limits), kind="derived"),
        env=SimpleNamespace(target=SimpleNamespace(stated=frozenset()), catalogue=load_catalogue()),
        recorder=SimpleNamespace(
            transcript=SimpleNamespace(entries=[Entry(1.0, "alice", way, frame) for way, frame in lines])
        ),
        users={},
        further=[],
    )
    assert (unstated(context) is not None) == found
