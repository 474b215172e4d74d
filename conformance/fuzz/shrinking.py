"""A failing message made as small as it can be while the server still does the wrong thing with it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import combinations, islice
from typing import Any

from relaykit.conformance.fuzz.trial import Bench, Failure, Template, sample_of

_TRIALS, _TOGETHER = 160, 4
_SECONDS = 15.0
"""A server that hangs makes every trial long."""


_PART = re.compile(rb"<<[a-z0-9._|]+>>|.", re.DOTALL)
"""A byte, or a name that stands for an identifier: half of it would stand for nothing."""
Trial = Callable[[Template], Awaitable[Failure | None]]


async def shrunk(
    bench: Bench, failure: Failure, found: Callable[[Failure], None], trial: Trial | None = None
) -> Failure:
    """The smallest failure found within some trials and seconds; it breaks the same requirement.

    Args:
        found: is told of each that is smaller.
        trial: tells whether a message still shows the failure, one at a time; None: as the bench does, in a
            hurry, so that the smallest is tried once more with patience.
    """
    hurried = bench.hurried
    best, left, together = failure, _TRIALS, _TOGETHER if trial is None else 1
    attempt = trial or hurried.trial
    end = min(time.monotonic() + _SECONDS, bench.until)
    progress = True
    while progress and left > 0:
        progress = False
        templates = (replace(best.template, data=data) for data in _smaller(best.template.data))
        candidates = (each for each in templates if _meant(bench, each))
        while some := list(islice(candidates, min(together, left))):
            if time.monotonic() > end:
                left = 0
                break
            left -= len(some)
            tried = await asyncio.gather(*(attempt(each) for each in some))
            same = [each for each in tried if each is not None and _first(each) == _first(best)]
            if same:
                best, progress = same[0], True
                found(best)
                break
    bench.count = hurried.count
    if trial is not None or best is failure:
        return best
    # What was only slow is no failure.
    sure = await bench.trial(best.template)
    return sure if sure is not None and _first(sure) == _first(failure) else failure


def _first(failure: Failure) -> tuple[str, ...]:
    return failure.requirements[:1]


def _meant(bench: Bench, template: Template) -> bool:
    """Whether the smaller message still has to be treated as the whole one."""
    return bench.oracle.duty(sample_of(template))[0] is template.duty


def _smaller(data: bytes) -> Iterator[bytes]:
    """Smaller messages, the boldest steps first."""
    try:
        frame = json.loads(data)
    except (ValueError, RecursionError):
        frame = None
    if isinstance(frame, dict) and _written(frame) == data:
        for smaller in _values(frame):
            yield _written(smaller)
        return
    parts = _PART.findall(data)
    size = len(parts) // 2
    while size >= 1:
        for at in range(0, len(parts), size):
            yield b"".join((*parts[:at], *parts[at + size :]))
        size //= 2


def _written(frame: Any) -> bytes:
    return json.dumps(frame, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "backslashreplace")


def _values(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for gone in (*combinations(value, 1), *combinations(value, 2)):  # two may need each other
            yield {name: inner for name, inner in value.items() if name not in gone}
        for key, inner in value.items():
            for smaller in _values(inner):
                yield {**value, key: smaller}
    elif isinstance(value, list) and value:
        yield []
        if len(value) > 1:
            yield value[: len(value) // 2]
            yield value[:-1]
        for index, inner in enumerate(value[:4]):
            for smaller in _values(inner):
                yield [*value[:index], smaller, *value[index + 1 :]]
    elif isinstance(value, str) and len(value) > 1 and "<<" not in value:
        yield value[:1]
        yield value[: len(value) // 2]
        yield value[len(value) // 2 :]
