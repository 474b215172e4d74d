"""`relaykit fuzz`: fuzzed frames, fuzzed sessions, and the same sessions against two targets."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from relaykit.conformance import options
from relaykit.conformance.aiming import aim
from relaykit.conformance.applicable import on_loopback
from relaykit.conformance.setup import Given
from relaykit.errors import UsageError
from relaykit.schemas import load_catalogue

_PATH = click.Path(path_type=Path)


@click.command()
@options.target
@options.timeout_factor
@click.option("--sessions", is_flag=True, help="Fuzz sessions: users who connect, write, call and misbehave.")
@click.option(
    "--restarts",
    is_flag=True,
    help="Sessions also kill the launched target and start it again: it must keep what it acknowledged.",
)
@click.option(
    "--against",
    type=_PATH,
    metavar="OTHER.yaml",
    help="Play the same sessions to a second target, and report what the two do differently.",
)
@click.option(
    "--against-launch", metavar="CMD", help="Start the second target with this command, as --launch does."
)
@click.option(
    "--seconds",
    type=click.FloatRange(1),
    help="When to end; by default after 60, or when --frames says so. Making what was found smaller may take "
    "15 more, and replaying it a few.",
)
@click.option(
    "--frames",
    type=click.IntRange(1),
    help="End after about so many frames; in sessions, those that their steps send count.",
)
@click.option(
    "--connections",
    type=click.IntRange(3, 3000),
    help="Side by side, for frames: three for every two users.  [default: 24]",
)
@click.option(
    "--corpus",
    type=_PATH,
    help="Folder of frames to begin with; what reaches something that none of them does is added to it.",
)
@click.option(
    "--allow-destructive",
    is_flag=True,
    help="Fuzz a server that is not on this machine: it gets a flood of invalid frames.",
)
@click.option("--seed", help="Makes the same choices as the run that printed it.")
@click.option(
    "--most", type=click.IntRange(1), default=5, show_default=True, help="End after so many findings."
)
@click.option(
    "--out",
    type=_PATH,
    default=Path(".relaykit/fuzz"),
    show_default=True,
    help="Folder for the scenarios that failures leave.",
)
@click.option(
    "--format", "format_", type=click.Choice(["text", "json"]), default="text", help="Of the result."
)
def fuzz(
    given: Given,
    timeout_factor: float,
    sessions: bool,
    restarts: bool,
    against: Path | None,
    against_launch: str | None,
    seconds: float | None,
    frames: int | None,
    connections: int | None,
    corpus: Path | None,
    allow_destructive: bool,
    seed: str | None,
    most: int,
    out: Path,
    format_: str,
) -> int:
    """Look for failures that no case was written for.

    \b
    Frames, valid ones and others made a little wrong, over many connections; of each it is known whether the
    server must refuse it, must accept it, or may do either:
        relaykit fuzz -t target.yaml --seconds 600 --corpus corpus/
        relaykit fuzz --launch 'my-server --port {port}' --frames 1000000

    \b
    Sessions of a few users, by a model of the protocol that knows what each of them may and must get:
        relaykit fuzz --sessions -t target.yaml --seconds 600
        relaykit fuzz --sessions --launch 'my-server --port {port}' --seed 8f14e45f

    \b
    The same sessions to two servers, or two versions of one: what they do differently is unspecified where
    the model permits both, and a broken requirement where it does not:
        relaykit fuzz --against other.yaml -t mine.yaml
        relaykit fuzz -t t.yaml --launch './new --port {port}' --against-launch './old --port {port}'

    It also counts as found when the server dies, stops answering, forwards what it must refuse, or (launched,
    on Linux) takes more and more memory. A limit on frames per second slows it down: a test build without
    one, or with a high one, is fuzzed a hundred times as fast.

    A failure is shrunk to the smallest frame, or the fewest steps, that show it, and written as a scenario:
    `relaykit replay FILE -t target.yaml` says later whether it still occurs, and in a folder of your own
    `relaykit test --scenarios FOLDER` keeps it from coming back.

    Sessions go up to what the target file states of limits (connections per user, frames per second), and let
    requests for approval expire where the control interface moves the clock.

    Ctrl-C ends it with the summary of what was done until then. What was being shrunk is left as small as it
    had become, and not tried again.

    Failures of requirements that the target file expects (expected_failures) are shown, and do not count.

    \b
    Exit codes: 0 nothing found, or nothing but what is expected; 1 something found; 2 usage or
    configuration; 3 the target cannot be reached or takes no token; 4 nothing was executed; 5 a defect of
    the kit.
    """
    from relaykit.conformance.fuzz.hunt import Limits

    catalogue = load_catalogue()
    seed = seed or secrets.token_hex(4)
    limits = Limits(seconds or (60.0 if frames is None else math.inf), frames, most)
    if sessions or against is not None or against_launch is not None:
        _are_of_frames({"--connections": connections, "--corpus": corpus})
    if restarts and not (sessions and given.launch is not None):
        raise UsageError("--restarts is about sessions with a target that --launch starts")
    if against is not None or against_launch is not None:
        from relaykit.conformance.sessions.differing_commands import differ, other_given

        mine = aim(catalogue, given, timeout_factor)
        other = aim(catalogue, other_given(given, against, against_launch), timeout_factor)
        return differ(mine, other, catalogue, seed, limits, out, format_)
    if sessions:
        from relaykit.conformance.sessions.commands import hunt

        aimed = aim(catalogue, given, timeout_factor)
        return hunt(aimed, catalogue, seed, limits, out, format_, restarts=restarts)
    from relaykit.conformance.fuzz.frames import CONNECTIONS, Options
    from relaykit.conformance.fuzz.frames import hunt as hunt_frames

    aimed = aim(catalogue, given, timeout_factor)
    if not allow_destructive and given.launch is None:
        _must_be_near(aimed.target.urls)
    return hunt_frames(
        aimed, catalogue, Options(seed, limits, connections or CONNECTIONS, corpus, out, format_)
    )


def _are_of_frames(given: Mapping[str, object]) -> None:
    """Refuse options that sessions have no use for.

    Raises:
        UsageError: one was given.
    """
    for name, value in given.items():
        if value is not None:
            raise UsageError(f"{name} is about fuzzed frames; sessions have their own users")


def _must_be_near(urls: Sequence[str]) -> None:
    """Refuse to flood a server elsewhere, unless that is asked for.

    Raises:
        UsageError: it is not on this machine.
    """
    for url in urls:
        if not on_loopback(url):
            raise UsageError(
                f"{url} is not on this machine, and fuzzing is a flood of invalid frames",
                hint="--allow-destructive, if it is a test server that nobody else needs",
            )


__all__ = ["fuzz"]
