"""Warnings that clients can bring about without end: the log is not to grow as fast as they come."""

from __future__ import annotations

import logging
from collections.abc import Hashable
from dataclasses import dataclass, field

from relaykit.reference_server.clock import Clock

AGAIN_S = 10.0
"""After which the same is said again, and how often it was not."""
MOST_NAMED = 5
"""Of so many within that time each is named, where a text names whom it is about."""


@dataclass(slots=True)
class _Said:
    """Since when (seconds of the clock) a text is spared, whom it was said of, how often it was not said."""

    since: float
    named: set[Hashable] = field(default_factory=set)
    unsaid: int = 0


class Sparing:
    """Says each text at once, then at most once in `AGAIN_S`. Texts are the server's own: there are few."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: dict[str, _Said] = {}

    def warn(self, log: logging.Logger, text: str, *values: object, about: Hashable = None) -> None:
        """Log a warning, or count it.

        Args:
            text, values: as for `logging`.
            about: whom it names: of the first `MOST_NAMED` it is said, as the second one is to be found, too.
        """
        now = self._clock.monotonic()
        said = self._said.get(text)
        if said is None or now >= said.since + AGAIN_S:
            unsaid = said.unsaid if said is not None else 0
            self._said[text] = said = _Said(now)
        elif about in said.named or len(said.named) >= MOST_NAMED:
            said.unsaid += 1
            return
        else:
            unsaid = 0
        said.named.add(about)
        if unsaid:
            log.warning(f"{text}; %d more since it was said", *values, unsaid)
        else:
            log.warning(text, *values)
