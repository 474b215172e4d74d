"""The control interface: arranging what frames cannot (groups, contacts, conversations, devices)."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import jsonschema_rs

from relaykit.conformance.control_command import OverCommand
from relaykit.conformance.control_python import OverPython
from relaykit.conformance.control_spec import (
    CommandControl,
    ControlBarredError,
    ControlFailedError,
    ControlMisfitError,
    ControlMissingError,
    ControlRefusedError,
    ControlSpec,
    HttpControl,
    PythonControl,
)
from relaykit.schemas import control_operations, thaw

if TYPE_CHECKING:
    import aiohttp


_LONGEST = 2**20
"""No answer is longer."""
_SHOWN = 300


class Control(Protocol):
    """What carries out control operations."""

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one operation.

        Raises:
            ControlMissingError, ControlFailedError
        """

    async def close(self) -> None:
        """Let go of whatever it holds."""


class OverHttp:
    """`POST <url>/<operation>` with a bearer token, JSON both ways."""

    def __init__(self, spec: HttpControl, seconds: float, tls: ssl.SSLContext | None = None) -> None:
        self._spec = spec
        self._seconds = seconds
        self._tls = tls
        self._missing: set[str] = set()
        self._session: aiohttp.ClientSession | None = None

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        import aiohttp  # only here: most commands never need it, and it takes long to load

        spec = self._spec
        if operation in self._missing or (spec.operations is not None and operation not in spec.operations):
            raise ControlMissingError(f"the target's control interface does not offer {operation}")
        if self._session is None:
            headers = {"Authorization": f"Bearer {spec.token}"} if spec.token else {}
            timeout = aiohttp.ClientTimeout(total=self._seconds)
            self._session = aiohttp.ClientSession(headers=headers, timeout=timeout)
        try:
            async with self._session.post(
                f"{spec.url}/{operation}", json=arguments, ssl=self._tls or True
            ) as response:
                status, body = response.status, await response.content.read(_LONGEST + 1)
                while len(body) <= _LONGEST and (more := await response.content.read(_LONGEST)):
                    body += more
        except TimeoutError:
            raise ControlFailedError(f"{operation}: no answer within {self._seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ControlFailedError(f"{operation}: {error}") from error
        if len(body) > _LONGEST:
            raise ControlFailedError(f"{operation}: the answer is longer than {_LONGEST} bytes")
        if status in (404, 405, 501) and not _explains(body):
            self._missing.add(operation)
            raise ControlMissingError(f"the target's control interface does not offer {operation}")
        if status >= 300:
            said = f"{operation}: HTTP {status} {body[:300].decode('utf-8', 'replace')}"
            raise _failed(status)(said)
        try:
            result = json.loads(body or b"{}")
        except ValueError:
            raise ControlFailedError(f"{operation}: the answer is not JSON") from None
        if not isinstance(result, dict):
            raise ControlFailedError(f"{operation}: the answer is not a JSON object")
        return result

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


class Checked:
    """A control interface whose answers are as the interface's description says, or else failures of it.

    An answer that lacks what cases rely on would make them accuse the target.
    """

    def __init__(self, control: Control) -> None:
        self._control = control

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """See `Control`.

        Raises:
            ControlMisfitError: the answer is not as described.
        """
        result = await self._control.call(operation, arguments)
        wrong = _misfit(operation, result)
        if wrong:
            raise ControlMisfitError(f"{operation}: its answer is not as described: {wrong[:_SHOWN]}")
        return result

    async def close(self) -> None:
        """See `Control`."""
        await self._control.close()


def _misfit(operation: str, result: Mapping[str, Any]) -> str:
    """What is wrong with an answer, with the place in it; nothing if it is as described."""
    try:
        error = next(_validator(operation).iter_errors(dict(result)), None)
    except (TypeError, ValueError) as unfit:  # an adapter in Python may give anything
        return f"it is not JSON: {unfit}"
    if error is None:
        return ""
    place = "".join(f"/{part}" for part in error.instance_path)
    return f"{place}: {error.message}" if place else str(error.message)


@cache
def _validator(operation: str) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(thaw(control_operations()[operation].response))


def _failed(status: int) -> type[ControlFailedError]:
    """What a status says of an operation that was not carried out."""
    if status in (401, 403):
        return ControlBarredError
    return ControlRefusedError if 400 <= status < 500 and status != 429 else ControlFailedError


def _explains(body: bytes) -> bool:
    """Whether a 404 is the operation's own ("no such group") rather than that of a missing route."""
    try:
        answer = json.loads(body)
    except ValueError:
        return False
    error = answer.get("error") if isinstance(answer, dict) else None
    return isinstance(error, str) and "operation" not in error.lower() and error.lower() != "not found"


def open_control(
    spec: ControlSpec | None, seconds: float, tls: ssl.SSLContext | None = None
) -> Control | None:
    """The control interface that a target file describes, or None.

    Args:
        seconds: within which an operation must be done.
        tls: for https://; None: as the system trusts.

    Raises:
        UsageError: a Python adapter cannot be loaded.
    """
    match spec:
        case None:
            return None
        case HttpControl():
            return OverHttp(spec, seconds, tls)
        case CommandControl():
            return OverCommand(spec, seconds)
        case PythonControl():
            return OverPython(spec, seconds)


__all__ = [
    "Checked",
    "Control",
    "ControlBarredError",
    "ControlFailedError",
    "ControlMisfitError",
    "ControlMissingError",
    "ControlRefusedError",
    "OverHttp",
    "open_control",
]
