"""What the cases cover: every requirement, frame, error code and transition, or there is a reason."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner
from support.suite import every_case

from relaykit.conformance.commands import list_
from relaykit.conformance.coverage import check_moves, coverage
from relaykit.conformance.results import Case
from relaykit.errors import UsageError
from relaykit.schemas import load_catalogue, state_machines


def without(*ids: str) -> tuple[Case, ...]:
    return tuple(case for case in every_case() if case.id not in ids)


def test_whatever_the_protocol_lists_is_covered_or_says_why_not() -> None:
    found = coverage(load_catalogue(), every_case())
    assert not list(found.open())
    excused = {row.id for row in found.requirements if row.untested}
    assert not [row.id for row in found.requirements if row.untested and row.cases], (
        "a case proves it after all"
    )
    assert len(excused) < 10


def test_what_only_one_case_covers_is_open_without_it() -> None:
    catalogue = load_catalogue()
    assert list(coverage(catalogue, without("server-fault")).open()) == [
        "no case proves ERR-07, and it has no `untested: reason`",
        "no case proves ERR-09, and it has no `untested: reason`",
        "no case proves ERR-10, and it has no `untested: reason`",
        "no case proves ERR-11, and it has no `untested: reason`",
        "no case goes the way 'message-failed' (message: new → refused)",
    ]
    missing = list(coverage(catalogue, without("idle-is-pinged", "keep-alive-by-waiting")).open())
    assert "no case expects the s2c frame 'ping'" in missing


def test_shapes_cover_what_only_a_schema_says() -> None:
    rows = {row.id: row for row in coverage(load_catalogue(), ()).requirements}
    assert "shape-sent-ack" in rows["MSG-06"].cases
    assert rows["ENV-02"].cases
    assert not rows["MSG-12"].cases


def test_directions_are_told_apart() -> None:
    found = coverage(load_catalogue(), [case for case in every_case() if case.id == "message-life"])
    covered = {(row.direction, row.type) for row in found.frames if row.cases}
    sent = {("c2s", kind) for kind in ("send", "delivery_ack", "read_receipt")}
    assert covered == sent | {("s2c", kind) for kind in ("sent_ack", "deliver", "status_update")}


def test_a_case_cannot_claim_a_way_that_it_does_not_prove() -> None:
    catalogue = load_catalogue()
    (case,) = (case for case in every_case() if case.id == "message-life")
    with pytest.raises(UsageError, match=r"there is no way 'message-red' \(did you mean 'message-read'"):
        check_moves(catalogue, [replace(case, moves=("message-red",))])
    with pytest.raises(UsageError, match="goes 'call-rejected', but does not prove CALL-30"):
        check_moves(catalogue, [replace(case, moves=("call-rejected",))])


def test_states_are_reached_and_moves_lead_somewhere() -> None:
    for machine in state_machines(load_catalogue()):
        reached = {name for name, state in machine.states.items() if state.kind == "start"}
        reached |= {move.end for move in machine.moves}
        assert reached == set(machine.states)
        left = {move.start for move in machine.moves if move.start != move.end}
        assert {name for name, state in machine.states.items() if state.kind != "end"} == left


def test_the_tables_are_printed() -> None:
    said = CliRunner().invoke(list_, ["--coverage"], standalone_mode=False)
    assert not said.exception
    assert "free → free: call_offer to somebody who talks" in said.output
    assert "DEV-11" in said.output
    assert "untested: It permits and asks for nothing" in said.output
    assert "44 of 44 frames, 5 of 5 error codes" in said.output.replace("\n", " ")


def test_the_tables_are_data() -> None:
    said = CliRunner().invoke(
        list_, ["--coverage", "--format", "json", "--run", "area:calls"], standalone_mode=False
    )
    data = json.loads(said.output)
    assert set(data) == {"protocol", "requirements", "frames", "error_codes", "transitions", "open"}
    (row,) = (row for row in data["transitions"] if row["way"] == "call-rejected")
    assert row == {
        "machine": "call",
        "start": "ringing",
        "end": "over",
        "way": "call-rejected",
        "by": "call_reject",
        "requirements": ["CALL-30"],
        "cases": ["call-reject-frees"],
    }
    assert "no case proves MSG-12, and it has no `untested: reason`" in data["open"]
