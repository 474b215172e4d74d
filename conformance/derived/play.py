"""Runs a derived case: sends its frame, looks at what comes, and says what that shows."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from relaykit.conformance.awaiting import elsewhere, kind_of, settle, until
from relaykit.conformance.context import CaseStop, Context, Device, UntestableError
from relaykit.conformance.derived.binding import GOT, scope
from relaykit.conformance.derived.drafts import Draft, written
from relaykit.conformance.derived.effects import Effect, effects
from relaykit.conformance.derived.stations import Station, arranged, receive, station_for
from relaykit.conformance.derived.verdict import FORWARDING, Seen, judged
from relaykit.conformance.fence import fence
from relaykit.conformance.matching import ambient_types, compare, nearest, plain
from relaykit.conformance.outgrown import outgrown
from relaykit.conformance.results import Outcome
from relaykit.conformance.steps import roots
from relaykit.conformance.unstated import unstated
from relaykit.conformance.values import Scope, fresh_uuid
from relaykit.conformance.wire import ConnectionEnded

if TYPE_CHECKING:
    from relaykit.conformance.derived.family import Derived
    from relaykit.schemas import Catalogue

_WANTED = re.compile(rf"\$\{{{GOT}\.([0-9]+)")
_FEW = 3
"""So many messages are arranged for an invalid frame that names more: enough to see an effect."""
_CASE = "VAL-24"
"""UUIDs that differ in the case of letters only name the same."""
_ABOUT = {"presence": "presence", "heartbeat": "heartbeat_ack"}
"""Ambient types that come of a client's frame."""


async def play(context: Context, derived: Derived) -> None:
    """The case.

    A target on which no people can be arranged would fail every derived case for a reason that has nothing to
    do with it. So until that has worked once, one case tries at a time; the first that cannot says so.

    Raises:
        UntestableError: another case has said so.
    """
    env = context.env
    if not env.acquainted:
        context.allow(env.waits.case)  # for the time behind the gate
        async with env.gate:
            if not env.acquainted:
                await _play_first(context, derived)
                return
    await _play(context, derived)


async def _play_first(context: Context, derived: Derived) -> None:
    env = context.env
    if env.strangers is not None and env.strangers[0] != context.case.id:
        case, why = env.strangers
        raise UntestableError(f"no users who write to each other can be arranged, as {case} shows: {why}")
    try:
        await _play(context, derived)
    finally:
        failed = next((outcome for outcome in context.outcomes if not outcome.ok), None)
        if not env.acquainted and failed is not None:
            met = unstated(context)
            env.strangers = context.case.id, met.reason if met else failed.message


async def _play(context: Context, derived: Derived) -> None:
    """The case. On connections that served others before, only success is believed."""
    if context.env.issuer.fixed:
        await _trial(await arranged(context), derived)
        return
    trouble = await _on_lent(context, derived)
    if trouble is None:
        return
    try:
        station = await arranged(context)
    except (CaseStop, ConnectionEnded):
        # It cannot be tried again: the frame may have killed the target. So what it came to counts.
        _begin_with(context, trouble[0], trouble[0].outcomes)
        raise
    await _trial(station, derived)
    if all(outcome.ok for outcome in context.outcomes):
        _tell(context, *trouble)


async def _on_lent(context: Context, derived: Derived) -> tuple[Context, str] | None:
    """Try on a station that is lent; None if all went well.

    Returns:
        the station's context, and which cases it had served.
    """
    env = context.env
    try:
        station = await station_for(context)
    except (CaseStop, ConnectionEnded):
        return None if context.outcomes else (context, "")
    before = ", ".join(station.cases[-3:])
    _settle(station)
    late = _late(station)
    station.lend(context)
    if late is not None:
        context.fail(("VAL-12",), f"{late} (late, after one of these had been refused: {before})")
    try:
        await _trial(station, derived)
    except (CaseStop, ConnectionEnded):
        pass
    except BaseException:
        station.leave()
        raise
    inner = station.context
    context.doubts = context.doubts or inner.doubts
    if all(outcome.ok for outcome in inner.outcomes) and inner.outcomes:
        context.outcomes += inner.outcomes
        context.recorder.transcript = inner.recorder.transcript
        if derived.draft.valid and derived.frame.startswith("call_"):
            station.leave()  # who is in a call is served in another way
        else:
            env.parked.append(station)
        return None
    station.leave()
    return inner, before


def _settle(station: Station) -> None:
    """Drop what was waited for in vain when people were arranged, and came since."""
    for device in (station.phone, *station.observers):
        settle(device.live)


