"""Defects in errors, and in what becomes of the server's own faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from relaykit.reference_server.app import App
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import Frame, altering, doubling, lacking
from relaykit.reference_server.defects.blocks_said import overtaken, refusing
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.dispatch import Dispatcher
from relaykit.reference_server.ids import message_id_of
from relaykit.reference_server.refused import INVALID
from relaykit.reference_server.session import Session
from relaykit.reference_server.store import Store, StoreError
from relaykit.reference_server.turn import Turn

SHAPES = tuple(
    Defect(
        f"error-without-{name.replace('_', '-')}",
        f"An error lacks its {name}.",
        ("ERR-01",),
        lacking("error", f"/payload/{name}"),
    )
    for name in ("error_code", "message", "timestamp", "reconnect")
)

ANSWERS = (
    Defect(
        "error-twice",
        "A refused frame is answered with two errors.",
        ("ERR-04",),
        doubling("error", lambda frame: frame["payload"]["error_code"] == INVALID),
    ),
    Defect(
        "errors-tell-paths",
        "A server_error tells the path of the server's store.",
        ("ERR-08",),
        altering(
            "error",
            "/payload/message",
            lambda text: (
                'sqlite3.OperationalError: disk I/O error, File "/srv/relay/store.py", line 187'
                if "store" in text
                else text
            ),
        ),
    ),
    Defect(
        "errors-tell-the-parser",
        "An error about broken JSON is the parser's traceback.",
        ("ERR-08",),
        altering(
            "error",
            "/payload/message",
            lambda text: (
                f"Traceback (most recent call last): {text}" if text.startswith("not JSON") else text
            ),
        ),
    ),
)


def _about_the_last(last: dict[Session, str]) -> Callable[..., None]:
    """The error names the message that was refused before."""

    def change(
        original: Callable[..., None],
        it: Dispatcher,
        session: Session,
        code: str,
        text: str,
        frame: Frame | None,
    ) -> None:
        name = (frame or {}).get("message_id")
        said = {"message_id": last[session]} if frame is not None and session in last else frame
        if isinstance(name, str):
            last[session] = name
        original(it, session, code, text, said)

    return change


def _to_all_devices(
    original: Callable[..., None], it: Dispatcher, session: Session, code: str, text: str, frame: Frame | None
) -> None:
    original(it, session, code, text, frame)
    for other in it._app.hub.of_user(session.user):
        if other is not session:
            original(it, other, code, text, frame)


def _about_the_frame_before(seams: Seams) -> None:
    last: dict[Session, str] = {}

    def handle(original: Callable[..., None], self: Dispatcher, session: Session, frame: Frame) -> None:
        if isinstance(frame.get("message_id"), str):
            last[session] = frame["message_id"]
        original(self, session, frame)

    def change(
        original: Callable[..., None],
        it: Dispatcher,
        session: Session,
        code: str,
        text: str,
        frame: Frame | None,
    ) -> None:
        unnamed = frame is None or message_id_of(frame) is None
        before = {"message_id": last[session]} if unnamed and session in last else frame
        original(it, session, code, text, before)

    seams.around(Dispatcher, "_handle", handle)
    refusing(change)(seams)


REFUSALS = (
    Defect(
        "error-about-the-frame-before",
        "An error for a frame without a message_id names the message that was handled before it.",
        ("ERR-03",),
        _about_the_frame_before,
    ),
    Defect(
        "error-about-the-last-one",
        "An error names the message that was refused before this one.",
        ("ERR-03",),
        refusing(_about_the_last({})),
    ),
    Defect(
        "error-to-all-devices",
        "All devices of the user get the error for a frame of one of them.",
        ("ERR-06",),
        refusing(_to_all_devices),
    ),
)


SWAPPED = (
    Defect(
        "errors-swapped",
        "Of two errors close on each other the second comes first.",
        ("ERR-05",),
        overtaken(lambda data: orjson.loads(data)["type"] == "error" and b'"auth_failed"' not in data, 0.1),
    ),
)


# --- the server's own faults ---


@defect("fault-blamed-on-the-client", "A fault of the server is reported as invalid_message.", "ERR-07")
def fault_blamed_on_the_client(seams: Seams) -> None:
    def error(original: Callable[..., bytes], self: App, message_id: str | None) -> bytes:
        return original(self, message_id).replace(b'"server_error"', b'"invalid_message"')

    seams.around(App, "_server_error", error)


@defect("fault-unsaid", "A frame on which the server failed is not answered.", "ERR-07")
def fault_unsaid(seams: Seams) -> None:
    def without(_original: Callable[..., Any], self: Turn, said: list[Any], bound: list[Any]) -> list[Any]:
        kept: list[Any] = []
        position = 0
        for start, end, link, otherwise in bound:
            kept += said[position:start]
            position = end
            if callable(otherwise):
                kept.append((link, otherwise))
        return kept + said[position:]

    seams.around(Turn, "_without", without)


@defect("acknowledged-and-failed", "A message that could not be stored is acknowledged.", "ERR-09")
def acknowledged_and_failed(seams: Seams) -> None:
    def without(original: Callable[..., Any], self: Turn, said: list[Any], bound: list[Any]) -> list[Any]:
        acks = [item for item in said if isinstance(item[1], bytes) and b'"sent_ack"' in item[1]]
        return acks + list(original(self, said, bound))

    seams.around(Turn, "_without", without)


@defect("delivered-and-failed", "A message that could not be stored is delivered all the same.", "ERR-09")
def delivered_and_failed(seams: Seams) -> None:
    def without(original: Callable[..., Any], self: Turn, said: list[Any], bound: list[Any]) -> list[Any]:
        told = [item for item in said if isinstance(item[1], bytes) and b'"deliver"' in item[1]]
        return list(original(self, said, bound)) + told

    seams.around(Turn, "_without", without)


@defect("never-gets-over-it", "After a failed write, all writes fail.", "ERR-10")
def never_gets_over_it(seams: Seams) -> None:
    failed: list[StoreError] = []

    def commit(original: Callable[[Store], None], self: Store) -> None:
        try:
            original(self)
        except StoreError as error:
            failed.append(error)
        if failed:
            if self.dirty:
                self._rollback()
            raise failed[0]

    seams.around(Store, "commit", commit)


@defect("failed-message-refused", "A message on which the server failed once is refused for ever.", "ERR-11")
def failed_message_refused(seams: Seams) -> None:
    failed: set[object] = set()

    def error(original: Callable[..., bytes], self: App, message_id: str | None) -> bytes:
        failed.add(message_id)
        return original(self, message_id)

    def handle(original: Callable[..., None], self: Dispatcher, session: Session, frame: Frame) -> None:
        if frame["type"] == "send" and frame["message_id"] in failed:
            self._refuse(session, INVALID, "this message_id was used", frame)
        else:
            original(self, session, frame)

    seams.around(App, "_server_error", error)
    seams.around(Dispatcher, "_handle", handle)


UNNAMED = (
    Defect(
        "error-without-message-id",
        "An error does not say which frame it is about.",
        ("ERR-02",),
        lacking("error", "/message_id"),
    ),
)


def _instead_of_the_last(
    original: Callable[..., None], it: Dispatcher, session: Session, code: str, text: str, frame: Frame | None
) -> None:
    said = it._app.turn._said
    link, before = said[-1] if said else (None, None)
    if code == INVALID and link is session.link and isinstance(before, bytes) and b'"error"' in before:
        said.pop()
    original(it, session, code, text, frame)


MERGED = (
    Defect(
        "errors-merged",
        "Of frames that are refused at once, the last alone is answered.",
        ("VAL-08",),
        refusing(_instead_of_the_last),
    ),
)
