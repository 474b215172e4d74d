"""`relaykit explain`: every case says what happens in it, and a profile what it takes to claim it."""

from __future__ import annotations

import json

import pytest
from support.suite import every_case

from relaykit.conformance.explain import explain
from relaykit.errors import UsageError
from relaykit.schemas import load_catalogue

CATALOGUE = load_catalogue()


def said(name: str) -> str:
    return explain(CATALOGUE, every_case(), name)


def happens(name: str) -> list[str]:
    text = said(name)
    return text[text.index("what happens\n") :].splitlines()[1:]


def test_every_case_says_what_happens() -> None:
    assert all(len(happens(case.id)) > 3 for case in every_case())


def test_a_derived_case_shows_its_frame_and_what_is_to_come_of_it() -> None:
    lines = happens("derived/send/payload.ciphertext/pattern")
    sent = next(line for line in lines if '"type":"send"' in line)
    assert sent.endswith("(invalid)")
    frame = json.loads(sent[sent.index("{") : sent.rindex("}") + 1])
    assert not CATALOGUE.validate(frame, "c2s").valid
    assert any("invalid_message" in line and "VAL-27" in line for line in lines)
    assert any("[VAL-11, VAL-12]" in line for line in lines)
    served = happens("derived/send/payload.receiver_id/upper-case")
    assert any("bob ◀── server" in line and '"deliver"' in line for line in served)
    assert not any("(invalid)" in line for line in served)
    assert any(
        "and 253 more" in line for line in happens("derived/read_receipt/payload.message_ids/at-maxItems")
    )


def test_a_probe_shows_its_code_with_its_helpers() -> None:
    text = "\n".join(happens("carrier-query"))
    assert "async def carrier_query(context: Context)" in text
    assert "async def _served(" in text
    assert "@probe" not in text
    assert "def _signature(" in "\n".join(happens("token-signature")), "of one made in a loop, what differs"


def test_a_profile_tells_what_shows_it_and_what_a_run_needs() -> None:
    text = said("core")
    assert "where declared media_keys, presence, typing" in text
    assert "relaykit list --coverage" in text
    after = text[text.index("limits.waiting_per_user stated\n") :].splitlines()
    assert after[1].strip() == "for LIM-20"
    assert "control: create_group" in said("groups")
    assert "control: create_group" not in text


def test_an_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no profile.*'cores'"):
        said("cores")
