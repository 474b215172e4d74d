"""Defects in who hears of whose presence."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from relaykit.reference_server import app as app_
from relaykit.reference_server import presence
from relaykit.reference_server.app import App
from relaykit.reference_server.defects import Defect, defect
from relaykit.reference_server.defects.blocks import (
    Frame,
    Handler,
    altering,
    dropping,
    everybody,
    handling,
    lacking,
    loosened,
    on_enter,
    relaying,
    saying,
    sending,
    staying,
    was_cut,
)
from relaykit.reference_server.defects.seams import Seams
from relaykit.reference_server.people import People
from relaykit.reference_server.session import Session

_STATUS = "/payload/status"

SHAPES = (
    *(
        Defect(
            f"{kind.replace('_', '-')}-without-{name.replace('_', '-')}",
            f"A {kind} lacks its {name}.",
            ("PRES-01",),
            lacking(kind, pointer),
        )
        for kind, name, pointer in (
            ("user_online", "sender_id", "/sender_id"),
            ("user_online", "server_id", "/server_id"),
            ("user_online", "user_id", "/payload/user_id"),
            ("user_offline", "server_id", "/server_id"),
            ("user_offline", "timestamp", "/timestamp"),
        )
    ),
    Defect(
        "presence-without-user",
        "A presence does not say whose it is.",
        ("PRES-02",),
        lacking("presence", "/payload/user_id"),
    ),
    Defect(
        "presence-with-half-a-device",
        "A presence lists devices without saying what they are.",
        ("PRES-02",),
        sending("presence", lambda frame, to, _app: _listing(frame, to)),
    ),
    Defect(
        "presence-invisible",
        "A presence has the status `invisible` where a user is away.",
        ("PRES-04",),
        altering("presence", _STATUS, lambda status: "invisible" if status == "away" else status),
    ),
    Defect(
        "client-presence-invisible",
        "A client may set the status `invisible`.",
        ("PRES-04",),
        loosened("presence", "/$defs/presenceStatus/enum"),
    ),
)


def _listing(frame: Frame, to: Session) -> Frame:
    frame["payload"]["devices"] = [{"device_id": to.device, "status": "active"}]
    return frame


def _without_status(original: Handler, app: App, session: Session, frame: Frame) -> None:
    frame["payload"].setdefault("status", "online")
    original(app, session, frame)


@defect("client-presence-without-status", "A client's presence without a status means online.", "PRES-03")
def client_presence_without_status(seams: Seams) -> None:
    loosened("presence", "/properties/payload/required/status")(seams)
    handling("presence", _without_status)(seams)


def _tell(app: App, user: str, kind: str) -> None:
    presence._tell_contacts(app, user, kind, {})


def _on_leave(then: Callable[[App, Session], None]) -> Callable[[Seams], None]:
    """Something more happens when a session has ended."""

    def apply(seams: Seams) -> None:
        def left(app: App, session: Session) -> None:
            then(app, session)

        seams.put(app_, "ON_LEAVE", (*app_.ON_LEAVE, left))

    return apply


def _gone_though_others_stay(app: App, session: Session) -> None:
    if app.hub.of_user(session.user) and not app.stopping:
        app.turn.afterwards(partial(_tell, app, session.user, "user_offline"))


NOTICES = (
    Defect("no-user-online", "Nobody hears that a user came.", ("PRES-05",), dropping("user_online")),
    Defect("no-user-offline", "Nobody hears that a user left.", ("PRES-06",), dropping("user_offline")),
    Defect(
        "online-for-each-device",
        "Contacts get user_online for each device that connects.",
        ("PRES-07",),
        on_enter(
            lambda app, session: (
                _tell(app, session.user, "user_online") if len(app.hub.of_user(session.user)) > 1 else None
            )
        ),
    ),
    Defect(
        "offline-for-each-device",
        "Contacts get user_offline for each device that leaves.",
        ("PRES-08",),
        _on_leave(_gone_though_others_stay),
    ),
)


def _contacts(sql: str) -> Callable[[Seams], None]:
    """Contacts are whom a query says."""

    def apply(seams: Seams) -> None:
        def contacts(_original: Callable[..., Any], self: People, user: str) -> frozenset[str]:
            return frozenset(row[0] for row in self._store.read(sql, user)) - {user}

        seams.around(People, "contacts", contacts)

    return apply


def _contacts_of(change: Callable[[App, frozenset[str]], frozenset[str]]) -> Callable[[Seams], None]:
    """Who hears that a user comes or goes."""

    def apply(seams: Seams) -> None:
        def contacts(original: Callable[..., frozenset[str]], app: App, user: str) -> frozenset[str]:
            return change(app, original(app, user)) - {user}

        seams.around(presence, "_contacts", contacts)

    return apply


_MUTUAL = (
    "SELECT a.other FROM written a JOIN written b ON b.user = a.other AND b.other = a.user WHERE a.user = ?1"
)


def _contacts_by_room(rooms: str) -> Callable[[Seams], None]:
    """Whoever is in such a room with a user is a contact as well."""
    sql = "SELECT room FROM members WHERE user = ? AND room GLOB ?"

    def apply(seams: Seams) -> None:
        def contacts(original: Callable[..., frozenset[str]], self: People, user: str) -> frozenset[str]:
            shared = (self.members(room) for (room,) in self._store.read(sql, user, rooms))
            return original(self, user).union(*shared) - {user}

        seams.around(People, "contacts", contacts)

    return apply


CONTACTS = (
    Defect(
        "writing-makes-no-contact",
        "Users who have written to each other are no contacts.",
        ("PRES-09",),
        _contacts("SELECT other FROM befriended WHERE user = ?1"),
    ),
    Defect(
        "one-letter-makes-a-contact",
        "Users are contacts once one of them has written to the other.",
        ("PRES-10",),
        _contacts(
            "SELECT other FROM written WHERE user = ?1 UNION SELECT user FROM written WHERE other = ?1"
            " UNION SELECT other FROM befriended WHERE user = ?1"
        ),
    ),
    Defect(
        "made-contacts-are-none",
        "Users who were made contacts out of band are none.",
        ("PRES-11",),
        _contacts(_MUTUAL),
    ),
    Defect(
        "strangers-hear-who-comes",
        "Everybody who is connected hears who comes and goes.",
        ("PRES-12",),
        _contacts_of(lambda app, truly: truly | {session.user for session in app.hub}),
    ),
    *(
        Defect(
            f"{who}-are-contacts",
            f"Who is in a {what} with a user counts as a contact.",
            ("PRES-12", "PRES-13"),
            _contacts_by_room(rooms),
        )
        for who, what, rooms in (
            ("fellow-members", "group", "group-*"),
            ("those-in-a-conversation", "conversation", "users:*"),
        )
    ),
    Defect(
        "strangers-get-presence",
        "Everybody who is connected gets a user's presence status.",
        ("PRES-13",),
        relaying("presence", everybody),
    ),
)


def _claimed(original: Handler, app: App, session: Session, frame: Frame) -> None:
    """The presence is of whom the frame claims to be from."""
    user = str(frame.get("sender_id", session.user)).lower()
    app.presence.statuses[user] = frame["payload"]["status"]
    data = app.frames.make("presence", dict(frame["payload"]), user=user)
    for contact in app.people.contacts(session.user):
        for other in app.hub.of_user(contact):
            app.turn.send(other, data)


def _forget(app: App, session: Session) -> None:
    """What a user has set is over, as contacts hear."""
    if app.presence.statuses.pop(session.user, None) is not None and app.hub.of_user(session.user):
        told = partial(presence._tell_contacts, app, session.user, "presence", {"status": "online"})
        app.turn.afterwards(told)


def _named_otherwise(frame: Frame, to: Session, _app: App) -> Frame:
    frame["sender_id"] = to.user
    return frame


STATUSES = (
    Defect(
        "presence-not-passed-on",
        "A client's presence reaches nobody.",
        ("PRES-15",),
        handling("presence", lambda *_: None),
    ),
    Defect(
        "presence-always-online",
        "Whatever status a client sets, contacts get `online`.",
        ("PRES-15",),
        saying("presence", _STATUS, "online"),
    ),
    Defect(
        "presence-as-claimed",
        "A presence names the user whom the client's frame claims to be from.",
        ("PRES-16",),
        handling("presence", _claimed),
    ),
    Defect(
        "online-names-the-hearer",
        "The sender_id of a user_online is the user who gets it.",
        ("PRES-16",),
        sending("user_online", _named_otherwise),
    ),
    Defect(
        "status-ends-with-its-device",
        "A status is forgotten when any device of the user leaves.",
        ("PRES-17",),
        _on_leave(lambda app, session: _forget(app, session)),
    ),
    Defect(
        "status-ends-with-a-new-device",
        "A status is forgotten when a further device of the user connects.",
        ("PRES-17",),
        on_enter(lambda app, session: _forget(app, session)),
    ),
)


@defect("status-outlasts-the-user", "A status holds on when the user has left and comes again.", "PRES-18")
def status_outlasts_the_user(seams: Seams) -> None:
    kept: dict[str, str] = {}

    def note(original: Callable[..., Any], app: App, session: Session, *words: Any) -> Any:
        chosen = original(app, session, *words)
        kept[session.user] = app.presence.statuses[session.user]
        return chosen

    def came(original: Callable[[App, Session], None], app: App, session: Session) -> None:
        if session.user in kept:
            app.presence.statuses.setdefault(session.user, kept[session.user])
        original(app, session)
        if session.user in kept:
            presence._tell_contacts(app, session.user, "presence", {"status": kept[session.user]})

    from relaykit.reference_server.dispatch import CHOICES

    seams.item(CHOICES, "presence", partial(note, CHOICES["presence"]))
    seams.around(presence, "_came", came)


LEAVING = (
    Defect(
        "cut-is-no-leaving",
        "A user whose connection is cut, and not closed, stays online.",
        ("PRES-06",),
        staying(presence.left, was_cut),
    ),
    Defect(
        "closing-is-no-leaving",
        "A user who closes the connection stays online until it is cut.",
        ("PRES-06",),
        staying(presence.left, lambda session: not was_cut(session)),
    ),
)
