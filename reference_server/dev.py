"""`relaykit serve --dev`: people to talk to, and all that a client developer would otherwise have to type.

Alice and Bob have a phone and a laptop each, are contacts, and share a group. Their IDs are the same on every
machine and at every start, so they may stand in scripts and notes.
"""

from __future__ import annotations

import json
import secrets
import shlex
import shutil
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import jwt

from relaykit.errors import UsageError
from relaykit.reference_server import one_step
from relaykit.reference_server.auth import Key
from relaykit.reference_server.devices_store import ACTIVE
from relaykit.reference_server.faults import Names
from relaykit.reference_server.store import StoreError
from relaykit.reference_server.store_opening import MEMORY
from relaykit.tokens import mint

if TYPE_CHECKING:
    from relaykit.reference_server.app import App
    from relaykit.reference_server.server import Server
    from relaykit.reference_server.settings import Settings

USERS = {
    "alice": "a11ce000-0000-4000-8000-000000000000",
    "bob": "b0b00000-0000-4000-8000-000000000000",
}
DEVICES = {
    ("alice", "phone"): "a11ce000-0000-4000-8000-000000000001",
    ("alice", "laptop"): "a11ce000-0000-4000-8000-000000000002",
    ("bob", "phone"): "b0b00000-0000-4000-8000-000000000001",
    ("bob", "laptop"): "b0b00000-0000-4000-8000-000000000002",
}
GROUP = "group-abba0000-0000-4000-8000-000000000000"
NAMES = Names(
    USERS,
    {
        name: frozenset(device for (_, other), device in DEVICES.items() if other == name)
        for name in ("phone", "laptop")
    },
)

PAGES = "relaykit.pages"
"""The entry-point group of those who bring pages: `docs` is the documentation."""

_TOKEN_LIFETIME_S = 30 * 24 * 3600
_OPAQUE_ORIGIN = "null"  # what pages opened from a file are of


def settings_for(settings: Settings, *, control: bool) -> Settings:
    """The settings as development needs them, where nothing else was asked for.

    Args:
        control: whether there is a token for a control interface.
    """
    origins = settings.origins
    if origins == type(settings).__dataclass_fields__["origins"].default and origins is not None:
        origins = (*origins, _OPAQUE_ORIGIN)
    port = 0 if control and settings.control_port is None else settings.control_port
    docs = 0 if settings.docs_port is None and pages_available() else settings.docs_port
    return replace(settings, origins=origins, control_port=port, docs_port=docs)


def pages_available() -> bool:
    """Whether somebody brings pages for `PagesServer`."""
    return bool(entry_points(group=PAGES))


def kept_key(settings: Settings) -> str | None:
    """The signing key that is kept beside a durable store, made if there is none: tokens survive a restart.

    Raises:
        UsageError: it cannot be kept.
    """
    if settings.store == MEMORY:
        return None
    path = Path(f"{settings.store}.key")
    try:
        kept = path.read_text(encoding="ascii").strip() if path.exists() else ""
        if not kept:  # an empty file holds none: something ended while it was written
            kept = secrets.token_urlsafe(32)
            one_step.write(path, kept + "\n", private=True)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the signing key of --dev cannot be kept here") from error
    return kept


# --- the people ---


@dataclass(frozen=True, slots=True)
class Arranged:
    """What was arranged, besides users and devices: IDs of conversations."""

    pair: str
    group: str


def arrange(app: App) -> Arranged:
    """See that the people are there, in a store that may know them already.

    Raises:
        UsageError: the store does not work.
    """
    try:
        return app.durably(partial(people, app))
    except StoreError as error:
        raise UsageError(f"{app.settings.store}: the store does not work: {error}") from error


def people(app: App) -> Arranged:
    """Alice, Bob, their devices and their group, within a change that is being made.

    Raises:
        StoreError: the store does not work.
    """
    for (user, _), device in DEVICES.items():
        if app.devices.standing(USERS[user], device) != ACTIVE:
            app.devices.readmit(USERS[user], device)  # revoked in an experiment
        app.mailboxes.register(USERS[user], device)
    known = app.people
    known.befriend(*USERS.values())
    known.create_group(GROUP, USERS.values())
    for user in USERS.values():
        known.add_member(GROUP, user)
    return Arranged(known.conversation_of(USERS.values()), known.group_conversation(GROUP))


# --- what is shown ---


def facts(arranged: Arranged) -> dict[str, Any]:
    """The IDs, for the ready file. Tokens are not among them: a file may be read by others."""
    return {
        "users": {
            name: {"user_id": user, "devices": dict(_devices_of(name))} for name, user in USERS.items()
        },
        "group_id": GROUP,
        "conversations": {"pair": arranged.pair, "group": arranged.group},
    }


