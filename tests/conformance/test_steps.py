"""The verbs of the grammar, each against a server that does what the scenario tells it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fixtures import fakes
from support.suite import by_id, judge, make_target, scenario_cases

from relaykit.conformance.results import CaseResult, Verdict

TIMING = {"reply_ms": 1200, "quiet_ms": 120, "connect_ms": 2000, "case_s": 10}
HEAD = """\
- id: under-test
  title: A scenario that a test runs
  area: messages
  catches: Nothing at all, it is for a test.
  actors: {alice: {}, bob: {devices: [phone, laptop]}}
  vars: {m: uuid, n: uuid}
  steps:
"""
ID, OTHER = "0d9c2f0e-6b1c-4a8e-9d53-2f6f3c1b7a10", "1d9c2f0e-6b1c-4a8e-9d53-2f6f3c1b7a10"
TIME = "2025-12-04T07:00:00Z"


def ack(name: str = ID) -> dict[str, Any]:
    return {"type": "sent_ack", "message_id": name, "timestamp": TIME, "payload": {"status": "sent"}}


def status(state: str, name: str = ID) -> dict[str, Any]:
    return {"type": "status_update", "message_id": name, "timestamp": TIME, "payload": {"status": state}}


def error(code: str = "invalid_message") -> dict[str, Any]:
    payload = {"error_code": code, "message": "no", "timestamp": TIME, "reconnect": False}
    return {"type": "error", "payload": payload}


def do(who: str, what: str, *frames: dict[str, Any]) -> str:
    """A step in which somebody tells the server what to do."""
    text = f"{what} {json.dumps(list(frames))}" if frames else what
    return f"send: {{as: {who}, invalid: true, raw: {json.dumps(text)}}}"


def want(who: str, kind: str, more: str = "", req: str = "MSG-12", **options: Any) -> str:
    extra = "".join(f", {key}: {json.dumps(value)}" for key, value in options.items())
    return f"expect: {{as: {who}, frame: {{type: {kind}{more}}}, req: {req}{extra}}}"


def played(tmp_path: Path, *steps: str, head: str = HEAD, **more: Any) -> CaseResult:
    path = tmp_path / "s.yaml"
    path.write_text(head + "".join(f"    - {step}\n" for step in steps))

    async def main() -> CaseResult:
        async with fakes.sockets(fakes.Obedient().handle) as url:
            result = await judge(make_target(url, timing=TIMING, **more), scenario_cases(path))
        return by_id(result)["under-test"]

    return asyncio.run(main())


def messages(result: CaseResult) -> str:
    return " | ".join(finding.message for finding in result.findings)


PASSES = {
    "expect": [do("alice", "say", ack()), want("alice", "sent_ack")],
    "expect, in order": [
        do("alice", "say", ack(), status("read")),
        want("alice", "sent_ack"),
        want("alice", "status_update", ", payload: {status: read}"),
    ],
    "ambient frames are passed over": [
        do("alice", "say", {"type": "ping"}, {"type": "user_online"}, ack()),
        want("alice", "sent_ack"),
    ],
    "skip": [do("alice", "say", error(), error(), ack()), want("alice", "sent_ack", skip=True)],
    "every device": [do("alice", "tell", ack()), want("bob.*", "sent_ack")],
    "capture": [
        do("alice", "say", ack(OTHER), ack(OTHER.upper())),
        want("alice", "sent_ack", capture={"x": "/message_id"}),
        want("alice", "sent_ack", ', message_id: "${x}"'),
    ],
    "within": [
        do("bob.phone", f"later 800 {json.dumps([ack()])}"),
        want("alice", "sent_ack", within=3000),
    ],
    "unordered": [
        do("alice", "say", status("read"), ack()),
        f"unordered: [{{{want('alice', 'sent_ack')}}}, {{{want('alice', 'status_update')}}}]",
    ],
    "unordered over devices": [
        do("alice", "tell", ack()),
        f"unordered: [{{{want('bob.laptop', 'sent_ack')}}}, {{{want('bob.phone', 'sent_ack')}}}]",
    ],
    "any_of, first": [
        do("alice", "say", error()),
        f"any_of: [[{{{want('alice', 'error')}}}], [{{expect_close: {{as: alice, codes: [1003]}}}}]]",
    ],
    "any_of, a close": [
        do("alice", "close 1003"),
        f"any_of: [[{{{want('alice', 'error')}}}], [{{expect_close: {{as: alice, codes: [1003]}}}}]]",
        "none: {actors: [alice], req: MSG-20}",
    ],
    "any_of, nothing": [
        do("alice", "say []"),
        f"any_of: [[{{{want('alice', 'error')}}}], []]",
        "none: {actors: [alice], req: MSG-20}",
    ],
    "any_of, something rather than nothing": [
        do("alice", "say", error()),
        f"any_of: [[{{{want('alice', 'error')}}}], [{{none: {{actors: [alice]}}}}]]",
        "none: {actors: [alice], req: MSG-20}",
    ],
    "any_of, a single one": [
        do("alice", "say", error()),
        f"any_of: [[{{{want('alice', 'error')}}}, {{none: {{actors: [alice], req: MSG-20}}}}]]",
    ],
    "any_of over devices": [
        do("bob.phone", "tell", ack()),
        f"any_of: [[{{{want('bob.laptop', 'error')}}}], [{{{want('alice', 'sent_ack')}}}]]",
    ],
    "repeat": [
        do("alice", "say", ack(), ack(), ack()),
        f"repeat: {{n: 3, as: i, steps: [{{{want('alice', 'sent_ack')}}}]}}",
    ],
    "expect_close": [
        do("alice", "close 4001"),
        "expect_close: {as: alice, codes: [4000, 4001], req: MSG-12}",
    ],
    "expect_close passes over frames": [
        do("alice", "say", error()),
        do("alice", "close 1008"),
        "expect_close: {as: alice, req: MSG-12}",
    ],
    "a cut counts as 1006": [do("alice", "cut"), "expect_close: {as: alice, codes: [1006], req: MSG-12}"],
    "drop and connect": [
        "drop: {as: alice}",
        "connect: {as: alice}",
        do("alice", "say", ack()),
        want("alice", "sent_ack"),
    ],
    "abort": ["drop: {as: bob.*, abort: true}", do("alice", "say", ack()), want("alice", "sent_ack")],
    "none": [do("alice", "say", ack()), want("alice", "sent_ack"), "none: {actors: ['*'], req: MSG-20}"],
    "none with allowed frames": [
        do("alice", "tell", ack(), status("read")),
        "none: {actors: [bob], req: MSG-20,"
        " allow: [sent_ack, {type: status_update, payload: {status: read}}]}",
    ],
    "frames after none that are expected": [
        "none: {actors: [alice], req: MSG-20}",
        do("alice", "say", ack()),
        want("alice", "sent_ack"),
    ],
    "a frame that only should come, and comes late, before none": [
        do("bob.phone", f"later 300 {json.dumps([error()])}"),
        want("alice", "error", req="VAL-21", within=50),
        want("bob.laptop", "error", within=3000),
        "none: {actors: [alice], req: MSG-20}",
    ],
    "a frame that only should come, and comes late": [
        do("bob.phone", f"later 500 {json.dumps([error()])}"),
        want("alice", "error", req="VAL-21", within=50),
        do("bob.phone", f"later 700 {json.dumps([ack()])}"),
        want("alice", "sent_ack", within=3000),
    ],
}


@pytest.mark.parametrize("steps", PASSES.values(), ids=PASSES)
def test_these_pass(tmp_path: Path, steps: list[str]) -> None:
    result = played(tmp_path, *steps)
    late = "comes late" in "".join(name for name, value in PASSES.items() if value is steps)
    assert result.verdict is (Verdict.WARN if late else Verdict.PASS), result.findings


FAILS = {
    "nothing comes to the second of several": (
        [want("bob.*", "sent_ack")],
        "bob.laptop expected sent_ack; nothing came within 1.2 s",
    ),
    "nothing comes": ([want("alice", "sent_ack")], "alice expected sent_ack; nothing came within 1.2 s"),
    "another frame": (
        [do("alice", "say", error()), want("alice", "sent_ack")],
        "alice expected sent_ack, but got error invalid_message (no)",
    ),
    "another frame first": (
        [do("alice", "say", error(), ack()), want("alice", "sent_ack")],
        "expected sent_ack next, but got error invalid_message (no) before it",
    ),
    "almost": (
        [do("alice", "say", ack(OTHER)), want("alice", "sent_ack", f', message_id: "{ID}"')],
        "but got sent_ack: /message_id: is",
    ),
    "almost, with skip": (
        [
            do("alice", "say", error(), ack(OTHER)),
            want("alice", "sent_ack", f', message_id: "{ID}"', skip=True),
        ],
        "Nearest: sent_ack, /message_id",
    ),
    "the end instead": (
        [do("alice", "close 4002"), want("alice", "sent_ack")],
        "alice expected sent_ack, but closed (4002)",
    ),
    "a cut instead": ([do("alice", "cut"), want("alice", "sent_ack")], "but the connection was cut"),
    "one device of two": (
        [do("bob.laptop", "tell", ack()), want("bob.*", "sent_ack")],
        "bob.laptop expected sent_ack; nothing came",
    ),
    "one device of two, and who got it": (
        [do("bob.phone", "tell", ack()), want("bob.phone", "sent_ack")],
        "bob.phone expected sent_ack; nothing came within 1.2 s; alice got such a frame",
    ),
    "somebody else got nearly that": (
        [
            do("bob.phone", "tell", status("read")),
            want("bob.phone", "status_update", f', message_id: "{ID}", payload: {{status: delivered}}'),
        ],
        "nearest: alice got status_update, whose /payload/status: is",
    ),
    "the same once more": (
        [
            do("alice", "say", ack()),
            want("alice", "sent_ack"),
            do("alice", "say", ack()),
            "none: {actors: [alice], req: MSG-20}",
        ],
        "must not reach it; it had got one for this message before",
    ),
    "unordered, one missing": (
        [
            do("alice", "say", ack()),
            f"unordered: [{{{want('alice', 'sent_ack')}}}, {{{want('alice', 'status_update')}}}]",
        ],
        "alice expected status_update (among others); it did not come",
    ),
    "unordered, a stranger among them": (
        [
            do("alice", "say", ack(), error()),
            f"unordered: [{{{want('alice', 'sent_ack')}}}, {{{want('alice', 'status_update')}}}]",
        ],
        "expected status_update (among others), but got error",
    ),
    "any_of, none of them": (
        [
            do("alice", "say", ack()),
            f"any_of: [[{{{want('alice', 'error')}}}], [{{expect_close: {{as: alice, codes: [1003]}}}}]]",
        ],
        "expected one of: error for alice; a close (1003) for alice. Got sent_ack",
    ),
    "any_of, silence": (
        [f"any_of: [[{{{want('alice', 'error')}}}], [{{{want('alice', 'sent_ack')}}}]]"],
        "Nothing came in time",
    ),
    "no close": (["expect_close: {as: alice, req: MSG-12}"], "the connection is still open"),
    "another code": (
        [do("alice", "close 4000"), "expect_close: {as: alice, codes: [1008], req: MSG-12}"],
        "expected a close (1008), but closed (4000)",
    ),
    "something after all": (
        [do("alice", "tell", ack()), "none: {actors: [bob], req: MSG-20}"],
        "bob.phone got a frame of type 'sent_ack' that must not reach it",
    ),
    "late within the quiet window": (
        [do("alice", f"later 60 {json.dumps([ack()])}"), "none: {actors: [bob], req: MSG-20}"],
        "that must not reach it",
    ),
    "something that takes longer than the quiet window": (
        [do("alice", "slowly", ack()), "none: {actors: [bob], req: MSG-20}"],
        "that must not reach it | bob.laptop",
    ),
    "late, after the quiet window": (
        [
            do("alice", f"later 400 {json.dumps([ack()])}"),
            "none: {actors: [bob], req: MSG-20}",
            do("bob.phone", f"later 800 {json.dumps([error()])}"),
            want("alice", "error", req="MSG-12", within=3000),
        ],
        "must not reach it (late",
    ),
    "an end that nothing called for": (
        [do("alice", "close 1011"), "none: {actors: [alice], req: MSG-20}"],
        "alice: closed (1011), which nothing had called for",
    ),
    "a heartbeat_ack where it is the point": (
        [
            do("alice", "say", {"type": "heartbeat_ack", "timestamp": TIME}),
            "none: {actors: [alice], req: KEEP-04}",
        ],
        "'heartbeat_ack' that must not reach it",
    ),
    "sending on a dead connection": (
        [do("alice", "close 1011"), "none: {actors: [bob], req: MSG-20}", do("alice", "say", ack())],
        "alice cannot send: closed (1011)",
    ),
}


@pytest.mark.parametrize(("steps", "said"), FAILS.values(), ids=FAILS)
def test_these_fail_and_say_why(tmp_path: Path, steps: list[str], said: str) -> None:
    head = HEAD
    if "point" in "".join(name for name, value in FAILS.items() if value[0] is steps):
        head = HEAD.replace("  vars:", "  about: [heartbeat_ack]\n  vars:")
    result = played(tmp_path, *steps, head=head)
    assert result.verdict is Verdict.FAIL, result.findings
    assert said in messages(result)


def test_a_missing_should_is_a_warning_and_the_case_goes_on(tmp_path: Path) -> None:
    result = played(
        tmp_path,
        do("alice", "say", ack()),
        want("alice", "error", req="VAL-21"),
        want("alice", "sent_ack"),
    )
    assert result.verdict is Verdict.WARN
    assert "MSG-12" in result.proven
    assert [finding.requirement for finding in result.findings] == ["VAL-21"]


def test_a_broken_must_ends_the_case_and_leaves_the_rest_unproven(tmp_path: Path) -> None:
    result = played(tmp_path, want("alice", "sent_ack"), want("alice", "error", req="MSG-16"))
    assert [finding.requirement for finding in result.findings] == ["MSG-12"]
    assert "MSG-16" not in result.proven


def test_a_finding_stands_at_its_step_with_what_was_expected_and_what_came(tmp_path: Path) -> None:
    result = played(tmp_path, do("alice", "say", error()), want("alice", "sent_ack", ", server_id: !absent "))
    (finding,) = result.findings
    assert finding.step == "/0/steps/1/expect"
    assert finding.actor == "alice"
    assert finding.expected == {"type": "sent_ack", "server_id": "(absent)"}
    assert finding.actual["payload"]["error_code"] == "invalid_message"
    assert finding.t_ms > 0


def test_pings_are_answered_and_the_suites_own_frames_are_marked(tmp_path: Path) -> None:
    result = played(
        tmp_path,
        do("alice", "say", {"type": "ping"}, ack()),
        want("alice", "sent_ack"),
        "none: {actors: [alice], req: MSG-20}",
    )
    shown = [(e.direction, e.frame["type"], e.kit) for e in result.transcript if isinstance(e.frame, dict)]
    assert ("c2s", "pong", True) in shown
    assert ("s2c", "ping", False) in shown
    # Fences and their answers are the suite's own.
    assert {kit for _, kind, kit in shown if kind.startswith("heartbeat")} == {True}


def test_refused_connections(tmp_path: Path) -> None:
    steps = ["drop: {as: alice}", "connect: {as: alice, refused: true, req: AUTH-01}"]
    result = played(tmp_path, *steps)
    assert result.verdict is Verdict.FAIL
    assert "must be refused, but: the connection was served" in messages(result)


def test_legacy_connections_need_the_target_file_to_say_how(tmp_path: Path) -> None:
    head = HEAD.replace("alice: {}", "alice: {legacy: true}")
    steps = [do("alice", "say", ack()), want("alice", "sent_ack")]
    result = played(tmp_path, *steps, head=head)
    assert result.verdict is Verdict.UNTESTABLE
    result = played(tmp_path, *steps, head=head, legacy={"query": "frames=1"})
    assert result.verdict is Verdict.PASS


def test_capabilities_decide_whether_a_case_applies(tmp_path: Path) -> None:
    steps = [do("alice", "say", ack()), want("alice", "sent_ack")]
    needs = HEAD.replace("  vars:", "  requires: {capabilities: [calls]}\n  vars:")
    lacks = HEAD.replace("  vars:", "  requires: {without: [calls]}\n  vars:")
    assert played(tmp_path, *steps, head=needs).verdict is Verdict.NOT_APPLICABLE
    assert played(tmp_path, *steps, head=needs, capabilities={"calls": True}).verdict is Verdict.PASS
    assert played(tmp_path, *steps, head=lacks).verdict is Verdict.PASS
    assert (
        played(tmp_path, *steps, head=lacks, capabilities={"calls": True}).verdict is Verdict.NOT_APPLICABLE
    )


def test_what_a_single_alternative_says_holds_only_where_it_begins(tmp_path: Path) -> None:
    refused = want("alice", "error", req="VAL-15")
    once = f"any_of: [[{{{refused}}}, {{none: {{actors: [bob], req: VAL-12}}}}]]"
    result = played(tmp_path, do("alice", "say", ack()), once, want("alice", "sent_ack"))
    assert [(f.requirement, f.severity) for f in result.findings] == [("VAL-15", "warn")]
    assert result.proven == {"MSG-12"}
    result = played(tmp_path, do("alice", "say", error()), do("alice", "tell", ack()), once)
    assert {f.requirement for f in result.findings} == {"VAL-12"}


def test_an_end_is_said_once(tmp_path: Path) -> None:
    gone = [do("alice", "close 1011"), "none: {actors: [alice], req: VAL-13}", do("alice", "say", ack())]
    (finding,) = played(tmp_path, *gone, want("alice", "sent_ack")).findings
    assert finding.requirement == "VAL-13"
