"""`relaykit init` and `relaykit doctor`."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import click

from relaykit.config import suggest
from relaykit.conformance.capabilities import Tried
from relaykit.conformance.doctor import Step, examine, quiet_needed
from relaykit.conformance.options import FACTOR
from relaykit.conformance.preflight import Readiness
from relaykit.conformance.reports.text import visible
from relaykit.conformance.run import Settings, open_session
from relaykit.conformance.settling import settled, with_quiet
from relaykit.conformance.setup import SECRET_VARIABLE, Given, make_target
from relaykit.conformance.starting import CONTROLS, TOKENS, Answers, target_text, url_problem
from relaykit.errors import ExitCode, RelaykitError, UsageError
from relaykit.redaction import Redactor
from relaykit.schemas import Catalogue, load_catalogue

_MARKS = {
    "ok": ("ok", "green"),
    "note": ("note", "yellow"),
    "failed": ("FAILED", "red"),
    "skipped": ("-", None),
}
_ALGORITHMS = ("HS256", "RS256", "ES256", "EdDSA")


@click.command()
@click.option("-t", "--target", "target_file", type=click.Path(path_type=Path), help="Target file (YAML).")
@click.option("--url", help="Address of the target, such as ws://127.0.0.1:8787/ws.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path),
    help="File with the key that signs tokens (HS256); else the environment variable RELAYKIT_SECRET.",
)
@click.option("--timeout-factor", type=FACTOR, default=1.0, help="Wait longer.")
@click.option(
    "--write",
    "writes",
    is_flag=True,
    help="Write into the target file what was found: true or false for capabilities that it leaves open.",
)
def doctor(
    target_file: Path | None, url: str | None, secret_file: Path | None, timeout_factor: float, writes: bool
) -> int:
    """Try whether a server can be judged, and say what to change where it cannot.

    Connection, token, handshake, fence, clock and provisioning, one after the other.

    \b
    relaykit doctor -t target.yaml
    relaykit doctor -t target.yaml --write      and settle what the file leaves open
    relaykit doctor --url ws://127.0.0.1:8787/ws --secret-file key

    Exit codes: 0 a run can be started; 2 usage or configuration; 3 it cannot.
    """
    if writes and target_file is None:
        raise UsageError("--write writes into a target file: give one with -t")
    catalogue = load_catalogue()
    target, _ = make_target(Given(target_file, url, secret_file, None, (), {}), catalogue)
    redactor = Redactor(*target.secrets)

    warned = False
    tried: list[Tried] = []

    def tell(step: Step) -> None:
        nonlocal warned
        warned = warned or (step.status == "note" and step.name == "in all")
        if step.tried is not None:
            tried.append(step.tried)
        mark, colour = _MARKS[step.status]
        click.secho(f"{mark:<7}", fg=colour, nl=False)
        click.echo(f"{step.name}: {visible(redactor.text(step.said))}")
        if step.advice:
            click.echo(f"{'':<7}→ {visible(redactor.text(step.advice))}")

    settings = Settings(secrets.token_hex(4), timeout_factor=timeout_factor, secret=redactor.add)
    try:
        good = asyncio.run(examine(target, catalogue, settings, tell))
    except RelaykitError as error:
        raise redactor.error(error) from None
    if writes and target_file is not None and tried:
        _rewrite(target_file, lambda text: settled(text, _clean(tried, redactor), _today()))
        click.echo(f"{target_file}: {_in_short(tried)}")
    if good:
        where = f"-t {target_file}" if target_file else f"--url {url}"
        but = ", but see the last note" if warned else ""
        click.echo(
            f"A run can be started{but}: relaykit test {where}     (--profile smoke: a few cases, in seconds)"
        )
    else:
        click.echo("A run cannot be started like this.")
    return ExitCode.OK if good else ExitCode.UNREACHABLE


@click.command()
@click.argument("output", type=click.Path(path_type=Path), default=Path("target.yaml"))
@click.option("--url", help="Where the server listens: ws://HOST:PORT/PATH.")
@click.option("--name", help="What reports call it.")
@click.option("--tokens", type=click.Choice(list(TOKENS)), help="Where tokens come from.  [default: mint]")
@click.option("--algorithm", type=click.Choice(_ALGORITHMS), help="How they are signed.  [default: HS256]")
@click.option(
    "--control", type=click.Choice(list(CONTROLS)), help="What arranges groups and devices.  [default: none]"
)
@click.option(
    "--capability",
    "capabilities",
    multiple=True,
    metavar="NAME",
    help="The server has it; `all` for every one, `none` for no other than core.  [default: tried now]",
)
@click.option(
    "--try/--no-try",
    "tries",
    default=True,
    help="Whether to ask a server that is reachable what it serves.  [default: try]",
)
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
def init(
    output: Path,
    url: str | None,
    name: str | None,
    tokens: str | None,
    algorithm: str | None,
    control: str | None,
    capabilities: tuple[str, ...],
    tries: bool,
    force: bool,
) -> int:
    """Write a commented target file (target.yaml by default); what options do not say is asked on a terminal.

    A server that runs already, and whose tokens can be made now, is tried once: what it serves stands in the
    file as true or false, and only what could not be told is left to be tried in each run.

    \b
    relaykit init
    relaykit init mine.yaml --url ws://127.0.0.1:9000/ws --capability groups --control http
    """
    if output.exists() and not force:
        raise UsageError(f"{output} exists", hint="name another file, or overwrite it with --force")
    catalogue = load_catalogue()
    asks = sys.stdin.isatty()
    if url is None and not asks:
        raise UsageError("where does the server listen?", hint="give --url ws://HOST:PORT/PATH")
    url = url or click.prompt("Where does the server listen?", default="ws://127.0.0.1:8787/ws")
    wrong = url_problem(url, catalogue)
    if wrong:
        raise UsageError(f"--url {url}: {wrong}", hint="ws://HOST:PORT/PATH, or wss://")
    tokens = tokens or (_choose("Where do tokens come from?", TOKENS, "mint") if asks else "mint")
    if algorithm is None and tokens == "mint" and asks:
        algorithm = click.prompt("How are they signed?", type=click.Choice(_ALGORITHMS), default="HS256")
    control = control or (_choose("What arranges groups and devices?", CONTROLS, "none") if asks else "none")
    known = [c.name for c in catalogue.protocol.capabilities.values() if not c.required]
    if not capabilities and asks:
        text = click.prompt(
            f"What does it serve, of {', '.join(known)} (or all, or none)? By default each is tried",
            default="",
            show_default=False,
        )
        capabilities = tuple(text.replace(",", " ").split())
    served = _known(capabilities, known, catalogue) if capabilities else None
    answers = Answers(url, name, tokens, algorithm or "HS256", control, served)
    try:
        output.write_text(target_text(answers, catalogue), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{output}: cannot be written: {error.strerror}") from error
    click.echo(f"{output} is written.")
    if served is None and tries:
        _settle(output, catalogue)
    click.echo("Next:")
    if tokens == "mint" and not os.environ.get(SECRET_VARIABLE):
        click.echo(f"  export {SECRET_VARIABLE}='…'     the key that the server verifies tokens with")
    click.echo(f"  relaykit doctor -t {output}     tries it, and says what to change")
    click.echo(f"  relaykit test -t {output}       judges the server")
    return ExitCode.OK


def _settle(path: Path, catalogue: Catalogue) -> None:
    """Try what the server serves, and write it into a file that was made just now; or say why it was not."""
    redactor = Redactor()
    try:
        target, _ = make_target(Given(path, None, None, None, (), {}), catalogue)
        redactor = Redactor(*target.secrets)
        click.echo("Trying what the server serves (some seconds) …")

        async def look() -> tuple[Readiness, tuple[Tried, ...]]:
            async with open_session(target, catalogue, Settings(secret=redactor.add)) as session:
                return session.ready, session.tried

        ready, tried = asyncio.run(look())
    except RelaykitError as error:
        said = visible(redactor.text(str(error)))
        click.echo(f"What it serves could not be tried ({said}): each run will try it, until the file says.")
        click.echo(f"  relaykit doctor -t {path} --write     settles that later")
        return
    quiet = quiet_needed(ready, target.waits.quiet)

    def settle(text: str) -> str:
        if quiet is not None:
            text = with_quiet(text, quiet, ready.round_trip_ms)
        return settled(text, _clean(tried, redactor), _today())

    _rewrite(path, settle)
    click.echo(f"  {_in_short(tried)}")
    if quiet is not None:
        slow = f"a heartbeat took {ready.round_trip_ms:.0f} ms"
        click.echo(f"  It is slow ({slow}): timing.quiet_ms is {quiet}.")


def _clean(tried: Sequence[Tried], redactor: Redactor) -> list[Tried]:
    return [replace(each, said=redactor.text(each.said)) for each in tried]


def _today() -> date:
    return datetime.now(UTC).date()


def _in_short(tried: Sequence[Tried]) -> str:
    """What was found, in a line."""
    groups = {
        "served": [each.capability for each in tried if each.served],
        "not served": [each.capability for each in tried if each.told and not each.served],
        "could not be told (the file says why)": [each.capability for each in tried if not each.told],
    }
    return "; ".join(f"{title}: {', '.join(names)}" for title, names in groups.items() if names)


def _rewrite(path: Path, change: Callable[[str], str]) -> None:
    """Change a target file.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        path.write_text(change(path.read_text("utf-8")), "utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from error


def _choose(question: str, choices: dict[str, str], default: str) -> str:
    for key, meaning in choices.items():
        click.echo(f"  {key:<14} {meaning}")
    chosen: str = click.prompt(
        question, type=click.Choice(list(choices)), default=default, show_choices=False
    )
    return chosen


def _known(given: tuple[str, ...], known: list[str], catalogue: Catalogue) -> frozenset[str]:
    if "all" in given:
        return frozenset(known)
    if given == ("none",):
        return frozenset()
    for name in given:
        if name not in catalogue.protocol.capabilities:
            raise UsageError(f"--capability {name}: unknown{suggest(name, known)}")
    return frozenset(given)
