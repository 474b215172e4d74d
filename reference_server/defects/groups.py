"""Defects in messages to groups, and in who is a member."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import orjson

from relaykit.reference_server import messages
from relaykit.reference_server.app import App
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import (
    Frame,
    Handler,
    altering,
    doubling,
    entry_of,
    handling,
    lacking,
    reencoded,
    saying,
    sending,
)
from relaykit.reference_server.defects.messages_status import Acknowledge, acknowledging
from relaykit.reference_server.defects.seams import Seams, swapped
from relaykit.reference_server.ids import key_of
from relaykit.reference_server.mailbox import SENT, Box, Mailboxes
from relaykit.reference_server.people import People
from relaykit.reference_server.session import Session

Members = frozenset[str]

SHAPES = tuple(
    Defect(
        f"group-message-without-{name.replace('_', '-')}",
        f"A group_message lacks its {name}.",
        ("GRP-01",),
        lacking("group_message", f"/payload/{name}"),
    )
    for name in ("message_id", "group_id", "sender_id", "encrypted_content", "timestamp", "message_type")
)


def _as_deliver(frame: Frame) -> Frame:
    old = frame["payload"]
    return {
        "type": "deliver",
        "message_id": old["message_id"],
        "sender_id": old["sender_id"],
        "timestamp": old["timestamp"],
        "payload": {
            "group_id": old["group_id"],
            "ciphertext": old["encrypted_content"],
            "message_type": old["message_type"],
        },
    }


def _without_media(frame: Frame) -> Frame:
    for name in ("media_id", "media_type"):
        frame["payload"].pop(name, None)
    return frame


CONTENT = (
    Defect(
        "group-message-twice",
        "Every group_message comes twice.",
        ("GRP-04",),
        doubling("group_message"),
    ),
    Defect(
        "group-message-in-both-forms",
        "A message to a group comes as group_message and as deliver.",
        ("GRP-05",),
        sending("group_message", lambda frame, *_: [frame, _as_deliver(frame)]),
    ),
    Defect(
        "group-ciphertext-reencoded",
        "Ciphertexts to groups are decoded and encoded again.",
        ("GRP-06",),
        altering("group_message", "/payload/encrypted_content", reencoded),
    ),
    Defect(
        "group-message-type-flattened",
        "Every message to a group arrives as a text.",
        ("GRP-07",),
        saying("group_message", "/payload/message_type", "text"),
    ),
    Defect(
        "group-media-dropped",
        "Messages to groups arrive without their media fields.",
        ("GRP-07",),
        sending("group_message", lambda frame, *_: _without_media(frame)),
    ),
)


def _with_members(change: Callable[[App, str, Members], Members]) -> Handler:
    """A handler of `send` for which a group has other members."""

    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        group = (frame["payload"].get("group_id") or "").lower()
        truly = app.people.members(group) if group else frozenset()
        if session.user not in truly:
            original(app, session, frame)
            return
        with swapped(app.people, "members", lambda _room: change(app, session.user, truly)):
            original(app, session, frame)

    return wrapper


def _to_first_device(original: Callable[..., None], app: App, user: str, data: bytes) -> None:
    if b'"group_message"' not in data:
        original(app, user, data)
        return
    with swapped(app.hub, "of_user", lambda user: type(app.hub).of_user(app.hub, user)[:1]):
        original(app, user, data)


def _to_oneself(original: Handler, app: App, session: Session, frame: Frame) -> None:
    """The sending connection gets what the others get."""
    original(app, session, frame)
    payload = dict(frame["payload"])
    if payload.get("group_id") and session.user in app.people.members(payload["group_id"].lower()):
        payload.pop("receiver_id", None)
        payload["encrypted_content"] = payload.pop("ciphertext")
        app.turn.send(
            session,
            app.frames.make("group_message", payload, user=session.user, message=frame["message_id"]),
        )


REACH = (
    Defect(
        "group-message-to-one-member",
        "A message to a group reaches the first of the other members only.",
        ("GRP-02",),
        handling(
            "send",
            _with_members(lambda _app, me, members: frozenset({me, min(members - {me}, default=me)})),
        ),
    ),
    Defect(
        "group-message-to-one-device",
        "A message to a group reaches one device of each member.",
        ("GRP-03",),
        lambda seams: seams.around(messages, "_deliver", _to_first_device),
    ),
    Defect(
        "group-message-comes-back",
        "The connection that sends to a group gets its own message.",
        ("GRP-08",),
        handling("send", _to_oneself),
    ),
    Defect(
        "group-message-to-everybody",
        "A message to a group reaches everybody who is connected.",
        ("GRP-11",),
        handling(
            "send",
            _with_members(lambda app, me, members: members | {session.user for session in app.hub}),
        ),
    ),
)

_Rosters = defaultdict[str, set[str]]


def _noting(
    use: Callable[[_Rosters, _Rosters], Callable[[Seams], None]],
) -> Callable[[Seams], None]:
    """A defect that knows who was added to which group, and who was removed from it."""

    def apply(seams: Seams) -> None:
        added: _Rosters = defaultdict(set)
        removed: _Rosters = defaultdict(set)

        def add(original: Callable[..., None], self: People, group: str, user: str) -> None:
            original(self, group, user)
            added[group].add(user)
            removed[group].discard(user)

        def remove(original: Callable[..., None], self: People, group: str, user: str) -> None:
            original(self, group, user)
            removed[group].add(user)
            added[group].discard(user)

        seams.around(People, "add_member", add)
        seams.around(People, "remove_member", remove)
        use(added, removed)(seams)

    return apply


def _sending_as(change: Callable[[str, str, Members, _Rosters], Members]) -> Callable[[Seams], None]:
    """`change(group, sender, members, former members)` says who the members are for a send."""

    def use(_added: _Rosters, removed: _Rosters) -> Callable[[Seams], None]:
        def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
            group = (frame["payload"].get("group_id") or "").lower()
            members = app.people.members(group) if group else frozenset()
            changed = change(group, session.user, members, removed) if members else members
            with swapped(app.people, "members", lambda _room: changed):
                original(app, session, frame)

        return handling("send", _unless_direct(wrapper))

    return _noting(use)


def _unless_direct(what: Handler) -> Handler:
    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        if frame["payload"].get("group_id"):
            what(original, app, session, frame)
        else:
            original(app, session, frame)

    return wrapper


def _conversing(
    change: Callable[[str, Members, _Rosters, _Rosters], Members],
) -> Callable[[Seams], None]:
    """`change(group, members, added, removed)` says who is in a group's conversation."""

    def use(added: _Rosters, removed: _Rosters) -> Callable[[Seams], None]:
        def apply(seams: Seams) -> None:
            def members(original: Callable[..., Members], self: People, conversation: str) -> Members:
                truly = original(self, conversation)
                room = self._rooms.get(conversation)
                return change(room, truly, added, removed) if room is not None else truly

            seams.around(People, "conversation_members", members)

        return apply

    return _noting(use)


