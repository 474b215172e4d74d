"""One file, variables and flags configure everything; mistakes are told with their place, secrets never."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from support.approvals import ask
from support.control import bench
from support.process import environment
from support.server import in_loop, message, new_id

from relaykit.cli import root
from relaykit.config import parse_yaml
from relaykit.errors import UsageError
from relaykit.reference_server import settings as settings_
from relaykit.reference_server.commands import serve
from relaykit.reference_server.settings import ENVIRONMENT, PLACES, Settings, as_data, load, schema_of
from relaykit.schemas import load_catalogue

PROTOCOL = load_catalogue().protocol
SCHEMA = schema_of(PROTOCOL)
# What chooses the configuration, rather than being part of it; and flags that name a secret's place in short.
META = {"config", "print_config", "print_schema"}
SHORT = {"secret_file": "keys", "control_token_file": "control_token"}
OTHER = {  # a value for each setting that is not its default
    "host": "localhost", "port": 1, "store": "/x.db", "server_id": "other", "require_origin": True,
    "keys": [{"algorithm": "HS256", "secret": {"env": "SOME_KEY"}, "kid": "k"},
             {"jwks": {"file": "/keys.json"}}],
    "origins": ["https://app.example"], "compression": False, "legacy_frames": False, "check_output": True,
    "handshake_timeout_s": 1.5, "close_timeout_s": 1.5, "shutdown_timeout_s": 1.5,
    "max_handshake_bytes": 2048, "max_handshakes": 3, "max_connections": 4, "max_outgoing_bytes": 70000,
    "max_unread_bytes": 100000, "max_partial_bytes": 100000,
    "max_waiting_bytes": 80000, "max_waiting_bytes_per_sender": 70000,
    "max_memory_store_bytes": 2000000,
    "remembered_messages": 2000,
    "refusals_before_close": 5, "control_port": 0, "control_host": "::1", "control_remote": True,
    "control_token": {"file": "/token"},
    "tls_cert": "/cert.pem", "tls_key": "/key.pem", "tls_self_signed": True, "tls_ca_out": "/ca.pem",
    "metrics_port": 0, "docs_port": 0, "faults": ["drop@deliver:3", "slow=1kB/s"], "dev": True,
    "log_frames": False, "log_format": "json", "verbose": True, "ready_file": "/ready.json",
}  # fmt: skip


def other(section: str) -> dict[str, float]:
    limits = getattr(PROTOCOL, section).items()
    return {name: limit.minimum + 1 for name, limit in limits if not limit.fixed}


def whole() -> dict[str, Any]:
    """A configuration in which nothing is as by default."""
    return {**OTHER, "limits": other("limits"), "timing": other("timing")}


def read(data: Any, name: str = "/etc/serve.yaml", **more: Any) -> Settings:
    return load(PROTOCOL, file=parse_yaml(yaml.safe_dump(data), name), **more)


def invoke(*arguments: str, **variables: str) -> tuple[int, str]:
    """`relaykit serve --print-config` within this process: exit code and output."""
    result = CliRunner(env=environment(**variables)).invoke(root, ["serve", *arguments, "--print-config"])
    if isinstance(result.exception, UsageError):
        return 2, str(result.exception)
    return result.exit_code, result.output


def test_every_setting_can_be_set_in_the_file_and_nothing_else() -> None:
    names = {field.name for field in fields(Settings)} - set(PLACES)
    assert set(SCHEMA["properties"]) == names == set(whole())
    default = as_data(settings_.defaults(PROTOCOL))
    for section in ("limits", "timing"):
        names = {name for name, limit in getattr(PROTOCOL, section).items() if not limit.fixed}
        assert set(SCHEMA["properties"][section]["properties"]) == names == set(default[section])
    shown = as_data(read(whole()))
    assert shown == whole()
    assert [name for name in shown if shown[name] == default.get(name)] == []


def test_every_flag_is_a_setting() -> None:
    flags = {parameter.name for parameter in serve.params} - META
    assert {SHORT.get(name, name) for name in flags if name} <= set(SCHEMA["properties"])


def test_every_setting_is_described() -> None:
    def walk(rule: dict[str, Any], name: str) -> None:
        assert rule.get("description"), name
        for inner, inner_rule in rule.get("properties", {}).items():
            walk(inner_rule, f"{name}/{inner}")

    for name, rule in SCHEMA["properties"].items():
        walk(rule, name)


def test_what_is_printed_is_a_configuration(tmp_path: Path) -> None:
    config = tmp_path / "serve.yaml"
    config.write_text(yaml.safe_dump(whole()))
    code, printed = invoke("--config", str(config))
    assert (code, yaml.safe_load(printed)) == (0, whole())
    again = tmp_path / "elsewhere"
    again.mkdir()
    (again / "again.yaml").write_text(printed)
    assert invoke("--config", str(again / "again.yaml")) == (0, printed)
    code, printed = invoke()
    config.write_text(printed)
    assert invoke("--config", str(config)) == (0, printed)


@pytest.mark.parametrize(
    "text",
    [
        "12e4567",
        "1e5",
        "-0",
        "1.5",
        "true",
        "null",
        "~",
        "1" * 50,
        "a\u2028b",
        "a\x85b",
        "a\nb",
        " a ",
        "a: b",
        "é #1",
    ],
)
def test_text_that_looks_like_something_else_is_printed_as_text(text: str) -> None:
    given = {
        "server_id": text,
        "host": text,
        "faults": [text],
        "control_token": {"env": text},
        "keys": [{"algorithm": "HS256", "secret": {"env": text}, "kid": text}],
    }
    first = load(PROTOCOL, file=parse_yaml(json.dumps(given), "/etc/serve.yaml"))
    assert as_data(first).items() >= given.items()
    printed = settings_.as_text(first, PROTOCOL)
    assert as_data(load(PROTOCOL, file=parse_yaml(printed, "/etc/serve.yaml"))) == as_data(first)


@pytest.mark.parametrize("text", ["12e45", "1e5", "7", "true"])
def test_a_variable_for_text_takes_what_looks_like_a_number(text: str) -> None:
    found = load(PROTOCOL, environ={f"{ENVIRONMENT}SERVER_ID": text, f"{ENVIRONMENT}READY_FILE": text})
    assert (found.server_id, found.ready_file) == (text, str(Path(text).absolute()))


def test_what_is_printed_explains_every_setting() -> None:
    _, printed = invoke()
    lines = printed.splitlines()
    shown = whole()
    for name in (*(set(shown) - {"keys"}), *shown["limits"], *shown["timing"]):
        (place,) = [i for i, line in enumerate(lines) if re.match(rf" *{name}:", line)]
        assert lines[place - 1].lstrip().startswith("# "), name


def test_the_schema_is_printed_for_editors() -> None:
    result = CliRunner().invoke(root, ["serve", "--print-schema"])
    assert json.loads(result.output) == SCHEMA


def test_paths_mean_the_same_wherever_it_is_printed(tmp_path: Path) -> None:
    config = tmp_path / "serve.yaml"
    files = {"tls_cert": "c.pem", "tls_key": "k.pem", "control_token": {"file": "t"}, "ready_file": "r"}
    files["store"] = "s.db"
    config.write_text(yaml.safe_dump({**files, "keys": [{"algorithm": "HS256", "secret": {"file": "s"}}]}))
    shown = yaml.safe_load(invoke("--config", str(config))[1])
    assert [shown[name] for name in ("tls_cert", "tls_key", "ready_file", "store")] == [
        str(tmp_path / name) for name in ("c.pem", "k.pem", "r", "s.db")
    ]
    assert shown["control_token"] == {"file": str(tmp_path / "t")}
    assert shown["keys"][0]["secret"] == {"file": str(tmp_path / "s")}
    shown = yaml.safe_load(invoke("--config", str(config), "--tls-cert", "x.pem")[1])
    assert shown["tls_cert"] == str(Path("x.pem").absolute())  # a flag is of the folder it is typed in
    shown = yaml.safe_load(invoke(RELAYKIT_SERVE_READY_FILE="x.json")[1])
    assert shown["ready_file"] == str(Path("x.json").absolute())
    shown = yaml.safe_load(invoke("--config", str(config), "--store", "x.db")[1])
    assert shown["store"] == str(Path("x.db").absolute())
    shown = yaml.safe_load(invoke("--config", str(config), "--store", ":memory:")[1])
    assert shown["store"] == ":memory:"  # which is no file


@pytest.mark.parametrize("name", sorted(set(whole()) - {"keys", "control_token", "limits", "timing"}))
def test_every_setting_has_its_variable(name: str) -> None:
    variable = f"{ENVIRONMENT}{name.upper()}"
    found = load(PROTOCOL, environ={variable: json.dumps(OTHER[name])})
    assert as_data(found)[name] == OTHER[name]


@pytest.mark.parametrize("section", ["limits", "timing"])
def test_every_limit_and_interval_has_its_variable_and_flag(section: str) -> None:
    for name, value in other(section).items():
        found = load(PROTOCOL, environ={f"{ENVIRONMENT}{section}_{name}".upper(): str(value)})
        assert getattr(found, section)[name] == value
        shown = yaml.safe_load(invoke(f"--{section}", f"{name}={value}")[1])
        assert shown[section][name] == value


def test_what_the_protocol_fixes_has_none() -> None:
    with pytest.raises(UsageError, match="LIMITS_MAX_DEPTH: the protocol fixes max_depth at 64"):
        load(PROTOCOL, environ={f"{ENVIRONMENT}LIMITS_MAX_DEPTH": "65"})


def test_keys_by_flag_have_no_place_in_the_file() -> None:
    file, other = {"keys": OTHER["keys"]}, [{"algorithm": "HS256", "secret": {"file": "/key"}}]
    assert [place.rpartition(" ")[2] for place in read(file).places["keys"]] == ["/keys/0", "/keys/1"]
    assert read(file, flags={"keys": other}).places == {}
    assert read({"faults": ["drop"]}, environ={f"{ENVIRONMENT}FAULTS": "[delay=1s]"}).places == {}


def test_the_nearest_source_wins() -> None:
    file, environ, flags = {"port": 1, "server_id": "a", "verbose": True}, {f"{ENVIRONMENT}PORT": "2"}, {}
    assert read(file).port == 1
    assert read(file, environ=environ, flags=flags).port == 2
    assert read(file, environ=environ, flags={"port": 3}).port == 3
    assert read(file, environ=environ, flags={"port": None}).server_id == "a"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("prot: 1", "serve.yaml:1: /prot: unknown key 'prot' (did you mean 'port'?)"),
        ("port: 1\nlimits:\n  brust: 3\n", "serve.yaml:3: /limits/brust: unknown key 'brust' (did you mean"),
        ("timing: {ping_interval: 3}", "/timing/ping_interval: unknown key 'ping_interval' (did you mean"),
        ("\n\nlog_format: xml", "serve.yaml:3: /log_format"),
        ("port: 70000", "serve.yaml:1: /port"),
        ("port: 1\nport: 2", "serve.yaml:2"),
        ("limits: {max_depth: 100}", "/limits/max_depth: the protocol fixes max_depth at 64"),
        ("control_token: {envv: X}", "/control_token/envv: unknown key 'envv' (did you mean 'env'?)"),
        (
            "keys:\n- jwks: {file: x}\n  kidd: a",
            "serve.yaml:3: /keys/0/kidd: unknown key 'kidd' (did you mean",
        ),
        ("keys: [{algorithm: HS256, secret: {fil: X}}]", "/keys/0/secret/fil: unknown key 'fil' (did you"),
        ("keys: [{algorithm: HS256, pem: {file: x}}]", "/algorithm: HS256 is not for a pem: write secret in"),
        (
            "keys: [{algorithm: ES256, secret: {env: X}}]",
            "is not for a secret: write pem in its place, or one of HS256 as algorithm",
        ),
        ("keys: [{secret: {env: X}}]", "/keys/0: algorithm is missing: one of HS256"),
        ("keys: [{pem: {env: X}}]", "/keys/0: algorithm is missing: one of RS256, ES256, EdDSA"),
        ("keys: [{algorithm: HS256}]", "/keys/0: a key needs secret (a shared one), pem (a public key) or"),
        ("keys: [{jwks: {env: X}, pem: {env: X}, algorithm: ES256}]", "/keys/0: pem and jwks are different"),
        ("keys: [{jwks: {env: X}, kid: a}]", "/keys/0/kid: the keys of a jwks bring their own names"),
        ("timing: {approval_lifetime_s: 3153600001}", "/approval_lifetime_s: 3153600001 is greater than"),
        ("limits: {burst: 9007199254740992}", "/limits/burst: 9007199254740992 is greater than the maximum"),
        ("close_timeout_s: 86401", "/close_timeout_s: 86401 is greater than"),
        ("faults: drop", "/faults"),
        ("keys: [{algorithm: none, secret: {env: X}}]", "/keys/0/algorithm"),
        ("tls_cert: 5", "/tls_cert"),
        ("log_format: jsn", "/log_format: 'jsn' is not one of text, json (did you mean 'json'?)"),
        (
            "keys: [{algorithm: HS512, secret: {env: X}}]",
            "not one of HS256, RS256, ES256, EdDSA (did you mean",
        ),
        ('port: 1\nstore: "a\\0b"', "serve.yaml:2: /store: a zero byte stands in it"),
        ('keys: [{jwks: {file: "a\\0"}}]', "serve.yaml:1: /keys/0/jwks/file: a zero byte stands in it"),
        ("- port", "serve.yaml:1"),
        ("keys: []", "serve.yaml:1: /keys: [] has less than 1 item"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(PROTOCOL, file=parse_yaml(text, "serve.yaml"))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "control_token: hunter2",
        "keys: hunter2",
        "keys: [hunter2]",
        "keys: [{algorithm: HS256, secret: hunter2}]",
        "keys: [{algorithm: HS256, secret: {value: hunter2}}]",
        "keys: [{algorithm: HS256, secret: {env: A, file: hunter2}}]",
        "keys: [{secret: {env: A}, key: hunter2}]",
        "keys: [{algorithm: HS256, pem: [hunter2]}]",
        "keys: {secret: hunter2}",
        "keys: [{algorithm: HS256, secret: {hunter2}}]",
        "keys: [{algorithm: HS256, hunter2}]",
        "control_token: {hunter2}",
        "keys: [{secret: hunter2, pem: hunter2}]",
    ],
)
def test_a_secret_in_the_file_is_refused_but_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(PROTOCOL, file=parse_yaml(text, "serve.yaml"))
    assert "hunter2" not in str(caught.value)
    assert "serve.yaml:1: /" in str(caught.value)


def test_secrets_are_never_printed(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("a secret key that nobody is to see\n")
    code, printed = invoke(
        *("--secret-file", str(key), "--control-port", "0", "--control-token-file", str(key)),
        RELAYKIT_CONTROL_TOKEN="another secret",
    )
    assert code == 0
    assert "secret key" not in printed
    assert "another secret" not in printed
    assert yaml.safe_load(printed)["keys"] == [{"algorithm": "HS256", "secret": {"file": str(key)}}]


@in_loop
async def test_it_serves_with_the_most_that_every_limit_and_interval_may_be() -> None:
    most = {
        section: {name: rule["maximum"] for name, rule in SCHEMA["properties"][section]["properties"].items()}
        for section in ("limits", "timing")
    }
    settings = read(most)
    async with bench(limits=settings.limits, timing=settings.timing) as control:
        phone, other = await control.server.connect(), await control.server.connect()
        await ask(control, phone.user, new_id())
        assert (await phone.expect("device_approval_request"))["payload"]["expires_at"] > "2100"
        await phone.send(message(other.user))
        await phone.expect("sent_ack")
        await other.expect("deliver")
