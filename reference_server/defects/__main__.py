"""Starts the reference server with one seeded defect: python -m relaykit.reference_server.defects NAME …"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click

from relaykit.config import suggest
from relaykit.errors import RelaykitError, UsageError
from relaykit.reference_server.commands import serve
from relaykit.reference_server.defects import all_defects
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.defects.setups import setups

NONE = "none"
"""In place of a defect: the server as it should be."""


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--list", "list_", is_flag=True, help="List the defects, and stop.")
@click.option("--fork", is_flag=True, help="Start many servers, as requests on standard input say.")
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text", help="Of the list.")
@click.argument("name", required=False)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def command(list_: bool, fork: bool, format_: str, name: str | None, options: tuple[str, ...]) -> None:
    """Run the reference server with the defect NAME; OPTIONS are those of `relaykit serve`.

    `none` in place of a name is the server without a defect. For proving that a test suite bites: what such a
    server does is wrong on purpose.
    """
    if list_:
        click.echo(json.dumps(listing(), indent=2) if format_ == "json" else _lines())
        return
    if fork:
        _fork()
        return
    if name is None:
        raise UsageError("which defect?", hint="--list shows them")
    found = all_defects()
    if name != NONE:
        if name not in found:
            raise UsageError(f"there is no defect {name!r}{suggest(name, found)}", hint="--list shows them")
        each, _area = found[name]
        click.echo(f"seeded defect {name}: {each.title}", err=True)
        each.apply(Seams())
    serve.main(args=list(options), prog_name=f"serve with the defect {name}", standalone_mode=False)


def listing() -> dict[str, Any]:
    """All defects and the configurations they need, for programs."""
    return {
        "forks": sys.platform == "linux",
        "setups": {
            name: {
                "config": dict(setup.config),
                "target": dict(setup.target),
                "files": dict(setup.files),
                "sound": setup.sound,
            }
            for name, setup in setups().items()
        },
        "defects": [
            {
                "id": each.id,
                "title": each.title,
                "area": area,
                "breaks": list(each.breaks),
                "setup": each.setup,
            }
            for each, area in all_defects().values()
        ],
    }


def _lines() -> str:
    return "\n".join(
        f"{each.id:<34} {', '.join(each.breaks):<18} {each.title}" for each, _area in all_defects().values()
    )


def _fork() -> None:
    """Load what a server needs, and answer requests."""
    from relaykit.reference_server import control, running
    from relaykit.reference_server.defects.forking import answer_requests
    from relaykit.schemas import load_catalogue

    assert control and running  # imported in order to be there
    load_catalogue()
    all_defects()
    answer_requests(_run)


def main() -> None:
    """Run the command, and end as every command of the kit does."""
    sys.exit(_run(sys.argv[1:]))


def _run(words: Sequence[str]) -> int:
    try:
        command.main(args=list(words), standalone_mode=False)
    except RelaykitError as error:
        click.echo(f"Error: {error}" + (f"\n{error.hint}" if error.hint else ""), err=True)
        return int(error.exit_code)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return 0


if __name__ == "__main__":
    main()
