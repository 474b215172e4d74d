"""From a failing message to the scenario that shows it: the message, and the check that it does not stand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from relaykit.conformance.codes import INVALID_MESSAGE, NOT_UTF8, an_error
from relaykit.conformance.derived.binding import GOT
from relaykit.conformance.fuzz.oracle import Duty
from relaykit.conformance.fuzz.surplus import SURPLUS
from relaykit.conformance.fuzz.trial import Failure
from relaykit.conformance.fuzz.watching import message_of
from relaykit.conformance.fuzz.watching import steps as watched
from relaykit.conformance.matching import ambient_types
from relaykit.conformance.reproduce import Reproduction, area_of, refer, send_step
from relaykit.schemas import Catalogue

Step = dict[str, Any]
_ERROR = an_error(INVALID_MESSAGE)
_ANSWERS = ("sent_ack", "heartbeat_ack", "call_busy")
"""What a sender may get for a valid frame."""
_SILENT = frozenset({"VAL-09", "VAL-12"})


def reproduction(
    catalogue: Catalogue, failure: Failure, seed: str, *, operations: frozenset[str]
) -> Reproduction:
    """The scenario of a failure.

    Args:
        operations: of the control interface that the target offers.
    """
    outcome = failure.outcomes[0]
    requirements = list(outcome.requirements) or ["VAL-13"]  # the connection did not outlive it
    known, variables = _names(failure, operations)
    frame = _frame(failure)
    about = str(frame.get("type")) if isinstance(frame, Mapping) else ""
    steps = [
        *_arranged(known, variables, about, operations),
        *_received(variables),
        send_step(
            "alice.phone",
            frame if isinstance(frame, dict) else failure.data,
            invalid=failure.template.duty is not Duty.VALID,
            known=known,
        ),
        *_checks(catalogue, failure, requirements, known),
    ]
    digest = hashlib.sha256(json.dumps(steps, sort_keys=True, default=str).encode()).hexdigest()[:8]
    first = catalogue.requirements[requirements[0]]
    ambient = ambient_types(catalogue) - {"ping"}
    return Reproduction(
        id=f"frames-{digest}",
        title=first.text.replace("`", ""),
        catches=f"{outcome.message[0].upper()}{outcome.message[1:]}.",
        area=area_of(catalogue, first.id),
        actors={"alice": {"devices": ["phone", "laptop"]}, "bob": {}},
        vars=variables,
        steps=steps,
        about=(about,) if about in ambient else None,
        notes=(f"Found by relaykit fuzz, seed {seed}.",),
    )


def _frame(failure: Failure) -> Any:
    """The message as an object, if writing that again gives the same message."""
    try:
        frame = json.loads(failure.data)
        again = json.dumps(frame, separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # half a character, which cannot be written, among them
        return None
    return frame if again == failure.data else None


def _names(failure: Failure, operations: frozenset[str]) -> tuple[dict[str, str], dict[str, Any]]:
    """What a scenario calls each identifier, and the variables that it declares for that."""
    known: dict[str, str] = {}
    variables: dict[str, Any] = {}
    text = failure.data.decode("utf-8", "replace").lower()
    for identifier, name in failure.known.items():
        if identifier.lower() not in text:
            continue
        if name == "group" and "create_group" in operations:
            known[f"group-{identifier}"] = "g.group_id"
        elif name == "conversation" and "conversation" in operations:
            known[f"conv-{identifier}"] = "talk.conversation_id"
        elif name.startswith(f"{GOT}."):
            variables[f"r{name.partition('.')[2]}"] = "uuid"
            known[identifier] = f"r{name.partition('.')[2]}"
        elif name in ("group", "conversation") or name.startswith("new."):
            variables[f"n{len(variables)}"] = "uuid"
            known[identifier] = f"n{len(variables) - 1}"
        else:
            known[identifier] = name
    return known, variables


def _arranged(
    known: Mapping[str, str], variables: Mapping[str, Any], about: str, operations: frozenset[str]
) -> Iterator[Step]:
    members = ["${alice.id}", "${bob.id}"]
    if "g.group_id" in known.values():
        yield {"control": {"create_group": {"members": members}, "as": "g"}}
    if "talk.conversation_id" in known.values():
        yield {"control": {"conversation": {"members": members}, "as": "talk"}}
    if about == "presence" and "add_contact" in operations:
        yield {"control": {"add_contact": {"user_id": "${alice.id}", "contact_id": "${bob.id}"}}}


def _received(variables: Mapping[str, Any]) -> Iterator[Step]:
    for name in (each for each in variables if each.startswith("r")):
        payload = {"receiver_id": "${alice.id}", "ciphertext": "cmVsYXlraXQ=", "message_type": "text"}
        pattern = {"message_id": f"${{{name}}}"}
        frame = {"type": "send", **pattern, "payload": payload}
        yield {"send": {"as": "bob", "frame": frame}}
        yield {"expect": {"as": "bob", "frame": {"type": "sent_ack", **pattern}}}
        for device in ("alice.phone", "alice.laptop"):
            yield {"expect": {"as": device, "frame": {"type": "deliver", **pattern}}}


def _checks(
    catalogue: Catalogue, failure: Failure, req: Sequence[str], known: Mapping[str, str]
) -> Iterator[Step]:
    named = {"req": list(req)} if req else {}
    outcome = failure.outcomes[0]
    if failure.template.watch is not None:
        had = known.get(message_of(outcome.actual) or "", "").startswith("r")
        frame = refer(outcome.actual, known)
        yield from watched(catalogue, failure.template.watch, outcome.actor, frame, had)
        return
    if failure.template.duty is Duty.VALID:
        if not SURPLUS.isdisjoint(req):
            yield {"none": {"actors": [outcome.actor], "open": True, **named}}
        elif "VAL-22" in req:
            allow = [{"type": kind} for kind in _ANSWERS]
            yield {"none": {"actors": ["alice.phone"], "open": True, "allow": allow, **named}}
        elif "VAL-13" in req or not req:
            yield from _lives(named)
        else:
            pattern = refer(outcome.expected, known) if isinstance(outcome.expected, Mapping) else {}
            yield {"expect": {"as": outcome.actor or "bob", "frame": pattern, "skip": True, **named}}
        return
    if failure.template.duty is Duty.CLOSE and not set(req) & _SILENT:
        yield {"expect_close": {"as": "alice.phone", "codes": [NOT_UTF8], **named}}
    elif "VAL-13" in req or not req:
        yield {"none": {"actors": ["alice.phone"], "open": True, "allow": [{"type": "error"}], **named}}
        yield from _lives(named)
    elif set(req) & _SILENT:
        yield {"none": {"actors": ["bob", "alice.laptop"], **named}}
    elif "VAL-11" in req or "ERR-04" in req:
        yield {"expect": {"as": "alice.phone", "frame": _ERROR}}
        yield {"none": {"actors": ["alice.phone"], **named}}
    elif "ERR-03" in req:
        about = refer(str(outcome.expected), known)
        yield {"expect": {"as": "alice.phone", "frame": {**_ERROR, "message_id": about}, **named}}
    else:
        yield {"expect": {"as": "alice.phone", "frame": _ERROR, **named}}
        yield {"none": {"actors": ["bob", "alice.laptop"]}}


def _lives(named: Mapping[str, Any]) -> Iterator[Step]:
    """The connection still answers; what else came is passed over."""
    yield {"send": {"as": "alice.phone", "frame": {"type": "heartbeat"}}}
    yield {"expect": {"as": "alice.phone", "frame": {"type": "heartbeat_ack"}, "skip": True, **named}}
