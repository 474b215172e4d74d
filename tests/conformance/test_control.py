"""Control by a command and by a Python adapter: what they offer, and what is said when they fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from support.control import TOKEN, bench
from support.server import new_id

from relaykit.config import load_yaml
from relaykit.conformance.control import (
    Control,
    ControlFailedError,
    ControlMissingError,
    ControlRefusedError,
    open_control,
)
from relaykit.conformance.control_command import OverCommand
from relaykit.conformance.control_spec import CommandControl, HttpControl, PythonControl
from relaykit.conformance.target import read_target
from relaykit.errors import UsageError
from relaykit.schemas import control_lines, control_operations, load_catalogue, thaw
from relaykit.schemas.lines import MISSING, REFUSED, line_examples

EXAMPLES = Path(__file__).parents[2] / "examples"
ECHO = """\
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps({"id": asked["id"], "result": {"pid": os.getpid(), **asked["arguments"]}}), flush=True)
"""


def command(tmp_path: Path, text: str, *, seconds: float = 20, only: set[str] | None = None) -> Control:
    (tmp_path / "adapter.py").write_text(textwrap.dedent(text))
    operations = None if only is None else frozenset(only)
    made = open_control(CommandControl((sys.executable, "adapter.py"), tmp_path, operations), seconds)
    assert made is not None
    return made


def python(tmp_path: Path, text: str, name: str = "Adapter", **options: Any) -> Control:
    (tmp_path / "own_adapter.py").write_text(textwrap.dedent(text))
    made = open_control(PythonControl(f"own_adapter.py:{name}", tmp_path, options, None, "t.yaml:3"), 20)
    assert made is not None
    return made


def asked(
    control: Control, operation: str = "create_user", arguments: Mapping[str, Any] | None = None
) -> Any:
    async def main() -> Any:
        try:
            return await control.call(operation, arguments or {})
        finally:
            await control.close()

    return asyncio.run(main())


def test_one_command_lives_for_all_calls_and_ends_with_its_input(tmp_path: Path) -> None:
    async def main() -> None:
        control = command(tmp_path, ECHO + "open('ended', 'w').close()\n")
        answers = await asyncio.gather(*(control.call("create_user", {"n": n}) for n in range(20)))
        assert [answer["n"] for answer in answers] == list(range(20))
        assert len({answer["pid"] for answer in answers}) == 1
        await control.close()

    asyncio.run(main())
    assert (tmp_path / "ended").exists()


def test_answers_may_come_in_any_order(tmp_path: Path) -> None:
    text = """\
    import json, sys
    asked = [json.loads(sys.stdin.readline()) for _ in range(2)]
    for each in reversed(asked):
        print(json.dumps({"id": each["id"], "result": each["arguments"]}), flush=True)
    sys.stdin.read()
    """

    async def main() -> None:
        control = command(tmp_path, text)
        answers = await asyncio.gather(*(control.call("create_user", {"n": n}) for n in range(2)))
        assert [answer["n"] for answer in answers] == [0, 1]
        await control.close()

    asyncio.run(main())


ANSWER = """\
import json, sys
asked = json.loads(sys.stdin.readline())
print({answer}, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import sys\nsys.exit('no database')", "ended with exit status 1; its last lines:\n    no database"),
        ("print('listening')", "a line that is no answer (its log belongs on standard error): listening"),
        (ANSWER.format(answer="'{}'"), "no answer"),
        (ANSWER.format(answer="json.dumps({'id': asked['id'], 'error': 'no such user'})"), "no such user"),
        (ANSWER.format(answer="json.dumps({'id': asked['id'], 'result': 7})"), "no object `result`"),
        (ANSWER.format(answer="'x' * 2**21"), "a line longer than"),
    ],
)
def test_a_command_that_fails_says_how(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ControlFailedError) as failed:
        asked(command(tmp_path, text))
    assert said in str(failed.value)
    assert str(failed.value).startswith("create_user: ")


