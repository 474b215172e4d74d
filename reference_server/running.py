"""What `relaykit serve` does: configuration, keys, the event loop, signals."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import logging
import os
import secrets
import signal
import sys
import tempfile
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

import click

from relaykit.config import load_yaml, read_secret
from relaykit.errors import ExitCode, UsageError
from relaykit.redaction import Redactor
from relaykit.reference_server import dev, logs, one_step
from relaykit.reference_server import settings as settings_
from relaykit.reference_server.auth import Key, keys_of_set, make_key
from relaykit.reference_server.open_files import connections_for
from relaykit.reference_server.server import Server
from relaykit.reference_server.settings import Settings
from relaykit.schemas import load_catalogue
from relaykit.tokens import SHORT_SECRET

log = logging.getLogger(__name__)

_SECRET = "RELAYKIT_SECRET"  # noqa: S105  (the variable's name)
_CONTROL_TOKEN = "RELAYKIT_CONTROL_TOKEN"  # noqa: S105
_READY_BYTES = 64 * 1024  # more than any ready file has


def run(*, config: Path | None, print_config: bool, print_schema: bool, flags: Mapping[str, Any]) -> None:
    """Serve until a signal says otherwise.

    Raises:
        UsageError: configuration, keys, store or address cannot be used.
    """
    _open_standard_streams()
    catalogue = load_catalogue()
    if print_schema:
        click.echo(json.dumps(settings_.schema_of(catalogue.protocol), indent=2, ensure_ascii=False))
        return
    file = load_yaml(config) if config is not None else None
    settings = settings_.load(catalogue.protocol, file=file, environ=os.environ, flags=flags)
    if print_config:
        click.echo(settings_.as_text(settings, catalogue.protocol))
        return
    redactor = Redactor()
    logs.set_up(redactor, style=settings.log_format, verbose=settings.verbose, dev=settings.dev)
    keys, made = _keys(settings, catalogue.protocol.algorithms, redactor)
    control_token = _control_token(settings, redactor)
    if settings.dev:
        settings = dev.settings_for(settings, control=control_token is not None)
    settings = replace(settings, max_connections=connections_for(settings.max_connections))
    if settings.ready_file is not None:
        _forget(Path(settings.ready_file))
    with _trusted(settings) as settings, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        defects = runner.run(_serve(settings, keys, control_token, made))
    if defects:
        sys.exit(ExitCode.KIT_DEFECT)


def _open_standard_streams() -> None:
    """Let what somebody has closed (`relaykit serve 2>&-`) lead nowhere: a socket would take its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free, which is this one
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


async def _serve(settings: Settings, keys: list[Key], control_token: str | None, made: str | None) -> int:
    """Run one server; the number of defects that --check-output found. `made` is a key to be shown."""
    server = Server(settings, load_catalogue(), keys, control_token)
    with _authority(settings, server):
        await server.start()
    # What is there now stays for good, and neither frames nor connections leave cycles behind: rarer
    # collections are enough. But whole ones there must be, for the little that libraries leave.
    gc.freeze()
    gc.set_threshold(50_000, 5, 5)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            os._exit(ExitCode.INTERRUPTED)  # a second signal: at once; what was acknowledged is committed
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    click.echo(server.url)
    sys.stdout.flush()
    told = _told(settings)
    if told is sys.stderr and not sys.stdout.isatty():
        click.echo(f"listening on {server.url}", file=told)
    # A key is a secret, and standard error the log, which holds none; so it stands behind the address. What
    # a server for development says goes to a log, too, where no terminal is: there its URLs hold no token.
    shown = told if settings.dev else sys.stdout
    if made is not None and (not settings.dev or shown.isatty()):
        click.echo(f"signing key, made for this run: {made}", file=shown)
        click.echo(f"  {_SECRET}={made} relaykit token --user UUID --device UUID", file=shown)
        shown.flush()
    ready = {
        "url": server.url,
        "pid": os.getpid(),
        "control_url": server.control_url,
        "docs_url": server.docs_url,
    }
    if server.arranged is not None:
        dev.announce(server, server.arranged, keys, control_token, to=told)
        ready["dev"] = dev.facts(server.arranged)
    else:
        if server.certificate is not None:
            click.echo(f"certificate: SHA-256 {server.certificate.fingerprint}", file=told)
        if server.control_url is not None:
            click.echo(f"control interface: {server.control_url}", file=told)
        if server.docs_url is not None:
            click.echo(f"documentation: {server.docs_url}", file=told)
    if server.metrics_url is not None:
        click.echo(f"metrics: {server.metrics_url}", file=told)
    told.flush()
    if settings.ready_file is not None:
        _write(Path(settings.ready_file), json.dumps(ready) + "\n", "ready file")
    log.info("serving on %s, store %s", server.url, settings.store)
    await stop.wait()
    log.info("shutting down")
    await server.stop()
    return len(server.app.frames.defects)


