"""Before the first case: is there a target, does it take our tokens, and does it answer a heartbeat?"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from relaykit.conformance.advice import cut_hint, hopeless, refused_hint
from relaykit.conformance.codes import AUTH_FAILED, code_of
from relaykit.conformance.context import Context, Environment, Presentation, present
from relaykit.conformance.control_spec import ControlFailedError, ControlMissingError
from relaykit.conformance.issuing import TokenError
from relaykit.conformance.results import Case
from relaykit.conformance.target import CARRIERS
from relaykit.conformance.token_spec import Minting
from relaykit.conformance.wire import Connection, DialError
from relaykit.errors import UnreachableError

_FAR_S = 5.0
"""A clock that differs by more is not merely inexact."""
_COARSE_S = 0.1
"""Timestamps of this resolution say nothing of a skew within it."""
_FRACTION = re.compile(r"[.,]([0-9]+)")
PREFLIGHT = "preflight"
_CASE = Case(
    id=PREFLIGHT,
    title="The target can be reached and takes a token",
    area="connection",
    kind="probe",
    run=lambda _: _nothing(),
)


async def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True)
class Readiness:
    """What preflight found out.

    Attributes:
        carrier: a way of presenting the token that works.
        fences: whether a heartbeat was answered; without that, absence is judged by waiting alone.
        ended: how the connection ended in place of that answer; None: it did not.
        round_trip_ms: how long that took.
        skew_s: by how much the target's clock is ahead of ours, as the answer's timestamp has it, to about
            half a round trip and the resolution of the timestamp; 0: none that it shows; None: it has none
            that can be read.
        notes: what a reader of the report should know.
    """

    carrier: str
    fences: bool
    round_trip_ms: float
    skew_s: float | None
    notes: tuple[str, ...]
    ended: str | None = None


async def preflight(env: Environment) -> Readiness:
    """Connect once.

    Raises:
        UnreachableError: there is no target, or it takes no token; with what to do about it.
    """
    try:
        return await _preflight(env)
    except _NoTokenTakenError:
        # An earlier run may have moved its clock beyond the life of our tokens.
        ahead = await _told(env)
        if ahead is None or abs(ahead) < _FAR_S:
            raise
        env.clock_offset_s = ahead
        ready = await _preflight(env)
        note = f"the target's clock is {ahead:+.0f} s from ours: tokens are made by its clock"
        return replace(ready, notes=(*ready.notes, note))


class _NoTokenTakenError(UnreachableError):
    """The target answers, and refuses every token."""


async def _told(env: Environment) -> float | None:
    """By how much the target's clock is ahead of ours, as its control interface tells; None: it does not."""
    if env.control is None or not env.target.offers("advance_clock"):
        return None
    if not isinstance(env.target.tokens, Minting):
        return None
    try:
        answer = await env.control.call("advance_clock", {"seconds": 0})
        stated = datetime.fromisoformat(str(answer.get("now")))
    except (ControlMissingError, ControlFailedError, ValueError):
        return None
    return round(stated.timestamp() - time.time(), 3) if stated.tzinfo else None


async def _preflight(env: Environment) -> Readiness:
    context = Context(env, _CASE)
    tried: list[str] = []
    silent: list[bool] = []
    refused: list[DialError] = []
    ending: list[Readiness] = []
    try:
        device = context.device("preflight")
        try:
            token = await device.issued()
        except TokenError as error:
            raise UnreachableError(
                f"no token was given out: {error}", hint="check `tokens` in the target file"
            ) from None
        for carrier in (env.target.carrier,) if env.target.carrier else CARRIERS:
            shown = present(env, token, carrier)
            try:
                connection = await context.dial(shown, "preflight", node=0)
            except DialError as error:
                if error.kind in ("unreachable", "silent", "rubbish"):
                    raise hopeless(env, error) from None
                refused.append(error)
                tried.append(f"{carrier}: {error}")
                silent.append(error.kind == "closed")
                continue
            silent.append(False)
            ready = await _try(env, context, connection, carrier, tuple(tried))
            if ready is not None and ready.ended is None:
                await _other_nodes(env, context, ready, token)
                return await _by_its_clock(env, context, ready)
            if ready is not None:
                ending.append(ready)
            tried.append(f"{carrier}: opened, then {_last_word(connection)}")
        for ready in ending:
            # None is served to the end: was it the token, or does the target end whoever sends a heartbeat?
            if await _stays(env, context, present(env, token, ready.carrier)):
                await _other_nodes(env, context, ready, token)
                return ready
    finally:
        context.leave()
    if all(silent):
        raise UnreachableError(
            f"{env.target.url} accepts connections, but ends each without answering the handshake",
            hint=cut_hint(env),
        )
    what = "answers, but takes none of our tokens" if _about_tokens(refused) else "opens no session"
    raise _NoTokenTakenError(
        f"{env.target.url} {what} ({'; '.join(tried)})",
        hint=refused_hint(refused, minted=isinstance(env.target.tokens, Minting)),
    )


def _about_tokens(refused: Sequence[DialError]) -> bool:
    return not refused or any(error.status in (400, 401, 403) for error in refused)


