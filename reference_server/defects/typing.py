"""Defects in typing indicators."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from relaykit.reference_server.app import App
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import (
    Frame,
    Handler,
    echoing,
    everybody,
    handling,
    lacking,
    loosened,
    nobody,
    on_enter,
    only_first_device,
    own_devices_too,
    relaying,
    saying,
)
from relaykit.reference_server.defects.seams import Seams, swapped
from relaykit.reference_server.session import Session

_PAYLOAD = "/properties/payload"

SHAPES = tuple(
    Defect(
        f"typing-without-{name.replace('_', '-')}",
        f"A typing from the server lacks its {name}.",
        ("TYP-01",),
        lacking("typing", f"/payload/{name}"),
    )
    for name in ("conversation_id", "is_typing", "user_id", "timestamp")
)


@defect("client-typing-without-is-typing", "A client's typing without is_typing means true.", "TYP-01")
def client_typing_without_is_typing(seams: Seams) -> None:
    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        frame["payload"].setdefault("is_typing", True)
        original(app, session, frame)

    loosened("typing", f"{_PAYLOAD}/required/is_typing")(seams)
    handling("typing", wrapper)(seams)


def _first_member(_app: App, _session: Session, _frame: Frame, rightly: list[Session]) -> list[Session]:
    first = min((one.user for one in rightly), default="")
    return [one for one in rightly if one.user == first]


def _as_claimed(original: Handler, app: App, session: Session, frame: Frame) -> None:
    claimed = frame["payload"].get("user_id", frame.get("sender_id"))
    make = app.frames.make

    def made(kind: str, payload: Frame | None = None, **more: Any) -> bytes:
        return make(kind, payload, **{**more, "user": claimed or more["user"]})

    with swapped(app.frames, "make", made):
        original(app, session, frame)


def _from_strangers(original: Handler, app: App, session: Session, frame: Frame) -> None:
    members = app.people.conversation_members(frame["payload"]["conversation_id"].lower())
    if not members:
        original(app, session, frame)
        return
    with swapped(app.people, "conversation_members", lambda _: members | {session.user}):
        original(app, session, frame)


REACH = (
    Defect("typing-reaches-nobody", "A typing reaches nobody.", ("TYP-02",), relaying("typing", nobody)),
    Defect(
        "typing-to-one-member",
        "A typing reaches one of the other members only.",
        ("TYP-02",),
        relaying("typing", _first_member),
    ),
    Defect(
        "typing-to-one-device",
        "A typing reaches one device of each member.",
        ("TYP-03",),
        relaying("typing", only_first_device),
    ),
    Defect(
        "typing-to-everybody",
        "A typing reaches everybody who is connected.",
        ("TYP-04",),
        relaying("typing", everybody),
    ),
    Defect(
        "typing-to-own-devices",
        "A typing reaches the sender's other devices.",
        ("TYP-04",),
        relaying("typing", own_devices_too),
    ),
    Defect(
        "typing-comes-back",
        "A typing comes back to the sending connection.",
        ("TYP-05",),
        echoing("typing"),
    ),
    Defect(
        "typing-never-stops",
        "Every typing arrives with is_typing true.",
        ("TYP-06",),
        saying("typing", "/payload/is_typing", True),
    ),
    Defect(
        "typing-in-another-conversation",
        "A typing names another conversation.",
        ("TYP-06",),
        saying("typing", "/payload/conversation_id", "conv-00000000-0000-4000-8000-000000000000"),
    ),
    Defect(
        "typing-as-claimed",
        "A typing names the user whom the client's frame claims.",
        ("TYP-07",),
        handling("typing", _as_claimed),
    ),
    Defect(
        "typing-from-a-stranger",
        "Anybody's typing reaches the members of a conversation.",
        ("TYP-08",),
        handling("typing", _from_strangers),
    ),
)


@defect("typing-waits", "A typing waits for members who are away.", "TYP-09")
def typing_waits(seams: Seams) -> None:
    kept: defaultdict[str, list[bytes]] = defaultdict(list)

    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        payload = dict(frame["payload"])
        original(app, session, frame)
        for member in app.people.conversation_members(payload["conversation_id"].lower()):
            if not app.hub.of_user(member):
                kept[member].append(app.frames.make("typing", dict(payload), user=session.user))

    def hand_out(app: App, session: Session) -> None:
        for data in kept.pop(session.user, []):
            app.turn.send(session, data)

    handling("typing", wrapper)(seams)
    on_enter(hand_out)(seams)
