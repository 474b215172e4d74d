"""How fast a client may send (source: Message Authentication, Rate Limiting)."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable
from typing import Any

import orjson

from relaykit.conformance.awaiting import kind_of, until
from relaykit.conformance.codes import RATE_LIMITED, an_error, code_of
from relaykit.conformance.context import Context, Device, UntestableError
from relaykit.conformance.fence import fence
from relaykit.conformance.matching import message_id_of
from relaykit.conformance.probes.transport import TEXT, raw_frame
from relaykit.conformance.registry import probe
from relaykit.conformance.restraint import RATE
from relaykit.conformance.results import OPEN_CONNECTION
from relaykit.conformance.talk import deliver_to, expect_frame, message
from relaykit.conformance.wire import Connection

_LARGEST = 2000
"""Bursts beyond this are not tried: the suite is no flood."""
_ROUNDS = 4
_PATIENCE_S = 10
_LIMITED = an_error(RATE_LIMITED)
Make = Callable[[], Any]


def _rate(context: Context) -> tuple[float, int]:
    limits = context.env.target.limits
    rate, burst = float(limits["frames_per_second"]), int(limits["burst"])
    if burst + rate > _LARGEST:
        raise UntestableError(
            f"limits.burst and limits.frames_per_second exceed what the suite tries ({_LARGEST})"
        )
    return rate, burst


def _bound(context: Context) -> int:
    """How many messages may wait for one user: no case may meet that bound which is not about it."""
    return int(context.env.target.limits.get("waiting_per_user", 2**31))


def _at_once(connection: Connection, frames: list[Any], what: str) -> None:
    """Send many frames in one write, so that no scheduling of ours spreads them."""
    data = b"".join(
        raw_frame(TEXT, frame if isinstance(frame, bytes) else orjson.dumps(frame)) for frame in frames
    )
    connection.write(data, f"{len(frames)} frames at once: {what}")
    connection.unheard(sum(isinstance(frame, dict) and frame["type"] == "heartbeat" for frame in frames))


def _limited(connection: Connection) -> list[dict[str, Any]]:
    return [frame for frame in connection.frames if code_of(frame) == RATE_LIMITED]


async def _flood(context: Context, device: Device, make: Make, what: str) -> list[Any]:
    """Send more than the target permits, until it says so or the connection ends; all that was sent.

    Raises:
        UntestableError: it takes frames so slowly that its rate cannot be exceeded.
    """
    rate, burst = _rate(context)
    connection, sent = device.live, []
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(_ROUNDS):
        frames = [make() for _ in range(burst + math.ceil(rate / 2))]
        sent += frames
        _at_once(connection, frames, what)
        # A heartbeat is answered, or refused, after all that went before, if need be as slowly as permitted.
        patience = context.env.waits.reply + max(0.0, began + len(sent) / rate - loop.time())
        beat = asyncio.ensure_future(connection.beat(patience))
        beat.add_done_callback(lambda _: context.recorder.bell.ring())
        while not (beat.done() or _limited(connection)) and connection.alive:
            await context.wait(loop.time() + patience)
        unanswered = beat.done() and not beat.result()
        beat.cancel()
        if unanswered:  # dropped without a word: time alone says nothing of the rate then
            return sent
        # What came in time had these frames to refill: within them nothing need be refused.
        if _limited(connection) or not connection.alive or len(sent) > burst + rate * (loop.time() - began):
            return sent
    raise UntestableError(f"it took {len(sent)} frames so slowly that its stated rate was not exceeded")


def _is_count(value: Any) -> bool:
    """As JSON Schema has it: 1.0 is an integer, too."""
    return type(value) in (int, float) and value >= 0 and value % 1 == 0


async def _calm(context: Context, connection: Connection) -> bool:
    """Wait as long as the last `rate_limited` asks; False if that is longer than the suite waits."""
    last = _limited(connection)[-1]
    after = last["payload"].get("retry_after", 1)
    if not _is_count(after) or after > _PATIENCE_S:
        return False
    end = asyncio.get_running_loop().time() + after + 0.1
    while connection.alive and asyncio.get_running_loop().time() < end:
        await context.wait(end)
    return True


@probe(
    "rate-within-the-limit",
    title="Frames within the stated burst are all served",
    area="limits",
    requirements=("LIM-06",),
    catches="A server whose true limit is lower than it says.",
    limits=RATE,
    exclusive=True,
    frames=("pong", "send", "sent_ack"),
)
async def within(context: Context) -> None:
    _, burst = _rate(context)
    alice, bob = context.device("alice"), context.device("bob")
    await alice.connect()
    await bob.connect()
    sent = [message(context, bob.user.id) for _ in range(min(20, burst // 2))]
    # One heartbeat went before, and one frame is left over for a second of another's clock.
    filling = [{"type": "pong"}] * max(0, burst - len(sent) - 2)
    _at_once(alice.live, [*filling, *sent], f"{len(filling)} pongs, {len(sent)} sends")
    for frame in sent:
        wanted = {"type": "sent_ack", "message_id": frame["message_id"]}
        await expect_frame(context, alice.live, wanted, ("LIM-06",))
    context.prove(("LIM-06",))


@probe(
    "rate-beyond-the-limit",
    title="Frames beyond the stated burst and rate are refused without effect, and the connection recovers",
    area="limits",
    requirements=("LIM-07", "LIM-08", "LIM-09", "LIM-11", "LIM-12", "LIM-14", "ERR-04", "VAL-31"),
    catches="A server without a rate limit, or one that cuts whoever exceeds it or delivers what it refused.",
    limits=RATE,
    frames=("send", "sent_ack", "deliver", "error"),
    destructive=True,
)
async def beyond(context: Context) -> None:
    rate, burst = _rate(context)
    alice = context.device("alice")
    await alice.connect()
    most = (_ROUNDS + 1) * (rate + burst)
    receivers = [context.device(f"bob{number}") for number in range(1, 2 + int(most / _bound(context)))]
    for device in receivers:
        await device.connect()
    turns = itertools.cycle(receivers)
    sent = await _flood(context, alice, lambda: message(context, next(turns).user.id), "sends")
    connection = alice.live
    errors = _limited(connection)
    if not errors:
        said = connection.ended or "no rate_limited came"
        context.fail(
            ("LIM-07",),
            f"{len(sent)} frames at once: {said}",
            expected=_LIMITED,
            actual=said,
            actor=alice.label,
        )
        return
    context.prove(("LIM-07",))
    if all("retry_after" in error["payload"] for error in errors):
        context.prove(("LIM-08",))
    else:
        context.fail(
            ("LIM-08",), "a rate_limited says no retry_after", expected="retry_after", actual=errors[0]
        )
    stated = [error["payload"]["retry_after"] for error in errors if "retry_after" in error["payload"]]
    wrong = [value for value in stated if not _is_count(value)]
    if wrong:
        context.fail(("VAL-31",), "a retry_after is no count", expected="an integer ≥ 0", actual=wrong[0])
        return
    if stated:
        context.prove(("VAL-31",))
    waited = await _calm(context, connection)
    if not connection.alive:
        said = f"{len(sent)} frames at once: {connection.ended}"
        context.fail(("LIM-12",), said, expected=OPEN_CONNECTION, actual=connection.ended, actor=alice.label)
        return
    context.prove(("LIM-12",))
    if waited:
        frame = message(context, next(turns).user.id)
        connection.send(frame)
        wanted = {"type": "sent_ack", "message_id": frame["message_id"]}
        await expect_frame(context, connection, wanted, ("LIM-14",), skip=True)
        context.prove(("LIM-14",))
        sent.append(frame)
    await _judge_effects(context, sent, alice, receivers, len(errors))


async def _judge_effects(
    context: Context, sent: list[Any], alice: Device, receivers: list[Device], errors: int
) -> None:
    """What was refused must not have reached anybody; `alice`'s acks were all taken or stand in her inbox."""
    await fence(context, receivers)
    shown = [e.frame for e in context.recorder.transcript.entries if e.direction == "s2c"]
    acked = {message_id_of(f) for f in shown if isinstance(f, dict) and f.get("type") == "sent_ack"}
    refused = {message_id_of(frame) for frame in sent} - acked
    came = [frame for device in receivers for frame in device.live.frames]
    reached = [f for f in came if f.get("type") == "deliver" and message_id_of(f) in refused]
    if reached:
        context.fail(
            ("LIM-09",),
            f"{len(reached)} messages that were refused as rate_limited were delivered",
            expected="nothing",
            actual=reached[0],
        )
    else:
        context.prove(("LIM-09",))
    # One error for each, or one for several: both are right. The suite's own heartbeats may be refused, too.
    if errors <= len(refused) + _ROUNDS:
        context.prove(("LIM-11", "ERR-04"))
    else:
        said = f"{errors} errors rate_limited for {len(refused)} frames that were refused"
        context.fail(("ERR-04",), said, expected=f"{len(refused)} at most", actual=errors, actor=alice.label)


