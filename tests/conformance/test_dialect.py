"""Dialects: they let a server be judged that speaks otherwise, and never hide that it does."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fixtures import fakes, odd_server
from support.suite import PATIENT, QUICK, all_cases, as_report, by_id, judge, make_target

from relaykit.config import Document, load_yaml
from relaykit.conformance.dialect import Dialect, DialectSpec, Interpreter, Peer
from relaykit.conformance.divergence import changes, values_in
from relaykit.conformance.record import Recorder, ShapeBook
from relaykit.conformance.results import RunResult, Verdict
from relaykit.conformance.target import Target, read_target
from relaykit.errors import UsageError
from relaykit.schemas import load_catalogue

EXAMPLES = Path(__file__).parents[2] / "examples"
CORE = ("message-life", "redelivery-until-acknowledged", "heartbeat-is-answered", "refuses-bad-send")


def example(url: str, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Target:
    """The example's target file, for a server that listens elsewhere."""
    monkeypatch.setenv("RELAYKIT_SECRET", fakes.SECRET)
    document = load_yaml(EXAMPLES / "dialect.target.yaml")
    data = {**document.data, "url": url, "timing": PATIENT, **more}
    document = Document(document.path, data, document.lines)
    return read_target(document, load_catalogue(), base=EXAMPLES)


def test_the_example_lets_an_odd_server_be_judged_and_names_all_that_is_odd(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> tuple[RunResult, Target]:
        async with odd_server.running() as url:
            target = example(url, monkeypatch)
            return await judge(target, all_cases(*CORE)), target

    result, target = asyncio.run(main())
    cases = by_id(result)
    for name in (*CORE, "shape-deliver", "shape-messages"):
        assert cases[name].verdict is Verdict.PASS, cases[name]
    said = {f"{case.case.id}: {f.message}" for case in result.cases for f in case.findings}
    for wanted in (
        "dialect-send: the dialect changes a sent send: /type renamed to /kind",
        "dialect-send: the dialect changes a sent send: /signature put in",
        "dialect-deliver: the dialect changes a received deliver: /kind renamed to /type",
        "dialect-deliver: the dialect changes a received deliver: /body/ciphertext renamed to /payload/c",
        "dialect-heartbeat-ack: the dialect changes a received heartbeat_ack: /kind renamed to /type",
    ):
        assert any(line.startswith(wanted) for line in said), (wanted, sorted(said))
    # However often it comes, a change is one finding, with the requirement that the frame broke as it came.
    deliver = cases["dialect-deliver"]
    assert deliver.verdict is Verdict.FAIL
    assert len({f.message for f in deliver.findings}) == len(deliver.findings)
    assert "ENV-04" in {f.requirement for f in deliver.findings}
    data = as_report(result, target)
    assert data["outcome"]["exit_code"] == 1
    assert [claim["verdict"] for claim in data["outcome"]["profiles"] if claim["name"] == "core"] == [
        "broken"
    ]
    events = [line["event"] for case in data["cases"] for line in case["transcript"] if "event" in line]
    assert any('on the wire: {"kind"' in event for event in events)


def test_an_expected_dialect_does_not_make_a_profile_claimable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> tuple[RunResult, Target]:
        async with odd_server.running() as url:
            first = await judge(example(url, monkeypatch), all_cases("message-life"))
            known = [c.case.id for c in first.cases if c.case.kind == "dialect" and c.verdict is Verdict.FAIL]
            expected = [{"case": name, "reason": "our own framing"} for name in known]
            target = example(url, monkeypatch, expected_failures=expected)
            # Another seed: the server remembers the messages of the first run.
            return await judge(target, all_cases("message-life"), seed="again"), target

    result, target = asyncio.run(main())
    data = as_report(result, target)
    assert data["outcome"]["exit_code"] == 0, (result.unexpected, result.stale)
    assert all(claim["verdict"] != "conformant" for claim in data["outcome"]["profiles"])


def test_without_its_dialect_the_odd_server_is_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> RunResult:
        async with odd_server.running() as url:
            return await judge(make_target(url, timing=QUICK), all_cases("message-life"))

    assert by_id(asyncio.run(main()))["message-life"].verdict is Verdict.FAIL


def test_a_fault_behind_the_dialect_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> RunResult:
        async with odd_server.running("leak", "offset-time") as url:
            return await judge(example(url, monkeypatch), all_cases("message-life"))

    cases = by_id(asyncio.run(main()))
    assert "PRIV-01" in {finding.requirement for finding in cases["message-life"].findings}
    assert "VAL-26" in {finding.requirement for finding in cases["shape-deliver"].findings}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("    def incoming(self, text, peer): raise ValueError('no idea')", "incoming: ValueError: no idea"),
        ("    def incoming(self, text, peer): raise SystemExit(0)", "incoming: SystemExit: 0"),
        ("    def outgoing(self, frame, peer): raise SystemExit(0)", "outgoing: SystemExit: 0"),
        ("    def incoming(self, text, peer): return 7", "incoming: TypeError: gave a int"),
        ("    def incoming(self, text, peer): return [text] * 2000", "2000 frames for one message"),
        ("    def outgoing(self, frame, peer): return frame['nothing']", "outgoing: KeyError: 'nothing'"),
        ("    def outgoing(self, frame, peer): return {'at': object()}", "outgoing: TypeError"),
        ("    def outgoing(self, frame, peer): return []", "a sent heartbeat: not sent at all"),
        ("    def outgoing(self, frame, peer): frame['x'] = 1; return frame", "a sent send: /x put in"),
        ("    def incoming(self, text, peer): return []", "a received heartbeat_ack: dropped"),
        ("    def incoming(self, text, peer): {}", "dropped, since `incoming` returned None: does it lack"),
        (
            "    def incoming(self, text, peer): return text.replace('\"sent\"', '\"kept\"')",
            "a received sent_ack: /payload/status changed",
        ),
    ],
)
def test_whatever_a_dialect_does_is_said_and_ends_the_run_as_a_failure(
    tmp_path: Path, body: str, said: str
) -> None:
    (tmp_path / "own.py").write_text(f"class D:\n{body}\n")

    async def main() -> tuple[RunResult, Target]:
        async with fakes.minimal().running() as url:
            dialect = {"adapter": str(tmp_path / "own.py") + ":D"}
            target = make_target(url, timing=QUICK, dialect=dialect)
            return await judge(target, all_cases("message-life")), target

    result, target = asyncio.run(main())
    messages = [f.message for c in result.cases if c.case.kind == "dialect" for f in c.findings]
    assert any(said in message for message in messages), messages
    assert as_report(result, target)["outcome"]["exit_code"] in (1, 4)
    forgets = any("does it lack a `return`?" in hint for hint in result.hints)
    assert forgets is ("returned None" in said)
    assert result.count(Verdict.ERROR) == 0


