"""The parts of the fuzzer: what is generated is valid, what is changed is judged, the seed decides."""

from __future__ import annotations

import json
import random
from collections import Counter, deque
from functools import cache
from types import SimpleNamespace
from typing import Any, cast

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from relaykit.conformance.context import Context
from relaykit.conformance.fuzz.cells import Cell
from relaykit.conformance.fuzz.finding import Finding, without_file
from relaykit.conformance.fuzz.generator import FAIR, FORBIDDEN, Generator, Who, uuid
from relaykit.conformance.fuzz.link import Batch, Link, Room, Sent
from relaykit.conformance.fuzz.making import Maker
from relaykit.conformance.fuzz.memory import Memory
from relaykit.conformance.fuzz.mutator import mutated, respelt
from relaykit.conformance.fuzz.oracle import Duty, Oracle
from relaykit.conformance.fuzz.reach import Reach
from relaykit.conformance.fuzz.room import waits
from relaykit.conformance.fuzz.shrinking import _smaller
from relaykit.conformance.fuzz.sizes import Sizes
from relaykit.conformance.fuzz.suspects import bringing, count_sent, received
from relaykit.conformance.fuzz.trial import _arrived, template_of
from relaykit.conformance.fuzz.watching import TWICE, seen, shape
from relaykit.schemas import load_catalogue

CATALOGUE = load_catalogue()
SIZES = Sizes(65536, 1024, stated=True)
EVERYTHING = frozenset(CATALOGUE.protocol.capabilities)
TYPES = sorted(CATALOGUE.types("c2s") | CATALOGUE.types("s2c"))


@cache
def generator() -> Generator:
    return Generator(CATALOGUE, EVERYTHING, "test")


@cache
def oracle() -> Oracle:
    return Oracle(CATALOGUE)


def people(rng: random.Random) -> Who:
    return Who(*(uuid(rng, FAIR) for _ in range(4)), got=[uuid(rng, FAIR) for _ in range(5)])


def test_all_types_are_generated_in_many_outlines() -> None:
    assert generator().outlines.keys() == CATALOGUE.types("c2s")
    assert all(len(found) >= 16 for found in generator().outlines.values())
    assert set(Generator(CATALOGUE, frozenset({"core"}), "x").outlines) <= {
        kind for (_, kind), spec in CATALOGUE.frames.items() if spec.capability == "core"
    }


@settings(deadline=None)
@given(
    st.integers(0, 10**9), st.sampled_from([FAIR, FORBIDDEN]), st.sampled_from(sorted(CATALOGUE.types("c2s")))
)
def test_what_is_generated_is_valid_by_both_validators(seed: int, mark: str, kind: str) -> None:
    rng = random.Random(seed)
    who = people(rng)
    who.mark = mark
    frame = generator().frame(rng, who, kind)
    assert CATALOGUE.validate(json.dumps(frame), "c2s", engine="both").valid


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_the_oracle_says_what_the_catalogue_says(seed: int) -> None:
    rng = random.Random(seed)
    data = mutated(rng, generator().frame(rng, people(rng)), TYPES)
    duty, _ = oracle().duty(data)
    verdict = CATALOGUE.validate(data, "c2s")
    assert (duty is Duty.VALID) == verdict.valid
    try:
        json.loads(data.decode("utf-8-sig"))
    except json.JSONDecodeError:
        assert duty in (Duty.REFUSE, Duty.EITHER if data.startswith(b"\xef\xbb\xbf") else Duty.REFUSE)
        return  # whatever else is wrong before the place where it ends to be JSON
    except (ValueError, RecursionError):
        pass
    # A client's frame has no `server_id`; where there is one, its form is nobody's concern.
    if duty in (Duty.REFUSE, Duty.EITHER) and b"server_id" not in data:
        levels = {
            CATALOGUE.requirements[finding.requirement].level
            for finding in verdict.findings
            if finding.requirement
        }
        assert (duty is Duty.EITHER) == (levels == {"SHOULD"})


@settings(deadline=None)
@given(st.integers(0, 10**9))
def test_a_frame_that_is_spelt_otherwise_is_the_same_frame(seed: int) -> None:
    rng = random.Random(seed)
    frame = generator().frame(rng, people(rng))
    data = json.dumps(frame, separators=(",", ":"), ensure_ascii=False).encode()
    assert CATALOGUE.decode(respelt(rng, data)) == frame


