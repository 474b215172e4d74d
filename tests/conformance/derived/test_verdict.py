"""What came after a frame that is to be refused, and what that shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relaykit.conformance.derived.verdict import Seen, judged
from relaykit.schemas import load_catalogue

CATALOGUE = load_catalogue()
NAME = "7d9f2c1e-3b4a-4c5d-8e6f-0a1b2c3d4e5f"


def error(code: str = "invalid_message", about: str | None = None) -> dict[str, Any]:
    frame: dict[str, Any] = {"type": "error", "payload": {"error_code": code}}
    return {**frame, "message_id": about} if about else frame


GOOD = Seen(answers=(error(),), answered=True, ended=None, close_code=None, reached=())
SCHEMA, SHOULD, UTF8 = ("VAL-08", "VAL-27"), ("VAL-10",), ("TRAN-08",)
DELIVER = {"type": "deliver", "payload": {"ciphertext": "x"}}
SMUGGLED = {"type": "deliver", "payload": {"x_stowaway": 1}}


def broken(refusal: tuple[str, ...], seen: Seen, message_id: Any = None) -> set[str]:
    outcomes = judged(CATALOGUE, refusal, seen, message_id, "alice", 1.0)
    return {name for outcome in outcomes if not outcome.ok for name in outcome.requirements}


def test_a_refusal_shows_all_that_a_refusal_is() -> None:
    outcomes = judged(CATALOGUE, SCHEMA, replace(GOOD, answers=(error(about=NAME),)), NAME.upper(), "a", 1.0)
    assert all(outcome.ok for outcome in outcomes)
    shown = {name for outcome in outcomes for name in outcome.requirements}
    assert shown == {*SCHEMA, "VAL-11", "VAL-12", "VAL-13", "ERR-03", "ERR-04"}


@pytest.mark.parametrize(
    ("refusal", "change", "expected"),
    [
        (SCHEMA, {"answers": ()}, {"VAL-08", "VAL-27"}),
        (SCHEMA, {"answers": ({"type": "sent_ack"},)}, {"VAL-08", "VAL-27"}),
        (SCHEMA, {"answers": (error("server_error"),)}, {"VAL-08", "VAL-27"}),
        (SCHEMA, {"answers": (error(), error())}, {"ERR-04"}),
        (SCHEMA, {"answers": (error(about=NAME[::-1]),)}, {"ERR-03"}),
        (SCHEMA, {"answers": (error(), {"type": "sent_ack"})}, {"VAL-11"}),
        (SCHEMA, {"answered": False, "ended": "closed (1002)", "close_code": 1002}, {"VAL-13"}),
        (SCHEMA, {"answered": False}, {"VAL-13"}),
        (SCHEMA, {"reached": (("bob", DELIVER),)}, {"VAL-12"}),
        (SCHEMA, {"reached": (("bob", DELIVER),), "answers": ()}, {"VAL-08", "VAL-27"}),
        (SHOULD, {"answers": ()}, {"VAL-10"}),
        (SHOULD, {"answers": (), "reached": (("bob", DELIVER),)}, {"VAL-10"}),
        (SHOULD, {"answers": (), "reached": (("bob", SMUGGLED),)}, {"VAL-09", "VAL-10"}),
        (SHOULD, {"reached": (("bob", SMUGGLED),)}, {"VAL-09", "VAL-12"}),
        (SCHEMA, {"answers": (), "ended": "closed (1009)", "too_big": True}, set()),
        (SCHEMA, {"answers": (), "reached": (("bob", DELIVER),), "too_big": True}, {"VAL-12"}),
        (SCHEMA, {"answers": ({"type": "sent_ack"},), "too_big": True}, {"VAL-11"}),
        (UTF8, {"answers": ()}, {"TRAN-08"}),
        (UTF8, {"answered": False, "ended": "closed (1007)", "close_code": 1007, "answers": ()}, set()),
        (UTF8, {"answered": False, "ended": "closed (1002)", "close_code": 1002}, {"TRAN-08"}),
    ],
)
def test_what_is_wrong_is_told_by_the_requirement(
    refusal: tuple[str, ...], change: dict[str, Any], expected: set[str]
) -> None:
    assert broken(refusal, replace(GOOD, **change), NAME) == expected
