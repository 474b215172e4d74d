"""Walks through the steps of a scenario. What a step shows goes into the context as outcomes."""

from __future__ import annotations

import contextlib
from typing import Any

from relaykit.conformance import alternatives, awaiting, closing
from relaykit.conformance.arranging import advance, control
from relaykit.conformance.context import CaseStop, Context, Device, present
from relaykit.conformance.fence import Watch, devices, fence, report, unwanted
from relaykit.conformance.grammar import (
    ActorRef,
    Advance,
    AnyOf,
    Connect,
    Control,
    Drop,
    Expect,
    ExpectClose,
    Nothing,
    Repeat,
    Restart,
    Scenario,
    Send,
    Step,
    Unordered,
    walk,
)
from relaykit.conformance.hearing import control_silence
from relaykit.conformance.refusal import PERMITTED, judge_form, tried
from relaykit.conformance.restarting import ask_to_stop, launched_target, restart, settled
from relaykit.conformance.results import OPEN_CONNECTION
from relaykit.conformance.values import Scope
from relaykit.conformance.wire import ConnectionEnded, DialError


class Play:
    """A scenario while it runs: the context, and what only scenarios have."""

    def __init__(self, context: Context, scenario: Scenario) -> None:
        self.context = context
        self.scenario = scenario
        self.watches: dict[int, Watch] = {}
        self.said: dict[Device, closing.Said] = {}
        self.arranged: set[str] = set()
        """Ids of devices that something was arranged for: they may be pending, denied or revoked."""

    def device(self, ref: ActorRef) -> Device:
        """The one device that a reference means."""
        owned = self.context.users[ref.actor].devices
        return owned[ref.device] if ref.device else next(iter(owned.values()))

    def chosen(self, ref: ActorRef) -> tuple[Device, ...]:
        """The devices that a reference means: all of a user's for `bob.*`."""
        if ref.every:
            return tuple(self.context.users[ref.actor].devices.values())
        return (self.device(ref),)

    def connected(self, ref: ActorRef) -> tuple[Device, ...]:
        """Those of the devices that have, or had, a connection."""
        return tuple(device for device in self.chosen(ref) if device.connection is not None)


async def play(context: Context, scenario: Scenario) -> None:
    """Run a scenario from connecting its actors to the last frame that came late."""
    this = Play(context, scenario)
    if any(isinstance(step, Restart) for step in walk(scenario.steps)):
        launched_target()  # before anything is done in vain
    context.about = about(scenario)
    for spec in scenario.actors.values():
        context.user(spec.name, spec.devices, legacy=spec.legacy)
    context.scope = Scope(context.scope.seed, roots(context), scenario.vars)
    try:
        for spec in scenario.actors.values():
            for name in spec.connect:
                await context.users[spec.name].devices[name].connect()
        await steps(this, scenario.steps)
    except CaseStop:
        return
    for watch in this.watches.values():
        report(context, watch, unwanted(watch), late=True)
    with contextlib.suppress(CaseStop):
        await control_silence(this)


def about(scenario: Scenario) -> frozenset[str]:
    """Ambient types that the scenario does not pass over: those it lists, and those it expects."""
    expected = {step.frame["type"] for step in walk(scenario.steps) if isinstance(step, Expect)}
    return scenario.about | expected


def roots(context: Context) -> dict[str, Any]:
    """What references to actors, limits and times mean in this case."""
    target = context.env.target
    users = {
        user.name: {"id": user.id, **{name: {"id": device.id} for name, device in user.devices.items()}}
        for user in context.users.values()
    }
    return {**users, "limits": dict(target.limits), "timing": dict(target.timing)}


async def steps(this: Play, todo: tuple[Step, ...]) -> None:
    """Run steps one after the other.

    Raises:
        CaseStop: one that must succeed did not.
    """
    for step in todo:
        this.context.step = step.place.pointer
        await _step(this, step)


async def _step(this: Play, step: Step) -> None:
    context = this.context
    match step:
        case Send():
            await _send(this, step)
        case Expect():
            await awaiting.expect(this, step)
        case ExpectClose():
            await awaiting.expect_close(this, step)
        case Nothing():
            await nothing(this, step)
        case Connect(refused=True):
            await _refused(this, step)
        case Connect():
            for device in this.chosen(step.who):
                await _connect(context, device, step)
            context.prove(step.req, str(step.who))
        case Drop():
            await _drop(this, step)
        case Restart():
            await _restart(this, step)
        case Control():
            arguments = context.scope.fill(step.arguments)
            this.arranged.add(str(arguments.get("device_id")))
            result = await control(context, step.operation, arguments)
            if step.name is not None:
                context.scope.given[step.name] = result
        case Advance():
            await advance(context, float(context.scope.fill(step.seconds)))
        case Unordered():
            await awaiting.unordered(this, step)
        case AnyOf():
            branch = await alternatives.choose(this, step)
            await steps(this, branch)
        case Repeat():
            for number in range(1, step.n + 1):
                if step.name is not None:
                    context.scope.given[step.name] = number
                await steps(this, step.steps)