def test_the_same_seed_makes_the_same_frames() -> None:
    def made(seed: int) -> list[bytes]:
        rng = random.Random(seed)
        who = people(rng)
        return [mutated(rng, generator().frame(rng, who), TYPES) for _ in range(200)]

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_what_is_reached_is_counted_once() -> None:
    reach = Reach(CATALOGUE, EVERYTHING)
    verdict = CATALOGUE.validate(b'{"type":"presence","payload":{"status":"x"}}', "c2s")
    assert reach.note(verdict.type, verdict.findings)
    assert not reach.note(verdict.type, verdict.findings)
    assert ("presence", "/payload/status", "enum") in reach.reached
    assert "presence /payload/status enum" not in reach.missing


def test_most_constraints_are_reached_by_chance() -> None:
    reach, rng = Reach(CATALOGUE, EVERYTHING), random.Random(3)
    who = people(rng)
    for _ in range(12_000):
        who.got = [uuid(rng, FAIR)]
        verdict = CATALOGUE.validate(mutated(rng, generator().frame(rng, who), TYPES), "c2s")
        reach.note(verdict.type, verdict.findings)
    assert len(reach.reached) > 0.9 * len(reach.possible), reach.missing


def test_memory_grows_if_it_does_so_for_as_long_as_frames_come() -> None:
    def samples(*megabytes: int) -> Memory:
        memory = Memory()
        for number, size in enumerate(megabytes):
            memory.note(number * 1000, size * 2**20)
        return memory

    assert not samples(50, 90, 120, 130, 131, 130, 131, 132, 131).grows
    assert samples(50, 100, 150, 200, 250, 300, 350, 400, 450).grows
    assert samples(120, 160, 200, 240, 280, 320, 360, 400, 440, 480).grows, "by the same for each frame"
    assert not samples(50, 500).grows
    assert not samples(20, 25, 30, 35, 40, 45, 50, 55, 60).grows, "it is little"
    assert not samples(*range(1000, 1301, 30)).grows, "it is not much of what it has"
    memory = Memory()
    memory.note(1, None)
    assert memory.growth() is None