@pytest.mark.parametrize(("more", "refused"), [({}, False), ({"refused": True}, True)])
def test_a_command_says_what_is_refused(tmp_path: Path, more: dict[str, Any], refused: bool) -> None:
    answer = f"json.dumps({{'id': asked['id'], 'error': 'no such user', **{more}}})"
    with pytest.raises(ControlFailedError) as failed:
        asked(command(tmp_path, ANSWER.format(answer=answer)))
    assert isinstance(failed.value, ControlRefusedError) is refused


def test_what_fails_once_fails_at_once_from_then_on(tmp_path: Path) -> None:
    async def main() -> None:
        control = command(tmp_path, "import sys\nsys.exit(3)")
        for _ in range(2):
            with pytest.raises(ControlFailedError, match="exit status 3"):
                await control.call("create_user", {})
        await control.close()

    asyncio.run(main())


def test_a_silent_command_is_given_up_and_ended(tmp_path: Path) -> None:
    silent = "import sys, time\nsys.stderr.write('thinking\\n')\nsys.stderr.flush()\nsys.stdin.read()\n"
    with pytest.raises(ControlFailedError, match=r"no answer within 0\.5 s"):
        asked(command(tmp_path, silent, seconds=0.5))


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    control = open_control(CommandControl(("no-such-command",), tmp_path, None), 5)
    assert control is not None
    with pytest.raises(ControlFailedError, match="'no-such-command' cannot be run: No such file"):
        asked(control)


def test_operations_that_a_command_lacks(tmp_path: Path) -> None:
    missing = ANSWER.format(answer="json.dumps({'id': asked['id'], 'error': 'never heard', 'missing': True})")
    with pytest.raises(ControlMissingError, match="reset"):
        asked(command(tmp_path, missing), "reset")
    with pytest.raises(ControlMissingError, match="reset"):
        asked(command(tmp_path, ECHO, only={"create_user"}), "reset")


ADAPTER = """\
from relaykit.conformance.api import ControlRefusedError
class Adapter:
    def __init__(self, name="nobody"):
        self.name = name
    def create_user(self, user_id):
        return {"user_id": user_id, "made_by": self.name}
    async def add_contact(self, **given):
        return None
    def reset(self):
        raise NotImplementedError
    def create_group(self, members):
        raise ValueError("no room")
    def revoke_device(self):
        raise ControlRefusedError("no such device")
    def conversation(self):
        return 7
    def add_member(self):
        raise SystemExit(0)
    async def remove_member(self):
        raise SystemExit(0)
    def close(self):
        open(self.name, "w").close()
        raise SystemExit(0)
"""


def test_an_adapter_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made = asked(python(tmp_path, ADAPTER, name="Adapter"), "create_user", {"user_id": "u"})
    assert made == {"user_id": "u", "made_by": "nobody"}
    assert (tmp_path / "nobody").exists()
    assert asked(python(tmp_path, ADAPTER), "add_contact", {"user_id": "u"}) == {}
    for operation in ("reset", "drop_connection"):
        with pytest.raises(ControlMissingError, match=operation):
            asked(python(tmp_path, ADAPTER), operation)
    with pytest.raises(ControlFailedError, match="create_group: ValueError: no room") as failed:
        asked(python(tmp_path, ADAPTER), "create_group", {"members": []})
    assert not isinstance(failed.value, ControlRefusedError)
    with pytest.raises(ControlRefusedError, match="revoke_device: no such device"):
        asked(python(tmp_path, ADAPTER), "revoke_device")
    for operation in ("add_member", "remove_member"):
        with pytest.raises(ControlFailedError, match=f"{operation}: SystemExit: 0"):
            asked(python(tmp_path, ADAPTER), operation)
    with pytest.raises(ControlFailedError, match="a int, no mapping"):
        asked(python(tmp_path, ADAPTER), "conversation")


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        (ADAPTER, "Adaptor", "has no attribute 'Adaptor'"),
        ("import no_such_module", "Adapter", "No module named 'no_such_module'"),
        ("def", "Adapter", "SyntaxError"),
        ("raise SystemExit(0)", "Adapter", "SystemExit: 0"),
        ("class Adapter:\n    def __init__(self, url): ...", "Adapter", "url"),
    ],
)
def test_an_adapter_that_cannot_be_loaded_is_a_users_mistake(
    tmp_path: Path, text: str, name: str, said: str
) -> None:
    with pytest.raises(UsageError) as wrong:
        python(tmp_path, text, name)
    assert str(wrong.value).startswith("t.yaml:3: the control adapter 'own_adapter.py:")
    assert said in str(wrong.value)


