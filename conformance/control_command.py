"""Control by a command: one JSON object per line to its standard input, one back from its standard output.

`{"id": 1, "operation": "create_group", "arguments": {…}}` is answered by `{"id": 1, "result": {…}}` or
`{"id": 1, "error": "…"}`, in any order. Beside `error`, `"missing": true` says that the operation is not
offered, and `"refused": true` that the target cannot do what is asked. The command lives from the first call
to the end of the run, and ends when its input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
from collections import deque
from collections.abc import Mapping
from typing import Any

from relaykit.conformance.control_spec import (
    CommandControl,
    ControlFailedError,
    ControlMissingError,
    ControlRefusedError,
)

_LINE_BYTES = 2**20
"""No answer is longer."""
_TAIL_LINES = 10
_TAIL_CHARACTERS = 300


class OverCommand:
    """A command at work. What it says on standard error is kept for messages."""

    def __init__(self, spec: CommandControl, seconds: float) -> None:
        self._spec = spec
        self._seconds = seconds
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Mapping[str, Any]]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._starting = asyncio.Lock()
        self._broken: str | None = None
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)

    async def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if self._spec.operations is not None and operation not in self._spec.operations:
            raise ControlMissingError(f"the target's control command does not offer {operation}")
        await self._start()
        if self._broken is not None:
            raise ControlFailedError(f"{operation}: {self._broken}")
        number = next(self._ids)
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            async with asyncio.timeout(self._seconds):
                await self._write({"id": number, "operation": operation, "arguments": dict(arguments)})
                answer = await waiting
        except TimeoutError:
            message = f"{operation}: the control command gave no answer within {self._seconds:g} s"
            raise ControlFailedError(message + self._said()) from None
        except BrokenError as error:
            raise ControlFailedError(f"{operation}: {error}") from None
        finally:
            self._waiting.pop(number, None)
            waiting.cancel()
        if "error" not in answer:
            result = answer.get("result")
            if not isinstance(result, dict):
                raise ControlFailedError(f"{operation}: the control command's answer has no object `result`")
            return result
        if answer.get("missing") is True:
            raise ControlMissingError(f"the target's control command does not offer {operation}")
        failed = ControlRefusedError if answer.get("refused") is True else ControlFailedError
        raise failed(f"{operation}: {str(answer['error'])[:_TAIL_CHARACTERS]}")

    async def close(self) -> None:
        """End it: by the end of its input, or after two seconds by a signal."""
        process = self._process
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), 2.0)
        except TimeoutError:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _start(self) -> None:
        async with self._starting:
            if self._process is not None or self._broken is not None:
                return
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *self._spec.words,
                    cwd=self._spec.folder,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                    limit=_LINE_BYTES,
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                self._broken = f"the control command {self._spec.words[0]!r} cannot be run: {why}"
                return
            self._tasks = (asyncio.create_task(self._answers()), asyncio.create_task(self._errors()))

    async def _write(self, request: Mapping[str, Any]) -> None:
        assert self._process is not None and self._process.stdin is not None
        # Where the pipe is broken, the reader has or will have found the end, and says it to all that wait.
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            await self._process.stdin.drain()

    async def _answers(self) -> None:
        process = self._process
        assert process is not None and process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:
                self._break(f"the control command wrote a line longer than {_LINE_BYTES} bytes")
                return
            if not line:
                break
            if line.strip() and not self._take(line):
                shown = line[:_TAIL_CHARACTERS].decode("utf-8", "replace").rstrip()
                self._break(
                    "the control command wrote a line that is no answer (its log belongs on standard error): "
                    f"{shown}"
                )
                return
        code: int | None = None
        with contextlib.suppress(TimeoutError):
            code = await asyncio.wait_for(process.wait(), 1.0)
            await asyncio.wait_for(asyncio.shield(self._tasks[1]), 1.0)
        ended = "closed its standard output" if code is None else f"ended with exit status {code}"
        self._break(f"the control command {ended}{self._said()}")

    def _take(self, line: bytes) -> bool:
        """Give an answer to whoever waits for it; False if it is none. One that comes too late is dropped."""
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            return False
        if not isinstance(answer, dict) or type(answer.get("id")) is not int:
            return False
        waiting = self._waiting.get(answer["id"])
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)
        return True

    async def _errors(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        while chunk := await self._process.stderr.read(65536):
            lines = chunk.decode("utf-8", "replace").splitlines()
            self._tail.extend(line[:_TAIL_CHARACTERS] for line in lines if line.strip())

    def _said(self) -> str:
        return (
            f"; its last lines:\n{chr(10).join(f'    {line}' for line in self._tail)}" if self._tail else ""
        )

    def _break(self, why: str) -> None:
        self._broken = why
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(BrokenError(why))


class BrokenError(Exception):
    """The command can no longer be asked; the message says why."""
