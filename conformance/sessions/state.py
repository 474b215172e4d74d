"""What the model knows in a session: plain data, and questions about it.

Users and devices go by the names that scenarios use (`alice`, `alice.phone`), identifiers by references
(`${alice.id}`, `${m[3]}`): nothing in here ever sees a real one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from relaykit.conformance.codes import an_error

USERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"alice": ("phone", "laptop"), "bob": ("phone", "laptop"), "carol": ("phone",)}
)
"""Who takes part, and with which devices. Few, so that they meet."""
DEVICES = tuple(f"{user}.{device}" for user, devices in USERS.items() for device in devices)
ONLINE, OFFLINE = "online", "offline"
"""The statuses of users who are connected and have set none, and of those who are not."""
EXPIRY_S = 20
"""Seconds after which a request for approval expires that is meant to."""


def user_of(device: str) -> str:
    """Whose device it is."""
    return device.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Rules:
    """What of the target the model has to know.

    Attributes:
        capabilities: those that it declares.
        operations: control operations that it offers.
        presence_is_prompt: comings and goings are told without a grace.
        calls_end_promptly: so are the calls of those who are gone.
        legacy: connections can ask for the deprecated frames.
        restarts: the target may be killed and started again.
        flood: so many frames at once are too many; 0: it has no limit that could be reached.
        connections: so many a user may have at once; 0: the target file does not say, nor has it shown.
        crowd: the same, where it is to be exceeded; 0: it is not known, or too many, or too few, to be tried.
        waiting: so many messages may wait for a user before one more can be refused; 0: any number.
        expires: its clock can be moved, so that requests for approval expire.
    """

    capabilities: frozenset[str]
    operations: frozenset[str]
    presence_is_prompt: bool = True
    calls_end_promptly: bool = True
    legacy: bool = False
    restarts: bool = False
    flood: int = 0
    connections: int = 0
    crowd: int = 0
    waiting: int = 0
    expires: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a session, as plain data.

    Attributes:
        move: which kind of step it is, such as `send` or `typing` (see `moves`).
        who: the device that acts; empty for control operations.
        with_: what else there is to it, by the move.
    """

    move: str
    who: str = ""
    with_: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        more = " ".join(f"{name}={value}" for name, value in self.with_.items() if value is not None)
        return " ".join(part for part in (self.move, self.who, more) if part)


@dataclass(frozen=True, slots=True)
class Expected:
    """A frame that a device must, or may, get.

    Attributes:
        forms: patterns, one of which the frame matches; more than one where the protocol permits several.
        req: what is broken if it must come and does not; empty for what may come.
        line: what goes down the same line to the same device arrives in this order; empty: in any order.
        cause: what is broken rather than `req` if it is for the sake of this session's steps that it does not
            come: shrinking takes out the steps that are not to blame.
    """

    to: str
    forms: tuple[Mapping[str, Any], ...]
    req: tuple[str, ...] = ()
    line: str = ""
    cause: tuple[str, ...] = ()


Change = Callable[["State"], None]


@dataclass(frozen=True, slots=True)
class Branch:
    """One permitted way in which a target may take a step.

    Attributes:
        name: for coverage and for the differential: `refused`, `served` …
        must: what has to come, all of it.
        may: what can come beside that, now or later.
        change: what the step does to the state if it was taken so.
        whole: it was taken only where all of it has come: where nothing did, another one is to blame.
    """

    name: str
    must: tuple[Expected, ...] = ()
    may: tuple[Expected, ...] = ()
    change: Change = lambda _: None
    whole: bool = False


Status = Literal["sent", "delivered", "read"]


