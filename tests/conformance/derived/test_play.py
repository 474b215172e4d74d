"""Derived cases against small servers: one that is right, and faulty ones, each of which must be found."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from fixtures.fakes import Minimal, Peer, minimal
from support.suite import PATIENT, QUICK, all_cases, as_report, by_id, judge, make_target

from relaykit.conformance.results import RunResult, Verdict

FEW = (
    "derived/send/payload.ciphertext",
    "derived/send/envelope/batch-*",
    "derived/send/envelope/required-*",
    "derived/send/envelope/unknown-property",
    "derived/read_receipt/payload.message_ids",
    "derived/delivery_ack/message_id",
    "derived/heartbeat/envelope/nan",
)


def run(server: Minimal, patterns: Iterable[str] = FEW, **more: Any) -> RunResult:
    async def go() -> RunResult:
        async with server.running() as url:
            target = make_target(url, timing=more.pop("timing", PATIENT), **more)
            return await judge(target, all_cases(*patterns))

    return asyncio.run(go())


def bad(result: RunResult) -> dict[str, set[str | None]]:
    """Case → requirements that it found broken; of shapes, nothing."""
    found = {name: each for name, each in by_id(result).items() if name.startswith("derived/")}
    assert found
    assert not [each for each in found.values() if each.verdict is Verdict.ERROR]
    return {
        name: {finding.requirement for finding in each.findings}
        for name, each in found.items()
        if each.verdict is Verdict.FAIL
    }


def test_a_server_that_is_right_passes_every_core_case() -> None:
    core = (
        "derived/send",
        "derived/delivery_ack",
        "derived/read_receipt",
        "derived/heartbeat",
        "derived/pong",
    )
    result = run(minimal(), (*core, "derived/no-type", "derived/unknown-type", "derived/*/server-only"))
    assert not bad(result)
    counts = {verdict: result.count(verdict) for verdict in Verdict}
    assert counts[Verdict.PASS] > 400
    # It has no groups, and no control interface to make some.
    reasons = {r.reason for r in result.cases if r.verdict in (Verdict.UNTESTABLE, Verdict.NOT_APPLICABLE)}
    assert reasons == {"the target does not declare groups"}


def test_one_that_says_nothing_is_found_by_every_violation() -> None:
    found = bad(run(minimal("silent-on-bad")))
    assert found["derived/send/payload.ciphertext/pattern"] == {"VAL-08"}, (
        "it refuses nothing: VAL-27 rests on that"
    )
    assert found["derived/send/envelope/batch-lines"] == {"VAL-03", "VAL-01"}
    assert not any("at-" in name for name in found)


def test_one_that_closes_is_found_and_its_closes_blame_nobody_else() -> None:
    found = bad(run(minimal("closes-on-bad")))
    assert "VAL-13" in found["derived/send/payload.ciphertext/pattern"]
    assert not any("at-" in name for name in found)


def test_one_that_forwards_is_found() -> None:
    found = bad(run(minimal("forwards-bad")))
    assert "derived/send/payload.ciphertext/pattern" in found
    assert "derived/heartbeat/envelope/nan" not in found


class Forwards(Minimal):
    """Refuses, and forwards all the same."""

    async def bad(self, peer: Peer, frame: Any) -> None:
        await super().bad(peer, frame)
        for other in [p for p in self.peers if p.user != peer.user and self.talked(p.user, peer.user)]:
            await self.write(other, frame or {"type": "deliver"})

    def talked(self, one: str, other: str) -> bool:
        pairs = ({known["sender"], known["receiver"]} for known in self.messages.values())
        return {one, other} in pairs


def test_one_that_refuses_and_forwards_is_found() -> None:
    found = bad(run(Forwards(), ("derived/send/payload.ciphertext",)))
    assert found["derived/send/payload.ciphertext/pattern"] == {"VAL-12"}


class ForwardsLater(Forwards):
    """Forwards from the third violation on a connection on."""

    async def bad(self, peer: Peer, frame: Any) -> None:
        await (super().bad if peer.violations >= 2 else super(Forwards, self).bad)(peer, frame)


def test_one_that_forwards_only_after_other_refusals_is_found_and_they_are_named() -> None:
    result = run(ForwardsLater(), ("derived/send/payload.ciphertext",), concurrency=1)
    found = bad(result)
    assert set().union(*found.values()) == {"VAL-12"}
    told = next(each for name, each in by_id(result).items() if name in found)
    assert "; not when sent alone, but after derived/send/payload.ciphertext/" in told.findings[0].message
    assert len({line.actor for line in told.transcript}) > 1, (
        "what was seen on those connections stands first"
    )


class Late(Forwards):
    """Forwards long after the quiet window."""

    async def write(self, peer: Peer, frame: dict[str, Any]) -> None:
        if "timestamp" in frame:
            await super().write(peer, frame)
        else:
            again = super().write
            asyncio.get_running_loop().call_later(0.3, lambda: asyncio.ensure_future(again(peer, frame)))


def test_what_comes_late_is_told_with_the_cases_that_may_have_caused_it() -> None:
    result = run(Late(), ("derived/send/payload.ciphertext",), concurrency=1)
    messages = [f.message for each in result.cases for f in each.findings if f.requirement == "VAL-12"]
    assert messages
    assert all("derived/send/payload.ciphertext/" in message for message in messages)


class Impatient(Minimal):
    """Closes after three violations on a connection, as a server may."""

    async def bad(self, peer: Peer, frame: Any) -> None:
        count = getattr(peer.socket, "violations", 0) + 1
        peer.socket.violations = count
        await super().bad(peer, frame)
        if count >= 3:
            await peer.socket.close(1008)


def test_a_close_after_repeated_violations_is_nobodys_fault() -> None:
    result = run(Impatient(), ("derived/send/payload.ciphertext",), concurrency=1)
    assert not bad(result)
    assert result.count(Verdict.WARN) == 0


class Hangs(Minimal):
    """Stops serving a connection on a frame that holds a null."""

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        if "null" in str(data):
            await peer.socket.wait_closed()
        await super().frame(peer, data)


def test_a_hang_is_found_where_it_is_caused() -> None:
    timing = {"reply_ms": 1500, "quiet_ms": 30, "connect_ms": 3000, "case_s": 20}
    found = bad(run(Hangs(), ("derived/send/payload.ciphertext",), timing=timing))
    assert set(found) == {"derived/send/payload.ciphertext/null"}
    assert "VAL-13" in found["derived/send/payload.ciphertext/null"]


BIG = (
    "derived/read_receipt/payload.message_ids/maxItems",
    "derived/send/envelope/far-too-deep",
    "derived/no-type/envelope/deep-arrays",
    "derived/no-type/envelope/open-objects",
)


class Smuggles(Forwards):
    """Closes on a frame of more than 8 KiB, and passes something on before."""

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        if len(data) > 8192:
            await Forwards.bad(self, peer, None)
            await peer.socket.close(1009)
        else:
            await super().frame(peer, data)


def test_a_limit_of_size_that_nobody_stated_breaks_no_rule_but_is_said() -> None:
    at_most = "derived/read_receipt/payload.message_ids/at-maxItems"
    timing = {"reply_ms": 1500, "quiet_ms": 60, "connect_ms": 3000, "case_s": 20}
    found = by_id(run(minimal(limits={"max_frame_bytes": 8192}), (*BIG, at_most), timing=timing))
    for name in (*BIG, at_most):
        assert found[name].verdict is Verdict.UNTESTABLE, found[name].findings
        assert "closes with 1009" in found[name].reason
        assert "state limits.max_frame_bytes in the target file" in found[name].reason
    assert bad(run(Smuggles(), BIG[1:2])) == {BIG[1]: {"VAL-12"}}


def test_a_small_frame_is_too_big_for_nobody() -> None:
    """Whatever the server says: no limit of size may be that low."""
    name = "derived/send/sender_id/maxLength"
    found = bad(run(Small(), (name,)))
    assert found[name] >= {"VAL-08", "VAL-13"}


class Small(Minimal):
    """Closes with 1009 on whatever is wrong."""

    async def bad(self, peer: Peer, frame: Any) -> None:
        await peer.socket.close(1009)


class Trims(Minimal):
    """Accepts identifiers with blanks around them and receivers in a URN, as lenient readers do."""

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        await super().frame(peer, str(data).replace("urn:uuid:", "").replace('" ', '"'))


def test_leniency_about_the_form_of_identifiers_is_found() -> None:
    found = bad(run(Trims(), ("derived/send/message_id",)))
    assert set(found) == {
        f"derived/send/message_id/form-{name}" for name in ("as-a-URN", "a-blank-before-it")
    }


class Picky(Minimal):
    """Refuses what is valid: upper case, and ciphertext without padding."""

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        if '"ciphertext":"A"' in str(data):
            await self.error(peer.socket, "invalid_message")
        else:
            await super().frame(peer, data)


def test_a_refusal_of_what_is_valid_is_found() -> None:
    found = bad(run(Picky(), ("derived/send/payload.ciphertext",)))
    assert found == {"derived/send/payload.ciphertext/pattern-part-1-times-1": {"VAL-22"}}


class Refuses(Minimal):
    """Refuses every `delivery_ack`, or (`capitals`) those only that write an identifier in upper case."""

    capitals = False

    async def frame(self, peer: Peer, data: str | bytes) -> None:
        frame = json.loads(data)
        names = "".join(str(frame.get(key, "")) for key in ("message_id", "sender_id", "device_id"))
        if frame.get("type") == "delivery_ack" and not (self.capitals and not re.search("[A-F]", names)):
            await self.error(peer.socket, "invalid_message", frame.get("message_id"))
        else:
            await super().frame(peer, data)


class RefusesCapitals(Refuses):
    capitals = True


@pytest.mark.parametrize(
    ("server", "rules"), [(Refuses, {"VAL-22"}), (RefusesCapitals, {"VAL-22", "VAL-24"})]
)
def test_a_type_that_is_refused_in_any_spelling_is_no_matter_of_letter_case(
    server: type[Minimal], rules: set[str]
) -> None:
    name = "derived/delivery_ack/message_id/upper-case"
    result = run(server(), (name,), timing=QUICK)
    assert bad(result) == {name: rules}
    assert {row.id for row in result.requirements if row.verdict == "fail"} == rules


def test_the_failures_transcript_is_that_of_the_case_alone() -> None:
    server = Forwards()

    async def go() -> tuple[RunResult, dict[str, Any]]:
        async with server.running() as url:
            target = make_target(url)
            result = await judge(target, all_cases("derived/send/payload.ciphertext/pattern"))
            return result, as_report(result, target)

    _, data = asyncio.run(go())
    case = next(case for case in data["cases"] if case["id"].startswith("derived/"))
    assert case["kind"] == "derived"
    text = json.dumps(case["transcript"])
    assert "q83vASNFZ4mrze8BI0VniQ" in text
    assert text.count('"connected"') == 3


class NewestOnly(Minimal):
    """Sends each message to the recipient's newest connection alone."""

    async def spread(self, sender: Peer, receiver: str, out: dict[str, Any]) -> None:
        mine = [peer for peer in self.peers if peer.user == receiver]
        self_peers, self.peers = self.peers, mine[-1:]
        await super().spread(sender, receiver, out)
        self.peers = self_peers