MEMBERSHIP = (
    Defect(
        "stranger-writes-to-group",
        "Somebody who never was a member can send to a group.",
        ("GRP-09",),
        _sending_as(lambda group, me, members, gone: members if me in gone[group] else members | {me}),
    ),
    Defect(
        "former-member-writes-to-group",
        "A former member can send to the group.",
        ("GRP-10",),
        _sending_as(lambda group, me, members, gone: members | {me} if me in gone[group] else members),
    ),
    Defect(
        "former-member-still-gets",
        "A former member gets what is sent to the group.",
        ("GRP-12",),
        _sending_as(lambda group, me, members, gone: members | gone[group] if me in members else members),
    ),
    Defect(
        "new-member-not-in-conversation",
        "Who was added to a group is no part of its conversation.",
        ("GRP-19",),
        _conversing(lambda group, members, added, _gone: members - added[group]),
    ),
    Defect(
        "former-member-in-conversation",
        "Who was removed from a group remains part of its conversation.",
        ("GRP-20",),
        _conversing(lambda group, members, _added, gone: members | gone[group]),
    ),
)


@defect("new-member-gets-nothing", "Who was added to a group gets none of its messages.", "GRP-13")
def new_member_gets_nothing(seams: Seams) -> None:
    def use(added: _Rosters, _removed: _Rosters) -> Callable[[Seams], None]:
        def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
            group = frame["payload"]["group_id"].lower()
            kept = app.people.members(group) - (added[group] - {session.user})
            with swapped(app.people, "members", lambda _room: kept):
                original(app, session, frame)

        return handling("send", _unless_direct(wrapper))

    _noting(use)(seams)


@defect("new-member-gets-the-past", "Who was added to a group gets what was sent before.", "GRP-14")
def new_member_gets_the_past(seams: Seams) -> None:
    sent: defaultdict[str, list[tuple[int, bytes]]] = defaultdict(list)
    apps: list[App] = []

    def wrapper(original: Handler, app: App, session: Session, frame: Frame) -> None:
        apps[:] = [app]
        group = frame["payload"]["group_id"].lower()
        payload = {name: value for name, value in frame["payload"].items() if name != "receiver_id"}
        payload["encrypted_content"] = payload.pop("ciphertext")
        original(app, session, frame)
        entry = entry_of(app.mailboxes, key_of(frame["message_id"]))
        if entry is not None and entry.target == group:
            data = app.frames.make("group_message", payload, user=session.user, message=frame["message_id"])
            sent[group].append((entry.seq, data))

    def add(original: Callable[..., None], self: People, group: str, user: str) -> None:
        original(self, group, user)
        for app in apps:
            for seq, data in sent[group]:
                for box in app.mailboxes.boxes(user):
                    app.store.write("INSERT OR IGNORE INTO waiting VALUES (?, ?)", box.id, seq)
                messages._deliver(app, user, data)

    handling("send", _unless_direct(wrapper))(seams)
    seams.around(People, "add_member", add)


@defect("group-message-does-not-wait", "A message to a group is lost on devices that are away.", "GRP-16")
def group_message_does_not_wait(seams: Seams) -> None:
    def waiting(
        original: Callable[..., list[tuple[int, bytes]]], self: Mailboxes, box: Box, after: int, limit: int
    ) -> list[tuple[int, bytes]]:
        rows = original(self, box, after, limit)
        return [row for row in rows if orjson.loads(row[1])["type"] != "group_message"]

    seams.around(Mailboxes, "waiting", waiting)


def _told_each_time(
    original: Acknowledge, boxes: Mailboxes, key: bytes, user: str, device: str, status: str
) -> str | None:
    entry = entry_of(boxes, key)
    group = entry is not None and entry.target.startswith("group-")
    before = boxes._status(entry, user) if entry is not None else None
    told = original(boxes, key, user, device, status)
    if told is None and entry is not None and group and before == status != SENT:
        return entry.sender
    return told


STATUSES = (
    Defect(
        "group-status-told-twice",
        "A member's status of a message to a group is told for each of its devices.",
        ("GRP-18",),
        acknowledging(_told_each_time),
    ),
)


WHOSE = (
    Defect(
        "group-status-of-nobody",
        "A status_update does not say which member it is about.",
        ("GRP-17",),
        lacking("status_update", "/payload/recipient_id"),
    ),
)