@dataclass(slots=True)
class Message:
    """A message that was accepted.

    Attributes:
        number: below zero if the target gave it its `message_id`.
        content: number of its ciphertext.
        line: the connection it was sent on, which keeps it in order.
        waiting: device → whether it has acknowledged it; for devices that are to get it at all.
        seen: devices that have got it before.
        backlog: receivers without a device, whose first one gets it.
        status: by receiver.
        former: receivers who have left the group since: they may still get it.
        vague: what becomes of it is not judged any more.
    """

    number: int
    sender: str
    receivers: tuple[str, ...]
    group: int | None
    content: int
    line: str
    waiting: dict[str, bool] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    backlog: set[str] = field(default_factory=set)
    status: dict[str, Status] = field(default_factory=dict)
    former: set[str] = field(default_factory=set)
    vague: bool = False


@dataclass(slots=True)
class Call:
    """A call between two users; `answered` is the callee's device that took it."""

    caller: str
    device: str
    callee: str
    ringing: set[str]
    answered: str | None = None
    crossed: set[str] = field(default_factory=set)

    def other(self, user: str) -> str:
        return self.callee if user == self.caller else self.caller


@dataclass(slots=True)
class State:
    """Everything that the model remembers.

    Attributes:
        online: device → the serial number of its connection.
        known: user → devices that have been seen, oldest first.
        uncertain: users of whom the target may not have noticed yet that they are gone.
        stolen: message → (sender, receiver) of those sent under its id by others, and not refused.
        sought: messages whose id others have tried to use.
        meddled: message → the requirements that are broken if strangers' acknowledgments had an effect on it.
        writers: (sender, receiver) of direct messages.
        contacts: pairs.
        statuses: user → the presence statuses of which one holds, where that is not plainly `online`; they
            end with the last connection. More than one: nobody saw whether that has happened.
        greeted: (device, contact) where the device may be shown the contact's status still: it has connected,
            or they have become contacts, since that was last set.
        groups, conversations: number → members; a conversation of a group names that.
        calls: user → call, for both sides; muddled: users whose calls are not judged.
        abandoned: user whose last device went while it rang → who called; it may ring on.
        told: what may be told to a user at a later connection.
        legacy: users whose connections get the deprecated frames.
        pending: device that is not approved yet → number of its open request; visiting: those connected.
        unshown: open requests that the primary device has not been shown.
        decided: device → (request, whether it was approved), as long as it has not been told.
        since: device → what `fresh` was when it was approved; approved: the same, until it connects.
        denied, revoked, decided_once (of whom it was decided), lapsed (denied since nobody decided in time):
            devices.
        soon: open requests that expire soon; expired: those that have.
        flooded: connections that have sent too much; restarted: whether the target was started again.
        transitions: what was reached, for coverage.
    """

    rules: Rules
    online: dict[str, int] = field(default_factory=dict)
    serial: int = 0
    known: dict[str, list[str]] = field(default_factory=dict)
    uncertain: set[str] = field(default_factory=set)
    messages: dict[int, Message] = field(default_factory=dict)
    stolen: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    sought: set[int] = field(default_factory=set)
    meddled: dict[int, tuple[str, ...]] = field(default_factory=dict)
    writers: set[tuple[str, str]] = field(default_factory=set)
    contacts: set[frozenset[str]] = field(default_factory=set)
    statuses: dict[str, tuple[str, ...]] = field(default_factory=dict)
    greeted: set[tuple[str, str]] = field(default_factory=set)
    groups: dict[int, list[str]] = field(default_factory=dict)
    conversations: dict[int, list[str] | int] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    muddled: set[str] = field(default_factory=set)
    abandoned: dict[str, str] = field(default_factory=dict)
    told: dict[str, list[Expected]] = field(default_factory=dict)
    legacy: set[str] = field(default_factory=set)
    pending: dict[str, int] = field(default_factory=dict)
    visiting: set[str] = field(default_factory=set)
    unshown: set[int] = field(default_factory=set)
    decided: dict[str, tuple[int, bool]] = field(default_factory=dict)
    approved: dict[str, int] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)
    denied: set[str] = field(default_factory=set)
    revoked: set[str] = field(default_factory=set)
    decided_once: set[str] = field(default_factory=set)
    lapsed: set[str] = field(default_factory=set)
    soon: set[int] = field(default_factory=set)
    expired: set[int] = field(default_factory=set)
    flooded: set[str] = field(default_factory=set)
    restarted: bool = False
    invalid: dict[str, int] = field(default_factory=dict)
    fresh: int = 0
    transitions: dict[str, int] = field(default_factory=dict, compare=False)

    # Questions.

    def has(self, capability: str) -> bool:
        return capability in self.rules.capabilities

    def offers(self, operation: str) -> bool:
        return operation in self.rules.operations

    def devices(self, user: str) -> tuple[str, ...]:
        """The user's devices that are connected."""
        return tuple(device for device in DEVICES if device in self.online and user_of(device) == user)

    def connections(self, user: str) -> int:
        """How many connections the user has."""
        return len(self.devices(user)) + sum(user_of(device) == user for device in self.visiting)

    def has_room(self, user: str) -> bool:
        """Whether the user may have one more connection."""
        return not self.rules.connections or self.connections(user) < self.rules.connections

    def waiting_for(self, user: str) -> int:
        """How many messages wait for the user, or for one of the user's devices: targets count either."""
        stolen = sum(to == user for each in self.stolen.values() for _, to in each)
        return stolen + sum(
            user in message.backlog
            or any(not done and user_of(device) == user for device, done in message.waiting.items())
            for message in self.messages.values()
        )

    def everyone_online(self) -> tuple[str, ...]:
        return tuple(device for device in DEVICES if device in self.online)

    def primary(self, user: str) -> str | None:
        """The user's oldest device."""
        return next(iter(self.known.get(user, ())), None)

    def others(self, user: str) -> tuple[str, ...]:
        return tuple(other for other in USERS if other != user)

    def contacts_of(self, user: str) -> tuple[str, ...]:
        return tuple(other for other in self.others(user) if frozenset((user, other)) in self.contacts)

    def watchers(self, user: str) -> tuple[str, ...]:
        """Connected devices of the user's contacts."""
        return tuple(device for contact in self.contacts_of(user) for device in self.devices(contact))

    def held(self, user: str) -> tuple[str, ...]:
        """The statuses of which one holds for a user who is connected, or was until now."""
        return self.statuses.get(user, (ONLINE,))

    def shown(self, user: str) -> tuple[str, ...]:
        """The statuses that a user's contacts may be shown now."""
        if user in self.uncertain:
            return tuple(dict.fromkeys((*self.held(user), ONLINE, OFFLINE)))
        return self.held(user) if self.devices(user) else (OFFLINE,)

    def members(self, conversation: int) -> tuple[str, ...]:
        """Who takes part in a conversation now."""
        found = self.conversations[conversation]
        return tuple(self.groups[found] if isinstance(found, int) else found)

    def line(self, device: str) -> str:
        """What a device sends on its present connection stays in order."""
        return f"{device}#{self.online[device]}"

    # Notes.

    def next(self) -> int:
        """A number that no message, content or group has had."""
        self.fresh += 1
        return self.fresh

    def befriend(self, one: str, other: str) -> None:
        """Two users are contacts from now on."""
        self.contacts.add(frozenset((one, other)))
        for user, contact in ((one, other), (other, one)):
            self.greeted |= {(device, contact) for device in self.devices(user)}

    def reached(self, what: str) -> None:
        self.transitions[what] = self.transitions.get(what, 0) + 1


def must(
    devices: Iterable[str], *forms: Mapping[str, Any], req: str | tuple[str, ...]
) -> tuple[Expected, ...]:
    """Each of these devices has to get it."""
    named = (req,) if isinstance(req, str) else req
    return tuple(Expected(device, forms, named) for device in devices)


def may(devices: Iterable[str], *forms: Mapping[str, Any]) -> tuple[Expected, ...]:
    """Each of these devices can get it."""
    return tuple(Expected(device, forms) for device in devices)


def error(device: str, code: str | None = None) -> tuple[Expected, ...]:
    """The device may be told that something is wrong."""
    return may((device,), an_error(code) if code else {"type": "error"})