def test_who_reaches_one_device_of_two_is_judged_by_what_each_case_is_about() -> None:
    timing = {"reply_ms": 1500, "quiet_ms": 60, "connect_ms": 3000, "case_s": 20}
    assert not bad(run(NewestOnly(), ("derived/read_receipt/payload.message_ids",), timing=timing))
    silent = NewestOnly(frozenset({"silent-on-bad"}))
    assert (
        "VAL-08"
        in bad(run(silent, ("derived/delivery_ack/message_id",), timing=timing))[
            "derived/delivery_ack/message_id/type"
        ]
    )


def test_where_nobody_can_be_arranged_one_case_says_so_and_the_others_are_untestable() -> None:
    timing = {"reply_ms": 500, "quiet_ms": 60, "connect_ms": 3000, "case_s": 20}
    result = run(minimal("no-ack"), ("derived/send/payload.ciphertext",), timing=timing)
    assert result.count(Verdict.ERROR) == 0
    (told,) = (each for each in result.cases if each.verdict is Verdict.FAIL)
    assert {finding.requirement for finding in told.findings} == {"MSG-12"}
    others = {each.reason for each in result.cases if each.verdict is Verdict.UNTESTABLE}
    assert len(others) == 1
    assert f"as {told.case.id} shows: alice.phone expected sent_ack" in others.pop()


