"""What the model does not permit: a problem, with all that a reader, and a scenario, need of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relaykit.conformance.codes import RATE_LIMITED, code_of
from relaykit.conformance.matching import compare, nearest
from relaykit.conformance.record import ShapeBook
from relaykit.conformance.sessions import blame, judging, model
from relaykit.conformance.sessions.state import DEVICES, Branch, Expected, State, Step, user_of
from relaykit.conformance.wire import Connection
from relaykit.schemas import Catalogue

_TELLING = ("deliver", "group_message", "typing")
"""Types whose frames show what is wrong with them when they come changed."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that the model does not permit. Frames and patterns have references for identifiers.

    Attributes:
        kind: `missing`, `unexpected`, `order`, `closed`, `hang`, `refused` (a connection), `served` (one that
            must be refused), `open` (one that must be closed), or `shape`.
        expected: what should have come: one of these.
        actual: what came instead, if anything did.
        allowed: what else could have come to the device, but for what looks like `actual`.
        first: what looks like `actual` and must, or may, have come before it.
        permitted: the ways in which the step could have been taken, if there were several.
        plainly: what it breaks if the steps before it are not to blame; empty: as `req` says.
        pardon: why it is none if the target lives on; empty: it is one all the same.
        died: what makes the target's death, or its silence, like others; empty: it lives.
    """

    kind: str
    device: str
    req: tuple[str, ...]
    message: str
    expected: tuple[Mapping[str, Any], ...] = ()
    actual: Any = None
    allowed: tuple[Mapping[str, Any], ...] = ()
    first: tuple[tuple[Mapping[str, Any], bool], ...] = ()
    permitted: tuple[Branch, ...] = ()
    plainly: str = ""
    pardon: str = ""
    died: str = ""

    @property
    def key(self) -> str:
        """What makes it the same problem as that of a shorter session, which may show another cause."""
        return self.died or f"{self.kind} {self.plainly or self.req[0]}"

    @property
    def name(self) -> str:
        """What makes it the same finding as another one: a dying target breaks whatever was to come next."""
        return self.died or f"{self.kind} {self.req[0]}"


class SessionOver(Exception):
    """The session cannot go on, and the target is not to blame; the message says why."""


class LimitMet(SessionOver):
    """The target has a limit of a user's connections that its file does not state: this one, at most."""

    def __init__(self, connections: int) -> None:
        few = "a second connection" if connections == 1 else f"more than {connections} connections"
        super().__init__(f"the target refuses a user {few}: state its limits.connections_per_user")
        self.connections = connections


@dataclass(frozen=True, slots=True)
class Words:
    """Between what goes over the wire and what the model says.

    Attributes:
        fill: puts identifiers in the place of references.
        symbolic: puts references in the place of identifiers.
    """

    fill: Callable[[Any], Any]
    symbolic: Callable[[Any], Any]


def find(
    state: State, step: Step | None, match: judging.Match, pool: Sequence[judging.Item], words: Words
) -> Problem | None:
    """The first thing that is wrong with what arrived; None: nothing is.

    Args:
        state: after the step; step: None after the last one.
        pool: what could still come from earlier steps.

    Raises:
        SessionOver: the target refuses to go on so fast.
    """
    if match.missing:
        return _missing(state, step, match, match.missing[0], words)
    if match.late:
        return _late(step, match, words)
    for device, frame in match.strays:
        if any(compare(words.fill(form), frame) is None for form in model.tolerated(state, device)):
            continue
        symbolic = words.symbolic(frame)
        not_limited((symbolic,))
        req = blame.stray(state, step, device, symbolic)
        said = f"{device} got {_kind(frame)} that must not reach it"
        allowed, first = _allowed(state, match, pool, device, symbolic)
        plainly = "OFF-04" if "OFF-04" in req else ""  # read or only acknowledged: shrinking may tell
        return Problem("unexpected", device, req, said, (), symbolic, allowed, first, plainly=plainly)
    return None


def _late(step: Step | None, match: judging.Match, words: Words) -> Problem:
    expected, frame = match.late[0]
    req: tuple[str, ...] = ("MSG-41", "MSG-40")
    if expected.line.startswith("status"):
        req = ("MSG-31",)
    elif step is not None and step.move == "connect":
        req = ("OFF-10", "OFF-09")
    same = [each for each in match.branch.must if (each.to, each.line) == (expected.to, expected.line)]
    said = f"{expected.to} got {_kind(frame)} before another that was to come first"
    return Problem(
        "order", expected.to, req, said, tuple(each.forms[0] for each in same), words.symbolic(frame)
    )


