"""The commands `relaykit serve` and `relaykit token`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

# What a command needs is imported when it runs: `--help` is to be fast.

_SECRET = "RELAYKIT_SECRET"  # noqa: S105  (the variable's name)
_SECRET_ALGORITHM = "HS256"  # noqa: S105
_TEN_YEARS = 10 * 365 * 86400.0
_PATH: Any = click.Path(path_type=Path)


def _pairs(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any] | None:
    from relaykit.config import parse_yaml

    pairs: dict[str, Any] = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name.isprintable():  # bytes that are no UTF-8 are not, either
            raise click.BadParameter(f"{value!r} is not NAME=VALUE", ctx, parameter)
        pairs[name] = parse_yaml(text, f"--{parameter.name} {name}").data
    return pairs or None


@click.command()
@click.option("--host", metavar="ADDRESS", help="Address to listen on.  [127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 for any free one.  [8787]")
@click.option("--store", metavar="PATH", help="File of the durable store, or :memory:.  [:memory:]")
@click.option(
    "--dev",
    is_flag=True,
    default=None,
    help="Alice and Bob, URLs with tokens, the documentation, frames in the log.",
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="SPEC",
    help="Fault, such as drop@deliver:3; also duplicate, delay, reorder, corrupt, close, slow.",
)
@click.option("--secret-file", type=_PATH, help="File with the key that signs tokens (HS256).")
@click.option("--config", type=_PATH, help="Configuration file (YAML).")
@click.option(
    "--limits",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_pairs,
    help="Limit of the protocol, such as burst=20.",
)
@click.option(
    "--timing",
    multiple=True,
    metavar="NAME=S",
    callback=_pairs,
    help="Interval of the protocol, such as ping_interval_s=2.",
)
@click.option(
    "--origin", "origins", multiple=True, help="A permitted Origin; * is any port or part of a host."
)
@click.option("--tls-cert", metavar="FILE", help="Certificate (PEM); serves wss, TLS 1.3 only.")
@click.option("--tls-key", metavar="FILE", help="Its private key (PEM).")
@click.option("--tls-self-signed", is_flag=True, default=None, help="Make a certificate for loopback.")
@click.option("--tls-ca-out", metavar="FILE", help="Write here what clients are to trust then.")
@click.option("--control-port", type=int, help="Port of the control interface; 0 for any free one.  [off]")
@click.option("--control-host", metavar="ADDRESS", help="Address of the control interface.  [127.0.0.1]")
@click.option(
    "--control-remote", is_flag=True, default=None, help="Permit an address beyond loopback for it."
)
@click.option("--control-token-file", type=_PATH, help="File with its token; else $RELAYKIT_CONTROL_TOKEN.")
@click.option("--metrics-port", type=int, help="Port for /healthz and /metrics.  [off]")
@click.option("--docs-port", type=int, help="Port for the documentation.  [with --dev any free one]")
@click.option("--check-output", is_flag=True, default=None, help="Check every frame that goes out.")
@click.option("--ready-file", metavar="FILE", help="Write url, control_url and pid here once listening.")
@click.option(
    "--print-config",
    is_flag=True,
    help="Print the configuration in force, every setting explained, and stop.",
)
@click.option("--print-schema", is_flag=True, help="Print the JSON Schema of --config, and stop.")
@click.option("--log-frames/--no-log-frames", default=None, help="Log each frame.  [with --dev]")
@click.option("--log-format", metavar="text|json", help="How the log is written.  [text]")
@click.option("-v", "--verbose", is_flag=True, default=None, help="Log connections, too.")
def serve(
    config: Path | None,
    print_config: bool,
    print_schema: bool,
    secret_file: Path | None,
    control_token_file: Path | None,
    **flags: Any,
) -> None:
    """Run the reference server.

    Its address goes to standard output, for scripts; what else it tells, and its log, to standard error. (If
    standard output alone is a terminal, all but the log goes there.) Without --secret-file, keys in --config,
    or the environment variable RELAYKIT_SECRET, a random signing key is made and shown (with --dev on a
    terminal only); `relaykit token` signs tokens with it.

    \b
    relaykit serve --dev                                          to write a client against
    relaykit serve --dev --store chat.db --fault drop@deliver:3
    RELAYKIT_CONTROL_TOKEN=… relaykit serve --control-port 8788   for a test bench
    relaykit serve --print-config > serve.yaml                    a configuration to start from
    relaykit serve --config serve.yaml

    There are more settings than flags: --print-config shows them all, as a file for --config. Every one can
    also be given as RELAYKIT_SERVE_<NAME>, such as RELAYKIT_SERVE_LIMITS_BURST=20.
    """
    from relaykit.reference_server.running import run

    for name in ("origins", "faults"):
        flags[name] = list(flags[name]) or None
    if secret_file is not None:
        flags["keys"] = [{"algorithm": _SECRET_ALGORITHM, "secret": {"file": str(secret_file.absolute())}}]
    if control_token_file is not None:
        flags["control_token"] = {"file": str(control_token_file.absolute())}
    run(config=config, print_config=print_config, print_schema=print_schema, flags=flags)


@click.command()
@click.option("--user", required=True, metavar="UUID", help="The user the token is for.")
@click.option("--device", required=True, metavar="UUID", help="The user's device it is for.")
@click.option("--secret-file", type=_PATH, help="File with the signing key; else $RELAYKIT_SECRET.")
@click.option(
    "--lifetime",
    type=click.FloatRange(-_TEN_YEARS, _TEN_YEARS),
    default=3600.0,
    show_default=True,
    metavar="S",
    help="Seconds until it expires; below 0 it has expired.",
)
@click.option("--kid", help="Name of the key, for servers with several.")
def token(user: str, device: str, secret_file: Path | None, lifetime: float, kid: str | None) -> None:
    """Print a token for a device of a user, signed with HS256."""
    from relaykit.config import read_secret
    from relaykit.errors import UsageError
    from relaykit.reference_server.ids import canonical_uuid
    from relaykit.tokens import SHORT_SECRET, is_short, mint

    for name, value in (("--user", user), ("--device", device)):
        if canonical_uuid(value) is None:
            raise UsageError(f"{name}: {value!r} is not a UUID")
    spec = {"file": str(secret_file)} if secret_file else {"env": _SECRET}
    key = read_secret(spec, base=Path())
    if math.isnan(lifetime):
        raise UsageError("--lifetime: nan is no number of seconds")
    if is_short(key):
        click.echo(f"warning: the signing key is shorter than {SHORT_SECRET} bytes", err=True)
    headers = {"kid": kid} if kid else None
    click.echo(mint(user_id=user, device_id=device, key=key, lifetime_s=lifetime, headers=headers))
