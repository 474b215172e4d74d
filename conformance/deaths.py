"""A target that dies during a run: it is noticed, brought back, and the case that did it is named."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace

from relaykit.conformance.context import Context, Environment, Presentation, UntestableError, present
from relaykit.conformance.dialing import dial
from relaykit.conformance.gathered import stays_up
from relaykit.conformance.issuing import TokenError
from relaykit.conformance.launch import Launched, current, listens
from relaykit.conformance.matching import short
from relaykit.conformance.presenting import dressed
from relaykit.conformance.record import Entry, Recorder, ShapeBook
from relaykit.conformance.results import CaseResult, Finding, Verdict
from relaykit.conformance.wire import DialError
from relaykit.errors import UnreachableError

_MOST = 20
"""More deaths than this in one run teach nobody anything: the target is given up."""
_LAST_LINES = 15
_LOOK_S = 0.05
_GLANCE_S = 0.5


class Deaths:
    """Keeps an eye on the target.

    Attributes:
        count: how often it died.
        notes: what the report should say of it.
        handshake_s: how long the answer to a handshake may take, where that tells whether it hangs.
    """

    def __init__(self, env: Environment, handshake_s: float | None = None) -> None:
        self.handshake_s = env.waits.connect if handshake_s is None else handshake_s
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

    @property
    def gone(self) -> bool:
        """Whether the target is gone for good."""
        return self._env.gone is not None

    async def look(self, *, closely: bool = False, patience_s: float = 0.0) -> str | None:
        """How the target died, in words; None if it lives.

        One that we launched says so itself. Another one is asked where something went wrong on a connection
        since the last look, or if we are to look `closely`.

        Args:
            closely: give it a moment, as its end may be behind the last frame that it took.
            patience_s: the same, and this moment; what kills a target may take effect later.
        """
        if self._env.gone is not None:
            return None
        server, closely = self._server, closely or patience_s > 0
        patience_s = max(patience_s, self._env.waits.quiet * 2 if closely else 0.0)
        if server is not None:
            if closely:
                await server.settled(patience_s)
            if server.ended is not None:
                await server.settled(1.0)
                return f"the launched target {server.ended}"
        elif closely:
            await _while_it_listens(self._env.target.url, patience_s)
        if self._env.doubts == self._doubts and not closely:
            return None
        self._doubts = self._env.doubts
        silent = await unanswered(self._env, self.handshake_s)
        if silent is None:
            return None
        if server is not None:
            await server.settled(1.0)
            if server.ended is not None:
                return f"the launched target {server.ended}"
        return f"the target {silent}"

    async def revive(self, how: str, *, provoked: bool = False) -> bool:
        """Start it again, if we launched it; else wait a while for somebody else to. False: it is gone.

        Args:
            provoked: it died because suspects were tried; that is not counted.
        """
        env = self._env
        env.unpark()
        self.count += not provoked
        if self.count > _MOST:
            env.gone = f"the target died {self.count} times, and was not started again"
        elif self._server is not None:
            try:
                await self._server.restart()
            except UnreachableError as error:
                env.gone = f"{how}, and does not come up again: {str(error).splitlines()[0]}"
        elif not await returned(env):
            env.gone = f"{how}; it no longer accepts connections"
        if env.gone is None:
            env.renewed()
        self._doubts = env.doubts
        return env.gone is None

    @property
    def hangs(self) -> bool:
        """Whether a launched target that was found dead runs on: then it answers nothing."""
        return self._server is not None and self._server.ended is None

    def likeness(self, how: str) -> str:
        """What makes one death like another: how, and the last error that a launched target wrote of.

        Nothing tells those of a target apart that we did not launch.
        """
        if self._server is None:
            return ""
        return " ".join((how, *([self._server.complaint] if self._server.complaint else [])))

    def last_lines(self) -> list[str]:
        """The last that a launched target wrote: of why it died, with luck."""
        return list(self._server.tail)[-_LAST_LINES:] if self._server is not None else []


def convicted(result: CaseResult, how: str, company: Sequence[str], lines: Sequence[str]) -> CaseResult:
    """The result of a case during which the target died.

    Args:
        company: other cases that may as well have been the reason.
        lines: the last that the target wrote.
    """
    sent = last_act(result.transcript)
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
        actor=sent.actor if sent else "",
        t_ms=sent.t_ms if sent else 0.0,
    )
    return replace(result, verdict=Verdict.FAIL, findings=(finding, *result.findings), reason="")


def last_act(transcript: Sequence[Entry]) -> Entry | None:
    """What was done last before the target fell silent for good, without what then came to nothing."""
    came = [
        number
        for number, line in enumerate(transcript)
        if line.direction == "s2c"
        and (line.event is None or line.event.startswith(("connected", "WebSocket")))
    ]
    alive = came[-1] if came else 0
    ends = (n for n, line in enumerate(transcript) if n > alive and line.direction == "s2c")
    before = transcript[: next(ends, len(transcript))]
    acts = (line for line in reversed(before) if line.direction == "c2s" and not line.kit)
    return next(acts, None)


def unexplained(deaths: Sequence[tuple[str, Sequence[str]]]) -> tuple[CaseResult, ...]:
    """A failure for deaths that could not be pinned on a case: how, and the suspects of each."""
    if not deaths:
        return ()
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
        )
        for how, suspects in deaths
    )
    return (CaseResult(stays_up().case(), Verdict.FAIL, found),)


async def unanswered(env: Environment, handshake_s: float | None = None) -> str | None:
    """Why the target cannot be talked to, or None if it answers a handshake, be it with a refusal.

    Args:
        handshake_s: seconds to wait for that, and twice as many once more; None: as the target file says.
    """
    seconds = env.waits.connect if handshake_s is None else handshake_s
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
                seconds=seconds * patience,
            )
        except DialError as error:
            if error.kind == "unreachable":
                return f"no longer accepts connections ({error})"
            if error.kind not in ("silent", "closed"):
                return None
            last = error
            if error.kind == "closed":  # so a server may treat whoever brings no token
                shown = await _honestly(env) or shown
        else:
            connection.leave()
            return None
        await _moment(env.waits.quiet)
    return f"accepts connections, but answers no handshake ({last})"


async def _honestly(env: Environment) -> Presentation | None:
    """A handshake that a living target serves; None: there is no token for it."""
    context = Context(env, stays_up().case())
    try:
        return present(env, await context.device("look").issued(), env.carrier)
    except (TokenError, UntestableError):
        return None
    finally:
        context.leave()


async def _moment(seconds: float) -> None:
    """Let a target that is dying die: nothing else tells when a foreign process is gone."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), seconds)


async def _while_it_listens(url: str, seconds: float) -> None:
    """Wait so long, or until nothing listens any more, which is looked for now and then."""
    left = seconds
    while left > 0:
        await _moment(min(left, _GLANCE_S))
        left -= _GLANCE_S
        if left > 0 and not await listens(url):
            return


async def returned(env: Environment) -> bool:
    """Whether the target listens again before the patience ends: others may start it anew."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(env.waits.reply * 5):
            while not await listens(env.target.url):
                await _moment(_LOOK_S)  # nothing tells when it begins to listen: ask again
            return await unanswered(env) is None
    return False