async def _try(
    env: Environment, context: Context, connection: Connection, carrier: str, tried: tuple[str, ...]
) -> Readiness | None:
    """What an open connection tells; None if the target says that it does not take the token."""
    started, clock = time.perf_counter(), time.time()
    answered = await connection.beat(env.waits.reply)
    elapsed = round((time.perf_counter() - started) * 1000, 2)
    skew = _skew(context, clock + elapsed / 2000) if answered else None
    if (
        not connection.alive
        and not answered
        and any(code_of(a.frame) == AUTH_FAILED for a in connection.inbox)
    ):
        return None
    notes = [f"the token is presented as {carrier}, since others were refused: {line}" for line in tried]
    if not answered:
        why = connection.ended or f"no answer within {env.waits.reply:g} s"
        notes.append(f"a heartbeat is not answered ({why}): absence is judged by waiting alone")
    ended = None if connection.alive or answered else connection.ended
    return Readiness(carrier, answered, elapsed, skew, tuple(notes), ended)


async def _stays(env: Environment, context: Context, shown: Presentation) -> bool:
    """Whether a connection on which nothing is sent stays open."""
    try:
        connection = await context.dial(shown, "preflight", node=0)
    except DialError:
        return False
    deadline = asyncio.get_running_loop().time() + env.waits.reply
    while connection.alive and await context.wait(deadline):
        pass
    return connection.alive


async def _other_nodes(env: Environment, context: Context, ready: Readiness, token: str) -> None:
    """Each further node of the target must take a token as the first one does.

    Raises:
        UnreachableError: one does not.
    """
    for number, url in enumerate(env.target.urls[1:], 1):
        shown = present(env, token, ready.carrier)
        try:
            connection = await context.dial(shown, "preflight", node=number)
        except DialError as error:
            raise UnreachableError(
                f"{url}: {error}",
                hint=f"the first node, {env.target.url}, takes a token: is this one set up so?",
            ) from None
        if not await connection.beat(env.waits.reply) and (ready.fences or not connection.alive):
            said = connection.ended or "a heartbeat is not answered"
            raise UnreachableError(
                f"{url}: {said}",
                hint=f"the first node, {env.target.url}, serves clients: is this one set up so?",
            )


async def _by_its_clock(env: Environment, context: Context, ready: Readiness) -> Readiness:
    """Make tokens by the target's clock where it is far from ours (an earlier run may have moved it).

    Timestamps that are made up say nothing of the clock that judges tokens. So a token is tried that is
    expired by one of the two clocks, and not by the other.
    """
    skew = ready.skew_s
    if skew is None or not isinstance(env.target.tokens, Minting):
        return ready
    rest = skew - env.clock_offset_s
    if abs(rest) < _FAR_S:
        return ready
    halfway = env.now() + rest / 2 - env.target.timing["clock_leeway_s"]
    token = context.device("preflight_clock").token(claims={"iat": int(halfway) - 3600, "exp": int(halfway)})
    try:
        connection = await context.dial(present(env, token, ready.carrier), "preflight")
        served = await connection.beat(env.waits.reply)
    except DialError:
        served = False
    if served == (rest < 0):
        env.clock_offset_s = skew
        note = f"the target's clock is {skew:+.0f} s from ours: tokens are made by its clock"
    else:
        note = f"the target's timestamps are {skew:+.0f} s from our clock, but it judges tokens by another"
    return replace(ready, notes=(*ready.notes, note))


def _skew(context: Context, now: float) -> float | None:
    """The clock skew by the timestamp of the last acknowledged heartbeat, which the target sent at `now`.

    A timestamp in whole seconds stands for the middle of its second, or else the skew of one clock would be
    another one in each run.
    """
    frames = (line.frame for line in reversed(context.recorder.transcript.entries) if line.direction == "s2c")
    ack = next((f for f in frames if isinstance(f, dict) and f.get("type") == "heartbeat_ack"), {})
    text = str(ack.get("timestamp"))
    try:
        stated = datetime.fromisoformat(text)
    except ValueError:
        return None
    return skew_of(stated.timestamp(), _resolution_s(text), now) if stated.tzinfo else None


def skew_of(stated: float, resolution_s: float, now: float) -> float:
    """By how many seconds a clock that says `stated` is ahead of one that says `now`; 0: perhaps not at all.

    Args:
        resolution_s: of what it says, which may be cut off or rounded.
    """
    rest = stated + resolution_s / 2 - now
    if resolution_s < _COARSE_S:
        return round(rest, 3)
    return 0.0 if abs(rest) <= resolution_s else round(rest / resolution_s) * resolution_s


def _resolution_s(timestamp: str) -> float:
    """The time that the last digit of a timestamp's seconds stands for."""
    digits = _FRACTION.search(timestamp)
    return 10.0 ** -len(digits[1]) if digits else 1.0


def _last_word(connection: Connection) -> str:
    frames = [a.frame for a in connection.inbox if code_of(a.frame) == AUTH_FAILED]
    said = frames[0]["payload"].get("message") if frames else None
    return f"error {AUTH_FAILED} ({said}), {connection.ended}" if said else str(connection.ended)
