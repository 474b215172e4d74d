"""Defects in what the server does with input that is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

from relaykit.reference_server import messages, relay
from relaykit.reference_server.app import App
from relaykit.reference_server.calls_state import OFFER
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import Frame, Handler, decoding, handling, loosened
from relaykit.reference_server.defects.seams import Seams, swapped
from relaykit.reference_server.dispatch import Dispatcher
from relaykit.reference_server.refused import SERVER_ERROR, Refused
from relaykit.reference_server.session import Session
from relaykit.schemas import Catalogue, FrameError

Invalid = Callable[[Dispatcher, Session, Frame], None]


def unreadable(
    reasons: Iterable[str], then: Callable[[Dispatcher, Session], None]
) -> Callable[[Seams], None]:
    """Something else becomes of messages that are no frame, for one of these reasons of strict JSON."""
    wanted = frozenset(reasons)

    def apply(seams: Seams) -> None:
        def undecodable(
            original: Callable[..., None], self: Dispatcher, session: Session, data: bytes, error: FrameError
        ) -> None:
            if error.reason in wanted:
                then(self, session)
            else:
                original(self, session, data, error)

        seams.around(Dispatcher, "_undecodable", undecodable)

    return apply


def invalid(
    when: Callable[[App, Frame], bool], then: Callable[[Invalid, Dispatcher, Session, Frame], None]
) -> Callable[[Seams], None]:
    """Something else becomes of frames that violate a schema, or have none."""

    def apply(seams: Seams) -> None:
        def refuse(original: Invalid, self: Dispatcher, session: Session, frame: Frame) -> None:
            if when(self._app, frame):
                then(original, self, session, frame)
            else:
                original(self, session, frame)

        seams.around(Dispatcher, "_invalid", refuse)

    return apply


def _nothing(*_: object) -> None:
    """Drop it without a word."""


def _as_our_fault(_original: Invalid, it: Dispatcher, session: Session, frame: Frame) -> None:
    it._refuse(session, SERVER_ERROR, "the server failed on this frame", frame)


def _is(*, known: bool | None = None, server_only: bool = False) -> Callable[[App, Frame], bool]:
    """Frames by their type: of clients, of servers only, unknown (with `known` False), or none (None)."""

    def fits(app: App, frame: Frame) -> bool:
        kind = frame.get("type")
        if not isinstance(kind, str):
            return known is None and not server_only
        mine, theirs = app.catalogue.types("c2s"), app.catalogue.types("s2c")
        if server_only:
            return kind in theirs and kind not in mine
        return known is not None and (kind in mine if known else kind not in mine | theirs)

    return fits


ANSWERS = (
    Defect(
        "no-json-ignored",
        "What is no JSON is not answered.",
        ("VAL-01",),
        unreadable({"json"}, _nothing),
    ),
    Defect(
        "no-json-is-our-fault",
        "A text that is no JSON is answered with server_error.",
        ("VAL-01",),
        unreadable(
            {"json"}, lambda it, session: it._refuse(session, SERVER_ERROR, "the server failed on this frame")
        ),
    ),
    Defect(
        "no-object-ignored",
        "JSON that is no object is not answered.",
        ("VAL-02",),
        unreadable({"object"}, _nothing),
    ),
    Defect("no-type-ignored", "What has no type is not answered.", ("VAL-05",), invalid(_is(), _nothing)),
    Defect(
        "unknown-type-ignored",
        "A frame of an unknown type is not answered.",
        ("VAL-06",),
        invalid(_is(known=False), _nothing),
    ),
    Defect(
        "server-type-ignored",
        "A frame of a type that only servers send is not answered.",
        ("VAL-07",),
        invalid(_is(server_only=True), _nothing),
    ),
    Defect(
        "violation-ignored",
        "A frame that violates its schema is not answered.",
        ("VAL-08",),
        invalid(_is(known=True), _nothing),
    ),
    Defect(
        "violation-is-our-fault",
        "A frame that violates its schema is answered with server_error.",
        ("VAL-08",),
        invalid(_is(known=True), _as_our_fault),
    ),
    Defect(
        "call-type-not-checked",
        "The call_type of a client's call_offer may be anything, numbers too.",
        ("VAL-08", "CALL-06"),
        loosened(OFFER, "/$defs/callOfferPayload/properties/call_type/allOf"),
    ),
)


@defect("types-in-any-case", "The case of letters in a type does not matter.", "VAL-06")
def types_in_any_case(seams: Seams) -> None:
    def decode(rightly: Callable[[bytes], Frame], catalogue: Catalogue, data: bytes) -> Frame:
        frame = rightly(data)
        kind = frame.get("type")
        if isinstance(kind, str) and kind.lower() in catalogue.types("c2s"):
            frame["type"] = kind.lower()
        return frame

    decoding(decode)(seams)


@defect("nan-accepted", "NaN and Infinity are taken as numbers.", "VAL-04")
def nan_accepted(seams: Seams) -> None:
    def decode(rightly: Callable[[bytes], Frame], _catalogue: Catalogue, data: bytes) -> Frame:
        try:
            return rightly(data)
        except FrameError as error:
            if error.reason != "nan":
                raise
            found = json.loads(data)
            return found if isinstance(found, dict) else rightly(data)

    def is_valid(original: Callable[..., bool], self: Catalogue, frame: Frame, direction: str) -> bool:
        numbers = json.dumps(frame)
        if "NaN" in numbers or "Infinity" in numbers:
            frame = json.loads(numbers, parse_constant=lambda _: 0)
        return original(self, frame, direction)

    decoding(decode)(seams)
    seams.around(Catalogue, "is_valid", is_valid)


def _taking(split: Callable[[bytes], list[Any]]) -> Callable[[Seams], None]:
    """Several frames are taken from one message."""

    def apply(seams: Seams) -> None:
        def receive(
            original: Callable[..., None], self: Dispatcher, session: Session, data: bytes, text: bool = True
        ) -> None:
            try:
                frames = split(data) if text else []
            except ValueError:
                frames = []
            if frames and all(isinstance(frame, dict) for frame in frames):
                for frame in frames:
                    original(self, session, json.dumps(frame).encode(), text=True)
            else:
                original(self, session, data, text=text)

        seams.around(Dispatcher, "receive", receive)

    return apply


def _array(data: bytes) -> list[Any]:
    found = json.loads(data)
    return found if isinstance(found, list) else []


def _lines(data: bytes) -> list[Any]:
    lines = data.strip().split(b"\n")
    return [json.loads(line) for line in lines] if len(lines) > 1 else []


BATCHES = (
    Defect("array-of-frames-taken", "An array of frames is taken.", ("VAL-03",), _taking(_array)),
    Defect("lines-of-frames-taken", "Frames joined by line breaks are taken.", ("VAL-03",), _taking(_lines)),
)

_CLOSED = "/properties/payload/additionalProperties"

FORWARDED = (
    Defect(
        "unknown-typing-field-forwarded",
        "An undocumented property of a typing is passed on.",
        ("VAL-09",),
        loosened("typing", _CLOSED),
    ),
    Defect(
        "unknown-media-key-field-forwarded",
        "An undocumented property of a media_key is passed on.",
        ("VAL-09",),
        loosened("media_key", _CLOSED),
    ),
    Defect(
        "unknown-offer-field-forwarded",
        "An undocumented property of a call_offer is passed on.",
        ("VAL-09",),
        loosened(OFFER, "/$defs/callOfferPayload/additionalProperties"),
    ),
    Defect(
        "unknown-message-field-forwarded",
        "An undocumented property of a send is delivered.",
        ("VAL-09",),
        loosened("send", "/$defs/messagePayload/additionalProperties"),
    ),
)


def _after_all(original: Invalid, it: Dispatcher, session: Session, frame: Frame) -> None:
    """The frame is refused, and handled all the same; only the answers to it are held back."""
    original(it, session, frame)
    app = it._app
    said, copy = app.turn.mark, deepcopy(frame)
    try:
        it._handlers[frame["type"]](app, session, copy)
    except Exception:
        app.turn.retract(said)
    app.turn._said[said:] = [item for item in app.turn._said[said:] if item[0] is not session.link]


def _of_types(*kinds: str) -> Callable[[App, Frame], bool]:
    return lambda _app, frame: frame.get("type") in kinds


EFFECTS = (
    Defect(
        "refused-receipt-counts",
        "A read_receipt that is refused counts for those of its messages that exist.",
        ("VAL-11",),
        invalid(_of_types("read_receipt", "delivery_ack"), _after_all),
    ),
    Defect(
        "refused-message-delivered",
        "A send that is refused is delivered.",
        ("VAL-11", "VAL-12"),
        invalid(_of_types("send"), _after_all),
    ),
    Defect(
        "refused-typing-forwarded",
        "A typing or media_key that is refused is passed on.",
        ("VAL-12",),
        invalid(_of_types("typing", "media_key"), _after_all),
    ),
    Defect(
        "refused-signaling-forwarded",
        "A call_offer that is refused is passed on.",
        ("VAL-12",),
        invalid(_of_types(OFFER), _after_all),
    ),
)


@defect("twin-keys-smuggled", "Of two equal keys the first is checked, and the last passed on.", "VAL-16")
def twin_keys_smuggled(seams: Seams) -> None:
    twins: list[tuple[Frame, Frame]] = []  # the frame as it is checked, and as it is passed on

    def first_wins(pairs: list[tuple[str, Any]]) -> Frame:
        return dict(reversed(pairs))

    def decode(rightly: Callable[[bytes], Frame], _catalogue: Catalogue, data: bytes) -> Frame:
        twins.clear()
        try:
            return rightly(data)
        except FrameError as error:
            if error.reason != "duplicate-key":
                raise
            checked: Frame = json.loads(data, object_pairs_hook=first_wins)
            twins.append((checked, json.loads(data)))
            return checked

    def pass_on(
        original: Handler, app: App, session: Session, kind: str, frame: Frame, sessions: Iterable[Session]
    ) -> None:
        passed = next((last for first, last in twins if first is frame), frame)
        original(app, session, kind, passed, sessions)

    def to_user(
        original: Callable[..., None],
        app: App,
        session: Session,
        key: bytes,
        message_id: str,
        payload: Frame,
        at: str,
    ) -> None:
        passed = next((last["payload"] for first, last in twins if first["payload"] is payload), payload)
        deliver, told = app.frames.deliver, json.dumps(passed)
        with swapped(app.frames, "deliver", lambda _payload, *stamps: deliver(told, *stamps)):
            original(app, session, key, message_id, payload, at)

    decoding(decode)(seams)
    seams.around(relay, "pass_on", pass_on)
    seams.around(messages, "_to_user", to_user)


@defect("refused-send-takes-the-id", "A send that cannot be served uses up its message_id.", "VAL-20")
def refused_send_takes_the_id(seams: Seams) -> None:
    taken: set[str] = set()

    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        name = frame["message_id"].lower()
        if name in taken:
            app.turn.send(
                session, app.frames.make("sent_ack", {"status": "sent"}, message=frame["message_id"])
            )
            return
        try:
            original(app, session, frame)
        except Refused:
            taken.add(name)
            raise

    handling("send", wrapper)(seams)


@defect("unknown-group-acknowledged", "A send to a group that does not exist is acknowledged.", "VAL-20")
def unknown_group_acknowledged(seams: Seams) -> None:
    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        try:
            original(app, session, frame)
        except Refused:
            if not frame["payload"].get("group_id"):
                raise
            app.turn.send(
                session, app.frames.make("sent_ack", {"status": "sent"}, message=frame["message_id"])
            )

    handling("send", wrapper)(seams)
