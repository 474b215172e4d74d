"""A limit that the target file does not state: who keeps it breaks nothing, and the case says what to state.

Three can be met so: the size of frames (see `outgrown`), the connections of one user (429 is for `Restraint`,
since nothing may be concluded from such a refusal; here, the error and the end of the connection), and the
messages that wait for one. What comes after a target has shown such a limit tells nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from relaykit.conformance.codes import RATE_LIMITED, code_of
from relaykit.conformance.judge import Rules, judge
from relaykit.conformance.matching import message_id_of
from relaykit.conformance.outgrown import Met, outgrown
from relaykit.conformance.restraint import CONNECTIONS, RATE, WAITING
from relaykit.conformance.results import CaseResult, Verdict

if TYPE_CHECKING:
    from relaykit.conformance.context import Context

_FEW = 8
"""Who lets no more wait than this is taken for one that refuses what it must not: any error code may say that
too much waits, so that nothing else tells it from a server that refuses messages for no reason."""


def excused(context: Context, result: CaseResult, rules: Rules) -> CaseResult:
    """A result without what was found after such an answer; untestable where nothing else was."""
    if not result.findings:
        return result
    met = unstated(context)
    if met is None:
        return result
    kept = [each for each in context.outcomes if each.ok or each.blame == "kit" or each.t_ms < met.t_ms]
    if len(kept) == len(context.outcomes):
        return result
    rest = judge(context.env.catalogue, context.case, kept, rules)
    return rest if rest.findings else CaseResult(context.case, Verdict.UNTESTABLE, reason=met.reason)


def unstated(context: Context) -> Met | None:
    """The first limit that a target may have met which the target file does not state."""
    found = [_crowded(context), _overfilled(context)]
    if context.case.kind != "derived":  # those look at each frame, and still find what was passed on of it
        found.append(outgrown(context))
    return min((met for met in found if met is not None), key=lambda met: met.t_ms, default=None)


def _may_keep(context: Context, limit: str) -> bool:
    return limit not in context.case.limits | context.env.target.stated


def _crowded(context: Context) -> Met | None:
    """Whether a further connection of a user began with `rate_limited`, and ended."""
    if not _may_keep(context, CONNECTIONS):
        return None
    for connection in context.further:
        first = connection.frames[0] if connection.frames else None
        if code_of(first) != RATE_LIMITED or connection.ended is None:
            continue
        for line in context.recorder.transcript.entries:
            if line.actor == connection.label and line.direction == "s2c" and line.frame == first:
                return Met(line.t_ms, f"ends a further one with {RATE_LIMITED}", CONNECTIONS)
    return None


def _overfilled(context: Context) -> Met | None:
    """Whether a new message was refused to somebody for whom several wait that were accepted."""
    if not _may_keep(context, WAITING):
        return None
    fresh: dict[str, Any] = {}
    last: dict[str, str] = {}  # the message that an error may be about that names none
    waiting: dict[str, dict[str, set[str]]] = {}
    for line in context.recorder.transcript.entries:
        frame = line.frame
        if not isinstance(frame, dict) or line.kit:
            continue
        name = message_id_of(frame)
        if line.direction == "c2s":
            last.pop(line.actor, None)
            if frame.get("type") == "send" and name not in fresh:
                fresh[name], last[line.actor] = frame, name
            for acknowledged in _acknowledged(frame):
                _free(waiting, acknowledged, line.actor)
        elif frame.get("type") == "sent_ack" and name in fresh:
            whom = _whom(fresh[name])
            waiting.setdefault(whom, {})[name] = set(_labels(context, whom))
        elif code_of(frame) is not None:
            refused = fresh.get(name or last.get(line.actor, ""))
            limited = code_of(frame) == RATE_LIMITED and context.case.limits >= RATE
            if refused is None or limited or len(waiting.get(_whom(refused), ())) < _FEW:
                continue
            if context.env.catalogue.validate(refused, "c2s").valid:
                how = f"refuses a message with {code_of(frame)} while many wait"
                return Met(line.t_ms, how, WAITING)
    return None


def _whom(frame: dict[str, Any]) -> str:
    """To whom a message goes: a user or a group."""
    payload = frame.get("payload")
    fields = payload if isinstance(payload, dict) else {}
    return str(fields.get("group_id") or fields.get("receiver_id") or "").lower()


def _labels(context: Context, whom: str) -> Iterator[str]:
    """Whose acknowledgements a message waits for; for a group, everybody's."""
    users = context.users.values()
    for user in [each for each in users if each.id.lower() == whom] or users:
        yield from (device.label for device in user.devices.values())


def _acknowledged(frame: dict[str, Any]) -> Iterator[str]:
    """The messages that a client's frame acknowledges."""
    if frame.get("type") == "delivery_ack":
        yield message_id_of(frame)
    elif frame.get("type") == "read_receipt":
        payload = frame.get("payload")
        names = payload.get("message_ids") if isinstance(payload, dict) else None
        yield from (str(name).lower() for name in names or ()) if isinstance(names, list) else ()


def _free(waiting: dict[str, dict[str, set[str]]], name: str, label: str) -> None:
    """A device has acknowledged a message: it waits no longer, if that was the last to do so."""
    for box in waiting.values():
        if name in box:
            box[name].discard(label)
            if not box[name]:
                del box[name]
