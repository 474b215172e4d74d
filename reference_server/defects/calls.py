"""Defects in the signaling of calls: what it looks like, whom it reaches, and as what it arrives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from relaykit.reference_server.app import App
from relaykit.reference_server.calls_state import ANSWER, BUSY, END, ICE, OFFER, REJECT, SIGNALS
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import (
    Frame,
    Handler,
    altering,
    both,
    echoing,
    everybody,
    handling,
    keeping,
    lacking,
    loosened,
    nobody,
    only_first_device,
    own_devices_too,
    relaying,
    saying,
    sending,
)
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.refused import Refused
from relaykit.reference_server.session import Session

_NOBODY = "00000000-0000-4000-8000-000000000000"
_RULES = {
    OFFER: "CALL-01",
    ANSWER: "CALL-02",
    REJECT: "CALL-03",
    END: "CALL-03",
    BUSY: "CALL-04",
    ICE: "CALL-05",
}
_OWN = {OFFER: ("call_type", "sdp"), ANSWER: ("sdp",), ICE: ("candidate",)}


def _dashed(name: str) -> str:
    return name.replace("_", "-")


SHAPES = tuple(
    Defect(
        f"{_dashed(kind)}-without-{_dashed(pointer.rsplit('/', 1)[1])}",
        f"A {kind} from the server lacks its {pointer.rsplit('/', 1)[1]}.",
        (_RULES[kind],),
        lacking(kind, pointer),
    )
    for kind in SIGNALS
    for pointer in (
        *(("/sender_id",) if kind != BUSY else ()),
        "/timestamp",
        "/payload/target_id",
        *(f"/payload/{name}" for name in _OWN.get(kind, ())),
    )
)


def _given(field: str, value: Any) -> Handler:
    """Where a client leaves out a field, the server puts something there."""

    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        frame["payload"].setdefault(field, value)
        original(app, session, frame)

    return wrapper


def _ignored_without_target(original: Handler, app: App, session: Session, frame: Frame) -> None:
    if "target_id" in frame["payload"]:
        original(app, session, frame)


ACCEPTED = (
    Defect(
        "client-offer-without-call-type",
        "A client's call_offer without a call_type is a video call.",
        ("CALL-01",),
        both(
            loosened(OFFER, "/$defs/callOfferPayload/required/call_type"),
            handling(OFFER, _given("call_type", "video")),
        ),
    ),
    Defect(
        "client-answer-without-sdp",
        "A client's call_answer without an sdp is passed on.",
        ("CALL-02",),
        both(
            loosened(ANSWER, "/$defs/callAnswerPayload/required/sdp"), handling(ANSWER, _given("sdp", "v=0"))
        ),
    ),
    Defect(
        "client-end-without-target",
        "A client's call_end without a target is ignored.",
        ("CALL-03",),
        both(
            loosened(END, "/$defs/callEndingPayload/required/target_id"),
            handling(END, _ignored_without_target),
        ),
    ),
    Defect(
        "client-busy-without-target",
        "A client's call_busy without a target is ignored.",
        ("CALL-04",),
        both(
            loosened(BUSY, "/$defs/callEndingPayload/required/target_id"),
            handling(BUSY, _ignored_without_target),
        ),
    ),
    Defect(
        "client-candidate-without-line",
        "A client's ice_candidate whose candidate has no candidate is passed on.",
        ("CALL-05",),
        loosened(ICE, "/$defs/iceCandidate/required/candidate"),
    ),
    Defect(
        "client-candidate-of-any-index",
        "A client's ice_candidate with a negative sdpMLineIndex is passed on.",
        ("CALL-05",),
        loosened(ICE, "/$defs/iceCandidate/properties/sdpMLineIndex/anyOf/0/minimum"),
    ),
    Defect(
        "client-call-type-hologram",
        "A client's call_offer may have any call_type.",
        ("CALL-06",),
        loosened(OFFER, "/$defs/callType/enum"),
    ),
    Defect(
        "call-type-voice",
        "A call_offer of an audio call has the call_type `voice`.",
        ("CALL-06",),
        altering(OFFER, "/payload/call_type", lambda kind: "voice" if kind == "audio" else kind),
    ),
)


def _refused_outside_a_call(original: Handler, app: App, session: Session, frame: Frame) -> None:
    call = app.calls.table.of(session.user)
    if call is None or call.other(session.user) != frame["payload"]["target_id"].lower():
        raise Refused("you are in no call with them")
    original(app, session, frame)


def _first_while_ringing(
    app: App, session: Session, _frame: Frame, rightly: list[Session]
) -> Sequence[Session]:
    call = app.calls.table.of(session.user)
    if call is not None and call.answered_by is None and call.caller == session.user:
        return rightly[:1]
    return rightly


def _others_when_answered(
    app: App, session: Session, frame: Frame, rightly: list[Session]
) -> Sequence[Session]:
    """After the answer the called user's frames go to those devices that are not in the call."""
    call = app.calls.table.of(session.user)
    target = frame["payload"]["target_id"].lower()
    if call is None or call.answered_by is None or frame["type"] == ANSWER:
        return rightly
    return [one for one in app.hub.of_user(target) if one not in rightly]


