"""`any_of`: which of the permitted alternatives is it that the target took?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from relaykit.conformance import closing
from relaykit.conformance.awaiting import kind_of, named, settle, until
from relaykit.conformance.context import CaseStop
from relaykit.conformance.fence import devices, fence
from relaykit.conformance.grammar import AnyOf, Expect, ExpectClose, Nothing, Step, Unordered
from relaykit.conformance.matching import compare, nearest, plain

if TYPE_CHECKING:
    from relaykit.conformance.steps import Play

Branch = tuple[Step, ...]


async def choose(this: Play, step: AnyOf) -> Branch:
    """The alternative that the target took. Nothing is taken from an inbox: the branch's own steps do that.

    Raises:
        CaseStop: it took none; that is said as an outcome.
    """
    context = this.context
    heads = [head for branch in step.branches for head in _heads(branch)]
    quiet = [branch for branch in step.branches if not branch or isinstance(branch[0], Nothing)]
    if quiet:
        # One alternative is that nothing comes: only a fence can tell.
        await fence(context, devices(context))
        return _begun(this, step) or quiet[0]
    closes = any(isinstance(head, ExpectClose) for head in heads)
    deadline = max(until(context, head.within_ms) for head in heads)
    while True:
        branch = _begun(this, step)
        if branch is not None:
            return branch
        if _hopeless(this, heads) or not await context.wait(deadline):
            if closes or not await closing.go_on(this, *devices(context)):
                break
            deadline = max(until(context, head.within_ms) for head in heads)
    branch = _begun(this, step)
    if branch is not None:
        return branch
    requirements = tuple(dict.fromkeys(req for head in heads for req in head.req))
    _missed(this, step, heads, requirements)
    if context.binding(requirements):
        raise CaseStop
    return ()


def _heads(branch: Branch) -> Iterator[Expect | ExpectClose]:
    """The expectations with which an alternative may begin."""
    match branch[0] if branch else None:
        case (Expect() | ExpectClose()) as head:
            yield head
        case Unordered(expects=expects):
            yield from expects
        case _:
            return


def _begun(this: Play, step: AnyOf) -> Branch | None:
    return next((b for b in step.branches if any(_fits(this, head) for head in _heads(b))), None)


def _fits(this: Play, head: Expect | ExpectClose) -> bool:
    context = this.context
    for device in this.connected(head.who):
        connection = device.live
        if isinstance(head, ExpectClose):
            if not connection.alive and (not head.codes or connection.close_code in head.codes):
                return True
            continue
        settle(connection)
        pattern = context.scope.fill(head.frame)
        waiting = connection.inbox if head.skip else connection.inbox[:1]
        if any(compare(pattern, arrived.frame) is None for arrived in waiting):
            return True
    return False


def _hopeless(this: Play, heads: list[Expect | ExpectClose]) -> bool:
    """Whether on every connection concerned something else came already, or nothing can come any more."""
    for head in heads:
        for device in this.connected(head.who):
            connection = device.live
            if connection.alive and (isinstance(head, ExpectClose) or head.skip or not connection.inbox):
                return False
    return True


def _missed(
    this: Play, step: AnyOf, heads: list[Expect | ExpectClose], requirements: tuple[str, ...]
) -> None:
    context = this.context
    context.step = step.place.pointer
    came = [
        arrived.frame
        for device in dict.fromkeys(d for head in heads for d in this.connected(head.who))
        for arrived in device.live.inbox[:1]
    ]
    ended = [
        device.live.ended
        for device in dict.fromkeys(d for head in heads for d in this.connected(head.who))
        if device.live.ended
    ]
    wanted = [_describe(this, head) for head in heads]
    said = list(dict.fromkeys(str(item["says"]) for item in wanted))
    message = f"expected {'one of: ' if len(said) > 1 else ''}{'; '.join(said)}"
    if came:
        message += f". Got {', '.join(kind_of(frame) for frame in came)}"
        for head in heads:
            near = nearest(context.scope.fill(head.frame), came) if isinstance(head, Expect) else None
            if near is not None and near[1].fitted:
                message += f" ({near[1]})"
                break
    elif ended:
        message += f". But {', '.join(str(reason) for reason in ended)}"
    else:
        message += ". Nothing came in time"
    context.fail(
        requirements,
        message,
        expected=[item["expected"] for item in wanted],
        actual=came[0] if came else (ended[0] if ended else None),
        actor=str(heads[0].who) if heads else "",
    )


def _describe(this: Play, head: Expect | ExpectClose) -> dict[str, object]:
    if isinstance(head, ExpectClose):
        codes = f" ({', '.join(map(str, head.codes))})" if head.codes else ""
        return {"says": f"a close{codes} for {head.who}", "expected": f"a close{codes}"}
    pattern = this.context.scope.fill(head.frame)
    return {"says": f"{named(pattern)} for {head.who}", "expected": plain(pattern)}