def test_a_dialect_that_changes_nothing_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import json\nclass D:\n    secrets = ['the key of the dialect']\n"
        "    def incoming(self, text, peer): return json.loads(text)\n"
        "    def outgoing(self, frame, peer): return dict(reversed(frame.items()))\n"
    )

    async def main() -> RunResult:
        async with fakes.minimal("offset-time").running() as url:
            dialect = {"adapter": str(tmp_path / "own.py") + ":D"}
            return await judge(make_target(url, dialect=dialect), all_cases("message-life"))

    cases = by_id(asyncio.run(main()))
    assert cases["dialect-messages"].verdict is Verdict.PASS
    assert [name for name in cases if name.startswith("dialect-")] == ["dialect-messages"]
    assert cases["shape-deliver"].verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class Other: pass", "has no attribute 'D'"),
        ("class D: pass", "has neither `outgoing` nor `incoming`"),
        ("1 / 0", "ZeroDivisionError"),
        ("raise SystemExit(0)", "SystemExit: 0"),
    ],
)
def test_a_dialect_that_cannot_be_loaded_is_a_users_mistake(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(UsageError) as caught:
        Dialect(DialectSpec("own.py:D", tmp_path, {}, "t.yaml:7"), load_catalogue(), lambda _: None)
    assert str(caught.value).startswith("t.yaml:7: the dialect 'own.py:D'")
    assert said in str(caught.value)


def interpreter(tmp_path: Path, body: str) -> Interpreter:
    (tmp_path / "own.py").write_text(f"import json\nclass D:\n    def incoming(self, text, peer): {body}\n")
    catalogue = load_catalogue()
    dialect = Dialect(DialectSpec("own.py:D", tmp_path, {}, "t.yaml:7"), catalogue, lambda _: None)
    return Interpreter(dialect, Peer("u", "d", None), Recorder(catalogue, ShapeBook(), "case"), "alice")


def test_a_batch_is_a_divergence_by_itself(tmp_path: Path) -> None:
    lines = interpreter(tmp_path, "return text.splitlines()")
    ack = '{"type":"heartbeat_ack","timestamp":"2025-12-04T07:00:00Z"}'
    assert lines.incoming(ack.encode()) == [ack.encode()]
    assert not lines.dialect.book.divergences
    for _ in range(3):
        assert lines.incoming(f"{ack}\n{ack}".encode()) == [ack.encode()] * 2
    found = list(lines.dialect.book.divergences.values())
    assert {(each.type, each.what) for each in found} == {("message", "split into frames")}
    assert all(each.count == 3 and each.requirement for each in found)


def test_what_a_dialect_leaves_alone_is_judged_byte_for_byte(tmp_path: Path) -> None:
    same = interpreter(tmp_path, "return json.loads(text)")
    # Keys twice, and blanks: the parsed frame no longer shows the fault.
    twice = b'{"type": "ping",  "type": "ping"}'
    assert same.incoming(twice) == [twice]
    assert not same.dialect.book.divergences


def test_a_message_that_is_no_json_is_a_divergence(tmp_path: Path) -> None:
    decoded = interpreter(tmp_path, "return text[::-1]")
    ping = json.dumps({"type": "ping"})
    assert decoded.incoming(ping[::-1].encode()) == [ping.encode()]
    (found,) = decoded.dialect.book.divergences.values()
    assert (found.type, found.what) == ("ping", "read from another form")
    assert found.requirement == "ENV-02"


def test_the_words_for_changes() -> None:
    assert changes({"a": 1, "b": [1, {"c": "x"}]}, {"a": 1, "b": [1, {"d": "x"}]}) == (
        "/b/*/c renamed to /b/*/d",
    )
    assert changes({"a": 1}, {"a": "1"}) == ("/a changed",)
    assert changes({"a": 1}, {"a": 1.0}) == ("/a changed",)
    assert changes({"a": True}, {"a": 1}) == ("/a changed",)
    assert changes({"a": {}}, {"a": []}) == ("/a changed",)
    assert changes({"a": None}, {}) == ("/a taken out",)
    assert changes({}, {"a/b": 1}) == ("/a~1b put in",)
    assert changes([1], {"a": 1}) == ("read in another form",)
    assert changes({"a": {"b": 1}}, {"a": {"b": 1}}) == ()


def test_values_that_stand_one_after_the_other() -> None:
    assert values_in('{"a":1}\n{"b":2}') == [{"a": 1}, {"b": 2}]
    assert values_in("") == []
    assert values_in('{"a":1},{"b":2}') is None
    assert values_in("[" * 100_000) is None