def _refused_within_a_call(original: Handler, app: App, session: Session, frame: Frame) -> None:
    call = app.calls.table.of(session.user)
    answered = call is not None and call.answered_by is not None
    if call is not None and answered and call.other(session.user) == frame["payload"]["target_id"].lower():
        raise Refused("you are in a call with them")
    original(app, session, frame)


REACH = (
    Defect(
        "offer-lost",
        "A call_offer reaches nobody.",
        ("CALL-07",),
        relaying(OFFER, nobody),
    ),
    Defect(
        "offer-to-one-device",
        "A call_offer rings one device of its target.",
        ("CALL-08",),
        relaying(OFFER, only_first_device),
    ),
    *(
        Defect(f"{_dashed(kind)}-lost", f"A {kind} reaches nobody.", ("CALL-09",), relaying(kind, nobody))
        for kind in (ANSWER, REJECT, END, ICE)
    ),
    Defect("call-busy-lost", "A client's call_busy reaches nobody.", ("CALL-10",), relaying(BUSY, nobody)),
    Defect(
        "ringing-on-one-device",
        "What the caller sends while it rings reaches one device of the called user.",
        ("CALL-11",),
        relaying((ICE, END), _first_while_ringing),
    ),
    Defect(
        "call-on-the-wrong-device",
        "After the answer, the frames of the call reach the devices that are not in it.",
        ("CALL-12",),
        relaying((ICE, END), _others_when_answered),
    ),
    Defect(
        "signaling-to-everybody",
        "A signaling frame reaches everybody who is connected.",
        ("CALL-16",),
        relaying(SIGNALS, everybody),
    ),
    Defect(
        "signaling-to-own-devices",
        "A signaling frame reaches the sender's other devices.",
        ("CALL-16",),
        relaying(SIGNALS, own_devices_too),
    ),
    Defect(
        "signaling-comes-back",
        "A signaling frame comes back to the sending connection.",
        ("CALL-17",),
        echoing(SIGNALS),
    ),
    Defect(
        "signaling-waits",
        "A signaling frame waits for a target who is offline.",
        ("CALL-18",),
        keeping(SIGNALS, "target_id"),
    ),
    Defect(
        "no-signaling-without-a-call",
        "Signaling between users who are in no call is refused.",
        ("CALL-19",),
        handling((ANSWER, REJECT, END, BUSY, ICE), _refused_outside_a_call),
    ),
    Defect(
        "no-second-offer",
        "A further call_offer within a call is refused.",
        ("CALL-25",),
        handling(OFFER, _refused_within_a_call),
    ),
)


def _known_members(candidate: Frame) -> Frame:
    known = ("candidate", "sdpMid", "sdpMLineIndex", "usernameFragment")
    return {name: value for name, value in candidate.items() if name in known}


def _without_reason(frame: Frame, _to: Session, _app: App) -> Frame:
    frame["payload"].pop("reason", None)
    return frame


def _filled_members(candidate: Frame) -> Frame:
    return {name: value for name, value in candidate.items() if value != "" or name == "candidate"}


@defect("candidates-are-few", "Of the candidates of a connection the first three are passed on.", "CALL-09")
def candidates_are_few(seams: Seams) -> None:
    passed: WeakKeyDictionary[Session, int] = WeakKeyDictionary()

    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        passed[session] = passed.get(session, 0) + 1
        if passed[session] <= 3:
            original(app, session, frame)

    handling(ICE, wrapper)(seams)


CONTENT = (
    *(
        Defect(
            f"{_dashed(kind)}-sdp-lines",
            f"The line ends in the sdp of a {kind} are changed.",
            ("CALL-13",),
            altering(kind, "/payload/sdp", lambda sdp: sdp.replace("\r\n", "\n")),
        )
        for kind in (OFFER, ANSWER)
    ),
    Defect(
        "candidate-trimmed",
        "Members of a candidate that the protocol does not name are dropped.",
        ("CALL-14",),
        altering(ICE, "/payload/candidate", _known_members),
    ),
    Defect(
        "candidate-without-empty-members",
        "Members of a candidate that are empty texts are dropped, but for the line itself.",
        ("CALL-14",),
        altering(ICE, "/payload/candidate", _filled_members),
    ),
    Defect(
        "call-type-always-video",
        "Every call arrives as a video call.",
        ("CALL-15",),
        saying(OFFER, "/payload/call_type", "video"),
    ),
    Defect(
        "call-reason-dropped",
        "A reason does not arrive.",
        ("CALL-15",),
        sending((REJECT, END, BUSY), _without_reason),
    ),
    Defect(
        "call-for-another",
        "A signaling frame names another target.",
        ("CALL-15",),
        saying(SIGNALS, "/payload/target_id", _NOBODY),
    ),
)


def _from_its_target(frame: Frame, to: Session, _app: App) -> Frame:
    if frame["payload"]["target_id"].lower() == to.user:  # one that the server makes names the busy user
        frame["sender_id"] = to.user
    return frame


RELAYED = (
    Defect(
        "relayed-busy-from-another",
        "A relayed call_busy names its target as the sender.",
        ("CALL-24",),
        sending(BUSY, _from_its_target),
    ),
)
