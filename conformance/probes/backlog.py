"""What waits for somebody who is away: how much is kept, what comes meanwhile (source: Session Recovery)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

from relaykit.conformance.awaiting import kind_of, until
from relaykit.conformance.context import Context, Device, UntestableError
from relaykit.conformance.matching import message_id_of
from relaykit.conformance.registry import probe
from relaykit.conformance.talk import expect_frame, message
from relaykit.conformance.wire import Connection, DialError

_MOST = 150
"""Bounds beyond this are not tried: the suite is no flood."""
_BEYOND = 10
_SHARE = 40
"""Messages that one sender sends, so that no rate is exceeded."""
_MANY = 160
"""Messages that wait for one device, where that is what a case is about."""
_WAITING, _STREAMED, _AFTER = 20, 40, 10


@probe(
    "waiting-messages-bounded",
    title="Of the messages that wait for somebody, none that was acknowledged is dropped",
    area="limits",
    requirements=("LIM-20",),
    catches="A server that makes room in a full queue by dropping what it has promised to deliver.",
    limits=("waiting_per_user",),
    exclusive=True,
    frames=("send", "sent_ack", "deliver", "error"),
)
async def waiting_bounded(context: Context) -> None:
    bound = int(context.env.target.limits["waiting_per_user"])
    if bound > _MOST:
        raise UntestableError(f"limits.waiting_per_user is {bound}, more than the suite tries ({_MOST})")
    bob = context.device("bob")
    await (await bob.connect()).close(context.env.waits.reply)  # known, and away
    kept: list[str] = []
    for first in range(0, bound + _BEYOND, _SHARE):
        sender = context.device(f"sender{first // _SHARE + 1}")
        await sender.connect()
        for _ in range(min(_SHARE, bound + _BEYOND - first)):
            frame = message(context, bob.user.id)
            sender.live.send(frame)
            if await _acknowledged(context, sender.live, frame["message_id"]):
                kept.append(frame["message_id"])
    context.step = f"{len(kept)} of {bound + _BEYOND} were acknowledged"
    connection = await bob.connect()
    missing = await _missing(context, connection, kept)
    if missing:
        context.fail(
            ("LIM-20",),
            f"of {len(kept)} messages that were acknowledged, {len(missing)} did not come",
            expected={"type": "deliver", "message_id": missing[0]},
            actual=f"{len(kept) - len(missing)} messages; this is the first that is missing",
            actor=bob.label,
        )
    else:
        context.prove(("LIM-20",))


@probe(
    "many-waiting",
    title="However many messages wait for a device, all of them come",
    area="offline",
    requirements=("OFF-01",),
    catches="A server that reads the first page of a queue, and never the next one.",
    limits=("burst",),
    exclusive=True,
    frames=("send", "sent_ack", "deliver", "delivery_ack"),
)
async def many_waiting(context: Context) -> None:
    room = int(context.env.target.limits.get("waiting_per_user", 2**31)) - 1
    share = max(1, min(_SHARE, int(context.env.target.limits["burst"]) // 2))
    bob = context.device("bob")
    await (await bob.connect()).close(context.env.waits.reply)  # known, and away
    sent: list[str] = []
    for number in range(1, _MANY // _SHARE + 1):
        sender = context.device(f"sender{number}")
        await sender.connect()
        sent += await _sent(context, sender, bob, min(share, room - len(sent)))
    connection = await bob.connect()
    missing = await _missing(context, connection, [name.lower() for name in sent])
    if missing:
        said = f"of {len(sent)} messages that waited, {len(missing)} did not come"
        context.fail(("OFF-01",), said, expected="all of them", actual=said, actor=bob.label)
    else:
        context.prove(("OFF-01",))


async def _acknowledged(context: Context, connection: Connection, name: str) -> bool:
    """Whether the next answer is the ack; a refusal, or the end of the connection, is none."""
    deadline = until(context, None)
    while connection.alive and not connection.inbox and await context.wait(deadline):
        pass
    answer: Any = connection.inbox.pop(0).frame if connection.inbox else None
    named = message_id_of(answer)
    return kind_of(answer) == "sent_ack" and named == name


async def _missing(context: Context, connection: Connection, wanted: Sequence[str]) -> list[str]:
    """Those that have not come when nothing more comes; each that comes is acknowledged, as a client does."""
    open_ = dict.fromkeys(wanted)
    deadline = until(context, None)
    while open_ and connection.alive:
        if not connection.inbox and not await context.wait(deadline):
            break
        while connection.inbox:
            frame = connection.inbox.pop(0).frame
            if kind_of(frame) == "deliver" and connection.alive:
                open_.pop(message_id_of(frame), None)
                connection.send({"type": "delivery_ack", "message_id": frame.get("message_id")})
                deadline = until(context, None)
    return list(open_)


@probe(
    "streamed-while-connecting",
    title="What is sent while a device connects comes after what waited for it, and nothing is left out",
    area="offline",
    requirements=("OFF-01", "OFF-09", "OFF-10", "MSG-16", "MSG-20"),
    catches="A server that lets new messages through before the queue is empty, or loses what comes between.",
    frames=("send", "sent_ack", "deliver"),
)
async def streamed(context: Context) -> None:
    alice, bob = context.device("alice"), context.device("bob")
    await (await bob.connect()).close(context.env.waits.reply)
    await alice.connect()
    room = int(context.env.target.limits.get("waiting_per_user", 2**31)) - _AFTER
    waiting = max(1, min(_WAITING, room // 2))
    sent = await _sent(context, alice, bob, waiting)
    # From before bob's handshake until after it, so that some message meets every moment of it.
    dialling = asyncio.create_task(bob.dial())
    try:
        while not dialling.done() and len(sent) < min(_WAITING + _STREAMED, room):
            sent += await _sent(context, alice, bob, 1)
        connection = await dialling
    except DialError as error:
        context.fail_dial(error, (), bob.label)
        return
    finally:
        dialling.cancel()
    before = len(sent)
    sent += await _sent(context, alice, bob, _AFTER)
    deadline = until(context, None)
    while len(_delivered(connection)) < len(sent) and connection.alive and await context.wait(deadline):
        pass
    _judge_order(context, bob, sent, (waiting, before), _delivered(connection))


async def _sent(context: Context, sender: Device, receiver: Device, count: int) -> list[str]:
    """Send so many messages at once, and wait for their acks; their ids."""
    frames = [message(context, receiver.user.id) for _ in range(count)]
    for frame in frames:
        sender.live.send(frame)
    names = [str(frame["message_id"]) for frame in frames]
    for name in names:
        await expect_frame(context, sender.live, {"type": "sent_ack", "message_id": name}, (), skip=True)
    return names


def _delivered(connection: Connection) -> list[str]:
    return [message_id_of(f) for f in connection.frames if f.get("type") == "deliver"]


def _judge_order(
    context: Context, device: Device, sent: Sequence[str], early: tuple[int, int], came: Sequence[str]
) -> None:
    """Compare what came with what was sent, in the order of sending.

    Args:
        early: how many were sent while the device was surely away, and until it surely was there.
    """
    waiting, before = early
    place = {name: number for number, name in enumerate(sent, 1)}
    numbers = [place[name] for name in came if name in place]
    said = f"of {len(sent)} messages came: {numbers}"
    missing = set(place.values()) - set(numbers)
    kept = not any(number <= waiting for number in missing)
    # Where nothing is kept for who is away, no message must come that may have been sent before it was there.
    live = waiting if kept else before
    for requirement, right in (
        ("OFF-01", kept),
        ("MSG-16", not any(number > live for number in missing)),
        ("MSG-20", len(numbers) == len(set(numbers))),
        ("OFF-10", _ascending([number for number in numbers if number <= waiting])),
        ("OFF-09", _ascending(numbers)),
    ):
        if right:
            context.prove((requirement,), device.label)
        else:
            context.fail(
                (requirement,), said, expected="each once, in order", actual=numbers, actor=device.label
            )


def _ascending(numbers: Sequence[int]) -> bool:
    return all(one < other for one, other in itertools.pairwise(numbers))
