"""The one relay: where each type goes, what is stamped, and that a new type needs no code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.catalogues import with_new_type
from support.server import Peer, Running, in_loop, new_id, running_server

from relaykit.errors import KitDefect
from relaykit.reference_server.dispatch import HANDLERS
from relaykit.schemas import load_catalogue

CATALOGUE = load_catalogue()
RELAYED = sorted(
    kind for kind in CATALOGUE.types("c2s") if CATALOGUE.frame("c2s", kind).route and kind not in HANDLERS
)
STALE = "2020-01-01T00:00:00Z"


def example(kind: str, *, to: str | None) -> dict[str, Any]:
    """The type's own example, addressed to someone, with claims that are all false."""
    spec = CATALOGUE.frame("c2s", kind)
    whole: dict[str, Any] = json.loads(json.dumps(spec.examples[0]))
    assert spec.route is not None
    if spec.route.by is not None and to is not None:
        whole["payload"][spec.route.by.split("/")[2]] = to
    whole |= {"sender_id": new_id(), "device_id": new_id(), "timestamp": STALE}
    for claim in ({"user_id": new_id()}, {"timestamp": STALE}):  # in the payload, where the type has them
        claiming = {**whole, "payload": whole["payload"] | claim}
        whole = claiming if CATALOGUE.is_valid(claiming, "c2s") else whole
    return whole


async def scene(server: Running, kind: str) -> tuple[Peer, list[Peer], list[Peer], str | None]:
    """A sender, those who hear it, those who do not, and the address."""
    alice, bob = await server.pair()
    laptop, tablet = await server.connect(alice.user), await server.connect(bob.user)
    mallory = await server.connect()
    route = CATALOGUE.frame("c2s", kind).route
    assert route is not None
    if route.to == "user":
        return alice, [bob, tablet], [laptop, mallory], bob.user.upper()
    if route.to == "device":
        return (
            alice,
            [laptop],
            [bob, tablet, mallory, await server.connect(alice.user)],
            laptop.device.upper(),
        )
    if route.to == "contacts":
        server.app.people.befriend(alice.user, bob.user)
        return alice, [bob, tablet], [laptop, mallory], None
    return alice, [bob, tablet], [laptop, mallory], server.app.people.conversation_of([alice.user, bob.user])


@pytest.mark.parametrize("kind", RELAYED)
@in_loop
async def test_a_relayed_frame_reaches_exactly_its_addressees_with_true_stamps(kind: str) -> None:
    async with running_server() as server:
        alice, hearers, others, address = await scene(server, kind)
        sent = example(kind, to=address)
        await alice.send(sent)
        stamps = CATALOGUE.frame("s2c", kind).stamps
        truth = {"user": alice.user, "device": alice.device}
        for hearer in hearers:
            got = await hearer.expect(kind)
            for pointer, source in stamps.items():
                path = pointer.split("/")[1:]
                value = got[path[0]] if len(path) == 1 else got[path[0]][path[1]]
                assert value == truth.get(source, value), pointer
                assert value != STALE, pointer
            stamped = {pointer.split("/")[2] for pointer in stamps if pointer.startswith("/payload/")}
            for name, value in sent["payload"].items():
                if name not in stamped:
                    assert got["payload"][name] == value
        await alice.silent()
        for other in others:
            await other.silent(alice)


@in_loop
async def test_a_relay_never_comes_back_to_its_connection() -> None:
    async with running_server() as server:
        alice = await server.connect()
        twin = await server.connect(alice.user, alice.device)
        await alice.send(example("sync_request", to=alice.device))
        await twin.expect("sync_request")
        await alice.silent()


@in_loop
async def test_what_cannot_be_relayed_gets_an_error_or_silence() -> None:
    async with running_server() as server:
        alice, bob = await server.pair()
        message_id = new_id()
        conversation = server.app.people.conversation_of([bob.user, new_id()])
        for kind, to in (
            ("typing", conversation),
            ("typing", f"conv-{new_id()}"),
            ("sync_request", bob.device),
            ("sync_request", new_id()),
        ):
            await alice.send({**example(kind, to=to), "message_id": message_id})
            await alice.expect_error("invalid_message", message_id)
        await alice.send(example("media_key", to=new_id()))  # nobody there: silence
        await bob.silent(alice)


@in_loop
async def test_contacts_come_from_messages_in_both_directions() -> None:
    async with running_server() as server:
        people = server.app.people
        a, b = new_id(), new_id()
        assert not people.note_written(a, b)
        assert people.contacts(a) == people.contacts(b) == frozenset()
        assert people.note_written(b, a)
        assert (people.contacts(a), people.contacts(b)) == ({b}, {a})
        assert not people.note_written(a, b)
        assert not people.note_written(a, a)
        assert people.contacts(a) == {b}


@in_loop
async def test_a_new_relayed_type_is_data_alone(tmp_path: Path) -> None:
    root = with_new_type(tmp_path, "wave", route={"to": "user", "by": "/payload/recipient_id"})
    async with running_server(catalogue=load_catalogue(root)) as server:
        alice, bob = await server.pair()
        sent = {**example("media_key", to=bob.user), "type": "wave"}
        await alice.send(sent)
        got = await bob.expect("wave", sender_id=alice.user)
        assert got["payload"]["encrypted_key"] == sent["payload"]["encrypted_key"]
        assert got["payload"]["timestamp"] != STALE
        await alice.send({**sent, "payload": {}})
        await alice.expect_error("invalid_message", sent.get("message_id"))
        await bob.silent(alice)


@in_loop
async def test_a_type_that_nothing_serves_stops_the_server_from_starting(tmp_path: Path) -> None:
    root = with_new_type(tmp_path, "wave", route=None)
    with pytest.raises(KitDefect, match="wave"):
        async with running_server(catalogue=load_catalogue(root)):
            pass