def _told(settings: Settings) -> TextIO:
    """Where people are told what there is, all of it in one stream: on the terminal, and where both are one,
    or none is, before the log. A log for machines holds nothing else."""
    for_machines = settings.log_format == "json"
    return sys.stdout if for_machines or (sys.stdout.isatty() and not sys.stderr.isatty()) else sys.stderr


@contextlib.contextmanager
def _trusted(settings: Settings) -> Iterator[Settings]:
    """With --dev, clients on this machine find what to trust in a file, though nobody named one for it."""
    if not (settings.dev and settings.tls_self_signed) or settings.tls_ca_out is not None:
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="relaykit-dev-") as folder:
        yield replace(settings, tls_ca_out=str(Path(folder) / "ca.pem"))


@contextlib.contextmanager
def _authority(settings: Settings, server: Server) -> Iterator[None]:
    """Write what clients are to trust before the server listens: whoever waits for its port may read it at
    once. If the server does not start, the file is as it was: it may be another server's."""
    if settings.tls_ca_out is None or server.certificate is None:
        yield
        return
    path = Path(settings.tls_ca_out)
    replaces = path.is_file() and not one_step.is_stream(path)
    before = path.read_text("utf-8", "replace") if replaces else None
    _write(path, server.certificate.authority.decode(), "certificate")
    try:
        yield
    except BaseException:
        if before is None:
            one_step.remove(path)
        else:
            _write(path, before, "certificate")
        raise


def _forget(path: Path) -> None:
    """Remove the ready file of an earlier server: it says nothing of this one.

    But not that of one that still runs: this one may be about to fail because of it. If it does not, it
    replaces the file. Nor what is no ready file: a name may be mistyped, and then nothing is lost by that as
    long as no server starts.
    """
    with contextlib.suppress(OSError):
        if path.is_file() and _is_left_over(_start_of(path)):
            one_step.remove(path)


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_READY_BYTES)


