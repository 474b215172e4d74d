"""The people of a case: users, their devices, and how these connect."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import jwt

from relaykit.conformance.issuing import TokenError
from relaykit.conformance.presenting import present
from relaykit.conformance.stops import CaseStop, UntestableError
from relaykit.conformance.templates import LIFETIME
from relaykit.conformance.token_spec import DEFAULT_LIFETIME_S, Minting
from relaykit.conformance.values import fresh_uuid
from relaykit.conformance.wire import Connection, DialError

if TYPE_CHECKING:
    from relaykit.conformance.context import Context


class Device:
    """One device of a user of a case, and its connection, if it has one."""

    def __init__(self, context: Context, user: User, name: str, device_id: str) -> None:
        self._context = context
        self.user = user
        self.name = name
        self.id = device_id
        self.connection: Connection | None = None
        self.acted = False
        self._given: tuple[tuple[float, int], str] | None = None

    @property
    def label(self) -> str:
        return self.user.name if len(self.user.devices) == 1 else f"{self.user.name}.{self.name}"

    @property
    def live(self) -> Connection:
        """The connection.

        Raises:
            CaseStop: there is none; that is said as an outcome.
        """
        if self.connection is None:
            self._context.fail((), f"{self.label} has no connection", blame="kit", actor=self.label)
            raise CaseStop
        return self.connection

    def token(self, **options: Any) -> str:
        """A token for this device; the options are those of `Context.mint`.

        Where the suite does not sign tokens itself, it is the one that `obtain` got.

        Raises:
            UntestableError: there is none, or it would have to be signed.
        """
        if options or isinstance(self._context.env.target.tokens, Minting):
            return self._context.mint(self.user.id, self.id, **options)
        if self._given is None:
            raise UntestableError(f"no token was obtained for {self.label}")
        return self._given[1]

    async def obtain(self, lifetime_s: int = DEFAULT_LIFETIME_S) -> str:
        """A valid token for this device, fetched if the suite does not sign tokens itself.

        Args:
            lifetime_s: for how many seconds, where the target file has them asked for.

        Raises:
            CaseStop: none was given out; that is said as an outcome.
            UntestableError: the fixed tokens have none for it.
        """
        try:
            return await self.issued(lifetime_s)
        except TokenError as error:
            message = f"no token was given out for {self.label}: {error}"
            self._context.fail((), message, blame="environment", actor=self.label)
            raise CaseStop from None

    async def issued(self, lifetime_s: int = DEFAULT_LIFETIME_S) -> str:
        """As `obtain`, but raises `TokenError`."""
        env = self._context.env
        if isinstance(env.target.tokens, Minting):
            return self.token()
        # One from before the target's clock was moved may have expired.
        key = env.clock_offset_s, lifetime_s
        if self._given is None or self._given[0] != key:
            self._given = key, await env.issuer.token(self.user.id, self.id, lifetime_s)
        return self._given[1]

    async def lasting(self, seconds: int, *, exactly: bool = False) -> str:
        """A valid token that lasts so long.

        Args:
            exactly: and no longer.

        Raises:
            CaseStop, UntestableError: see `obtain`; nor can one that lasts so long be had.
        """
        env = self._context.env
        if isinstance(env.target.tokens, Minting):
            return self.token(lifetime_s=seconds)
        token = await self.obtain(seconds)
        if env.issuer.asks_for_lifetime or (not exactly and _expiry(token) - env.now() >= seconds):
            return token
        raise UntestableError(
            f"needs a token that is valid for {seconds} s: with {{{LIFETIME}}} in tokens.fetch the suite can "
            "ask for one, and with tokens.mint it signs one itself"
        )

    async def dial(self, carrier: str | None = None, token: str | None = None) -> Connection:
        """Open a connection without judging what comes of it. An older one of the device is closed first.

        Raises:
            DialError: none came about.
        """
        context = self._context
        if self.connection is not None and self.connection.alive:
            await self.connection.close(context.env.waits.reply)
        carrier = carrier or context.env.carrier
        shown = present(context.env, token or await self.obtain(), carrier, legacy=self.user.legacy)
        context.recorder.transcript.event(self.label, "c2s", f"connects, token as {carrier}")
        self.connection = await context.dial(shown, self.label)
        return self.connection

    async def connect(self, carrier: str | None = None, req: tuple[str, ...] = ()) -> Connection:
        """Connect, as a valid token must let it.

        Raises:
            CaseStop: it does not; that is said as an outcome.
        """
        context = self._context
        try:
            connection = await self.dial(carrier)
        except DialError as error:
            context.fail_dial(error, req, self.label)
            raise CaseStop from None
        # Its own heartbeat shows that the target serves it: what is sent to it from now on must reach it.
        if context.env.fences and not await connection.beat(context.env.waits.reply):
            came = [arrived.frame for arrived in connection.inbox]
            why = connection.ended or "its first heartbeat was not answered"
            context.fail(
                req if connection.ended else (*req, "KEEP-03"),
                f"{self.label} connected with a valid token, but {why}",
                expected={"type": "heartbeat_ack"},
                actual=came[-1] if came else connection.ended,
                actor=self.label,
            )
            raise CaseStop
        return connection


class User:
    """An actor: a fresh user with its devices."""

    def __init__(self, context: Context, name: str, devices: Iterable[str], legacy: bool) -> None:
        self.name = name
        self.legacy = legacy
        self.devices: dict[str, Device] = {}
        names = tuple(devices)
        if context.env.issuer.fixed:
            identity = context.env.issuer.lease(len(names))
            context.leased.append(identity)
            self.id, ids = identity.user_id, tuple(identity.devices)
        else:
            self.id = fresh_uuid(context.rng)
            ids = tuple(fresh_uuid(context.rng) for _ in names)
        for device, device_id in zip(names, ids, strict=False):
            self.devices[device] = Device(context, self, device, device_id)


def _expiry(token: str) -> float:
    """The Unix time at which a token expires, as it says itself; 0 if it does not."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.PyJWTError:
        return 0.0
    expires = claims.get("exp")
    return float(expires) if isinstance(expires, (int, float)) else 0.0
