"""What a server passes on of a client's frame (source: Encryption Requirements, Payload Validation)."""

from __future__ import annotations

from typing import Any

import orjson

from relaykit.conformance.context import Context
from relaykit.conformance.fence import fence
from relaykit.conformance.registry import probe
from relaykit.conformance.talk import message

_STOWAWAY = "x_stowaway"


@probe(
    "undocumented-not-forwarded",
    title="A property that the protocol does not document reaches nobody",
    area="validation",
    requirements=("VAL-09",),
    catches="A server that passes on whatever an object holds, so that clients can smuggle data past it.",
    frames=("send", "deliver"),
)
async def not_forwarded(context: Context) -> None:
    alice, bob = context.device("alice"), context.device("bob")
    await alice.connect()
    await bob.connect()
    for where in ("envelope", "payload"):
        frame = message(context, bob.user.id)
        part: dict[str, Any] = frame if where == "envelope" else frame["payload"]
        part[_STOWAWAY] = {"deep": ["cargo"]}
        alice.live.send(frame, valid=False)
        alice.acted = True
    # Refused or not is another question: what counts is what comes.
    await fence(context, [bob])
    smuggled = [f for f in bob.live.frames if _STOWAWAY.encode() in orjson.dumps(f)]
    if smuggled:
        context.fail(
            ("VAL-09",),
            f"the undocumented property {_STOWAWAY} was forwarded",
            expected=f"no {_STOWAWAY}",
            actual=smuggled[0],
            actor=bob.label,
        )
    else:
        context.prove(("VAL-09",))
