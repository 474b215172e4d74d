"""How a target refuses a connection: the permitted forms, told apart and judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from relaykit.conformance.awaiting import kind_of
from relaykit.conformance.context import CaseStop, Context, Device, Presentation, present
from relaykit.conformance.wire import ABNORMAL, DialError

PERMITTED = "HTTP 4xx, or an error auth_failed and a close"
"""How a token or an origin is refused, in words."""
FORM = ("CONN-08", "CONN-19")
"""What `judge_form` judges."""
Form = Literal["http", "error", "bare-close", "cut", "error-open", "session", "silent", "no-answer"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """What became of a connection that must not be served.

    Attributes:
        form: `http` (an HTTP answer other than 101), `error` (the socket opened, an error frame came, then a
            close), `bare-close` (a close without a word), `cut` (the end in place of a handshake's answer, or
            after it, as by a server that fell over), `error-open` (an error, but no close), `session` (it was
            served), `silent` (it opened, and nothing came), `no-answer` (nothing that answers a handshake).
        status: the HTTP status, for `http`.
        close_code: the close code, where there was one.
        error: the error frame, where there was one.
        said: all of it in words.
        alone: whether the error, where there was one, was the only frame.
    """

    form: Form
    said: str
    status: int | None = None
    close_code: int | None = None
    error: Any = None
    alone: bool = True

    @property
    def refused(self) -> bool:
        """Whether the target turned it away, in whatever form."""
        return self.form in ("http", "error", "bare-close", "cut")


async def attempt(context: Context, shown: Presentation, label: str, what: str = "") -> Refusal:
    """Try to connect, and to be served, with a handshake that must be refused.

    Args:
        what: is wrong with it, for the transcript.

    Raises:
        DialError: the target could not be reached at all.
    """
    said = f"connects{f' ({what})' if what else ''}"
    context.recorder.transcript.event(label, "c2s", said)
    try:
        connection = await context.dial(shown, label)
    except DialError as failed:
        if failed.kind == "unreachable":
            raise
        forms: dict[str, Form] = {"refused": "http", "closed": "cut"}
        return Refusal(forms.get(failed.kind, "no-answer"), str(failed), failed.status)
    # An answered heartbeat proves a session; without it we would have to wait for what may never come.
    served = await connection.beat(context.env.waits.reply)
    errors = [frame for frame in connection.frames if frame.get("type") == "error"]
    error = errors[0] if errors else None
    if served:
        return Refusal("session", "the connection was served (its heartbeat was answered)", error=error)
    if connection.alive:
        if error is not None:
            return Refusal("error-open", "an error came, but the connection stays open", error=error)
        return Refusal("silent", "the connection opened, and nothing came")
    if error is not None:
        said = f"{kind_of(error)}, then {connection.ended}"
        return Refusal("error", said, None, connection.close_code, error, connection.came == 1)
    form: Form = "cut" if connection.close_code == ABNORMAL else "bare-close"
    return Refusal(form, f"opened, then {connection.ended}", None, connection.close_code)


async def tried(
    context: Context, shown: Presentation, label: str, what: str = "", req: tuple[str, ...] = ()
) -> Refusal:
    """As `attempt`; `req`: what it breaks that the target cannot be reached.

    Raises:
        CaseStop: it cannot; that is said as an outcome.
    """
    try:
        return await attempt(context, shown, label, what)
    except DialError as error:
        context.fail_dial(error, req, label)
        raise CaseStop from None


async def refused(
    context: Context, device: Device, token: str | None, what: str, requirement: str, *, soft: bool = False
) -> Refusal:
    """Try a token that must be refused, and judge whether it is.

    Raises:
        CaseStop: see `tried`.
    """
    context.step = what
    outcome = await tried(context, present(context.env, token, context.env.carrier), device.label, what)
    judge_refused(context, outcome, what, requirement, soft=soft)
    return outcome


def judge_refused(
    context: Context, outcome: Refusal, what: str, requirement: str, *, soft: bool = False
) -> None:
    """Judge what became of a connection that must be refused."""
    if not judge_form(context, outcome, what):
        return
    if outcome.refused:
        context.prove((requirement,))
        return
    context.fail(
        (requirement,),
        f"{what}: {outcome.said}",
        expected=PERMITTED,
        actual=outcome.error or outcome.said,
        soft=soft,
    )


def judge_form(context: Context, outcome: Refusal, what: str, actor: str = "") -> bool:
    """Judge how a token or an origin was refused, if it was; False if the connection was merely cut.

    A cut is how a server looks that fell over what it was shown, so it proves no check.

    Args:
        what: was shown.
    """
    if outcome.form == "cut":
        said = f"{what}: {outcome.said}, as if the server had fallen over it"
        context.fail(("CONN-19",), said, expected=PERMITTED, actual=outcome.said, actor=actor)
        return False
    if outcome.refused:
        context.prove(("CONN-19",), actor)
    if outcome.form == "http" and not 400 <= (outcome.status or 0) < 500:
        said = f"{what}: refused with {outcome.said}"
        context.fail(("CONN-08",), said, expected="HTTP 4xx", actual=outcome.said, actor=actor)
    elif outcome.form == "http":
        context.prove(("CONN-08",), actor)
    return True
