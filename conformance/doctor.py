"""`relaykit doctor`: from the address to the first frame, step by step, and what to change where it stops."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import uuid4

from relaykit.conformance.advice import tls_hint
from relaykit.conformance.capabilities import Tried, try_capabilities
from relaykit.conformance.cases import load_cases
from relaykit.conformance.context import Environment
from relaykit.conformance.control import (
    ControlBarredError,
    ControlFailedError,
    ControlMisfitError,
    ControlMissingError,
)
from relaykit.conformance.dial_error import os_words
from relaykit.conformance.issuing import TokenError
from relaykit.conformance.preflight import Readiness, preflight
from relaykit.conformance.run import Settings, environment
from relaykit.conformance.stops import UntestableError
from relaykit.conformance.target import Target
from relaykit.conformance.token_spec import Minting
from relaykit.errors import UnreachableError
from relaykit.schemas import Catalogue

_SLOW_MS = 100
"""What takes longer to answer may take longer than the quiet window to send to somebody else."""
Status = Literal["ok", "note", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried: what came of it, and what to change if it should be otherwise."""

    name: str
    status: Status
    said: str
    advice: str = ""
    tried: Tried | None = None


Tell = Callable[[Step], None]


async def examine(target: Target, catalogue: Catalogue, settings: Settings, tell: Tell) -> bool:
    """Try everything that a run depends on; `tell` gets each step as it ends.

    Returns:
        whether a run can be started.

    Raises:
        UsageError: TLS or a control adapter cannot be set up.
    """
    env = environment(target, catalogue, settings)
    try:
        if not await _connection(env, tell) or not await _token(env, tell):
            return False
        try:
            ready = await preflight(env)
        except UnreachableError as error:
            tell(Step("handshake", "failed", str(error), error.hint or ""))
            return False
        tell(Step("handshake", "ok", f"the token is taken as {ready.carrier}", "; ".join(_refused(ready))))
        _fence(env, ready, tell)
        _clock(env, ready, tell)
        good = await _provisioning(env, tell)
        if good and target.probed:
            env.carrier, env.fences = ready.carrier, ready.fences
            for each in await try_capabilities(env, load_cases(catalogue)):
                tell(
                    Step(
                        f"capability {each.capability}",
                        "ok" if each.served else "note",
                        each.said,
                        _advice(each),
                        each,
                    )
                )
        if good and not ready.fences:
            said = "without an answer to heartbeats little of a run means anything"
            tell(Step("in all", "note", said, "serve `heartbeat` before anything else"))
        return good
    finally:
        await env.close()


async def _connection(env: Environment, tell: Tell) -> bool:
    parts = urlsplit(env.target.url)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    where = f"{parts.hostname}:{port}"
    try:
        async with asyncio.timeout(env.waits.connect):
            _, writer = await asyncio.open_connection(parts.hostname, port, ssl=env.tls)
        writer.close()
    except TimeoutError:
        advice = "check host and port of `url`; a slow way there needs a longer timing.connect_ms"
        tell(Step("connection", "failed", f"{where}: nothing within {env.waits.connect:g} s", advice))
        return False
    except OSError as error:
        said = os_words(error)
        advice = "is the server running there? Check host and port of `url`"
        if isinstance(error, ssl.SSLError):
            advice = tls_hint(said, env.target.tls)
        elif env.tls is not None and isinstance(error, ConnectionResetError):
            advice = "it ended the TLS handshake: ws:// in place of wss://? Its own log should say why"
        tell(Step("connection", "failed", f"{where}: {said}", advice))
        return False
    tell(Step("connection", "ok", f"{where} accepts connections{', with TLS' if env.tls else ''}"))
    return True


async def _token(env: Environment, tell: Tell) -> bool:
    tokens = env.target.tokens
    if isinstance(tokens, Minting):
        tell(Step("token", "ok", f"signed by the suite with {tokens.algorithm}"))
        return True
    if isinstance(tokens, tuple):
        devices = sum(len(identity.devices) for identity in tokens)
        said = f"{len(tokens)} fixed users with {devices} devices"
        few = (
            "" if len(tokens) >= 4 else "most cases need two to four users: list more, or let them be fetched"
        )
        tell(Step("token", "note" if few else "ok", said, few))
        return True
    try:
        await env.issuer.token(str(uuid4()), str(uuid4()))
    except (TokenError, UntestableError) as error:
        tell(Step("token", "failed", str(error), "check tokens.fetch: the address or command, and `pointer`"))
        return False
    tell(Step("token", "ok", "given out by the issuer for a user of the suite's own"))
    return True


def _advice(tried: Tried) -> str:
    if tried.served:
        return f"state capabilities.{tried.capability}: true, so that it stays so (--write does that)"
    if not tried.told:
        return "that could not be told; state true or false yourself, and no run need try it"
    return "its cases will not apply; if it is served, the line above says what did not come"


def _refused(ready: Readiness) -> list[str]:
    return [note for note in ready.notes if note.startswith("the token is presented")]


