"""What probes do with frames: small steps in code, for cases whose point lies below the frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relaykit.conformance.awaiting import Miss, kind_of, take, until
from relaykit.conformance.codes import INVALID_MESSAGE, code_of
from relaykit.conformance.context import CaseStop, Context, Device
from relaykit.conformance.fence import fence
from relaykit.conformance.matching import plain
from relaykit.conformance.values import fresh_uuid
from relaykit.conformance.wire import Connection

UNPADDED = "cmVsYXlraXRz"
"""A ciphertext that even a server leaves alone which touches the padding of base64: another case's affair."""


def message(context: Context, receiver: str, ciphertext: str = UNPADDED) -> dict[str, Any]:
    """A `send` frame to a user, with a fresh message id."""
    payload = {"receiver_id": receiver, "ciphertext": ciphertext, "message_type": "text"}
    return {"type": "send", "message_id": fresh_uuid(context.rng), "payload": payload}


async def may_send(connection: Connection, data: bytes, frame: Mapping[str, Any] | None = None) -> None:
    """Before what is no text message in one piece is sent: wait for its turn under the stated rate.

    Args:
        frame: what it comes to, if that is valid.

    Raises:
        UntestableError: it is beyond a limit that the target states.
    """
    connection.asks(len(data), frame)
    if connection.pace is not None:
        await connection.pace.turn()


async def expect_frame(
    context: Context,
    connection: Connection,
    pattern: Mapping[str, Any],
    requirements: tuple[str, ...],
    *,
    skip: bool = False,
    remark: str = "",
) -> Any:
    """The next frame, which must match; with `skip`, the next that does.

    Args:
        remark: what a reader is told beside that it did not come.

    Raises:
        CaseStop: it does not come; that is said as an outcome.
    """
    result = await take(context, connection, pattern, until(context, None), skip=skip)
    if isinstance(result, Miss):
        context.fail(
            requirements,
            f"{result.message} ({remark})" if remark else result.message,
            expected=plain(pattern),
            actual=result.actual,
            actor=connection.label,
        )
        raise CaseStop
    return result.frame


async def deliver_to(
    context: Context, sender: Device, receiver: str, requirements: tuple[str, ...] = ()
) -> str:
    """Send a message and wait for its ack, which these requirements ask for; the message's id.

    Raises:
        CaseStop: it is not acknowledged.
    """
    sent = message(context, receiver)
    sender.live.send(sent)
    pattern = {"type": "sent_ack", "message_id": sent["message_id"]}
    await expect_frame(context, sender.live, pattern, requirements, skip=True)
    return str(sent["message_id"])


async def end_of(context: Context, connection: Connection) -> bool:
    """Wait until the target ends the connection; False if it does not in time."""
    deadline = until(context, None)
    while connection.alive and await context.wait(deadline):
        pass
    return not connection.alive


async def judge_refusal(
    context: Context, device: Device, what: str, codes: tuple[int, ...], requirement: str
) -> None:
    """The next that comes must be `error` `invalid_message`, or a close with one of these codes."""
    connection, deadline = device.live, until(context, None)
    while not connection.inbox and connection.alive and await context.wait(deadline):
        pass
    first = connection.inbox[0].frame if connection.inbox else None
    if first is not None:
        right = code_of(first) == INVALID_MESSAGE
        said = f"got {kind_of(first)}"
    else:
        right = not connection.alive and connection.close_code in codes
        said = connection.ended or f"nothing came within {context.env.waits.reply:.1f} s"
    if right:
        context.prove((requirement,), device.label)
        return
    permitted = ", ".join(str(code) for code in codes)
    context.fail(
        (requirement,),
        f"{what}: {said}",
        expected=f"error {INVALID_MESSAGE}, or a close with {permitted}",
        actual=first or said,
        actor=device.label,
    )


async def nothing_reached(context: Context, device: Device, what: str, requirement: str) -> None:
    """Nothing may have come to the device, by a fence."""
    await fence(context, (device,))
    came = [arrived.frame for arrived in device.live.inbox]
    if came:
        context.fail(
            (requirement,), f"{what} was passed on", expected="nothing", actual=came[0], actor=device.label
        )
    else:
        context.prove((requirement,), device.label)
