"""What came of a valid message to somebody whom it was not for.

Judged where the protocol names everybody whom a type may reach. Copies of messages to the sender's other
devices are the server's affair, as is who hears of a call or of a presence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from relaykit.conformance.context import Context
from relaykit.conformance.derived.effects import effects

_ALONE: Mapping[str, tuple[str, str]] = {
    "typing": ("TYP-04", "TYP-05"),
    "media_key": ("MED-04", "MED-05"),
    "sync_request": ("SYNC-06", "SYNC-09"),
    "sync_data": ("SYNC-06", "SYNC-09"),
    "sync_ack": ("SYNC-06", "SYNC-09"),
}
"""Type → what it breaks that one reaches somebody else, and that it comes back to its sender."""
SURPLUS = frozenset(name for names in _ALONE.values() for name in names)
"""Requirements about what must not come of a valid message."""


def see_no_surplus(
    context: Context, frame: Mapping[str, Any], sender: str, left: Iterable[tuple[str, Any]]
) -> None:
    """Judge what came besides the effects of a frame.

    Args:
        sender: label of the device that sent it.
        left: label of a device, and what it got besides.
    """
    kind = frame["type"]
    if kind not in _ALONE:
        return
    rightly = {effect.who for effect in effects(context.env.catalogue, frame, {})}
    elsewhere, back = _ALONE[kind]
    for who, came in left:
        if isinstance(came, Mapping) and came.get("type") == kind and who not in rightly:
            said = (
                "its sender got it back" if who == sender else f"{who} got a {kind} that is for somebody else"
            )
            context.fail(
                (back if who == sender else elsewhere,), said, expected="nothing", actual=came, actor=who
            )
            return
