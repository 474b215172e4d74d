"""Warnings that clients can bring about without end: the log is not to grow as fast as they come."""

from __future__ import annotations

import logging
from math import inf

from relaykit.reference_server.clock import Clock

AGAIN_S = 10.0
"""After which the same is said again, and how often it was not."""


class Sparing:
    """Says each text at once, then at most once in `AGAIN_S`. Texts are the server's own: there are few."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}

    def warn(self, log: logging.Logger, text: str, *values: object) -> None:
        """Log a warning, or count it; `values` are put into the text."""
        now = self._clock.monotonic()
        at, unsaid = self._said.get(text, (-inf, 0))
        if now < at + AGAIN_S:
            self._said[text] = (at, unsaid + 1)
            return
        self._said[text] = (now, 0)
        if unsaid:
            log.warning(f"{text}; %d more since it was said", *values, unsaid)
        else:
            log.warning(text, *values)
