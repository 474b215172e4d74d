"""`--launch`: start the target, wait until it listens, and stop it whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import re
import shlex
import signal
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from relaykit.errors import RelaykitError, UnreachableError, UsageError
from relaykit.schemas.wording import times

_TAIL_LINES = 40
_LINE_BYTES = 400
_CRASH_LINES = 15
_CRASH = re.compile(
    r"^(Traceback \(most recent call last\):|panic: |Exception in thread |thread '.*' panicked|"
    r"Unhandled exception|Uncaught |\s*throw |\[?UnhandledPromiseRejection)"
)
"""How what a program did not handle begins, in its output, in the languages that servers are written in."""
_ERROR = re.compile(r"^(?:Uncaught |panic: )?[\w.]*(?:Error|Exception|panic)\b.*|^thread '.*' panicked.*")
"""A line that names an error; the last one before the end is most likely why."""
_CHANGES = re.compile(r"0x[0-9a-fA-F]+|[0-9a-fA-F-]{8,}|[0-9]+|'[^']*'|\"[^\"]*\"")
"""What differs from one time to the next in such a line."""


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago, for `{port}` in the command."""
    return free_ports(1)[0]


def free_ports(count: int, but: Container[int] = ()) -> list[int]:
    """Several such ports: different ones, as each is held until the last is found.

    Args:
        but: ports that are not to be among them, as somebody is about to listen there.
    """
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
            if port not in but:
                found.append(port)
    return found


def ports_for(command: str | None) -> dict[str, int]:
    """Free ports for those that a command speaks of, as `{port}` and `{control_port}`."""
    named = [name for name in ("port", "control_port") if command and f"{{{name}}}" in command]
    return dict(zip(named, free_ports(len(named)), strict=True))


class Process(Protocol):
    """What asyncio tells of a process, as far as it is needed here."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    @property
    def stdout(self) -> asyncio.StreamReader | None: ...

    async def wait(self) -> int: ...


Start = Callable[[Sequence[str], Mapping[str, str]], Awaitable[Process]]
"""Starts a process with these words, and these variables besides its environment; in a group of its own."""


async def listens(url: str) -> bool:
    """Whether something accepts connections at the address; a caller says by when it wants to know."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    try:
        _, writer = await asyncio.open_connection(parts.hostname, port)
    except OSError:
        return False
    writer.close()
    return True