@probe(
    "rate-counts-everything",
    title="Keep-alive frames and invalid ones count towards the rate, too",
    area="limits",
    requirements=("LIM-10", "VAL-14"),
    catches="A server that lets a client keep it busy with frames that it forgot to count.",
    limits=RATE,
    frames=("heartbeat", "pong", "error"),
    destructive=True,
)
async def counts_everything(context: Context) -> None:
    makers: dict[str, tuple[Make, bool]] = {
        "heartbeats": (lambda: {"type": "heartbeat"}, False),
        "pongs": (lambda: {"type": "pong"}, False),
        "invalid frames": (lambda: b'{"type":"nonsense"}', True),
    }
    for what, (make, wrong) in makers.items():
        device = context.device(what.split()[0])
        await device.connect()
        context.step = what
        sent = await _flood(context, device, make, what)
        connection = device.live
        if _limited(connection):
            # After so many violations it might have closed as well: VAL-14 permits both.
            context.prove(("LIM-10", "VAL-14") if wrong else ("LIM-10",), device.label)
        elif wrong and not connection.alive:
            context.prove(("VAL-14",), device.label)
        else:
            said = f"{len(sent)} {what} at once: {connection.ended or 'no rate_limited came'}"
            context.fail(("LIM-10",), said, expected=_LIMITED, actual=connection.ended, actor=device.label)


