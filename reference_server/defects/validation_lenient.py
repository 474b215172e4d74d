"""Defects in what the server takes, though it should refuse it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from copy import deepcopy

from relaykit.reference_server.app import App
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import Frame, Handler, decoding, handling
from relaykit.reference_server.defects.seams import Seams, swapped
from relaykit.reference_server.defects.validation import invalid
from relaykit.reference_server.dispatch import Dispatcher
from relaykit.reference_server.refused import Refused
from relaykit.reference_server.session import Session
from relaykit.schemas import Catalogue, FrameError


def _too_much(app: App, frame: Frame) -> list[str]:
    """Pointers to the undocumented properties of a frame that is valid but for them."""
    findings = app.catalogue.judge(frame, "c2s").findings
    rule = app.catalogue.protocol.faults["c2s"]["undocumented"]
    return [f.pointer for f in findings] if all(f.requirement == rule for f in findings) else []


def _without_them(_original: Callable[..., None], it: Dispatcher, session: Session, frame: Frame) -> None:
    kept = deepcopy(frame)
    for pointer in _too_much(it._app, frame):
        *way, name = pointer.split("/")[1:]
        holder = kept
        for step in way:
            holder = holder[step]
        del holder[name]
    it._handle(session, kept)


def taking_text(reason: str, read: Callable[[bytes], object]) -> Callable[[Seams], None]:
    """Text that strict JSON refuses for a reason is read in another way."""

    def decode(rightly: Callable[[bytes], Frame], _catalogue: Catalogue, data: bytes) -> Frame:
        try:
            return rightly(data)
        except FrameError as error:
            if error.reason != reason:
                raise
            try:
                found = read(data)
            except RecursionError:
                raise error from None
            if not isinstance(found, dict):
                raise
            return found

    return decoding(decode)


def refusing_text(wrongly: Callable[[Catalogue, bytes], bool]) -> Callable[[Seams], None]:
    """Text that is right is refused, where this says so."""

    def decode(rightly: Callable[[bytes], Frame], catalogue: Catalogue, data: bytes) -> Frame:
        frame = rightly(data)
        if wrongly(catalogue, bytes(data)):
            raise FrameError("json", "refused without need")
        return frame

    return decoding(decode)


def _greatest(data: bytes) -> int:
    """The greatest integer that stands for itself, whatever its sign."""
    found: list[int] = []

    def seen(text: str) -> int:
        found.append(abs(int(text)))
        return found[-1]

    json.loads(data, parse_int=seen)
    return max(found, default=0)


def _small(text: str) -> int:
    number = int(text)
    return number if abs(number) <= 2**53 else 2**53


def _number_or_nothing(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def _with_replacements(data: bytes) -> object:
    text = json.dumps(json.loads(data), ensure_ascii=False)
    return json.loads(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


TAKEN = (
    Defect(
        "nan-as-null",
        "NaN, Infinity and numbers beyond all doubles are taken as null.",
        ("VAL-04",),
        taking_text(
            "nan",
            lambda data: json.loads(data, parse_constant=lambda _: None, parse_float=_number_or_nothing),
        ),
    ),
    Defect(
        "unknown-property-accepted",
        "Properties that the protocol does not document are dropped, and the rest is served.",
        ("VAL-10",),
        invalid(lambda app, frame: bool(_too_much(app, frame)), _without_them),
    ),
    Defect(
        "twin-keys-accepted",
        "Of two equal keys the last one counts.",
        ("VAL-15",),
        taking_text("duplicate-key", json.loads),
    ),
    Defect(
        "lone-surrogate-replaced",
        "Half of a surrogate pair is taken as a replacement character.",
        ("VAL-17",),
        taking_text("surrogate", _with_replacements),
    ),
    Defect(
        "byte-order-mark-skipped",
        "A byte-order mark before a frame is passed over.",
        ("VAL-18",),
        taking_text("bom", lambda data: json.loads(data.decode("utf-8-sig"))),
    ),
    Defect(
        "large-integers-cut",
        "An integer beyond 2^53 is taken as 2^53.",
        ("VAL-19",),
        taking_text("integer", lambda data: json.loads(data, parse_int=_small)),
    ),
    Defect(
        "great-integers-refused",
        "An integer that 32 bits do not hold is refused.",
        ("VAL-22",),
        refusing_text(lambda _, data: _greatest(data) >= 2**32),
    ),
)


@defect("unservable-frame-dropped", "What is valid but cannot be served is dropped without a word.", "VAL-21")
def unservable_frame_dropped(seams: Seams) -> None:
    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        mark = app.turn.mark
        try:
            original(app, session, frame)
        except Refused:
            app.turn.retract(mark)

    handling("*", wrapper)(seams)


@defect(
    "twin-sender-smuggled", "Of two sender_ids in a frame the first is checked, the last passed on.", "VAL-16"
)
def twin_sender_smuggled(seams: Seams) -> None:
    twins: list[Frame] = []

    def noted(data: bytes) -> object:
        twins[:] = [json.loads(data)]
        return twins[0]

    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        if not any(twin is frame for twin in twins) or "sender_id" not in frame:
            original(app, session, frame)
            return
        deliver, true, claimed = app.frames.deliver, session.user.encode(), frame["sender_id"].encode()
        with swapped(app.frames, "deliver", lambda *stamps: deliver(*stamps).replace(true, claimed)):
            original(app, session, frame)

    taking_text("duplicate-key", noted)(seams)
    handling("send", wrapper)(seams)