class Launched:
    """A target process that we started.

    Attributes:
        tail: the last lines it wrote.
        complaint: the last error it wrote of since its start, without what differs from time to time.
    """

    def __init__(self, process: Process, command: str, url: str, seconds: float, start: Start) -> None:
        self._process = process
        self._start = start
        self._url = url
        self._seconds = seconds
        self.command = command
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self.crashes = 0
        self.first_crash: list[str] = []
        self.complaint = ""
        self.environment: Mapping[str, str] = {}
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        # Read for as long as it runs: a full pipe would stop it.
        stream = self._process.stdout
        assert stream is not None
        rest = b""
        while chunk := await stream.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._heard(line[:_LINE_BYTES].decode("utf-8", "replace").rstrip())
            rest = rest[-_LINE_BYTES:]
        if rest:
            self._heard(rest.decode("utf-8", "replace"))

    def _heard(self, line: str) -> None:
        self.tail.append(line)
        if _ERROR.match(line):
            self.complaint = _CHANGES.sub("…", line)
        crashed = _CRASH.search(line) is not None
        self.crashes += crashed
        first = self.crashes == 1 and len(self.first_crash) < _CRASH_LINES
        if first and (crashed or self.first_crash):
            self.first_crash.append(line)

    @property
    def ended(self) -> str | None:
        """How the process ended, in words, or None while it runs."""
        code = self._process.returncode
        if code is None:
            return None
        if code < 0:
            with contextlib.suppress(ValueError):
                return f"was killed by {signal.Signals(-code).name}"
        return f"ended with exit status {code}"

    def memory_bytes(self) -> int | None:
        """How much memory the process has resident; None where the system does not say, or it has ended."""
        try:
            text = Path(f"/proc/{self._process.pid}/status").read_text("ascii", "replace")
        except OSError:
            return None
        found = next((line.split()[1] for line in text.splitlines() if line.startswith("VmRSS:")), None)
        return int(found) * 1024 if found is not None else None

    async def ready(self, url: str, seconds: float) -> None:
        """Wait until something accepts connections at the address.

        Raises:
            UnreachableError: the process ended, or nothing listens in time.
        """
        try:
            async with asyncio.timeout(seconds):
                while self._process.returncode is None:
                    if await listens(url):
                        return
                    # Nothing tells when a foreign process begins to listen: ask again, or hear its end.
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._process.wait(), 0.05)
        except TimeoutError:
            raise UnreachableError(
                f"the launched target does not listen at {url} after {seconds:g} s{self.said()}",
                hint="does its command listen on the host and port of the target's url? `{port}` in the "
                "command stands for a free port",
            ) from None
        await self._drained()
        raise UnreachableError(
            f"the launched target {self.ended} before it accepted a connection{self.said()}",
            hint=f"the command was: {self.command}",
        )

    @property
    def crash_note(self) -> str | None:
        """That it wrote of exceptions which it did not handle, for a reader; None: it did not."""
        if not self.crashes:
            return None
        often = times(self.crashes)
        return f"the launched target wrote {often} of an exception that it did not handle; the first follows"

    async def settled(self, seconds: float) -> None:
        """Wait for news of its end, where connections say that it is gone: they may know sooner."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), seconds)
            await self._drained()

    async def end(self) -> None:
        """Wait until the process ends."""
        await self._process.wait()

    def said(self) -> str:
        """The last lines it wrote, for messages."""
        if not self.tail:
            return " (it wrote nothing)"
        return "; its last lines:\n" + "\n".join(f"    {line}" for line in self.tail)

    async def _drained(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._reading), 1.0)

    async def stop(self, seconds: float = 5.0) -> None:
        """Stop it and all it started: SIGTERM, and SIGKILL for what is left after some seconds."""
        if self._process.returncode is None:
            self._signal(signal.SIGTERM)
            self._signal(signal.SIGCONT)  # one that was frozen hears of it, too
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), seconds)
        self._signal(signal.SIGKILL)
        await self._process.wait()
        await self._drained()
        self._reading.cancel()

    def ask_to_end(self) -> None:
        """Send SIGTERM, and wait for nothing."""
        self._signal(signal.SIGTERM)

    async def restart(self) -> None:
        """Kill what is left of it, start it anew as it was, and wait until it listens.

        Raises:
            UnreachableError: it does not come up again.
        """
        self._signal(signal.SIGKILL)
        await self._process.wait()
        await self._drained()
        self._reading.cancel()
        self.complaint = ""
        self._process = await self._start(shlex.split(self.command), self.environment)
        self._reading = asyncio.create_task(self._read())
        await self.ready(self._url, self._seconds)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # Its own process group: what it started in turn (a shell's child) ends as well.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)


def end_on_sigterm() -> None:
    """Let a polite kill of ours end the current task as Ctrl-C does, so that what it launched ends, too."""
    task = asyncio.current_task()
    if task is not None:
        # Not everywhere, and in the main thread alone.
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


current: contextvars.ContextVar[Launched | None] = contextvars.ContextVar("launched", default=None)
"""The target that this run launched, for cases that stop, kill and restart it."""


async def execute(words: Sequence[str], environment: Mapping[str, str]) -> Process:
    """Start a program.

    Raises:
        OSError: it cannot be run.
    """
    return await asyncio.create_subprocess_exec(
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environment},
        start_new_session=True,
    )


@contextlib.asynccontextmanager
async def launched(
    command: str, url: str, *, environment: Mapping[str, str], seconds: float, start: Start = execute
) -> AsyncIterator[Launched]:
    """Start a target and stop it at the end, also when that end is Ctrl-C.

    The hint of an error that is raised meanwhile is completed with what the target wrote last.

    Args:
        command: split as a shell would, but run without one.
        url: where it will listen.
        environment: added to our own.
        seconds: to wait for it to listen.
        start: how, if not by running the command's program.

    Raises:
        UsageError: the command is malformed or cannot be run.
        UnreachableError: it ended, or does not listen.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--launch: {error}: {command}") from error
    if not words:
        raise UsageError("--launch: the command is empty")
    try:
        process = await start(words, environment)
    except OSError as error:
        raise UsageError(f"--launch: {words[0]} cannot be run: {error.strerror}") from error
    target = Launched(process, command, url, seconds, start)
    target.environment = environment
    token = current.set(target)
    try:
        await target.ready(url, seconds)
        try:
            yield target
        except RelaykitError as error:
            error.hint = f"{error.hint or ''}{target.said()}"
            raise
    finally:
        current.reset(token)
        try:
            await asyncio.shield(asyncio.ensure_future(target.stop()))
        except BaseException:
            target.kill()  # a second Ctrl-C: no more patience
            raise
