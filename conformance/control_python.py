"""Control by a Python adapter: an object with a method for each operation that it offers.

A method takes the operation's arguments as keywords and returns its result as a mapping (None: an empty one).
It may be async; one that is not runs in a thread. One that is missing, or raises `NotImplementedError`, is an
operation that the target lacks. A method `close`, if there is one, is called at the end of the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from typing import Any

from relaykit.conformance.control_spec import ControlFailedError, ControlMissingError, PythonControl
from relaykit.errors import UsageError


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
        except Exception as error:
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
            with contextlib.suppress(Exception):
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
    source, _, name = spec.adapter.rpartition(":")
    try:
        module = _file(spec, source) if source.endswith(".py") else _module(spec, source)
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part)
        return found(**spec.options) if isinstance(found, type) else found
    except Exception as error:
        # Whatever the file does while it is loaded is the user's: say what, and where.
        raise UsageError(
            f"{spec.place}: the control adapter {spec.adapter!r} cannot be loaded: "
            f"{type(error).__name__}: {error}",
            hint="adapter: file.py:Class (relative to the target file) or package.module:attribute",
        ) from error


def _file(spec: PythonControl, source: str) -> Any:
    path = (spec.folder / source).resolve()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    # A name that no package has, so that nothing is shadowed.
    name = f"relaykit_adapter_{abs(hash(path)):x}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    found.loader.exec_module(module)
    return module


def _module(spec: PythonControl, source: str) -> Any:
    folder = str(spec.folder.resolve())
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(source)
    finally:
        sys.path.remove(folder)