def _is_left_over(content: bytes) -> bool:
    """Whether it is nothing (as `mktemp` leaves it), or a ready file whose server does not run any more."""
    if not content:
        return True
    try:
        ready = json.loads(content)
        url, pid = ready["url"], ready["pid"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return type(url) is str and type(pid) is int and not _is_running(pid)


def _is_running(pid: int) -> bool:
    """Whether the process that wrote a ready file is there, and another one than this."""
    if pid <= 0 or pid == os.getpid():  # in a container they often recur
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # somebody else's
    except (OverflowError, ProcessLookupError):
        return False
    return True


def _write(path: Path, text: str, what: str) -> None:
    try:
        one_step.write(path, text)
    except OSError as error:
        why = "nobody reads this pipe" if error.errno == errno.ENXIO else error.strerror
        raise UsageError(f"{path}: the {what} cannot be written: {why}") from error


def _keys(
    settings: Settings, algorithms: tuple[str, ...], redactor: Redactor
) -> tuple[list[Key], str | None]:
    """The keys that the configuration or the environment names; else a new one, to show.

    Raises:
        UsageError: a key cannot be used.
    """
    base = settings.base
    places = settings.places.get("keys", ("--secret-file",) * len(settings.keys))
    if settings.keys:
        configured = [
            key
            for place, spec in zip(places, settings.keys, strict=True)
            for key in _configured(place, spec, base, algorithms, redactor)
        ]
        return configured, None
    if os.environ.get(_SECRET):
        return [_secret_key(os.environ[_SECRET], redactor)], None
    kept = dev.kept_key(settings) if settings.dev else None
    if kept is not None:
        return [_secret_key(kept, redactor)], None
    secret = secrets.token_urlsafe(32)
    return [_secret_key(secret, redactor)], secret


def _control_token(settings: Settings, redactor: Redactor) -> str | None:
    """The token of the control interface; None if there is no such interface.

    In development there is one if it has a token, and one is made if it can be shown.

    Raises:
        UsageError: there is no token, or nothing that it is for.
    """
    spec = settings.control_token
    if settings.control_port is None and not settings.dev:
        if spec is not None:
            raise UsageError("control_token: there is no control interface", hint="give --control-port")
        return None
    if spec is None and os.environ.get(_CONTROL_TOKEN):
        spec = {"env": _CONTROL_TOKEN}
    if spec is not None:
        token = read_secret(spec, base=settings.base)
    elif settings.dev and _told(settings).isatty():
        token = secrets.token_urlsafe(18)
    elif settings.control_port is None:
        return None
    else:
        raise UsageError(
            "the control interface needs a token", hint=f"set {_CONTROL_TOKEN} or give --control-token-file"
        )
    redactor.add(token)
    return token


def _configured(
    place: str, spec: Mapping[str, Any], base: Path, algorithms: tuple[str, ...], redactor: Redactor
) -> list[Key]:
    """The keys of one entry of the configuration; what is wrong is told with its place."""
    try:
        if "jwks" in spec:
            chosen = (spec["algorithm"],) if "algorithm" in spec else algorithms
            found = keys_of_set(read_secret(spec["jwks"], base=base), chosen)
            for key in found:
                if isinstance(key.material, bytes):
                    _note_secret(key.material, redactor)
            return found
        if "secret" in spec:
            secret = read_secret(spec["secret"], base=base)
            return [_secret_key(secret, redactor, spec["algorithm"], spec.get("kid"))]
        return [make_key(spec["algorithm"], read_secret(spec["pem"], base=base), spec.get("kid"))]
    except UsageError as error:
        source: Mapping[str, str] = next(spec[kind] for kind in ("jwks", "secret", "pem") if kind in spec)
        where = str(base / source["file"]) if "file" in source else source["env"]
        text = str(error) if where in str(error) else f"{where}: {error}"
        raise UsageError(f"{place}: {text}", hint=error.hint) from error


def _secret_key(secret: str, redactor: Redactor, algorithm: str = "HS256", kid: str | None = None) -> Key:
    try:
        _note_secret(secret.encode(), redactor)
    except UnicodeEncodeError:
        raise UsageError("the signing key is not UTF-8") from None
    return make_key(algorithm, secret, kid)


def _note_secret(secret: bytes, redactor: Redactor) -> None:
    """Keep a signing key out of the log, as text and as a JWKS writes it, and say so if it is short."""
    redactor.add(urlsafe_b64encode(secret).rstrip(b"=").decode())
    with contextlib.suppress(UnicodeDecodeError):
        redactor.add(secret.decode())
    if len(secret) < SHORT_SECRET:
        log.warning("the signing key is shorter than %d bytes", SHORT_SECRET)
        warnings.filterwarnings("ignore", message="The HMAC key is")


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    with contextlib.suppress(ImportError):
        import uvloop

        factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
        return factory
    return None
