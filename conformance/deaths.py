"""A target that dies during a run: it is noticed, brought back, and the case that did it is named."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

from relaykit.conformance.context import Environment, present
from relaykit.conformance.dialing import dial
from relaykit.conformance.launch import Launched, current, listens
from relaykit.conformance.matching import short
from relaykit.conformance.presenting import dressed
from relaykit.conformance.record import Recorder, ShapeBook
from relaykit.conformance.results import Case, CaseResult, Finding, Verdict
from relaykit.conformance.wire import DialError
from relaykit.errors import UnreachableError

STAYS_UP = "target-stays-up"
"""The case that stands for deaths of the target which no case alone can bring about."""
_MOST = 20
"""More deaths than this in one run teach nobody anything: the target is given up."""
_LAST_LINES = 15
_LOOK_S = 0.05


class Deaths:
    """Keeps an eye on the target.

    Attributes:
        count: how often it died.
        notes: what the report should say of it.
    """

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._server: Launched | None = current.get()
        self._doubts = env.doubts
        self.count = 0
        self.notes: list[str] = []

    async def come(self) -> None:
        """Wait until the target is known to have died; for one that we did not launch, for ever."""
        if self._server is None:
            await asyncio.Event().wait()
        else:
            await self._server.end()

    async def look(self, *, closely: bool = False) -> str | None:
        """How the target died, in words; None if it lives.

        One that we launched says so itself. Another one is asked where something went wrong on a connection
        since the last look, or if we are to look `closely`.
        """
        if self._env.gone is not None:
            return None
        server = self._server
        if server is not None:
            if closely:  # its end may be a moment behind the last frame that it took
                await server.settled(self._env.waits.quiet * 2)
            if server.ended is not None:
                await server.settled(1.0)
                return f"the launched target {server.ended}"
        elif closely:
            await _moment(self._env.waits.quiet * 2)
        if self._env.doubts == self._doubts and not closely:
            return None
        self._doubts = self._env.doubts
        silent = await _unanswered(self._env)
        if silent is None:
            return None
        if server is not None:
            await server.settled(1.0)
            if server.ended is not None:
                return f"the launched target {server.ended}"
        return f"the target {silent}"

    async def revive(self, how: str) -> bool:
        """Start it again, if we launched it; else wait a while for somebody else to. False: it is gone."""
        env = self._env
        env.unpark()
        self.count += 1
        if self.count > _MOST:
            env.gone = f"the target died {self.count} times, and was not started again"
        elif self._server is not None:
            try:
                await self._server.restart()
            except UnreachableError as error:
                env.gone = f"{how}, and does not come up again: {str(error).splitlines()[0]}"
        elif not await _back(env):
            env.gone = f"{how}; it no longer accepts connections"
        if env.gone is None:
            env.clock_offset_s = 0.0  # a clock that was moved is right again
        self._doubts = env.doubts
        return env.gone is None

    def last_lines(self) -> list[str]:
        """The last that a launched target wrote: of why it died, with luck."""
        return list(self._server.tail)[-_LAST_LINES:] if self._server is not None else []


def convicted(result: CaseResult, how: str, company: Sequence[str], lines: Sequence[str]) -> CaseResult:
    """The result of a case during which the target died.

    Args:
        company: other cases that may as well have been the reason.
        lines: the last that the target wrote.
    """
    sent = next((e for e in reversed(result.transcript) if e.direction == "c2s" and not e.kit), None)
    when = "while this case ran alone"
    if company:
        others = ", ".join(company[:6]) + (", …" if len(company) > 6 else "")
        when = f"while this case ran, and with it {len(company)} others, any of which may be why ({others})"
    message = f"{how} {when}"
    if sent is not None:
        message += f"; the last that {sent.actor} did: {sent.event or short(sent.frame, 200)}"
    finding = Finding(
        requirement=None,
        level="MUST",
        provenance=None,
        severity="fail",
        blame="environment" if company else "target",
        message=message,
        expected="a target that goes on, whatever it is sent",
        actual={"died": how, "its last lines": list(lines)} if lines else how,
        step="",
        actor=sent.actor if sent else "",
        t_ms=result.transcript[-1].t_ms if result.transcript else 0.0,
    )
    return replace(result, verdict=Verdict.FAIL, findings=(finding, *result.findings), reason="")


def unexplained(deaths: Sequence[tuple[str, Sequence[str]]]) -> tuple[CaseResult, ...]:
    """A failure for deaths that could not be pinned on a case: how, and the suspects of each."""
    if not deaths:
        return ()
    case = Case(
        id=STAYS_UP,
        title="The target stays up while cases run side by side",
        area="connection",
        kind="run",
        catches="A server that falls over under several users, or now and then.",
        run=_never,
    )
    found = tuple(
        Finding(
            requirement=None,
            level="MUST",
            provenance=None,
            severity="fail",
            blame="target",
            message=f"{how} while {len(suspects)} cases ran, and did not when each of them ran alone",
            expected="a target that goes on, whatever it is sent",
            actual={"died": how, "suspects": list(suspects)},
            step="",
            actor="",
            t_ms=0.0,
        )
        for how, suspects in deaths
    )
    return (CaseResult(case, Verdict.FAIL, found),)


async def _never(_: object) -> None:
    raise AssertionError("this case stands for the run as a whole; it is not run")


async def _unanswered(env: Environment) -> str | None:
    """Why the target cannot be talked to, or None if it answers a handshake, be it with a refusal."""
    shown = present(env, None, env.carrier)
    for patience in (1, 2):  # a busy one is not a dead one
        await env.pace.turn()
        try:
            connection = await dial(
                shown.url,
                Recorder(env.catalogue, ShapeBook(), "a look"),
                "a look",
                headers=dressed(shown.headers, "a look", "", ""),
                tls=env.tls,
                seconds=env.waits.connect * patience,
            )
        except DialError as error:
            if error.kind == "unreachable":
                return f"no longer accepts connections ({error})"
            if error.kind not in ("silent", "closed"):
                return None
            last = error
        else:
            connection.leave()
            return None
        await _moment(env.waits.quiet)
    return f"accepts connections, but answers no handshake ({last})"


async def _moment(seconds: float) -> None:
    """Let a target that is dying die: nothing else tells when a foreign process is gone."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


async def _back(env: Environment) -> bool:
    """Whether the target listens again before the patience ends: others may start it anew."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(env.waits.reply * 5):
            while not await listens(env.target.url):
                await _moment(_LOOK_S)  # nothing tells when it begins to listen: ask again
            return await _unanswered(env) is None
    return False