@pytest.mark.parametrize("fault", ["no-ack", "twice"])
def test_a_server_that_cannot_even_say_hello_fails_without_a_defect_of_the_suite(fault: str) -> None:
    result = run(minimal(fault), ("derived/send/payload.ciphertext/type",))
    assert result.count(Verdict.ERROR) == 0
    verdict = by_id(result)["derived/send/payload.ciphertext/type"].verdict
    assert verdict is (Verdict.FAIL if fault == "no-ack" else Verdict.PASS)


MANY = "derived/read_receipt/payload.message_ids/at-maxItems"


def test_many_messages_are_acknowledged_on_the_way_where_few_may_wait() -> None:
    limits = {"waiting_per_user": 100, "burst": 200, "frames_per_second": 400}
    for fewer in ({}, {"waiting_per_user": 7}):
        server = minimal(limits={**limits, **fewer})
        result = run(server, (MANY,), limits={**limits, **fewer})
        assert by_id(result)[MANY].verdict is Verdict.PASS, by_id(result)[MANY].findings


def test_many_messages_that_could_not_be_acknowledged_in_time_are_untestable() -> None:
    limits = {"waiting_per_user": 100, "burst": 10, "frames_per_second": 5}
    found = by_id(run(minimal(limits=limits), (MANY,), limits=limits))[MANY]
    assert found.verdict is Verdict.UNTESTABLE
    assert "limits.waiting_per_user" in found.reason


ADAPTER = """\
class Control:
    def create_group(self, members, group_id=None):
        raise RuntimeError("the bench is out of order\\nand more")
"""


def test_a_control_interface_that_fails_fails_only_what_needs_it(tmp_path: Path) -> None:
    (tmp_path / "bench.py").write_text(ADAPTER)
    plain, about_groups = "derived/send/payload.ciphertext/type", "derived/send/payload.group_id/upper-case"
    chosen = (plain, about_groups, "area:groups")
    control = {"python": {"adapter": f"{tmp_path / 'bench.py'}:Control"}}
    result = run(minimal(), chosen, control=control, capabilities={"groups": True})
    found = by_id(result)
    assert found[plain].verdict is Verdict.PASS
    grouped = found[about_groups]
    assert grouped.verdict is Verdict.UNTESTABLE
    assert grouped.reason.startswith("needs a group: the control interface could not: create_group")
    assert "and more" not in grouped.reason
    failed = found["group-message-reaches-members"]
    assert failed.findings[0].blame == "environment"
    assert result.hints[0].startswith("the control interface failed in ")
    assert "the bench is out of order" in result.hints[0]