@probe(
    "rate-of-others",
    title="Who exceeds the rate on one connection takes nothing from other connections",
    area="limits",
    requirements=("LIM-15",),
    catches="A server that counts frames by user or by address, so that one device silences the others.",
    limits=RATE,
    frames=("pong", "send", "sent_ack"),
    destructive=True,
)
async def others(context: Context) -> None:
    phone, laptop = context.user("alice", ("phone", "laptop")).devices.values()
    bob = context.device("bob")
    for device in (phone, laptop, bob):
        await device.connect()
    await _flood(context, phone, lambda: {"type": "pong"}, "pongs")
    _, burst = _rate(context)
    for device in (laptop, bob):
        if phone.live.alive:  # again, so that nothing has been refilled when the other's frame comes
            _at_once(phone.live, [{"type": "pong"}] * burst, "pongs")
        frame = message(context, bob.user.id if device is laptop else phone.user.id)
        device.live.send(frame)
        wanted = {"type": "sent_ack", "message_id": frame["message_id"]}
        await expect_frame(context, device.live, wanted, ("LIM-15",), skip=True)
        errors = [kind_of(error) for error in _limited(device.live)]
        if errors:
            context.fail(("LIM-15",), f"{device.label} sent nothing, and got {errors[0]}", actor=device.label)
    context.prove(("LIM-15",))


_MORE, _TIMES = 400, 8
"""Frames that go on coming after the first refused one, and how often: a sustained flood."""


@probe(
    "flood-goes-on",
    title="Who goes on flooding is refused or closed, and served again on a new connection",
    area="limits",
    requirements=("LIM-13", "LIM-15"),
    catches="A server that lets a user pay on every later connection for what came on one.",
    limits=RATE,
    frames=("pong", "heartbeat", "heartbeat_ack"),
    destructive=True,
)
async def flood_goes_on(context: Context) -> None:
    phone, laptop = context.user("alice", ("phone", "laptop")).devices.values()
    bob = context.device("bob")
    for device in (phone, bob):
        await device.connect()
    flooded = phone.live
    await _flood(context, phone, lambda: {"type": "pong"}, "pongs")
    for _ in range(_TIMES):
        if flooded.alive:
            _at_once(flooded, [{"type": "pong"}] * _MORE, "pongs")
        await bob.live.beat(context.env.waits.reply)  # by then the target has had its turn with them
    # Whether it lives or was closed: both are right.
    context.step = "new connections"
    for device in (phone, laptop):
        await device.connect(req=("LIM-15",))
    context.prove(("LIM-13", "LIM-15"))


_SLOW_BYTES = 8 * 2**20
"""More than lies between a server and a client that does not read: Linux alone keeps some 4 MiB of it."""
_SLOW_LEAST = 5 * 2**20
"""With less, a server that waits for the client's socket would not be seen to."""
_MOST_SENDERS = 16


@probe(
    "slow-reader",
    title="A client that does not read holds up nobody else",
    area="limits",
    requirements=("LIM-22",),
    catches="A server that waits for one client's socket while others want to be served.",
    limits=(*RATE, "max_frame_bytes"),
    frames=("send", "sent_ack", "deliver"),
    destructive=True,
)
async def slow_reader(context: Context) -> None:
    _, burst = _rate(context)
    size = max(4, min(int(context.env.target.limits["max_frame_bytes"]), 65536) - 1024)
    wanted, each = min(_SLOW_BYTES // size, _bound(context) - 1), max(1, burst - 10)
    # As many senders as it takes: none of them is to meet the rate.
    senders = [context.device(f"alice{n}") for n in range(1, min(-(-wanted // each), _MOST_SENDERS) + 1)]
    count = min(wanted, each * len(senders))
    if count * size < _SLOW_LEAST:
        raise UntestableError(
            f"the stated limits leave {count} messages of {size} bytes, too few to fill what lies between"
        )
    bob, carol, dave = (context.device(name) for name in ("bob", "carol", "dave"))
    for device in (*senders, bob, carol, dave):
        await device.connect()
    bob.live.stop_reading()
    turns = itertools.cycle(senders)
    for _ in range(count):
        next(turns).live.send(message(context, bob.user.id, "A" * (size // 4 * 4)))
    deadline = until(context, None)
    while sum(len(one.live.inbox) for one in senders) < count and await context.wait(deadline):
        deadline = until(context, None)  # as long as acks come, they are served
    acks = sum(frame.get("type") == "sent_ack" for one in senders for frame in one.live.frames)
    if acks < count:
        said = f"of {count} messages to a client that does not read, {acks} were acknowledged"
        context.fail(("LIM-22",), said, expected=f"{count} sent_acks", actual=acks, actor=senders[0].label)
        return
    context.step = "others"
    name = await deliver_to(context, carol, dave.user.id)
    await expect_frame(context, dave.live, {"type": "deliver", "message_id": name}, ("LIM-22",))
    context.prove(("LIM-22",))
