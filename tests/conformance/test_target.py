"""The target file: what it says, and what is said of it when it is wrong."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from relaykit.config import load_yaml
from relaykit.conformance.expectations import check_expectations, in_force
from relaykit.conformance.setup import Given, make_target
from relaykit.conformance.target import Target, read_target
from relaykit.errors import UsageError
from relaykit.schemas import load_catalogue

CATALOGUE = load_catalogue()
GOOD = """\
url: ws://127.0.0.1:8787
tokens: {mint: {secret: {env: A_SECRET}}}
"""


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RELAYKIT_SECRET", raising=False)
    monkeypatch.setenv("A_SECRET", "a secret of the environment")


def read(tmp_path: Path, text: str) -> Target:
    path = tmp_path / "target.yaml"
    path.write_text(text)
    return read_target(load_yaml(path), CATALOGUE, base=tmp_path)


def test_the_least(tmp_path: Path) -> None:
    target = read(tmp_path, GOOD)
    assert target.url == "ws://127.0.0.1:8787/ws"
    assert target.minting.key == "a secret of the environment"
    assert target.capabilities == {"core"}
    assert target.limits["burst"] == CATALOGUE.protocol.limits["burst"].default
    assert target.stated == frozenset()
    assert target.waits.reply == 2.0
    assert not target.offers("create_group")


def test_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "control-token").write_text("a control token\n")
    target = read(
        tmp_path,
        GOOD
        + """\