def test_an_adapter_in_a_module_beside_the_target_file(tmp_path: Path) -> None:
    (tmp_path / "adapter_in_a_module.py").write_text("class A:\n    def reset(self): return {'done': 1}\n")
    control = open_control(PythonControl("adapter_in_a_module:A", tmp_path, {}, None, "t.yaml:3"), 5)
    assert control is not None
    assert asked(control, "reset") == {"done": 1}


def test_the_lines_have_a_schema() -> None:
    schema = thaw(control_lines())
    validator = jsonschema_rs.Draft202012Validator(schema)
    user = new_id()
    for line in (
        {"id": 1, "operation": "create_user", "arguments": {"user_id": user}},
        {"id": 1, "result": {}},
        {"id": 1, "error": "no"},
        {"id": 1, "error": "no", "refused": True},
        {"id": 1, "error": "no", "missing": True},
    ):
        assert validator.is_valid(line), line
    for line in (
        {"id": 1, "operation": "create_usr", "arguments": {}},
        {"id": 1, "operation": "create_user", "arguments": {"user": user}},
        {"operation": "create_user", "arguments": {}},
        {"id": 1, "result": {}, "error": "both"},
        {"id": 1, "result": {}, "refused": True},
        {"id": 1, "result": {}, "missing": True},
        {"id": 1},
    ):
        assert not validator.is_valid(line), line
    for name, operation in control_operations().items():
        assert {f"{name}_arguments", f"{name}_result"} <= set(schema["$defs"])
        request, answer = line_examples(operation)
        assert validator.is_valid(request)
        assert fits(f"{name}_result", answer["result"])
    for answer in (REFUSED, MISSING):
        assert fits("answer", answer)


def fits(definition: str, value: Any) -> bool:
    """Whether a value is as a definition of the lines' schema says."""
    schema = {**thaw(control_lines()), "$ref": f"#/$defs/{definition}"}
    del schema["anyOf"]
    return jsonschema_rs.Draft202012Validator(schema).is_valid(value)


