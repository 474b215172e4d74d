"""Carries out the steps of a session on a real server, and says what the model did not permit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from relaykit.conformance.arranging import advance, control
from relaykit.conformance.context import CaseStop, Context, Device, Environment, UntestableError
from relaykit.conformance.fence import quiet
from relaykit.conformance.grammar import Match, VarSpec
from relaykit.conformance.matching import ambient_types
from relaykit.conformance.pacing import Budget
from relaykit.conformance.presenting import present
from relaykit.conformance.record import ShapeBook
from relaykit.conformance.refusal import attempt
from relaykit.conformance.reproduce import refer
from relaykit.conformance.results import Case
from relaykit.conformance.sessions import devices, frames, hardship, judging, model, problems
from relaykit.conformance.sessions.crowding import crowd, see_limit
from relaykit.conformance.sessions.operations import operation_of
from relaykit.conformance.sessions.problems import Problem, SessionOver
from relaykit.conformance.sessions.state import DEVICES, EXPIRY_S, USERS, Branch, Rules, State, Step
from relaykit.conformance.steps import connect_again, roots
from relaykit.conformance.values import Scope, fresh_uuid
from relaykit.conformance.wire import ConnectionEnded, DialError

_REFUSED = {"connect": ("AUTH-14",), "connect_again": ("CONN-13", "CONN-14")}
"""Steps that the target must permit, and the requirements that it breaks if it does not."""
_LONGEST_S = 10.0
"""A longer wait after a flood is no part of a session."""
_RESULTS = {"create_group": "group_id", "conversation": "conversation_id", "ask": "request_id"}
"""Control steps whose result later steps refer to, and its identifier."""


@dataclass(frozen=True, slots=True)
class Done:
    """A step that was carried out, the branch that was taken, and what came of it."""

    step: Step
    branch: Branch
    came: Mapping[str, Sequence[Any]]


_CASE = Case(
    id="session",
    title="A fuzzed session",
    area="messages",
    kind="probe",
    run=lambda _: _nothing(),
)


async def _nothing() -> None:
    return


class Session:
    """One session: fresh users, the model's state, and what may still come.

    Args:
        name: makes its users others than those of any other session.
        patience_s: how long to wait for what must come.
        restart: kills the target, and starts it again.
    """

    def __init__(
        self,
        env: Environment,
        rules: Rules,
        name: str,
        patience_s: float,
        restart: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._restart = restart
        env.shapes = ShapeBook()
        self.env = env
        self.state = State(rules)
        self.log: list[Done] = []
        self.patience_s = patience_s
        self.slowest_s = 0.0
        self._context = context = Context(env, _CASE)
        context.about = ambient_types(env.catalogue) - {"ping"}
        seed = f"{env.seed}/{name}"
        context.rng.seed(seed)
        for user, names in USERS.items():
            context.user(user, names)
        variables = {key: VarSpec(key, kind, None) for key, kind in frames.VARS.items()}
        context.scope = Scope(seed, roots(context), variables)
        self._pool: list[judging.Item] = []
        self._words = problems.Words(context.scope.fill, self._symbolic)
        self._budgets: dict[str, Budget] = {}
        self._known: dict[str, str] = {}
        for name_, user_ in context.users.items():
            self._know(f"{name_}.id")
            for device in user_.devices:
                self._know(f"{name_}.{device}.id")
        for name_ in ("u[1]", "x"):
            self._know(name_)

    def close(self) -> None:
        """Let go of all connections."""
        self._context.leave()

    async def perform(self, step: Step) -> Problem | None:
        """Carry out a step that is possible, and judge what comes of it.

        Raises:
            SessionOver: it cannot be judged; `LimitMet`, since the target has a limit that nobody stated.
        """
        self._name(step)
        permitted = model.branches(self.state, step)
        behind: dict[str, list[Any]] = {}
        leaving = self._leaving(step)
        try:
            broken = await self._act(step, behind) or await self._fence(step, leaving)
        except CaseStop:
            said, actual = self._context.outcomes[-1].message, self._context.outcomes[-1].actual
            if step.move in _REFUSED:
                self._see_limit(step.who, actual)
                return Problem("refused", step.who, _REFUSED[step.move], said)
            raise SessionOver(said) from None
        except UntestableError as reason:
            raise SessionOver(str(reason)) from None
        except ConnectionEnded:
            broken = self._ended(step, step.who)
        if broken is not None:
            return broken
        match = await self._settle(step, permitted, behind)
        if leaving is not None:
            broken = await self._see_off(step, leaving)
        elif step.move == "flood":
            broken = await self._recover(step, behind)
            match = await self._settle(step, permitted, behind)  # only now all of it was handled
        for device in self._live():
            self._inbox(device).clear()
        came = {device: [self._symbolic(f) for f in found] for device, found in behind.items() if found}
        model.take(self.state, step, match.branch)
        problem = problems.find(self.state, step, match, self._pool, self._words)
        if problem is not None and problem.kind == "missing" and len(permitted) > 1:
            problem = replace(problem, permitted=tuple(permitted))
        self._pool = match.open_
        self.log.append(Done(step, match.branch, came))
        misshapen = problems.misshapen(self.env.shapes, self._symbolic)
        if problem is not None and misshapen is not None and problems.is_missed_as(problem, misshapen):
            return misshapen
        return problem or broken or misshapen

    async def finish(self) -> Problem | None:
        """After the last step: whatever comes late, within the quiet window."""
        await quiet(self.env)
        arrived = {device: self._frames(device) for device in self._live()}
        match = judging.fit(Branch("end"), self._pool, arrived, self._context.scope.fill)
        return problems.find(self.state, None, match, self._pool, self._words) or problems.misshapen(
            self.env.shapes, self._symbolic
        )

    async def linger(self) -> Problem | None:
        """What else comes of the last step, within the quiet window; it is added to what came of it."""
        await quiet(self.env)
        arrived = {device: self._frames(device) for device in self._live()}
        match = judging.fit(Branch("linger"), self._pool, arrived, self._context.scope.fill)
        for device in self._live():
            self._inbox(device).clear()
        self._pool = match.open_
        done = self.log[-1]
        came = {device: list(found) for device, found in done.came.items()}
        for device, found in arrived.items():
            if found:
                came.setdefault(device, []).extend(self._symbolic(frame) for frame in found)
        self.log[-1] = replace(done, came=came)
        return problems.find(self.state, done.step, match, self._pool, self._words)

    # Acting.

    def _device(self, name: str) -> Device:
        user, _, device = name.partition(".")
        return self._context.users[user].devices[device]

    def _live(self) -> tuple[str, ...]:
        return tuple(d for d in DEVICES if self._device(d).connection is not None)

    def _inbox(self, device: str) -> list[Any]:
        return self._device(device).live.inbox

    def _frames(self, device: str) -> list[Any]:
        return [arrived.frame for arrived in self._inbox(device)]

    async def _act(self, step: Step, behind: dict[str, list[Any]]) -> Problem | None:
        if step.move in model.CONTROLS:
            await self._control(step)
            return None
        if step.move == "make_legacy":
            self._context.users[step.with_["user"]].legacy = True
            return None
        if step.move == "restart":
            assert self._restart is not None
            await self._restart()
            self.env.clock_offset_s = 0.0
            for name in self._live():
                gone = self._device(name)
                gone.live.leave()
                gone.connection = None
            return None
        if step.move == "expire":
            await advance(self._context, EXPIRY_S + 1)
            return None
        device = self._device(step.who)
        if step.move == "crowd":
            return await crowd(self._context, device.user, step, self.patience_s)
        if step.move in ("connect", "connect_again", "learn"):
            limits = self.env.target.limits
            self._budgets[step.who] = Budget(limits["frames_per_second"], limits["burst"])
        if step.move == "connect":
            await device.connect()
        elif step.move == "connect_again":
            await connect_again(self._context, device)
        elif step.move == "learn":
            try:
                await device.dial()
            except DialError as error:  # then nothing is told, and that is what is judged
                self._see_limit(step.who, str(error))
        elif step.move == "knock":
            return await self._knock(device, step)
        elif step.move == "drop":
            connection = device.live
            if step.with_.get("abort"):
                connection.abort()
            else:
                await connection.close(self.env.waits.reply)
            behind[step.who] = [arrived.frame for arrived in connection.inbox]
            device.connection = None
        else:
            for content in frames.all_sent(step):
                if step.move != "flood":
                    await self._budgets[step.who].spend()
                filled = self._context.scope.fill(content)
                if isinstance(filled, str):
                    device.live.send_text(filled.encode())
                else:
                    device.live.send(filled, valid=step.move != "invalid")
        return None

    def _see_limit(self, device: str, actual: Any) -> None:
        cut = any(done.step.move == "drop" and done.step.with_.get("abort") for done in self.log)
        see_limit(self.env.target, self.state, device, actual, cut=cut)

    async def _knock(self, device: Device, step: Step) -> Problem | None:
        """Try to connect a device that must be refused."""
        env, token = self.env, await device.obtain()
        shown = present(env, token, env.carrier, legacy=device.user.legacy)
        try:
            refusal = await attempt(self._context, shown, device.label)
        except DialError as error:
            raise SessionOver(str(error)) from None
        if refusal.refused:
            return None
        said = f"{step.who} must be refused, but: {refusal.said}"
        return Problem("served", step.who, devices.shut_out(self.state, step.who), said)

    def _leaving(self, step: Step) -> str | None:
        """The device whose connection ends with a step: a decision or a revocation ends it."""
        device = step.with_.get("device") if step.move in ("decide", "expire", "revoke") else None
        if step.move == "learn":
            return step.who
        return device if device in self._live() else None

    async def _see_off(self, step: Step, name: str) -> Problem | None:
        """Have a connection end: by the device itself, or by the target that must end it."""
        device = self._device(name)
        connection, device.connection = device.connection, None
        if connection is None:
            return None
        if step.move != "revoke":
            await connection.close(self.env.waits.reply)
            return None
        try:
            await asyncio.wait_for(connection.gone.wait(), self.patience_s)
        except TimeoutError:
            connection.leave()
            return Problem("open", name, ("DEV-29",), f"{name} was revoked, and its connection stays open")
        return None

    async def _recover(self, step: Step, behind: Mapping[str, Sequence[Any]]) -> Problem | None:
        """After a flood, and the time that the target asks for, it serves the connection again."""
        if not self._device(step.who).live.alive:
            raise SessionOver("the target ended a connection after a flood, as it may")
        payloads = [frame.get("payload") for frame in behind.get(step.who, ()) if isinstance(frame, dict)]
        waits = [p.get("retry_after") for p in payloads if isinstance(p, dict) and "retry_after" in p]
        wait = max((float(w) for w in waits if isinstance(w, int | float)), default=1.0)
        if wait > _LONGEST_S:
            raise SessionOver(f"after a flood the target asks for {wait:g} s")
        self._budgets[step.who].exhaust(wait)
        broken = await self._beat(step, step.who)
        return replace(broken, req=("LIM-14", "LIM-12")) if broken is not None else None

    async def _control(self, step: Step) -> None:
        operation, arguments, name = operation_of(step)
        result = await control(self._context, operation, self._context.scope.fill(arguments))
        if name is not None:
            self._context.scope.given[name] = result
            self._know(f"{name}.{_RESULTS[step.move]}")

    # Waiting.

    async def _fence(self, step: Step, leaving: str | None) -> Problem | None:
        """Everybody gets a heartbeat answered, whoever acted first."""
        if not self.env.fences:
            await quiet(self.env)
            return None
        if step.who in self._live() and step.move not in ("connect", "learn", "flood"):
            broken = await self._beat(step, step.who)
            if broken is not None:
                return broken
        others = [device for device in self._live() if device not in (step.who, leaving)]
        results = await asyncio.gather(*(self._beat(step, device) for device in others))
        return next((problem for problem in results if problem is not None), None)

    async def _beat(self, step: Step, device: str) -> Problem | None:
        connection = self._device(device).live
        await self._budgets[device].spend()
        if await connection.beat(self.patience_s):
            return None
        if not hardship.flooded(self.state, device):
            problems.not_limited(connection.frames)
        if not connection.alive:
            return self._ended(step, device)
        said = f"{device} gets no answer to a heartbeat"
        return Problem("hang", device, ("KEEP-03",), said, ({"type": "heartbeat_ack"},))

    def _ended(self, step: Step, device: str) -> Problem:
        return problems.ended(self.state, step, device, self._device(device).connection, self.env.catalogue)

    async def _settle(
        self, step: Step, permitted: Sequence[Branch], behind: dict[str, list[Any]]
    ) -> judging.Match:
        """Wait until what came fits one of the branches, but no longer than patience lasts."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        # Where nothing is one of the choices, the others get some time to show.
        silent = started + (self.env.waits.quiet if len(permitted) > 1 else 0)
        while True:
            arrived = {**behind, **{device: self._frames(device) for device in self._live()}}
            self._learn(step, arrived)
            match = judging.best(permitted, self._pool, arrived, self._context.scope.fill)
            now = loop.time()
            undecided = not match.branch.must and now < silent and len(permitted) > 1
            if match.complete and not undecided:
                self.slowest_s = max(self.slowest_s, now - started)
                break
            until = silent if match.complete else started + self.patience_s
            if not await self._context.wait(until) and loop.time() >= until:
                arrived = {**behind, **{device: self._frames(device) for device in self._live()}}
                self._learn(step, arrived)
                match = judging.best(permitted, self._pool, arrived, self._context.scope.fill)
                break
        behind.update(arrived)
        return match

    # Names.

    def _know(self, reference: str) -> None:
        self._known[str(self._context.scope.lookup(reference))] = reference

    def _name(self, step: Step) -> None:
        """Note the identifiers that a step makes up."""
        numbers = [step.with_[key] for key in ("m", "c") if step.with_.get(key)]
        for number in (*numbers, *step.with_.get("ms", ())):
            if number < 0:
                # The target's acknowledgment tells it; where the message was never taken, nobody knows it.
                name, given = frames.named_by_target(number), self._context.scope.given
                unknown = fresh_uuid(self._context.rng)
                if isinstance(given.setdefault(name, Match("^")), Match) and step.move != "write_old":
                    given[name] = unknown
            elif number > 0:
                self._know(f"m[{number}]")
                self._know(f"c[{number}]")

    def _learn(self, step: Step, arrived: Mapping[str, Sequence[Any]]) -> None:
        """Note the name that the target gives to a message that came to it without one."""
        if step.move != "write_old":
            return
        name = frames.named_by_target(step.with_["m"])
        acks = (f for f in arrived.get(step.who, ()) if isinstance(f, dict) and f.get("type") == "sent_ack")
        found = next((ack.get("message_id") for ack in acks), None)
        if isinstance(found, str):
            self._context.scope.given[name] = found
            self._know(name)

    def _symbolic(self, frame: Any) -> Any:
        return refer(frame, self._known)
