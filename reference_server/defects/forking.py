"""Starts one defective server after the other in copies of a process that has everything loaded.

Reading the catalogue and importing the server takes far longer than what most of these servers live for. So
`python -m relaykit.reference_server.defects --fork` reads it once and is then asked, line by line:

    → {"words": [NAME, OPTION, …], "environment": {NAME: TEXT}, "output": PATH}
    ← {"pid": NUMBER}                  the server runs; what it writes goes to the named pipe at PATH
    ← {"pid": NUMBER, "status": CODE}  it has ended; a signal's number is negative

At the end of its input it ends what still runs. It has one thread, and no event loop: what forks must not.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

Run = Callable[[Sequence[str]], int]
"""Runs one server with these words until it ends; its exit status."""


def answer_requests(run: Run) -> None:
    """Fork servers for as long as requests come."""
    gc.freeze()  # what is loaded stays shared between all of them
    woken, wake = os.pipe()
    for end in (woken, wake):
        os.set_blocking(end, False)
    before = signal.set_wakeup_fd(wake), signal.signal(signal.SIGCHLD, lambda *_: None)
    running: set[int] = set()
    try:
        for line in _lines(woken, running):
            request = json.loads(line)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                os.close(woken)
                os.close(wake)
                _become(run, request)
            with contextlib.suppress(PermissionError, ProcessLookupError):
                os.setpgid(pid, pid)  # here as well: whoever hears of it may signal the group at once
            running.add(pid)
            _say({"pid": pid})
    finally:
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        signal.set_wakeup_fd(before[0])
        signal.signal(signal.SIGCHLD, before[1])


def _lines(woken: int, running: set[int]) -> Iterator[bytes]:
    """Requests as they come; in between, the ends of servers are told."""
    rest = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(woken, 4096)
            _reap(running)
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            yield from lines


def _reap(running: set[int]) -> None:
    for pid in tuple(running):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            running.discard(pid)
            _say({"pid": pid, "status": os.waitstatus_to_exitcode(status)})


def _say(data: dict[str, Any]) -> None:
    os.write(1, json.dumps(data).encode() + b"\n")


def _become(run: Run, request: dict[str, Any]) -> NoReturn:
    """Be one server, as if it had been started as a process of its own."""
    code = 1
    try:
        os.setpgid(0, 0)
        nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(request["output"], os.O_WRONLY)
        for source, place in ((nothing, 0), (output, 1), (output, 2)):
            os.dup2(source, place)
        for end in (nothing, output):
            os.close(end)
        os.environ.update(request["environment"])
        code = run(request["words"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
