"""Targets that close after repeated violations, as VAL-14 permits: the case goes on over a new connection.

Nothing is forgiven by that. What was not answered before the close is sent again, and has to be answered
then. Where all of it was, the last violation is sent once more, alone: a target that closes for it closes for
a single violation, which VAL-13 forbids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relaykit.conformance.codes import INVALID_MESSAGE, code_of
from relaykit.conformance.context import CaseStop, Device
from relaykit.conformance.matching import message_id_of
from relaykit.conformance.results import OPEN_CONNECTION
from relaykit.conformance.wire import ABNORMAL, Connection

if TYPE_CHECKING:
    from relaykit.conformance.steps import Play

USABLE = ("VAL-13",)
_REPEATED = 2
"""So many violations on one connection are repeated ones."""
_OWN_ANSWER = {"send": "sent_ack", "heartbeat": "heartbeat_ack"}
_WAITS = frozenset({"deliver", "group_message", "message"})
"""Types that come again on the next connection until they are acknowledged."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a step has sent: a frame, or bytes that need not be one."""

    frame: Mapping[str, Any] | None
    data: bytes | None
    invalid: bool

    @property
    def kind(self) -> str:
        """The type of a valid frame."""
        return str(self.frame.get("type")) if self.frame is not None and not self.invalid else ""


@dataclass(eq=False)
class Said:
    """What a scenario has sent on one connection.

    Attributes:
        since: how many entries the transcript had before that.
        frames: what was sent, the oldest first.
        tried: what was unanswered when the connection before this one was closed.
    """

    connection: Connection
    since: int
    frames: list[Sent] = field(default_factory=list)
    tried: tuple[Sent, ...] = ()


def transmit(this: Play, device: Device, sent: Sent) -> None:
    """Send it, and note that.

    Raises:
        ConnectionEnded: the connection is over.
    """
    connection = device.live
    said = this.said.get(device)
    if said is None or said.connection is not connection:
        said = this.said[device] = Said(connection, len(this.context.recorder.transcript.entries))
    if sent.data is not None:
        connection.send_text(sent.data)
    else:
        connection.send(sent.frame, valid=not sent.invalid)
    said.frames.append(sent)


def _came(this: Play, said: Said) -> list[Mapping[str, Any]]:
    """The frames that arrived since, but for those that are the suite's own affair."""
    entries = this.context.recorder.transcript.entries[said.since :]
    mine = (e for e in entries if e.direction == "s2c" and e.actor == said.connection.label and not e.kit)
    return [entry.frame for entry in mine if isinstance(entry.frame, dict)]


def _violations(this: Play, said: Said) -> int:
    """How many frames on the connection were wrong, or refused as if they were."""
    told = sum(code_of(frame) == INVALID_MESSAGE for frame in _came(this, said))
    return max(told, sum(sent.invalid for sent in said.frames))


def _unanswered(this: Play, said: Said) -> tuple[Sent, ...]:
    """What has had no answer. What went before something answered, and has no answer of its own, is done."""
    left = list(said.frames)
    for frame in _came(this, said):
        index = _answered(frame, left)
        if index is not None:
            before = [sent for sent in left[:index] if sent.invalid or sent.kind in _OWN_ANSWER]
            left = before + left[index + 1 :]
    return tuple(left)


def _answered(frame: Mapping[str, Any], left: Sequence[Sent]) -> int | None:
    """Which of these a frame answers."""
    kind, name = frame.get("type"), message_id_of(frame)
    same = [n for n, sent in enumerate(left) if sent.frame and message_id_of(sent.frame) == name]
    if kind == "error":
        named = same if "message_id" in frame else []
        wrong = [n for n, sent in enumerate(left) if sent.invalid]
        return next(iter((*named, *wrong, *range(len(left)))), None)
    awaited = [n for n, sent in enumerate(left) if _OWN_ANSWER.get(sent.kind) == kind]
    return next((n for n in awaited if kind != "sent_ack" or n in same), None)


def closed_after_violation(this: Play, device: Device) -> bool:
    """Whether the target has closed the connection, in due form, after a violation on it."""
    said, connection = this.said.get(device), device.connection
    if said is None or connection is None or said.connection is not connection:
        return False
    if connection.alive or connection.accounted or connection.close_code in (None, ABNORMAL):
        return False
    return _violations(this, said) > 0


async def go_on(this: Play, *devices: Device) -> bool:
    """Connect those again that were cut off for repeated violations, and send what was not answered.

    Returns:
        whether there was any.

    Raises:
        CaseStop: one was, for a single one; or it cannot connect again. That is said as an outcome.
    """
    again = [await _again(this, device) for device in devices]
    return any(again)


async def _again(this: Play, device: Device) -> bool:
    if not closed_after_violation(this, device):
        return False
    said = this.said[device]
    unanswered = _unanswered(this, said)
    is_open = any(sent.invalid for sent in unanswered)
    count = _violations(this, said)
    if count < _REPEATED:
        if is_open:
            return False  # whoever waits for the answer says that none came
        _too_soon(this, device)
    if unanswered and unanswered == said.tried:
        return False  # the connection before was closed at the same place
    context = this.context
    wrong = [sent for sent in said.frames if sent.invalid]
    note = f"goes on: a close after {count} violations is permitted (VAL-14)"
    context.recorder.transcript.event(device.label, "c2s", note)
    old, waiting = device.live, _waiting(this, device)
    connection = await device.connect()
    connection.forgiven += waiting
    connection.inbox[:0] = old.inbox
    old.inbox.clear()
    this.said[device] = Said(connection, len(context.recorder.transcript.entries), tried=unanswered)
    if wrong and not is_open and context.env.fences:
        await _alone(this, device, wrong[-1])
    for sent in unanswered:
        transmit(this, device, sent)
    return True


def _waiting(this: Play, device: Device) -> list[Mapping[str, Any]]:
    """Patterns of the messages that the device has got: they may come again."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for entry in this.context.recorder.transcript.entries:
        if entry.direction != "s2c" or entry.actor != device.label or not isinstance(entry.frame, dict):
            continue
        kind = entry.frame.get("type")
        inner = entry.frame.get("payload")
        for holder in (entry.frame, inner if isinstance(inner, dict) else {}):
            name = holder.get("message_id")
            if kind in _WAITS and isinstance(name, str):
                place = {"message_id": name} if holder is entry.frame else {"payload": {"message_id": name}}
                found.setdefault((kind, name), {"type": kind, **place})
    return list(found.values())


async def _alone(this: Play, device: Device, violation: Sent) -> None:
    """Send a violation that was answered once more, as the only one: the connection must outlive it."""
    connection = device.live
    before = len(connection.inbox)
    transmit(this, device, violation)
    await connection.beat(this.context.env.waits.reply)
    connection.inbox[before:] = [each for each in connection.inbox[before:] if not _is_error(each.frame)]
    if not connection.alive:
        _too_soon(this, device)


def _is_error(frame: Any) -> bool:
    return isinstance(frame, dict) and frame.get("type") == "error"


def _too_soon(this: Play, device: Device) -> None:
    """Say that a single violation has ended the connection."""
    connection = device.live
    this.context.fail(
        USABLE,
        f"{device.label}: {connection.ended} after a single violation on this connection",
        expected=OPEN_CONNECTION,
        actual=connection.ended,
        actor=device.label,
    )
    raise CaseStop
