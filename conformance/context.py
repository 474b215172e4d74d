"""What a case works with: fresh users, their devices and connections, and a place for findings."""

from __future__ import annotations

import asyncio
import random
import ssl
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from websockets.extensions import ClientExtensionFactory

from relaykit import tokens
from relaykit.conformance.dialect import Interpreter, Peer
from relaykit.conformance.dialing import dial
from relaykit.conformance.endpoints import at_node
from relaykit.conformance.environment import Environment as Environment
from relaykit.conformance.grammar import SINGLE_DEVICE
from relaykit.conformance.matching import ambient_types
from relaykit.conformance.pacing import FramePace
from relaykit.conformance.people import Device as Device
from relaykit.conformance.people import User as User
from relaykit.conformance.presenting import Presentation as Presentation
from relaykit.conformance.presenting import dressed
from relaykit.conformance.presenting import present as present
from relaykit.conformance.record import Recorder
from relaykit.conformance.restraint import Restraint
from relaykit.conformance.results import Blame, Case, Outcome
from relaykit.conformance.stops import CaseStop as CaseStop
from relaykit.conformance.stops import NotApplicableError as NotApplicableError
from relaykit.conformance.stops import UntestableError as UntestableError
from relaykit.conformance.token_spec import Identity
from relaykit.conformance.values import Scope
from relaykit.conformance.wire import Connection, DialError
from relaykit.conformance.wire_protocol import CUT


