"""Tokens that expire while they are in use, and keys that are rotated (source: Message Authentication)."""

from __future__ import annotations

from relaykit.conformance.arranging import advance
from relaykit.conformance.codes import AUTH_FAILED, an_error
from relaykit.conformance.context import Context, NotApplicableError
from relaykit.conformance.registry import probe
from relaykit.conformance.talk import end_of, expect_frame
from relaykit.conformance.wire import DialError

_LIFETIME_S = 20
"""Short enough that no server finds the connection too silent before the token expires."""


@probe(
    "token-expires-in-session",
    title="A connection whose token expires is closed within the clock leeway, and told why",
    area="authentication",
    requirements=("AUTH-21", "AUTH-22"),
    catches="A server that looks at exp at the door only, so that a stolen connection lasts for ever.",
    operations=("advance_clock",),
    exclusive=True,
    frames=("error",),
)
async def expires_in_session(context: Context) -> None:
    device = context.device("alice")
    try:
        connection = await device.dial(token=await device.lasting(_LIFETIME_S, exactly=True))
    except DialError as error:
        context.fail_dial(error, (), device.label)
        return
    # To where the leeway ends, but for the time that the suite itself then waits.
    leeway = context.env.target.timing["clock_leeway_s"]
    seconds = _LIFETIME_S + max(1.0, leeway - context.env.waits.reply)
    await advance(context, seconds)
    if not await end_of(context, connection):
        context.fail(
            ("AUTH-21",),
            "the token has expired, and the connection is still served",
            expected="the connection is closed",
            actor=device.label,
        )
        return
    context.prove(("AUTH-21",), device.label)
    pattern = an_error(AUTH_FAILED, reconnect=True)
    await expect_frame(context, connection, pattern, ("AUTH-22",), skip=True)
    context.prove(("AUTH-22",), device.label)


@probe(
    "key-rotation",
    title="Tokens of the previous and of the current key both open sessions",
    area="authentication",
    requirements=("AUTH-23", "AUTH-14"),
    catches="A server that knows one key at a time, so that a rotation logs everybody out.",
    forges=True,
    where="The target file states the previous key (tokens.previous).",
)
async def rotation(context: Context) -> None:
    previous = context.env.target.previous
    if previous is None:
        raise NotApplicableError("the target file states no previous key (tokens.previous)")
    for what, options in (
        ("the current key", {}),
        (
            "the previous key",
            {
                "key": previous.key,
                "algorithm": previous.algorithm,
                "claims": dict(previous.claims),
                "headers": dict(previous.headers) or None,
            },
        ),
    ):
        context.step = what
        device = context.device(what.rpartition(" ")[0].rpartition(" ")[2])
        try:
            connection = await device.dial(token=device.token(**options))
        except DialError as error:
            context.fail_dial(error, ("AUTH-23", "AUTH-14"), device.label)
            return
        if context.env.fences and not await connection.beat(context.env.waits.reply):
            said = connection.ended or "its heartbeat was not answered"
            context.fail(
                ("AUTH-23", "AUTH-14"), f"a token of {what} opens the socket, but {said}", actor=device.label
            )
            return
    context.prove(("AUTH-23", "AUTH-14"))
