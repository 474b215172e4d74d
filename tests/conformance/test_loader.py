"""What is wrong in a scenario is said with file and line, before anything connects."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from relaykit.conformance.cases import from_scenario, load_cases
from relaykit.conformance.grammar import Absent, Expect, Match, Nothing, Scenario, Send, walk
from relaykit.conformance.loader import load_files, load_scenarios
from relaykit.errors import UsageError
from relaykit.schemas import load_catalogue

HEAD = """\
- id: under-test
  title: A scenario that is loaded in a test
  area: messages
  catches: Nothing at all, it is for a test.
  actors: {alice: {}, bob: {devices: [phone, laptop]}, mallory: {connect: false}}
  vars: {m: uuid, c: base64}
  steps:
"""
FIRST_STEP = HEAD.count("\n") + 1
PROOF = "    - expect: {as: alice, frame: {type: sent_ack, message_id: '${m}'}, req: MSG-12}\n"


def load(tmp_path: Path, text: str) -> tuple[Scenario, ...]:
    path = tmp_path / "scenarios.yaml"
    path.write_text(text, encoding="utf-8")
    return load_files(load_catalogue(), [path])


def problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    return str(caught.value).splitlines()


SEND = "send: {as: alice, frame: {type: send, message_id: '${m}', payload: {PAYLOAD}}}"
GOOD_PAYLOAD = "receiver_id: '${bob.id}', ciphertext: '${c}', message_type: text"


def test_a_right_scenario_loads(tmp_path: Path) -> None:
    (scenario,) = load(tmp_path, HEAD + f"    - {SEND.replace('PAYLOAD', GOOD_PAYLOAD)}\n" + PROOF)
    assert scenario.requirements == ("MSG-12",)
    assert scenario.place.line == 1
    assert [type(step) for step in scenario.steps] == [Send, Expect]
    assert scenario.steps[1].place.line == FIRST_STEP + 1
    assert scenario.actors["bob"].devices == ("phone", "laptop")
    assert scenario.actors["mallory"].connect == ()


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("snd: {as: alice, raw: x}", "unknown key 'snd' (did you mean 'send'?)"),
        ("send: {as: alice, fram: {}}", "unknown key 'fram' (did you mean 'frame'?)"),
        ("send: {as: alice, raw: x, raw: y}", "stands twice"),
        ("send: {as: alice}", "oneOf"),
        ("send: {as: alic, frame: {type: heartbeat}}", "undeclared actor 'alic' (did you mean 'alice'?)"),
        ("send: {as: bob, frame: {type: heartbeat}}", "name one of phone, laptop, or *"),
        ("send: {as: bob.tablet, frame: {type: heartbeat}}", "bob has no device 'tablet'"),
        ("send: {as: bob.*, frame: {type: heartbeat}}", "sent by one device"),
        ("send: {as: mallory, frame: {type: heartbeat}}", "mallory is not connected at this point"),
        ("send: {as: alice, frame: {type: heartbeat}, invalid: true}", "finds nothing wrong"),
        ("send: {as: alice, frame: {type: hearbeat}}", "unknown type"),
        ("send: {as: alice, frame: {type: deliver}}", "only a server sends"),
        (SEND.replace("PAYLOAD", "ciphertext: '${c}', message_type: text"), "/payload: "),
        (SEND.replace("PAYLOAD", GOOD_PAYLOAD.replace("text", "Text")), "say `invalid: true`"),
        (
            SEND.replace("PAYLOAD", GOOD_PAYLOAD.replace("bob.id", "bob.idd")),
            "no 'idd' in it (did you mean 'id'?)",
        ),
        (SEND.replace("PAYLOAD", GOOD_PAYLOAD.replace("{c}", "{d}")), "${d} is not defined"),
        ('send: {as: alice, raw: \'{"type":"heartbeat"\'}', "not JSON"),
        (
            "expect: {as: alice, frame: {type: sent_ak}}",
            "no s2c frame has the type 'sent_ak' (did you mean 'sent_ack'?)",
        ),
        ("expect: {as: alice, frame: {type: send}}", "no s2c frame has the type 'send'"),
        ("expect: {as: alice, frame: {type: sent_ack, payload: {state: sent}}}", "has no field 'state'"),
        ("expect: {as: alice, frame: {type: sent_ack, payload: {status: seen}}}", "can match"),
        ("expect: {as: alice, frame: {type: sent_ack, message_id: '${later}'}}", "${later} is not defined"),
        ("expect: {as: alice, frame: {type: sent_ack, timestamp: !match '('}}", "not a regular expression"),
        ("expect: {as: alice, frame: {type: sent_ack, timestamp: !mtch a}}", "did you mean '!match'?"),
        ("expect: {as: alice, frame: {type: sent_ack}, req: MSG-1}", "unknown requirement 'MSG-1'"),
        ("expect: {as: alice, frame: {type: sent_ack}, req: [MSG-12, NO-1]}", "unknown requirement 'NO-1'"),
        (
            "expect: {as: alice, frame: {type: sent_ack}, capture: {x: /payload/nope}}",
            "no example of 'sent_ack' has /payload/nope",
        ),
        ("expect: {as: alice, frame: {type: sent_ack}, within: soon}", "soon"),
        ("expect_close: {as: alice, codes: [99]}", "99"),
        ("none: {actors: [alice, carol]}", "undeclared actor 'carol'"),
        ("none: {actors: [alice], allow: [delver]}", "no s2c frame has the type 'delver'"),
        (
            "control: {create_grup: {}}",
            "unknown control operation 'create_grup' (did you mean 'create_group'?)",
        ),
        ("control: {create_group: {member: []}}", "no argument 'member' (did you mean 'members'?)"),
        ("control: {add_member: {group_id: x}}", "needs the argument 'user_id'"),
        ("connect: {as: alice, carrier: cookie}", "cookie"),
        ("repeat: {n: 0, steps: [{drop: {as: alice}}]}", "0 is less than"),
        ("unordered: [{drop: {as: alice}}, {drop: {as: bob.*}}]", "unknown key 'drop'"),
        ("any_of: [[{drop: {as: alice}}], []]", "an alternative begins with"),
    ],
)
def test_what_is_wrong_in_a_step_is_said_with_its_line(tmp_path: Path, step: str, said: str) -> None:
    lines = problems(tmp_path, HEAD + PROOF + f"    - {step}\n")
    # The step stands on the line after the proof.
    place = re.compile(rf"scenarios\.yaml:{FIRST_STEP + 1}\b")
    assert any(said in line and place.search(line) for line in lines), lines


@pytest.mark.parametrize(
    ("old", "new", "said", "line"),
    [
        ("id: under-test", "id: Under_Test", "Under_Test", 1),
        ("area: messages", "area: mesages", "did you mean 'messages'?", 1),
        ("catches: Nothing at all, it is for a test.", "slow: false", '"catches" is a required property', 1),
        ("actors: {alice: {}", "actors: {alice: {device: [x]}", "did you mean 'devices'?", 5),
        ("mallory: {connect: false}", "mallory: {connect: [fon]}", "mallory has no device 'fon'", 1),
        ("vars: {m: uuid", "vars: {m: uid", "uid", 6),
        ("vars: {m: uuid", "vars: {alice: uuid, m: uuid", "'alice' means something else", 1),
        ("vars: {m: uuid", "vars: {limits: uuid, m: uuid", "'limits' means something else", 1),
        ("vars: {m: uuid", "vars: {n: {value: '${o}'}, m: uuid", "${o} is not defined", 1),
        ("area: messages", "area: messages\n  requires: {capabilities: [cals]}", "did you mean 'calls'?", 1),
        (
            "area: messages",
            "area: messages\n  requires: {control: [create_grup]}",
            "did you mean 'create_group'?",
            1,
        ),
        ("area: messages", "area: messages\n  about: [deliver]", "ambient types only", 1),
    ],
)
def test_what_is_wrong_in_the_head(tmp_path: Path, old: str, new: str, said: str, line: int) -> None:
    assert old in HEAD
    lines = problems(tmp_path, HEAD.replace(old, new) + PROOF)
    assert any(said in text and re.search(rf"yaml:{line}\b", text) for text in lines), lines


def test_a_scenario_without_a_requirement_proves_nothing(tmp_path: Path) -> None:
    text = HEAD + "    - send: {as: alice, frame: {type: heartbeat}}\n"
    assert "proves nothing" in problems(tmp_path, text)[0]


def test_ids_stand_once_over_all_files(tmp_path: Path) -> None:
    text = HEAD + PROOF
    assert "already used at" in problems(tmp_path, text + text)[0]
    other = tmp_path / "other.yaml"
    other.write_text(text.replace("under-test", "message-life"))
    with pytest.raises(
        UsageError, match=r"other\.yaml:1: the id 'message-life' is already used at .*messages"
    ):
        load_scenarios(load_catalogue(), [other])


def test_all_problems_are_said_at_once(tmp_path: Path) -> None:
    text = HEAD + "    - drop: {as: carol}\n" + PROOF + "    - drop: {as: dave}\n"
    lines = problems(tmp_path, text)
    assert [f":{FIRST_STEP}:" in lines[0], f":{FIRST_STEP + 2}:" in lines[1]] == [True, True]


def test_a_folder_without_scenarios_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty: there is no scenario file in this folder"):
        load_scenarios(load_catalogue(), [tmp_path / "empty"])
    with pytest.raises(UsageError, match="no such scenario"):
        load_scenarios(load_catalogue(), [Path("/nonexistent/scenarios")])


def test_captures_are_known_after_all_alternatives_only(tmp_path: Path) -> None:
    def text(second: str) -> str:
        return HEAD + textwrap.indent(
            textwrap.dedent(f"""\
            - any_of:
                - - expect: {{as: alice, frame: {{type: sent_ack}}, capture: {{x: /message_id}}, req: MSG-12}}
                - - expect: {{as: alice, frame: {{type: error}}{second}}}
            - expect: {{as: alice, frame: {{type: status_update, message_id: "${{x}}"}}}}
            """),
            "    ",
        )

    assert "${x} is not defined" in problems(tmp_path, text(""))[0]
    assert load(tmp_path, text(", capture: {x: /message_id}"))


def test_the_counter_of_a_repetition_is_known_inside_only(tmp_path: Path) -> None:
    step = "expect: {as: alice, frame: {type: sent_ack, message_id: '${m[i]}'}, req: MSG-12}"
    assert load(tmp_path, HEAD + f"    - repeat: {{n: 3, as: i, steps: [{{{step}}}]}}\n")
    assert "${i} is not defined" in problems(tmp_path, HEAD + f"    - {step}\n")[0]


def test_results_of_control_steps_are_known(tmp_path: Path) -> None:
    control = "    - control: {create_group: {members: ['${alice.id}']}, as: g}\n"
    payload = "group_id: '${g.FIELD}', ciphertext: '${c}', message_type: text"
    send = f"    - {SEND.replace('PAYLOAD', payload)}\n"
    assert load(tmp_path, HEAD + control + send.replace("FIELD", "group_id") + PROOF)
    assert (
        "did you mean 'group_id'?"
        in problems(tmp_path, HEAD + control + send.replace("FIELD", "groupid") + PROOF)[0]
    )


def test_a_dropped_device_cannot_send(tmp_path: Path) -> None:
    text = HEAD + PROOF + "    - drop: {as: alice}\n    - send: {as: alice, frame: {type: heartbeat}}\n"
    assert "alice is not connected at this point" in problems(tmp_path, text)[0]
    text = text.replace("    - send", "    - connect: {as: alice}\n    - send")
    assert load(tmp_path, text)


def test_matchers_stand_in_templates(tmp_path: Path) -> None:
    text = (
        HEAD
        + "    - expect: {as: alice, req: MSG-12,\n"
        + "        frame: {type: sent_ack, server_id: !absent , timestamp: !match Z$}}\n"
    )
    (scenario,) = load(tmp_path, text)
    (step,) = scenario.steps
    assert isinstance(step, Expect)
    assert step.frame["server_id"] == Absent()
    assert step.frame["timestamp"] == Match("Z$")


def test_none_takes_a_bare_actor_for_all_its_devices(tmp_path: Path) -> None:
    text = (
        HEAD
        + "    - none: {actors: [bob, '*'], req: MSG-20,\n"
        + "        allow: [deliver, {type: error, payload: {error_code: invalid_message}}]}\n"
    )
    (step,) = load(tmp_path, text)[0].steps
    assert isinstance(step, Nothing)
    assert step.whom[0].every
    assert step.everybody
    assert [item["type"] for item in step.allow] == ["deliver", "error"]


def test_capabilities_follow_from_the_frames(tmp_path: Path) -> None:
    catalogue = load_catalogue()
    send = "    - send: {as: alice, frame: {type: presence, payload: {status: away}}}\n"
    (scenario,) = load(tmp_path, HEAD + send + PROOF)
    assert from_scenario(catalogue, scenario).capabilities == {"core", "presence"}
    bad = "    - send: {as: alice, invalid: true, frame: {type: presence, payload: {status: gone}}}\n"
    (scenario,) = load(tmp_path, HEAD + bad + PROOF)
    assert from_scenario(catalogue, scenario).capabilities == {"core"}


def test_limits_that_a_scenario_speaks_of_must_be_stated(tmp_path: Path) -> None:
    text = HEAD.replace("c: base64", "c: {base64: '${limits.max_frame_bytes}'}")
    send = f"    - {SEND.replace('PAYLOAD', GOOD_PAYLOAD)}\n"
    (scenario,) = load(tmp_path, text + send + PROOF)
    assert from_scenario(load_catalogue(), scenario).limits == {"max_frame_bytes"}


def test_the_kits_own_cases_load_and_say_what_they_catch() -> None:
    catalogue = load_catalogue()
    cases = load_cases(catalogue)
    assert len({case.id for case in cases}) == len(cases) > 100
    for case in cases:
        assert case.requirements, case.id
        assert case.catches.endswith("."), case.id
        if case.scenario is not None:
            assert list(walk(case.scenario.steps)), case.id
