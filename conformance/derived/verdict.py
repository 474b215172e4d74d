"""What came after a frame that is to be refused → outcomes. Pure: no wire, no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from relaykit.conformance.awaiting import kind_of
from relaykit.conformance.codes import INVALID_MESSAGE, NOT_UTF8, an_error, code_of
from relaykit.conformance.derived.violations import STOWAWAY
from relaykit.conformance.results import OPEN_CONNECTION, Outcome
from relaykit.schemas import Catalogue

FORWARDING = frozenset({"VAL-09", "VAL-11", "VAL-12"})
"""Requirements about what must not come of a refused frame."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What came after the frame.

    Attributes:
        answers: what the sender got, but for the ack of the heartbeat after it.
        answered: whether that ack came.
        ended: why the sender's connection is over; None while it is open.
        close_code: the code it was closed with.
        reached: (device, frame): what others got.
        too_big: whether it was refused for its size alone, by a limit that the suite was not told.
    """

    answers: tuple[Any, ...]
    answered: bool
    ended: str | None
    close_code: int | None
    reached: tuple[tuple[str, Any], ...]
    too_big: bool = False


def judged(
    catalogue: Catalogue,
    refusal: Sequence[str],
    seen: Seen,
    message_id: Any,
    actor: str,
    t_ms: float,
) -> list[Outcome]:
    """What it shows.

    Args:
        refusal: the requirements that ask for the refusal.
        message_id: of the frame, if it has one.
        actor: who sent it.
        t_ms: when it was looked at.
    """

    def said(
        ok: bool, names: Sequence[str], message: str = "", expected: Any = None, actual: Any = None
    ) -> Outcome:
        return Outcome(ok, tuple(names), message, expected, actual, actor=actor, t_ms=t_ms)

    errors = [frame for frame in seen.answers if _is(frame, "error")]
    others = [frame for frame in seen.answers if not _is(frame, "error")]
    found: list[Outcome] = []
    if catalogue.protocol.faults["c2s"]["utf8"] in refusal:
        refused = seen.ended is not None and seen.close_code == NOT_UTF8
        what = seen.ended or "the connection stays open"
        wanted = f"a close with {NOT_UTF8}"
        found.append(said(refused, refusal, f"a text message that is no UTF-8: {what}", wanted, what))
    else:
        refused = bool(errors)
        found.extend(_answer(said, refusal, errors, others, seen.ended))
        found.append(_life(said, seen))
        if errors:
            found.extend(_about(said, errors, message_id))
    if seen.too_big:
        # Whatever else is wrong with it was not looked at; but nothing may come of it.
        return [each for each in _consequences(said, refusal, True, True, others, seen) if not each.ok]
    must = any(catalogue.requirements[name].level == "MUST" for name in refusal)
    found.extend(_consequences(said, refusal, refused, must, others, seen))
    return found


def _is(frame: Any, kind: str) -> bool:
    return isinstance(frame, dict) and frame.get("type") == kind


def _answer(
    said: Any, refusal: Sequence[str], errors: list[Any], others: list[Any], ended: str | None
) -> Iterator[Outcome]:
    expected = an_error(INVALID_MESSAGE)
    if not errors:
        came = f"{kind_of(others[0])} came" if others else "nothing came"
        what = f"it was not refused: {came}" if ended is None else f"no error for it: {came}, {ended}"
        yield said(False, refusal, what, expected, others[0] if others else ended)
    elif code_of(errors[0]) != INVALID_MESSAGE:
        yield said(False, refusal, f"it was refused with {kind_of(errors[0])}", expected, errors[0])
    else:
        yield said(True, refusal)


def _life(said: Any, seen: Seen) -> Outcome:
    if seen.ended is not None:
        message = f"the connection did not outlive it: {seen.ended}"
        outcome: Outcome = said(False, ("VAL-13",), message, OPEN_CONNECTION, seen.ended)
    elif not seen.answered:
        message = "the heartbeat after it was not answered"
        outcome = said(False, ("VAL-13",), message, {"type": "heartbeat_ack"}, None)
    else:
        outcome = said(True, ("VAL-13",))
    return outcome


def _about(said: Any, errors: list[Any], message_id: Any) -> Iterator[Outcome]:
    if len(errors) > 1:
        yield said(False, ("ERR-04",), f"{len(errors)} errors came for one message", "one error", errors[1])
    else:
        yield said(True, ("ERR-04",))
    named = errors[0].get("message_id")
    if isinstance(named, str) and isinstance(message_id, str):
        same = named.lower() == message_id.lower()
        yield said(same, ("ERR-03",), "the error names another message", message_id, errors[0])


def _consequences(
    said: Any, refusal: Sequence[str], refused: bool, must: bool, others: list[Any], seen: Seen
) -> Iterator[Outcome]:
    smuggled = [(who, frame) for who, frame in seen.reached if STOWAWAY.encode() in _bytes(frame)]
    for who, frame in smuggled[:1]:
        message = f"{who} got a property that is not documented: {STOWAWAY}"
        yield said(False, ("VAL-09",), message, f"no {STOWAWAY}", frame)
    if not refused and not must:
        return  # a server may serve it, then it has its effects
    for who, frame in seen.reached[:1]:
        names = ("VAL-12",) if refused else tuple(refusal)
        yield said(False, names, f"it was passed on: {who} got {kind_of(frame)}", "nothing", frame)
    if refused and others:
        yield said(False, ("VAL-11",), f"it had an effect: {kind_of(others[0])} came", "nothing", others[0])
    if refused and not seen.reached:
        yield said(True, ("VAL-12",))
        if not others:
            yield said(True, ("VAL-11",))


def _bytes(frame: Any) -> bytes:
    try:
        return orjson.dumps(frame)
    except (TypeError, ValueError):
        return str(frame).encode("utf-8", "replace")