class Context:
    """One case while it runs."""

    def __init__(self, env: Environment, case: Case, attempt: int = 0) -> None:
        self.env = env
        self.case = case
        seed = f"{env.seed}/{case.id}" + (f"/{attempt}" if attempt else "")
        self.rng = random.Random(seed)
        self.doubts = False
        self.recorder = Recorder(env.catalogue, env.shapes, case.id)
        self.users: dict[str, User] = {}
        self.outcomes: list[Outcome] = []
        self.connections: list[Connection] = []
        self.further: list[Connection] = []
        """Those that were opened while their user had another."""
        self.fenced: set[tuple[str, str]] = set()
        """From which user to which messages went that mark a place; see `fence`."""
        self.marks = random.Random(f"{seed}/marks")
        self.leased: list[Identity] = []
        self.restraint: Restraint | None = None
        self.scope = Scope(seed, {}, {})
        self.step = ""
        self.deadline: asyncio.Timeout | None = None
        self._dials = zlib.crc32(f"{env.seed}/{case.id}".encode())  # cases begin at different nodes
        self.about: frozenset[str] = frozenset()
        """Ambient types that the case does not pass over."""

    # Users, tokens and connections.

    def user(self, name: str, devices: Iterable[str] = (SINGLE_DEVICE,), *, legacy: bool = False) -> User:
        """A fresh user, whose ids follow from the run's seed; or one of the target file's, if it lists them.

        Raises:
            UntestableError: it lists too few.
        """
        user = User(self, name, devices, legacy)
        self.users[name] = user
        return user

    def device(self, name: str) -> Device:
        """A fresh user's only device."""
        return self.user(name).devices[SINGLE_DEVICE]

    def mint(self, user_id: str, device_id: str, **options: Any) -> str:
        """A token as the target file says; the options of `relaykit.tokens.mint` go before."""
        now = options.pop("now", self.env.now())
        minting = self.env.target.minting
        claims = {**minting.claims_of(user_id, device_id, now), **(options.pop("claims", None) or {})}
        settings: dict[str, Any] = {
            "key": minting.key,
            "algorithm": minting.algorithm,
            "lifetime_s": minting.lifetime_s,
            "headers": minting.headers or None,
            "now": now,
            **options,
        }
        return tokens.mint(user_id=user_id, device_id=device_id, claims=claims, **settings)

    async def dial(
        self,
        shown: Presentation,
        label: str,
        *,
        extensions: Sequence[ClientExtensionFactory] = (),
        tls: ssl.SSLContext | None = None,
        node: int | None = None,
    ) -> Connection:
        """Open a connection with a handshake as it is given.

        Args:
            tls: in place of the target's settings.
            node: which of several; by default each connection of a case goes to the next one.

        Raises:
            DialError: none came about.
            UntestableError: the target permits no more of them; see `Restraint`.
        """
        user = self._whose(label)[0]
        if self.restraint is not None and user:
            self.restraint.connection(self._open(user))
        self.allow(await self.env.pace.turn())
        urls = self.env.target.urls
        self._dials += 1
        url = urls[(self._dials if node is None else node) % len(urls)]
        if len(urls) > 1:
            self.recorder.transcript.event(label, "c2s", f"goes to {url}")
        try:
            connection = await dial(
                at_node(shown.url, urls[0], url),
                self.recorder,
                label,
                headers=self._dressed(shown.headers, label),
                subprotocols=shown.subprotocols,
                extensions=extensions,
                tls=tls or self.env.tls,
                seconds=self.env.waits.connect,
                made=lambda new: self._made(new, shown.token),
            )
        except DialError as error:
            self.doubts = self.doubts or error.kind in ("unreachable", "silent", "closed")
            if self.restraint is not None and user:
                self.restraint.refused(self._open(user, or_cut=True), error.status)
            raise
        if user and self._open(user):
            self.further.append(connection)
        self.connections.append(connection)
        if user and not self.env.issuer.fixed:
            self.env.leavings.users.add(user.lower())
        return connection

    def _made(self, connection: Connection, token: str | None) -> None:
        """Set a connection up, before anything can arrive on it."""
        env = self.env
        connection.passed_over = ambient_types(env.catalogue) - self.about
        connection.answers_ping = "ping" not in self.about
        if self.restraint is not None:
            connection.pace = self.restraint.pace(self.allow)
            connection.asks = partial(self._asked, self.restraint, self._whose(connection.label)[1])
        elif env.target.frames_per_second is not None:
            connection.pace = FramePace(env.target.frames_per_second, self.allow)
        if env.dialect is not None:
            peer = Peer(*self._whose(connection.label), token)
            connection.dialect = Interpreter(env.dialect, peer, self.recorder, connection.label)

    def _open(self, user: str, *, or_cut: bool = False) -> int:
        """How many connections of a user are open, or may be so for the target, which was not told."""
        ended = (None, CUT) if or_cut else (None,)
        return sum(e.ended in ended and self._whose(e.label)[0] == user for e in self.connections)

    def _asked(self, restraint: Restraint, device: str, size: int, frame: Mapping[str, Any] | None) -> None:
        """A connection is about to send something: is that within the target's limits?"""
        restraint.text(size)
        if frame is not None:
            restraint.frame(frame, device, self._devices)

    def _devices(self, user: str) -> tuple[str, ...]:
        """The ids of a user's devices; none for somebody who is not of this case."""
        owners = (each for each in self.users.values() if each.id.lower() == user.lower())
        return tuple(device.id for each in owners for device in each.devices.values())

    def _whose(self, label: str) -> tuple[str, str]:
        """The ids of user and device behind a label; empty for one that a case makes up."""
        for user in self.users.values():
            for device in user.devices.values():
                if device.label == label:
                    return user.id, device.id
        return "", ""

    def _dressed(self, headers: Mapping[str, str], label: str) -> Mapping[str, str]:
        """Headers with what their names stand for in this connection."""
        # A seed by itself, so that what is in a header changes nothing that the case makes up later.
        return dressed(headers, f"{self.env.seed}/{self.case.id}/{self._dials}", *self._whose(label))

    def allow(self, seconds: float) -> None:
        """Let the case take longer, for what waits for the pace that the target wants."""
        when = self.deadline.when() if self.deadline is not None and seconds > 0 else None
        if self.deadline is not None and when is not None and not self.deadline.expired():
            self.deadline.reschedule(when + seconds)

    @property
    def lag(self) -> float:
        """Seconds until all is sent that waits for that pace."""
        return max((connection.lag for connection in self.connections), default=0.0)

    def leave(self) -> None:
        """Close everything that is still open."""
        for connection in self.connections:
            connection.leave()
        self.env.issuer.give_back(self.leased)
        self.leased = []

    # Findings.

    def prove(self, requirements: tuple[str, ...], actor: str = "") -> None:
        """Note that these were shown to be kept."""
        if requirements:
            self._note(Outcome(True, requirements, step=self.step, actor=actor, t_ms=self.now_ms()))

    def fail(
        self,
        requirements: tuple[str, ...],
        message: str,
        *,
        expected: Any = None,
        actual: Any = None,
        blame: Blame | None = None,
        soft: bool = False,
        actor: str = "",
        t_ms: float | None = None,
    ) -> None:
        """Note that these were broken; see `Outcome`. Without `t_ms`, now."""
        self._note(
            Outcome(
                False,
                requirements,
                message,
                expected,
                actual,
                blame,
                soft,
                self.step,
                actor,
                self.now_ms() if t_ms is None else t_ms,
            )
        )

    def fail_dial(self, error: DialError, requirements: tuple[str, ...], label: str) -> None:
        """Note that a handshake that must succeed did not."""
        blame: Blame | None = "environment" if error.kind == "unreachable" else None
        self.fail(
            requirements,
            f"{label} could not connect: {error}",
            expected="101 Switching Protocols",
            actual=str(error),
            blame=blame,
            actor=label,
        )

    def _note(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def now_ms(self) -> float:
        return self.recorder.transcript.now_ms()

    def binding(self, requirements: tuple[str, ...]) -> bool:
        """Whether a step that names these must succeed for the case to go on."""
        known = self.env.catalogue.requirements
        return not requirements or any(known[name].level.startswith("MUST") for name in requirements)

    def stray(self, frame: Any) -> str:
        """A remark on a frame that concerns none of the case's own users, as one of another case does."""
        if not isinstance(frame, dict):
            return ""
        payload = frame.get("payload")
        fields = (frame, payload) if isinstance(payload, dict) else (frame,)
        names = ("sender_id", "user_id", "receiver_id", "target_id", "recipient_id")
        users = {str(part[name]).lower() for part in fields for name in names if part.get(name)}
        own = {user.id.lower() for user in self.users.values()}
        return "" if not users or users & own else " (about users of another case)"

    async def wait(self, until: float) -> bool:
        """Wait until something happens in the case; `until` is a time of the event loop."""
        return await self.recorder.bell.wait(until - asyncio.get_running_loop().time())
