"""From the options of `relaykit test` to a target: with a target file, or with an address alone."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from relaykit.config import Document, load_yaml, suggest
from relaykit.conformance.target import Target, read_target
from relaykit.errors import UsageError
from relaykit.schemas import Catalogue

SECRET_VARIABLE = "RELAYKIT_SECRET"  # noqa: S105 - the name of a variable
CONTROL_VARIABLE = "RELAYKIT_CONTROL_TOKEN"


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line says about the target.

    Attributes:
        ports: free ports for a target that is launched: `port`, and `control_port` for its control interface.
            `{port}` and `{control_port}` stand for them, in the command and in the target file's addresses.
    """

    file: Path | None
    url: str | None
    secret_file: Path | None
    launch: str | None
    capabilities: tuple[str, ...]
    ports: Mapping[str, int]

    @property
    def command(self) -> str | None:
        """The command of `--launch`, with the ports in it."""
        return None if self.launch is None else self.filled(self.launch)

    @property
    def words(self) -> tuple[str, ...]:
        """The options that say the same once more."""
        options = {
            "-t": self.file,
            "--url": self.url,
            "--secret-file": self.secret_file,
            "--launch": self.launch,
        }
        named = [word for option, value in options.items() if value for word in (option, str(value))]
        return (*named, *(word for name in self.capabilities for word in ("--capability", name)))

    def filled(self, text: str) -> str:
        """The text with the ports in it."""
        for name, port in self.ports.items():
            text = text.replace(f"{{{name}}}", str(port))
        return text


def make_target(given: Given, catalogue: Catalogue) -> tuple[Target, dict[str, str]]:
    """The target, and what a launched one gets into its environment.

    Raises:
        UsageError: something is missing or wrong, and what to do about it.
    """
    environment: dict[str, str] = {}
    if given.file is not None:
        document = load_yaml(given.file)
        base = given.file.parent
    else:
        document = Document("(command line)", {}, MappingProxyType({}))
        base = Path.cwd()
    if not isinstance(document.data, dict):
        raise UsageError(f"{given.file}: a target file is a mapping, with at least `url` and `tokens`")
    data: dict[str, Any] = dict(document.data)
    _address(given, data, catalogue)
    _control(given, data, environment)
    if given.secret_file is not None:
        data["tokens"] = {"mint": {"secret": {"file": str(given.secret_file.absolute())}}}
    elif "tokens" not in data:
        data["tokens"] = {"mint": {"secret": _secret(given, environment)}}
    if given.capabilities:
        data["capabilities"] = _capabilities(given, data.get("capabilities", {}), catalogue)
    elif given.file is None:  # nobody said what the server can do: it may show it
        optional = (name for name, known in catalogue.protocol.capabilities.items() if not known.required)
        data["capabilities"] = dict.fromkeys(optional, "probe")
    document = Document(document.path, data, document.lines)
    try:
        return read_target(document, catalogue, base=base), environment
    except UsageError as error:
        if given.launch is not None and f"variable {SECRET_VARIABLE} is not set" in str(error):
            hint = (
                "set it; or leave `tokens` out of the target file: then the suite makes a secret up, which "
                f"the launched server finds in its environment as {SECRET_VARIABLE}"
            )
            raise UsageError(str(error), hint=hint) from None
        raise


def _other_port(given: Given, url: object, path: str) -> None:
    """Refuse to wait for a server where it was not told to listen.

    Raises:
        UsageError: the command gets a free port, and the address names another.
    """
    free = given.launch is not None and "{port}" in given.launch
    if not free or not isinstance(url, str) or "{port}" in url:
        return
    raise UsageError(
        f"{path}: url is {url}, but --launch tells the server to listen at a free port ({{port}})",
        hint="write {port} in the url, too, or the url's port in the command",
    )


def _address(given: Given, data: dict[str, Any], catalogue: Catalogue) -> None:
    if given.url is not None:
        data["url"] = given.url
        _other_port(given, given.url, "--url")
    elif "url" not in data and given.launch is not None and "{port}" in given.launch:
        data["url"] = f"ws://127.0.0.1:{{port}}{catalogue.protocol.path}"
    elif "url" not in data and given.file is None:
        raise UsageError(
            "which server is to be judged?"
            if given.launch is None
            else "where does the launched server listen?",
            hint="give --url ws://HOST:PORT/ws, a target file with -t, or --launch 'COMMAND --port {port}'",
        )
    if given.url is None:
        _other_port(given, data.get("url"), str(given.file))
    if isinstance(data.get("url"), str):
        data["url"] = given.filled(data["url"])
    elif isinstance(data.get("url"), list):
        data["url"] = [given.filled(url) if isinstance(url, str) else url for url in data["url"]]


def _control(given: Given, data: dict[str, Any], environment: dict[str, str]) -> None:
    """A launched target that is told a port for its control interface has one, unless the file says more."""
    if "control" not in data:
        if given.launch is None or "{control_port}" not in given.launch:
            return
        token = os.environ.get(CONTROL_VARIABLE) or secrets.token_urlsafe(32)
        environment[CONTROL_VARIABLE] = token
        data["control"] = {"http": {"url": "http://127.0.0.1:{control_port}", "token": {"value": token}}}
    http = data["control"].get("http") if isinstance(data["control"], dict) else None
    if isinstance(http, dict) and isinstance(http.get("url"), str):
        data["control"] = {**data["control"], "http": {**http, "url": given.filled(http["url"])}}
    command = data["control"].get("command") if isinstance(data["control"], dict) else None
    if isinstance(command, dict) and isinstance(command.get("run"), list):
        run = [given.filled(word) if isinstance(word, str) else word for word in command["run"]]
        data["control"] = {**data["control"], "command": {**command, "run": run}}


def _secret(given: Given, environment: dict[str, str]) -> Mapping[str, str]:
    """Where the signing secret comes from if neither file nor option says so."""
    if os.environ.get(SECRET_VARIABLE):
        return {"env": SECRET_VARIABLE}
    if given.launch is not None:
        made = secrets.token_urlsafe(32)
        environment[SECRET_VARIABLE] = made
        return {"value": made}
    raise UsageError(
        "with which secret are tokens to be signed?",
        hint=f"set {SECRET_VARIABLE}, give --secret-file, or state `tokens` in a target file",
    )


def _capabilities(given: Given, stated: Any, catalogue: Catalogue) -> dict[str, Any]:
    known = catalogue.protocol.capabilities
    result: dict[str, Any] = dict(stated) if isinstance(stated, dict) else {}
    for name in given.capabilities:
        if name == "all":
            result |= dict.fromkeys(known, True)
        elif name in known:
            result[name] = True
        else:
            raise UsageError(f"--capability {name}: unknown{suggest(name, known)}")
    return result
