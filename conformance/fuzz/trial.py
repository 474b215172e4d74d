"""One suspicious message, tried alone, on fresh connections: does the server really disagree?"""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from relaykit.conformance.context import CaseStop, Context, Environment, UntestableError
from relaykit.conformance.deaths import Deaths
from relaykit.conformance.derived.binding import GOT
from relaykit.conformance.derived.family import refusal_of
from relaykit.conformance.derived.play import attend, see_refused, see_served
from relaykit.conformance.derived.stations import Station, arranged, receive
from relaykit.conformance.derived.violations import STOWAWAY
from relaykit.conformance.fence import fence
from relaykit.conformance.fuzz.cells import BOB
from relaykit.conformance.fuzz.generator import Who
from relaykit.conformance.fuzz.link import Sent
from relaykit.conformance.fuzz.oracle import Duty, Oracle
from relaykit.conformance.fuzz.surplus import see_no_surplus
from relaykit.conformance.fuzz.watching import Watch, seen, unreadable
from relaykit.conformance.outgrown import outgrown
from relaykit.conformance.record import ShapeBook
from relaykit.conformance.results import Case, Outcome
from relaykit.conformance.values import fresh_uuid
from relaykit.conformance.wire import ConnectionEnded

_UUID = re.compile(rb"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SERVED = ("VAL-22",)
FORWARDED = frozenset({"VAL-09", "VAL-11", "VAL-12"})
"""What is broken where something comes of a frame that is to be refused."""
_MADE = frozenset({"group", "conversation"})
"""What a station has if the control interface can make it."""


@dataclass(frozen=True, slots=True)
class Template:
    """A message whose identifiers are names, so that it can be sent by other people.

    Attributes:
        data: with `<<name>>` in place of identifiers.
        duty: what has to come of it.
        got: how many messages to the sender it speaks of.
        exact: whether all that it names exists: if not, a valid one need not be served.
        watch: what must not come of it; None: what its duty says is looked at.
    """

    data: bytes
    duty: Duty
    got: int = 0
    exact: bool = True
    watch: Watch | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """What a trial showed.

    Attributes:
        data: as it was sent.
        known: identifier → what a scenario calls it.
        outcomes: those that failed.
        refusal: the requirements that ask for the refusal, for an invalid message.
        gone: whether the target was no longer there afterwards.
    """

    template: Template
    data: bytes
    known: Mapping[str, str]
    outcomes: tuple[Outcome, ...]
    refusal: tuple[str, ...]
    gone: bool = False

    @property
    def requirements(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for outcome in self.outcomes for name in outcome.requirements))


def template_of(sent: Sent, who: Who, name: str, received: set[str]) -> Template:
    """A message that somebody sent, with names in place of people.

    Args:
        received: messages that the sender got, for acknowledgments.
    """
    people = {
        who.user: "alice.id",
        who.device: "alice.phone.id",
        who.peer: "bob.id",
        who.other or "": "alice.laptop.id" if name != BOB else None,
        (who.group or "").removeprefix("group-"): "group",
        (who.conversation or "").removeprefix("conv-"): "conversation",
    }
    # A target may spell what it names in upper case.
    names = {identifier.lower(): meant for identifier, meant in people.items()}
    got: dict[str, str] = {}
    fresh: dict[str, str] = {}

    def named(found: re.Match[bytes]) -> bytes:
        text = found[0].decode()
        low = text.lower()
        meant = names.get(low)
        if meant is None and low in received:
            meant = got.setdefault(low, f"{GOT}.{len(got)}")
        if meant is None:
            meant = fresh.setdefault(low, f"new.{low[:8]}.{len(fresh)}")
        return b"<<%s%s>>" % (meant.encode(), b"" if text == low or text in people else b"|upper")

    data = _UUID.sub(named, sent.data)
    return Template(data, sent.duty, len(got), sent.exact or sent.duty is not Duty.VALID)