def for_console(server: Server, keys: Sequence[Key]) -> dict[str, Any]:
    """What the console of the pages needs: the address, a token for each of the people, whom they know."""
    people, peers = {}, {}
    if server.arranged is not None:
        for (name, device_name), device in DEVICES.items():
            token = _token(keys, USERS[name], device, server.app.clock.now())
            if token is not None:
                people[f"{name} {device_name}"] = token
                peers[f"{name} {device_name}"] = {
                    "user": next(user for other, user in USERS.items() if other != name),
                    "device": next(d for n, d in DEVICES.items() if n[0] == name and d != device),
                    "group": GROUP,
                    "conversation": server.arranged.pair,
                }
    return {"url": server.url, "people": people, "peers": peers}


def announce(
    server: Server, arranged: Arranged, keys: Sequence[Key], control_token: str | None, *, to: TextIO
) -> None:
    """Show everything on the terminal, tokens included; on anything else, the IDs only."""
    from rich.console import Console

    console = Console(file=to, highlight=False, soft_wrap=True, markup=False)
    shown = to.isatty()
    urls = _urls(server, keys) if shown else {}
    for style, text in _lines(server, arranged, urls, control_token if shown else None):
        console.print(text, style=style)


_Line = tuple[str, str]


def _lines(
    server: Server, arranged: Arranged, urls: dict[tuple[str, str], str], control_token: str | None
) -> Iterator[_Line]:
    for name, user in USERS.items():
        yield "bold", f"{name}  {user}"
        for device_name, device in _devices_of(name):
            yield "", f"  {device_name:8}{urls.get((name, device_name), device)}"
    yield "bold", f"group  {GROUP}"
    yield "", f"conversations  alice and bob: {arranged.pair}   the group: {arranged.group}"
    if server.certificate is not None:
        yield "", f"certificate  SHA-256 {server.certificate.fingerprint}"
        yield "", f"  clients trust it by {server.app.settings.tls_ca_out}"
    if server.docs_url is not None:
        yield "", f"documentation  {server.docs_url}   console  {server.docs_url}console"
    if server.control_url is not None:
        yield "", f"control  {server.control_url}" + (f"  token {control_token}" if control_token else "")
    if not urls:
        yield (
            "dim",
            "URLs with tokens are shown on a terminal only; elsewhere set RELAYKIT_SECRET, here and for"
            " `relaykit token`, which then signs tokens for these IDs",
        )
        return
    yield "bold", "try"
    for command in _commands(server, urls["alice", "phone"]):
        yield "green", f"  {command}"
    yield "", "and type"
    yield "green", f"  {_sample()}"
    if server.control_url is not None and control_token is not None:
        yield "", "who is there"
        header = f"'Authorization: Bearer {control_token}'"
        yield "green", f"  curl -H {header} -d '{{}}' {server.control_url}/list_connections"


def _devices_of(name: str) -> Iterator[tuple[str, str]]:
    return ((device_name, device) for (who, device_name), device in DEVICES.items() if who == name)


def _urls(server: Server, keys: Sequence[Key]) -> dict[tuple[str, str], str]:
    urls = {}
    for (name, device_name), device in DEVICES.items():
        token = _token(keys, USERS[name], device, server.app.clock.now())
        if token is not None:
            urls[name, device_name] = f"{server.url}?token={token}"
    return urls


def _token(keys: Sequence[Key], user: str, device: str, now: float) -> str | None:
    """A token by the first key that can sign: public keys cannot."""
    for key in keys:
        try:
            return mint(
                user_id=user,
                device_id=device,
                key=key.material,
                algorithm=key.algorithm,
                lifetime_s=_TOKEN_LIFETIME_S,
                now=now,
                headers={"kid": key.kid} if key.kid else None,
            )
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            continue
    return None


def _commands(server: Server, url: str) -> Iterator[str]:
    """Commands that connect: what is on this machine, and Python, which is."""
    insecure = server.certificate is not None
    if shutil.which("websocat"):
        yield f"websocat {'-k ' if insecure else ''}'{url}'"
    if shutil.which("wscat"):
        yield f"wscat {'-n ' if insecure else ''}-c '{url}'"
    authority = server.app.settings.tls_ca_out  # `run` names a file where nobody else has
    trust = f"SSL_CERT_FILE={shlex.quote(authority)} " if insecure and authority else ""
    yield f"{trust}{shlex.quote(sys.executable)} -m websockets '{url}'"


def _sample() -> str:
    payload = {"receiver_id": USERS["bob"], "ciphertext": "aGVsbG8gYm9i", "message_type": "text"}
    return json.dumps({"type": "send", "message_id": str(uuid.uuid4()), "payload": payload})
