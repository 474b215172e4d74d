"""How a refusal looks to the client; tokens where no server should look for them (source: Authentication)."""

from __future__ import annotations

from collections.abc import Mapping

from relaykit.conformance import forging
from relaykit.conformance.codes import AUTH_FAILED, POLICY, code_of
from relaykit.conformance.context import Context, Presentation, present
from relaykit.conformance.refusal import FORM, PERMITTED, Refusal, judge_form, tried
from relaykit.conformance.registry import probe
from relaykit.conformance.target import CARRIERS


@probe(
    "refusal-form",
    title="A refused client learns why: HTTP 401, or an error auth_failed and a close with 1008",
    area="connection",
    requirements=(*FORM, "CONN-09", "CONN-10", "CONN-11", "CONN-12"),
    catches="A server whose refusals look like a broken network, so that clients try again for ever.",
    forges=True,
    frames=("error",),
)
async def refusal_form(context: Context) -> None:
    device = context.device("alice")
    for what, token in (
        ("no token", None),
        ("a word as token", "token"),
        ("a token with a broken signature", forging.flipped(await device.obtain())),
    ):
        context.step = what
        outcome = await tried(context, present(context.env, token, context.env.carrier), device.label)
        _judge(context, what, outcome)


def _judge(context: Context, what: str, outcome: Refusal) -> None:
    if not judge_form(context, outcome, what):
        return
    said = f"{what}: {outcome.said}"
    match outcome.form:
        case "http":
            _say(context, "CONN-11", outcome.status == 401, said, "HTTP 401")
            # What holds for refusals after opening holds of itself where the door stays shut.
            context.prove(("CONN-09", "CONN-10", "CONN-12"))
        case "error":
            right = code_of(outcome.error) == AUTH_FAILED and outcome.alone
            _say(context, "CONN-09", right, said, "one error auth_failed, and nothing else")
            context.prove(("CONN-10",))
            _say(context, "CONN-12", outcome.close_code == POLICY, said, f"a close with {POLICY}")
        case "bare-close":
            _say(context, "CONN-10", False, said, PERMITTED)
        case "error-open":
            _say(context, "CONN-09", False, said, "a close after the error")
        case _:
            context.fail((), said, expected="a refusal", actual=outcome.said)


def _say(context: Context, requirement: str, kept: bool, said: str, expected: str) -> None:
    if kept:
        context.prove((requirement,))
    else:
        context.fail((requirement,), said, expected=expected, actual=said)


@probe(
    "token-in-other-places",
    title="A token in a cookie, in the path or in a made-up place opens no session",
    area="authentication",
    requirements=("AUTH-01", *FORM),
    catches="A server that finds tokens where browsers send them unasked, or where logs keep them.",
)
async def other_places(context: Context) -> None:
    device = context.device("alice")
    await (await device.connect()).close(context.env.waits.reply)
    for what, shown in _places(context, await device.obtain()).items():
        context.step = what
        outcome = await tried(context, shown, device.label)
        if outcome.form == "session":
            # The source lists three places and forbids no other: worth a word, not a failure.
            message = f"{what} opens a session"
            context.fail(("AUTH-01",), message, expected="a refusal", actual=outcome.said, soft=True)
        elif judge_form(context, outcome, what):
            context.prove(("AUTH-01",))


def _places(context: Context, token: str) -> Mapping[str, Presentation]:
    env = context.env
    bare = present(env, None, env.carrier)
    base = env.target.url.split("?")[0]

    def header(name: str, value: str) -> Presentation:
        return Presentation(bare.url, {**bare.headers, name: value}, ())

    return {
        "a token in a cookie": header("Cookie", f"token={token}; access_token={token}"),
        "a token in X-Access-Token": header("X-Access-Token", token),
        "a token under the scheme Basic": header("Authorization", f"Basic {token}"),
        "a token in Authorization without a scheme": header("Authorization", token),
        "a token as the only subprotocol": Presentation(bare.url, bare.headers, (token,)),
        "a token as ?jwt=": Presentation(f"{base}?jwt={token}", bare.headers, ()),
        "a token behind #": header("Origin", f"http://127.0.0.1/#token={token}"),
    }


@probe(
    "token-not-repeated",
    title="No frame and no reason of a close repeats the client's token",
    area="privacy",
    requirements=("PRIV-04",),
    catches="A server whose explanations carry tokens into the logs of clients.",
    forges=True,
    frames=("error",),
)
async def not_repeated(context: Context) -> None:
    device = context.device("alice")
    honest = await device.obtain()
    for carrier in CARRIERS:
        for token in (forging.flipped(honest), honest):
            context.step = f"{'an honest' if token is honest else 'a broken'} token as {carrier}"
            outcome = await tried(context, present(context.env, token, carrier), device.label)
            if outcome.form == "session":
                connection = context.connections[-1]
                connection.send({"type": "nonsense"}, valid=False)
                await connection.beat(context.env.waits.reply)
                await connection.close(context.env.waits.reply)
    for entry in context.recorder.transcript.entries:
        said = f"{entry.frame} {entry.event}"
        # The part that is secret: header and claims stand in other tokens, too.
        if entry.direction == "s2c" and honest.rsplit(".", 1)[1][:16] in said:
            actual = entry.frame or entry.event
            context.fail(("PRIV-04",), "the target repeats the token", expected="no token", actual=actual)
            return
    context.prove(("PRIV-04",))