def test_every_kind_of_encoding_is_made_and_judged() -> None:
    """Bytes that no UTF-8 has, other encodings, a byte-order mark, halves of surrogate pairs."""
    rng = random.Random(3)
    seen: set[str] = set()
    for _ in range(6000):
        data = mutated(rng, generator().frame(rng, people(rng)), TYPES)
        duty, why = oracle().duty(data)
        if duty is Duty.CLOSE:
            seen.add("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "no utf-8")
        elif isinstance(why, str):
            seen.add("nul bytes" if b"\x00" in data and duty is Duty.REFUSE else why)
    assert {"utf-16", "no utf-8", "bom", "surrogate", "nul bytes"} <= seen


def test_what_would_pass_for_forwarded_and_what_may_be_answered_or_not_are_not_sent() -> None:
    """The mark of what must be refused on what may be accepted, in whatever letters; doubtful keep-alives."""
    frame = {"type": "pong", "message_id": f"{FORBIDDEN}-3333-4333-8333-333333333333"}
    plain = json.dumps(frame).encode()
    marked = plain.replace(FORBIDDEN.encode(), FORBIDDEN.upper().encode())
    spelt = plain.replace(b"bad0", b"\\u0062ad0")
    assert spelt != plain != marked
    doubtful = b'{"type":"heartbeat","more":1}'
    maker = Maker(
        generator(), oracle(), TYPES, "seed", [], SIZES, deque([plain, marked, spelt, doubtful] * 9)
    )
    link: Any = SimpleNamespace(
        who=people(random.Random(1)), room=Room(), interval=SimpleNamespace(acks=set())
    )
    sent = {sent.data for _ in range(60) for sent in maker.batch(link, 24).sent}
    assert sent.isdisjoint({plain, marked, spelt, doubtful})
    assert plain.replace(FORBIDDEN.encode(), FAIR.encode()) in sent, "with the other mark it is"


def test_messages_that_end_their_connection_are_kept_apart_and_the_corpus_changes_nothing_else() -> None:
    def made(corpus: list[bytes], first: list[bytes]) -> tuple[list[bytes], Maker]:
        maker = Maker(generator(), oracle(), TYPES, "seed", corpus, SIZES, deque(first))
        link: Any = SimpleNamespace(
            who=people(random.Random(1)), room=Room(), interval=SimpleNamespace(acks=set())
        )
        return [sent.data for _ in range(60) for sent in maker.batch(link, 24).sent], maker

    alone, maker = made([], [])
    assert 0 < len(maker.closing) <= 4
    assert all(oracle().duty(data)[0] is Duty.CLOSE for data in maker.closing)
    assert not any(oracle().duty(data)[0] is Duty.CLOSE for data in alone)
    kept = [b'{"type":"heartbeat","x":1}', b"[]"]
    more, _ = made(kept, kept)
    assert kept[1] in more[:24], "what the folder holds goes first"
    assert set(alone[:900]) <= set(more), "what is made without them is the same"


def test_two_properties_that_need_each_other_are_left_out_together() -> None:
    assert b'{"c":3}' in list(_smaller(b'{"a":1,"b":2,"c":3}'))


def test_of_what_may_have_brought_a_frame_some_of_each_kind_are_tried_and_not_too_many() -> None:
    def sent(kind: str, fault: str = "") -> Sent:
        return Sent(b"{}", Duty.EITHER, exact=False, kind=kind, fault=fault)

    many = [sent(kind, fault) for kind in TYPES for fault in ("", "bom") for _ in range(9)]
    interval = SimpleNamespace(batches=[SimpleNamespace(sent=many)])
    cell: Any = SimpleNamespace(links={"alice.phone": SimpleNamespace(interval=interval)})
    likely = bringing(cell, {"type": "error"}, TWICE)
    assert len(likely) == 64
    alike = Counter((each.kind, each.fault) for _, _, each in likely)
    assert set(alike.values()) == {4}


def test_what_holds_the_offending_value_is_tried_before_what_is_valid() -> None:
    def sent(frame: dict[str, Any], duty: Duty) -> Sent:
        kind = frame["type"] if duty is Duty.VALID else ""
        return Sent(orjson.dumps(frame), duty, exact=duty is Duty.VALID, kind=kind)

    def reject(reason: str) -> dict[str, Any]:
        return {"type": "call_reject", "payload": {"call_id": "c", "reason": reason}}

    valid = [sent({"type": kind, "n": n}, Duty.VALID) for kind in TYPES for n in range(9)]
    wrong = [sent({"type": "typing", "n": n}, Duty.REFUSE) for n in range(9)]
    culprit, other = (sent(reject(reason), Duty.REFUSE) for reason in ("in words", "others"))
    interval = SimpleNamespace(batches=[SimpleNamespace(sent=[*valid, *wrong, other, culprit])])
    cell: Any = SimpleNamespace(links={"alice.phone": SimpleNamespace(interval=interval)})
    watch = shape("VAL-28", "odd", "call_reject", "/payload/reason", "pattern")
    likely = [each for _, _, each in bringing(cell, reject("in words"), watch)]
    assert likely[:2] == [culprit, other]
    found = Finding("shape", "odd", ("VAL-28",), tried=(len(likely), count_sent(cell)))
    assert f"of {count_sent(cell)} messages the 64 likeliest" in str(without_file(found, "again", gone=False))


def test_what_the_suites_own_heartbeats_bring_does_not_count_but_for_acks() -> None:
    def came(frame: dict[str, Any], *, kit: bool) -> Any:
        entry: Any = SimpleNamespace(direction="s2c", frame=frame, kit=kit, actor="bob")
        verdict = CATALOGUE.validate(frame, "s2c")
        fault = verdict.findings[0]
        return seen(CATALOGUE, [entry], shape("X", "odd", verdict.type, fault.pointer, fault.keyword))

    for frame in ({"type": "error"}, {"type": "heartbeat_ack"}):
        assert came(frame, kit=False) == ("bob", frame)
        assert (came(frame, kit=True) is not None) == (frame["type"] == "heartbeat_ack")


def test_what_stands_for_an_identifier_is_left_whole_when_bytes_are_left_out() -> None:
    for smaller in _smaller(b'x{"a":"<<alice.phone.id>>\xff<<new.face0fee.0|upper>>"'):
        left = smaller.replace(b"<<alice.phone.id>>", b"").replace(b"<<new.face0fee.0|upper>>", b"")
        assert b"<" not in left
        assert b">" not in left


GROUP = "group-C0FFEE00-0000-4000-8000-00000000000A"
"""As a target spells it that writes identifiers in upper case."""


def test_what_a_target_spells_in_upper_case_keeps_its_name_in_a_trial() -> None:
    who = people(random.Random(1))
    who.group = GROUP

    def template(group: str, **more: str) -> dict[str, Any]:
        payload = {"group_id": group, "ciphertext": "eA==", "message_type": "text"}
        data = json.dumps({"type": "send", **more, "payload": payload}).encode()
        made = template_of(Sent(data, Duty.VALID, exact=True, kind="send"), who, "alice.phone", set()).data
        return dict(json.loads(made))

    assert template(GROUP)["payload"]["group_id"] == "group-<<group>>"
    assert template(GROUP.lower())["payload"]["group_id"] == "group-<<group>>"
    assert template(GROUP, sender_id=who.user.upper())["sender_id"] == "<<alice.id|upper>>"
    assert template(GROUP, sender_id=who.user)["sender_id"] == "<<alice.id>>"


def test_what_comes_in_upper_case_is_the_same_message_and_the_same_mark() -> None:
    link = Link(people(random.Random(1)), "bob", {"deliver": lambda _: True})

    def deliver(name: str) -> None:
        link._text(json.dumps({"type": "deliver", "message_id": name}).encode())

    fair, forbidden = (uuid(random.Random(2), mark) for mark in (FAIR, FORBIDDEN))
    deliver(fair.upper())
    assert received(link) == {fair}
    assert not link.interval.twice
    deliver(fair)
    assert link.interval.twice == [fair]
    assert not link.interval.forbidden
    deliver(forbidden.upper())
    assert [frame["message_id"] for frame in link.interval.forbidden] == [forbidden.upper()]


def test_errors_for_what_nobody_is_there_to_get_are_no_doubt_once_a_connection_has_ended() -> None:
    """A server may close after repeated violations (VAL-14), and then has nobody to pass a relay on to."""
    names = ("alice.phone", "alice.laptop", "bob")
    phone, laptop, bob = (Link(people(random.Random(1)), name, {}) for name in names)
    cell = Cell(cast(Context, None), dict(zip(names, (phone, laptop, bob), strict=True)))
    bad = Sent(b"[]", Duty.REFUSE, exact=False, kind="", fault="array")
    relay, message = (Sent(b"{}", Duty.VALID, exact=True, kind=kind) for kind in ("sync_data", "send"))

    def doubted(*sent: Sent, errors: int) -> bool:
        refused = sum(each is bad for each in sent)
        phone.suspicious = [Batch(sent, refused, refused, 1, errors)]
        return any(cell.doubtful())

    assert doubted(bad, relay, errors=2), "all are there"
    laptop.interval.batches.append(Batch([bad, bad], 2, 2, 1))
    laptop._end("closed (1008)")
    assert not doubted(bad, relay, errors=2)
    assert not cell.suspicious, "it had violated the protocol more than once"
    assert doubted(bad, relay, errors=3), "more than what is passed on explains"
    assert doubted(bad, message, errors=2), "a message waits for whoever is not there"
    assert doubted(bad, relay, errors=0)
    phone.suspicious, laptop.interval.batches = [], []
    assert cell.suspicious, "it had done nothing"


def test_an_acknowledgment_of_what_is_not_known_to_have_come_need_not_be_served_in_a_trial() -> None:
    """Batches are made ahead: one may be sent when the interval in which its messages came is over."""
    came, lost = (uuid(random.Random(seed), FAIR) for seed in (1, 2))
    owners = {came: "bob"}
    assert _arrived({"type": "delivery_ack", "message_id": came.upper()}, owners)
    assert not _arrived({"type": "delivery_ack", "message_id": lost}, owners)
    assert not _arrived({"type": "read_receipt", "payload": {"message_ids": [came, lost]}}, owners)
    assert _arrived({"type": "read_receipt", "message_id": lost, "payload": {"message_ids": [came]}}, owners)
    assert _arrived({"type": "send", "message_id": lost}, owners)


def test_where_few_messages_may_wait_no_more_are_made_and_those_made_before_can_be_dropped() -> None:
    def messages(maker: Maker) -> int:
        return sum(waits(sent) for _ in range(20) for sent in maker.batch(link, 24).sent)

    link: Any = SimpleNamespace(
        who=people(random.Random(1)), room=Room(), interval=SimpleNamespace(acks=set())
    )
    maker = Maker(generator(), oracle(), TYPES, "seed", [], SIZES)
    while not maker.held:
        maker.batch(link, 24)
    maker.drop_waiting()
    link.room.left = 3 - maker.held
    assert (maker.held, messages(maker) + maker.held) == (0, 3)
