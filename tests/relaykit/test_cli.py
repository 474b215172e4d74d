"""The root command: its menu, and how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest

from relaykit import cli
from relaykit.errors import KitDefect, UnreachableError, UsageError


def _with_command(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    @click.command()
    def boom() -> None:
        raise error

    monkeypatch.setattr(cli._Commands, "get_command", lambda *_: boom)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("t.yaml:3: wrong", hint="do this"), 2),
        (UnreachableError("no answer"), 3),
        (KitDefect("oops"), 5),
        (KeyboardInterrupt(), 130),
        (click.BadParameter("no"), 2),
    ],
)
def test_an_error_ends_in_a_message_and_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _with_command(monkeypatch, error)
    with pytest.raises(SystemExit) as ended:
        cli.main(["boom"])
    assert ended.value.code == code
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert shown.strip()


def test_a_reader_that_has_seen_enough_is_no_failure(tmp_path: Path) -> None:
    frames = tmp_path / "frames.ndjson"
    frames.write_text('{"type":"heartbeat"}\n' * 20_000)
    relaykit = Path(sys.executable).with_name("relaykit")
    command = f"{relaykit} validate --all {frames} | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + signal.SIGPIPE
    assert done.stderr.count("\n") <= 1, done.stderr


def test_a_full_disk_is_not_a_defect_of_the_kit(tmp_path: Path) -> None:
    frames = tmp_path / "frames.ndjson"
    frames.write_text('{"type":"heartbeat"}\n' * 20_000)
    relaykit = Path(sys.executable).with_name("relaykit")
    for output in ("> /dev/full", "--output /dev/full"):
        command = f"{relaykit} validate --all {frames} {output}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 2, (output, done.stderr)
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("error", [ValueError("token=abcdefgh"), PermissionError(13, "token=abcdefgh")])
def test_an_unforeseen_exception_is_a_defect_of_the_kit_without_secrets(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _with_command(monkeypatch, error)
    with pytest.raises(SystemExit) as ended:
        cli.main(["boom"])
    assert ended.value.code == 5
    shown = capsys.readouterr().err
    assert "defect of the kit" in shown
    assert "abcdefgh" not in shown


def test_every_registered_command_loads_and_has_help() -> None:
    context = click.Context(cli.root)
    group = cli.root
    assert isinstance(group, click.Group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        assert command.get_short_help_str(), name


def test_help_of_one_command_does_not_load_the_others() -> None:
    code = (
        "import sys; from relaykit import cli\n"
        "try: cli.main(['validate', '--help'])\n"
        "finally: print([m for m in sys.modules if 'reference_server' in m or 'conformance' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("[]")


def test_an_unknown_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["vaildate"])
    assert ended.value.code == 2
    assert "vaildate" in capsys.readouterr().err


def test_entry_points_name_only_the_commands_tools_rely_on() -> None:
    assert {entry.name for entry in _entries()} <= set(cli._ORDER)


def _entries() -> list[EntryPoint]:
    return list(cli.entry_points(group="relaykit.commands"))
