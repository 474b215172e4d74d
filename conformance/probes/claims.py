"""What else tokens hold: claims that stand twice, that are not known, or huge (source: Authentication)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from relaykit.conformance import forging
from relaykit.conformance.context import Context, Device, present
from relaykit.conformance.refusal import FORM, attempt, judge_form, refused, tried
from relaykit.conformance.registry import probe
from relaykit.conformance.values import fresh_uuid
from relaykit.conformance.wire import DialError

_LARGE = 4000
"""Letters of a claim: a token of so much fits into what servers commonly take for a header, 8 KiB."""
_HUGE = 60_000
"""Letters of a claim that goes beyond that."""


def _twins(context: Context) -> Iterator[tuple[str, Callable[[dict[str, Any]], Any]]]:
    """Claims, each with a second value that would be as good as the first."""
    yield "sub", lambda _: fresh_uuid(context.rng)
    yield "device_id", lambda _: fresh_uuid(context.rng)
    yield "exp", lambda claims: claims["exp"] - 600


@probe(
    "token-claim-twice",
    title="A token that names a claim twice is refused",
    area="authentication",
    requirements=("AUTH-15",),
    catches="A server that reads one user, device or expiry where another part of the system reads another.",
    forges=True,
)
async def claim_twice(context: Context) -> None:
    device = context.device("alice")
    await device.connect()
    claims = forging.claims(context, device)
    honest = json.dumps(claims)
    for name, other in _twins(context):
        doubled = f'{honest[:-1]}, "{name}": {json.dumps(other(claims))}}}'
        await refused(context, device, forging.signed(context, doubled), f"{name} twice", "AUTH-15")


async def _served(context: Context, device: Device, what: str, claims: dict[str, Any]) -> None:
    """A token with these claims besides must open a session all the same."""
    context.step = what
    try:
        connection = await device.dial(token=device.token(claims=claims))
    except DialError as error:
        context.fail_dial(error, ("AUTH-16",), device.label)
        return
    if await connection.beat(context.env.waits.reply):
        context.prove(("AUTH-16",))
        return
    said = f"{what}: {connection.ended or 'not served'}"
    context.fail(("AUTH-16",), said, expected="a session", actual=connection.ended)


@probe(
    "token-unknown-claims",
    title="Claims that nobody knows do not stand in the way",
    area="authentication",
    requirements=("AUTH-16",),
    catches="A server that breaks when its issuer adds a claim.",
    forges=True,
)
async def unknown_claims(context: Context) -> None:
    more = {"name": "Alice", "roles": ["user"], "x": {"deep": [1, None]}}
    await _served(context, context.device("alice"), "further claims", more)


def _enormous() -> Iterator[tuple[str, str, float]]:
    """Times that no clock shows: beyond 64 bits, and (10^400) beyond every floating-point number."""
    for what, number in (("10^18", 10**18), ("10^300", 10**300), ("1e300", 1e300), ("10^400", 10**400)):
        yield "exp", what, number
    for claim, what, number in (("exp", "-10^300", -(10**300)), ("exp", "-10^400", -(10**400))):
        yield claim, what, number
    yield "nbf", "10^400", 10**400


@probe(
    "token-large-claims",
    title="A token is served though an unknown claim makes it large, and one that is huge falls nobody over",
    area="authentication",
    requirements=("AUTH-16", "AUTH-10", *FORM),
    catches="A server with a narrow buffer for tokens, or one that a token of enormous values brings down.",
    forges=True,
)
async def large_claims(context: Context) -> None:
    device = context.device("alice")
    await _served(context, device, f"an unknown claim of {_LARGE:,} letters", {"roles": "r" * _LARGE})
    honest = forging.claims(context, device)
    long = forging.signed(context, {**honest, "sub": "a" * _LARGE})
    await refused(context, device, long, f"a sub of {_LARGE:,} letters", "AUTH-10")
    await _no_session(
        context, device, f"a device_id of {_HUGE:,} letters", {**honest, "device_id": "a" * _HUGE}
    )
    for claim, what, number in _enormous():
        await _no_server_error(context, device, f"an {claim} of {what}", {**honest, claim: number})
    context.step = "an honest token after all"
    await device.connect(req=("AUTH-16",))


@probe(
    "token-unknown-kid",
    title="A token whose kid names no key that the server has is served or refused, and falls nobody over",
    area="authentication",
    requirements=FORM,
    catches="A server that looks a key up by kid, and answers 500 where there is none, or not at all.",
    forges=True,
)
async def unknown_kid(context: Context) -> None:
    device = context.device("alice")
    await (await device.connect()).close(context.env.waits.reply)
    honest = forging.claims(context, device)
    for what, kid in (
        ("a kid that nobody knows", fresh_uuid(context.rng)),
        ("an empty kid", ""),
        (f"a kid of {_LARGE:,} letters", "k" * _LARGE),
    ):
        await _no_server_error(context, device, what, honest, {"kid": kid})
    context.step = "an honest token after all"
    await device.connect()


async def _no_session(context: Context, device: Device, what: str, claims: dict[str, Any]) -> None:
    """Beyond what a server reads of a request it may answer anything, or nothing; but not serve it."""
    context.step = what
    shown = present(context.env, forging.signed(context, claims), context.env.carrier)
    try:
        outcome = await attempt(context, shown, device.label, what)
    except DialError:
        return  # whether the target is still there, the next token shows
    if outcome.refused or outcome.form == "no-answer":
        context.prove(("AUTH-10",), device.label)
    else:
        said = f"{what}: {outcome.said}"
        context.fail(("AUTH-10",), said, expected="no session", actual=outcome.said, actor=device.label)


async def _no_server_error(
    context: Context,
    device: Device,
    what: str,
    claims: dict[str, Any],
    headers: dict[str, Any] | None = None,
) -> None:
    """Such a token may be served or refused; but a refusal has a form of its own."""
    context.step = what
    shown = present(context.env, forging.signed(context, claims, **(headers or {})), context.env.carrier)
    outcome = await tried(context, shown, device.label, what)
    judge_form(context, outcome, what, device.label)
