"""What `--help` says of every command of the kit, the same on every terminal."""

from __future__ import annotations

import copy
from importlib.metadata import entry_points

import click

from relaykit.docs_gen.kept import kept

_WIDTH = 88


def commands_help() -> tuple[tuple[str, str], ...]:
    """Name and help text of each of the kit's commands, subcommands after their group."""
    return kept("help", "", rendered)


def rendered() -> tuple[tuple[str, str], ...]:
    """The same, rendered anew."""
    found: list[tuple[str, str]] = []
    for entry in sorted(entry_points(group="relaykit.commands"), key=lambda entry: entry.name):
        if entry.dist is not None and entry.dist.name != "relaykit":
            continue  # somebody's plugin is not the kit's documentation
        _collect(found, entry.load(), f"relaykit {entry.name}")
    return tuple(found)


def _collect(found: list[tuple[str, str]], command: click.Command, name: str) -> None:
    command = copy.copy(command)
    command._help_option = None  # a command remembers how --help was spelt when it first ran in this process
    context = click.Context(
        command,
        info_name=name,
        terminal_width=_WIDTH,
        max_content_width=_WIDTH,
        help_option_names=["-h", "--help"],
    )
    found.append((name, command.get_help(context).rstrip()))
    if isinstance(command, click.Group):
        for sub in command.list_commands(context):
            inner = command.get_command(context, sub)
            if inner is not None:
                _collect(found, inner, f"{name} {sub}")