def test_what_suite_and_example_write_are_such_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real lines, both ways, between the suite and `examples/control_command.py`."""
    asked: list[Any] = []
    answered: list[Any] = []
    write, take = OverCommand._write, OverCommand._take

    async def writes(self: OverCommand, request: Any) -> None:
        asked.append(request)
        await write(self, request)

    def takes(self: OverCommand, line: bytes) -> bool:
        answered.append(json.loads(line))
        return take(self, line)

    monkeypatch.setattr(OverCommand, "_write", writes)
    monkeypatch.setattr(OverCommand, "_take", takes)
    monkeypatch.setenv("RELAYKIT_CONTROL_TOKEN", TOKEN)

    async def main() -> None:
        async with bench() as served:
            monkeypatch.setenv("ADMIN_URL", str(served.server.server.control_url))
            spec = CommandControl((sys.executable, "control_command.py"), EXAMPLES, None)
            await every_operation(open_control(spec, 20))

    asyncio.run(main())
    operations = {request["id"]: request["operation"] for request in asked}
    assert set(operations.values()) >= {"create_user", "add_contact", "create_group", "conversation", "reset"}
    assert sum("error" in answer for answer in answered) == 2
    assert all(fits("request", request) for request in asked)
    assert all(fits("answer", answer) for answer in answered)
    for answer in answered:
        assert "error" in answer or fits(f"{operations[answer['id']]}_result", answer["result"])


async def every_operation(control: Control | None) -> None:
    """Use what the examples offer, something that they do not, and one in vain; judge what they give."""
    assert control is not None

    async def call(operation: str, **arguments: Any) -> dict[str, Any]:
        assert fits(f"{operation}_arguments", arguments)
        result = await control.call(operation, arguments)
        assert fits(f"{operation}_result", result), (operation, result)
        return result

    users = [new_id(), new_id()]
    for user in users:
        assert (await call("create_user", user_id=user))["user_id"] == user
    await call("add_contact", user_id=users[0], contact_id=users[1])
    group = (await call("create_group", members=users[:1]))["group_id"]
    assert set((await call("add_member", group_id=group, user_id=users[1]))["members"]) == set(users)
    assert (await call("remove_member", group_id=group, user_id=users[1]))["members"] == users[:1]
    assert "conversation_id" in await call("conversation", members=users)
    with pytest.raises(ControlMissingError):
        await call("reset")
    with pytest.raises(ControlRefusedError, match="404"):
        await call("add_member", group_id=f"group-{new_id()}", user_id=users[1])
    await control.close()


@contextlib.contextmanager
def serving(kind: str) -> Iterator[str]:
    """The example's own service, where it has one; its address."""
    if kind != "http":
        yield ""
        return
    words = [sys.executable, str(EXAMPLES / "control_http.py"), "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().removeprefix("control on ").strip()
        finally:
            process.terminate()


@pytest.mark.parametrize("kind", ["http", "command", "python"])
def test_the_examples_work(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with bench() as served, contextlib.AsyncExitStack() as stack:
            url = str(served.server.server.control_url)
            monkeypatch.setenv("ADMIN_URL", url)
            monkeypatch.setenv("RELAYKIT_CONTROL_TOKEN", TOKEN)
            monkeypatch.setenv("RELAYKIT_SECRET", "any secret, long enough for the purpose")
            monkeypatch.setenv("CONTROL_TOKEN", "another-control-token")
            document = load_yaml(EXAMPLES / f"{kind}.target.yaml")
            own = stack.enter_context(serving(kind))
            if kind == "python":
                document.data["control"]["python"]["options"]["url"] = url
            elif kind == "http":
                document.data["control"]["http"]["url"] = own
            else:
                document.data["control"]["command"]["run"][0] = sys.executable
            control = open_control(read_target(document, load_catalogue(), base=EXAMPLES).control, 20)
            await every_operation(control)
            if kind == "http":
                stranger = open_control(HttpControl(own, "wrong", None), 20)
                assert stranger is not None
                with pytest.raises(ControlFailedError, match="401"):
                    await stranger.call("create_user", {})
                await stranger.close()

    asyncio.run(main())


def test_the_target_file_describes_each_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "target.yaml"

    def read(control: Any) -> Any:
        data = {"url": "ws://127.0.0.1:1", "tokens": {"mint": {"secret": {"value": "x"}}}, "control": control}
        path.write_text(json.dumps(data))
        return read_target(load_yaml(path), load_catalogue(), base=tmp_path)

    target = read({"command": {"run": ["node", "control.js"], "operations": ["reset"]}})
    assert target.control == CommandControl(("node", "control.js"), tmp_path, frozenset({"reset"}))
    assert target.offers("reset")
    assert not target.offers("create_user")
    assert read({"python": {"adapter": "a.b:C"}}).offers("create_user")
    for wrong in ({}, {"command": {"run": []}}, {"python": {"adapter": "no colon"}}, {"carrier-pigeon": {}}):
        with pytest.raises(UsageError):
            read(wrong)
    with pytest.raises(UsageError, match="did you mean 'reset'"):
        read({"command": {"run": ["x"], "operations": ["rest"]}})
