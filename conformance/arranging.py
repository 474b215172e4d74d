"""What a case arranges through the target's control interface: what frames cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relaykit.conformance.context import CaseStop, Context, UntestableError
from relaykit.conformance.control import ControlFailedError, ControlMissingError, ControlRefusedError
from relaykit.conformance.hints import CONTROL_FAILED


async def control(
    context: Context, operation: str, arguments: Mapping[str, Any], *, may_refuse: bool = False
) -> dict[str, Any]:
    """Carry out a control operation.

    Args:
        may_refuse: that the target answers that it cannot do this is as good.

    Returns:
        what came back; nothing where that was a refusal.

    Raises:
        UntestableError: the target does not offer it.
        CaseStop: it failed; that is said as an outcome.
    """
    if context.env.control is None:
        raise UntestableError("the target file states no control interface")
    transcript = context.recorder.transcript
    transcript.event("control", "c2s", f"{operation} {dict(arguments)}")
    try:
        result = await context.env.control.call(operation, arguments)
    except ControlMissingError as error:
        raise UntestableError(str(error)) from None
    except ControlFailedError as error:
        if may_refuse and isinstance(error, ControlRefusedError):
            transcript.event("control", "s2c", str(error))
            return {}
        context.fail((), f"{CONTROL_FAILED}: {error}", blame="environment")
        raise CaseStop from None
    transcript.event("control", "s2c", f"{operation} → {result}")
    return result


async def advance(context: Context, seconds: float) -> None:
    """Move the target's clock; raises as `control` does."""
    await control(context, "advance_clock", {"seconds": seconds})
    # Tokens minted from now on must be valid for the target's clock.
    context.env.clock_offset_s += seconds
