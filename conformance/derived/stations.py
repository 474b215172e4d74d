"""Alice and bob, connected and acquainted: arranged once, and lent to one derived case after the other.

A case has its station for itself. Whatever goes wrong on one that was used before is tried again on a fresh
one, so that no case is blamed for what an earlier one, or the number of them, has brought about.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

from relaykit.conformance.arranging import control
from relaykit.conformance.awaiting import Miss, take, until
from relaykit.conformance.context import CaseStop, Context, Device, Environment, UntestableError
from relaykit.conformance.derived.binding import GOT
from relaykit.conformance.pacing import Budget
from relaykit.conformance.record import Transcript
from relaykit.conformance.talk import expect_frame, message
from relaykit.conformance.values import fresh_uuid

_SHARE = 0.7
"""Of the burst that a connection is permitted, what a station uses before another one takes its place."""
_ROOM = 2
"""Messages that wait for alice besides: those by which people got acquainted, and that show who is served."""
_PATIENCE_S = 20
_MOST_PER_CASE = 8
"""Frames that a case sends on one connection at most, but for those that `receive` spreads."""


@dataclass(eq=False)
class Station:
    """Connected people, with what was arranged for them.

    Attributes:
        context: in which they live; a lent one's gets the case, the transcript and the outcomes of each.
        given: `group` and `conversation` (UUIDs) and `got`.
        made: which of the two the target has made; the other is nobody's.
        owners: messages that alice got → label of the device that sent them.
        cases: IDs of those it was lent to.
        quiet: whether the last one left nothing to come.
    """

    context: Context
    given: dict[str, Any] = field(default_factory=dict)
    made: frozenset[str] = frozenset()
    owners: dict[str, str] = field(default_factory=dict)
    cases: list[str] = field(default_factory=list)
    quiet: bool = True
    sent: int = 0

    @property
    def phone(self) -> Device:
        return self.context.users["alice"].devices["phone"]

    @property
    def observers(self) -> tuple[Device, ...]:
        """Everybody but the device that sends."""
        return tuple(
            device
            for user in self.context.users.values()
            for device in user.devices.values()
            if device is not self.phone
        )

    def device(self, label: str) -> Device:
        return next(d for d in (self.phone, *self.observers) if d.label == label)

    @property
    def alive(self) -> bool:
        return all(d.connection is not None and d.connection.alive for d in (self.phone, *self.observers))

    @property
    def roomy(self) -> bool:
        """Whether more messages may wait for its people than a case sends."""
        restraint = self.context.restraint
        return restraint is None or restraint.room >= _ROOM

    def lend(self, context: Context) -> None:
        """Let a case have it: what happens from now on is the case's, and in the case's time."""
        inner, case = self.context, context.case
        inner.case, inner.deadline = case, context.deadline
        inner.recorder.case = case.id
        inner.recorder.transcript = Transcript()
        inner.outcomes = []
        self.cases.append(case.id)

    def leave(self) -> None:
        """Close its connections."""
        self.context.leave()


async def arranged(context: Context) -> Station:
    """A fresh station: everybody connected, acquainted by a message each way, in a group and a conversation.

    Raises:
        CaseStop: the target does not let that happen; it is said as an outcome.
    """
    station = Station(context)
    alice, bob = context.user("alice", ("phone", "laptop")), context.user("bob")
    phone, laptop, peer = station.phone, alice.devices["laptop"], next(iter(bob.devices.values()))
    await asyncio.gather(phone.connect(), laptop.connect(), peer.connect())
    await hello(station, phone, bob.id, (peer,))
    await hello(station, peer, alice.id, (phone, laptop))
    context.env.acquainted = True
    members = [alice.id, bob.id]
    group = await _optional(context, "create_group", "groups", {"members": members})
    talk = await _optional(context, "conversation", "typing", {"members": members})
    station.given = {
        "group": str(group.get("group_id", "")).removeprefix("group-") or fresh_uuid(context.rng),
        "conversation": str(talk.get("conversation_id", "")).removeprefix("conv-") or fresh_uuid(context.rng),
        GOT: [],
    }
    station.made = frozenset(name for name, had in (("group", group), ("conversation", talk)) if had)
    return station


async def hello(station: Station, sender: Device, receiver: str, reached: tuple[Device, ...]) -> str:
    """A message that is acknowledged, and that these devices get; its ID."""
    context = station.context
    sent = message(context, receiver)
    sender.live.send(sent)
    name = str(sent["message_id"])
    await expect_frame(context, sender.live, {"type": "sent_ack", "message_id": name}, ("MSG-12",), skip=True)
    await _reach(context, reached, [name])
    return name


async def _reach(context: Context, devices: tuple[Device, ...], names: list[str]) -> None:
    """Wait until these devices of one user have got these messages.

    That a message reaches each of a user's devices is the affair of other cases: one suffices, so that a
    server which misses one is judged by what each derived case is about.

    Raises:
        CaseStop: none of them got one of the messages; that is said as an outcome.
    """
    env = context.env
    # Those that are not known to be left out first: while they are waited for, the others may get theirs.
    ordered = sorted(devices, key=lambda device: device.label in env.unreached)
    short = asyncio.get_running_loop().time() + env.waits.quiet
    for name in names:
        pattern = {"type": "deliver", "message_id": name}
        misses: list[tuple[Device, Miss]] = []
        for device in ordered:
            known = device.label in env.unreached and len(misses) < len(devices) - 1
            deadline = short if known else until(context, None)
            result = await take(context, device.live, pattern, deadline, skip=True)
            if isinstance(result, Miss):
                misses.append((device, result))
        if devices and len(misses) == len(devices):
            device, why = misses[0]
            context.fail(("MSG-16",), why.message, expected=pattern, actual=why.actual, actor=device.label)
            raise CaseStop
        for device, _ in misses:
            env.unreached.add(device.label)
            device.live.forgiven.append(pattern)


async def _many(station: Station, sender: Device, receiver: str, count: int) -> list[str]:
    """Messages that are sent at once, and acknowledged: one by one they would take long on a slow target."""
    context = station.context
    sent = [message(context, receiver) for _ in range(count)]
    for frame in sent:
        sender.live.send(frame)
    names = [str(frame["message_id"]) for frame in sent]
    for name in names:
        pattern = {"type": "sent_ack", "message_id": name}
        await expect_frame(context, sender.live, pattern, ("MSG-12",), skip=True)
    return names


async def receive(station: Station, count: int) -> None:
    """Have alice get so many fresh messages, the last of which nobody has acknowledged yet.

    Many come from several senders, so that none of them exceeds the rate the target permits; and where more
    than it lets wait would be under way, her devices acknowledge them as they come.

    Raises:
        UntestableError: that would take longer than a case may.
    """
    context, alice = station.context, station.context.users["alice"]
    limits = context.env.target.limits
    most = max(1, int(limits["burst"] * 0.5))
    portion = min(most, max(1, int(limits["waiting_per_user"]) - _ROOM))
    frees = count > int(limits["waiting_per_user"]) - _ROOM
    if frees and (count - limits["burst"]) / limits["frames_per_second"] > _PATIENCE_S:
        raise UntestableError(
            f"needs {count} messages for one user, of which limits.waiting_per_user lets too few wait, and "
            "limits.frames_per_second too few be acknowledged in time"
        )
    peer, used, carols = next(iter(context.users["bob"].devices.values())), 0, 0
    paces = {
        device: Budget(limits["frames_per_second"], limits["burst"]) for device in alice.devices.values()
    }
    got: list[str] = []
    while len(got) < count:
        share = min(portion, count - len(got))
        if used + share > most:
            peer, used, carols = context.device(f"carol{carols + 1}"), 0, carols + 1
            await peer.connect()
        used += share
        names = await _many(station, peer, alice.id, share)
        station.owners |= {name.lower(): peer.label for name in names}
        await _reach(context, tuple(alice.devices.values()), names)
        got += names
        if frees and len(got) < count:
            await asyncio.gather(*(_acknowledge(context, each, names, paces[each]) for each in paces))
    station.given[GOT] = got
    station.sent += count


async def _acknowledge(context: Context, device: Device, names: list[str], pace: Budget) -> None:
    """Acknowledge messages, no faster than the target permits, and wait until it has seen that."""
    started = asyncio.get_running_loop().time()
    for name in names:
        await pace.spend()
        device.live.send({"type": "delivery_ack", "message_id": name})
    context.allow(asyncio.get_running_loop().time() - started)
    await pace.spend()
    await device.live.beat(context.env.waits.reply)


async def _optional(
    context: Context, operation: str, capability: str, arguments: dict[str, Any]
) -> dict[str, Any]:
    """What a control operation returns, if the target has it. That it fails is for other cases to judge."""
    env = context.env
    if capability not in env.target.capabilities or not env.target.offers(operation):
        return {}
    if operation in env.hindered:
        return {}
    try:
        return await control(context, operation, arguments)
    except UntestableError:
        return {}
    except CaseStop:
        env.hindered[operation] = context.outcomes.pop().message
        return {}


def parked(env: Environment) -> Station | None:
    """A station that waits for the next case, if there is one that can serve it."""
    most = env.target.limits["burst"] * _SHARE - _MOST_PER_CASE
    while env.parked:
        station = env.parked.pop()
        if isinstance(station, Station) and station.alive and station.sent <= most and station.roomy:
            return station
        station.leave()
    return None


async def station_for(context: Context) -> Station:
    """For a case: a parked station, or else a fresh one; see `arranged`."""
    env = context.env
    station = parked(env)
    if station is None:
        inner = Context(env, context.case)
        inner.deadline = context.deadline
        if context.restraint is not None:
            inner.restraint = context.restraint.afresh()
        env.stations += 1
        # Not the users that the case itself would make up when it is run alone.
        inner.rng = random.Random(f"{env.seed}/station/{env.stations}")
        inner.marks = random.Random(f"{env.seed}/station/{env.stations}/marks")
        try:
            station = await arranged(inner)
        except BaseException:
            inner.leave()
            raise
    return station