@dataclass(slots=True)
class Bench:
    """Where trials are made: a target, and what is needed to judge by.

    Attributes:
        until: when there must be no more trials, by the monotonic clock.
        usual_s: how long it takes to arrange the people of one.
        barren: how often in a row that failed.
    """

    env: Environment
    case: Case
    oracle: Oracle
    count: int = 0
    until: float = math.inf
    usual_s: float = math.inf
    barren: int = 0

    @property
    def over(self) -> bool:
        """Whether time is up."""
        return time.monotonic() > self.until

    @property
    def hurried(self) -> Bench:
        """Another one that waits no longer than the target usually takes suggests: where much is missing."""
        waits, patience = self.env.waits, max(0.5, 5 * self.usual_s)
        waits = replace(waits, reply=min(waits.reply, patience), connect=min(waits.connect, 2 * patience))
        env = replace(self.env, waits=waits)
        return Bench(env, self.case, self.oracle, self.count, self.until, self.usual_s)

    async def trial(self, template: Template) -> Failure | None:
        """Send a message alone; None if the server does with it what it has to, or lets nobody send it.

        Raises:
            UntestableError: there are not enough users.
        """
        self.count += 1
        context = Context(self.env, self.case)
        context.rng = random.Random(f"{self.env.seed}/trial/{self.count}")
        data, refusal = template.data, tuple[str, ...]()
        known: dict[str, str] = {}
        try:
            try:
                station = await arranged(context)
                if template.got:
                    await receive(station, template.got)
            except (CaseStop, ConnectionEnded):
                self.barren += 1
                return None  # before it was sent: it is not to blame
            self.barren = 0
            if any(b"<<%s" % name.encode() in data for name in _MADE - station.made):
                return None  # the control interface failed to make it this time: nothing need come of it
            context.outcomes = []
            known = _known(station)
            data = filled(template.data, known, context.rng)
            with contextlib.suppress(CaseStop, ConnectionEnded):
                refusal = await self._judge(station, data, template)
        finally:
            context.leave()
        # The worst comes first: a connection that is dead answers nothing, either.
        every = (outcome for outcome in context.outcomes if not outcome.ok)
        failed = tuple(sorted(every, key=lambda outcome: "VAL-13" not in outcome.requirements))
        if outgrown(context) is not None:  # it may be too large for the target, but must not be passed on
            failed = tuple(outcome for outcome in failed if FORWARDED & set(outcome.requirements))
        if not failed:
            return None
        return Failure(template, data, {v: k for k, v in known.items()}, failed, refusal)

    async def _judge(self, station: Station, data: bytes, template: Template) -> tuple[str, ...]:
        verdict, duty = self.env.catalogue.validate(data, "c2s"), template.duty
        if (duty is Duty.VALID) != verdict.valid:
            return ()  # among other people it is no longer what it was
        refusal = () if verdict.valid else refusal_of(self.env.catalogue, verdict, batch=False)
        shown = verdict.frame if isinstance(verdict.frame, dict) else data.decode("utf-8", "replace")
        attend(station, verdict.type or "")
        if template.watch is not None:
            await _see_none(station, data, shown, template.watch)
            return refusal
        station.phone.live.send_text(data, shown=shown)
        if duty is Duty.EITHER and STOWAWAY.encode() in data:
            await see_refused(station, shown, refusal)
            # It need not be refused; but this must not be passed on.
            context = station.context
            context.outcomes = [o for o in context.outcomes if o.requirements == ("VAL-09",)]
        elif duty is Duty.EITHER or not template.exact:
            await _see_alive(station)
        elif not verdict.valid:
            await see_refused(station, shown, refusal)
        elif not _arrived(verdict.frame, station.owners):
            await _see_alive(station)
        else:
            left = await see_served(station, verdict.frame, _SERVED)
            see_no_surplus(station.context, verdict.frame, station.phone.label, left)
        return refusal


