"""Control by a Python adapter: an object with a method for each operation that it offers.

A method takes the operation's arguments as keywords and returns its result as a mapping (None: an empty one).
It may be async; one that is not runs in a thread. One that is missing, or raises `NotImplementedError`, is an
operation that the target lacks; `ControlRefusedError` says that the target cannot do what is asked. A method
`close`, if there is one, is called at the end of the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Mapping
from typing import Any

from relaykit.conformance.control_spec import (
    ControlFailedError,
    ControlMissingError,
    ControlRefusedError,
    PythonControl,
)
from relaykit.conformance.python_object import load_object


class OverPython:
    """An adapter at work."""

    def __init__(self, spec: PythonControl, seconds: float) -> None:
        self._spec = spec
        self._seconds = seconds
        self._adapter = load_adapter(spec)

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        method = getattr(self._adapter, operation, None)
        listed = self._spec.operations is None or operation in self._spec.operations
        if not listed or not callable(method):
            raise ControlMissingError(f"the target's control adapter does not offer {operation}")
        try:
            async with asyncio.timeout(self._seconds) as deadline:
                result = await _called(method, arguments)
        except NotImplementedError:
            raise ControlMissingError(f"the target's control adapter does not offer {operation}") from None
        except ControlRefusedError as error:
            raise ControlRefusedError(f"{operation}: {error}") from error
        except (Exception, SystemExit) as error:
            # An adapter that gives up (`sys.exit`) must not end the run, and least of all with status 0.
            if isinstance(error, TimeoutError) and deadline.expired():
                raise ControlFailedError(f"{operation}: no answer within {self._seconds:g} s") from None
            raise ControlFailedError(f"{operation}: {type(error).__name__}: {error}") from error
        if result is not None and not isinstance(result, Mapping):
            kind = type(result).__name__
            raise ControlFailedError(f"{operation}: the adapter returned a {kind}, no mapping")
        return dict(result or {})

    async def close(self) -> None:
        method = getattr(self._adapter, "close", None)
        if callable(method):
            # The run is over: a farewell that fails changes no verdict.
            with contextlib.suppress(Exception, SystemExit):
                async with asyncio.timeout(self._seconds):
                    await _called(method, {})


async def _called(method: Any, arguments: Mapping[str, Any]) -> Any:
    if inspect.iscoroutinefunction(method):
        return await method(**arguments)
    result = await asyncio.to_thread(method, **arguments)
    return await result if inspect.isawaitable(result) else result


def load_adapter(spec: PythonControl) -> Any:
    """The adapter that a target file names.

    Raises:
        UsageError: there is none, or it cannot be made; with the place in the target file.
    """
    return load_object(spec.adapter, spec.folder, spec.options, place=spec.place, what="control adapter")