name: mine
carrier: query
headers: {X-Forwarded-For: 127.0.0.9}
control: {http: {url: 'http://127.0.0.1:8788/', token: {file: control-token}, operations: [create_group]}}
capabilities: {groups: true, calls: false}
limits: {max_frame_bytes: 4096}
timing: {reply_ms: 100, quiet_ms: 10, clock_leeway_s: 5}
legacy: {query: frames=1}
concurrency: 4
expected_failures: [{case: message-life, reason: it is known}, {requirement: MSG-01, reason: it is known}]
""",
    )
    assert target.control is not None
    assert target.control.token == "a control token"
    assert target.control.url == "http://127.0.0.1:8788"
    assert target.offers("create_group")
    assert not target.offers("add_member")
    assert target.capabilities == {"core", "groups"}
    assert target.limits["max_frame_bytes"] == 4096
    assert target.stated == {"max_frame_bytes"}
    assert target.timing["clock_leeway_s"] == 5
    assert target.waits.scaled(2).reply == 0.2
    assert target.legacy is not None
    assert [entry.place.rpartition(":")[2] for entry in target.expected] == ["12", "12"]
    assert set(target.secrets) == {"a secret of the environment", "a control token"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("url:", "ulr:", "target.yaml:1: /ulr: unknown key 'ulr' (did you mean 'url'?)"),
        ("ws://127.0.0.1:8787", "http://127.0.0.1", "target.yaml:1: /url"),
        ("ws://127.0.0.1:8787", "ws://127.0.0.1:99999", "not a usable address"),
        ("ws://127.0.0.1:8787", "ws://me:pw@127.0.0.1", "without user name"),
        ("A_SECRET", "NOT_SET", "target.yaml:2: the environment variable NOT_SET is not set"),
        ("{env: A_SECRET}", "{file: nowhere}", "the secret cannot be read"),
        ("{env: A_SECRET}", "plain-text", "target.yaml:2: /tokens/mint/secret"),
        ("{secret:", "{algorithm: RS256, secret:", "RS256 needs a `key`, not a `secret`"),
        ("{secret:", "{algorithm: HS384, secret:", "target.yaml:2: /tokens/mint/algorithm"),
        ("url:", "capabilities: {cals: true}\nurl:", "unknown key 'cals' (did you mean 'calls'?)"),
        ("url:", "limits: {brust: 1}\nurl:", "unknown key 'brust' (did you mean 'burst'?)"),
        ("url:", "timing: {replyms: 1}\nurl:", "unknown key 'replyms' (did you mean 'reply_ms'?)"),
        ("url:", "expected_failures: [{case: x}]\nurl:", '"reason" is a required property'),
        ("url:", "expected_failures: [{case: x, requirement: y, reason: zzz}]\nurl:", "oneOf"),
        (
            "url:",
            "control: {http: {url: 'http://127.0.0.1', operations: [reste]}}\nurl:",
            "did you mean 'reset'?",
        ),
        ("url:", "url: ws://a\nurl:", "stands twice"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert said in str(caught.value)
    assert "a secret of the environment" not in str(caught.value)


def test_expected_failures_must_name_something(tmp_path: Path) -> None:
    text = (
        GOOD
        + "expected_failures:\n  - {case: mesage-life, reason: known}\n"
        + "  - {requirement: MSG-999, reason: known}\n"
    )
    with pytest.raises(UsageError) as caught:
        check_expectations(read(tmp_path, text).expected, ["message-life"], CATALOGUE.requirements)
    first, second = str(caught.value).splitlines()
    assert "target.yaml:4: unknown case 'mesage-life' (did you mean 'message-life'?)" in first
    assert "target.yaml:5: unknown requirement 'MSG-999'" in second


def test_an_expectation_lapses_after_its_day(tmp_path: Path) -> None:
    text = GOOD + "expected_failures:\n  - {case: x, reason: known, until: 2026-03-01}\n"
    target = read(tmp_path, text + "  - {requirement: Y-01, reason: known}\n")
    live, lines = in_force(target.expected, date(2026, 3, 1))
    assert (len(live), lines) == (2, ())
    live, (line,) = in_force(target.expected, date(2026, 3, 2))
    assert [entry.subject for entry in live] == ["Y-01"]
    assert "target.yaml:4: x was expected to fail until 2026-03-01 (known)" in line
    for wrong in ("2026-02-31", "tomorrow", "2026-3-1"):
        with pytest.raises(UsageError, match="/expected_failures/0/until"):
            read(tmp_path, text.replace("2026-03-01", wrong))


def given(**more: object) -> Given:
    nothing = {
        "file": None,
        "url": None,
        "secret_file": None,
        "launch": None,
        "capabilities": (),
        "ports": {},
    }
    return Given(**{**nothing, **more})


def test_an_address_alone_needs_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="with which secret") as caught:
        make_target(given(url="ws://127.0.0.1:1"), CATALOGUE)
    assert "RELAYKIT_SECRET" in str(caught.value.hint)
    path = tmp_path / "secret"
    path.write_text("a secret in a file")
    target, _ = make_target(given(url="ws://127.0.0.1:1", secret_file=path), CATALOGUE)
    assert target.minting.key == "a secret in a file"
    monkeypatch.setenv("RELAYKIT_SECRET", "a secret by its usual name")
    target, environment = make_target(given(url="ws://127.0.0.1:1"), CATALOGUE)
    assert target.minting.key == "a secret by its usual name"
    assert environment == {}


def test_nothing_given_is_explained() -> None:
    with pytest.raises(UsageError, match="which server"):
        make_target(given(), CATALOGUE)


def test_a_launched_target_gets_a_port_and_a_secret_of_its_own() -> None:
    what = given(launch="server --port {port}", ports={"port": 4711}, capabilities=("all",))
    target, environment = make_target(what, CATALOGUE)
    assert what.command == "server --port 4711"
    assert target.url == "ws://127.0.0.1:4711/ws"
    assert target.minting.key == environment["RELAYKIT_SECRET"]
    assert target.capabilities == set(CATALOGUE.protocol.capabilities)
    other, _ = make_target(what, CATALOGUE)
    assert other.minting.key != target.minting.key


def test_a_launched_target_that_is_told_a_control_port_has_a_control_interface(tmp_path: Path) -> None:
    ports = {"port": 4711, "control_port": 4712}
    what = given(launch="server --port {port} --control-port {control_port}", ports=ports)
    target, environment = make_target(what, CATALOGUE)
    assert target.control is not None
    assert target.control.url == "http://127.0.0.1:4712"
    assert target.control.token == environment["RELAYKIT_CONTROL_TOKEN"]
    path = tmp_path / "target.yaml"
    path.write_text(
        "url: 'ws://127.0.0.1:{port}/ws'\ntokens: {mint: {secret: {env: A_SECRET}}}\n"
        "control: {http: {url: 'http://127.0.0.1:{control_port}/c'}}\n"
    )
    target, environment = make_target(given(file=path, launch=what.launch, ports=ports), CATALOGUE)
    assert target.control is not None
    assert (target.control.url, target.control.token) == ("http://127.0.0.1:4712/c", None)
    assert environment == {}


def test_options_go_before_the_file(tmp_path: Path) -> None:
    path = tmp_path / "target.yaml"
    path.write_text(GOOD + "capabilities: {calls: true}\n")
    target, _ = make_target(given(file=path, url="ws://127.0.0.1:2/x", capabilities=("typing",)), CATALOGUE)
    assert target.url == "ws://127.0.0.1:2/x"
    assert target.capabilities == {"core", "calls", "typing"}
    with pytest.raises(UsageError, match="did you mean 'typing'"):
        make_target(given(file=path, capabilities=("typng",)), CATALOGUE)
