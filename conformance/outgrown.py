"""A limit of the size of frames that the target file does not state: who keeps it breaks nothing.

A server may limit the size of frames, and need not say so: it closes with 1009 on one that is too large, or
answers `invalid_message` (section 2 of the decisions). But no server's limit is below the least that the
catalogue has for it. What comes after such an answer tells nothing of the target.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relaykit.conformance.codes import INVALID_MESSAGE, TOO_BIG, code_of
from relaykit.conformance.matching import message_id_of
from relaykit.conformance.restraint import Restraint

if TYPE_CHECKING:
    from relaykit.conformance.context import Context

LIMIT = "max_frame_bytes"
CLOSED = f"closed ({TOO_BIG}"
"""How the end of a connection begins in a transcript that was closed for the size of a message."""


@dataclass(frozen=True, slots=True)
class Met:
    """That a case may have met a limit that the target file does not state.

    Attributes:
        t_ms: when the target said so.
        how: it did, in the present tense.
        limit: which one.
    """

    t_ms: float
    how: str
    limit: str = LIMIT

    @property
    def reason(self) -> str:
        """Why the case is untestable."""
        return Restraint.unstated(self.limit, self.how)


def outgrown(context: Context) -> Met | None:
    """Whether a target that states no limit of size has turned away a frame that may be too large for it."""
    env = context.env
    if LIMIT in context.case.limits | env.target.stated:
        return None
    least = env.catalogue.protocol.limits[LIMIT].minimum
    largest: dict[str, float] = {}
    refusable: dict[str, Any] = {}  # what may yet be refused for its size, by who sent it
    for line in context.recorder.transcript.entries:
        who, large = line.actor, largest.get(line.actor, 0) > least
        if line.event is not None:
            if line.direction == "s2c" and large and line.event.startswith(CLOSED):
                return Met(line.t_ms, f"closes with {TOO_BIG} (message too big) on one")
            if line.event == "connected":
                largest[who] = 0
                refusable.pop(who, None)
        elif line.direction == "c2s" and not line.kit:
            size = _size(line.frame)
            largest[who] = max(largest.get(who, 0), size)
            if size > least or who in refusable:
                valid = env.catalogue.validate(line.frame, "c2s").valid
                if not valid:
                    refusable.pop(who, None)  # the next error is for this one
                elif size > least:
                    refusable[who] = line.frame
        elif line.direction == "s2c" and who in refusable:
            if _refuses(line.frame, refusable[who]):
                return Met(line.t_ms, f"answers a valid one with {INVALID_MESSAGE}")
            if _is_past(line.frame, refusable[who]):
                del refusable[who]
    return None


def _size(frame: Any) -> float:
    """The bytes of a frame as the suite writes it."""
    if not isinstance(frame, str):
        try:
            frame = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
        except RecursionError:
            return math.inf  # as deep as that, it is large enough
    return len(frame.encode("utf-8", "replace"))


def _is_past(answer: Any, frame: Any) -> bool:
    """Whether an answer shows that a frame has been handled: it is about that, or a later heartbeat's."""
    named = message_id_of(frame)
    return isinstance(answer, dict) and (
        answer.get("type") == "heartbeat_ack" or (named != "" and message_id_of(answer) == named)
    )


def _refuses(answer: Any, frame: Any) -> bool:
    """Whether an answer may be the refusal of a frame."""
    return code_of(answer) == INVALID_MESSAGE and message_id_of(answer) in ("", message_id_of(frame))