def _late(station: Station) -> str | None:
    """What came after the last case, where nothing was to come."""
    found = [
        f"{device.label} got {kind_of(arrived.frame)}"
        for device in station.observers
        if device.connection is not None
        for arrived in device.connection.inbox
    ]
    for device in (station.phone, *station.observers):
        device.live.inbox.clear()
    return found[0] if found and station.quiet and station.cases else None


def _tell(context: Context, inner: Context, before: str) -> None:
    """Alone the frame is treated rightly; on used connections something was forwarded or had an effect."""
    after = f"not when sent alone, but after {before} on the same connections"
    told = [
        replace(outcome, message=f"{outcome.message}; {after}")
        for outcome in inner.outcomes
        if not outcome.ok and set(outcome.requirements) & FORWARDING
    ]
    if told:
        _begin_with(context, inner, told)


def _begin_with(context: Context, inner: Context, outcomes: Iterable[Outcome]) -> None:
    """Put what a lent station has seen in front: its transcript, and these of its outcomes."""
    if inner is context:
        return
    shift = context.recorder.transcript.begin_with(inner.recorder.transcript)
    context.outcomes[:0] = [replace(each, t_ms=round(each.t_ms + shift, 2)) for each in outcomes]


def _must_be_given(context: Context, text: str) -> None:
    """A frame that speaks of a group or a conversation needs one that exists, where one could be had at all.

    Raises:
        UntestableError: the control interface failed to make one.
    """
    for operation, name in (("create_group", "group"), ("conversation", "conversation")):
        said = context.env.hindered.get(operation)
        if said is not None and f"${{{name}" in text:
            raise UntestableError(f"needs a {name}: {said.splitlines()[0]}")


async def _trial(station: Station, derived: Derived) -> None:
    """Send the frame and judge what comes, into the outcomes of the station's context."""
    context, draft = station.context, derived.draft
    _must_be_given(context, draft.text or str(draft.template))
    attend(station, derived.frame)
    await _messages(station, derived)
    alice = context.users["alice"]
    filled = scope(f"{context.env.seed}/{derived.id}/{alice.id}", roots(context), station.given)
    data, shown = draft.filled(filled)
    verdict = context.env.catalogue.validate(data, "c2s", engine="both")
    if verdict.valid != draft.valid:
        raise AssertionError(f"the frame is meant to be {'valid' if draft.valid else 'invalid'}, and is not")
    if draft.valid:
        shown = verdict.frame if draft.text is not None else shown
        station.phone.live.asks(len(data), shown)
    station.phone.live.send_text(data, shown=shown)
    station.sent += 2
    if draft.valid:
        before = len(context.outcomes)
        await see_served(station, shown, derived.served)
        if _CASE in derived.served:
            await _acquit(station, draft, filled, before)
    else:
        await see_refused(station, shown, derived.refusal)
    met = outgrown(context)
    if met is not None and all(outcome.ok for outcome in context.outcomes):
        raise UntestableError(met.reason)


def attend(station: Station, kind: str) -> None:
    """Have nothing passed over of what comes of a client's frame of this type."""
    about = {_ABOUT.get(kind, "")}
    for device in (station.phone, *station.observers):
        device.live.passed_over = ambient_types(station.context.env.catalogue) - about


async def _messages(station: Station, derived: Derived) -> None:
    """The messages to alice that the frame speaks of; of those an invalid one names, the first few exist."""
    draft = derived.draft
    numbers = [int(found) for found in _WANTED.findall(draft.text or str(draft.template))]
    if not numbers:
        return
    wanted = max(numbers) + 1
    await receive(station, wanted if draft.valid else min(wanted, _FEW))
    missing = wanted - len(station.given[GOT])
    rng = station.context.rng
    station.given[GOT] = [*station.given[GOT], *(fresh_uuid(rng) for _ in range(missing))]


async def see_refused(station: Station, shown: Any, refusal: tuple[str, ...]) -> None:
    """Judge what comes after a frame that is to be refused, into the outcomes of the station's context.

    Args:
        shown: the frame; or what was sent in its place, if that is none.
        refusal: the requirements that ask for the refusal.
    """
    context, phone = station.context, station.phone
    answered = await phone.live.beat(context.env.waits.reply)
    phone.acted = context.env.target.fence == "frame"
    await fence(context, station.observers)
    _settle(station)
    seen = Seen(
        answers=tuple(arrived.frame for arrived in phone.live.inbox),
        answered=answered,
        ended=phone.live.ended,
        close_code=phone.live.close_code,
        reached=tuple((d.label, a.frame) for d in station.observers for a in d.live.inbox),
        too_big=outgrown(context) is not None,
    )
    for device in (phone, *station.observers):
        device.live.inbox.clear()
    name = shown.get("message_id") if isinstance(shown, dict) else None
    catalogue = context.env.catalogue
    context.outcomes += judged(catalogue, refusal, seen, name, phone.label, context.now_ms())
    station.quiet = True


