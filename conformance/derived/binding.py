"""Identifiers of the case's own users in place of an example's, as references that are filled when it runs.

The people of a derived case: alice, who sends from her phone and has a laptop too, and bob, her contact, who
is in a group and in a conversation with her, and from whom messages for her wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from relaykit.conformance.grammar import VarSpec
from relaykit.conformance.values import Scope
from relaykit.schemas import FrameSpec

SENDER, OTHER_DEVICE, PEER = "alice.phone", "alice.laptop", "bob"

_MEANT: Mapping[str, str] = {
    "sender_id": "${alice.id}",
    "user_id": "${alice.id}",
    "device_id": "${alice.phone.id}",
    "target_device_id": "${alice.laptop.id}",
    "receiver_id": "${bob.id}",
    "recipient_id": "${bob.id}",
    "target_id": "${bob.id}",
    "group_id": "group-${group}",
    "conversation_id": "conv-${conversation}",
    "message_id": "${message}",
}
"""Whom or what a field of a client's frame has to name so that the frame can be served."""
RECEIVED = "delivery_ack"
"""The type whose `message_id` names a message that the sender got, where others name one of their own."""
GOT = "got"


def bound(spec: FrameSpec, frame: dict[str, Any]) -> dict[str, Any]:
    """The frame with references for identifiers."""
    made: dict[str, Any] = {}
    for name, value in frame.items():
        if isinstance(value, dict):
            made[name] = bound(spec, value)
        elif isinstance(value, list):
            made[name] = [f"${{{GOT}.{index}}}" for index, _ in enumerate(value)]
        elif name == "message_id" and spec.type == RECEIVED:
            made[name] = f"${{{GOT}.0}}"
        else:
            made[name] = _MEANT.get(name, value) if value is not None else None
    return made


def is_bound(value: Any) -> bool:
    """Whether a value is a reference, or holds one."""
    return isinstance(value, str) and "${" in value


def upper(value: str) -> str:
    """A reference to the same identifier in upper case (the prefix stays: it is no part of the UUID)."""
    return value.replace("}", "|upper}")


VARIABLES = {"message": VarSpec("message", "uuid", None)}
"""What each case makes up for itself."""


def scope(seed: str, roots: Mapping[str, Any], given: Mapping[str, Any]) -> Scope:
    """What the references mean for a case.

    Args:
        roots: `alice`, `bob` with their devices.
        given: `group` and `conversation` (their UUIDs) and `got` (messages that alice's phone got).
    """
    return Scope(seed, roots, VARIABLES, dict(given))


@cache
def sample() -> Scope:
    """Made-up people, to judge frames by before there are any."""
    numbers = iter(range(1, 10_000))

    def made() -> str:
        return f"abcdef01-0b1c-4d2e-8f3a-{next(numbers):012x}"

    devices = {"phone": {"id": made()}, "laptop": {"id": made()}}
    roots = {"alice": {"id": made(), **devices}, "bob": {"id": made(), "device": {"id": made()}}}
    given = {"group": made(), "conversation": made(), GOT: [made() for _ in range(300)]}
    return scope("sample", roots, given)