def _missing(
    state: State, step: Step | None, match: judging.Match, expected: Expected, words: Words
) -> Problem:
    device = expected.to
    came = [frame for where, frame in match.strays if where == device]
    near = nearest(words.fill(expected.forms[0]), came)
    kinds = {frame.get("type") for frame in came if isinstance(frame, Mapping)}
    present = {"message": "deliver", "message_status": "status_update"}.get(expected.forms[0]["type"])
    if present in kinds:
        said = f"{device} must get {expected.forms[0]['type']}, and gets {present}"
        rule = "LEG-06" if present == "deliver" else "LEG-07"
        return Problem("missing", device, (rule, "LEG-08"), said, expected.forms)
    plainly, req = expected.req[0], (*blame.cause(state, expected), *expected.req)
    said = f"{device} must get {expected.forms[0]['type']}, and does not"
    if near is None:
        return Problem("missing", device, req, said, expected.forms, plainly=plainly)
    actual = words.symbolic(near[0])
    not_limited((actual,))
    if step is not None and step.move == "write_old" and near[1].pointer == "/message_id":
        req = ("LEG-05", *req)
    said += f"; it got {_kind(near[0])}"
    if isinstance(actual, Mapping) and actual.get("type") in {form["type"] for form in expected.forms}:
        said += f": {near[1]}"
        if actual["type"] in _TELLING and near[1].fitted > 1:
            req = blame.stray(state, step, device, actual)
            plainly = req[0]
    return Problem("missing", device, req, said, expected.forms, actual, plainly=plainly)


def _allowed(
    state: State, match: judging.Match, pool: Iterable[judging.Item], device: str, frame: Any
) -> tuple[tuple[Mapping[str, Any], ...], tuple[tuple[Mapping[str, Any], bool], ...]]:
    """What else could come to a device in this step; and, apart, what looks just like the stray."""
    optional = (*match.branch.may, *(item.expected for item in pool))
    forms = [(form, True) for each in match.branch.must if each.to == device for form in each.forms]
    forms += [(form, False) for each in optional if each.to == device for form in each.forms]
    forms += [(form, False) for form in model.tolerated(state, device)]
    like = tuple((form, must) for form, must in forms if compare(form, frame) is None)
    return tuple(form for form, _ in forms if compare(form, frame) is not None), like


def _kind(frame: Any) -> str:
    if not isinstance(frame, Mapping):
        return "a message that is no frame"
    code = code_of(frame)
    return f"error {code}" if code else str(frame.get("type"))


def not_limited(came: Iterable[Any]) -> None:
    """See that the target has not said that too much was sent.

    Raises:
        SessionOver: it has, though no more was sent than its target file permits.
    """
    if any(code_of(frame) == RATE_LIMITED for frame in came):
        raise SessionOver(
            "the target answers rate_limited: state its limits.frames_per_second and limits.burst"
        )


def ended(
    state: State, step: Step, device: str, connection: Connection | None, catalogue: Catalogue
) -> Problem:
    """A connection has ended for which nothing called."""
    came = [arrived.frame for arrived in connection.inbox] if connection is not None else []
    refused = any(isinstance(frame, dict) and frame.get("type") == "error" for frame in came)
    refused = refused or (step.move == "invalid" and step.who == device)
    req = ("VAL-13",) if refused else ("KEEP-03",)
    if step.move == "revoke" and user_of(step.with_["device"]) == user_of(device):
        req = ("DEV-34",)
    if step.move == "crowd" and user_of(step.who) == user_of(device):
        req = ("LIM-04",)
    said = connection.ended if connection is not None else "no connection"
    allowed = tuple({"type": kind} for kind in sorted(catalogue.types("s2c")))
    violations = state.invalid.get(device, 0) + (step.move == "invalid" and step.who == device)
    pardon = "the target ended a connection after repeated violations (VAL-14)" if violations > 1 else ""
    message = f"{device}: {said}, which nothing called for"
    return Problem("closed", device, req, message, allowed=allowed, pardon=pardon)


def misshapen(shapes: ShapeBook, symbolic: Callable[[Any], Any]) -> Problem | None:
    """The first frame that came in a form which its schema does not permit."""
    for violation in shapes.violations.values():
        finding = violation.finding
        device = next((d for d in DEVICES if d == violation.actor or user_of(d) == violation.actor), None)
        if finding.severity != "error" or not finding.requirement or device is None:
            continue
        said = f"{device} got {violation.type}: {finding.pointer or '(the frame)'}: {finding.message}"
        pattern = {"type": violation.type}
        return Problem("shape", device, (finding.requirement,), said, (pattern,), symbolic(violation.frame))
    return None


def is_missed_as(problem: Problem, shape: Problem) -> bool:
    """Whether what is missing has come, in a form that its schema does not permit: then that is wrong."""
    kinds = {form.get("type") for form in problem.expected}
    return problem.kind == "missing" and shape.expected[0]["type"] in kinds
