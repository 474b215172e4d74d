"""Starts servers as copies of one process that has everything loaded, where the program can: see `seeded`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from relaykit.conformance.launch import Process, Start, execute
from relaykit.errors import KitDefect

_END_S = 10.0
"""To end all that still runs, before it is killed."""
_GONE = "the process that starts the servers is gone"


class _Copy:
    """One server: what `asyncio.subprocess.Process` would tell of it."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout: asyncio.StreamReader | None = stdout
        self._ended = asyncio.Event()

    def ended(self, status: int) -> None:
        self.returncode = status
        self._ended.set()

    async def wait(self) -> int:
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode


class _Nursery:
    """The process that is copied; requests are answered in order."""

    def __init__(self, process: asyncio.subprocess.Process, program: Sequence[str], folder: Path) -> None:
        self._process = process
        self._program = tuple(program)
        self._folder = folder
        self._copies: dict[int, _Copy] = {}
        self._asked = 0
        self._awaited: deque[tuple[asyncio.StreamReader, asyncio.Future[Process]]] = deque()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            said = json.loads(line)
            pid = said["pid"]
            if "status" in said:
                self._copies.pop(pid).ended(said["status"])
                continue
            stdout, future = self._awaited.popleft()
            self._copies[pid] = _Copy(pid, stdout)
            if future.done():  # nobody wants it any more
                os.kill(pid, signal.SIGKILL)
            else:
                future.set_result(self._copies[pid])
        for copy in self._copies.values():
            copy.ended(-signal.SIGKILL)
        for _, future in self._awaited:
            if not future.done():
                future.set_exception(KitDefect(_GONE))

    async def start(self, words: Sequence[str], environment: Mapping[str, str]) -> Process:
        """Start a server; `words` begin with the program.

        Raises:
            KitDefect: the process that is copied is gone.
        """
        if tuple(words[: len(self._program)]) != self._program:
            return await execute(words, environment)
        if self._reading.done():
            raise KitDefect(_GONE)
        self._asked += 1
        path = self._folder / f"output-{self._asked}"
        os.mkfifo(path)
        # Opened at once, though nobody writes yet: the copy finds a reader.
        end = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb")
        loop, stdout = asyncio.get_running_loop(), asyncio.StreamReader()
        future: asyncio.Future[Process] = loop.create_future()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdout), end)
        request = {
            "words": list(words[len(self._program) :]),
            "environment": dict(environment),
            "output": str(path),
        }
        assert self._process.stdin is not None
        self._awaited.append((stdout, future))
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        return await future

    async def close(self) -> None:
        """End the process, and whatever of its copies still runs."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_END_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        self._reading.cancel()


@contextlib.asynccontextmanager
async def nursery(program: Sequence[str], folder: Path) -> AsyncIterator[Start]:
    """A way to start servers of this program, which can fork; none of them outlives the block.

    Args:
        folder: for pipes.
    """
    process = await asyncio.create_subprocess_exec(
        *program,
        "--fork",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is the run's affair
    )
    made = _Nursery(process, program, folder)
    try:
        yield made.start
    finally:
        await asyncio.shield(asyncio.ensure_future(made.close()))
