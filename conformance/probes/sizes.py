"""The limit on the size of a frame (source: Encryption Requirements, size limits)."""

from __future__ import annotations

from typing import Any

import orjson

from relaykit.conformance.codes import TOO_BIG
from relaykit.conformance.context import Context, UntestableError
from relaykit.conformance.registry import probe
from relaykit.conformance.talk import expect_frame, judge_refusal, message, nothing_reached
from relaykit.pointers import at_pointer

_LARGEST = 8 * 2**20
"""Limits beyond this are not tried: the suite is no flood."""


def _limit(context: Context) -> int:
    limit = int(context.env.target.limits["max_frame_bytes"])
    if limit > _LARGEST:
        raise UntestableError(f"limits.max_frame_bytes is {limit}, more than the suite tries ({_LARGEST})")
    return limit


def sized(context: Context, receiver: str, size: int) -> dict[str, Any]:
    """A `send` whose JSON has exactly this many bytes."""
    frame = message(context, receiver, "")
    frame["payload"]["ciphertext"] = "A" * (size - len(orjson.dumps(frame)))
    return frame


@probe(
    "frame-at-the-limit",
    title="A frame as large as the stated limit is served",
    area="limits",
    requirements=("LIM-16", "MSG-18"),
    catches="A server whose true limit is lower than it says, perhaps in a proxy before it.",
    limits=("max_frame_bytes",),
    frames=("send", "sent_ack", "deliver"),
)
async def at_the_limit(context: Context) -> None:
    limit = _limit(context)
    alice, bob = context.device("alice"), context.device("bob")
    await alice.connect()
    await bob.connect()
    frame = sized(context, bob.user.id, limit)
    alice.live.send(frame)
    name = frame["message_id"]
    await expect_frame(context, alice.live, {"type": "sent_ack", "message_id": name}, ("LIM-16",))
    came = await expect_frame(context, bob.live, {"type": "deliver", "message_id": name}, ("LIM-16",))
    context.prove(("LIM-16",))
    sent, got = frame["payload"]["ciphertext"], at_pointer(came, "/payload/ciphertext")
    if got == sent:
        context.prove(("MSG-18",))
    else:
        said = f"of {len(sent)} characters of ciphertext {len(got) if isinstance(got, str) else 0} came"
        context.fail(("MSG-18",), said, expected="what was sent", actual=said, actor=bob.label)


@probe(
    "frame-beyond-the-limit",
    title="A frame larger than the stated limit is refused, and nothing of it is passed on",
    area="limits",
    requirements=("LIM-17", "LIM-18"),
    catches="A server without a limit, or one that cuts what is too long.",
    limits=("max_frame_bytes",),
    frames=("send", "error"),
)
async def beyond_the_limit(context: Context) -> None:
    limit = _limit(context)
    for size in (limit + 1, limit * 2):
        alice = context.device(f"alice_{size}")
        bob = context.device(f"bob_{size}")
        await alice.connect()
        await bob.connect()
        alice.live.send(sized(context, bob.user.id, size))
        what = f"a frame of {size} bytes"
        await judge_refusal(context, alice, what, (TOO_BIG,), "LIM-18")
        await nothing_reached(context, bob, what, "LIM-17")
