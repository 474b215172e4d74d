"""No more connection attempts per second than the target file permits: for servers that limit them."""

from __future__ import annotations

import asyncio


class Pace:
    """Turns at an even distance. `per_second` None: at once.

    Waiting for a turn is the suite's own politeness, and no part of what is judged.
    """

    def __init__(self, per_second: float | None) -> None:
        self._distance = 1 / per_second if per_second else 0.0
        self._next = 0.0

    async def turn(self) -> None:
        """Wait until it is this caller's turn."""
        if not self._distance:
            return
        now = asyncio.get_running_loop().time()
        mine = max(now, self._next)
        self._next = mine + self._distance
        await asyncio.sleep(mine - now)