def _fence(env: Environment, ready: Readiness, tell: Tell) -> None:
    if not ready.fences:
        said = f"within {env.waits.reply:g} s" if ready.ended is None else f"but by an end: {ready.ended}"
        longer = "" if ready.ended else "; or give it longer with timing.reply_ms"
        advice = f"serve `heartbeat`{longer}. Without it probes are untestable"
        tell(Step("fence", "note", f"a heartbeat is not answered {said}", advice))
        return
    said = f"a heartbeat is answered after {ready.round_trip_ms:.0f} ms"
    if ready.round_trip_ms > env.waits.reply * 500:
        wanted = int(ready.round_trip_ms * 4)
        tell(Step("fence", "note", said, f"that is near timing.reply_ms: state {wanted} or more"))
    elif (needed := quiet_needed(ready, env.waits.quiet)) is not None:
        advice = f"a slow server may send to others as late: state {needed} as timing.quiet_ms, or absence"
        tell(Step("fence", "note", said, f"{advice} is judged too early"))
    else:
        tell(Step("fence", "ok", said))


def quiet_needed(ready: Readiness, quiet_s: float) -> int | None:
    """The quiet window in milliseconds that a slow target needs; None: the one that it has is long enough."""
    slow = ready.round_trip_ms > max(_SLOW_MS, quiet_s * 1000)
    return int(ready.round_trip_ms * 3) if slow else None


def _clock(env: Environment, ready: Readiness, tell: Tell) -> None:
    leeway = env.target.timing["clock_leeway_s"]
    if ready.skew_s is None:
        tell(Step("clock", "skipped", "no timestamp that can be read came with the answer"))
    elif abs(ready.skew_s) > min(leeway, 5.0):
        advice = "set the clocks of both machines; " + "; ".join(n for n in ready.notes if "clock" in n)
        said = f"the target's clock is {ready.skew_s:+.1f} s from ours (timing.clock_leeway_s: {leeway:g})"
        tell(Step("clock", "note", said, advice.rstrip("; ")))
    else:
        far = (
            f"{ready.skew_s:+.1f} s from ours"
            if round(ready.skew_s, 1)
            else "ours, as far as its timestamps tell"
        )
        tell(Step("clock", "ok", f"the target's clock is {far}"))


async def _provisioning(env: Environment, tell: Tell) -> bool:
    """Carry out the operations that every control interface should have, with users of its own."""
    if env.control is None:
        needing = sorted(env.target.capabilities & {"groups", "devices"})
        advice = f"cases of {' and '.join(needing)} are untestable: state `control`" if needing else ""
        said = "the target file states no control interface"
        tell(Step("provisioning", "note" if needing else "skipped", said, advice))
        return True
    if env.issuer.fixed:
        tell(Step("provisioning", "skipped", "with fixed users nothing is tried that would change them"))
        return True
    one, other, third = (str(uuid4()) for _ in range(3))
    known: dict[str, Any] = {}
    steps: tuple[tuple[str, Callable[[], Mapping[str, Any]]], ...] = (
        ("create_user", lambda: {"user_id": one, "devices": [str(uuid4())]}),
        ("create_user", lambda: {"user_id": other, "devices": [str(uuid4())]}),
        ("create_user", lambda: {"user_id": third, "devices": [str(uuid4())]}),
        ("add_contact", lambda: {"user_id": one, "contact_id": other}),
        ("create_group", lambda: {"members": [one, other]}),
        ("add_member", lambda: {"group_id": known["group_id"], "user_id": third}),
        ("remove_member", lambda: {"group_id": known["group_id"], "user_id": third}),
        ("conversation", lambda: {"members": [one, other]}),
        ("request_device_approval", lambda: {"user_id": one, "device_id": str(uuid4())}),
        ("decide_device_approval", lambda: {"request_id": known["request_id"], "approved": False}),
    )
    good, told = True, set[str]()
    for operation, arguments in steps:
        name = f"provisioning: {operation}"
        if operation in told:
            continue
        try:
            answer = await env.control.call(operation, arguments())
        except KeyError as needed:
            told.add(operation)
            tell(Step(name, "skipped", f"there is no {needed.args[0]} to do it with"))
            continue
        except ControlMissingError:
            told.add(operation)
            if not env.target.offers(operation):
                tell(Step(name, "skipped", "not among the operations that the target file lists"))
                continue
            advice = "cases that need it are untestable; list `operations` to say so in the target file"
            tell(Step(name, "note", "not offered", advice))
            continue
        except ControlMisfitError as error:
            told.add(operation)
            good = False
            advice = "the control interface's description says what each operation answers"
            tell(Step(name, "failed", str(error), advice))
            continue
        except ControlBarredError as error:
            good = False
            advice = "check in the target file control.http.token: it is refused"
            tell(Step(name, "failed", str(error), advice))
            break  # the others would say the same
        except ControlFailedError as error:
            told.add(operation)
            good = False
            advice = "check in the target file `control`: address, token, command"
            tell(Step(name, "failed", str(error), advice))
            continue
        known.update(answer)
        if operation != "create_user" or arguments is steps[2][1]:
            tell(Step(name, "ok", "done"))
    await env.tidy_up()
    return good