async def see_served(
    station: Station, frame: Mapping[str, Any], served: tuple[str, ...]
) -> tuple[tuple[str, Any], ...]:
    """Judge what comes of a frame that is to be served; see `see_refused`.

    Args:
        served: the requirements that ask for that, the most general one first.

    Returns:
        (device, frame): what came besides, which is not judged here.
    """
    context, phone = station.context, station.phone
    before = len(context.outcomes)
    missing, deadline = False, until(context, None)
    for effect in effects(context.env.catalogue, frame, station.owners):
        device = station.device(effect.who)
        if await _came(context, device, phone, effect, served, deadline):
            deadline = until(context, None)
        else:
            missing = True  # and the others have had their time as well
    # A heartbeat's ack shows that all has been handled: an error, if there is one, has come.
    alive = await phone.live.beat(context.env.waits.reply)
    errors = [f for f in phone.live.frames if f.get("type") == "error"]
    if outgrown(context) is not None:
        del context.outcomes[before:]
    elif errors:
        said = f"{kind_of(errors[0])} came for a frame that its schema permits"
        context.fail(served, said, expected="it is served", actual=errors[0], actor=phone.label)
    elif not alive:
        said = phone.live.ended or "its next heartbeat was not answered"
        context.fail(served, f"after a frame that its schema permits: {said}", actor=phone.label)
    elif not missing:
        context.prove((*served, *(("KEEP-06",) if frame["type"] == "pong" else ())), phone.label)
    await asyncio.gather(*(d.live.beat(context.env.waits.reply) for d in station.observers))
    everybody = (phone, *station.observers)
    left = tuple((device.label, arrived.frame) for device in everybody for arrived in device.live.inbox)
    for device in everybody:
        device.live.inbox.clear()
    station.quiet = False
    return left


def _about(catalogue: Catalogue, requirements: tuple[str, ...], pointer: str) -> tuple[str, ...]:
    """Of these requirements those that name the field where a frame is not as expected; if none does, all."""
    fields = [f"`{part}`" for part in pointer.split("/")[1:]]
    named = [name for name in requirements if any(f in catalogue.requirements[name].text for f in fields)]
    return tuple(named) or requirements


async def _acquit(station: Station, draft: Draft, filled: Scope, before: int) -> None:
    """Take what a target refuses in lower case, too, for no matter of the case of letters.

    Args:
        before: how many outcomes there were before the frame in upper case was sent.
    """
    context, live = station.context, station.phone.live
    # A refusal breaks the rule that all such frames are served, as well: that one keeps what came.
    refused = [o for o in context.outcomes[before:] if not o.ok and {_CASE, "VAL-22"} <= {*o.requirements}]
    if not refused or not live.alive:
        return
    plain_draft = replace(draft, template=json.loads(written(draft.template).replace("|upper}", "}")))
    data, shown = plain_draft.filled(filled)
    live.asks(len(data), shown)
    live.send_text(data, shown=shown)
    station.sent += 2
    await live.beat(context.env.waits.reply)
    if any(frame.get("type") == "error" for frame in live.frames):
        context.outcomes[before:] = [
            replace(each, requirements=tuple(name for name in each.requirements if name != _CASE))
            if each in refused
            else each
            for each in context.outcomes[before:]
        ]
    for device in (station.phone, *station.observers):
        device.live.inbox.clear()


async def _came(
    context: Context, device: Device, phone: Device, effect: Effect, served: tuple[str, ...], deadline: float
) -> bool:
    """Wait for an effect, until it comes or is known not to; `deadline` is a time of the event loop."""
    connection = device.live
    while True:
        for arrived in connection.inbox:
            if any(compare(pattern, arrived.frame) is None for pattern in effect.any_of):
                connection.inbox.remove(arrived)
                context.prove(effect.requirements, device.label)
                return True
        refused = any(frame.get("type") == "error" for frame in phone.live.frames)
        if refused or not connection.alive or not await context.wait(deadline):
            break
    near = nearest(effect.any_of[0], connection.frames)
    kind = effect.any_of[0]["type"]
    # A rule of its own that says that such a form is served like any other (upper case, null) goes first.
    said, broken = f"{device.label} expected {kind}, which did not come", served[1:] or effect.requirements
    if near is not None and near[0].get("type") == kind:
        said = f"{device.label} got a {kind} that is not as expected: {near[1]}"
        broken = _about(context.env.catalogue, effect.requirements, near[1].pointer)
    elif near is None:
        said += elsewhere(context, connection, effect.any_of[0])
    context.fail(
        broken if not refused else served,
        said,
        expected=plain(effect.any_of[0]),
        actual=near[0] if near else connection.ended,
        actor=device.label,
    )
    return False
