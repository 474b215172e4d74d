"""What the control interface can do, a function for each operation of control.openapi.yaml.

Arguments are valid by then. Every change goes through the store and is durable before it is answered.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from relaykit.reference_server import dev, devices
from relaykit.reference_server.devices import Conflict
from relaykit.reference_server.devices_store import ACTIVE

if TYPE_CHECKING:
    from relaykit.reference_server.app import App

Arguments = Mapping[str, Any]
Answer = dict[str, Any]


class Missing(Exception):
    """What the request names does not exist."""


# --- users ---


def create_user(app: App, arguments: Arguments) -> Answer:
    user = _id(arguments, "user_id") if "user_id" in arguments else str(uuid.uuid4())
    wanted = _ids(arguments.get("devices", ()))
    for device in wanted:
        standing = app.devices.standing(user, device)
        if standing != ACTIVE:
            raise Conflict(f"the device {device} is {standing}")

    def register() -> None:
        for device in wanted:
            app.mailboxes.register(user, device)

    app.durably(register)
    return {
        "user_id": user,
        "devices": app.devices.approved(user),
        "primary_device_id": app.devices.primary(user),
    }


def add_contact(app: App, arguments: Arguments) -> Answer:
    user, contact = _id(arguments, "user_id"), _id(arguments, "contact_id")
    if user == contact:
        raise Conflict("nobody is a contact of themselves")
    app.durably(partial(app.people.befriend, user, contact))
    return {}


# --- groups and conversations ---


def create_group(app: App, arguments: Arguments) -> Answer:
    group = _id(arguments, "group_id") if "group_id" in arguments else f"group-{uuid.uuid4()}"
    if not app.durably(partial(app.people.create_group, group, _ids(arguments["members"]))):
        raise Conflict("this group exists already")
    return _group(app, group)


def add_member(app: App, arguments: Arguments) -> Answer:
    group = _existing_group(app, arguments)
    app.durably(partial(app.people.add_member, group, _id(arguments, "user_id")))
    return _group(app, group)


def remove_member(app: App, arguments: Arguments) -> Answer:
    group = _existing_group(app, arguments)
    app.durably(partial(app.people.remove_member, group, _id(arguments, "user_id")))
    return _group(app, group)


def conversation(app: App, arguments: Arguments) -> Answer:
    people = app.people
    if "group_id" in arguments:
        change = partial(people.group_conversation, _existing_group(app, arguments))
    else:
        change = partial(people.conversation_of, _ids(arguments["members"]))
    found = app.durably(change)
    return {"conversation_id": found, "members": sorted(people.conversation_members(found))}


# --- devices ---


def request_device_approval(app: App, arguments: Arguments) -> Answer:
    user, device = _id(arguments, "user_id"), _id(arguments, "device_id")
    about = {
        name: value for name, value in arguments.items() if name not in ("user_id", "device_id", "expires_in")
    }
    request = devices.ask(app, user, device, lifetime_s=arguments.get("expires_in"), about=about)
    return {"request_id": request.id, **{name: request.shown[name] for name in ("code", "expires_at")}}


def decide_device_approval(app: App, arguments: Arguments) -> Answer:
    _about_request(devices.decide, app, _id(arguments, "request_id"), approved=arguments["approved"])
    return {}


def expire_approval(app: App, arguments: Arguments) -> Answer:
    _about_request(devices.expire, app, _id(arguments, "request_id"))
    return {}


def revoke_device(app: App, arguments: Arguments) -> Answer:
    devices.revoke(app, _id(arguments, "user_id"), _id(arguments, "device_id"))
    return {}


# --- connections, time, the whole ---


def list_connections(app: App, arguments: Arguments) -> Answer:
    user, now = arguments.get("user_id"), app.clock.monotonic()
    hubs = (app.hub, app.pending)
    sessions = [s for hub in hubs for s in (hub if user is None else hub.of_user(user.lower()))]
    return {
        "connections": [
            {
                "user_id": session.user,
                "device_id": session.device,
                "pending": session.pending,
                "legacy": session.legacy,
                "expires_at": app.clock.stamp(session.expires),
                "silent_s": round(max(0.0, now - session.link.heard), 3),
            }
            for session in sessions
            if not session.closed
        ]
    }


def drop_connection(app: App, arguments: Arguments) -> Answer:
    user, device = _id(arguments, "user_id"), _id(arguments, "device_id")
    sessions = app.hub.of_device(user, device) + app.pending.of_device(user, device)
    if not sessions:
        raise Missing("this device is not connected")
    for session in sessions:
        session.closed = True
        app.turn.do(session.link, session.link.abort)
    return {}


def advance_clock(app: App, arguments: Arguments) -> Answer:
    app.turn.flush()  # what came before is said at the time at which it came
    app.clock.advance(arguments["seconds"])
    return {"now": app.clock.stamp()}


def inject_fault(app: App, arguments: Arguments) -> Answer:
    app.turn.flush()
    app.store.inject_fault(arguments["count"])
    return {}


def set_faults(app: App, arguments: Arguments) -> Answer:
    app.turn.flush()
    if app.watch is not None:
        app.watch.set_faults(arguments["faults"])
    return list_faults(app, {})


def list_faults(app: App, _arguments: Arguments) -> Answer:
    faults = app.watch.faults if app.watch is not None else ()
    return {"faults": [{"fault": one.text, "seen": one.seen, "struck": one.struck} for one in faults]}


def reset(app: App, _arguments: Arguments) -> Answer:
    app.store.inject_fault(0)
    app.durably(partial(_clear, app))
    for hub in (app.hub, app.pending):
        for session in hub:
            app.end(session, 1001, "everything is forgotten")
    app.turn.settle()  # the sessions have ended, and their graces begun
    app.calls.forget()
    app.presence.forget()
    return {}


def _clear(app: App) -> None:
    app.store.clear()
    if app.settings.dev:
        dev.people(app)  # they are part of the server there, as if it had been started anew


OPERATIONS: dict[str, Callable[[App, Arguments], Answer]] = {
    function.__name__: function
    for function in (
        *(create_user, add_contact, create_group, add_member, remove_member, conversation),
        *(request_device_approval, decide_device_approval, expire_approval, revoke_device),
        *(list_connections, drop_connection, advance_clock, inject_fault),
        *(set_faults, list_faults, reset),
    )
}


def _id(arguments: Arguments, name: str) -> str:
    """An ID as the server keeps it: the case of UUIDs means nothing."""
    value: str = arguments[name].lower()
    return value


def _ids(values: Any) -> list[str]:
    return list(dict.fromkeys(value.lower() for value in values))


def _existing_group(app: App, arguments: Arguments) -> str:
    group = _id(arguments, "group_id")
    if not app.people.members(group):
        raise Missing("there is no such group")
    return group


def _group(app: App, group: str) -> Answer:
    return {"group_id": group, "members": sorted(app.people.members(group))}


def _about_request(decide: Callable[..., None], app: App, request_id: str, **more: Any) -> None:
    try:
        decide(app, request_id, **more)
    except KeyError:
        raise Missing("there is no such request") from None