async def _send(this: Play, step: Send) -> None:
    context = this.context
    device = this.device(step.who)
    await closing.go_on(this, device)
    device.acted = True
    connection = device.live
    data = step.data if step.raw is None else context.scope.fill(step.raw).encode()
    frame = context.scope.fill(step.frame) if data is None else None
    try:
        closing.transmit(this, device, closing.Sent(frame, data, step.invalid))
    except ConnectionEnded as ended:
        # Where a `none` step has said already that the connection ended, it need not be said again.
        if not any(not outcome.ok and outcome.actual == connection.ended for outcome in context.outcomes):
            context.fail(
                (), f"{device.label} cannot send: {ended}", expected=OPEN_CONNECTION, actor=device.label
            )
        raise CaseStop from None


async def nothing(this: Play, step: Nothing) -> None:
    """The `none` step: fence, look, and watch from now on."""
    context = this.context
    everybody = devices(context) if step.everybody else ()
    named = [device for ref in step.whom for device in this.chosen(ref)]
    asked = [d for d in dict.fromkeys((*named, *everybody)) if d.connection is not None]
    await fence(context, asked)
    allow = tuple(context.scope.fill(pattern) for pattern in step.allow)
    clean = True
    for device in asked:
        connection = device.live
        watch = Watch(device, connection, allow, step.req, step.place.pointer)
        this.watches[id(connection)] = watch
        awaiting.settle(connection)
        found = unwanted(watch)
        report(context, watch, found, late=False)
        if not connection.alive and connection.close_code is not None and not connection.accounted:
            clean = await closing.go_on(this, device) and clean
            if device.connection is connection:
                _uncalled_for(this, device, step.req if step.open else ())
        clean = clean and not found
    if clean:
        context.prove(step.req)


def _uncalled_for(this: Play, device: Device, req: tuple[str, ...]) -> None:
    """Say that a connection has ended; `req`: what that breaks, where the `none` step is about it."""
    ended = device.live.ended
    this.context.fail(
        req or (closing.USABLE if closing.closed_after_violation(this, device) else ()),
        f"{device.label}: {ended}, which nothing had called for",
        expected=OPEN_CONNECTION,
        actual=ended,
        actor=device.label,
    )


async def _refused(this: Play, step: Connect) -> None:
    context = this.context
    for device in this.chosen(step.who):
        carrier = step.carrier or context.env.carrier
        shown = present(context.env, await device.obtain(), carrier, legacy=device.user.legacy)
        refusal = await tried(context, shown, device.label, req=step.req)
        if not refusal.refused:
            context.fail(
                step.req,
                f"{device.label} must be refused, but: {refusal.said}",
                expected=PERMITTED,
                actual=refusal.error or refusal.said,
                actor=device.label,
            )
            raise CaseStop
        judge_form(context, refusal, f"{device.label}, who must be refused", device.label)
        if refusal.form == "bare-close":
            context.fail(
                step.req,
                f"{device.label} was refused by a bare close, which tells a client nothing",
                expected=PERMITTED,
                actual=refusal.said,
                soft=True,
                actor=device.label,
            )
        elif refusal.form != "cut":
            context.prove(step.req, device.label)


async def _connect(context: Context, device: Device, step: Connect) -> None:
    if step.overlap:
        await connect_again(context, device, step.carrier, step.req)
    elif step.brief:
        try:
            await device.dial(step.carrier)
        except DialError as error:
            context.fail_dial(error, step.req, device.label)
            raise CaseStop from None
    else:
        await device.connect(step.carrier, step.req)


async def connect_again(
    context: Context, device: Device, carrier: str | None = None, req: tuple[str, ...] = ()
) -> None:
    """Open a second connection of a device, and close the first, if that has not been done by then.

    Raises:
        CaseStop: the second one is not served; that is said as an outcome.
    """
    first, device.connection = device.live, None
    connection = await device.connect(carrier, req)
    await first.close(context.env.waits.reply)
    connection.inbox[:0] = first.inbox
    first.inbox.clear()


async def _restart(this: Play, step: Restart) -> None:
    context, server = this.context, launched_target()
    if step.how == "stop":
        ask_to_stop(context, server)
        await settled(context, server)
    await restart(context, server, "SIGKILL, and a new start" if step.how == "kill" else "a new start")
    for device in devices(context):
        if device.connection is not None:
            device.connection.leave()
            device.connection = None


async def _drop(this: Play, step: Drop) -> None:
    for device in this.connected(step.who):
        if step.abort:
            device.live.abort()
        else:
            await device.live.close(this.context.env.waits.reply)
        device.connection = None
