"""How a target file says what arranges for the suite what frames cannot: HTTP, a command, or Python."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from relaykit.config import Document, read_secret, suggest
from relaykit.errors import UsageError
from relaykit.schemas import control_operations


class ControlMissingError(Exception):
    """The target does not offer this operation: what needs it is untestable."""


class ControlFailedError(Exception):
    """The operation exists and did not do what it should; the message says what came back."""


class ControlRefusedError(ControlFailedError):
    """The target answered that it cannot do that, as for a group that is not there.

    Over HTTP a 4xx status says so, on a command's line `refused` beside the error; a Python adapter
    raises this.
    """


class ControlBarredError(ControlFailedError):
    """The control interface does not let the suite in."""


class ControlMisfitError(ControlFailedError):
    """The operation answered something else than its description says."""


@dataclass(frozen=True, slots=True)
class HttpControl:
    """A control interface over HTTP; `operations` is None where the target file does not list them."""

    url: str
    token: str | None
    operations: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class CommandControl:
    """A command that takes one JSON object per line, and answers with one.

    Attributes:
        words: the command and its arguments; no shell is involved.
        folder: where it runs: that of the target file.
    """

    words: tuple[str, ...]
    folder: Path
    operations: frozenset[str] | None


@dataclass(frozen=True, slots=True)
class PythonControl:
    """An object with a method per operation.

    Attributes:
        adapter: `module:attribute` or `file.py:attribute`; a class is made an object with the options.
        folder: that of the target file; files are relative to it, and modules are looked for there first.
        place: where the target file names it.
    """

    adapter: str
    folder: Path
    options: Mapping[str, Any]
    operations: frozenset[str] | None
    place: str


ControlSpec = HttpControl | CommandControl | PythonControl


def read_control(document: Document, base: Path) -> ControlSpec | None:
    """The control interface of a target file whose shape is right, or None.

    Raises:
        UsageError: a secret cannot be read, or an operation does not exist.
    """
    given = document.data.get("control")
    if given is None:
        return None
    ((form, spec),) = given.items()
    known = control_operations()
    for index, name in enumerate(spec.get("operations", ())):
        if name not in known:
            place = document.place(f"/control/{form}/operations/{index}")
            raise UsageError(f"{place}: unknown control operation {name!r}{suggest(name, known)}")
    operations = frozenset(spec["operations"]) if "operations" in spec else None
    if form == "command":
        return CommandControl(tuple(spec["run"]), base, operations)
    if form == "python":
        options = MappingProxyType(spec.get("options", {}))
        place = document.place("/control/python/adapter")
        return PythonControl(spec["adapter"], base, options, operations, place)
    token = None
    if "token" in spec:
        token = secret_at(spec["token"], base, document.place("/control/http/token"))
    return HttpControl(spec["url"].rstrip("/"), token, operations)


def secret_at(spec: Mapping[str, str], base: Path, place: str) -> str:
    """A secret of a target file; what is wrong with it is said with its place."""
    try:
        return read_secret(spec.get("value", spec), base=base)
    except UsageError as error:
        raise UsageError(f"{place}: {error}", hint=error.hint) from error
