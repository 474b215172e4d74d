"""What all cases of a run share."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from typing import Protocol

from relaykit.conformance.control import Control
from relaykit.conformance.dialect import Dialect
from relaykit.conformance.issuing import Issuer
from relaykit.conformance.launch import current
from relaykit.conformance.leavings import Leavings, Tidied, take_back
from relaykit.conformance.pacing import Pace
from relaykit.conformance.record import ShapeBook
from relaykit.conformance.target import Target, Waits
from relaykit.schemas import Catalogue

_TIDYING_S, _TIDYING_LAUNCHED_S = 15.0, 3.0
"""Longer than this nobody waits for tidying: what is left then is said. What we launched ends anyway."""


class Leaving(Protocol):
    """Something that holds connections."""

    def leave(self) -> None: ...


@dataclass(slots=True)
class Environment:
    """What all cases of a run share.

    Attributes:
        factor: by which all waits were stretched.
        carrier: how ordinary cases present the token.
        issuer: gives tokens where the suite does not sign them itself.
        fences: whether the target answers heartbeats, so that a fence means something.
        clock_offset_s: by how much the target's clock was moved (`advance`); tokens follow it.
        destructive: whether cases may run that flood, kill or exhaust the target.
        doubts: cases that failed, or could not open or keep a connection: the target may be gone.
        gone: why no case can run any more, once the target is gone for good.
        parked: what waits, connected, to be lent to another case; `stations` counts what was made for that.
        acquainted: whether the people of derived cases could be arranged, ever; until then one case at a
            time tries to, behind `gate`.
        strangers: why they could not be, and which case has said so; it is said once.
        hindered: control operations that failed where most derived cases can do without → what was said.
        leavings: what the run has made on the target.
        unreached: labels of devices that got nothing where another device of the user did.
    """

    target: Target
    catalogue: Catalogue
    waits: Waits
    seed: str
    tls: ssl.SSLContext | None
    control: Control | None
    issuer: Issuer
    factor: float = 1.0
    carrier: str = "header"
    fences: bool = True
    shapes: ShapeBook = field(default_factory=ShapeBook)
    clock_offset_s: float = 0.0
    destructive: bool = True
    doubts: int = 0
    gone: str | None = None
    pace: Pace = field(default_factory=lambda: Pace(None))
    dialect: Dialect | None = None
    parked: list[Leaving] = field(default_factory=list)
    stations: int = 0
    acquainted: bool = False
    gate: asyncio.Lock = field(default_factory=asyncio.Lock)
    strangers: tuple[str, str] | None = None
    unreached: set[str] = field(default_factory=set)
    hindered: dict[str, str] = field(default_factory=dict)
    leavings: Leavings = field(default_factory=Leavings)

    def now(self) -> float:
        """Unix time as the target sees it, as far as the suite knows."""
        return time.time() + self.clock_offset_s

    def renewed(self) -> None:
        """The target was started anew: what was found out about the earlier one holds no longer."""
        self.unpark()
        self.clock_offset_s = 0.0  # a clock that was moved is right again

    def unpark(self) -> None:
        """Let go of what is parked."""
        self.strangers = None
        self.hindered.clear()
        while self.parked:
            self.parked.pop().leave()

    async def tidy_up(self, clock_s: float = 0.0) -> Tidied:
        """Take back what was made on the target, as far as it offers that and the target file wants it.

        Args:
            clock_s: by how much the target's clock was moved meanwhile.
        """
        return await take_back(
            self.control,
            self.leavings,
            "none" if self.gone is not None else self.target.tidy,
            offers=self.target.offers,
            clock_s=clock_s,
            seconds=(_TIDYING_S if current.get() is None else _TIDYING_LAUNCHED_S) * self.factor,
        )

    async def close(self) -> None:
        """Let go of parked connections, of the control interface and of where tokens come from."""
        self.unpark()
        if self.control is not None:
            await self.control.close()
        await self.issuer.close()
