"""Defects in what becomes of a connection on which a frame was refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import Frame
from relaykit.reference_server.defects.blocks_said import refusing
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.dispatch import Dispatcher
from relaykit.reference_server.refused import INVALID
from relaykit.reference_server.session import Session


def _and_closed(
    original: Callable[..., None], it: Dispatcher, session: Session, code: str, text: str, frame: Frame | None
) -> None:
    original(it, session, code, text, frame)
    if code == INVALID:
        it._app.end(session, 1008, "invalid frame")


def _and_closed_later(
    original: Callable[..., None], it: Dispatcher, session: Session, code: str, text: str, frame: Frame | None
) -> None:
    original(it, session, code, text, frame)
    if code == INVALID and frame is not None and frame.get("type") == "media_key":
        asyncio.get_running_loop().call_later(0.3, it._app.end, session, 1008, "invalid frame")


CLOSED = (
    Defect(
        "closed-on-bad-input",
        "A connection on which a frame was refused is closed.",
        ("VAL-13",),
        refusing(_and_closed),
    ),
    Defect(
        "closed-a-while-after-bad-input",
        "A connection on which a media_key was refused is closed 0.3 s later.",
        ("VAL-13",),
        refusing(_and_closed_later),
    ),
)


@defect("deaf-after-bad-input", "After a refused frame nothing more is taken on its connection.", "VAL-13")
def deaf_after_bad_input(seams: Seams) -> None:
    deaf: set[Session] = set()

    def refuse(original: Callable[..., None], self: Dispatcher, session: Session, *words: Any) -> None:
        original(self, session, *words)
        deaf.add(session)

    def receive(
        original: Callable[..., None], self: Dispatcher, session: Session, data: bytes, text: bool = True
    ) -> None:
        if session not in deaf:
            original(self, session, data, text=text)

    seams.around(Dispatcher, "_refuse", refuse)
    seams.around(Dispatcher, "receive", receive)
