"""`relaykit replay`, and the scenario files that failures leave."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from fixtures import fakes
from hypothesis import given, settings
from hypothesis import strategies as st
from support.suite import Ended, judge, make_target, relaykit, scenario_cases

from relaykit.config import parse_yaml
from relaykit.conformance import replay, reproduce
from relaykit.conformance.grammar import Absent, Match, Scenario, Send
from relaykit.conformance.loader import TAGS, load_files
from relaykit.conformance.reproduce import Reproduction, refer, send_step
from relaykit.conformance.values import Scope
from relaykit.errors import KitDefect
from relaykit.schemas import load_catalogue

MESSAGE = {"receiver_id": "${bob.id}", "ciphertext": "AA==", "message_type": "text"}
ACK: dict[str, Any] = {"expect": {"as": "alice", "frame": {"type": "sent_ack", "message_id": "${m}"}}}


def lost(**more: Any) -> Reproduction:
    """A message that was sent and must be delivered."""
    values: dict[str, Any] = {
        "id": "fuzz-lost",
        "title": "A message arrives",
        "catches": "A server that loses it.",
        "area": "messages",
        "actors": {"alice": {}, "bob": {}},
        "vars": {"m": "uuid"},
        "steps": [
            {"send": {"as": "alice", "frame": {"type": "send", "message_id": "${m}", "payload": MESSAGE}}},
            {**ACK, "expect": {**ACK["expect"], "req": "MSG-12"}},
        ],
        **more,
    }
    return Reproduction(**values)


def loaded(folder: Path, reproduction: Reproduction) -> Scenario:
    path = reproduce.write(folder, reproduction, load_catalogue())
    (scenario,) = load_files(load_catalogue(), [path])
    return scenario


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5) | st.binary() | st.text())
@settings(max_examples=300, deadline=None)
def test_whatever_was_sent_is_sent_again_byte_for_byte(content: Any) -> None:
    """Frames stay frames, text stays text, and what is neither stays the same bytes; no `${` is invented."""
    body = send_step("alice", content, invalid=True)["send"]
    made = reproduce.text(lost(steps=[{"send": body}]))
    entry = parse_yaml(made, tags=TAGS).data[0]
    (step,) = entry["steps"]
    scope = Scope("seed", {}, {"dollar": _value("$")} if "vars" in entry else {})
    if "frame" in step["send"]:
        assert scope.fill(step["send"]["frame"]) == content
    elif "raw" in step["send"]:
        sent = scope.fill(step["send"]["raw"]).encode()
        if isinstance(content, dict):
            assert json.loads(sent) == content
        else:
            assert sent == (content if isinstance(content, bytes) else content.encode())
    else:
        import base64

        data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
        assert base64.b64decode(step["send"]["base64"]) == data


def _value(argument: str) -> Any:
    from relaykit.conformance.grammar import VarSpec

    return VarSpec("dollar", "value", argument)


def test_identifiers_become_references() -> None:
    known = {
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8": "alice.id",
        "conv-6ba7b810-9dad-11d1-80b4-00c04fd430c8": "c",
    }
    text = "conv-6ba7b810-9dad-11d1-80b4-00c04fd430c8 6BA7B810-9DAD-11D1-80B4-00C04FD430C8 ${alice.id}"
    assert refer({"a": [text]}, known) == {"a": ["${c} ${alice.id|upper} ${dollar}{alice.id}"]}


def test_a_file_says_how_it_was_found_and_loads(tmp_path: Path) -> None:
    pattern = {"type": "sent_ack", "message_id": "${m}", "sender_id": Absent(), "timestamp": Match("Z$")}
    note = "found by fuzzing\n- id: not-a-scenario\x85more"
    steps = [lost().steps[0], {"expect": {"as": "alice", "frame": pattern, "req": ["MSG-12"]}}]
    scenario = loaded(tmp_path / "new" / "folder", lost(steps=steps, notes=[note]))
    assert scenario.requirements == ("MSG-12",)
    assert scenario.place.path.endswith("new/folder/fuzz-lost.yaml")
    lines = Path(scenario.place.path).read_text().splitlines()
    assert lines[0] == "# found by fuzzing"
    assert lines[1].startswith("# - id:")


def test_bytes_that_are_no_text_can_be_sent(tmp_path: Path) -> None:
    step = send_step("alice", b'{"type":"\xff"}', invalid=True)
    error = {"expect": {"as": "alice", "frame": {"type": "error"}, "req": "VAL-01"}}
    sent = loaded(tmp_path, lost(steps=[step, error])).steps[0]
    assert isinstance(sent, Send)
    assert sent.data == b'{"type":"\xff"}'


def test_what_does_not_load_is_the_kits_fault(tmp_path: Path) -> None:
    with pytest.raises(KitDefect, match="does not load"):
        reproduce.write(tmp_path, lost(area="nowhere"), load_catalogue())


# --- the command ---


async def replayed(path: Path, url: str, *words: str) -> Ended:
    return await relaykit("replay", str(path), "--url", url, *words, RELAYKIT_SECRET=fakes.SECRET)


def outcomes(ended: Ended) -> dict[str, str]:
    return {each["id"]: each["outcome"] for each in json.loads(ended.out)["scenarios"]}


def test_reproduced_fixed_and_error(tmp_path: Path) -> None:
    """The stated failure, none, and another one before the file comes to the point."""
    path = reproduce.write(tmp_path, lost(), load_catalogue())
    unstated = lost(
        id="fuzz-other", steps=[lost().steps[0], ACK, {"none": {"actors": ["bob"], "req": "MSG-20"}}]
    )
    reproduce.write(tmp_path, unstated, load_catalogue())
    expecting = tmp_path.with_suffix(".target")
    expecting.write_text(
        "tokens: {mint: {secret: {env: RELAYKIT_SECRET}}}\nexpected_failures:\n"
        + "".join(f"  - {{case: {name}, reason: a known one}}\n" for name in ("fuzz-lost", "fuzz-other"))
    )

    async def main() -> None:
        async with fakes.minimal("no-ack").running() as url:
            ended = await replayed(path, url)
            assert ended.code == 1, ended
            assert "reproduced fuzz-lost" in ended.out
            assert "MSG-12: alice expected sent_ack" in ended.out
            # What the target file expects is shown, and does not count.
            ended = await replayed(tmp_path, url, "--format", "json", "-t", str(expecting))
            assert ended.code == 0, ended
            assert outcomes(ended) == {"fuzz-lost": "reproduced", "fuzz-other": "error"}
            first, second = json.loads(ended.out)["scenarios"]
            assert "before it comes to what it is about" in second["reason"]
            assert {first["expected_failure"], second["expected_failure"]} == {"a known one"}
        async with fakes.minimal().running() as url:
            ended = await replayed(path, url, "--format", "json", "--times", "3")
            assert ended.code == 0, ended
            data = json.loads(ended.out)
            assert outcomes(ended) == {"fuzz-lost": "fixed"}
            assert (data["exit_code"], data["scenarios"][0]["findings"]) == (0, [])
            ended = await replayed(path, url, "-t", str(expecting))
            assert ended.code == 1, ended
            assert "fuzz-lost is expected to fail (a known one), but passes" in ended.out
            # Dropped into a folder, it is a regression test.
            folder = ("--scenarios", str(tmp_path), "--run", "fuzz-lost")
            ended = await relaykit("test", "--url", url, *folder, RELAYKIT_SECRET=fakes.SECRET)
            assert ended.code == 0, ended

    asyncio.run(main())


def test_a_misshapen_frame_is_what_a_file_states_where_it_names_that(tmp_path: Path) -> None:
    """The shape of what comes is judged for the run as a whole; a file about it fails all the same."""
    named = {**ACK, "expect": {**ACK["expect"], "req": "MSG-06"}}
    reproduce.write(tmp_path, lost(id="shape-named", steps=[lost().steps[0], named]), load_catalogue())
    reproduce.write(tmp_path, lost(id="other-named"), load_catalogue())

    async def said(*faults: str) -> dict[str, replay.Outcome]:
        async with fakes.minimal(*faults).running() as url:
            cases = [
                *scenario_cases(tmp_path / "shape-named.yaml"),
                *scenario_cases(tmp_path / "other-named.yaml"),
            ]
            result = await judge(make_target(url), cases)
            done = [
                replay.replayed(each, result.cases) for each in result.cases if each.case.kind == "scenario"
            ]
            assert replay.exit_code(done, (), interrupted=False) == bool(faults)
            return {each.result.case.id: each.outcome for each in done}

    wrong = asyncio.run(said("no-timestamp"))
    assert wrong == {"shape-named": replay.Outcome.REPRODUCED, "other-named": replay.Outcome.FIXED}
    assert set(asyncio.run(said()).values()) == {replay.Outcome.FIXED}


def test_what_cannot_be_executed_is_neither(tmp_path: Path) -> None:
    control = {"control": {"create_group": {"members": ["${alice.id}"]}, "as": "g"}}
    path = reproduce.write(tmp_path, lost(steps=[control, *lost().steps]), load_catalogue())

    async def main() -> None:
        async with fakes.minimal().running() as url:
            ended = await replayed(path, url)
            assert ended.code == 4, ended
            assert "error      fuzz-lost" in ended.out
            assert "control interface" in ended.out
        ended = await replayed(path, "ws://127.0.0.1:9/ws")
        assert ended.code == 3, ended
        ended = await replayed(tmp_path / "none.yaml", url)
        assert (ended.code, "Traceback" in ended.err) == (2, False), ended
        empty = tmp_path / "empty"
        empty.mkdir()
        ended = await replayed(empty, url)
        assert (ended.code, "no scenario file" in ended.err) == (2, True), ended

    asyncio.run(main())
