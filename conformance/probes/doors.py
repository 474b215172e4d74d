"""Where and from where a client may connect (source: WebSocket Endpoint, Security Considerations)."""

from __future__ import annotations

from urllib.parse import urlsplit

from relaykit.conformance.context import Context, NotApplicableError, Presentation, present
from relaykit.conformance.refusal import FORM, Refusal, judge_form, tried
from relaykit.conformance.registry import probe

_STRANGER = "https://stranger.invalid"


@probe(
    "endpoint-path",
    title="A session opens at the path of the protocol",
    area="connection",
    requirements=("CONN-01",),
    catches="A server that clients do not find where the document says it is.",
)
async def endpoint_path(context: Context) -> None:
    device = context.device("alice")
    shown = present(context.env, await device.obtain(), context.env.carrier)
    path = context.env.catalogue.protocol.path
    parts = urlsplit(shown.url)._replace(path=path)
    outcome = await tried(
        context, Presentation(parts.geturl(), shown.headers, shown.subprotocols), device.label
    )
    if outcome.form == "session":
        context.prove(("CONN-01",))
    else:
        said = f"a valid token at {path}: {outcome.said}"
        context.fail(("CONN-01",), said, expected="a session", actual=outcome.said)


@probe(
    "foreign-origin",
    title="A handshake from an origin that is not permitted is refused with 403",
    area="connection",
    requirements=("CONN-15", "CONN-17", *FORM),
    catches="A server whose list of origins any web page can pass, or whose refusal looks like a bad token.",
    where="The target has a list of permitted origins.",
)
async def foreign_origin(context: Context) -> None:
    device = context.device("alice")
    await (await device.connect()).close(context.env.waits.reply)
    shown = present(context.env, await device.obtain(), context.env.carrier)
    stated = next((value for name, value in shown.headers.items() if name.lower() == "origin"), None)
    others = {name: value for name, value in shown.headers.items() if name.lower() != "origin"}
    origins = [_STRANGER, "null"]
    if stated is not None:
        origins += [f"{stated}.stranger.invalid", f"{_STRANGER}/{stated}"]
    kept: dict[str, Refusal] = {}
    for origin in origins:
        context.step = f"Origin: {origin}"
        headers = {**others, "Origin": origin}
        foreign = Presentation(shown.url, headers, shown.subprotocols)
        kept[origin] = await tried(context, foreign, device.label)
        for connection in context.connections:
            if connection.alive:  # so that it takes nobody's place
                await connection.close(context.env.waits.reply)
    open_to = [origin for origin, outcome in kept.items() if not outcome.refused]
    if len(open_to) == len(kept):
        raise NotApplicableError("the target takes connections from every origin: it has no list of them")
    if open_to:
        said = f"some foreign origins are refused, but not {', '.join(open_to)}"
        context.fail(("CONN-15",), said, expected="a refusal", actual=kept[open_to[0]].said)
    else:
        context.prove(("CONN-15",))
    for origin, outcome in kept.items():
        judge_form(context, outcome, f"Origin {origin}")
        if outcome.form == "http" and outcome.status != 403:
            said = f"Origin {origin}: {outcome.said}"
            context.fail(("CONN-17",), said, expected="HTTP 403", actual=outcome.said)
        elif outcome.form == "http":
            context.prove(("CONN-17",))
