"""Who is online, and how they wish to be seen (source: 3, 13; decisions, section 3, Presence).

Contacts hear of a user's first connection and, a grace after it, of the end of the last. A newcomer gets the
status of those contacts who are online. Users who become contacts while both are online hear nothing then.

Telling waits until the turn is committed: it concerns connections rather than what the store holds, so a
commit that fails must not swallow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from relaykit.reference_server.clock import Timer
from relaykit.reference_server.session import Session
from relaykit.reference_server.store import StoreError

if TYPE_CHECKING:
    from relaykit.reference_server.app import App

_UNSAID = "online"  # the status of a connected user who has set none
_BATCH = 256  # contacts whom a newcomer is shown at a time


class Presence:
    """What contacts have been told of the users.

    Attributes:
        online: users of whom contacts have heard that they are online, and not that they are gone.
        statuses: what users have set, as long as they are connected.
        lapsed: users in their grace whose contacts know of a status that has ended.
        leaving: users in their grace.
    """

    def __init__(self) -> None:
        self.online: set[str] = set()
        self.statuses: dict[str, str] = {}
        self.lapsed: set[str] = set()
        self.leaving: dict[str, Timer] = {}

    def forget(self) -> None:
        """Be as new: nobody has been told anything, and nobody will be."""
        for timer in self.leaving.values():
            timer.cancel()
        for kept in (self.online, self.statuses, self.lapsed, self.leaving):
            kept.clear()


def note_status(
    app: App, session: Session, frame: dict[str, Any], _value: str, sessions: Sequence[Session]
) -> Sequence[Session]:
    """A user sets a status; it is passed on to all whom the relay found."""
    app.presence.statuses[session.user] = frame["payload"]["status"]
    return sessions


def entered(app: App, session: Session) -> None:
    """A session begins."""
    app.turn.afterwards(partial(_came, app, session), session.link)


def left(app: App, session: Session) -> None:
    """A session has ended."""
    presence, user = app.presence, session.user
    if app.stopping or app.hub.of_user(user):
        return
    # Decided here and now: whoever returns within this very turn has been away all the same.
    status = presence.statuses.pop(user, _UNSAID)
    if user not in presence.online:
        return
    if status != _UNSAID:
        presence.lapsed.add(user)
    _stop_grace(presence, user)
    grace, since = app.settings.timing["presence_grace_s"], app.clock.stamp()
    if grace > 0:
        presence.leaving[user] = app.clock.call_later(grace, partial(_gone, app, user, since))
    else:
        _gone(app, user, since)


def _came(app: App, session: Session) -> None:
    presence, user = app.presence, session.user
    if session.closed:
        left(app, session)  # it never came, but others of the user may have relied on it
        return
    _stop_grace(presence, user)
    if user not in presence.online:
        presence.online.add(user)
        _tell_contacts(app, user, "user_online", {})
    elif user in presence.lapsed:
        _tell_contacts(app, user, "presence", {"status": _UNSAID})
    presence.lapsed.discard(user)
    session.unseen = sorted(_contacts(app, user) & presence.online, reverse=True)
    # Afterwards: the first of what has waited goes before.
    app.turn.afterwards(partial(show_contacts, app, session), session.link)


def show_contacts(app: App, session: Session) -> None:
    """Send a newcomer the status of some contacts who are online; the others follow as the client reads.

    All of ten thousand at once would look as if it read too slowly. Runs between turns, and queues them
    itself, so that whether the client reads shows before the next ones.
    """
    presence, unseen = app.presence, session.unseen
    if not unseen or session.closed or session.link.paused:
        return  # if it is paused, it goes on when the client has read
    for contact in (unseen.pop() for _ in range(min(len(unseen), _BATCH))):
        if contact in presence.online:  # still
            status = presence.statuses.get(contact, _UNSAID)
            session.link.put(app.frames.make("presence", {"status": status}, user=contact))
    if not unseen:
        session.unseen = None
    else:
        app.turn.afterwards(partial(show_contacts, app, session), session.link)


def _gone(app: App, user: str, since: str) -> None:
    presence = app.presence
    presence.leaving.pop(user, None)
    presence.online.discard(user)
    presence.lapsed.discard(user)
    app.turn.afterwards(partial(_tell_contacts, app, user, "user_offline", {"last_seen": since}))


def _stop_grace(presence: Presence, user: str) -> None:
    timer = presence.leaving.pop(user, None)
    if timer is not None:
        timer.cancel()


def _tell_contacts(app: App, user: str, kind: str, payload: dict[str, Any]) -> None:
    sessions = [other for contact in _contacts(app, user) for other in app.hub.of_user(contact)]
    if sessions:
        data = app.frames.make(kind, payload, user=user)
        for other in sessions:
            app.turn.send(other, data)


def _contacts(app: App, user: str) -> frozenset[str]:
    """The user's contacts; none if the store fails, which it has logged."""
    try:
        return app.people.contacts(user)
    except StoreError:
        app.turn.schedule()  # so that the store gets over it
        return frozenset()