async def _see_none(station: Station, data: bytes, shown: object, watch: Watch) -> None:
    """What is watched for does not come of a message; what came late of those before it does not count."""
    context, phone = station.context, station.phone
    everybody = (phone, *station.observers)
    await fence(context, everybody)
    entries = context.recorder.transcript.entries
    before, context.recorder.shapes = len(entries), ShapeBook()
    phone.live.send_text(data, shown=shown)
    phone.acted = True
    await phone.live.beat(context.env.waits.reply)
    await fence(context, everybody)
    found = unreadable(context.recorder.shapes, watch) or seen(context.env.catalogue, entries[before:], watch)
    if found is not None:
        context.fail((watch.requirement,), watch.message, actual=found[1], actor=found[0])


def _arrived(frame: Mapping[str, Any], owners: Mapping[str, str]) -> bool:
    """Whether the sender got all messages that a valid frame acknowledges, if it is about any.

    What came in one interval may be acknowledged in the next one, when it is no longer known to have come.
    """
    named: list[str] = []
    if frame["type"] == "delivery_ack":
        named = [frame["message_id"]]
    elif frame["type"] == "read_receipt":
        named = frame["payload"]["message_ids"]
    return all(name.lower() in owners for name in named)


async def _see_alive(station: Station) -> None:
    """Whatever a server does with a message, it serves the connection afterwards."""
    phone = station.phone
    if not await phone.live.beat(station.context.env.waits.reply):
        said = phone.live.ended or "the heartbeat after it was not answered"
        station.context.fail(("VAL-13",), said, expected={"type": "heartbeat_ack"}, actor=phone.label)


def _known(station: Station) -> dict[str, str]:
    """Name → identifier, at a station."""
    users = station.context.users
    alice, bob = users["alice"], users["bob"]
    return {
        "alice.id": alice.id,
        "alice.phone.id": alice.devices["phone"].id,
        "alice.laptop.id": alice.devices["laptop"].id,
        "bob.id": bob.id,
        "group": station.given["group"],
        "conversation": station.given["conversation"],
        **{f"{GOT}.{index}": name for index, name in enumerate(station.given[GOT])},
    }


def filled(data: bytes, known: dict[str, str], rng: random.Random) -> bytes:
    """A template's bytes with identifiers; fresh ones are made where they are needed, and are added."""

    def meant(found: re.Match[bytes]) -> bytes:
        name, _, change = found[1].decode().partition("|")
        if name not in known:
            # What marks forbidden frames, and all others, stays.
            known[name] = name.split(".")[1] + fresh_uuid(rng)[8:]
        return (known[name].upper() if change else known[name]).encode()

    return re.sub(rb"<<([a-z0-9._]+(?:\|upper)?)>>", meant, data)


def sample_of(template: Template) -> bytes:
    """A template's bytes with identifiers that are nobody's, to judge its form by."""
    rng = random.Random(0)
    names = {found[1].decode().partition("|")[0] for found in re.finditer(rb"<<([^>]*)>>", template.data)}
    return filled(template.data, {name: fresh_uuid(rng) for name in sorted(names)}, rng)


async def death(bench: Bench, deaths: Deaths) -> str | None:
    """How the target died, or that it hangs; None if it lives. Not much is waited for once time is up."""
    left = max(2 * deaths.handshake_s, bench.until - time.monotonic())
    try:
        return await asyncio.wait_for(deaths.look(closely=True), left)
    except TimeoutError:
        return f"the target answers no handshake within {left:.0f} s"


async def usable(bench: Bench) -> Outcome | None:
    """Why no trial can be made: what arranging the people of one shows, if it fails; None if it works."""
    context = Context(bench.env, bench.case)
    bench.count += 1
    started = time.monotonic()
    context.rng = random.Random(f"{bench.env.seed}/trial/{bench.count}")
    try:
        await arranged(context)
        bench.usual_s = time.monotonic() - started
    except (CaseStop, ConnectionEnded, UntestableError) as error:
        failed = [outcome for outcome in context.outcomes if not outcome.ok]
        return failed[0] if failed else Outcome(False, (), str(error))
    finally:
        context.leave()
    return None
